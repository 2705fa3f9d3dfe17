//! What reaches the agent, and what it wants done.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use wayside_protocols::gpsd::Report;
use wayside_protocols::place::{Fix, Position};
use wayside_protocols::registry::rows::{Receipt, Rows};
use wayside_protocols::service::{AgentId, Service, ServiceId};
use wayside_protocols::sighting::{LinkId, Sighting};
use wayside_protocols::time::{Duration, UnixMillis};

use crate::catalog::Change;
pub use crate::query::Ticket;
use crate::query::{Answer, Query};
use crate::registration::{DueProbe, Registration};
use crate::registry::Footing;
use crate::upstream::{Exchange, ExchangeId, Failure, Kept};
use crate::watch::{Filter, WatchEvent};

/// Something that reaches the agent.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// A network interface is up and multicast, with these addresses and prefix lengths. Said again when they change.
    LinkUp {
        /// Which.
        link: LinkId,
        /// Its addresses with their prefix lengths; decides which senders are on-link (RFC 6762 section 11).
        addresses: Vec<(IpAddr, u8)>,
    },
    /// A network interface went away, or stopped being multicast.
    LinkDown(LinkId),
    /// A datagram arrived at port 5353.
    Datagram {
        /// On which interface.
        link: LinkId,
        /// Who sent it.
        from: SocketAddr,
        /// Whether it was sent to the multicast group (not to one of our addresses).
        multicast: bool,
        /// The DNS message.
        bytes: &'a [u8],
    },
    /// The broker acknowledged a connection.
    BrokerUp {
        /// Whether it still knew our subscriptions.
        session_present: bool,
    },
    /// The broker is gone.
    BrokerDown,
    /// So many publications wait for the broker, in a queue that counts as full with so many. Said once a second.
    Backlog {
        /// How many wait.
        waiting: usize,
        /// How many are too many.
        capacity: usize,
    },
    /// A publication arrived from the broker.
    Message {
        /// Its topic.
        topic: &'a str,
        /// What it says.
        payload: &'a [u8],
        /// Whether the broker had kept it from before we subscribed.
        retained: bool,
    },
    /// A source that reads its own bytes (a device on a bus, a registry) says something.
    Heard(Sighting),
    /// The agent's own position, as somebody says who is to be believed.
    Own(Fix),
    /// What the agent's own receiver says. A leap is believed when a second fix agrees.
    Receiver(Report),
    /// What the wall clock shows at this moment.
    Wall(UnixMillis),
    /// Somebody wants to know something.
    Ask(Ticket, Query),
    /// Somebody registers a service, or changes one: the same id replaces.
    Register(Ticket, Box<Registration>),
    /// Somebody renews a registration.
    Renew(Ticket, ServiceId),
    /// Somebody withdraws a registration.
    Withdraw(Ticket, ServiceId),
    /// A journal entry is on disk, or could not be written.
    Stored(Ticket, Result<(), Box<str>>),
    /// A health check came back with its round trip, or with what went wrong.
    Probed(ServiceId, Result<Duration, Box<str>>),
    /// Somebody wants to be told of changes from here on.
    Watch(Ticket, Filter),
    /// Nobody listens to this watch any more.
    Unwatch(Ticket),
    /// The services of the configuration are now these: new and changed ones hold from here on, the others go.
    Configured(Vec<Registration>),
    /// A registry answered an exchange, or did not.
    Told(ExchangeId, Result<&'a [u8], Failure>),
    /// A registry was reached from this address of the agent's own, not a loopback one.
    Departs(IpAddr),
    /// How this node stands with the engine behind it, if it is a registry.
    Engine(Footing),
    /// The engine took what was heard over MQTT of an agent, or did not; why, in words for people.
    TakenIn(AgentId, Result<Receipt, Box<str>>),
    /// The agent is about to stop: it says goodbye everywhere.
    Leave,
}

/// Something the agent wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send a DNS message from port 5353 to the multicast group of an interface, over IPv4 and IPv6 where it has them.
    Multicast {
        /// On which interface.
        link: LinkId,
        /// The DNS message, at most 9,000 bytes.
        bytes: Vec<u8>,
    },
    /// Publish through the broker. Only said while it is up; dropped with a count if its queue is full.
    Publish(Publication),
    /// Subscribe to these topic filters; acknowledged ones need not be remembered, the agent says all after each
    /// connection that found no session.
    Subscribe(Vec<Box<str>>),
    /// Drop these topic filters.
    Unsubscribe(Vec<Box<str>>),
    /// Go by this name at the broker from here on, in this life: end the connection once all that was said is out, and
    /// begin a new one. Without a broker, nothing is to be done.
    Rename {
        /// The new name.
        agent: AgentId,
        /// The life it is in; the will says so.
        epoch: u32,
    },
    /// Announce an instance by mDNS, or change what it says; the responder probes and repeats.
    Advertise(Box<Advert>),
    /// Say goodbye for an instance.
    Retract(ServiceId),
    /// Write to the journal, then answer with [`Input::Stored`].
    Store(Ticket, Entry),
    /// Check whether something answers, then say [`Input::Probed`].
    Probe(ServiceId, DueProbe),
    /// Ask a registry, or tell it something, then say [`Input::Told`]: within the time it allows and a second more, or
    /// it counts as failed.
    Upstream(Exchange),
    /// Write into the engine of this registry what was heard over MQTT of an agent, then say [`Input::TakenIn`].
    TakeIn(Box<Rows>),
    /// Write these last-known-good rows in the place of those before, so that they are known after a restart.
    Keep(Vec<Kept>),
    /// The answer to [`Input::Ask`].
    Answer(Ticket, Box<Answer>),
    /// The answer to [`Input::Register`], [`Input::Renew`] or [`Input::Withdraw`].
    Registered(Ticket, Result<Lease, Refusal>),
    /// Something for a watch.
    Watched(Ticket, WatchEvent),
    /// A watch was refused: there are as many as [`crate::limits::Limits::watchers`] allows.
    WatchRefused(Ticket),
    /// The catalog believes something else than before.
    Changed(Change),
    /// All goodbyes are said: the agent can stop.
    Left,
}

/// One publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Where.
    pub topic: Box<str>,
    /// What; empty withdraws a retained one.
    pub payload: Vec<u8>,
    /// Whether the broker keeps it for those who come later.
    pub retain: bool,
    /// At least once (QoS 1) rather than at most once (QoS 0).
    pub assured: bool,
    /// MQTT 5 message expiry.
    pub expiry: Option<Duration>,
}

/// What the responder announces on every link.
#[derive(Clone, Debug, PartialEq)]
pub struct Advert {
    /// Under which id it is retracted.
    pub id: ServiceId,
    /// Instance name, lower case, at most 63 bytes.
    pub instance: Box<str>,
    /// DNS-SD type, e.g. `_wayside._tcp`.
    pub service_type: Box<str>,
    /// Port for the SRV record.
    pub port: u16,
    /// The address for its A/AAAA record, if not this host's own.
    pub address: Option<IpAddr>,
    /// TXT pairs.
    pub txt: Vec<(Box<str>, Box<str>)>,
}

/// What the journal keeps: enough to vouch for the same services after a crash.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// This registration holds.
    Registered(Box<Registration>),
    /// This one does no longer.
    Withdrawn(ServiceId),
}

/// A registration that is on disk.
#[derive(Clone, Debug, PartialEq)]
pub struct Lease {
    /// What was registered.
    pub service: Arc<Service>,
    /// How long it holds from now on unless renewed.
    pub ttl: Duration,
}

/// Why a registration is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// No registration of this agent has that id.
    #[error("no registration {0}")]
    Unknown(ServiceId),
    /// It is written in the configuration and can only be changed there.
    #[error("{0} is written in the configuration; change it there")]
    Configured(ServiceId),
    /// There are as many as allowed.
    #[error("{limit} registrations are here already; withdraw one, or raise limits.registrations")]
    Full {
        /// How many are allowed.
        limit: usize,
    },
    /// The lease is outside what is allowed.
    #[error("ttl_s {given} is outside 1 to 86400")]
    Lease {
        /// What was asked for, seconds.
        given: u64,
    },
    /// It carries too much.
    #[error("service carries {given} bytes of text, more than limits.service_bytes = {limit}")]
    TooLarge {
        /// What it carries.
        given: usize,
        /// What it may carry.
        limit: usize,
    },
    /// Its health check has nowhere to go.
    #[error("{0} has a health check but no IP address and port to check")]
    Unprobeable(ServiceId),
    /// The state directory does not take it.
    #[error("cannot be kept on disk: {0}")]
    Disk(Box<str>),
}

/// What is true of an agent from its start to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Its id, alone on broker and link.
    pub id: AgentId,
    /// What it is; own services are offered by a thing of this kind.
    pub kind: wayside_protocols::service::Kind,
    /// Program version, told in presence and TXT.
    pub version: &'static str,
    /// How often this agent has started, as the state directory remembers it; rises with every start.
    pub epoch: u32,
    /// The one source of randomness: same seed, same run.
    pub seed: u64,
    /// Where it stands, if that is written down, and how sure that is (one sigma, metres).
    pub position: Option<(Position, f32)>,
    /// Own services from the configuration.
    pub services: Vec<Registration>,
    /// Own services from the journal.
    pub restored: Vec<Registration>,
    /// Whether mDNS is on.
    pub mdns: bool,
    /// DNS-SD types to browse, e.g. `_http._tcp`; `*` for all that are advertised.
    pub browse: Vec<Box<str>>,
    /// Whether translated devices are announced, by mDNS and MQTT, at most [`MOST_ANNOUNCED`] of them.
    pub announce_devices: bool,
    /// `http` or `https` if the API describes devices as Things, which is told by mDNS where neighbours can reach it.
    pub things: Option<&'static str>,
    /// Port of the API, told in TXT `api`; `None` if neighbours cannot reach it.
    pub api_port: Option<u16>,
    /// How often this agent takes a new name on the air; `None` keeps its own.
    pub rotate: Option<Duration>,
    /// Whether every change of the catalog is said as [`Output::Changed`].
    pub events: bool,
    /// Whom to ask and tell beyond the neighbourhood.
    pub upstream: crate::upstream::Settings,
    /// What an earlier run kept of what upstreams told.
    pub kept: Vec<Kept>,
    /// Every cap.
    pub limits: crate::limits::Limits,
}

/// Translated devices that are announced at the most, by their ids; further ones are known to those who ask here.
pub const MOST_ANNOUNCED: usize = 64;
