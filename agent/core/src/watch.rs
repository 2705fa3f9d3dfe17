//! Telling somebody what changes, and only that.
//!
//! A receiver's noise must not flap: something comes in at the rim, and goes out only 10 m or [`Z`] sigma beyond it,
//! whichever is more; where a dwell is asked for, only what stays that long on the other side has changed sides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wayside_protocols::place::{Distance, Motion, Position};
use wayside_protocols::service::{Kind, Service, ServiceId, ServiceName};
use wayside_protocols::time::{Duration, Timestamp};

use crate::catalog::Change;
use crate::geo::Z;
use crate::query::Sector;

/// What a watcher wants to hear of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// Which service; `None` for any.
    pub name: Option<ServiceName>,
    /// Only inside this circle.
    pub circle: Option<(Position, Distance)>,
    /// Only what is offered by one of these; empty for any.
    pub kinds: Vec<Kind>,
    /// Only what moves in one of these directions, counted from true north.
    pub heading: Option<Sector>,
    /// Only what lies in one of these directions from the centre of the circle, counted from true north.
    pub sector: Option<Sector>,
    /// How long something must stay on the other side of the rim before it counts as having changed sides.
    pub dwell: Duration,
}

/// Where something stands at the moment it is looked at, and how it moves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stance {
    /// Dead-reckoned.
    pub position: Position,
    /// One sigma, metres.
    pub sigma: f64,
    /// As its last fix has it.
    pub motion: Option<Motion>,
}

/// What a watcher hears.
#[derive(Clone, Debug, PartialEq)]
pub enum WatchEvent {
    /// Forget everything: what follows is the whole picture.
    Reset,
    /// Something is there that was not, or came into the circle.
    Appeared(Arc<Service>),
    /// Something is different.
    Updated(Arc<Service>),
    /// Something is gone, or left the circle.
    Departed(ServiceId),
}

/// One open watch. Keeps an id for each thing inside, and one for each on its way in or out: never more than the
/// catalog has.
#[derive(Clone, Debug)]
pub struct Watch {
    filter: Filter,
    inside: BTreeSet<ServiceId>,
    /// On the other side since less than the dwell, and when that will be over.
    crossing: BTreeMap<ServiceId, Timestamp>,
    due: BTreeSet<(Timestamp, ServiceId)>,
}

impl Watch {
    /// A watch that has told nothing yet.
    pub fn new(filter: Filter) -> Self {
        Self { filter, inside: BTreeSet::new(), crossing: BTreeMap::new(), due: BTreeSet::new() }
    }

    /// What is there when the watch is opened is told at once, without a dwell.
    pub fn picture(&mut self, service: &Arc<Service>, stance: Option<&Stance>) -> Option<WatchEvent> {
        let wanted = self.wants(service, stance) && self.inside.insert(service.id.clone());
        wanted.then(|| WatchEvent::Appeared(Arc::clone(service)))
    }

    /// What this watcher must hear of `change`; `stance` is where the service stands at this moment.
    pub fn step(&mut self, change: &Change, stance: Option<&Stance>, now: Timestamp) -> Option<WatchEvent> {
        let service = change.service();
        if matches!(change, Change::Departed(_)) {
            self.settle(&service.id);
            return self.leave(&service.id);
        }
        let told = self.inside.contains(&service.id);
        if self.wants(service, stance) == told {
            self.settle(&service.id);
            return told.then(|| WatchEvent::Updated(Arc::clone(service)));
        }
        if self.dwells(&service.id, now) {
            return told.then(|| WatchEvent::Updated(Arc::clone(service)));
        }
        self.cross(service)
    }

    /// When the next dwell is over.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(due, _)| *due)
    }

    /// One of those whose dwell is over by `now`; to be looked at again with [`Watch::ripen`].
    pub fn ripe(&mut self, now: Timestamp) -> Option<ServiceId> {
        let (due, id) = self.due.first().filter(|(due, _)| *due <= now)?.clone();
        self.due.remove(&(due, id.clone()));
        self.crossing.remove(&id);
        Some(id)
    }

    /// What this watcher must hear of a service whose dwell is over.
    pub fn ripen(&mut self, service: &Arc<Service>, stance: Option<&Stance>) -> Option<WatchEvent> {
        if self.wants(service, stance) == self.inside.contains(&service.id) {
            return None;
        }
        self.cross(service)
    }

    /// Whether it is to stay where it was told to be for now.
    fn dwells(&mut self, id: &ServiceId, now: Timestamp) -> bool {
        if self.filter.dwell.is_zero() {
            return false;
        }
        let due = *self.crossing.entry(id.clone()).or_insert(now + self.filter.dwell);
        if due > now {
            self.due.insert((due, id.clone()));
            return true;
        }
        self.settle(id);
        false
    }

    fn settle(&mut self, id: &ServiceId) {
        if let Some(due) = self.crossing.remove(id) {
            self.due.remove(&(due, id.clone()));
        }
    }

    fn cross(&mut self, service: &Arc<Service>) -> Option<WatchEvent> {
        if self.inside.insert(service.id.clone()) {
            return Some(WatchEvent::Appeared(Arc::clone(service)));
        }
        self.leave(&service.id)
    }

    fn leave(&mut self, id: &ServiceId) -> Option<WatchEvent> {
        self.inside.remove(id).then(|| WatchEvent::Departed(id.clone()))
    }

    fn wants(&self, service: &Service, stance: Option<&Stance>) -> bool {
        let Filter { name, circle, kinds, heading, sector, .. } = &self.filter;
        let told = self.inside.contains(&service.id);
        // Directions have a rim too.
        let turned = if told { TURN } else { 0.0 };
        let named = name.as_ref().is_none_or(|name| *name == service.name);
        let of_kind = kinds.is_empty() || kinds.contains(&service.kind);
        let headed = heading.is_none_or(|sector| {
            let motion = stance.and_then(|stance| stance.motion).filter(|motion| motion.speed > 0.0);
            motion.is_some_and(|motion| sector.off(motion.heading.into()) <= sector.within + turned)
        });
        let placed = circle.is_none_or(|(centre, radius)| {
            let Some(stance) = stance else { return false };
            let grace = if told { GRACE.max(Z * stance.sigma) } else { 0.0 };
            let beside =
                sector.is_none_or(|sector| sector.off(centre.bearing(&stance.position)) <= sector.within + turned);
            beside && centre.distance(&stance.position).as_metres() <= radius.as_metres() + grace
        });
        named && of_kind && headed && placed
    }
}

/// How far beyond the rim something is left inside, at the least, metres.
const GRACE: f64 = 10.0;
/// How far beyond a sector's rim, degrees: two sigma of a heading.
const TURN: f64 = 8.0;

#[cfg(test)]
mod tests;
