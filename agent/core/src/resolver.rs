//! Which tier answers a question, and why the others do not.

mod candidate;
mod tier;

use wayside_protocols::place::{Distance, Fix, Position};
use wayside_protocols::time::Timestamp;

use crate::geo;
use crate::neighbourhood::Neighbourhood;
use crate::query::{Answer, Centre, Match, Outcome, Query, Tier, TierReport, Unreached};
use tier::Scope;

/// Where a question is asked from, once that is known.
#[derive(Clone, Copy, Debug)]
struct Circle {
    centre: Position,
    /// One sigma of the centre itself, metres.
    sigma: f64,
    radius: Distance,
}

/// Answers `query` from what is known at `now`. The first tier that has a match answers; see DESIGN 3.
pub fn find(known: &Neighbourhood, query: &Query, now: Timestamp) -> Answer {
    let mut answer = Answer::default();
    for scope in tier::ladder(query) {
        if answer.tier.is_some() && !query.all_tiers {
            answer.explain.push(not_needed(&scope));
            continue;
        }
        match circle(known, query, &scope, now) {
            Ok(circle) => {
                let found = candidate::collect(known, query, &scope, circle, now);
                if !found.matches.is_empty() {
                    answer.tier.get_or_insert(scope.tier);
                }
                answer.matches.extend(found.matches);
                answer.explain.push(found.report);
            }
            Err(reason) => {
                answer.unreached.push(Unreached { tier: scope.tier, reason: reason.into() });
                answer.explain.push(TierReport { outcome: Outcome::Unreached, ..not_needed(&scope) });
            }
        }
    }
    for tier in [Tier::Region, Tier::Cloud] {
        let outcome = if answer.tier.is_some() { Outcome::NotNeeded } else { Outcome::NotConfigured };
        answer.explain.push(TierReport { outcome, ..report(tier, "its registry, by name and place".into()) });
    }
    answer.matches.sort_by(|a, b| candidate::rank(a).cmp(&candidate::rank(b)));
    answer.matches.truncate(usize::from(query.limit));
    answer
}

/// The circle a scope asks for, if the question names a place.
fn circle(known: &Neighbourhood, query: &Query, scope: &Scope, now: Timestamp) -> Result<Option<Circle>, &'static str> {
    let Some(radius) = scope.radius else { return Ok(None) };
    match query.near.map_or(Centre::Here, |near| near.centre) {
        Centre::At(centre) => Ok(Some(Circle { centre, sigma: 0.0, radius })),
        Centre::Here => {
            let own = known.own().ok_or("this agent does not know where it stands; set [position] or give a place")?;
            Ok(Some(here(own, radius, now)))
        }
    }
}

fn here(own: Fix, radius: Distance, now: Timestamp) -> Circle {
    let standing = geo::standing(&own, now);
    // The agent asks about itself in every direction at once, so its own drift is the worst along any line.
    let seconds = standing.age.as_secs_f64();
    let drift = if own.motion.is_some() { 0.5 * geo::ACCELERATION * seconds * seconds } else { 0.0 };
    Circle { centre: standing.position(), sigma: f64::from(own.accuracy).hypot(drift), radius }
}

fn not_needed(scope: &Scope) -> TierReport {
    TierReport { outcome: Outcome::NotNeeded, ..report(scope.tier, scope.asked.clone()) }
}

fn report(tier: Tier, asked: Box<str>) -> TierReport {
    TierReport { tier, asked, fitting: 0, left_out: Vec::new(), nearest: None, outcome: Outcome::Empty }
}

/// What one scope found.
struct Found {
    matches: Vec<Match>,
    report: TierReport,
}

#[cfg(test)]
mod tests;
