//! Surveys that somebody asks for while the agent runs: within the configured segments, a few at a time, each a task of
//! its own that can be looked at, followed and stopped.

mod picture;
mod task;
mod wanted;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use wayside_protocols::modbus::profile::Profiles;
use wayside_protocols::modbus::survey::pace::Pace;
use wayside_protocols::modbus::target::Target;
use wayside_protocols::modbus::translate::Placement;
use wayside_protocols::place::Fix;
use wayside_protocols::service::AgentId;
use wayside_protocols::time::Timestamp;

use crate::clock::Clock;
use crate::config::ModbusSegment;
use crate::driver::Inbox;
use crate::io::bus::Bus;
use crate::io::bus::keeper::Devices;
use crate::io::inquire;

pub use picture::{Event, Haul, Picture, State, SurveyId};
pub use task::Survey;
pub use wanted::{Protocol, Requirements, UnknownProtocol, Wanted};

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
