//! Surveys that somebody asks for while the agent runs: within the configured segments, a few at a time, each a task of
//! its own that can be looked at, followed and stopped.

mod task;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::str::FromStr;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use wayside_protocols::modbus::profile::Profiles;
use wayside_protocols::modbus::segment::Segment;
use wayside_protocols::modbus::survey::pace::Pace;
use wayside_protocols::modbus::target::Target;
use wayside_protocols::modbus::translate::{Placement, Quality};
use wayside_protocols::modbus::unit::Unit;
use wayside_protocols::place::Fix;
use wayside_protocols::service::AgentId;
use wayside_protocols::time::{Duration, Timestamp};

use crate::clock::Clock;
use crate::config::ModbusSegment;
use crate::driver::Inbox;
use crate::io::bus::Bus;
use crate::io::bus::findings::Findings;
use crate::io::bus::keeper::{Devices, Known};
use crate::io::inquire::{self, Found, Tally};

pub use task::Survey;

/// By which protocol devices are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// Modbus TCP, RTU over TCP and RTU.
    Modbus,
    /// By datagram.
    Datagram(inquire::Protocol),
}

impl Protocol {
    /// Every one there is.
    pub const ALL: [Self; 3] =
        [Self::Modbus, Self::Datagram(inquire::Protocol::Enip), Self::Datagram(inquire::Protocol::Bacnet)];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Modbus => "modbus",
            Self::Datagram(datagram) => datagram.as_str(),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Protocol {
    type Err = UnknownProtocol;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|protocol| protocol.as_str() == text).ok_or(UnknownProtocol)
    }
}

/// A word that names no protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("modbus, enip or bacnet")]
pub struct UnknownProtocol;

/// How good a device must be to be listed. What nobody has measured does not suffice.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Requirements {
    /// Half of its replies come within this.
    pub max_latency: Option<Duration>,
    /// All its points can be had as often as this.
    pub refresh: Option<Duration>,
    /// At most this part of its replies is missing, 0 to 1.
    pub loss: Option<f64>,
}

impl Requirements {
    /// What a device with this round trip and quality lacks; `None` if it suffices.
    pub fn lacks(&self, rtt: Duration, quality: Option<&Quality>) -> Option<String> {
        let rtt = quality.map_or(rtt, |quality| quality.rtt_p50);
        let millis = |time: Duration| time.as_micros() as f64 / 1e3;
        if let Some(most) = self.max_latency.filter(|most| rtt > *most) {
            return Some(format!("latency {} ms > {} ms", millis(rtt), millis(most)));
        }
        if let Some(most) = self.refresh {
            match quality.map(|quality| quality.refresh) {
                None => return Some("refresh is not measured".to_owned()),
                Some(refresh) if refresh > most => {
                    return Some(format!("refresh {} ms > {} ms", millis(refresh), millis(most)));
                }
                Some(_) => {}
            }
        }
        let most = self.loss?;
        match quality.map(|quality| f64::from(quality.loss)) {
            None => Some("loss is not measured".to_owned()),
            Some(loss) => (loss > most).then(|| format!("loss {loss:.4} > {most}")),
        }
    }
}

/// A survey that is wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// By which protocol.
    pub protocol: Protocol,
    /// Whom to ask; none beyond what [`Surveys::allowed`] allows for that protocol.
    pub segment: Segment,
    /// How that was written.
    pub named: Box<str>,
    /// What its devices must be good for.
    pub requirements: Requirements,
}

/// How far a survey is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It goes on.
    Running,
    /// Everybody was asked.
    Finished,
    /// It was stopped before that.
    Stopped,
}

impl State {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Stopped => "stopped",
        }
    }
}

/// Names a survey; alone in the lives of this agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SurveyId {
    /// How often the agent had started.
    pub epoch: u32,
    /// Which survey since then, from 1.
    pub serial: u32,
}

impl fmt::Display for SurveyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.serial)
    }
}

impl FromStr for SurveyId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (epoch, serial) = text.split_once('-').unwrap_or((text, ""));
        Ok(Self { epoch: epoch.parse()?, serial: serial.parse()? })
    }
}

/// What a survey has brought so far.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Which survey.
    pub id: SurveyId,
    /// What was wanted.
    pub wanted: Wanted,
    /// How far it is.
    pub state: State,
    /// How long it has taken.
    pub elapsed: Duration,
    /// Whom it found.
    pub haul: Haul,
}

/// Whom a survey found.
#[derive(Clone, Debug)]
pub enum Haul {
    /// By Modbus; `known` says under which service each is kept, and how well it answers.
    Modbus {
        /// Devices and hosts.
        findings: Findings,
        /// What the keeper knows of them.
        known: BTreeMap<(Target, Unit), Known>,
    },
    /// By datagram.
    Datagrams {
        /// Devices, with what the configuration says of them.
        found: Vec<(Found, Placement)>,
        /// What was sent.
        tally: Tally,
        /// Addresses that were not asked to the end yet.
        left: usize,
    },
}

/// What whoever follows a survey is told.
#[derive(Clone, Debug)]
pub enum Event {
    /// A Modbus device; said again of the same unit, it replaces what was said before.
    Device(Box<Known>),
    /// A device found by datagram.
    Answered(Box<(Found, Placement)>),
    /// How far it is; at most four times a second.
    Progress(Box<Picture>),
    /// It is over. Nothing comes after this.
    Ended(Box<Picture>),
}

/// Why no survey was begun.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotBegun {
    /// There are as many as may run at once.
    #[error("{MOST_RUNNING} surveys are running; stop one, or wait")]
    Full,
    /// Another survey asks there.
    #[error("survey {0} asks {1} at this moment; stop it, or wait")]
    Asked(SurveyId, Target),
    /// The agent is stopping, or has no socket.
    #[error("{0}")]
    Failed(Box<str>),
}

/// Surveys at once.
pub const MOST_RUNNING: usize = 4;
/// Surveys that are remembered, those that run among them; the oldest that is over is forgotten first.
pub const MOST_KEPT: usize = 16;

/// What surveys need.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whose devices they become.
    pub agent: AgentId,
    /// How often it has started.
    pub epoch: u32,
    /// Where anything may be asked.
    pub segments: Arc<[ModbusSegment]>,
    /// What is known of devices beforehand.
    pub profiles: Arc<Profiles>,
    /// The budgets.
    pub pace: Pace,
    /// Chance.
    pub seed: u64,
}

impl Settings {
    /// What the configuration says of whoever is found at `target`.
    fn placement(&self, target: &Target, now: Timestamp) -> (Placement, bool) {
        let at = self.segments.iter().find(|segment| segment.segment.targets().binary_search(target).is_ok());
        at.map_or_else(Default::default, |segment| (segment.placement(now), segment.scan && segment.modbus))
    }

    /// The same by its address alone.
    fn place_of(&self, address: IpAddr, now: Timestamp) -> Placement {
        let here = |segment: &&ModbusSegment| segment.addresses().any(|there| there == address);
        self.segments.iter().find(here).map(|segment| segment.placement(now)).unwrap_or_default()
    }
}

impl ModbusSegment {
    /// What is said of its devices.
    pub fn placement(&self, now: Timestamp) -> Placement {
        let fix = self.position.map(|at| Fix::fixed(at.position, at.accuracy, now));
        Placement { segment: self.name.clone(), priority: self.priority, fix }
    }

    /// The addresses it allows.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.segment.targets().iter().filter_map(|target| Some(target.address()?.ip()))
    }

    /// Where its addresses are asked by `protocol`, each once.
    pub fn sockets(&self, protocol: inquire::Protocol) -> Vec<SocketAddrV4> {
        let ip = |address| if let IpAddr::V4(ip) = address { Some(ip) } else { None };
        let addresses: BTreeSet<_> = self.addresses().filter_map(ip).collect();
        addresses.into_iter().map(|ip| SocketAddrV4::new(ip, protocol.port())).collect()
    }

    /// Whether its addresses may be asked by `protocol`.
    pub fn allows(&self, protocol: Protocol) -> bool {
        match protocol {
            Protocol::Modbus => self.modbus,
            Protocol::Datagram(datagram) => self.datagrams.contains(&datagram),
        }
    }
}

/// Where a target is asked by datagram, if it can be.
pub(crate) fn address(target: &Target) -> Option<SocketAddrV4> {
    match target.address()? {
        SocketAddr::V4(address) => Some(address),
        SocketAddr::V6(_) => None,
    }
}

/// The surveys of this agent. Clones are cheap and mean the same ones.
#[derive(Clone, Debug)]
pub struct Surveys {
    orders: mpsc::Sender<Order>,
    segments: Arc<[ModbusSegment]>,
}

enum Order {
    Begin(Box<Wanted>, oneshot::Sender<Result<SurveyId, NotBegun>>),
    Find(SurveyId, oneshot::Sender<Option<Survey>>),
    List(oneshot::Sender<Vec<Survey>>),
    Forget(SurveyId),
}

impl Surveys {
    /// The segments that allow questions by `protocol`.
    pub fn allowed(&self, protocol: Protocol) -> impl Iterator<Item = &ModbusSegment> {
        self.segments.iter().filter(move |segment| segment.allows(protocol))
    }

    /// Begins one.
    ///
    /// # Errors
    /// [`NotBegun`] if there are too many, or another asks at the same place.
    pub async fn begin(&self, wanted: Wanted) -> Result<SurveyId, NotBegun> {
        let stopping = || NotBegun::Failed("the agent is stopping".into());
        self.call(|reply| Order::Begin(Box::new(wanted), reply)).await.unwrap_or_else(|| Err(stopping()))
    }

    /// The one of that id, if it is remembered.
    pub async fn find(&self, id: SurveyId) -> Option<Survey> {
        self.call(|reply| Order::Find(id, reply)).await.flatten()
    }

    /// All that are remembered, the oldest first.
    pub async fn list(&self) -> Vec<Survey> {
        self.call(Order::List).await.unwrap_or_default()
    }

    /// Stops one within one request to each host, and forgets it; what it had found until then.
    pub async fn end(&self, id: SurveyId) -> Option<Picture> {
        let picture = self.find(id).await?.stop().await;
        // A closed desk has forgotten it already.
        let _ = self.orders.send(Order::Forget(id)).await;
        picture
    }

    async fn call<R>(&self, order: impl FnOnce(oneshot::Sender<R>) -> Order) -> Option<R> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(order(reply)).await.ok()?;
        answer.await.ok()
    }
}

/// The surveys, and the task that keeps them: it ends when the last clone is dropped, and every survey with it.
pub fn surveys(
    settings: Settings,
    bus: Bus,
    devices: Devices,
    inbox: Inbox,
    clock: Clock,
) -> (Surveys, impl Future<Output = ()>) {
    let (orders, ordered) = mpsc::channel(ORDERS);
    let surveys = Surveys { orders, segments: Arc::clone(&settings.segments) };
    let world = task::World { settings: Arc::new(settings), bus, devices, inbox, clock };
    (surveys, keep(world, ordered))
}

async fn keep(world: task::World, mut orders: mpsc::Receiver<Order>) {
    let mut kept: BTreeMap<SurveyId, Survey> = BTreeMap::new();
    let mut tasks = JoinSet::new();
    let mut serial = 0;
    loop {
        let order = tokio::select! {
            order = orders.recv() => order,
            // A survey whose last handle is dropped ends; nothing is to be done about it.
            Some(_) = tasks.join_next() => continue,
        };
        // Whoever asked may have given up.
        match order {
            None => return,
            Some(Order::Find(id, reply)) => drop(reply.send(kept.get(&id).cloned())),
            Some(Order::List(reply)) => drop(reply.send(kept.values().cloned().collect())),
            Some(Order::Forget(id)) => drop(kept.remove(&id)),
            Some(Order::Begin(wanted, reply)) => {
                let begun = match conflict(&kept, &wanted) {
                    Some(reason) => Err(reason),
                    None => {
                        serial += 1;
                        let id = SurveyId { epoch: world.settings.epoch, serial };
                        task::begin(id, *wanted, world.clone(), &mut tasks).await
                    }
                };
                drop(reply.send(begun.map(|survey| {
                    let id = survey.id();
                    kept.insert(id, survey);
                    let over = kept.iter().find(|(_, survey)| !survey.running()).map(|(id, _)| *id);
                    if let Some(over) = over.filter(|_| kept.len() > MOST_KEPT) {
                        kept.remove(&over);
                    }
                    id
                })));
            }
        }
    }
}

/// Two surveys never ask at the same place at the same time.
fn conflict(kept: &BTreeMap<SurveyId, Survey>, wanted: &Wanted) -> Option<NotBegun> {
    let running = || kept.values().filter(|survey| survey.running());
    if running().count() >= MOST_RUNNING {
        return Some(NotBegun::Full);
    }
    running().find_map(|survey| {
        let asked = survey.targets();
        let both = wanted.segment.targets().iter().find(|target| asked.binary_search(target).is_ok());
        both.map(|target| NotBegun::Asked(survey.id(), target.clone()))
    })
}

/// Orders that wait at the most; a further one waits with whoever gives it.
const ORDERS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_measured_does_not_suffice() {
        let millis = Duration::from_millis;
        let quality = Quality { rtt_p50: millis(20), rtt_p95: millis(60), loss: 0.02, refresh: millis(500) };
        let wants = |max_latency, refresh, loss| Requirements { max_latency, refresh, loss };
        for (requirements, quality, lacks) in [
            (wants(None, None, None), None, None),
            (wants(Some(millis(30)), None, None), None, Some("latency 40 ms > 30 ms")),
            (wants(Some(millis(30)), Some(millis(500)), Some(0.02)), Some(&quality), None),
            (wants(None, Some(millis(499)), None), Some(&quality), Some("refresh 500 ms > 499 ms")),
            (wants(None, None, Some(0.01)), Some(&quality), Some("loss 0.0200 > 0.01")),
            (wants(None, Some(millis(500)), None), None, Some("refresh is not measured")),
            (wants(None, None, Some(1.0)), None, Some("loss is not measured")),
        ] {
            assert_eq!(requirements.lacks(millis(40), quality).as_deref(), lacks);
        }
    }

    #[test]
    fn ids_and_protocols_are_read_as_they_are_written() {
        let id = SurveyId { epoch: 5, serial: 12 };
        assert_eq!((id.to_string().parse(), "5-12"), (Ok(id), &*id.to_string()));
        for bad in ["", "5", "5-", "-", "a-b", "5-12-1"] {
            assert!(bad.parse::<SurveyId>().is_err(), "{bad}");
        }
        for protocol in Protocol::ALL {
            assert_eq!(protocol.as_str().parse(), Ok(protocol));
        }
        assert_eq!("opcua".parse::<Protocol>(), Err(UnknownProtocol));
    }
}
