//! HTTP for programs on this host: what is near, and what this agent vouches for.
//!
//! The only place that knows HTTP. Wire shapes are their own types; `openapi.json` describes them, and a test holds it
//! and the routes together.

pub mod devices;
pub mod envoy;
mod export;
mod fields;
mod health;
mod host;
pub mod json;
mod listen;
mod metrics;
#[cfg(feature = "otlp")]
pub(crate) mod otlp;
mod page;
mod position;
mod problem;
mod query;
mod registration;
mod registry;
mod routes;
mod serve;
#[cfg(test)]
pub(crate) mod stage;
mod stall;
mod surveys;
mod text;
mod things;
mod watch;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use wayside_protocols::service::{AgentId, Kind};
use wayside_protocols::time::Duration;

use crate::clock::Clock;
use crate::count::AtomicU64;
use crate::driver::{Busy, Handle, RegisterError, WatchError};
use crate::field::Field;
use crate::io::engine::Desk;
use crate::journal::JournalTally;
use wayside_core::agent::io::Refusal;
use wayside_core::query::{Answer, Query};

pub use listen::{BindError, Listen, ListenError};
pub use problem::Problem;
pub use serve::{Server, Tls};

/// What the API needs to know of the agent it speaks for.
#[derive(Clone, Debug)]
pub struct Options {
    /// The agent's id.
    pub agent: AgentId,
    /// What the agent is.
    pub kind: Kind,
    /// How often it has started.
    pub epoch: u32,
    /// If set, each request must carry `Authorization: Bearer` with it.
    pub token: Option<Box<str>>,
    /// The program's clock; only what the wall clock shows is told.
    pub clock: Clock,
    /// Where the journal counts, if there is one.
    pub journal: Option<Arc<JournalTally>>,
    /// Every cap.
    pub caps: Caps,
    /// Who says where the agent stands.
    pub positioned: Positioned,
    /// `http` or `https` where it listens on TCP, so that its own address can be told.
    pub scheme: Option<&'static str>,
    /// Who is asked about devices, if any segment is configured.
    pub field: Option<Field>,
    /// Where agents are told of what they offer, if this is a registry.
    pub registry: Option<Desk>,
    /// Who records what is asked, if anybody.
    #[cfg(feature = "otlp")]
    pub recorder: Option<crate::trace::Recorder>,
}

/// Who says where the agent stands. There is one who does: two would pull it to and fro.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Positioned {
    /// The configuration, once and for all.
    Config,
    /// Its own receiver, through the gpsd at this address.
    Gpsd(Box<str>),
    /// Whoever calls `PUT /v1/position`.
    Api,
}

/// How much the API takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Connections at once, watches not counted (they have their own cap, `limits.watchers`). A further one gets
    /// status 503 at once and is closed.
    pub connections: usize,
    /// Bytes of a request body; a longer one gets status 413.
    pub body_bytes: usize,
    /// Bytes of a request head, at least 8,192; a longer one gets status 431.
    pub head_bytes: usize,
    /// Bytes of a request target; a longer one gets status 414.
    pub target_bytes: usize,
    /// How long a request head may take to arrive, and how long a connection may idle; then it is closed.
    pub head_time: Duration,
    /// How long a body may take to arrive; then status 408.
    pub body_time: Duration,
    /// How long a reader may take no bytes at all; then the connection is closed.
    pub stall_time: Duration,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            connections: 64,
            body_bytes: 64 * 1_024,
            head_bytes: 16 * 1_024,
            target_bytes: 2_048,
            head_time: Duration::from_secs(5),
            body_time: Duration::from_secs(10),
            stall_time: Duration::from_secs(30),
        }
    }
}

/// The API of one agent. Clones are cheap and speak to the same agent.
#[derive(Clone, Debug)]
pub struct Api {
    handle: Handle,
    options: Arc<Options>,
    tally: Arc<ApiTally>,
}

impl Api {
    /// An API that asks `handle`.
    pub fn new(handle: Handle, options: Options) -> Self {
        Self { handle, options: Arc::new(options), tally: Arc::default() }
    }

    /// The agent's id.
    pub fn agent(&self) -> &AgentId {
        &self.options.agent
    }
}

/// Answers a question in JSON as `POST /v1/discovery/services` does, for those who ask by other means than HTTP: the
/// answer, or the problem.
pub async fn answer_bytes(handle: &Handle, question: &[u8]) -> Vec<u8> {
    let answered = match query::read(question) {
        Ok(query) => answer(handle, query).await,
        Err(problem) => Err(problem),
    };
    answered.map_or_else(|problem| problem.to_json(), |answer| json::answer(&answer))
}

async fn answer(handle: &Handle, query: Query) -> Result<Answer, Problem> {
    // What this agent knows it says at once; so late is only one that has too much to do.
    let late = |deadline: Duration| {
        let detail =
            format!("the agent had no time for the question within its deadline of {} ms", deadline.as_millis());
        Problem::new(&problem::LATE, detail).about("deadline", deadline.as_millis() as u64)
    };
    match query.deadline {
        None => Ok(handle.ask(query).await?),
        Some(deadline) => {
            let answer = tokio::time::timeout(deadline, handle.ask(query)).await.map_err(|_| late(deadline))?;
            Ok(answer?)
        }
    }
}

/// What the API counts, since the start.
#[derive(Debug, Default)]
struct ApiTally {
    requests: AtomicU64,
    refused: AtomicU64,
    connections: AtomicU64,
    turned_away: AtomicU64,
    /// Serial numbers of the ids made for registrations that bring none.
    made: AtomicU64,
    /// How long questions took.
    took: metrics::Took,
}

impl ApiTally {
    fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            ("api_requests", &self.requests),
            ("api_problems", &self.refused),
            ("api_connections", &self.connections),
            ("api_connections_turned_away", &self.turned_away),
        ]
        .into_iter()
        .map(|(name, count)| (name, count.load(Ordering::Relaxed)))
    }
}

impl From<Busy> for Problem {
    fn from(busy: Busy) -> Self {
        Self::new(&problem::BUSY, busy.to_string())
    }
}

impl From<WatchError> for Problem {
    fn from(error: WatchError) -> Self {
        let told = error.to_string();
        match error {
            WatchError::Busy(busy) => busy.into(),
            WatchError::Full { limit } => Self::new(&problem::FULL, told).limit(format!("limits.watchers = {limit}")),
        }
    }
}

impl From<RegisterError> for Problem {
    fn from(error: RegisterError) -> Self {
        let told = error.to_string();
        match error {
            RegisterError::Busy(busy) => busy.into(),
            RegisterError::Refused(refusal) => match refusal {
                Refusal::Unknown(id) => Self::new(&problem::UNKNOWN_SERVICE, told).about("id", id.as_str()),
                Refusal::Configured(id) => Self::new(&problem::CONFIGURED, told).about("id", id.as_str()),
                Refusal::Full { limit } => {
                    Self::new(&problem::FULL, told).limit(format!("limits.registrations = {limit}"))
                }
                Refusal::Lease { given } => Self::new(&problem::INVALID_FIELD, told)
                    .about("service_info.ttl_s", given)
                    .limit("a whole number from 1 to 86400"),
                Refusal::TooLarge { given, limit } => Self::new(&problem::BODY_LARGE, told)
                    .about("service_info", given)
                    .limit(format!("limits.service_bytes = {limit}")),
                Refusal::Unprobeable(_) => Self::new(&problem::INVALID_FIELD, told)
                    .about("service_info.address", serde_json::Value::Null)
                    .limit("an IP address, for a health check of kind tcp or http"),
                Refusal::Disk(_) => Self::new(&problem::DISK, told),
            },
        }
    }
}
