//! What the air says: publications from the broker, and sightings from the links.

use wayside_protocols::mdns::txt;
use wayside_protocols::mqtt::announcement::Announcement;
use wayside_protocols::mqtt::beacon::Beacon;
use wayside_protocols::mqtt::cell::Cell;
use wayside_protocols::mqtt::presence::{Presence, State};
use wayside_protocols::mqtt::topic::Topic;
use wayside_protocols::service::{AgentId, ServiceId};
use wayside_protocols::sighting::{Claim, Sighting, Source};
use wayside_protocols::time::{Timestamp, UnixMillis};

use super::Agent;
use super::board::PRESENCE_HOLDS;
use super::peers::Word;
use crate::neighbourhood::is_presence;

impl Agent {
    /// A publication from the broker. What is wrong with it is counted by name and goes no further.
    pub(super) fn message(&mut self, topic: &str, payload: &[u8], now: Timestamp) {
        self.counters.count("mqtt_messages_total");
        if payload.len() > self.settings.limits.payload_bytes {
            return self.counters.count("refused_payload_too_large_total");
        }
        match Topic::parse(topic) {
            Ok(Topic::Beacon { cell, agent }) => self.beacon(&agent, cell, payload, now),
            Ok(Topic::Presence(agent)) => self.presence(&agent, payload, now),
            Ok(topic @ Topic::Announcement { .. }) => self.announcement(&topic, payload, now),
            // Questions are answered where their response topic is known; events are for others.
            Ok(Topic::Query(_) | Topic::Event(_)) => {}
            Err(_) => self.counters.count("refused_topic_total"),
        }
    }

    /// What a browser heard: never about ourselves, and sometimes of types worth browsing for.
    pub(super) fn overheard(&mut self, sighting: Sighting, now: Timestamp) {
        if let Claim::Alive { service, .. } = &sighting.claim {
            if service.agent.as_ref() == Some(&self.settings.id) {
                return self.counters.count("mdns_own_heard_total");
            }
            if is_presence(service) {
                for service_type in txt::offers(service) {
                    self.ears.learn(service_type, now);
                }
            }
        }
        self.observe(sighting, now);
    }

    fn announcement(&mut self, topic: &Topic, payload: &[u8], now: Timestamp) {
        let Topic::Announcement { agent, id, .. } = topic else { return };
        let id = ServiceId::of(id, agent);
        if *agent == self.settings.id {
            // Our own, coming back. One we no longer vouch for is from a former life: the broker is to forget it.
            if !payload.is_empty() && !self.vouch.holds(&id) {
                self.counters.count("mqtt_former_life_cleared_total");
                self.board.clear(topic.to_string().into());
            }
            return;
        }
        if payload.is_empty() {
            return self.observe(Sighting::gone(Source::Mqtt, id), now);
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
                self.observe(Sighting::alive(Source::Mqtt, service, ttl), now);
            }
            Err(_) => self.counters.count("refused_announcement_total"),
        }
    }

    fn presence(&mut self, agent: &AgentId, payload: &[u8], now: Timestamp) {
        if payload.is_empty() {
            return;
        }
        let Ok(presence) = Presence::decode(payload) else { return self.counters.count("refused_presence_total") };
        if *agent == self.settings.id {
            // Somebody says we are gone: our will of a former connection, come late.
            if presence.state != State::Online && self.broker_up {
                self.board.be_present(State::Online, now);
            }
            return;
        }
        match self.peers.presence(agent, &presence, now) {
            Word::Stale => self.counters.count("mqtt_stale_will_total"),
            Word::Gone => self.bury(agent, now),
            Word::There if self.peers.beaconing(agent, now) => {}
            Word::There => {
                let service = presence.service(agent, now);
                self.observe(Sighting::alive(Source::Mqtt, service, PRESENCE_HOLDS), now);
            }
        }
    }

    fn beacon(&mut self, agent: &AgentId, cell: Option<Cell>, payload: &[u8], now: Timestamp) {
        if *agent == self.settings.id {
            return;
        }
        let Ok(beacon) = Beacon::decode(payload) else { return self.counters.count("refused_beacon_total") };
        if beacon.agrees_with(agent, cell).is_err() {
            return self.counters.count("refused_beacon_of_other_cell_or_agent_total");
        }
        let (service, ttl) = beacon.service(self.wall_at(now), now);
        if !self.peers.beacon(agent, beacon.stamp(), now + ttl, now) {
            return self.counters.count("refused_beacon_not_newer_total");
        }
        self.counters.count("beacons_total");
        self.observe(Sighting::alive(Source::Mqtt, service, ttl), now);
    }

    /// What the wall clock shows at `now`; 1970 if nobody has said.
    pub(super) fn wall_at(&self, now: Timestamp) -> UnixMillis {
        self.wall.map_or(UnixMillis(0), |(shown, then)| {
            UnixMillis(shown.0.saturating_add(u64::try_from((now - then).as_millis()).unwrap_or(u64::MAX)))
        })
    }
}
