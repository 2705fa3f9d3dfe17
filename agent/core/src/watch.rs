//! Telling somebody what changes, and only that.
//!
//! A receiver's noise must not flap: something comes in at the rim, and goes out only 10 m or [`Z`] sigma beyond it,
//! whichever is more; where a dwell is asked for, only what stays that long on the other side has changed sides.
//!
//! Nor must traffic drown the rest: a thing of which nothing is different but where it is, is told of at once if nothing
//! was told of it for [`MOVES`], else as soon as that is over, and then as it is by then.

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
    /// Something is different. If that is only where it is, said once a second at the most.
    Updated(Arc<Service>),
    /// Something is gone, or left the circle.
    Departed(ServiceId),
}

/// One open watch. Keeps an id for each thing inside, one for each on its way in or out, and one for each that moved
/// and is still to be told: never more of either than the catalog has.
#[derive(Clone, Debug)]
pub struct Watch {
    filter: Filter,
    /// When each was last told.
    inside: BTreeMap<ServiceId, Timestamp>,
    /// On the other side since less than the dwell, and when that will be over.
    crossing: Due,
    /// Moved since it was told, and when that may be told.
    moved: Due,
}

impl Watch {
    /// A watch that has told nothing yet.
    pub fn new(filter: Filter) -> Self {
        Self { filter, inside: BTreeMap::new(), crossing: Due::default(), moved: Due::default() }
    }

    /// What is there when the watch is opened is told at once, without a dwell.
    pub fn picture(&mut self, service: &Arc<Service>, stance: Option<&Stance>, now: Timestamp) -> Option<WatchEvent> {
        let wanted = self.wants(service, stance) && self.inside.insert(service.id.clone(), now).is_none();
        wanted.then(|| WatchEvent::Appeared(Arc::clone(service)))
    }

    /// What this watcher must hear of `change`; `stance` is where the service stands at this moment.
    pub fn step(&mut self, change: &Change, stance: Option<&Stance>, now: Timestamp) -> Option<WatchEvent> {
        let service = change.service();
        if matches!(change, Change::Departed(_)) {
            return self.leave(&service.id);
        }
        if self.wants(service, stance) == self.inside.contains_key(&service.id) {
            self.crossing.clear(&service.id);
            return self.update(change, now);
        }
        if self.dwells(&service.id, now) {
            return self.update(change, now);
        }
        self.cross(service, now)
    }

    /// When the next dwell is over, or the next move may be told.
    pub fn next_due(&self) -> Option<Timestamp> {
        let dues = [self.crossing.next(), self.moved.next()];
        dues.into_iter().flatten().min()
    }

    /// One of those whose dwell is over by `now`, or whose move may be told; to be looked at again with
    /// [`Watch::ripen`].
    pub fn ripe(&mut self, now: Timestamp) -> Option<ServiceId> {
        self.crossing.ring(now).or_else(|| self.moved.ring(now))
    }

    /// What this watcher must hear of a service that is ripe.
    pub fn ripen(&mut self, service: &Arc<Service>, stance: Option<&Stance>, now: Timestamp) -> Option<WatchEvent> {
        self.step(&Change::Moved(Arc::clone(service)), stance, now)
    }

    /// Tells of something inside; of a mere move later, if something was told of it just now.
    fn update(&mut self, change: &Change, now: Timestamp) -> Option<WatchEvent> {
        let service = change.service();
        let told = self.inside.get_mut(&service.id)?;
        let due = *told + MOVES;
        if matches!(change, Change::Moved(_)) && now < due {
            self.moved.set(&service.id, due);
            return None;
        }
        *told = now;
        self.moved.clear(&service.id);
        Some(WatchEvent::Updated(Arc::clone(service)))
    }

    /// Whether it is to stay where it was told to be for now.
    fn dwells(&mut self, id: &ServiceId, now: Timestamp) -> bool {
        !self.filter.dwell.is_zero() && self.crossing.set(id, now + self.filter.dwell) > now
    }

    fn cross(&mut self, service: &Arc<Service>, now: Timestamp) -> Option<WatchEvent> {
        if self.inside.contains_key(&service.id) {
            return self.leave(&service.id);
        }
        self.crossing.clear(&service.id);
        self.inside.insert(service.id.clone(), now);
        Some(WatchEvent::Appeared(Arc::clone(service)))
    }

    fn leave(&mut self, id: &ServiceId) -> Option<WatchEvent> {
        self.crossing.clear(id);
        self.moved.clear(id);
        self.inside.remove(id).map(|_| WatchEvent::Departed(id.clone()))
    }

    fn wants(&self, service: &Service, stance: Option<&Stance>) -> bool {
        let Filter { name, circle, kinds, heading, sector, .. } = &self.filter;
        let told = self.inside.contains_key(&service.id);
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

/// Moments that ids wait for.
#[derive(Clone, Debug, Default)]
struct Due {
    of: BTreeMap<ServiceId, Timestamp>,
    order: BTreeSet<(Timestamp, ServiceId)>,
}

impl Due {
    /// Has `id` wait until `due`, unless it waits already; says until when it does.
    fn set(&mut self, id: &ServiceId, due: Timestamp) -> Timestamp {
        if let Some(earlier) = self.of.get(id) {
            return *earlier;
        }
        self.of.insert(id.clone(), due);
        self.order.insert((due, id.clone()));
        due
    }

    fn clear(&mut self, id: &ServiceId) {
        if let Some(due) = self.of.remove(id) {
            self.order.remove(&(due, id.clone()));
        }
    }

    fn next(&self) -> Option<Timestamp> {
        self.order.first().map(|(due, _)| *due)
    }

    /// One whose moment has come. It rings once, but counts as waiting until it is cleared.
    fn ring(&mut self, now: Timestamp) -> Option<ServiceId> {
        let (due, id) = self.order.first().filter(|(due, _)| *due <= now)?.clone();
        self.order.remove(&(due, id.clone()));
        Some(id)
    }
}

/// From one telling of a thing to the next if it has only moved.
pub const MOVES: Duration = Duration::from_secs(1);
/// How far beyond the rim something is left inside, at the least, metres.
const GRACE: f64 = 10.0;
/// How far beyond a sector's rim, degrees: two sigma of a heading.
const TURN: f64 = 8.0;

#[cfg(test)]
mod tests;
