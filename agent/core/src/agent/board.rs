//! What is said through the broker: our own desired state, written again after every connection.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use wayside_protocols::mqtt::announcement::Announcement;
use wayside_protocols::mqtt::cell::Cell;
use wayside_protocols::mqtt::presence::{Presence, State};
use wayside_protocols::mqtt::topic::{Topic, filter};
use wayside_protocols::place::{Distance, Fix};
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
    horizon: Distance,
    up: bool,
    own: Option<Fix>,
    listening: BTreeSet<Box<str>>,
    published: BTreeMap<ServiceId, Published>,
    next_presence: Timestamp,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
struct Published {
    topic: Box<str>,
    service: Service,
    refresh: Timestamp,
}

impl Board {
    pub(super) fn new(me: AgentId, kind: Kind, epoch: u32, version: &'static str, horizon: Distance) -> Self {
        Self {
            me,
            kind,
            epoch,
            version,
            horizon,
            up: false,
            own: None,
            listening: BTreeSet::new(),
            published: BTreeMap::new(),
            next_presence: Timestamp::NEVER,
            outputs: VecDeque::new(),
        }
    }

    /// The broker is there: whatever it remembers of us, it is told everything anew. Retained messages of a former
    /// life come back through our own filter and are cleared then.
    pub(super) fn connected(&mut self, now: Timestamp) {
        self.up = true;
        self.listening.clear();
        self.published.clear();
        self.listen();
        self.be_present(State::Online, now);
    }

    pub(super) fn disconnected(&mut self) {
        self.up = false;
    }

    /// The agent stands at `fix`: neighbours' cells are listened to from there.
    pub(super) fn stand(&mut self, fix: Fix) {
        self.own = Some(fix);
        if self.up {
            self.listen();
        }
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
            position: self.own.map(|fix| (fix.position, Some(fix.accuracy))),
            kind: Some(self.kind),
        };
        self.next_presence = now + PRESENCE_EVERY;
        self.publish(Publication {
            topic: Topic::Presence(self.me.clone()).to_string().into(),
            payload: presence.encode(),
            retain: true,
            assured: true,
            expiry: (state == State::Online).then_some(PRESENCE_HOLDS),
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
            let Some(topic) = self.topic(&service) else { continue };
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
            self.published.insert(service.id.clone(), Published { topic, service, refresh });
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

    /// New filters are subscribed before old ones are dropped, so that nobody on a cell's edge is lost between.
    fn listen(&mut self) {
        let wanted = self.wanted();
        let mut new: Vec<Box<str>> = wanted.difference(&self.listening).cloned().collect();
        // Presences first, so that a dead agent's retained announcements are known for what they are.
        new.sort_by_key(|filter| *filter != filter::presences());
        let old: Vec<Box<str>> = self.listening.difference(&wanted).cloned().collect();
        if !new.is_empty() {
            self.outputs.push_back(Output::Subscribe(new));
        }
        if !old.is_empty() {
            self.outputs.push_back(Output::Unsubscribe(old));
        }
        self.listening = wanted;
    }

    fn wanted(&self) -> BTreeSet<Box<str>> {
        let mut wanted = BTreeSet::from([filter::presences(), filter::queries(&self.me)]);
        match self.own {
            Some(fix) => {
                wanted.extend([filter::own_announcements(&self.me), filter::unplaced_announcements()]);
                wanted.insert(filter::unplaced_beacons());
                wanted.extend(filter::announcements_around(&fix.position, self.horizon));
                wanted.extend(filter::beacons_around(&fix.position, self.horizon));
            }
            None => wanted.extend([filter::all_announcements(), filter::all_beacons()]),
        }
        wanted
    }

    fn topic(&self, service: &Service) -> Option<Box<str>> {
        let (id, _) = service.id.parts()?;
        let id: Label = id.parse().ok()?;
        let position = service.fix.or(self.own).map(|fix| fix.position);
        let cell = position.as_ref().and_then(Cell::at);
        let topic = Topic::Announcement { cell, name: service.name.clone(), agent: self.me.clone(), id };
        Some(topic.to_string().into())
    }
}

fn same_but_for_latency(before: &Service, after: &Service) -> bool {
    let mut before = before.clone();
    before.latency = after.latency;
    before == *after
}
