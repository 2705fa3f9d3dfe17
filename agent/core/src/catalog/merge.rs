//! One service out of several sources' words, field by field.

use std::sync::Arc;

use wayside_protocols::place::Fix;
use wayside_protocols::service::{Basis, Health, Latency, Service, Trust};

use super::{Change, Held};

/// The service as `claims` (most believed source first) together show it; `None` if there is no claim.
///
/// A field is taken from the most believed source that states it. Three differ: the newest fix wins, because positions
/// age; a measured latency wins over a reported one; and trust is that of the most trusted claim.
pub(super) fn shown(claims: &[Held]) -> Option<Arc<Service>> {
    let (best, rest) = claims.split_first()?;
    if rest.is_empty() && !best.source.own() {
        return Some(Arc::clone(&best.service));
    }
    let mut service = Service::clone(&best.service);
    for held in rest {
        let other = &held.service;
        service.agent = service.agent.or_else(|| other.agent.clone());
        service.endpoint = service.endpoint.or_else(|| other.endpoint.clone());
        service.area = service.area.or_else(|| other.area.clone());
        for (key, value) in &other.resources {
            service.resources.entry(key.clone()).or_insert_with(|| value.clone());
        }
        for (key, value) in &other.metadata {
            service.metadata.entry(key.clone()).or_insert_with(|| value.clone());
        }
        if service.health == Health::Unknown {
            service.health = other.health;
        }
        service.latency = better(service.latency, other.latency);
        service.trust = service.trust.max(other.trust);
    }
    // Where this agent placed a service itself, nobody on the network moves it.
    let own = best.source.own() && service.fix.is_some();
    if !own {
        let fixes = claims.iter().filter_map(|held| held.service.fix);
        service.fix = fixes.reduce(|newest, fix| if fix.time > newest.time { fix } else { newest });
    }
    if best.source.own() {
        service.trust = Trust::Own;
    }
    Some(Arc::new(service))
}

/// What a watcher would call the difference between two showings, if there is any. When a thing that stands still was
/// measured again is no news.
pub(super) fn difference(before: &Service, after: Arc<Service>) -> Option<Change> {
    if !others_equal(before, &after) {
        return Some(Change::Updated(after));
    }
    let moved = match (before.fix, after.fix) {
        (Some(old), Some(new)) => {
            let stands = old.motion.is_none() && new.motion.is_none();
            let time = if stands { new.time } else { old.time };
            Fix { time, ..old } != new
        }
        (None, None) => false,
        // That it has a place at all, or none any more, is more than a move.
        (None, Some(_)) | (Some(_), None) => return Some(Change::Updated(after)),
    };
    moved.then_some(Change::Moved(after))
}

fn others_equal(before: &Service, after: &Service) -> bool {
    before.name == after.name
        && before.kind == after.kind
        && before.agent == after.agent
        && before.endpoint == after.endpoint
        && before.area == after.area
        && before.priority == after.priority
        && before.critical == after.critical
        && before.resources == after.resources
        && before.metadata == after.metadata
        && before.health == after.health
        && before.trust == after.trust
        && before.latency.is_some() == after.latency.is_some()
}

fn better(best: Option<Latency>, other: Option<Latency>) -> Option<Latency> {
    match (best, other) {
        (Some(a), Some(b)) if a.basis != Basis::Measured && b.basis == Basis::Measured => Some(b),
        (Some(a), _) => Some(a),
        (None, b) => b,
    }
}
