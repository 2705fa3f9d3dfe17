//! How everything else in the program speaks to the one agent.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use wayside_core::agent::Agent;
use wayside_core::agent::io::{Lease, Refusal};
use wayside_core::query::{Answer, Query};
use wayside_core::registration::Registration;
use wayside_core::watch::{Filter, WatchEvent};
use wayside_protocols::place::Fix;
use wayside_protocols::service::ServiceId;
use wayside_protocols::time::Timestamp;

use super::edges::Tally;

/// Asks and tells the agent. Clones are cheap and speak to the same one.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) commands: mpsc::Sender<Command>,
    tally: Arc<Tally>,
}

impl Handle {
    /// How many requests wait at the most; a further one is [`Busy::Full`].
    pub const CAPACITY: usize = 256;

    pub(super) fn new(commands: mpsc::Sender<Command>, tally: Arc<Tally>) -> Self {
        Self { commands, tally }
    }

    /// What is known by the query's deadline.
    ///
    /// # Errors
    /// [`Busy`] if too many requests wait, or the agent is stopping.
    pub async fn ask(&self, query: Query) -> Result<Answer, Busy> {
        self.call(|reply| Command::Ask(Box::new(query), reply)).await.map(|answer| *answer)
    }

    /// Registers a service, or changes one: the same id replaces. When this returns, it is on disk.
    ///
    /// # Errors
    /// [`RegisterError`] if the agent is busy, or refuses it.
    pub async fn register(&self, registration: Registration) -> Result<Lease, RegisterError> {
        Ok(self.call(|reply| Command::Register(Box::new(registration), reply)).await??)
    }

    /// Renews a registration for as long as it was made for.
    ///
    /// # Errors
    /// [`RegisterError`] if the agent is busy, or does not know it.
    pub async fn renew(&self, id: ServiceId) -> Result<Lease, RegisterError> {
        Ok(self.call(|reply| Command::Renew(id, reply)).await??)
    }

    /// Withdraws a registration.
    ///
    /// # Errors
    /// [`RegisterError`] if the agent is busy, or does not know it.
    pub async fn withdraw(&self, id: ServiceId) -> Result<(), RegisterError> {
        self.call(|reply| Command::Withdraw(id, reply)).await??;
        Ok(())
    }

    /// Tells of changes from here on, beginning with the whole picture.
    ///
    /// # Errors
    /// [`WatchError`] if the agent is busy, or has as many watchers as it may.
    pub async fn watch(&self, filter: Filter) -> Result<Watching, WatchError> {
        let events = self.open(filter.clone()).await?;
        Ok(Watching { events, filter, handle: self.clone() })
    }

    /// Looks at the agent between two inputs: for listings and counters. `look` keeps everybody else waiting.
    ///
    /// # Errors
    /// [`Busy`] if too many requests wait, or the agent is stopping.
    pub async fn read<R: Send + 'static>(
        &self,
        look: impl FnOnce(&Agent, Timestamp) -> R + Send + 'static,
    ) -> Result<R, Busy> {
        self.call(|reply| {
            Command::Read(Box::new(move |agent, now| {
                // Whoever asked may have given up; then nobody wants to know.
                let _ = reply.send(look(agent, now));
            }))
        })
        .await
    }

    /// The agent stands there from now on. When this returns, it does.
    ///
    /// # Errors
    /// [`Busy`] if too many requests wait, or the agent is stopping.
    pub async fn stand(&self, fix: Fix) -> Result<(), Busy> {
        self.call(|reply| Command::Stand(fix, reply)).await
    }

    /// Replaces the services the configuration speaks of.
    ///
    /// # Errors
    /// [`Busy`] if the agent is stopping.
    pub async fn configure(&self, services: Vec<Registration>) -> Result<(), Busy> {
        self.commands.send(Command::Configure(services)).await.map_err(|_| Busy::Stopping)
    }

    /// Has the agent say goodbye everywhere and its loop end. Waits for a place in the queue, not for the end.
    pub async fn leave(&self) {
        // A closed queue means it has left already.
        let _ = self.commands.send(Command::Leave).await;
    }

    /// What the edges have counted.
    pub fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    async fn open(&self, filter: Filter) -> Result<mpsc::Receiver<WatchEvent>, WatchError> {
        self.call(|reply| Command::Watch(filter, reply)).await?
    }

    async fn call<R>(&self, command: impl FnOnce(oneshot::Sender<R>) -> Command) -> Result<R, Busy> {
        let (reply, answer) = oneshot::channel();
        self.commands.try_send(command(reply)).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => Busy::Full { limit: Self::CAPACITY },
            mpsc::error::TrySendError::Closed(_) => Busy::Stopping,
        })?;
        answer.await.map_err(|_| match self.commands.is_closed() {
            true => Busy::Stopping,
            false => Busy::Full { limit: super::WAITING },
        })
    }
}

/// An open watch. Dropping it closes it.
///
/// Events wait in a queue that holds the whole picture and 1,024 changes. Who reads slower than that hears what is in
/// the queue, then [`WatchEvent::Reset`] and the whole picture again.
#[derive(Debug)]
pub struct Watching {
    events: mpsc::Receiver<WatchEvent>,
    filter: Filter,
    handle: Handle,
}

impl Watching {
    /// The next event; `None` once the agent has stopped, or has no room left for a watcher that was too slow.
    pub async fn next(&mut self) -> Option<WatchEvent> {
        loop {
            if let Some(event) = self.events.recv().await {
                return Some(event);
            }
            self.events = self.handle.open(self.filter.clone()).await.ok()?;
        }
    }
}

/// Why a request was not even looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Busy {
    /// Too many requests wait.
    #[error("{limit} requests are waiting already; try again")]
    Full {
        /// How many may wait.
        limit: usize,
    },
    /// The agent is stopping, or has stopped.
    #[error("the agent is stopping")]
    Stopping,
}

/// Why something was not registered, renewed or withdrawn.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RegisterError {
    /// The agent did not look at it.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The agent refuses it.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// Why a watch was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// The agent did not look at it.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// There are as many as allowed.
    #[error("{limit} watchers are here already; close one, or raise limits.watchers")]
    Full {
        /// How many are allowed.
        limit: usize,
    },
}

/// Where the answer to a registration goes.
pub(super) type RegisterReply = oneshot::Sender<Result<Lease, Refusal>>;
/// Where an opened watch goes.
pub(super) type WatchReply = oneshot::Sender<Result<mpsc::Receiver<WatchEvent>, WatchError>>;

/// A look at the agent between two inputs.
pub(super) type Look = Box<dyn FnOnce(&Agent, Timestamp) + Send>;

/// One request, and where its answer goes.
pub(super) enum Command {
    Ask(Box<Query>, oneshot::Sender<Box<Answer>>),
    Register(Box<Registration>, RegisterReply),
    Renew(ServiceId, RegisterReply),
    Withdraw(ServiceId, RegisterReply),
    Watch(Filter, WatchReply),
    Read(Look),
    Stand(Fix, oneshot::Sender<()>),
    Configure(Vec<Registration>),
    Leave,
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ask(..) => "Ask",
            Self::Register(..) => "Register",
            Self::Renew(..) => "Renew",
            Self::Withdraw(..) => "Withdraw",
            Self::Watch(..) => "Watch",
            Self::Read(_) => "Read",
            Self::Stand(..) => "Stand",
            Self::Configure(_) => "Configure",
            Self::Leave => "Leave",
        })
    }
}
