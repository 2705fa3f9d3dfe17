//! One host: an agent, or none at the moment, with what outlives it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use wayside_core::agent::Agent;
use wayside_core::agent::io::{Lease, Publication, Refusal, Settings, Ticket};
use wayside_core::query::Answer;
use wayside_core::registration::Registration;
use wayside_protocols::mqtt::presence::Presence;
use wayside_protocols::mqtt::topic::Topic;
use wayside_protocols::service::{AgentId, ServiceId};
use wayside_protocols::sighting::LinkId;
use wayside_protocols::time::{Timestamp, UnixMillis};

use super::responder::Responder;
use super::{BrokerNo, LinkNo};

/// A host with its agent.
#[derive(Debug)]
pub(super) struct Host {
    name: String,
    /// What the next agent here starts with, but for the epoch and the journal.
    pub(super) settings: Settings,
    /// `None` while it does not run.
    pub(super) agent: Option<Agent>,
    /// Which process it is: what was planned for an earlier one is void.
    pub(super) life: u32,
    pub(super) asleep: bool,
    /// What is on disk.
    pub(super) journal: BTreeMap<ServiceId, Registration>,
    pub(super) responder: Responder,
    pub(super) speaks: Option<Timestamp>,
    pub(super) interfaces: Vec<Interface>,
    pub(super) broker: Option<BrokerNo>,
    pub(super) connection: u32,
    /// The name it goes by and the life it is in, if not its own.
    pub(super) on_air: Option<(AgentId, u32)>,
    /// Whether the agent believes that it is connected.
    pub(super) connected: bool,
    /// Whether the way to the broker is cut.
    pub(super) cut: bool,
    /// What its wall clock showed at the start of the world.
    pub(super) wall: UnixMillis,
    pub(super) armed: Option<(Timestamp, u64)>,
    /// Timeouts handled at one and the same moment.
    pub(super) spins: (Timestamp, u32),
    /// What the agent has said that it knows.
    pub(super) told: BTreeSet<ServiceId>,
    pub(super) tickets: u64,
    pub(super) answers: BTreeMap<Ticket, Answer>,
    pub(super) leases: BTreeMap<Ticket, Result<Lease, Refusal>>,
}

/// One interface of a host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interface {
    pub(super) id: LinkId,
    pub(super) link: LinkNo,
    pub(super) address: Ipv4Addr,
}

impl Host {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            name: format!("{}.local", settings.id),
            settings,
            agent: None,
            life: 0,
            asleep: false,
            journal: BTreeMap::new(),
            responder: Responder::default(),
            speaks: None,
            interfaces: Vec::new(),
            broker: None,
            connection: 0,
            on_air: None,
            connected: false,
            cut: false,
            wall: SET,
            armed: None,
            spins: (Timestamp::START, 0),
            told: BTreeSet::new(),
            tickets: 0,
            answers: BTreeMap::new(),
            leases: BTreeMap::new(),
        }
    }

    /// Whether an agent runs here and hears anything.
    pub(super) fn awake(&self) -> bool {
        self.agent.is_some() && !self.asleep
    }

    /// Whether it hears what comes over this connection to its broker.
    pub(super) fn online(&self, connection: u32) -> bool {
        self.awake() && self.connected && self.connection == connection && !self.cut
    }

    pub(super) fn interface_on(&self, link: LinkNo) -> Option<Interface> {
        self.interfaces.iter().copied().find(|interface| interface.link == link)
    }

    /// The name in its SRV records.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn addresses(&self) -> Vec<(LinkId, IpAddr)> {
        self.interfaces.iter().map(|interface| (interface.id, interface.address.into())).collect()
    }

    /// Its will, as the shell leaves it with the broker.
    pub(super) fn will(&self) -> Publication {
        let (agent, epoch) = self.on_air.clone().unwrap_or_else(|| (self.settings.id.clone(), self.settings.epoch));
        Publication {
            topic: Topic::Presence(agent).to_string().into(),
            payload: Presence::will(epoch).encode(),
            retain: true,
            assured: true,
            expiry: None,
        }
    }

    pub(super) fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }
}

impl Interface {
    /// Where its datagrams come from.
    pub(super) fn source(&self) -> SocketAddr {
        SocketAddr::new(self.address.into(), 5353)
    }
}

/// 2026-01-01 00:00 UTC.
const SET: UnixMillis = UnixMillis(1_767_225_600_000);
