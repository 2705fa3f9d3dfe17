//! What others announce over MQTT, as a registry tells it to its engine: in the words, and at the pace, in which an agent
//! would tell it itself.
//!
//! An agent that is lost to the broker is not told of any more, and the engine forgets it with its lease: it may still tell
//! a registry over HTTP. One that says goodbye is gone at once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use wayside_protocols::mqtt::announcement::Announcement;
use wayside_protocols::mqtt::presence::State;
use wayside_protocols::place::Position;
use wayside_protocols::registry::rows::{Receipt, Rows};
use wayside_protocols::service::{AgentId, Kind};
use wayside_protocols::sighting::Source;
use wayside_protocols::time::{Duration, Timestamp};

use super::Agent;
use super::io::Output;
use crate::dice::Dice;
use crate::neighbourhood::is_presence;
use crate::upstream::announce::{Announcer, Speaker};

/// Whose announcements are told to the engine, at most [`AGENTS`]: those of a further agent are not, and are counted.
#[derive(Debug)]
pub(super) struct Intake {
    agents: BTreeMap<AgentId, Announcer>,
    /// When something is to be told of whom.
    agenda: BTreeSet<(Timestamp, AgentId)>,
    dice: Dice,
    outputs: VecDeque<Rows>,
}

impl Intake {
    pub(super) fn new(seed: u64) -> Self {
        let dice = Dice::new(seed, "intake");
        Self { agents: BTreeMap::new(), agenda: BTreeSet::new(), dice, outputs: VecDeque::new() }
    }

    /// When the next message is due.
    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        self.agenda.first().map(|(due, _)| *due)
    }

    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front().map(|rows| Output::TakeIn(Box::new(rows)))
    }

    /// Has a change of what is told of `agent`, and sees to it that its moment is known.
    fn with<R>(&mut self, agent: &AgentId, change: impl FnOnce(&mut Announcer, &mut Dice) -> R) -> Option<R> {
        let announcer = self.agents.get_mut(agent)?;
        if let Some(due) = announcer.poll_timeout() {
            self.agenda.remove(&(due, agent.clone()));
        }
        let result = change(announcer, &mut self.dice);
        if let Some(due) = announcer.poll_timeout() {
            self.agenda.insert((due, agent.clone()));
        }
        Some(result)
    }

    fn forget(&mut self, agent: &AgentId) -> Option<Announcer> {
        let announcer = self.agents.remove(agent)?;
        if let Some(due) = announcer.poll_timeout() {
            self.agenda.remove(&(due, agent.clone()));
        }
        Some(announcer)
    }
}

impl Agent {
    /// Something was heard of `agent` over MQTT. Where this is a registry, its engine is to know.
    pub(super) fn take_in(&mut self, agent: &AgentId, now: Timestamp) {
        if self.registry.footing().is_none() {
            return;
        }
        if !self.intake.agents.contains_key(agent) {
            if self.intake.agents.len() >= AGENTS {
                return self.counters.count("registry_intake_full_total");
            }
            self.intake.agents.insert(agent.clone(), Announcer::new(REFRESH));
        }
        let (rows, place) = self.announced_by(agent, now);
        self.intake.with(agent, |announcer, _| announcer.offer(rows.into_iter(), place, now));
    }

    /// `agent` has left the broker, or is lost to it.
    pub(super) fn taken_out(&mut self, agent: &AgentId, state: State) {
        let speaker = self.speaker_of(agent);
        let farewell = self.intake.forget(agent).and_then(|mut announcer| announcer.farewell(speaker));
        self.intake.outputs.extend(farewell.filter(|_| state == State::Offline));
    }

    /// The engine took a message, or did not.
    pub(super) fn taken_in(&mut self, agent: &AgentId, result: Result<Receipt, Box<str>>, now: Timestamp) {
        self.counters.count(match result {
            Ok(_) => "registry_taken_in_total",
            Err(_) => "registry_intake_failures_total",
        });
        self.intake.with(agent, |announcer, dice| match result {
            Ok(receipt) => drop(announcer.taken(&receipt, dice, now)),
            Err(_) => announcer.lost(dice, now),
        });
    }

    /// Tells what is due.
    pub(super) fn intake_timeout(&mut self, now: Timestamp) {
        while let Some((_, agent)) = self.intake.agenda.first().filter(|(due, _)| *due <= now).cloned() {
            // What has run out in the catalog is not offered any more.
            let (rows, place) = self.announced_by(&agent, now);
            let (speaker, nothing) = (self.speaker_of(&agent), rows.is_empty());
            if nothing && place.is_none() {
                let farewell = self.intake.forget(&agent).and_then(|mut announcer| announcer.farewell(speaker));
                self.intake.outputs.extend(farewell);
                continue;
            }
            let said = self.intake.with(&agent, |announcer, _| {
                announcer.offer(rows.into_iter(), place, now);
                announcer.message(speaker, now)
            });
            self.intake.outputs.extend(said.flatten());
        }
    }

    /// What `agent` announces over MQTT, and where it says that it stands.
    fn announced_by(&self, agent: &AgentId, now: Timestamp) -> (Vec<Announcement>, Option<(Position, f32)>) {
        let wall = self.wall_at(now);
        let (mut rows, mut place) = (Vec::new(), None);
        for (_, entry) in self.known.catalog().offered_by(agent) {
            let Some(held) = entry.claims().iter().find(|held| held.source == Source::Mqtt) else { continue };
            if is_presence(&held.service) {
                place = held.service.fix.map(|fix| (fix.position, fix.accuracy));
            } else {
                rows.push(Announcement::from_service(&held.service, held.until - now, wall, now));
            }
        }
        (rows, place)
    }

    fn speaker_of(&self, agent: &AgentId) -> Speaker {
        let kind = self.known.catalog().offered_by(agent).next().map_or(Kind::Device, |(_, entry)| entry.shown().kind);
        Speaker { agent: agent.clone(), kind, epoch: self.peers.life(agent).unwrap_or(0) }
    }
}

/// Agents that one node takes in.
const AGENTS: usize = 16_384;
/// How often the engine is told that an agent is there, as agents do it themselves unless told otherwise.
const REFRESH: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
