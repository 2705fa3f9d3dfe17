//! Which tier answers a question, and why the others do not.

mod candidate;
mod nearest;
mod sieve;
mod tier;

use wayside_protocols::place::{Distance, Position};
use wayside_protocols::time::{Duration, Timestamp};

use crate::neighbourhood::Neighbourhood;
use crate::query::{Answer, Cause, Centre, Match, Outcome, Query, Tier, TierReport, Unreached};
use tier::Scope;

/// Where a question is asked from, once that is known.
#[derive(Clone, Copy, Debug)]
struct Circle {
    centre: Position,
    /// One sigma of the centre itself, metres.
    sigma: f64,
    radius: Distance,
    /// Whether the centre is known well enough for anything to be definite.
    certain: bool,
    /// Which way the agent goes that asks from where it stands.
    heading: Option<f32>,
}

/// Answers `query` from what is known at `now`. The first tier that has a match answers; see DESIGN 3.
pub fn find(known: &Neighbourhood, query: &Query, now: Timestamp) -> Answer {
    let mut answer = near(known, query, now);
    close(&mut answer);
    answer
}

/// Says of the registries that none was asked, and why.
pub(crate) fn close(answer: &mut Answer) {
    let outcome = if answer.tier.is_some() { Outcome::NotNeeded } else { Outcome::NotConfigured };
    for tier in [Tier::Region, Tier::Cloud] {
        answer.explain.push(unasked(tier, outcome));
    }
}

/// What a registry's tier has to say that was not asked.
pub(crate) fn unasked(tier: Tier, outcome: Outcome) -> TierReport {
    TierReport { outcome, ..report(tier, "its registry, by name and place".into()) }
}

/// Best first, and no more than wanted.
pub(crate) fn sort(answer: &mut Answer, limit: u16) {
    answer.matches.sort_by(|a, b| candidate::rank(a).cmp(&candidate::rank(b)));
    answer.matches.truncate(usize::from(limit));
}

/// What fits `query` of the rows that a registry of `tier` told, best first.
///
/// # Errors
/// Why the circle cannot be drawn, in words for people.
pub(crate) fn beyond(
    rows: &Neighbourhood,
    known: &Neighbourhood,
    query: &Query,
    (tier, asked): (Tier, Box<str>),
    now: Timestamp,
) -> Result<Found, Box<str>> {
    let scope = tier::beyond(query, tier, asked);
    let circle = circle(known, query, &scope, now)?;
    Ok(candidate::collect(rows, query, &scope, circle, now))
}

/// What the agent answers by itself, as far as `query` wants to go; nothing is said of the tiers beyond.
pub(crate) fn near(known: &Neighbourhood, query: &Query, now: Timestamp) -> Answer {
    let mut answer = Answer::default();
    for scope in tier::ladder(query) {
        if scope.tier > query.farthest || answer.tier.is_some() && !query.all_tiers {
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
                answer.unreached.push(Unreached { tier: scope.tier, reason, cause: Cause::Unplaced });
                answer.explain.push(TierReport { outcome: Outcome::Unreached, ..not_needed(&scope) });
            }
        }
    }
    sort(&mut answer, query.limit);
    answer
}

/// The circle a scope asks for, if the question names a place; or why it cannot be drawn.
fn circle(known: &Neighbourhood, query: &Query, scope: &Scope, now: Timestamp) -> Result<Option<Circle>, Box<str>> {
    let Some(radius) = scope.radius else { return Ok(None) };
    let centre = query.near.map_or(Centre::Here, |near| near.centre);
    let wants_heading = [query.sieve.sector, query.sieve.heading].iter().flatten().any(|sector| sector.relative);
    let here = known.here(now);
    let heading = here.ok().and_then(|here| here.heading);
    if wants_heading && heading.is_none() {
        return Err("own heading unknown: the agent stands still or has no fix; name a bearing from true north".into());
    }
    Ok(Some(match centre {
        Centre::At(centre) => Circle { centre, sigma: 0.0, radius, certain: true, heading },
        Centre::Here => {
            let here = here.map_err(|lost| lost.to_string())?;
            Circle { centre: here.position, sigma: here.sigma, radius, certain: here.certain, heading }
        }
    }))
}

fn not_needed(scope: &Scope) -> TierReport {
    TierReport { outcome: Outcome::NotNeeded, ..report(scope.tier, scope.asked.clone()) }
}

fn report(tier: Tier, asked: Box<str>) -> TierReport {
    TierReport {
        tier,
        asked,
        fitting: 0,
        left_out: Vec::new(),
        nearest: None,
        took: Duration::ZERO,
        outcome: Outcome::Empty,
    }
}

/// What one scope found.
pub(crate) struct Found {
    pub(crate) matches: Vec<Match>,
    pub(crate) report: TierReport,
}

#[cfg(test)]
mod tests;
