//! One connection, and the only place where bytes of Modbus are sent and read.
//!
//! A late reply is the danger: on a line's frames nothing tells it from the reply to the next request. Hence a
//! [`Line`] is a value that a question takes and an answer gives back. Whoever does not get an answer gets a [`Spoilt`]
//! line instead, on which nothing can be asked until it was drained; that of a socket is closed. A future that is
//! dropped half-way takes the line with it.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tracing::trace;
use wayside_protocols::modbus::frame::{Exchange, Framing};
use wayside_protocols::modbus::reply::{Garbled, Reply};
use wayside_protocols::modbus::request::Request;
use wayside_protocols::modbus::unit::Unit;
use wayside_protocols::time::{Duration, Timestamp};

use super::port::Port;
use crate::clock::Clock;

/// A connection on which nothing is on its way.
#[derive(Debug)]
pub struct Line {
    wire: Wire,
    framing: Framing,
    transaction: u16,
    clock: Clock,
    /// Units that owe a reply, and until when it may still come. On a serial line only.
    owing: Vec<(Unit, Timestamp)>,
}

#[derive(Debug)]
enum Wire {
    Socket(TcpStream),
    Serial(Port),
}

/// Why a question had no answer.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The deadline passed.
    #[error("no reply within {} ms", .0.as_millis())]
    Silent(Duration),
    /// What came is no reply to the question.
    #[error(transparent)]
    Garbled(#[from] Garbled),
    /// Bytes lay there before anything was asked.
    #[error("{0} bytes were there before anything was asked")]
    Foreign(usize),
    /// The other side hung up.
    #[error("the connection was closed")]
    Closed,
    /// The system says why.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// A line that failed. Nothing can be asked on it.
#[derive(Debug)]
pub struct Spoilt {
    /// Why.
    pub error: LineError,
    line: Line,
}

impl Line {
    pub(super) fn socket(stream: TcpStream, framing: Framing, clock: Clock) -> Self {
        Self { wire: Wire::Socket(stream), framing, transaction: 0, clock, owing: Vec::new() }
    }

    pub(super) fn serial(port: Port, clock: Clock) -> Self {
        Self { wire: Wire::Serial(port), framing: Framing::Rtu, transaction: 0, clock, owing: Vec::new() }
    }

    /// Asks, and gives the line back with the reply and the time it took.
    ///
    /// # Errors
    /// [`Spoilt`] without a reply that is just the one asked for.
    pub async fn ask(
        mut self,
        unit: Unit,
        request: Request,
        deadline: Duration,
    ) -> Result<(Self, Reply, Duration), Box<Spoilt>> {
        match self.exchange(unit, request, deadline).await {
            Ok((reply, took)) => Ok((self, reply, took)),
            Err(error) => {
                if matches!((&error, &self.wire), (LineError::Silent(_), Wire::Serial(_))) {
                    self.owing.push((unit, self.clock.now() + LATE));
                }
                Err(Box::new(Spoilt { error, line: self }))
            }
        }
    }

    async fn exchange(
        &mut self,
        unit: Unit,
        request: Request,
        deadline: Duration,
    ) -> Result<(Reply, Duration), LineError> {
        self.settle(unit).await?;
        self.transaction = self.transaction.wrapping_add(1);
        let mut exchange = Exchange::new(self.framing, self.transaction, unit, request);
        let bytes = exchange.bytes();
        trace!(%unit, ?request, "asks");
        let begun = self.clock.now();
        let reply = timeout(deadline, async {
            self.write(&bytes).await?;
            let mut buffer = [0; 512];
            loop {
                match self.read(&mut buffer).await? {
                    0 => return Err(LineError::Closed),
                    length => {
                        if let Some(reply) = exchange.hear(&buffer[..length])? {
                            return Ok(reply);
                        }
                    }
                }
            }
        });
        let reply = reply.await.unwrap_or(Err(LineError::Silent(deadline)))?;
        Ok((reply, self.clock.now() - begun))
    }

    /// Waits until the line was silent for as long as must be between two frames, and makes sure that nothing lies on
    /// it.
    async fn settle(&mut self, unit: Unit) -> Result<(), LineError> {
        let now = self.clock.now();
        self.owing.retain(|(_, until)| *until > now);
        if let Some((_, until)) = self.owing.iter().rev().find(|(owing, _)| *owing == unit) {
            // Its late reply could pass for the one to this request.
            let wait = until.since(now);
            self.discard(wait).await?;
        }
        match &self.wire {
            Wire::Socket(_) if self.framing == Framing::Tcp => {}
            // A reply that comes twice comes at once; on a socket no length of silence marks the end of a frame.
            Wire::Socket(_) => sleep(SETTLE).await,
            Wire::Serial(port) => sleep(port.silence()).await,
        }
        match self.lying()? {
            0 => Ok(()),
            // Late replies of units that were given up; none of them is the one that is asked next.
            _ if !self.owing.is_empty() => {
                self.discard(QUIET).await?;
                match self.lying()? {
                    0 => Ok(()),
                    bytes => Err(LineError::Foreign(bytes)),
                }
            }
            bytes => Err(LineError::Foreign(bytes)),
        }
    }

    /// Reads whatever comes within `time`.
    async fn discard(&mut self, time: Duration) -> Result<(), LineError> {
        let until = self.clock.now() + time;
        let mut buffer = [0; 512];
        loop {
            let left = until.since(self.clock.now());
            match timeout(left, self.read(&mut buffer)).await {
                Err(_) => return Ok(()),
                Ok(Ok(0)) => return Err(LineError::Closed),
                Ok(read) => drop(read?),
            }
        }
    }

    /// How many bytes have come that nobody read.
    fn lying(&self) -> Result<usize, LineError> {
        match &self.wire {
            Wire::Serial(port) => Ok(port.lying()?),
            Wire::Socket(stream) => {
                use rustix::net::{RecvFlags, recv};
                let mut buffer = [0; 16];
                match recv(stream, &mut buffer[..], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
                    Ok((_, 0)) => Err(LineError::Closed),
                    Ok((_, length)) => Ok(length),
                    Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => Ok(0),
                    Err(error) => Err(LineError::Io(error.into())),
                }
            }
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.wire {
            Wire::Socket(stream) => stream.write_all(bytes).await,
            Wire::Serial(port) => port.write(bytes).await,
        }
    }

    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.wire {
            Wire::Socket(stream) => stream.read(buffer).await,
            Wire::Serial(port) => port.read(buffer).await,
        }
    }
}

impl Spoilt {
    /// The line again, drained; `None` for a socket, which is closed, and for a line that is gone.
    pub async fn mend(self) -> Option<Line> {
        let Self { error, mut line } = self;
        let silence = match (&line.wire, error) {
            (Wire::Socket(_), _) | (_, LineError::Closed | LineError::Io(_)) => return None,
            (Wire::Serial(port), _) => port.silence() + QUIET,
        };
        let most = line.clock.now() + LATE;
        let mut buffer = [0; 512];
        while line.clock.now() < most {
            match timeout(silence, line.read(&mut buffer)).await {
                Err(_) => return Some(line),
                Ok(Ok(1..)) => {}
                Ok(Ok(0) | Err(_)) => return None,
            }
        }
        None
    }
}

/// How long a reply may be late on a serial line before its unit is asked again.
const LATE: Duration = Duration::from_secs(2);
/// The least silence on a line that failed before it counts as drained; beyond what the frames' own rule wants, since
/// drivers hand bytes over in bunches.
const QUIET: Duration = Duration::from_millis(50);
/// The pause before a request to a serial server.
const SETTLE: Duration = Duration::from_millis(20);
