//! When this agent says where it is, and how.
//!
//! The rule of ETSI EN 302 637-2 (CAM): as soon as it has turned by more than 4 degrees, moved by more than 4 m or
//! changed its speed by more than 0.5 m/s since its last beacon, and once a second anyway; never more often than
//! [`Congestion`] allows. Up to a tenth is added to each wait, so that those who began together do not stay together.

use wayside_protocols::mqtt::beacon::{Beacon, wire_time};
use wayside_protocols::mqtt::cell::Cell;
use wayside_protocols::mqtt::topic::Topic;
use wayside_protocols::place::{Fix, Position};
use wayside_protocols::service::{AgentId, Kind};
use wayside_protocols::time::{Duration, Timestamp, UnixMillis};

use super::congestion::Congestion;
use super::io::Publication;
use crate::dice::Dice;

/// The beacons of this agent.
#[derive(Debug)]
pub(super) struct Beaconing {
    me: AgentId,
    epoch: u32,
    kind: Kind,
    dice: Dice,
    up: bool,
    /// Whether this agent is one that moves: a vehicle, or whoever has been seen to. What has moved once may again.
    moves: bool,
    /// Where it stood first.
    home: Option<Position>,
    fix: Option<Fix>,
    said: Option<Said>,
    sequence: u16,
    cell: Option<Cell>,
    /// What its services add up to.
    pub(super) services: u32,
    pub(super) congestion: Congestion,
}

/// The last beacon.
#[derive(Clone, Copy, Debug)]
struct Said {
    at: Timestamp,
    fix: Fix,
    /// What is added to the next wait, in thousandths of it.
    jitter: u32,
}

impl Beaconing {
    pub(super) fn new(me: AgentId, epoch: u32, kind: Kind, seed: u64, congestion: Congestion) -> Self {
        Self {
            me,
            epoch,
            kind,
            dice: Dice::new(seed, "beacons"),
            up: false,
            moves: kind == Kind::Vehicle,
            home: None,
            fix: None,
            said: None,
            sequence: 0,
            cell: None,
            services: 0,
            congestion,
        }
    }

    /// From here on it goes by another name, in another life.
    pub(super) fn rename(&mut self, me: AgentId, epoch: u32) {
        (self.me, self.epoch, self.sequence, self.said) = (me, epoch, 0, None);
    }

    pub(super) fn connected(&mut self) {
        (self.up, self.said) = (true, None);
    }

    pub(super) fn disconnected(&mut self) {
        self.up = false;
    }

    /// Whether this agent is one that moves, and so says where it is by beacons.
    pub(super) fn moves(&self) -> bool {
        self.moves
    }

    /// The agent stands at `fix`.
    pub(super) fn stand(&mut self, fix: Fix) {
        let home = *self.home.get_or_insert(fix.position);
        let pace = fix.motion.map_or(0.0, |motion| motion.speed);
        self.moves |= pace >= WALK || home.distance(&fix.position).as_metres() > f64::from(fix.accuracy).max(STRAY);
        self.fix = Some(fix);
    }

    /// The next beacon, if one is due.
    pub(super) fn speak(&mut self, wall: UnixMillis, now: Timestamp) -> Option<Publication> {
        if self.poll_timeout().is_none_or(|due| due > now) {
            return None;
        }
        self.congestion.step(now);
        let fix = self.fix?;
        if fix.motion.is_some() && now - fix.time > FRESH {
            // Who does not know where it is says nothing until it does.
            self.fix = None;
            return None;
        }
        if self.poll_timeout().is_none_or(|due| due > now) {
            return None;
        }
        let jitter = self.dice.below(JITTER + 1) as u32;
        self.said = Some(Said { at: now, fix, jitter });
        if self.cell.is_none_or(|cell| !cell.admits(&fix.position)) {
            self.cell = Cell::at(&fix.position);
        }
        let ttl = if self.congestion.interval() > HALF { LONG } else { SHORT };
        let beacon = Beacon {
            agent: self.me.clone(),
            epoch: self.epoch,
            sequence: self.sequence,
            kind: self.kind,
            // What stands there still does.
            time: wire_time(if fix.motion.is_some() { fix.time } else { now }, wall, now),
            position: fix.position,
            accuracy: Some(fix.accuracy),
            motion: fix.motion,
            services: self.services,
            ttl,
            seal: None,
        };
        self.sequence = self.sequence.wrapping_add(1);
        let topic = Topic::Beacon { cell: self.cell, agent: self.me.clone() }.to_string().into();
        Some(Publication { topic, payload: beacon.encode(), retain: false, assured: false, expiry: Some(ttl) })
    }

    /// When the next beacon is due.
    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        let fix = self.fix.filter(|_| self.up && self.moves)?;
        let Some(said) = self.said else { return Some(Timestamp::START) };
        let floor = self.congestion.interval();
        let wait = if provokes(&said.fix, &fix) { floor } else { floor.max(SILENCE) };
        Some(said.at + wait + wait * said.jitter / 1_000)
    }
}

/// Whether one who said `before` has to say that it is `now` so.
fn provokes(before: &Fix, now: &Fix) -> bool {
    if before.position != now.position && before.position.distance(&now.position).as_metres() > MOVED {
        return true;
    }
    match (before.motion, now.motion) {
        (Some(before), Some(now)) => {
            let apart = (before.heading - now.heading).abs() % 360.0;
            // What hardly moves has no heading to speak of: a receiver at rest turns on the spot.
            let turned = before.speed.max(now.speed) >= CREEP && apart.min(360.0 - apart) > TURNED;
            turned || (before.speed - now.speed).abs() > SPED
        }
        (None, None) => false,
        (None, Some(_)) | (Some(_), None) => true,
    }
}

/// Metres since the last beacon.
const MOVED: f64 = 4.0;
/// Degrees.
const TURNED: f32 = 4.0;
/// Metres a second.
const SPED: f32 = 0.5;
/// Below this many metres a second a heading means nothing.
const CREEP: f32 = 0.5;
/// The longest silence.
const SILENCE: Duration = Duration::from_secs(1);
/// Thousandths of a wait that are added to it at the most.
const JITTER: u64 = 100;
/// How long a beacon holds: three of the longest silences, five where every beacon counts.
const SHORT: Duration = Duration::from_secs(3);
const LONG: Duration = Duration::from_secs(5);
const HALF: Duration = Duration::from_millis(500);
/// The oldest fix of something in motion that is still told.
const FRESH: Duration = Duration::from_secs(5);
/// Whoever goes at this many metres a second is on its way.
const WALK: f32 = 1.5;
/// Whoever is this many metres from where it stood first has moved; a vague fix may wander about as far as it is vague.
const STRAY: f64 = 50.0;

#[cfg(test)]
#[path = "beaconing/tests.rs"]
mod tests;
