//! One survey: carries it out, tells whoever follows it, and hands what it finds to those who keep it.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use wayside_protocols::modbus::survey::Survey as Questions;
use wayside_protocols::modbus::target::Target;
use wayside_protocols::sighting::Sighting;
use wayside_protocols::time::{Duration, Timestamp};

use super::{Event, Haul, NotBegun, Picture, Protocol, Settings, State, SurveyId, Wanted, address};
use crate::clock::Clock;
use crate::driver::{Inbox, Message};
use crate::io::bus::Bus;
use crate::io::bus::findings::Findings;
use crate::io::bus::keeper::{Devices, HOLDS};
use crate::io::bus::round::{Event as Told, Round};
use crate::io::inquire::{Asking, Found, Inquiry};

/// What every survey works with.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) settings: Arc<Settings>,
    pub(super) bus: Bus,
    pub(super) devices: Devices,
    pub(super) inbox: Inbox,
    pub(super) clock: Clock,
}

/// A survey that was begun. Clones are cheap and mean the same one; it ends when the last is dropped.
#[derive(Clone, Debug)]
pub struct Survey {
    id: SurveyId,
    targets: Arc<[Target]>,
    orders: mpsc::Sender<Order>,
    state: watch::Receiver<State>,
}

#[derive(Debug)]
enum Order {
    Look(oneshot::Sender<Picture>),
    Follow(oneshot::Sender<Option<mpsc::Receiver<Event>>>),
    Stop,
}

impl Survey {
    /// Its id.
    pub fn id(&self) -> SurveyId {
        self.id
    }

    /// Whether it goes on.
    pub fn running(&self) -> bool {
        *self.state.borrow() == State::Running
    }

    pub(super) fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// What it has brought so far.
    pub async fn look(&self) -> Option<Picture> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(Order::Look(reply)).await.ok()?;
        answer.await.ok()
    }

    /// What it has found so far, then what comes; [`Event::Ended`] is the last. A follower who reads too slowly for 1,024
    /// events is dropped. `None` if there are 16 already.
    pub async fn follow(&self) -> Option<mpsc::Receiver<Event>> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(Order::Follow(reply)).await.ok()?;
        answer.await.ok().flatten()
    }

    /// Ends it: no request follows, and this returns once those on their way are answered or given up.
    pub(super) async fn stop(&self) -> Option<Picture> {
        self.orders.send(Order::Stop).await.ok()?;
        let mut state = self.state.clone();
        state.wait_for(|state| *state != State::Running).await.ok()?;
        self.look().await
    }
}

/// Begins a survey as a task of `tasks`.
pub(super) async fn begin(
    id: SurveyId,
    wanted: Wanted,
    world: World,
    tasks: &mut JoinSet<()>,
) -> Result<Survey, NotBegun> {
    let now = world.clock.now();
    let Settings { profiles, pace, seed, .. } = &*world.settings;
    let (work, haul) = match wanted.protocol {
        Protocol::Modbus => {
            let survey = Questions::new(wanted.segment.clone(), Arc::clone(profiles), pace.clone(), *seed, now);
            let round = Round::new(survey, world.bus.clone(), world.clock);
            (Work::Modbus(Box::new(round)), Haul::Modbus { findings: Findings::default(), known: BTreeMap::new() })
        }
        Protocol::Datagram(protocol) => {
            let targets = wanted.segment.targets().iter().filter_map(address).collect();
            let asking = Asking::begin(Inquiry::new(protocol, targets), world.clock).await;
            let asking = asking.map_err(|error| NotBegun::Failed(error.to_string().into()))?;
            let (tally, left) = (asking.tally(), asking.left());
            (Work::Datagrams(Box::new(asking)), Haul::Datagrams { found: Vec::new(), tally, left })
        }
    };
    let (orders, ordered) = mpsc::channel(ORDERS);
    let (state, stated) = watch::channel(State::Running);
    let targets = wanted.segment.targets().into();
    let picture = Picture { id, wanted, state: State::Running, elapsed: Duration::ZERO, haul };
    let task = Task { world, picture, begun: now, state, followers: Vec::new(), next: now, stopped: false };
    tasks.spawn(task.run(work, ordered));
    Ok(Survey { id, targets, orders, state: stated })
}

enum Work {
    Modbus(Box<Round>),
    Datagrams(Box<Asking>),
}

enum Step {
    Modbus(Told),
    Found(Box<Found>),
}

impl Work {
    async fn next(&mut self) -> Option<Step> {
        match self {
            Self::Modbus(round) => round.next().await.map(Step::Modbus),
            Self::Datagrams(asking) => asking.next().await.map(|found| Step::Found(Box::new(found))),
        }
    }
}

struct Task {
    world: World,
    picture: Picture,
    begun: Timestamp,
    state: watch::Sender<State>,
    followers: Vec<mpsc::Sender<Event>>,
    /// Before this nobody is told how far it is.
    next: Timestamp,
    stopped: bool,
}

impl Task {
    async fn run(mut self, work: Work, mut orders: mpsc::Receiver<Order>) {
        let mut work = Some(work);
        loop {
            let step = async {
                match &mut work {
                    Some(work) => work.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                step = step => match step {
                    Some(step) => self.take(step, work.as_ref()).await,
                    None => self.end(work.take()),
                },
                order = orders.recv() => match order {
                    None => return,
                    // Whoever asked may have given up.
                    Some(Order::Look(reply)) => drop(reply.send(self.look(work.as_ref()))),
                    Some(Order::Follow(reply)) => drop(reply.send(self.follow(work.as_ref()))),
                    Some(Order::Stop) => match &mut work {
                        None => {}
                        Some(Work::Modbus(round)) => {
                            self.stopped = true;
                            round.stop();
                        }
                        Some(Work::Datagrams(_)) => {
                            self.stopped = true;
                            self.end(work.take());
                        }
                    },
                },
            }
        }
    }

    async fn take(&mut self, step: Step, work: Option<&Work>) {
        let World { settings, devices, inbox, clock, .. } = &self.world;
        let now = clock.now();
        let event = match (step, &mut self.picture.haul) {
            (Step::Modbus(event), Haul::Modbus { findings, known }) => {
                let counts = if let Some(Work::Modbus(round)) = work { round.counts() } else { findings.counts };
                let kept = match &event {
                    Told::Ended { .. } => None,
                    Told::Found(device) => {
                        let (placement, kept) = settings.placement(&device.target, now);
                        devices.adopt(placement, device.clone(), kept).await
                    }
                };
                findings.note(event, counts);
                kept.map(|device| {
                    known.insert((device.device.target.clone(), device.device.unit), device.clone());
                    Event::Device(Box::new(device))
                })
            }
            (Step::Found(device), Haul::Datagrams { found, .. }) => {
                let place = settings.place_of((*device.address.ip()).into(), now);
                let service = device.told.service(&settings.agent, device.address, &place, device.round_trip);
                inbox.tell(Message::Heard(Sighting::alive(device.told.source(), service, HOLDS))).await;
                found.push((*device.clone(), place.clone()));
                Some(Event::Answered(Box::new((*device, place))))
            }
            (Step::Modbus(_), Haul::Datagrams { .. }) | (Step::Found(_), Haul::Modbus { .. }) => None,
        };
        if let Some(event) = event {
            self.tell(&event);
        }
        if now >= self.next {
            self.next = now + PROGRESS;
            let picture = Box::new(self.look(work));
            self.tell(&Event::Progress(picture));
        }
    }

    /// It is over, and whoever follows is told so.
    fn end(&mut self, work: Option<Work>) {
        self.picture = self.look(work.as_ref());
        self.picture.state = if self.stopped { State::Stopped } else { State::Finished };
        let picture = self.picture.clone();
        self.tell(&Event::Ended(Box::new(picture)));
        self.followers.clear();
        self.state.send_replace(self.picture.state);
    }

    fn look(&self, work: Option<&Work>) -> Picture {
        let mut picture = self.picture.clone();
        match (work, &mut picture.haul) {
            (None, _) => return picture,
            (Some(Work::Modbus(round)), Haul::Modbus { findings, .. }) => findings.counts = round.counts(),
            (Some(Work::Datagrams(asking)), Haul::Datagrams { tally, left, .. }) => {
                (*tally, *left) = (asking.tally(), asking.left());
            }
            (Some(_), _) => {}
        }
        picture.elapsed = self.world.clock.now().since(self.begun);
        picture
    }

    fn follow(&mut self, work: Option<&Work>) -> Option<mpsc::Receiver<Event>> {
        self.followers.retain(|follower| !follower.is_closed());
        if self.followers.len() >= MOST_FOLLOWERS {
            return None;
        }
        let picture = self.look(work);
        let so_far: Vec<Event> = match &picture.haul {
            Haul::Modbus { known, .. } => known.values().map(|known| Event::Device(Box::new(known.clone()))).collect(),
            Haul::Datagrams { found, .. } => {
                found.iter().map(|found| Event::Answered(Box::new(found.clone()))).collect()
            }
        };
        let (sender, events) = mpsc::channel(so_far.len() + LAG);
        let last = if work.is_some() { Event::Progress } else { Event::Ended };
        for event in so_far.into_iter().chain([last(Box::new(picture))]) {
            // There is room for all of them.
            let _ = sender.try_send(event);
        }
        if work.is_some() {
            self.followers.push(sender);
        }
        Some(events)
    }

    /// Who reads too slowly, or not at all any more, is dropped.
    fn tell(&mut self, event: &Event) {
        self.followers.retain(|follower| follower.try_send(event.clone()).is_ok());
    }
}

/// How often followers are told how far it is.
const PROGRESS: Duration = Duration::from_millis(250);
/// Followers of one survey at the most.
pub(super) const MOST_FOLLOWERS: usize = 16;
/// Events a follower may be behind.
const LAG: usize = 1_024;
/// Orders that wait at the most; a further one waits with whoever gives it.
const ORDERS: usize = 16;
