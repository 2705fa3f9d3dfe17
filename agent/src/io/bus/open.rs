//! Connects, and opens serial lines.

use std::io;

use tokio::net::TcpStream;
use tokio::time::timeout;
use wayside_protocols::modbus::target::Target;
use wayside_protocols::time::Duration;

use super::line::Line;
use super::port::Port;
use crate::clock::Clock;

/// Why a connection did not come about.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Nobody listens there.
    #[error("connection refused")]
    Refused,
    /// Nobody answered in time.
    #[error("no connection within {} ms", .0.as_millis())]
    Late(Duration),
    /// The serial port is not there.
    #[error("{0} is not there; is the adapter plugged in?")]
    Missing(Box<str>),
    /// The serial port belongs to somebody else at this moment.
    #[error("{0} is in use by another program")]
    Busy(Box<str>),
    /// This user may not open the serial port.
    #[error("{0} may not be opened by this user; add it to the group dialout")]
    Forbidden(Box<str>),
    /// Somebody else asks on this line.
    #[error("another master speaks on {0}: {1} bytes were heard; two masters garble each other")]
    OtherMaster(Box<str>, usize),
    /// The probe could not be written to the audit log.
    #[error("the audit log cannot be written: {0}")]
    Audit(Box<str>),
    /// The system says why.
    #[error("{0}")]
    Io(#[source] io::Error),
    /// Too many wait for this connection.
    #[error("too many requests wait for this connection")]
    Full,
}

/// A line to `target`. A serial line is listened to for `deadline` first; if anybody speaks on it, it is left alone.
pub(super) async fn open(target: &Target, deadline: Duration, clock: Clock) -> Result<Line, OpenError> {
    match target {
        Target::Tcp(address) | Target::RtuOverTcp(address) => {
            let stream = timeout(deadline, TcpStream::connect(address)).await.map_err(|_| OpenError::Late(deadline))?;
            let refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
            let stream =
                stream.map_err(|error| if refused(&error) { OpenError::Refused } else { OpenError::Io(error) })?;
            stream.set_nodelay(true).map_err(OpenError::Io)?;
            Ok(Line::socket(stream, target.framing(), clock))
        }
        Target::Serial(serial) => {
            let mut port = Port::open(serial)?;
            let mut heard = 0;
            let until = clock.now() + deadline.max(LISTEN);
            let mut buffer = [0; 512];
            loop {
                let left = until.since(clock.now());
                match timeout(left, port.read(&mut buffer)).await {
                    Err(_) => break,
                    Ok(read) => heard += read.map_err(OpenError::Io)?,
                }
                // One byte may be a glitch of plugging in; a frame has four.
                if heard >= 4 {
                    return Err(OpenError::OtherMaster(serial.path.clone(), heard));
                }
            }
            Ok(Line::serial(port, clock))
        }
    }
}

/// How long a serial line is listened to at the least.
const LISTEN: Duration = Duration::from_secs(2);
