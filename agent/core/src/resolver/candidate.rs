//! One service at a time: does it fit, and if not, why not.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use wayside_protocols::place::Distance;
use wayside_protocols::service::{Health, Kind, Latency, Service, Value};
use wayside_protocols::time::Timestamp;

use super::sieve::{self, Held};
use super::tier::{self, Offers, Scope};
use super::{Circle, Found, report};
use crate::catalog::{Entry, Slot};
use crate::geo::{Estimate, Key, verdict};
use crate::neighbourhood::Neighbourhood;
use crate::query::{self, Comparison, Match, Outcome, Query, Reason, Requirement, Sighted, Verdict};

/// Everything in `scope` that fits `query`, best first, and a count of what does not.
pub(super) fn collect(
    known: &Neighbourhood,
    query: &Query,
    scope: &Scope,
    circle: Option<Circle>,
    now: Timestamp,
) -> Found {
    let mut sieve = Sieve { known, query, scope, circle, now, left_out: BTreeMap::new(), fitting: Vec::new() };
    match circle {
        Some(circle) => sieve.around(circle),
        None => sieve.anywhere(),
    }
    let Sieve { mut fitting, mut left_out, .. } = sieve;
    let (total, limit) = (fitting.len(), usize::from(query.limit));
    if total > limit && limit > 0 {
        // Of a city's chargers ten are asked for: the others need no order.
        fitting.select_nth_unstable_by(limit - 1, |a, b| a.rank().cmp(&b.rank()));
        fitting.truncate(limit);
    }
    fitting.sort_by(|a, b| a.rank().cmp(&b.rank()));
    if total > limit {
        left_out.insert(Reason::OverLimit, total - limit);
    }
    let matches: Vec<Match> = fitting.into_iter().take(limit).map(|fit| fit.shown(known, scope, circle, now)).collect();
    let mut report = report(scope.tier, scope.asked.clone());
    report.fitting = total;
    report.outcome = if total == 0 { Outcome::Empty } else { Outcome::Answered };
    if total == 0
        && let Some(circle) = circle
    {
        report.nearest = nearest(known, query, scope, circle, now, &mut left_out);
    }
    report.left_out = left_out.into_iter().collect();
    Found { matches, report }
}

/// The order of DESIGN 3: definite before possible, priority descending, latency ascending, distance ascending, id.
/// Ahead of it all, what answers its health checks comes before what fails them.
pub(super) fn rank(found: &Match) -> impl Ord + '_ {
    rank_of(&found.service, found.verdict, found.latency, found.place.map(|place| place.distance))
}

fn rank_of(service: &Service, verdict: Verdict, latency: Latency, distance: Option<Distance>) -> impl Ord + '_ {
    // A distance is never negative, so its bits order as it does.
    let metres = distance.map_or(0, |distance| distance.as_metres().to_bits());
    let failing = service.health == Health::Failing;
    (failing, verdict, Reverse(service.priority), latency.round_trip, metres, &service.id)
}

struct Sieve<'a> {
    known: &'a Neighbourhood,
    query: &'a Query,
    scope: &'a Scope,
    circle: Option<Circle>,
    now: Timestamp,
    left_out: BTreeMap<Reason, usize>,
    fitting: Vec<Fit<'a>>,
}

/// A service that fits, before it is dressed up for the answer.
struct Fit<'a> {
    slot: Slot,
    entry: &'a Entry,
    estimate: Option<Estimate>,
    verdict: Verdict,
    latency: Latency,
}

impl<'a> Sieve<'a> {
    fn around(&mut self, circle: Circle) {
        let known = self.known;
        let mut near: Vec<(Slot, Estimate)> = Vec::new();
        let reach = circle.radius.as_metres() + 2.0 * circle.sigma;
        let reach = Distance::new(reach).unwrap_or(Distance::FARTHEST);
        let population = self.scope.offers.population();
        known.geo().within(&circle.centre, reach, population, self.now, &mut |key: Key, seen| {
            near.push((Slot(key.0), seen.estimate()));
        });
        for (slot, estimate) in near {
            let verdict = verdict(&estimate, circle.radius, circle.sigma)
                .map(|verdict| if circle.certain { verdict } else { Verdict::Possible });
            let Some(entry) = known.catalog().at(slot) else { continue };
            let carrier = entry.shown().kind;
            self.sift(slot, entry, carrier, Some(estimate), verdict);
            for (rider, entry) in known.riders(slot) {
                self.sift(rider, entry, carrier, Some(estimate), verdict);
            }
        }
    }

    fn anywhere(&mut self) {
        let known = self.known;
        match &self.query.name {
            Some(name) => known.catalog().named(name).for_each(|(slot, entry)| {
                self.sift(slot, entry, entry.shown().kind, None, Some(Verdict::Definite));
            }),
            None => known.catalog().entries().for_each(|(slot, entry)| {
                self.sift(slot, entry, entry.shown().kind, None, Some(Verdict::Definite));
            }),
        }
    }

    fn sift(
        &mut self,
        slot: Slot,
        entry: &'a Entry,
        carrier: Kind,
        estimate: Option<Estimate>,
        verdict: Option<Verdict>,
    ) {
        if !named(self.query, entry.shown()) {
            return;
        }
        match self.fits(slot, entry, carrier, estimate, verdict) {
            Ok(fit) => self.fitting.push(fit),
            Err(reason) => *self.left_out.entry(reason).or_default() += 1,
        }
    }

    fn fits(
        &self,
        slot: Slot,
        entry: &'a Entry,
        carrier: Kind,
        estimate: Option<Estimate>,
        verdict: Option<Verdict>,
    ) -> Result<Fit<'a>, Reason> {
        let service = entry.shown();
        let own = service.agent.as_ref() == Some(self.known.me()) || entry.own();
        if !self.scope.offers.include(offered_by(service.kind, carrier), own) {
            return Err(Reason::OtherKind);
        }
        if self.scope.offers == Offers::CriticalFixed && !service.critical {
            return Err(Reason::NotCritical);
        }
        let verdict = verdict.ok_or(Reason::TooFar)?.max(self.pass(slot, entry, estimate)?);
        if self.scope.certain && verdict != Verdict::Definite {
            return Err(Reason::NotCertain);
        }
        if self.query.critical && service.health == Health::Failing {
            return Err(Reason::Unhealthy);
        }
        if service.trust < self.query.min_trust {
            return Err(Reason::Untrusted);
        }
        let latency = service.latency.unwrap_or_else(|| tier::usual_latency(self.scope.tier));
        if self.query.max_latency.is_some_and(|max| latency.round_trip > max) {
            return Err(Reason::TooSlow);
        }
        self.query.require.iter().try_for_each(|requirement| holds(requirement, service))?;
        Ok(Fit { slot, entry, estimate, verdict, latency })
    }
}

impl Sieve<'_> {
    /// What the question's own filters make of it.
    fn pass(&self, slot: Slot, entry: &Entry, estimate: Option<Estimate>) -> Result<Verdict, Reason> {
        let (known, asked) = (self.known, &self.query.sieve);
        if *asked == query::Sieve::default() && self.circle.is_none_or(|circle| circle.centre.altitude().is_none()) {
            return Ok(Verdict::Definite);
        }
        let body = known.body(slot);
        let carrier = body.and_then(|key| known.catalog().at(Slot(key.0))).unwrap_or(entry);
        let mine = carrier.shown().agent.as_ref() == Some(known.me());
        let own = known.own().filter(|_| mine);
        let seen = body.and_then(|key| known.geo().position(key, self.now)).map(|standing| standing.position());
        let held = Held {
            kind: entry.shown().kind,
            age: self.now - entry.heard().max(carrier.heard()),
            fix: carrier.shown().fix.as_ref().or(own.as_ref()),
            seen: seen.zip(estimate),
        };
        sieve::pass(asked, self.circle, &held)
    }
}

impl Fit<'_> {
    fn rank(&self) -> impl Ord + '_ {
        rank_of(self.entry.shown(), self.verdict, self.latency, self.estimate.map(|estimate| estimate.distance))
    }

    fn shown(&self, known: &Neighbourhood, scope: &Scope, circle: Option<Circle>, now: Timestamp) -> Match {
        let body = known.body(self.slot);
        let position = body.and_then(|key| known.geo().position(key, now)).map(|standing| standing.position());
        // What rides along is as fresh as the word for what carries it.
        let carrier = body.and_then(|key| known.catalog().at(Slot(key.0))).unwrap_or(self.entry);
        let heard = self.entry.heard().max(carrier.heard());
        let place = circle.zip(self.estimate).zip(position).map(|((circle, estimate), position)| Sighted {
            distance: estimate.distance,
            bearing: circle.centre.bearing(&position),
            sigma: estimate.sigma.hypot(circle.sigma),
        });
        Match {
            service: Arc::clone(self.entry.shown()),
            place,
            position,
            verdict: self.verdict,
            tier: scope.tier,
            sources: self.entry.claims().iter().map(|held| held.source).collect(),
            latency: self.latency,
            age: now - heard,
            ttl: self.entry.until() - now,
            stale: false,
        }
    }
}

/// Where the nearest of that name stands when none fits, counting on the way what has no position or is too far. Where
/// there are more than [`COUNTED`] of that name, nobody counts: a question that finds nothing must not cost more than one
/// that does.
fn nearest(
    known: &Neighbourhood,
    query: &Query,
    scope: &Scope,
    circle: Circle,
    now: Timestamp,
    left_out: &mut BTreeMap<Reason, usize>,
) -> Option<Distance> {
    let name = query.name.as_ref().filter(|name| known.catalog().offering(name) <= COUNTED)?;
    let mut nearest: Option<Distance> = None;
    for (slot, entry) in known.catalog().named(name) {
        let service = entry.shown();
        let body = known.body(slot);
        let carrier =
            body.and_then(|key| known.catalog().at(Slot(key.0))).map_or(service.kind, |body| body.shown().kind);
        let offered = offered_by(service.kind, carrier);
        if !scope.offers.include(offered, service.agent.as_ref() == Some(known.me()) || entry.own()) {
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

/// What offers a service in the eyes of the ladder: what rides on a vehicle is a vehicle's, and what rides on something
/// else is not, whatever its own announcement says.
fn offered_by(kind: Kind, carrier: Kind) -> Kind {
    if (kind == Kind::Vehicle) == (carrier == Kind::Vehicle) { kind } else { carrier }
}

fn named(query: &Query, service: &Service) -> bool {
    query.name.as_ref().is_none_or(|name| *name == service.name)
}

fn holds(requirement: &Requirement, service: &Service) -> Result<(), Reason> {
    let value = service.resources.get(&requirement.resource).ok_or(Reason::Unstated)?;
    let holds = match (requirement.comparison, value, &requirement.value) {
        (Comparison::Equal, value, wanted) => value == wanted,
        (Comparison::AtLeast, Value::Number(value), Value::Number(wanted)) => value >= wanted,
        (Comparison::AtMost, Value::Number(value), Value::Number(wanted)) => value <= wanted,
        (Comparison::AtLeast | Comparison::AtMost, _, _) => false,
    };
    holds.then_some(()).ok_or(Reason::Resources)
}

/// Services of one name among which the nearest is looked for; each costs a tenth of a microsecond.
const COUNTED: usize = 1_024;
