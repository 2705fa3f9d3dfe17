//! What the air says: publications from the broker, and sightings from the links.

use std::fmt::Display;
use std::ops::ControlFlow;

use wayside_protocols::mdns::txt;
use wayside_protocols::mqtt::announcement::Announcement;
use wayside_protocols::mqtt::beacon::{BeaconError, Glimpse};
use wayside_protocols::mqtt::presence::{Presence, State};
use wayside_protocols::mqtt::topic::{BeaconTopic, Topic};
use wayside_protocols::service::{AgentId, Service, ServiceId};
use wayside_protocols::sighting::{Claim, Sighting, Source};
use wayside_protocols::time::{Timestamp, UnixMillis};

use super::Agent;
use super::air::{HEARD, QUIET};
use super::board::PRESENCE_HOLDS;
use super::peers::{Doubt, News, Word};
use crate::catalog::{Change, Place};
use crate::neighbourhood::is_presence;

impl Agent {
    /// A publication from the broker. What is wrong with it is counted by name and goes no further. Breaks off if
    /// nothing follows that has to be settled.
    pub(super) fn message(&mut self, topic: &str, payload: &[u8], now: Timestamp) -> ControlFlow<()> {
        self.heard.messages += 1;
        if payload.len() > self.settings.limits.payload_bytes {
            let given = format!("{} bytes, more than {}", payload.len(), self.settings.limits.payload_bytes);
            self.refuse("refused_payload_too_large_total", topic, &given, now);
            return QUIET;
        }
        if let Some(at) = BeaconTopic::read(topic) {
            return self.beacon(at, payload, now);
        }
        match Topic::parse(topic) {
            Ok(Topic::Presence(agent)) => self.presence(&agent, payload, now),
            Ok(topic @ Topic::Announcement { .. }) => self.announcement(&topic, payload, now),
            // Questions are answered where their response topic is known; events and values are for others. A beacon was
            // read.
            Ok(Topic::Query(_) | Topic::Event(_) | Topic::Values { .. } | Topic::Beacon { .. }) => {}
            Err(error) => self.refuse("refused_topic_total", topic, &error, now),
        }
        HEARD
    }

    /// What a browser heard: never about ourselves, and sometimes of types worth browsing for.
    pub(super) fn overheard(&mut self, sighting: Sighting, now: Timestamp) {
        if let Claim::Alive { service, .. } = &sighting.claim {
            if service.agent.as_ref().is_some_and(|agent| self.alias.is_me(agent.as_str())) {
                return self.counters.count("mdns_own_heard_total");
            }
            if is_presence(service) {
                for service_type in txt::offers(service) {
                    self.ears.learn(service_type, now);
                }
                self.compare_lives(service, now);
            }
        }
        self.observe(sighting, now);
    }

    /// One name, two lives: the link and the broker each have an agent of that name. Both are believed, field by field
    /// as always; a person should know.
    fn compare_lives(&mut self, presence: &Service, now: Timestamp) {
        let Some(agent) = &presence.agent else { return };
        let Some(epoch) = presence.metadata.get("epoch").and_then(|epoch| epoch.parse().ok()) else { return };
        if let Some(other) = self.peers.other_life(agent, epoch, now) {
            let why = format!("is in epoch {epoch} by mdns and in epoch {other} by mqtt");
            self.counters.count("conflicting_epochs_total");
            self.rejected.note("conflicting_epochs", agent.as_str(), &why, now);
        }
    }

    fn announcement(&mut self, topic: &Topic, payload: &[u8], now: Timestamp) {
        let Topic::Announcement { agent, id, .. } = topic else { return };
        if self.alias.is_me(agent.as_str()) {
            // Our own, coming back. One we no longer vouch for is from a former life: the broker is to forget it.
            let held = agent == self.alias.name() && self.vouch.holds(&ServiceId::of(id, &self.settings.id));
            if !payload.is_empty() && !held {
                self.counters.count("mqtt_former_life_cleared_total");
                self.board.clear(topic.to_string().into());
            }
            return;
        }
        let id = ServiceId::of(id, agent);
        if payload.is_empty() {
            self.observe(Sighting::gone(Source::Mqtt, id), now);
            return self.take_in(agent, now);
        }
        if self.peers.lost(agent) {
            return self.counters.count("refused_announcement_of_lost_agent_total");
        }
        let wall = self.wall_at(now);
        let heard = Announcement::decode(payload).and_then(|decoded| {
            let service = decoded.announcement.into_service(topic, wall, now)?;
            Ok((service, decoded.unknown))
        });
        match heard {
            Ok(((service, ttl), unknown)) => {
                self.counters.add("mqtt_unknown_members_total", unknown as u64);
                self.follow(agent, now);
                self.observe(Sighting::alive(Source::Mqtt, service, ttl), now);
                self.take_in(agent, now);
            }
            Err(error) => self.refuse("refused_announcement_total", id.as_str(), &error, now),
        }
    }

    fn presence(&mut self, agent: &AgentId, payload: &[u8], now: Timestamp) {
        if payload.is_empty() {
            return;
        }
        let presence = match Presence::decode(payload) {
            Ok(presence) => presence,
            Err(error) => return self.refuse("refused_presence_total", agent.as_str(), &error, now),
        };
        if self.alias.is_me(agent.as_str()) {
            // Somebody says we are gone: our will of a former connection, come late.
            if agent == self.alias.name() && presence.state != State::Online && self.broker_up {
                self.board.be_present(State::Online, now);
            }
            return;
        }
        let word = self.peers.presence(agent, &presence, now);
        self.listening.heard_of(self.peers.len());
        match word {
            Word::Stale => self.counters.count("mqtt_stale_will_total"),
            Word::Gone => {
                self.taken_out(agent, presence.state);
                self.bury(agent, now);
            }
            Word::There if self.peers.beaconing(agent, now) => {}
            Word::There => {
                let service = presence.service(agent, now);
                self.observe(Sighting::alive(Source::Mqtt, service, PRESENCE_HOLDS), now);
                self.take_in(agent, now);
            }
        }
    }

    fn beacon(&mut self, at: BeaconTopic<'_>, payload: &[u8], now: Timestamp) -> ControlFlow<()> {
        let who = at.agent;
        if self.alias.is_me(who) {
            return QUIET;
        }
        self.beaconing.congestion.heard();
        let beacon = match Glimpse::read(payload) {
            Ok(beacon) => beacon,
            Err(error) => return self.doubt("refused_beacon_total", who, &error, now),
        };
        if let Err(error) = beacon.agrees_with(who, at.cell) {
            let of_cell = matches!(error, BeaconError::Disagrees { field: "cell", .. });
            let what =
                if of_cell { "refused_beacon_of_other_cell_total" } else { "refused_beacon_of_other_agent_total" };
            return self.doubt(what, who, &error, now);
        }
        if let Some(motion) = beacon.motion.filter(|motion| f64::from(motion.speed) > super::peers::FASTEST) {
            let why = format!("{} m/s is faster than {} m/s", motion.speed, super::peers::FASTEST);
            return self.doubt("refused_beacon_too_fast_total", who, &why, now);
        }
        match self.peers.beacon(&beacon, now) {
            News::Newest { row, changed } => self.believe(&beacon, row, changed, now),
            // Overtaken and doubled ones are how networks are: they are counted, but nothing to tell a person.
            News::Doubted(doubt @ (Doubt::OutOfOrder { .. } | Doubt::Replayed { .. })) => {
                self.counters.count(doubt.counted());
                QUIET
            }
            News::Doubted(doubt) => self.doubt(doubt.counted(), who, &doubt, now),
            News::Crowd => self.doubt("refused_beacon_of_crowd_total", "", &CROWD, now),
            News::Nameless(error) => self.doubt("refused_beacon_total", who, &error, now),
        }
    }

    fn doubt(&mut self, what: &'static str, who: &str, why: &dyn Display, now: Timestamp) -> ControlFlow<()> {
        self.refuse(what, who, why, now);
        QUIET
    }

    /// Most beacons say of a neighbour that is known no more than where it is by now; those end here without a copy of
    /// anything.
    fn believe(&mut self, beacon: &Glimpse<'_>, row: Option<Place>, changed: bool, now: Timestamp) -> ControlFlow<()> {
        self.heard.beacons += 1;
        let wall = self.wall_at(now);
        let fix = beacon.fix(wall, now);
        if let Some(row) = row.filter(|_| !changed)
            && let Some(shown) = self.known.advance(row, (beacon.kind, fix), beacon.ttl, now)
        {
            if self.watches.is_empty() && !self.settings.events {
                self.heard.moved += 1;
                return QUIET;
            }
            let change = Change::Moved(std::sync::Arc::clone(shown));
            self.tell(&change, now);
            return HEARD;
        }
        // The peers have looked at the id.
        let Ok(beacon) = beacon.beacon() else { return QUIET };
        let (service, ttl) = beacon.service(wall, now);
        let id = service.id.clone();
        self.observe(Sighting::alive(Source::Mqtt, service, ttl), now);
        self.peers.lies(&beacon.agent, self.known.catalog().place(&id));
        if changed {
            self.offers_changed(&beacon.agent, beacon.services, now);
        }
        HEARD
    }

    /// What the wall clock shows at `now`; 1970 if nobody has said.
    pub(super) fn wall_at(&self, now: Timestamp) -> UnixMillis {
        self.wall.map_or(UnixMillis(0), |(shown, then)| {
            UnixMillis(shown.0.saturating_add(u64::try_from((now - then).as_millis()).unwrap_or(u64::MAX)))
        })
    }
}

const CROWD: &str = "more than 4,096 strangers at once, or 1,000 a second";
