//! How far the nearest is, where nothing fits.

use std::collections::BTreeMap;

use wayside_protocols::place::Distance;
use wayside_protocols::time::Timestamp;

use super::Circle;
use super::candidate::offered_by;
use super::tier::Scope;
use crate::catalog::Slot;
use crate::neighbourhood::Neighbourhood;
use crate::query::{Query, Reason};

/// Where the nearest of that name stands when none fits, counting on the way what has no position or is too far. Where
/// there are more than [`COUNTED`] of that name, nobody counts: a question that finds nothing must not cost more than one
/// that does.
pub(super) fn nearest(
    known: &Neighbourhood,
    query: &Query,
    scope: &Scope,
    circle: Circle,
    now: Timestamp,
    left_out: &mut BTreeMap<Reason, usize>,
) -> Option<Distance> {
    let name = query.name.as_ref().filter(|name| known.catalog().offering(name) <= COUNTED)?;
    let me = known.catalog().number_of_agent(known.me());
    let mut nearest: Option<Distance> = None;
    for (slot, entry) in known.catalog().named(name) {
        let gist = entry.gist();
        let body = known.body(slot);
        let carrier = body.and_then(|key| known.catalog().at(Slot(key.0))).map_or(gist.kind, |body| body.gist().kind);
        let offered = offered_by(gist.kind, carrier);
        if !scope.offers.include(offered, me == Some(gist.agent) || gist.own) {
            continue;
        }
        let Some(position) = body.and_then(|key| known.geo().position(key, now)) else {
            *left_out.entry(Reason::NoPosition).or_default() += 1;
            continue;
        };
        let distance = circle.centre.distance(&position.position());
        if distance > circle.radius {
            *left_out.entry(Reason::TooFar).or_default() += 1;
        }
        nearest = Some(nearest.map_or(distance, |best| if distance < best { distance } else { best }));
    }
    nearest
}

/// Services of one name among which the nearest is looked for; each costs a tenth of a microsecond.
const COUNTED: usize = 1_024;
