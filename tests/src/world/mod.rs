//! A world of many agents without a socket or a clock: links, brokers, and everything that goes wrong with them.
//!
//! A link is a broadcast domain with loss, delay and members; a broker is what MQTT 5 says it is, without the bytes;
//! responders and journals are models of what the shell has around the agent. The world pops the next event, hands it
//! to one agent, carries out what the agent wants done and sets its timeout. There is one source of randomness: the
//! same seed is the same run, to the byte. After each step the laws that can be code are checked.

mod agenda;
mod broker;
mod carry;
mod deliver;
mod dns;
mod fate;
mod host;
mod responder;
mod trace;
mod truth;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use wayside_core::agent::Agent;
use wayside_core::agent::io::{Input, Lease, Refusal, Settings, Ticket};
use wayside_core::limits::Limits;
use wayside_core::query::{Answer, Query};
use wayside_core::registration::Registration;
use wayside_protocols::place::{Fix, Position};
use wayside_protocols::service::{Kind, Service, ServiceId};
use wayside_protocols::sighting::LinkId;
use wayside_protocols::time::{Duration, Timestamp};

use agenda::Agenda;
use broker::Broker;
use host::{Host, Interface};

pub use broker::Memory;
pub use trace::{Tally, Trace};
pub use truth::Believes;

/// A host of the world, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostNo(pub usize);
/// A link of the world, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkNo(pub usize);
/// A broker of the world, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BrokerNo(pub usize);

/// Agents, what lies between them, and what is going to happen.
#[derive(Debug)]
pub struct World {
    seed: u64,
    now: Timestamp,
    rng: ChaCha8Rng,
    agenda: Agenda,
    hosts: Vec<Host>,
    links: Vec<Link>,
    brokers: Vec<Broker>,
    trace: Trace,
    tally: Tally,
}

/// A broadcast domain.
#[derive(Debug)]
struct Link {
    /// The share of datagrams that one member does not hear, 0 to 1.
    loss: f64,
    /// From sender to everybody.
    delay: Duration,
    /// On which side of a partition each member is.
    members: BTreeMap<HostNo, u8>,
}

impl World {
    /// An empty world. Says its seed, so that a run that fails can be repeated.
    pub fn new(seed: u64) -> Self {
        eprintln!("world: seed {seed}");
        Self {
            seed,
            now: Timestamp::START,
            rng: ChaCha8Rng::seed_from_u64(seed),
            agenda: Agenda::default(),
            hosts: Vec::new(),
            links: Vec::new(),
            brokers: Vec::new(),
            trace: Trace::default(),
            tally: Tally::default(),
        }
    }

    /// A link on which each member misses a share of `loss` (0 to 1) of all datagrams.
    pub fn link(&mut self, loss: f64) -> LinkNo {
        self.links.push(Link { loss, delay: Duration::from_millis(1), members: BTreeMap::new() });
        LinkNo(self.links.len() - 1)
    }

    /// A broker that runs.
    pub fn broker(&mut self) -> BrokerNo {
        self.brokers.push(Broker::running());
        BrokerNo(self.brokers.len() - 1)
    }

    /// From here on each client of `broker` misses a share of `loss` (0 to 1) of what is sent at most once.
    pub fn make_lossy(&mut self, broker: BrokerNo, loss: f64) {
        self.brokers[broker.0].loss = loss;
    }

    /// A host for an agent `id`, which does not run yet.
    pub fn host(&mut self, id: &str, kind: Kind, position: Option<Position>) -> HostNo {
        let settings = Settings {
            id: id.parse().expect("an agent id"),
            kind,
            version: "sim",
            epoch: 0,
            seed: self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.hosts.len() as u64,
            position: position.map(|position| (position, kind.usual_accuracy())),
            services: Vec::new(),
            restored: Vec::new(),
            mdns: false,
            browse: vec!["_wayside._tcp".into()],
            announce_devices: false,
            things: None,
            api_port: Some(7_878),
            rotate: None,
            events: true,
            upstream: Default::default(),
            kept: Vec::new(),
            limits: Limits::default(),
        };
        self.hosts.push(Host::new(settings));
        HostNo(self.hosts.len() - 1)
    }

    /// What the agent on `host` starts with, from its next start on.
    pub fn settings(&mut self, host: HostNo) -> &mut Settings {
        &mut self.hosts[host.0].settings
    }

    /// Writes a service into the configuration of `host`, from its next start on.
    pub fn offer(&mut self, host: HostNo, id: &str, name: &str) {
        let registration = self.registration(host, id, name);
        self.settings(host).services.push(registration);
    }

    /// A service that the agent on `host` could register for 120 s.
    pub fn registration(&self, host: HostNo, id: &str, name: &str) -> Registration {
        let settings = &self.hosts[host.0].settings;
        let id = ServiceId::of(&id.parse().expect("a label"), &settings.id);
        let service = Service::new(id, name.parse().expect("a service name"), settings.kind);
        Registration { service, ttl: Duration::from_secs(120), check: None }
    }

    /// Puts an interface of `host` on `link`.
    pub fn join(&mut self, host: HostNo, link: LinkNo) {
        let taken: Vec<u32> = self.hosts[host.0].interfaces.iter().map(|interface| interface.id.0).collect();
        let id = (2..).find(|id| !taken.contains(id)).unwrap_or(2);
        let (net, [high, low]) = (link.0 as u8, (host.0 as u16 + 1).to_be_bytes());
        let address = Ipv4Addr::new(10, net, high, low);
        self.hosts[host.0].interfaces.push(Interface { id: LinkId(id), link, address });
        self.hosts[host.0].settings.mdns = true;
        self.links[link.0].members.insert(host, 0);
        self.interface_up(host, id);
    }

    /// Takes `host` off `link`. It notices, as its interface loses its carrier.
    pub fn quit(&mut self, host: HostNo, link: LinkNo) {
        self.links[link.0].members.remove(&host);
        let Some(interface) = self.hosts[host.0].interface_on(link) else { return };
        self.hosts[host.0].interfaces.retain(|other| other.id != interface.id);
        self.tell(host, "link-down", Input::LinkDown(interface.id));
    }

    /// Moves the interface of `host` from one link to another.
    pub fn roam(&mut self, host: HostNo, from: LinkNo, to: LinkNo) {
        self.quit(host, from);
        self.join(host, to);
    }

    /// Gives `host` a broker to connect to; half a second later it does.
    pub fn attach(&mut self, host: HostNo, broker: BrokerNo) {
        self.hosts[host.0].broker = Some(broker);
        self.reconnect(host);
    }

    /// Runs for a time.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some((at, event)) = self.agenda.pop(end) {
            self.now = self.now.max(at);
            self.happen(event);
        }
        self.now = end;
    }

    /// Runs until `done`, looking every 100 ms, and says how long that took.
    ///
    /// # Panics
    /// If it takes longer than `limit`.
    pub fn run_until(&mut self, what: &str, limit: Duration, mut done: impl FnMut(&Self) -> bool) -> Duration {
        let began = self.now;
        while !done(self) {
            assert!(self.now - began < limit, "seed {}: {what} not within {limit:?}", self.seed);
            self.run(Duration::from_millis(100));
        }
        self.now - began
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Asks the agent on `host`, which must run.
    pub fn ask(&mut self, host: HostNo, query: Query) -> Answer {
        let ticket = self.hosts[host.0].ticket();
        self.tell(host, "ask", Input::Ask(ticket, query));
        self.hosts[host.0].answers.remove(&ticket).expect("questions are answered at once")
    }

    /// Registers a service with the agent on `host`; [`World::lease`] says how it went.
    pub fn register(&mut self, host: HostNo, registration: Registration) -> Ticket {
        let ticket = self.hosts[host.0].ticket();
        self.tell(host, "register", Input::Register(ticket, Box::new(registration)));
        ticket
    }

    /// Withdraws a service.
    pub fn withdraw(&mut self, host: HostNo, id: ServiceId) -> Ticket {
        let ticket = self.hosts[host.0].ticket();
        self.tell(host, "withdraw", Input::Withdraw(ticket, id));
        ticket
    }

    /// Renews a registration.
    pub fn renew(&mut self, host: HostNo, id: ServiceId) -> Ticket {
        let ticket = self.hosts[host.0].ticket();
        self.tell(host, "renew", Input::Renew(ticket, id));
        ticket
    }

    /// How a registration went, once that is known.
    pub fn lease(&self, host: HostNo, ticket: Ticket) -> Option<&Result<Lease, Refusal>> {
        self.hosts[host.0].leases.get(&ticket)
    }

    /// Tells the agent on `host` where it stands.
    pub fn stand(&mut self, host: HostNo, fix: Fix) {
        self.tell(host, "own", Input::Own(fix));
    }

    /// The agent on `host`.
    ///
    /// # Panics
    /// If it does not run.
    pub fn agent(&self, host: HostNo) -> &Agent {
        self.hosts[host.0].agent.as_ref().expect("the agent runs")
    }

    /// Every host, in order.
    pub fn hosts(&self) -> impl Iterator<Item = HostNo> + use<> {
        (0..self.hosts.len()).map(HostNo)
    }

    /// Whether an agent runs on `host`.
    pub fn runs(&self, host: HostNo) -> bool {
        self.hosts[host.0].agent.is_some()
    }

    /// Topics that `broker` retains.
    pub fn retained(&self, broker: BrokerNo) -> impl Iterator<Item = &str> {
        self.brokers[broker.0].retained(self.now)
    }

    /// What was said so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Everything that happened so far, as one number.
    pub fn trace(&self) -> Trace {
        self.trace
    }
}
