//! Looking in without changing anything.

use wayside_protocols::place::{Fix, Position};
use wayside_protocols::service::{AgentId, ServiceId};
use wayside_protocols::sighting::Source;
use wayside_protocols::time::{Duration, Timestamp, UnixMillis};

use super::Agent;
use super::io::Settings;
use super::rejected::Rejection;
use crate::catalog::Entry;
use crate::counters::Counters;
use crate::query::{Answer, Query};
use crate::registration::Registration;
use crate::registry::Footing;
use crate::resolver;
use crate::upstream::Held;
use crate::whereabouts::{Lost, Whereabouts};

/// How the agent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Services in the catalog.
    pub services: usize,
    /// Of those, how many stand somewhere.
    pub placed: usize,
    /// Agents known through the broker.
    pub peers: usize,
    /// Open watches.
    pub watchers: usize,
    /// The least time from one own beacon to the next, milliseconds: what the load allows.
    pub beacon_interval_ms: u64,
    /// Whether the broker is there.
    pub broker_up: bool,
    /// Whether the wall clock can have been set.
    pub clock_trusted: bool,
}

impl Agent {
    /// Answers `query` from what is known at `now`.
    pub fn find(&self, query: &Query, now: Timestamp) -> Answer {
        resolver::find(&self.known, query, now)
    }

    /// Every service somebody vouches for, by id.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.known.catalog().entries().map(|(_, entry)| entry)
    }

    /// The service `id`, with everybody who vouches for it.
    pub fn entry(&self, id: &ServiceId) -> Option<&Entry> {
        self.known.catalog().get(id)
    }

    /// Where `id` stands at `now`, dead-reckoned: by itself, or with its agent.
    pub fn standing(&self, id: &ServiceId, now: Timestamp) -> Option<Position> {
        self.known.standing(id, now)
    }

    /// Where the agent itself stands, as far as it knows.
    pub fn own_fix(&self) -> Option<Fix> {
        self.known.own()
    }

    /// Where the agent itself stands at `now`, reckoned on from its last fix.
    ///
    /// # Errors
    /// [`Lost`] if nobody has said, or too long ago.
    pub fn whereabouts(&self, now: Timestamp) -> Result<Whereabouts, Lost> {
        self.known.here(now)
    }

    /// Whether the last word of the agent's own receiver is that it has no fix.
    pub fn receiver_lost(&self) -> bool {
        self.receiver.lost()
    }

    /// Every own service, where it comes from, and what is left of its lease; `None` for what the configuration says.
    pub fn registrations(&self, now: Timestamp) -> impl Iterator<Item = (&Registration, Source, Option<Duration>)> {
        self.vouch.registrations().map(move |(registration, source, until)| {
            (registration, source, (until != Timestamp::NEVER).then(|| until - now))
        })
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        let mut counters = self.counters.clone();
        self.ears.count_into(&mut counters);
        if let Some(upstream) = &self.upstream {
            upstream.count_into(&mut counters);
        }
        for (what, n) in [
            ("mqtt_messages_total", self.heard.messages),
            ("beacons_total", self.heard.beacons),
            ("updated_total", self.heard.moved),
        ] {
            if n > 0 {
                counters.add(what, n);
            }
        }
        counters
    }

    /// What was refused lately, the latest first; a few of every kind.
    pub fn rejections(&self) -> Vec<&Rejection> {
        self.rejected.latest()
    }

    /// How this agent is called on the air; its own id, unless names are changed.
    pub fn on_air(&self) -> &AgentId {
        self.alias.name()
    }

    /// What is held of what upstreams told; `None` if there is none.
    pub fn upstream(&self, now: Timestamp) -> Option<Held> {
        self.upstream.as_ref().map(|upstream| upstream.held(now))
    }

    /// How this agent stands with its engine, if it is a registry.
    pub fn registry(&self) -> Option<&Footing> {
        self.registry.footing()
    }

    /// How the agent is at `now`.
    pub fn status(&self, now: Timestamp) -> Status {
        Status {
            services: self.known.catalog().len(),
            placed: self.known.geo().len(),
            peers: self.peers.len(),
            watchers: self.watches.len(),
            beacon_interval_ms: self.beaconing.congestion.interval().as_millis() as u64,
            broker_up: self.broker_up,
            clock_trusted: self.wall_at(now).plausible(),
        }
    }

    /// What the wall clock shows at `now`, where anybody has said.
    pub fn wall(&self, now: Timestamp) -> Option<UnixMillis> {
        self.wall.map(|_| self.wall_at(now))
    }

    /// What is true of the agent from start to end.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
}
