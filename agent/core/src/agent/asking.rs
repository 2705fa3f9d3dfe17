//! Asking a neighbour once what it offers, when its beacons say that this is not what we know.
//!
//! Announcements are retained and come by themselves, so that the digest in a beacon usually agrees with them a moment
//! later, and nothing is asked. Where it does not, all announcements of that one agent are subscribed to for as long as
//! the broker needs to send what it retains, and no longer: one packet there, one back, and the announcements themselves.

use std::collections::BTreeMap;

use wayside_protocols::service::AgentId;
use wayside_protocols::time::{Duration, Timestamp};

/// Whom to ask, and who is being asked. At most [`WAITING`] and [`ASKED`]; further ones are not asked.
#[derive(Debug, Default)]
pub(super) struct Asking {
    waiting: BTreeMap<AgentId, (Timestamp, u32)>,
    asked: BTreeMap<AgentId, Timestamp>,
    /// No later than anything is due.
    next: Option<Timestamp>,
}

/// What is to be done about a neighbour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Listen to what it announces, unless what is known of it has this digest.
    Ask(AgentId, u32),
    /// Stop listening.
    Enough(AgentId),
}

impl Asking {
    /// Its beacons have a new digest. False if too many wait already.
    pub(super) fn changed(&mut self, agent: &AgentId, digest: u32, now: Timestamp) -> bool {
        if self.waiting.len() >= WAITING && !self.waiting.contains_key(agent) {
            return false;
        }
        let due = now + GRACE;
        self.waiting.insert(agent.clone(), (due, digest));
        self.next = Some(self.next.map_or(due, |next| next.min(due)));
        true
    }

    /// The connection is gone, and with it every subscription.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// The next thing to do at `now`. Said again until it says `None`.
    pub(super) fn step(&mut self, now: Timestamp) -> Option<Step> {
        if self.next.is_none_or(|next| next > now) {
            return None;
        }
        if let Some(agent) = self.asked.iter().find(|(_, until)| **until <= now).map(|(agent, _)| agent.clone()) {
            self.asked.remove(&agent);
            return Some(Step::Enough(agent));
        }
        let due = self.waiting.iter().find(|(_, (due, _))| *due <= now).map(|(agent, _)| agent.clone());
        if let Some(agent) = due.filter(|_| self.asked.len() < ASKED)
            && let Some((_, digest)) = self.waiting.remove(&agent)
        {
            return Some(Step::Ask(agent, digest));
        }
        let waiting = self.waiting.values().map(|(due, _)| (*due).max(now + GRACE / 8));
        self.next = waiting.chain(self.asked.values().copied()).min();
        None
    }

    /// It is being listened to from `now` on.
    pub(super) fn asked(&mut self, agent: AgentId, now: Timestamp) {
        self.asked.insert(agent, now + LISTEN);
    }

    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        self.next
    }
}

/// How long the announcements may take to come by themselves.
const GRACE: Duration = Duration::from_secs(2);
/// How long what is retained may take to come.
const LISTEN: Duration = Duration::from_secs(3);
/// Neighbours that wait to be asked.
const WAITING: usize = 256;
/// Neighbours that are asked at the same time.
const ASKED: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::START;

    #[test]
    fn one_change_is_one_question_and_it_ends() {
        let mut asking = Asking::default();
        let car: AgentId = "car".parse().unwrap();
        assert!(asking.changed(&car, 1, START) && asking.changed(&car, 2, START));
        assert_eq!(asking.step(START), None);
        let due = asking.poll_timeout().unwrap();
        assert_eq!(asking.step(due), Some(Step::Ask(car.clone(), 2)));
        asking.asked(car.clone(), due);
        assert_eq!(asking.step(due), None);
        let due = asking.poll_timeout().unwrap();
        assert_eq!(asking.step(due), Some(Step::Enough(car)));
        assert_eq!((asking.step(due), asking.poll_timeout()), (None, None));
    }

    #[test]
    fn a_thousand_changes_at_once_are_asked_a_few_at_a_time_and_the_rest_not_at_all() {
        let mut asking = Asking::default();
        let taken = (0..1_000).filter(|n| asking.changed(&format!("a{n}").parse().unwrap(), 1, START)).count();
        assert_eq!(taken, WAITING);
        let (mut open, mut most, mut all) = (0, 0, 0);
        while let Some(due) = asking.poll_timeout() {
            while let Some(step) = asking.step(due) {
                match step {
                    Step::Ask(agent, _) => {
                        asking.asked(agent, due);
                        (open, all) = (open + 1, all + 1);
                    }
                    Step::Enough(_) => open -= 1,
                }
                most = most.max(open);
            }
        }
        assert_eq!((open, most, all), (0, ASKED, WAITING));
    }
}
