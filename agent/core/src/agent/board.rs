//! What is said through the broker: our own desired state, written again after every connection.

use std::collections::{BTreeMap, VecDeque};

use wayside_protocols::mqtt::announcement::Announcement;
use wayside_protocols::mqtt::cell::Cell;
use wayside_protocols::mqtt::presence::{Presence, State};
use wayside_protocols::mqtt::topic::Topic;
use wayside_protocols::place::Fix;
use wayside_protocols::service::{AgentId, Kind, Label, Service, ServiceId};
use wayside_protocols::time::{Duration, Timestamp, UnixMillis};

use super::io::{Output, Publication};

/// From one presence to the next; the broker forgets it after three.
const PRESENCE_EVERY: Duration = Duration::from_secs(60);
/// How long a presence holds.
pub(super) const PRESENCE_HOLDS: Duration = Duration::from_secs(180);

/// Publications and subscriptions of this agent.
#[derive(Debug)]
pub(super) struct Board {
    me: AgentId,
    kind: Kind,
    epoch: u32,
    version: &'static str,
    up: bool,
    own: Option<Fix>,
    /// Whether beacons say where this agent is, so that what is retained does not.
    moves: bool,
    /// Whether names are changed, and none comes back.
    passing: bool,
    published: BTreeMap<ServiceId, Published>,
    next_presence: Timestamp,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
struct Published {
    topic: Box<str>,
    cell: Option<Cell>,
    service: Service,
    refresh: Timestamp,
}

impl Board {
    /// Names of this agent come and go.
    pub(super) fn pass(&mut self) {
        self.passing = true;
    }

    pub(super) fn new(me: AgentId, kind: Kind, epoch: u32, version: &'static str) -> Self {
        Self {
            me,
            kind,
            epoch,
            version,
            up: false,
            own: None,
            moves: false,
            passing: false,
            published: BTreeMap::new(),
            next_presence: Timestamp::NEVER,
            outputs: VecDeque::new(),
        }
    }

    /// The broker is there: whatever it remembers of us, it is told everything anew. Retained messages of a former
    /// life come back through our own filter and are cleared then.
    pub(super) fn connected(&mut self, now: Timestamp) {
        self.up = true;
        self.published.clear();
        self.be_present(State::Online, now);
    }

    pub(super) fn disconnected(&mut self) {
        self.up = false;
    }

    /// From here on this agent goes by another name, in another life.
    pub(super) fn rename(&mut self, me: AgentId, epoch: u32) {
        (self.me, self.epoch) = (me, epoch);
    }

    /// The agent stands at `fix`. Whether something it announces has to move to another cell.
    pub(super) fn stand(&mut self, fix: Fix, moves: bool) -> bool {
        (self.own, self.moves) = (Some(fix), moves);
        let left = |published: &Published| {
            published.service.fix.is_none() && published.cell.is_none_or(|cell| !cell.admits(&fix.position))
        };
        self.up && self.published.values().any(left)
    }

    /// Says online, again.
    pub(super) fn be_present(&mut self, state: State, now: Timestamp) {
        if !self.up {
            return;
        }
        let presence = Presence {
            state,
            epoch: self.epoch,
            version: Some(self.version.into()),
            position: self.own.filter(|_| !self.moves).map(|fix| (fix.position, Some(fix.accuracy))),
            kind: Some(self.kind),
        };
        self.next_presence = now + PRESENCE_EVERY;
        self.publish(Publication {
            topic: Topic::Presence(self.me.clone()).to_string().into(),
            payload: presence.encode(),
            retain: true,
            assured: true,
            // The last word of a name that comes only once must not be kept for ever.
            expiry: (state == State::Online || self.passing).then_some(PRESENCE_HOLDS),
        });
    }

    /// Brings what the broker keeps of us in line with what we vouch for: new, changed and half-run-out announcements
    /// are published, what is no longer announced is withdrawn.
    pub(super) fn announce(
        &mut self,
        vouched: impl Iterator<Item = (Service, Duration)>,
        wall: UnixMillis,
        now: Timestamp,
    ) {
        if !self.up {
            return;
        }
        let mut gone: BTreeMap<ServiceId, Published> = std::mem::take(&mut self.published);
        for (service, ttl) in vouched {
            let before = gone.remove(&service.id);
            let cell = self.cell(&service, before.as_ref());
            let Some(topic) = self.topic(&service, cell) else { continue };
            let fresh = before.as_ref().is_some_and(|before| {
                before.topic == topic && before.refresh > now && same_but_for_latency(&before.service, &service)
            });
            let refresh = if fresh { before.as_ref().map_or(now, |before| before.refresh) } else { now + ttl / 2 };
            if let Some(before) = before.filter(|before| before.topic != topic) {
                self.clear(before.topic);
            }
            if !fresh {
                self.publish(Publication {
                    topic: topic.clone(),
                    payload: Announcement::from_service(&service, ttl, wall, now).encode(),
                    retain: true,
                    assured: true,
                    expiry: Some(ttl),
                });
            }
            self.published.insert(service.id.clone(), Published { topic, cell, service, refresh });
        }
        for (_, published) in gone {
            self.clear(published.topic);
        }
    }

    /// Withdraws a retained announcement under our name that we do not vouch for: one of a former life.
    pub(super) fn clear(&mut self, topic: Box<str>) {
        self.publish(Publication { topic, payload: Vec::new(), retain: true, assured: true, expiry: None });
    }

    /// Withdraws everything and says goodbye.
    pub(super) fn leave(&mut self, now: Timestamp) {
        self.announce(std::iter::empty(), UnixMillis(0), now);
        self.be_present(State::Offline, now);
        self.next_presence = Timestamp::NEVER;
    }

    pub(super) fn handle_timeout(&mut self, now: Timestamp) {
        if self.up && self.next_presence <= now {
            self.be_present(State::Online, now);
        }
    }

    /// Whether an announcement is due to be said again.
    pub(super) fn stale(&self, now: Timestamp) -> bool {
        self.up && self.published.values().any(|published| published.refresh <= now)
    }

    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        let refresh = self.published.values().map(|published| published.refresh).min();
        let due = refresh.map_or(self.next_presence, |refresh| refresh.min(self.next_presence));
        (self.up && due != Timestamp::NEVER).then_some(due)
    }

    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn publish(&mut self, publication: Publication) {
        if self.up {
            self.outputs.push_back(Output::Publish(publication));
        }
    }

    /// The cell a service is announced in: the one it was in, as long as that admits it.
    fn cell(&self, service: &Service, before: Option<&Published>) -> Option<Cell> {
        let position = service.fix.or(self.own).map(|fix| fix.position)?;
        let stays = |cell: &Cell| cell.admits(&position);
        before.and_then(|before| before.cell).filter(stays).or_else(|| Cell::at(&position))
    }

    fn topic(&self, service: &Service, cell: Option<Cell>) -> Option<Box<str>> {
        let (id, _) = service.id.parts()?;
        let id: Label = id.parse().ok()?;
        let topic = Topic::Announcement { cell, name: service.name.clone(), agent: self.me.clone(), id };
        Some(topic.to_string().into())
    }
}

fn same_but_for_latency(before: &Service, after: &Service) -> bool {
    let mut before = before.clone();
    before.latency = after.latency;
    before == *after
}
