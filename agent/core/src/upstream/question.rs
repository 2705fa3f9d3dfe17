//! From what a caller wants to know to what a registry is asked.

use wayside_protocols::place::{Distance, Position};
use wayside_protocols::registry::ask::{Ask, Bound};
use wayside_protocols::time::Timestamp;

use crate::neighbourhood::Neighbourhood;
use crate::query::{Centre, Comparison, MAX_LIMIT, Near, Query, Requirement, Sieve};

/// The part of `query` that a registry can answer. What depends on this agent (latency, trust, its own heading) is left
/// to it, so a few more rows are asked for then.
///
/// # Errors
/// Why not, in words for people: the agent does not know where it stands.
pub(super) fn of(known: &Neighbourhood, query: &Query, now: Timestamp) -> Result<Ask, Box<str>> {
    let (near, moves) = match query.near {
        None => (None, false),
        Some(Near { centre: Centre::At(centre), radius }) => (Some((centre, radius)), false),
        Some(Near { centre: Centre::Here, radius }) => {
            let here = known.here(now).map_err(|lost| Box::<str>::from(lost.to_string()))?;
            let moves = here.heading.is_some();
            (Some(if moves { snapped(&here.position, radius) } else { (here.position, radius) }), moves)
        }
    };
    let picky = Sieve { kinds: Vec::new(), ..query.sieve.clone() } != Sieve::default() || query.max_latency.is_some();
    let limit = match picky || moves {
        true => query.limit.saturating_mul(4).clamp(40, MAX_LIMIT),
        false => query.limit,
    };
    let mut bounds: Vec<_> = query.require.iter().map(bound).collect();
    bounds.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(Ask {
        name: query.name.clone(),
        near,
        kinds: query.sieve.kinds.clone(),
        bounds,
        critical: query.critical,
        limit,
    })
}

/// What `ask` asks, as a question to the rows it brought.
pub(super) fn back(ask: &Ask) -> Query {
    let mut query = Query::new(ask.name.clone());
    query.near = ask.near.map(|(centre, radius)| Near { centre: Centre::At(centre), radius });
    query.sieve.kinds = ask.kinds.clone();
    query.require = ask.bounds.iter().map(|(resource, bound)| requirement(resource, bound)).collect();
    query.critical = ask.critical;
    query.limit = MAX_LIMIT;
    query
}

fn bound(requirement: &Requirement) -> (Box<str>, Bound) {
    let value = requirement.value.clone();
    let bound = match requirement.comparison {
        Comparison::Equal => Bound::Equal(value),
        Comparison::AtLeast => Bound::AtLeast(value),
        Comparison::AtMost => Bound::AtMost(value),
    };
    (requirement.resource.clone(), bound)
}

fn requirement(resource: &str, bound: &Bound) -> Requirement {
    let (comparison, value) = match bound {
        Bound::Equal(value) => (Comparison::Equal, value),
        Bound::AtLeast(value) => (Comparison::AtLeast, value),
        Bound::AtMost(value) => (Comparison::AtMost, value),
    };
    Requirement { resource: resource.into(), comparison, value: value.clone() }
}

/// Who moves asks from the corners of a net, and for as much more around them, so that the next question a few metres
/// on is the same one.
fn snapped(position: &Position, radius: Distance) -> (Position, Distance) {
    let to_mesh = |degrees: f64, step: f64| (degrees / step).round() * step;
    let north = MESH / METRES_PER_DEGREE;
    let latitude = to_mesh(position.latitude(), north).clamp(-90.0, 90.0);
    // Meshes grow narrow towards the poles; what is left of them is still a mesh.
    let east = north / latitude.to_radians().cos().max(0.01);
    let longitude = to_mesh(position.longitude(), east).clamp(-180.0, 180.0);
    let centre = Position::new(latitude, longitude).unwrap_or(*position);
    let wider = radius.as_metres() + centre.distance(position).as_metres().max(MESH);
    (centre, Distance::new(wider).unwrap_or(Distance::FARTHEST))
}

/// The width of a mesh, metres.
const MESH: f64 = 50.0;
const METRES_PER_DEGREE: f64 = 111_320.0;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_wider_circle_holds_the_one_that_was_meant(lat in -89.9f64..89.9, lon in -180.0f64..180.0, radius in 1u32..5_000) {
            let here = Position::new(lat, lon).unwrap();
            let radius = Distance::metres(radius);
            let (centre, wider) = snapped(&here, radius);
            prop_assert!(centre.distance(&here).as_metres() + radius.as_metres() <= wider.as_metres() + 0.01);
        }
    }

    #[test]
    fn a_few_metres_on_the_question_is_the_same() {
        let here = Position::new(48.8566, 2.3522).unwrap();
        let (centre, wider) = snapped(&here, Distance::metres(500));
        let near = centre.moved(90.0, 10.0);
        assert_eq!(snapped(&near, Distance::metres(500)), (centre, wider));
        assert_eq!(wider, Distance::metres(550));
    }
}
