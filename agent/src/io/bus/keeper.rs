//! Keeps an eye on the devices of the configured segments: finds them, asks each now and then whether it is still the
//! same, and says so.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{info, warn};
use wayside_protocols::modbus::plan::{Plan, plan};
use wayside_protocols::modbus::profile::Profiles;
use wayside_protocols::modbus::reading::Reading;
use wayside_protocols::modbus::reply::Reply;
use wayside_protocols::modbus::segment::Segment;
use wayside_protocols::modbus::survey::pace::Pace;
use wayside_protocols::modbus::survey::{Device, Survey};
use wayside_protocols::modbus::target::Target;
use wayside_protocols::modbus::translate::{Placement, Quality, Way, service};
use wayside_protocols::service::{AgentId, Endpoint, Host, Service, ServiceId};
use wayside_protocols::sighting::{Sighting, Source};
use wayside_protocols::time::{Duration, Timestamp};

use super::desk::Bus;
use super::owner::AskError;
use super::round::{Event, Round};
use crate::clock::Clock;
use crate::driver::{Inbox, Message};

/// What the keeper needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whose devices they become.
    pub agent: AgentId,
    /// The segments to survey, and what is said of their devices.
    pub segments: Vec<(Segment, Placement)>,
    /// What is known of devices beforehand.
    pub profiles: Arc<Profiles>,
    /// The budgets.
    pub pace: Pace,
    /// How often a device is asked.
    pub interval: Duration,
    /// Chance.
    pub seed: u64,
}

/// A device that is known, and how well it answers.
#[derive(Clone, Debug)]
pub struct Known {
    /// The service it is.
    pub id: ServiceId,
    /// Who it is and where.
    pub device: Device,
    /// How well it answers, once that was measured.
    pub quality: Option<Quality>,
    /// What the configuration says of it.
    pub placement: Placement,
}

/// The devices of this agent. Clones are cheap and ask the same keeper.
#[derive(Clone, Debug)]
pub struct Devices {
    orders: mpsc::Sender<Order>,
    bus: Bus,
    pace: Pace,
}

#[derive(Debug)]
enum Order {
    List(oneshot::Sender<Vec<Known>>),
    Kept(oneshot::Sender<Vec<(Known, bool)>>),
    Find(ServiceId, oneshot::Sender<Option<Known>>),
    Adopt(Finding, oneshot::Sender<Option<Known>>),
}

/// Why a device's values cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No device of that id is known.
    #[error("no device {0} is known here")]
    Unknown(ServiceId),
    /// It did not answer once.
    #[error("{0}")]
    Ask(#[from] AskError),
}

/// The values of a device, as they come.
pub type Readings<'a> = dyn Future<Output = Result<Vec<Reading>, ReadError>> + Send + 'a;

impl Devices {
    /// Every device that is there, by its id.
    pub async fn list(&self) -> Vec<Known> {
        self.call(Order::List).await.unwrap_or_default()
    }

    /// Every device that is asked for ever, by its id, and whether it answers; `None` once nobody keeps them any more.
    pub async fn kept(&self) -> Option<Vec<(Known, bool)>> {
        self.call(Order::Kept).await
    }

    /// The device that is this service.
    pub async fn find(&self, id: &ServiceId) -> Option<Known> {
        self.call(|reply| Order::Find(id.clone(), reply)).await.flatten()
    }

    /// A device that somebody else found. If it is to be `kept` it is asked again and again like those of a segment that
    /// is surveyed by itself; else it is known for [`HOLDS`] and not asked. `None` if there are too many.
    pub async fn adopt(&self, placement: Placement, device: Box<Device>, kept: bool) -> Option<Known> {
        self.call(|reply| Order::Adopt(Finding { placement, device, kept }, reply)).await.flatten()
    }

    /// The values of these points, or of all if none is named, as the device has them at this moment.
    ///
    /// # Errors
    /// [`ReadError`] if it is not known, or did not answer once; a point that could not be had is an error in its
    /// reading.
    pub fn read<'a>(&'a self, id: &'a ServiceId, points: &'a [&'a str]) -> Pin<Box<Readings<'a>>> {
        // In a box, so that it is compiled once for all who read.
        Box::pin(self.read_now(id, points))
    }

    async fn read_now(&self, id: &ServiceId, points: &[&str]) -> Result<Vec<Reading>, ReadError> {
        let known = self.find(id).await.ok_or_else(|| ReadError::Unknown(id.clone()))?;
        let plan = plan(&known.device.identified, points);
        let replies = self.carry_out(&plan, &known.device).await?;
        let mut readings = plan.readings(&replies);
        // A device may refuse a whole span for one register in it that it does not have.
        if let Some(apart) = plan.apart(&replies) {
            let replies = self.carry_out(&apart, &known.device).await?;
            for again in apart.readings(&replies) {
                if let Some(reading) = readings.iter_mut().find(|reading| reading.point == again.point) {
                    *reading = again;
                }
            }
        }
        Ok(readings)
    }

    /// What the device replies to each request; fails if it replies to none.
    async fn carry_out(&self, plan: &Plan, device: &Device) -> Result<Vec<Option<Reply>>, AskError> {
        let mut replies = Vec::with_capacity(plan.requests().len());
        let mut failed = None;
        let deadline = self.pace.deadline(&device.target);
        for request in plan.requests() {
            match self.bus.ask_anew(&device.target, device.unit, *request, deadline, self.pace.connect).await {
                Ok((reply, _)) => replies.push(Some(reply)),
                Err(error) => {
                    replies.push(None);
                    failed = Some(error);
                }
            }
        }
        match failed {
            Some(error) if replies.iter().all(Option::is_none) => Err(error),
            _ => Ok(replies),
        }
    }

    async fn call<R>(&self, order: impl FnOnce(oneshot::Sender<R>) -> Order) -> Option<R> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(order(reply)).await.ok()?;
        answer.await.ok()
    }
}

/// The devices, and the task that keeps them: it ends when the last clone is dropped.
pub fn keeper(settings: Settings, bus: Bus, inbox: Inbox, clock: Clock) -> (Devices, impl Future<Output = ()>) {
    let (orders, ordered) = mpsc::channel(ORDERS);
    let devices = Devices { orders, bus: bus.clone(), pace: settings.pace.clone() };
    let keeper = Keeper {
        settings,
        bus,
        inbox,
        clock,
        held: BTreeMap::new(),
        proofs: JoinSet::new(),
        rounds: JoinSet::new(),
        rested: BTreeMap::new(),
    };
    (devices, keeper.run(ordered))
}

struct Keeper {
    settings: Settings,
    bus: Bus,
    inbox: Inbox,
    clock: Clock,
    held: BTreeMap<ServiceId, Held>,
    proofs: JoinSet<(ServiceId, Proof)>,
    rounds: JoinSet<()>,
    /// Hosts that were asked a moment ago, and until when they are left in peace.
    rested: BTreeMap<Target, Timestamp>,
}

/// What a device said to the question that shows it is still itself, and how long that took.
type Proof = Result<(Reply, Duration), AskError>;

struct Held {
    known: Known,
    /// The last [`RING`] round trips; `None` for a request without an answer.
    ring: VecDeque<Option<Duration>>,
    requests: u32,
    due: Timestamp,
    asked: bool,
    kept: bool,
    misses: u8,
    told: Option<(Timestamp, Option<Quality>)>,
}

/// A device, what is said of it, and whether it is to be asked for ever.
#[derive(Debug)]
struct Finding {
    placement: Placement,
    device: Box<Device>,
    kept: bool,
}

impl Keeper {
    async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let (found, mut findings) = mpsc::channel(FINDINGS);
        for (segment, placement) in self.settings.segments.clone() {
            self.survey(segment, placement, true, &found);
        }
        loop {
            let now = self.clock.now();
            self.ask(now);
            let due = self.held.values().filter(|held| !held.asked).map(|held| held.due.since(now)).min();
            tokio::select! {
                order = orders.recv() => match order {
                    None => return,
                    // Whoever asked may have given up.
                    Some(Order::List(reply)) => drop(reply.send(self.answering().map(|held| held.known.clone()).collect())),
                    Some(Order::Kept(reply)) => drop(reply.send(self.kept())),
                    Some(Order::Find(id, reply)) => drop(reply.send(self.held.get(&id).map(|held| held.known.clone()))),
                    Some(Order::Adopt(finding, reply)) => drop(reply.send(self.found(finding).await)),
                },
                Some(finding) = findings.recv() => drop(self.found(finding).await),
                Some(Ok((id, outcome))) = self.proofs.join_next() => self.proved(id, outcome, &found).await,
                Some(_) = self.rounds.join_next() => {}
                () = sleep(due.unwrap_or(RECHECK).min(RECHECK)) => {}
            }
        }
    }

    fn answering(&self) -> impl Iterator<Item = &Held> {
        self.held.values().filter(|held| held.misses < MISSES)
    }

    fn kept(&self) -> Vec<(Known, bool)> {
        let kept = self.held.values().filter(|held| held.kept);
        kept.map(|held| (held.known.clone(), held.misses < MISSES)).collect()
    }

    /// Surveys a segment; `forever` every [`ANEW`], and sooner as long as nobody was there: all may just have been
    /// switched on.
    fn survey(&mut self, segment: Segment, placement: Placement, forever: bool, found: &mpsc::Sender<Finding>) {
        let (bus, clock, found) = (self.bus.clone(), self.clock, found.clone());
        let Settings { profiles, pace, seed, .. } = self.settings.clone();
        self.rounds.spawn(async move {
            let mut pause = SOON;
            loop {
                let survey = Survey::new(segment.clone(), Arc::clone(&profiles), pace.clone(), seed, clock.now());
                let mut round = Round::new(survey, bus.clone(), clock);
                while let Some(event) = round.next().await {
                    if let Event::Found(device) = event
                        && found.send(Finding { placement: placement.clone(), device, kept: true }).await.is_err()
                    {
                        return;
                    }
                }
                let counts = round.counts();
                info!(segment = %placement.segment, devices = counts.devices, requests = counts.requests, "surveyed");
                if !forever {
                    return;
                }
                pause = if counts.devices > 0 { ANEW } else { (pause * 2).min(ANEW) };
                let until = clock.now() + pause;
                while clock.now() < until {
                    sleep(RECHECK).await;
                }
            }
        });
    }

    async fn found(&mut self, Finding { placement, device, kept }: Finding) -> Option<Known> {
        let device = *device;
        let id = self.service(&device, &placement, None).id;
        if !self.held.contains_key(&id) && self.held.len() >= MOST {
            warn!(%id, most = MOST, "a device is not kept: there are as many as can be");
            return None;
        }
        // Another stood at this place before: it was exchanged.
        let place = (device.target.clone(), device.unit);
        let old = self
            .held
            .iter()
            .find(|(known, held)| **known != id && (held.known.device.target.clone(), held.known.device.unit) == place);
        if let Some(old) = old.map(|(old, _)| old.clone()) {
            self.gone(&old).await;
            self.held.remove(&old);
        }
        let now = self.clock.now();
        let requests = u32::try_from(plan(&device.identified, &[]).requests().len().max(1)).unwrap_or(u32::MAX);
        let ring = VecDeque::from([Some(device.rtt)]);
        let known = Known { id: id.clone(), device, quality: None, placement };
        let held = self.held.entry(id.clone()).or_insert_with(|| Held {
            known: known.clone(),
            ring,
            requests,
            due: now,
            asked: false,
            kept,
            misses: 0,
            told: None,
        });
        (held.known.device, held.known.placement, held.requests) = (known.device, known.placement, requests);
        (held.misses, held.told) = (0, None);
        held.kept |= kept;
        held.due = now + if held.kept { self.settings.interval } else { HOLDS };
        self.tell(&id).await;
        self.held.get(&id).map(|held| held.known.clone())
    }

    fn ask(&mut self, now: Timestamp) {
        self.held.retain(|_, held| held.kept || now < held.due);
        self.rested.retain(|_, rested| now < *rested);
        for (id, held) in self.held.iter_mut().filter(|(_, held)| !held.asked && now >= held.due) {
            // Many devices may stand behind one host.
            if let Some(rested) = self.rested.get(&held.known.device.target) {
                held.due = *rested;
                continue;
            }
            self.rested.insert(held.known.device.target.clone(), now + APART);
            held.asked = true;
            let (id, bus, target, unit) =
                (id.clone(), self.bus.clone(), held.known.device.target.clone(), held.known.device.unit);
            let request = held.known.device.identified.proof();
            let (deadline, dial) = (self.settings.pace.deadline(&target), self.settings.pace.connect);
            self.proofs.spawn(async move { (id, bus.ask_anew(&target, unit, request, deadline, dial).await) });
        }
    }

    async fn proved(
        &mut self,
        id: ServiceId,
        outcome: Result<(Reply, Duration), AskError>,
        found: &mpsc::Sender<Finding>,
    ) {
        let now = self.clock.now();
        let interval = self.settings.interval;
        let Some(held) = self.held.get_mut(&id) else { return };
        held.asked = false;
        if held.ring.len() == RING {
            held.ring.pop_front();
        }
        match outcome {
            Ok((reply, took)) if held.known.device.identified.still(&reply) => {
                held.ring.push_back(Some(took));
                held.due = now + interval;
                held.misses = 0;
                self.tell(&id).await;
            }
            Ok(_) => {
                info!(%id, "another device answers in its place");
                let (device, placement) = (held.known.device.clone(), held.known.placement.clone());
                self.gone(&id).await;
                self.held.remove(&id);
                let segment = Segment::of(vec![device.target], Some([device.unit].into_iter().collect()));
                self.survey(segment, placement, false, found);
            }
            Err(error) => {
                held.ring.push_back(None);
                held.misses = held.misses.saturating_add(1);
                held.due = now + if held.misses < MISSES { interval } else { interval.max(REST) };
                if held.misses == MISSES {
                    info!(%id, %error, "a device is gone");
                    self.gone(&id).await;
                } else if held.misses < MISSES {
                    self.tell(&id).await;
                }
            }
        }
    }

    /// Says that a device is there, if that was not said for a while or its quality is not what it was.
    async fn tell(&mut self, id: &ServiceId) {
        let now = self.clock.now();
        let lasting = (self.settings.interval * 6).max(Duration::from_secs(60));
        let slot = Duration::from_secs(1) / self.settings.pace.host_requests.max(1);
        let Some(held) = self.held.get_mut(id) else { return };
        let ttl = if held.kept { lasting } else { HOLDS };
        held.known.quality = quality(&held.ring, held.requests, slot);
        let fresh = held.told.is_some_and(|(at, said)| {
            now < at + ttl / 3 && !said.zip(held.known.quality).is_none_or(|(said, is)| differs(&said, &is))
        });
        if fresh {
            return;
        }
        held.told = Some((now, held.known.quality));
        let known = held.known.clone();
        let service = self.service(&known.device, &known.placement, known.quality.as_ref());
        self.inbox.tell(Message::Heard(Sighting::alive(Source::Modbus, service, ttl))).await;
    }

    async fn gone(&self, id: &ServiceId) {
        self.inbox.tell(Message::Heard(Sighting::gone(Source::Modbus, id.clone()))).await;
    }

    fn service(&self, device: &Device, placement: &Placement, quality: Option<&Quality>) -> Service {
        service(&device.identified, &self.settings.agent, &way(&device.target), device.unit, placement, quality)
    }
}

/// By which way a device is reached, in the words of its service.
pub fn way(target: &Target) -> Way {
    let endpoint = |address: &std::net::SocketAddr| Endpoint { host: Host::Ip(address.ip()), port: address.port() };
    match target {
        Target::Tcp(address) => Way::Tcp(endpoint(address)),
        Target::RtuOverTcp(address) => Way::RtuOverTcp(endpoint(address)),
        Target::Serial(serial) => Way::Rtu(serial.path.clone()),
    }
}

fn quality(ring: &VecDeque<Option<Duration>>, requests: u32, slot: Duration) -> Option<Quality> {
    let mut times: Vec<Duration> = ring.iter().flatten().copied().collect();
    times.sort_unstable();
    let (rtt_p50, rtt_p95) = (*times.get(times.len() / 2)?, *times.get(times.len() * 95 / 100)?);
    #[expect(clippy::cast_precision_loss, reason = "at most RING of them")]
    let loss = (ring.len() - times.len()) as f32 / ring.len() as f32;
    Some(Quality { rtt_p50, rtt_p95, loss, refresh: rtt_p50.max(slot) * requests })
}

/// Whether a neighbour would want to know.
fn differs(said: &Quality, is: &Quality) -> bool {
    let far = |one: Duration, other: Duration| one.abs_diff(other) > (one / 2).max(Duration::from_millis(5));
    far(said.rtt_p50, is.rtt_p50) || far(said.rtt_p95, is.rtt_p95) || (said.loss - is.loss).abs() > 0.05
}

/// Devices at the most; a further one is not kept.
const MOST: usize = 4_096;
/// Round trips that are remembered of a device.
const RING: usize = 64;
/// How long a host is left in peace between two of these questions; its values are read in between if somebody wants them.
const APART: Duration = Duration::from_secs(1);
/// Requests in a row without an answer after which a device is gone.
const MISSES: u8 = 3;
/// How long a device is known that is not asked again.
pub const HOLDS: Duration = Duration::from_secs(600);
/// How often a device that is gone is asked all the same.
const REST: Duration = Duration::from_secs(60);
/// Half of the first pause after a survey that found nobody.
const SOON: Duration = Duration::from_secs(15);
/// How often a segment is surveyed anew.
const ANEW: Duration = Duration::from_secs(3_600);
/// The longest wait: tokio's timers stand still while the host sleeps.
const RECHECK: Duration = Duration::from_secs(1);
/// Questions that wait at the most; a further one waits with whoever asks.
const ORDERS: usize = 64;
/// Findings that wait at the most; the survey waits until there is room.
const FINDINGS: usize = 64;
