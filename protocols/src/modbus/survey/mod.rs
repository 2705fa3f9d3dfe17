//! Whom to ask what next: a round of questions to every host of a segment.
//!
//! Replies and the time go in through [`Survey::handle`], questions and what was found come out of
//! [`Survey::poll_output`]. Drain it first; then [`Survey::poll_timeout`] is true. One host never has more than one
//! connection and one question; together they keep to a [`Pace`].

mod alias;
mod interview;
mod order;
pub mod pace;
mod stage;
#[cfg(test)]
mod tests;
pub mod verdict;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::identify::Identified;
use super::profile::Profiles;
use super::reply::Reply;
use super::request::Request;
use super::segment::Segment;
use super::target::Target;
use super::unit::{Unit, Units};
use crate::dice::Dice;
use crate::time::{Duration, Timestamp};
use interview::{Interview, Next};
use order::{order, shuffle};
use pace::{Pace, Window};
use stage::Finding;
use verdict::Verdict;

/// A device that answered.
#[derive(Clone, Debug)]
pub struct Device {
    /// At the other end of which connection.
    pub target: Target,
    /// Its unit there.
    pub unit: Unit,
    /// Who it is.
    pub identified: Identified,
    /// Other units at which the same device answers.
    pub aliases: Units,
    /// How long its replies took, in the middle.
    pub rtt: Duration,
}

/// One host of a survey, by its place in [`Survey::target`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(u16);

/// Something that happened to a host.
#[derive(Clone, Debug)]
pub enum Input {
    /// The connection came about, or the line is ours.
    Connected,
    /// Nobody listens.
    Refused,
    /// It did not come about, or may not be asked on, for another reason, which people are told.
    Unreachable(Box<str>),
    /// The reply to the question, and how long it took.
    Heard(Reply, Duration),
    /// No reply within the deadline. The connection is gone, or the line has been drained.
    Silent,
    /// What came was no reply to the question. The connection is gone, or the line has been drained.
    Garbled,
    /// Bytes were there before anything was asked: somebody else asks here.
    Foreign,
    /// The host hung up.
    Lost,
}

/// Something to do, or to know.
#[derive(Clone, Debug)]
pub enum Output {
    /// Connect, and answer with [`Input::Connected`], [`Input::Refused`] or [`Input::Unreachable`].
    Connect {
        /// To which.
        host: HostId,
        /// How long it may take.
        deadline: Duration,
    },
    /// Ask, and answer with what came of it.
    Ask {
        /// Which.
        host: HostId,
        /// Who there is meant.
        unit: Unit,
        /// What.
        request: Request,
        /// How long the reply may take.
        deadline: Duration,
    },
    /// The connection is not needed any more.
    HangUp(HostId),
    /// A device; said again of the same unit, it replaces what was said before.
    Found(Box<Device>),
    /// A host was asked all it will be asked.
    Ended {
        /// Which.
        host: HostId,
        /// How.
        verdict: Verdict,
        /// Units that were not asked.
        unasked: usize,
    },
    /// Every host has ended. Nothing comes after it.
    Finished,
}

/// What was done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Hosts to ask.
    pub addresses: usize,
    /// Hosts that have ended.
    pub ended: usize,
    /// Connections tried.
    pub attempts: u32,
    /// Connections that came about.
    pub connections: u32,
    /// Requests.
    pub requests: u32,
    /// Devices found.
    pub devices: u32,
}

/// A round of questions to every host of a segment.
///
/// Of a host that was not reached yet or has ended it keeps two bytes and its address; of at most [`Pace::open`] others
/// what they said.
pub struct Survey {
    segment: Segment,
    profiles: Arc<Profiles>,
    pace: Pace,
    order: Arc<[Unit]>,
    dice: Dice,
    waiting: Vec<HostId>,
    active: BTreeMap<HostId, Active>,
    attempts: Window,
    connections: Window,
    requests: Window,
    counts: Counts,
    outputs: VecDeque<Output>,
    finished: bool,
}

struct Active {
    link: Link,
    /// Before this it is left in peace.
    ready: Timestamp,
    recent: Window,
    connections: u32,
    interview: Interview,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Down,
    Dialing,
    Up,
    Asked,
}

impl Survey {
    /// A survey of `segment` that has asked nobody yet. The same `seed` asks in the same order.
    pub fn new(segment: Segment, profiles: Arc<Profiles>, pace: Pace, seed: u64, now: Timestamp) -> Self {
        let mut dice = Dice::new(seed);
        let order = order(&mut dice);
        let addresses = segment.targets().len().min(super::segment::MOST_TARGETS);
        // The cast cannot cut: there are at most 4,096.
        let mut waiting: Vec<HostId> = (0..addresses as u16).map(HostId).collect();
        shuffle(&mut waiting, &mut dice);
        let (attempts, requests) = (Window::new(pace.attempts), Window::new(pace.requests));
        let connections = Window::new(pace.connections);
        let counts = Counts { addresses, ..Counts::default() };
        let (active, outputs) = (BTreeMap::new(), VecDeque::new());
        let mut survey = Self {
            segment,
            profiles,
            pace,
            order,
            dice,
            waiting,
            active,
            attempts,
            connections,
            requests,
            counts,
            outputs,
            finished: false,
        };
        survey.go_on(now);
        survey
    }

    /// Who a host is.
    ///
    /// # Panics
    /// Never for a host that this survey named.
    pub fn target(&self, host: HostId) -> &Target {
        &self.segment.targets()[usize::from(host.0)]
    }

    /// What was done so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The budgets it keeps to.
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Takes in what happened to a host.
    pub fn handle(&mut self, host: HostId, input: Input, now: Timestamp) {
        let target = self.target(host);
        let (most, serial) = (self.pace.most_connections(target), target.serial().is_some());
        let Some(active) = self.active.get_mut(&host) else { return };
        match (active.link, input) {
            (Link::Dialing, Input::Connected) => {
                active.link = Link::Up;
                active.connections += 1;
                self.counts.connections += 1;
                self.connections.take(now);
            }
            (Link::Dialing, Input::Refused) => {
                let verdict = if active.connections == 0 { Verdict::Closed } else { Verdict::RefusesNow };
                self.end(host, verdict);
            }
            (Link::Dialing | Link::Asked, Input::Unreachable(why)) => self.end(host, Verdict::Unreachable(why)),
            (Link::Asked, Input::Heard(reply, rtt)) => {
                active.link = Link::Up;
                active.interview.heard(reply, rtt);
            }
            (Link::Asked, Input::Foreign) if serial => self.end(host, Verdict::OtherMaster),
            (Link::Asked, input @ (Input::Silent | Input::Garbled | Input::Foreign | Input::Lost)) => {
                active.link = if serial { Link::Up } else { Link::Down };
                let jitter = Duration::from_millis(u64::from(self.dice.below(JITTER)));
                active.ready = now + if serial { Duration::ZERO } else { COOL + jitter };
                match input {
                    Input::Silent => active.interview.silent(),
                    Input::Garbled | Input::Foreign => active.interview.garbled(),
                    Input::Connected | Input::Refused | Input::Unreachable(_) | Input::Heard(..) | Input::Lost => {
                        active.interview.lost();
                    }
                }
                if !serial && active.connections >= most {
                    active.interview.give_up();
                }
            }
            // Nobody asked for it.
            (Link::Down | Link::Dialing | Link::Up | Link::Asked, _) => return,
        }
        self.note(host, now);
        self.go_on(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.go_on(now);
    }

    /// Asks nobody any more: every connection is hung up, and the survey is finished.
    pub fn stop(&mut self, now: Timestamp) {
        for host in core::mem::take(&mut self.waiting) {
            self.ended(host, Verdict::Stopped, 0);
        }
        while let Some(host) = self.active.keys().next().copied() {
            self.end(host, Verdict::Stopped);
        }
        self.go_on(now);
    }

    /// What to do next, or what was found.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When something is due; `None` while all that can be done is to wait for an answer.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let hosts = self.active.values().filter_map(|active| match active.link {
            Link::Up => Some(self.requests.free(0)?.max(active.recent.free(0)?).max(active.ready)),
            Link::Down => Some(self.may_dial()?.max(active.ready)),
            Link::Dialing | Link::Asked => None,
        });
        let more = (!self.waiting.is_empty() && self.active.len() < self.pace.open.max(1)).then(|| self.may_dial());
        hosts.chain(more.flatten()).min()
    }

    fn go_on(&mut self, now: Timestamp) {
        self.ask(now);
        self.dial(now);
        if self.waiting.is_empty() && self.active.is_empty() && !self.finished {
            self.finished = true;
            self.outputs.push_back(Output::Finished);
        }
    }

    /// Asks whoever may be asked, the most pressing questions first.
    fn ask(&mut self, now: Timestamp) {
        let mut ready: Vec<(u8, HostId)> = Vec::new();
        let mut over = Vec::new();
        for (host, active) in &mut self.active {
            if !matches!(active.link, Link::Up | Link::Down) {
                continue;
            }
            match active.interview.next() {
                Next::End(verdict) => over.push((*host, verdict)),
                Next::Ask(..) => {
                    let rested = now >= active.ready && active.recent.free(0).is_some_and(|free| now >= free);
                    if rested && active.link == Link::Up {
                        ready.push((active.interview.urgency(), *host));
                    }
                }
            }
        }
        for (host, verdict) in over {
            self.note(host, now);
            self.end(host, verdict);
        }
        ready.sort_unstable();
        for (_, host) in ready {
            if self.requests.free(0).is_none_or(|free| now < free) {
                return;
            }
            let deadline = self.pace.deadline(self.target(host));
            let Some(active) = self.active.get_mut(&host) else { continue };
            let Next::Ask(unit, request) = active.interview.next() else { continue };
            active.link = Link::Asked;
            active.interview.asked();
            active.recent.take(now);
            self.requests.take(now);
            self.counts.requests += 1;
            self.outputs.push_back(Output::Ask { host, unit, request, deadline });
        }
    }

    /// Connects again where that is wanted, then to those who were not tried yet.
    fn dial(&mut self, now: Timestamp) {
        let again: Vec<HostId> = self
            .active
            .iter()
            .filter(|(_, active)| active.link == Link::Down && now >= active.ready)
            .map(|(host, _)| *host)
            .collect();
        for host in again {
            if !self.dial_one(host, now) {
                return;
            }
        }
        while self.active.len() < self.pace.open.max(1) && self.may_dial().is_some_and(|free| now >= free) {
            let Some(host) = self.waiting.pop() else { return };
            let target = self.target(host);
            let (units, serial) = (self.segment.units(target), target.serial().is_some());
            let (order, profiles) = (Arc::clone(&self.order), Arc::clone(&self.profiles));
            let interview = Interview::new(order, profiles, units, &self.pace, serial);
            let recent = Window::new(self.pace.host_requests);
            let active = Active { link: Link::Down, ready: now, recent, connections: 0, interview };
            self.active.insert(host, active);
            self.dial_one(host, now);
        }
    }

    fn dial_one(&mut self, host: HostId, now: Timestamp) -> bool {
        if self.may_dial().is_none_or(|free| now < free) {
            return false;
        }
        let serial = self.target(host).serial().is_some();
        if let Some(active) = self.active.get_mut(&host) {
            active.link = Link::Dialing;
            self.attempts.take(now);
            self.counts.attempts += 1;
            // A line is listened to before anybody speaks on it.
            let deadline = if serial { LISTEN } else { self.pace.connect };
            self.outputs.push_back(Output::Connect { host, deadline });
        }
        true
    }

    /// From when on one more connection may be tried; whoever is being dialled may turn out to listen.
    fn may_dial(&self) -> Option<Timestamp> {
        let dialing = self.active.values().filter(|active| active.link == Link::Dialing).count();
        Some(self.attempts.free(0)?.max(self.connections.free(dialing)?))
    }

    /// Tells what an answer has shown.
    fn note(&mut self, host: HostId, now: Timestamp) {
        let Some(active) = self.active.get_mut(&host) else { return };
        if active.interview.wants_rest() {
            active.ready = active.ready.max(now + REST);
        }
        let Some(finding) = active.interview.tell() else { return };
        let (unit, identified, rtt, aliases) = match finding {
            Finding::Device(unit, identified, rtt) => {
                self.counts.devices += 1;
                (unit, identified, rtt, Units::default())
            }
            Finding::Aliases(unit, identified, rtt, aliases) => (unit, identified, rtt, aliases),
        };
        let target = self.target(host).clone();
        self.outputs.push_back(Output::Found(Box::new(Device { target, unit, identified, aliases, rtt })));
    }

    fn end(&mut self, host: HostId, verdict: Verdict) {
        let Some(active) = self.active.remove(&host) else { return };
        if matches!(active.link, Link::Up | Link::Asked) {
            self.outputs.push_back(Output::HangUp(host));
        }
        self.ended(host, verdict, active.interview.unasked());
    }

    fn ended(&mut self, host: HostId, verdict: Verdict, unasked: usize) {
        self.counts.ended += 1;
        self.outputs.push_back(Output::Ended { host, verdict, unasked });
    }
}

/// What a survey may cost: nobody is asked for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forecast {
    /// Hosts that would be asked. If nobody listens there, each is sent the packets of one connection that fails, and
    /// no request.
    pub addresses: usize,
    /// Connections at the most, to all of them together; never more than one to a host at once.
    pub connections: u64,
    /// Requests at the most.
    pub requests: u64,
}

impl Forecast {
    /// What a survey of `targets` may cost.
    pub fn of<'a>(segment: &Segment, targets: impl IntoIterator<Item = &'a Target>, pace: &Pace) -> Self {
        targets.into_iter().fold(Self::default(), |sum, target| Self {
            addresses: sum.addresses + 1,
            connections: sum.connections + u64::from(pace.most_connections(target)),
            requests: sum.requests + u64::from(pace.most_requests(segment.units(target).len())),
        })
    }
}

/// How long a host that was silent, or hung up, is not connected to again.
const COOL: Duration = Duration::from_secs(1);
/// Milliseconds that may be added.
const JITTER: u32 = 250;
/// How long a host that falters, or says that it is busy, is left in peace before it is asked once more.
const REST: Duration = Duration::from_secs(2);
/// How long a serial line is listened to before anything is sent.
const LISTEN: Duration = Duration::from_secs(2);
