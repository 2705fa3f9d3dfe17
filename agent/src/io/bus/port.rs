//! A serial port of this host.

use std::io;

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_serial::{DataBits, FlowControl, SerialPort as _, SerialStream, StopBits};
use wayside_protocols::modbus::target::{Parity, Serial};
use wayside_protocols::time::Duration;

use super::open::OpenError;

/// A serial port that is ours alone.
#[derive(Debug)]
pub(super) struct Port {
    stream: SerialStream,
    silence: Duration,
}

impl Port {
    /// Opens and locks it.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the kinds of the system's errors are without end")]
    pub(super) fn open(serial: &Serial) -> Result<Self, OpenError> {
        let path = &*serial.path;
        let wrong = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => OpenError::Missing(path.into()),
            io::ErrorKind::PermissionDenied => OpenError::Forbidden(path.into()),
            io::ErrorKind::ResourceBusy => OpenError::Busy(path.into()),
            _ => OpenError::Io(error),
        };
        // Opening takes the lock for good, but only after it has touched the line of whoever speaks on it; so it is
        // looked at first. It is given back here: a second one of our own would be in the way of the first.
        // A modem that does not answer would hold up a plain open.
        let quietly = OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let lock = rustix::fs::open(path, quietly, Mode::empty()).map_err(|error| wrong(error.into()))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => drop(lock),
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(OpenError::Busy(path.into())),
            Err(error) => return Err(OpenError::Io(error.into())),
        }
        let builder = tokio_serial::new(path, serial.baud)
            .data_bits(DataBits::Eight)
            .flow_control(FlowControl::None)
            .parity(match serial.parity {
                Parity::None => tokio_serial::Parity::None,
                Parity::Even => tokio_serial::Parity::Even,
                Parity::Odd => tokio_serial::Parity::Odd,
            })
            .stop_bits(if serial.stop == 2 { StopBits::Two } else { StopBits::One });
        let stream = SerialStream::open(&builder).map_err(|error| match error.kind() {
            tokio_serial::ErrorKind::NoDevice => OpenError::Busy(path.into()),
            tokio_serial::ErrorKind::Io(_)
            | tokio_serial::ErrorKind::InvalidInput
            | tokio_serial::ErrorKind::Unknown => wrong(error.into()),
        })?;
        Ok(Self { stream, silence: serial.silence() })
    }

    pub(super) fn silence(&self) -> Duration {
        self.silence
    }

    pub(super) fn lying(&self) -> io::Result<usize> {
        Ok(usize::try_from(self.stream.bytes_to_read()?).unwrap_or(usize::MAX))
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer).await
    }
}
