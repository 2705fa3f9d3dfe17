//! Being asked to end.

use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind, signal};
use tokio::task::yield_now;

use super::exit::Failure;

/// SIGINT and SIGTERM. From [`Signals::open`] on they end nothing by themselves, and none is missed: a command that
/// leaves something behind opens them before it has.
#[derive(Debug)]
pub(super) struct Signals {
    interrupts: unix::Signal,
    ends: unix::Signal,
}

impl Signals {
    /// # Errors
    /// [`Failure::System`] if the system takes no handler.
    pub(super) fn open() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(Failure::System);
        Ok(Self { interrupts: listen(SignalKind::interrupt())?, ends: listen(SignalKind::terminate())? })
    }

    /// The next one. Dropping the future loses none.
    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupts.recv() => Signal::INT,
            _ = self.ends.recv() => Signal::TERM,
        }
    }

    /// The one that has come already, if one has.
    pub(super) async fn came(&mut self) -> Option<Signal> {
        tokio::select! {
            biased;
            signal = self.next() => Some(signal),
            // One that came together with what was waited for before is seen when the runtime has looked around again.
            () = yield_now() => None,
        }
    }
}
