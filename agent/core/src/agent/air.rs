//! What this agent says of itself on the air, and whom it listens to there.

use std::ops::ControlFlow;

use wayside_protocols::mqtt::beacon::{EMPTY, digest};
use wayside_protocols::mqtt::presence::State;
use wayside_protocols::place::Fix;
use wayside_protocols::service::{AgentId, Service};
use wayside_protocols::sighting::Source;
use wayside_protocols::time::{Duration, Timestamp};

use super::Agent;
use super::asking::Step;
use super::io::{MOST_ANNOUNCED, Output};
use crate::catalog::Held;
use crate::neighbourhood::is_presence;

impl Agent {
    /// Announces what is vouched for, by the name that is in use.
    pub(super) fn announce(&mut self, now: Timestamp) {
        self.offered = true;
        let wall = self.wall_at(now);
        let own: Vec<(Service, Duration)> =
            self.vouch.announced().map(|(service, ttl)| (self.alias.show(service), ttl)).collect();
        let devices: Vec<Service> = self.devices().into_iter().map(|device| self.alias.show(device.clone())).collect();
        let services = own.iter().map(|(service, _)| service.clone()).collect();
        let vouched: Vec<_> =
            own.into_iter().chain(devices.iter().map(|device| (device.clone(), DEVICE_HOLDS))).collect();
        self.beaconing.services = digest(vouched.iter().map(|(service, _)| &service.id));
        self.board.announce(vouched.into_iter(), wall, now);
        let me = (self.alias.name(), self.alias.epoch());
        self.adverts.show(me, &self.settings, self.shown, services, devices);
    }

    /// The translated devices that are announced, by their ids: none unless that is wanted.
    fn devices(&self) -> Vec<&Service> {
        let entries = self.settings.announce_devices.then(|| self.known.catalog().entries());
        let translated = |held: &Held| matches!(held.source, Source::Modbus | Source::Enip | Source::Bacnet);
        let mut devices: Vec<&Service> = entries
            .into_iter()
            .flatten()
            .filter(|(_, entry)| entry.claims().iter().any(translated))
            .map(|(_, entry)| &**entry.shown())
            .collect();
        devices.sort_unstable_by(|one, other| one.id.cmp(&other.id));
        devices.truncate(MOST_ANNOUNCED);
        devices
    }

    /// Says where the agent is, if that is due.
    pub(super) fn speak(&mut self, now: Timestamp) {
        if let Some(beacon) = self.beaconing.speak(self.wall_at(now), now) {
            self.counters.count("beacons_sent_total");
            self.outputs.push_back(Output::Publish(beacon));
        }
    }

    /// The agent stands at `fix`.
    pub(super) fn stand(&mut self, fix: Fix, now: Timestamp) {
        self.known.stand(fix);
        self.beaconing.stand(fix);
        let moves = self.beaconing.moves();
        self.vouched |= self.board.stand(fix, moves);
        self.listening.stand(fix.position, moves);
        // Links and what is retained are told of what matters there: who moves is known to as far as it may have gone.
        let slack = if moves { ROUGHLY } else { (2.0 * fix.accuracy).max(1.0) };
        let shown = self.shown.map(|shown| shown.position.distance(&fix.position).as_metres());
        if shown.is_none_or(|metres| metres > f64::from(slack)) {
            let accuracy = if moves { fix.accuracy.hypot(ROUGHLY) } else { fix.accuracy };
            let again = self.shown.replace(Fix { accuracy, ..fix }).is_some();
            self.vouched = true;
            if again && !moves {
                self.board.be_present(State::Online, now);
            }
        }
    }

    pub(super) fn broker_up(&mut self, now: Timestamp) {
        self.broker_up = true;
        self.counters.count("mqtt_connected_total");
        self.asking.forget();
        self.listening.connected();
        self.board.connected(now);
        self.beaconing.connected();
        self.vouched = true;
    }

    pub(super) fn broker_down(&mut self) {
        self.broker_up = false;
        self.board.disconnected();
        self.listening.disconnected();
        self.beaconing.disconnected();
    }

    /// Somebody was heard here: whether it is lost is to be heard too.
    pub(super) fn follow(&mut self, agent: &AgentId, now: Timestamp) {
        self.listening.follow(agent);
        if self.listening.follows() && self.sweep == Timestamp::NEVER {
            self.sweep = now + SWEEP;
        }
    }

    /// The beacons of `agent` say that it offers something else than before.
    pub(super) fn offers_changed(&mut self, agent: &AgentId, digest: u32, now: Timestamp) {
        if digest != EMPTY {
            self.follow(agent, now);
        }
        if self.digest_of(agent) != digest && !self.asking.changed(agent, digest, now) {
            self.counters.count("neighbours_not_asked_total");
        }
    }

    pub(super) fn air_timeout(&mut self, now: Timestamp) {
        if self.alias.poll_timeout().is_some_and(|due| due <= now) {
            self.change_name(now);
        }
        while let Some(step) = self.asking.step(now) {
            match step {
                Step::Ask(agent, digest) if self.digest_of(&agent) != digest => {
                    self.counters.count("neighbours_asked_total");
                    self.listening.ask(&agent);
                    self.asking.asked(agent, now);
                }
                Step::Ask(..) => {}
                Step::Enough(agent) => self.listening.enough(&agent),
            }
        }
        if self.sweep <= now {
            let catalog = self.known.catalog();
            let known = |agent: &AgentId| catalog.offered_by(agent).any(|(_, entry)| !entry.own());
            for gone in self.listening.keep(known) {
                // Whether it is lost is no longer heard, so it no longer counts.
                self.peers.found(&gone);
            }
            self.sweep = if self.listening.follows() { now + SWEEP } else { Timestamp::NEVER };
        }
    }

    pub(super) fn air_due(&self) -> Option<Timestamp> {
        let sweep = Some(self.sweep).filter(|sweep| *sweep != Timestamp::NEVER);
        let due = [self.beaconing.poll_timeout(), self.asking.poll_timeout(), self.alias.poll_timeout(), sweep];
        due.into_iter().flatten().min()
    }

    /// Withdraws all that was said under this name, and goes on under another.
    fn change_name(&mut self, now: Timestamp) {
        self.board.leave(now);
        self.alias.change(now);
        self.counters.count("names_changed_total");
        while let Some(output) = self.board.poll_output() {
            self.outputs.push_back(output);
        }
        if self.broker_up {
            self.broker_down();
        }
        let (agent, epoch) = (self.alias.name().clone(), self.alias.epoch());
        self.outputs.push_back(Output::Rename { agent, epoch });
        self.renamed(now);
        self.vouched = true;
    }

    /// Has everything that speaks use the name that holds.
    pub(super) fn renamed(&mut self, now: Timestamp) {
        let (name, epoch) = (self.alias.name(), self.alias.epoch());
        self.board.rename(name.clone(), epoch);
        self.beaconing.rename(name.clone(), epoch);
        self.listening.rename(name.clone());
        self.renamed_upward(now);
    }

    /// What is known by MQTT of what `agent` offers, as one number.
    fn digest_of(&self, agent: &AgentId) -> u32 {
        let offered = self.known.catalog().offered_by(agent).filter(|(_, entry)| {
            !is_presence(entry.shown()) && entry.claims().iter().any(|held| held.source == Source::Mqtt)
        });
        digest(offered.map(|(_, entry)| &entry.shown().id))
    }
}

/// Nothing follows from an input that has to be settled.
pub(super) const QUIET: ControlFlow<()> = ControlFlow::Break(());
/// Something may follow.
pub(super) const HEARD: ControlFlow<()> = ControlFlow::Continue(());

/// How long the announcement of a device holds; it is refreshed at half of that.
const DEVICE_HOLDS: Duration = Duration::from_secs(120);
/// How far, in metres, one who moves may have gone before links are told.
const ROUGHLY: f32 = 25.0;
/// How often it is looked whether those who are followed are still known.
const SWEEP: Duration = Duration::from_secs(30);

#[cfg(test)]
#[path = "air/tests.rs"]
mod tests;
