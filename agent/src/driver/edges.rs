//! What the driver and the tasks at the edge hand each other. Every queue here is bounded.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;
use wayside_core::agent::io::{Advert, Entry, Input, Publication, Ticket};
use wayside_core::catalog::Change;
use wayside_core::registration::DueProbe;
use wayside_core::registry::Footing;
use wayside_core::upstream::{Exchange, ExchangeId, Failure, Kept};
use wayside_protocols::gpsd::Report;
use wayside_protocols::registry::rows::{Receipt, Rows};
use wayside_protocols::service::{AgentId, ServiceId};
use wayside_protocols::sighting::{LinkId, Sighting};
use wayside_protocols::time::Duration;

use crate::count::AtomicU64;

/// Something an edge tells the agent: [`Input`] as it can wait in a queue.
#[derive(Clone, Debug)]
pub enum Message {
    /// An interface is up, or has other addresses.
    LinkUp {
        /// Which.
        link: LinkId,
        /// Its addresses with their prefix lengths.
        addresses: Vec<(IpAddr, u8)>,
    },
    /// An interface is gone.
    LinkDown(LinkId),
    /// A datagram arrived at port 5353.
    Datagram {
        /// On which interface.
        link: LinkId,
        /// Who sent it.
        from: SocketAddr,
        /// Whether it was sent to the group.
        multicast: bool,
        /// The DNS message.
        bytes: Vec<u8>,
    },
    /// The broker acknowledged a connection.
    BrokerUp {
        /// Whether it still knew our subscriptions.
        session_present: bool,
    },
    /// The broker is gone.
    BrokerDown,
    /// A publication arrived.
    Published {
        /// Its topic.
        topic: Box<str>,
        /// What it says.
        payload: Vec<u8>,
        /// Whether the broker had kept it.
        retained: bool,
    },
    /// A source that reads its own bytes says something.
    Heard(Sighting),
    /// What the agent's own receiver says.
    Receiver(Report),
    /// A journal entry is on disk, or not.
    Stored(Ticket, Result<(), Box<str>>),
    /// A health check came back.
    Probed(ServiceId, Result<Duration, Box<str>>),
    /// An exchange with a registry came to its end.
    Told(ExchangeId, Result<Vec<u8>, Failure>),
    /// A registry was reached from this address.
    Departs(IpAddr),
    /// How this node stands with its engine.
    Engine(Footing),
    /// The engine took what was heard of an agent, or did not.
    TakenIn(AgentId, Result<Receipt, Box<str>>),
}

impl Message {
    /// Lends it to `heard` in the core's words.
    pub(super) fn lend<R>(self, heard: impl FnOnce(Input<'_>) -> R) -> R {
        match self {
            Self::LinkUp { link, addresses } => heard(Input::LinkUp { link, addresses }),
            Self::LinkDown(link) => heard(Input::LinkDown(link)),
            Self::Datagram { link, from, multicast, bytes } => {
                heard(Input::Datagram { link, from, multicast, bytes: &bytes })
            }
            Self::BrokerUp { session_present } => heard(Input::BrokerUp { session_present }),
            Self::BrokerDown => heard(Input::BrokerDown),
            Self::Published { topic, payload, retained } => {
                heard(Input::Message { topic: &topic, payload: &payload, retained })
            }
            Self::Heard(sighting) => heard(Input::Heard(sighting)),
            Self::Receiver(report) => heard(Input::Receiver(report)),
            Self::Stored(ticket, result) => heard(Input::Stored(ticket, result)),
            Self::Probed(id, result) => heard(Input::Probed(id, result)),
            Self::Told(id, Ok(body)) => heard(Input::Told(id, Ok(&body))),
            Self::Told(id, Err(failure)) => heard(Input::Told(id, Err(failure))),
            Self::Departs(address) => heard(Input::Departs(address)),
            Self::Engine(footing) => heard(Input::Engine(footing)),
            Self::TakenIn(agent, result) => heard(Input::TakenIn(agent, result)),
        }
    }
}

/// The agent's letter box, for the tasks at the edge. Holds [`Inbox::CAPACITY`] messages.
#[derive(Clone, Debug)]
pub struct Inbox {
    sender: mpsc::Sender<Message>,
    tally: Arc<Tally>,
}

impl Inbox {
    /// How many messages wait at the most.
    pub const CAPACITY: usize = 1_024;

    pub(super) fn new(sender: mpsc::Sender<Message>, tally: Arc<Tally>) -> Self {
        Self { sender, tally }
    }

    /// Puts a datagram in, or drops and counts it if the box is full: the link would have lost it as well.
    pub fn offer(&self, datagram: Message) {
        if self.sender.try_send(datagram).is_err() {
            Tally::add(&self.tally.datagrams_dropped);
        }
    }

    /// Puts a message in, waiting for room. False once the agent has stopped.
    pub async fn tell(&self, message: Message) -> bool {
        self.sender.send(message).await.is_ok()
    }

    /// Ends once the agent has stopped, for those who may have nothing to tell for long.
    pub async fn closed(&self) {
        self.sender.closed().await;
    }

    /// Where the edges count.
    pub fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }
}

/// What the broker task is asked to do.
#[derive(Clone, Debug, PartialEq)]
pub enum BrokerOrder {
    /// Publish.
    Publish(Publication),
    /// Subscribe to these filters.
    Subscribe(Vec<Box<str>>),
    /// Drop these filters.
    Unsubscribe(Vec<Box<str>>),
    /// Say what waits, end the connection, and go by this name, in this life.
    Rename(AgentId, u32),
    /// Tell whoever listens to this agent's event topic.
    Event(Change),
}

/// What the responder task is asked to do.
#[derive(Clone, Debug, PartialEq)]
pub enum ResponderOrder {
    /// Announce an instance, or change what it says.
    Advertise(Box<Advert>),
    /// Say goodbye for it.
    Retract(ServiceId),
}

/// A datagram to multicast on a link.
pub type Datagram = (LinkId, Vec<u8>);

/// Where the agent's orders go. An edge that is not there is `None`; orders for it are dropped in silence.
///
/// No order ever waits: on a full queue it is dropped and counted, so the loop cannot lock up with an edge.
#[derive(Debug, Default)]
pub struct Edges {
    /// Multicast datagrams.
    pub link: Option<mpsc::Sender<Datagram>>,
    /// Publications and subscriptions. If one that must not be lost is dropped, the agent is told that the broker has
    /// no session once the queue is empty again, and says everything anew.
    pub broker: Option<mpsc::Sender<BrokerOrder>>,
    /// Whether changes are told on the event topic.
    pub events: bool,
    /// Instances to announce.
    pub responder: Option<mpsc::Sender<ResponderOrder>>,
    /// Registrations to write down. `None`: nothing is durable, every entry counts as written; for demonstrations. On a
    /// full queue the entry counts as not written, and the registration is refused.
    pub journal: Option<mpsc::Sender<(Ticket, Entry)>>,
    /// Health checks to make. On a full queue the check counts as failed.
    pub probes: Option<mpsc::Sender<(ServiceId, DueProbe)>>,
    /// Exchanges with registries. On a full queue the exchange counts as failed.
    pub upstream: Option<mpsc::Sender<Exchange>>,
    /// What the engine of this registry is to be told. On a full queue it counts as not taken.
    pub intake: Option<mpsc::Sender<Rows>>,
    /// Rows to keep over a restart. On a full queue they are not kept this time.
    pub keep: Option<mpsc::Sender<Vec<Kept>>>,
}

/// What the edges count, since the start.
#[derive(Debug, Default)]
pub struct Tally {
    /// Datagrams from port 5353 dropped because the inbox was full.
    pub datagrams_dropped: AtomicU64,
    /// Datagrams to the link dropped because its queue was full.
    pub multicasts_dropped: AtomicU64,
    /// Datagrams that could not be sent: interface gone, network unreachable.
    pub multicasts_failed: AtomicU64,
    /// Orders for the broker dropped because its queue was full.
    pub broker_orders_dropped: AtomicU64,
    /// Connections the broker acknowledged.
    pub broker_connections: AtomicU64,
    /// Connections to the broker that failed or broke.
    pub broker_failures: AtomicU64,
    /// Queries by MQTT refused because too many were being answered, or without a response topic.
    pub broker_queries_refused: AtomicU64,
    /// Orders for the responder dropped because its queue was full.
    pub adverts_dropped: AtomicU64,
    /// Times the responder was rebuilt because it died or kept too many records.
    pub responder_rebuilds: AtomicU64,
    /// Journal entries refused because its queue was full.
    pub entries_refused: AtomicU64,
    /// Health checks not made because their queue was full.
    pub probes_dropped: AtomicU64,
    /// Exchanges with registries not made because their queue was full.
    pub exchanges_dropped: AtomicU64,
    /// Messages for the engine not written because its queue was full.
    pub intakes_dropped: AtomicU64,
    /// Times rows were not kept over a restart because the last ones were still being written.
    pub keeps_dropped: AtomicU64,
    /// Connections that gpsd took.
    pub gnss_connections: AtomicU64,
    /// Connections to gpsd that failed or broke.
    pub gnss_failures: AtomicU64,
    /// Lines from gpsd that are longer than any it writes.
    pub gnss_refused_too_long: AtomicU64,
    /// Lines from gpsd that are no JSON.
    pub gnss_refused_not_json: AtomicU64,
    /// Objects from gpsd that have no class.
    pub gnss_refused_no_class: AtomicU64,
    /// Errors that gpsd answered with.
    pub gnss_refused_by_gpsd: AtomicU64,
    /// Fixes at exactly 0 N 0 E.
    pub gnss_refused_null_island: AtomicU64,
    /// Fixes with a number that cannot be.
    pub gnss_refused_out_of_range: AtomicU64,
    /// Spans that a collector took.
    pub otlp_spans_sent: AtomicU64,
    /// Spans dropped because too many waited, or because the collector did not take them.
    pub otlp_spans_dropped: AtomicU64,
    /// Requests that a collector did not take.
    pub otlp_failures: AtomicU64,
    /// Watchers that read too slowly and were given the whole picture again.
    pub watchers_outrun: AtomicU64,
}

impl Tally {
    /// Counts one.
    pub fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Every count under its name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            ("datagrams_dropped", &self.datagrams_dropped),
            ("multicasts_dropped", &self.multicasts_dropped),
            ("multicasts_failed", &self.multicasts_failed),
            ("broker_orders_dropped", &self.broker_orders_dropped),
            ("broker_connections", &self.broker_connections),
            ("broker_failures", &self.broker_failures),
            ("broker_queries_refused", &self.broker_queries_refused),
            ("adverts_dropped", &self.adverts_dropped),
            ("responder_rebuilds", &self.responder_rebuilds),
            ("entries_refused", &self.entries_refused),
            ("probes_dropped", &self.probes_dropped),
            ("exchanges_dropped", &self.exchanges_dropped),
            ("intakes_dropped", &self.intakes_dropped),
            ("keeps_dropped", &self.keeps_dropped),
            ("gnss_connections", &self.gnss_connections),
            ("gnss_failures", &self.gnss_failures),
            ("gnss_refused_too_long", &self.gnss_refused_too_long),
            ("gnss_refused_not_json", &self.gnss_refused_not_json),
            ("gnss_refused_no_class", &self.gnss_refused_no_class),
            ("gnss_refused_by_gpsd", &self.gnss_refused_by_gpsd),
            ("gnss_refused_null_island", &self.gnss_refused_null_island),
            ("gnss_refused_out_of_range", &self.gnss_refused_out_of_range),
            ("otlp_spans_sent", &self.otlp_spans_sent),
            ("otlp_spans_dropped", &self.otlp_spans_dropped),
            ("otlp_failures", &self.otlp_failures),
            ("watchers_outrun", &self.watchers_outrun),
        ]
        .into_iter()
        .map(|(name, count)| (name, count.load(Ordering::Relaxed)))
    }
}
