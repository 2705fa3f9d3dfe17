//! What keeps the records of a registry. The node owns none of them: what agents tell goes to the engine, and what the
//! node answers from it was told by the engine.

mod base64;
mod etcd;
pub mod intake;
mod memory;
#[cfg(feature = "nats")]
mod nats;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hyper::Uri;
use tokio::sync::{mpsc, oneshot};
use wayside_core::registry::Footing;
use wayside_protocols::registry::rows::{Receipt, Rows};
use wayside_protocols::service::{AgentId, Label};

use crate::clock::Clock;
use crate::config::{Engine, Registry};
use crate::driver::{Inbox, Message};
use crate::io::web::Connector;

/// What a key of an engine is about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum About {
    /// An agent itself.
    Agent(AgentId),
    /// One thing it offers.
    Row(AgentId, Label),
}

/// Takes what agents tell a registry. Clones are cheap and speak to the same engine.
#[derive(Clone, Debug)]
pub struct Desk {
    orders: mpsc::Sender<Order>,
    ready: Arc<AtomicBool>,
    engine: &'static str,
}

/// Something an agent tells, and where the receipt goes.
#[derive(Debug)]
pub(crate) struct Order {
    rows: Rows,
    receipt: oneshot::Sender<Result<Receipt, Refused>>,
}

/// Why an engine does not take what an agent tells.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It has too much to do, or has stopped.
    #[error("{0} messages wait for the engine already")]
    Busy(usize),
    /// There are as many agents as it holds.
    #[error("{0} agents are here already")]
    Full(usize),
    /// The agent has said something in a later life.
    #[error(
        "epoch {given} is over: the agent has said something in epoch {known}; if two agents bear this id, give one another"
    )]
    Former {
        /// In which it speaks.
        given: u32,
        /// In which it has spoken.
        known: u32,
    },
    /// The engine cannot be reached, or does not take it.
    #[error("the engine does not take it: {0}")]
    Engine(String),
}

impl Desk {
    /// What an agent says. When this returns, the engine has it.
    ///
    /// # Errors
    /// [`Refused`]; then nobody knows how much of it the engine has.
    pub async fn tell(&self, rows: Rows) -> Result<Receipt, Refused> {
        let (receipt, answer) = oneshot::channel();
        self.orders.try_send(Order { rows, receipt }).map_err(|_| Refused::Busy(ORDERS))?;
        answer.await.unwrap_or(Err(Refused::Busy(ORDERS)))
    }

    /// Whether the node knows what the engine knows, so that "there is none" is no guess.
    pub fn ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// What keeps the records.
    pub fn engine(&self) -> &'static str {
        self.engine
    }
}

/// Starts the engine that `registry` names; `work` runs it.
pub fn start(
    registry: &Registry,
    inbox: Inbox,
    clock: Clock,
    seed: u64,
) -> (Desk, impl Future<Output = ()> + Send + use<>) {
    let (orders, taken) = mpsc::channel(ORDERS);
    let ready = Arc::new(AtomicBool::new(false));
    let engine = match registry.engine {
        Engine::Memory => "memory",
        Engine::Etcd { .. } => "etcd",
        #[cfg(feature = "nats")]
        Engine::Nats { .. } => "nats",
    };
    let desk = Desk { orders, ready: Arc::clone(&ready), engine };
    let node = Node { inbox, ready, clock, seed };
    let registry = registry.clone();
    let work = async move {
        match registry.engine {
            Engine::Memory => memory::run(taken, node).await,
            Engine::Etcd { ref endpoints } => {
                let connector = connector(&registry, endpoints);
                etcd::run((endpoints.clone(), connector), registry.prefix, taken, node).await;
            }
            #[cfg(feature = "nats")]
            Engine::Nats { ref endpoints } => {
                let access = nats::Access { tls: nats_tls(&registry, endpoints), login: registry.login.clone() };
                nats::run(endpoints.clone(), access, registry.prefix, taken, node).await;
            }
        }
    };
    (desk, work)
}

/// Opens connections to an engine over HTTP, with TLS if one of its URLs wants it. What is wrong with the files is said, and
/// the engine then cannot be reached.
#[cfg(feature = "tls")]
fn connector(registry: &Registry, endpoints: &[Uri]) -> Connector {
    secure(registry, endpoints, "https").map(Connector::secure).unwrap_or_default()
}

#[cfg(not(feature = "tls"))]
fn connector(_: &Registry, _: &[Uri]) -> Connector {
    Connector::default()
}

#[cfg(all(feature = "nats", feature = "tls"))]
fn nats_tls(registry: &Registry, endpoints: &[Uri]) -> nats::Tls {
    secure(registry, endpoints, "tls")
}

#[cfg(all(feature = "nats", not(feature = "tls")))]
fn nats_tls(_: &Registry, _: &[Uri]) -> nats::Tls {
    None
}

#[cfg(feature = "tls")]
fn secure(registry: &Registry, endpoints: &[Uri], scheme: &str) -> Option<Arc<rustls::ClientConfig>> {
    let wanted = endpoints.iter().any(|url| url.scheme_str() == Some(scheme));
    let files = super::tls::Files { ca: registry.ca_file.clone(), identity: registry.identity.clone() };
    let loaded = wanted.then(|| files.load())?;
    loaded.inspect_err(|error| tracing::error!("the engine cannot be spoken to: {}", error.told())).ok()
}

/// The node that an engine works for.
#[derive(Debug)]
struct Node {
    inbox: Inbox,
    ready: Arc<AtomicBool>,
    clock: Clock,
    seed: u64,
}

impl Node {
    /// Says how the node stands. False once the agent has stopped.
    async fn stands(&self, footing: Footing) -> bool {
        // One that was ready stays so: what it holds is told as stale once it cannot be known any more.
        if footing == Footing::Following {
            self.ready.store(true, Ordering::Relaxed);
        }
        self.inbox.tell(Message::Engine(footing)).await
    }
}

/// Messages that wait for the engine; a further one is refused.
const ORDERS: usize = 1_024;
