//! One service at a time: does it fit, and if not, why not.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use wayside_protocols::place::Distance;
use wayside_protocols::service::{Health, Kind, Latency, Service, ServiceId, Value};
use wayside_protocols::time::Timestamp;

use super::nearest;
use super::sieve::{self, Held};
use super::tier::{self, Offers, Scope};
use super::{Circle, Found, report};
use crate::catalog::{Entry, Gist, Slot};
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
    let (mut fitting, mut left_out) = sift(known, query, scope, circle, now);
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
        report.nearest = nearest::nearest(known, query, scope, circle, now, &mut left_out);
    }
    report.left_out = left_out.into_iter().collect();
    Found { matches, report }
}

/// What fits, in no order, and a count of what does not.
fn sift<'a>(
    known: &'a Neighbourhood,
    query: &'a Query,
    scope: &'a Scope,
    circle: Option<Circle>,
    now: Timestamp,
) -> (Vec<Fit<'a>>, BTreeMap<Reason, usize>) {
    let name = match &query.name {
        None => None,
        Some(name) => match known.catalog().number_of_name(name) {
            Some(number) => Some(number),
            None => return Default::default(),
        },
    };
    let me = known.catalog().number_of_agent(known.me());
    let mut sieve =
        Sieve { known, query, scope, circle, now, name, me, left_out: BTreeMap::new(), fitting: Vec::new() };
    match circle {
        Some(circle) => sieve.around(circle),
        None => sieve.anywhere(),
    }
    (sieve.fitting, sieve.left_out)
}

/// The order of DESIGN 3: definite before possible, priority descending, latency ascending, distance ascending, id.
/// Ahead of it all, what answers its health checks comes before what fails them.
pub(super) fn rank(found: &Match) -> impl Ord + '_ {
    let Match { service, verdict, latency, .. } = found;
    let distance = found.place.map(|place| place.distance);
    rank_of((service.health, *verdict, service.priority, *latency), distance, &service.id)
}

fn rank_of(
    (health, verdict, priority, latency): (Health, Verdict, u8, Latency),
    distance: Option<Distance>,
    id: &ServiceId,
) -> impl Ord + '_ {
    // A distance is never negative, so its bits order as it does.
    let metres = distance.map_or(0, |distance| distance.as_metres().to_bits());
    (health == Health::Failing, verdict, Reverse(priority), latency.round_trip, metres, id)
}

struct Sieve<'a> {
    known: &'a Neighbourhood,
    query: &'a Query,
    scope: &'a Scope,
    circle: Option<Circle>,
    now: Timestamp,
    /// What stands for the name that is asked for, and for this agent.
    name: Option<u64>,
    me: Option<u64>,
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
            let carrier = entry.gist().kind;
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
                self.sift(slot, entry, entry.gist().kind, None, Some(Verdict::Definite));
            }),
            None => known.catalog().entries().for_each(|(slot, entry)| {
                self.sift(slot, entry, entry.gist().kind, None, Some(Verdict::Definite));
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
        if self.name.is_some_and(|name| name != entry.gist().name) {
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
        let gist = entry.gist();
        let own = self.me == Some(gist.agent) || gist.own;
        if !self.scope.offers.include(offered_by(gist.kind, carrier), own) {
            return Err(Reason::OtherKind);
        }
        if self.scope.offers == Offers::CriticalFixed && !gist.critical {
            return Err(Reason::NotCritical);
        }
        let verdict = verdict.ok_or(Reason::TooFar)?.max(self.pass(slot, entry, estimate)?);
        if self.scope.certain && verdict != Verdict::Definite {
            return Err(Reason::NotCertain);
        }
        if self.query.critical && gist.health == Health::Failing {
            return Err(Reason::Unhealthy);
        }
        if gist.trust < self.query.min_trust {
            return Err(Reason::Untrusted);
        }
        let latency = gist.latency.unwrap_or_else(|| tier::usual_latency(self.scope.tier));
        if self.query.max_latency.is_some_and(|max| latency.round_trip > max) {
            return Err(Reason::TooSlow);
        }
        self.query.require.iter().try_for_each(|requirement| holds(requirement, entry.shown()))?;
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
        let Gist { health, priority, .. } = *self.entry.gist();
        let distance = self.estimate.map(|estimate| estimate.distance);
        rank_of((health, self.verdict, priority, self.latency), distance, &self.entry.shown().id)
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

/// What offers a service in the eyes of the ladder: what rides on a vehicle is a vehicle's, and what rides on something
/// else is not, whatever its own announcement says.
pub(super) fn offered_by(kind: Kind, carrier: Kind) -> Kind {
    if (kind == Kind::Vehicle) == (carrier == Kind::Vehicle) { kind } else { carrier }
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
