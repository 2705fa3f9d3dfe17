//! Everybody who waits for an upstream, and how far up the ladder they have come.

use std::collections::VecDeque;

use wayside_protocols::time::{Duration, Timestamp};

use super::cache::Look;
use super::flight::Key;
use super::store::Of;
use super::{Failure, Said, Upstreams, question};
use crate::neighbourhood::Neighbourhood;
use crate::query::{Answer, Cause, Match, Outcome, Query, Ticket, Tier, TierReport, Trace, Unreached};
use crate::resolver;

/// One caller.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) query: Query,
    answer: Answer,
    /// What is known of upstreams that could not be asked; the answer, if nobody else has one.
    aside: Vec<Match>,
    /// The upstreams that may still be asked, the one that is being asked first.
    route: VecDeque<usize>,
    /// Since when.
    since: Timestamp,
    /// How long this one is waited for.
    pub(super) until: Timestamp,
    /// When there must be an answer.
    ends: Timestamp,
}

impl Upstreams {
    /// Goes on where the local tiers ended, with what they had to say.
    pub(crate) fn ask(&mut self, ticket: Ticket, query: Query, answer: Answer, known: &Neighbourhood, now: Timestamp) {
        let whole = query.deadline.unwrap_or(PATIENCE);
        // The answer has to be out by then, not only known.
        let ends = now + (whole - (whole / 5).min(MARGIN));
        let route = self.shards.route(query.name.as_ref());
        let route = route.filter(|line| self.lines[*line].tier <= query.farthest).collect();
        let waiting = Waiting { query, answer, aside: Vec::new(), route, since: now, until: Timestamp::NEVER, ends };
        self.waiting.insert(ticket, waiting);
        self.counters.count("upstream_asked_total");
        self.climb(ticket, known, now);
    }

    /// Whoever has waited long enough for one upstream goes on to the next. What is on its way may still be worth
    /// keeping when it comes.
    pub(super) fn give_up_waiting(&mut self, known: &Neighbourhood, now: Timestamp) {
        let late: Vec<Ticket> =
            self.waiting.iter().filter(|(_, waiting)| waiting.until <= now).map(|(ticket, _)| *ticket).collect();
        for ticket in late {
            self.flights.values_mut().for_each(|flight| flight.waiters.retain(|waiter| *waiter != ticket));
            let line = self.waiting.get(&ticket).and_then(|waiting| self.lines.get(*waiting.route.front()?));
            let why = format!("{}: no answer in time", line.map(names).unwrap_or_default()).into();
            self.pass_by(ticket, Failure { cause: Cause::Late, why }, known, now);
        }
    }

    /// Goes up from the upstream that `ticket` has come to, until one has to be waited for or the answer is there.
    pub(super) fn climb(&mut self, ticket: Ticket, known: &Neighbourhood, now: Timestamp) {
        while let Some(waiting) = self.waiting.get(&ticket) {
            let Some(at) = waiting.route.front().copied() else { return self.finish(ticket, now) };
            let line = &mut self.lines[at];
            let ask = match question::of(known, &waiting.query, now) {
                Ok(ask) => ask,
                Err(reason) => {
                    self.skip(ticket, Failure { cause: Cause::Unplaced, why: reason }, Vec::new(), now);
                    continue;
                }
            };
            let key: Key = (at, ask.to_json().into());
            let look = line.cache.look(&key.1, now);
            if let Look::Fresh(report) = look {
                self.counters.count("upstream_cache_hits_total");
                self.take(ticket, report, known, now);
                continue;
            }
            let expired = look == Look::Expired;
            self.counters.count("upstream_cache_misses_total");
            let waited = self.wait_until(ticket, expired, now);
            match self.join(&key, ask, Some(ticket), now) {
                Ok(()) if waited > now => return,
                Ok(()) => {
                    let why = format!("{}: no time was left to ask", names(&self.lines[at])).into();
                    let late = Failure { cause: Cause::Late, why };
                    return self.pass_by(ticket, late, known, now);
                }
                Err(failure) => {
                    let kept = self.kept(ticket, known, now);
                    self.skip(ticket, failure, kept, now);
                }
            }
        }
    }

    /// What `ticket` waited for has come.
    pub(super) fn landed_for(&mut self, ticket: Ticket, key: &Key, known: &Neighbourhood, now: Timestamp) {
        // It lies there unless it is larger than all that may be kept.
        if let Some(report) = self.lines[key.0].cache.peek(&key.1).cloned() {
            self.take(ticket, report, known, now);
            self.climb(ticket, known, now);
        } else {
            let why = "the answer is larger than cache_bytes".into();
            self.pass_by(ticket, Failure { cause: Cause::Contract, why }, known, now);
        }
    }

    /// The upstream that `ticket` waits for could not answer: on to the next.
    pub(super) fn pass_by(&mut self, ticket: Ticket, failure: Failure, known: &Neighbourhood, now: Timestamp) {
        let kept = self.kept(ticket, known, now);
        self.skip(ticket, failure, kept, now);
        self.climb(ticket, known, now);
    }

    /// Until when this upstream is waited for: an equal share of what is left for each that may still be asked, but only
    /// a moment where an older answer can stand in (stale-while-revalidate: the question goes on by itself).
    fn wait_until(&mut self, ticket: Ticket, expired: bool, now: Timestamp) -> Timestamp {
        let Some(waiting) = self.waiting.get_mut(&ticket) else { return now };
        let Some(line) = waiting.route.front().map(|at| &self.lines[*at]) else { return now };
        // The cast cannot cut: nobody has 2^32 upstreams.
        let share = (waiting.ends - now) / waiting.route.len() as u32;
        let quick = line.nodes.iter().map(|node| node.pulse.p95()).max().unwrap_or(MOMENT) * 2;
        let patience = if expired { quick.max(MOMENT) } else { line.timeout + GRACE };
        waiting.until = now + share.min(patience);
        waiting.until
    }

    /// The rows of a fresh answer.
    fn take(&mut self, ticket: Ticket, said: TierReport, known: &Neighbourhood, now: Timestamp) {
        let Some(waiting) = self.waiting.get_mut(&ticket) else { return };
        let Some(line) = waiting.route.pop_front().map(|at| &self.lines[at]) else { return };
        let found = line.store.find(known, &waiting.query, line.asked(), Of::Fresh, now);
        let took = waiting.pass(now);
        let more_of_it = |at: &usize| line.shard && self.lines[*at].tier == line.tier;
        if waiting.query.name.is_some() {
            // Every owner of the name holds the same.
            waiting.route.retain(|at| !more_of_it(at));
        }
        let Ok(mut found) = found else { return };
        found.report.took = took;
        for (reason, count) in said.left_out {
            match found.report.left_out.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, here)) => *here = (*here).max(count),
                None => found.report.left_out.push((reason, count)),
            }
        }
        found.report.nearest = found.report.nearest.or(said.nearest);
        if !found.matches.is_empty() {
            found.report.fitting = found.report.fitting.max(said.fitting);
            waiting.answer.tier.get_or_insert(line.tier);
            if !waiting.query.all_tiers {
                waiting.route.retain(more_of_it);
            }
        }
        waiting.answer.explain.push(found.report);
        waiting.add(found.matches);
    }

    /// What is left of earlier answers.
    fn kept(&mut self, ticket: Ticket, known: &Neighbourhood, now: Timestamp) -> Vec<Match> {
        let Some(waiting) = self.waiting.get(&ticket) else { return Vec::new() };
        let Some(line) = waiting.route.front().map(|at| &self.lines[*at]) else { return Vec::new() };
        let found = line.store.find(known, &waiting.query, line.asked(), Of::All, now);
        let mut kept = found.map(|found| found.matches).unwrap_or_default();
        // It may have been told a moment ago, but nobody says so now.
        kept.iter_mut().for_each(|found| found.stale = true);
        kept
    }

    fn skip(&mut self, ticket: Ticket, failure: Failure, kept: Vec<Match>, now: Timestamp) {
        let Some(waiting) = self.waiting.get_mut(&ticket) else { return };
        let Some(line) = waiting.route.pop_front().map(|at| &self.lines[at]) else { return };
        waiting.until = Timestamp::NEVER;
        let took = waiting.pass(now);
        let Failure { cause, why: reason } = failure;
        waiting.answer.unreached.push(Unreached { tier: line.tier, reason, cause });
        waiting.answer.explain.push(TierReport {
            tier: line.tier,
            asked: line.asked(),
            fitting: kept.len(),
            left_out: Vec::new(),
            nearest: None,
            took,
            outcome: Outcome::Unreached,
        });
        let fresh = |found: &Match| waiting.aside.iter().all(|known| known.service.id != found.service.id);
        let kept: Vec<Match> = kept.into_iter().filter(fresh).collect();
        waiting.aside.extend(kept);
    }

    fn finish(&mut self, ticket: Ticket, now: Timestamp) {
        let Some(waiting) = self.waiting.remove(&ticket) else { return };
        let Waiting { query, mut answer, aside, .. } = waiting;
        let merge = query.all_tiers || answer.matches.is_empty();
        if merge && !aside.is_empty() {
            self.counters.count("upstream_cache_stale_served_total");
            answer.tier = answer.tier.or_else(|| aside.first().map(|found| found.tier));
            let known: Vec<_> = answer.matches.iter().map(|found| found.service.id.clone()).collect();
            answer.matches.extend(aside.into_iter().filter(|found| !known.contains(&found.service.id)));
        }
        for tier in [Tier::Region, Tier::Cloud] {
            if answer.explain.iter().all(|report| report.tier != tier) {
                let configured = self.lines.iter().any(|line| line.tier == tier);
                let outcome = if configured { Outcome::NotNeeded } else { Outcome::NotConfigured };
                answer.explain.push(resolver::unasked(tier, outcome));
            }
        }
        answer.explain.sort_by_key(|report| report.tier);
        resolver::sort(&mut answer, query.limit);
        self.spread.among_equals(&mut answer.matches, &mut self.dice, now);
        self.outputs.push_back(Said::Answer(ticket, Box::new(answer)));
    }
}

impl Waiting {
    /// The part of the question's trace that the upstream is which is asked now: its report will be the next of `tier`.
    pub(super) fn trace_of(&self, tier: Tier) -> Option<Trace> {
        let nth = self.answer.explain.iter().filter(|report| report.tier == tier).count();
        self.query.trace.map(|trace| trace.at(tier, nth))
    }

    /// How long one upstream was waited for; from now on it is the next.
    fn pass(&mut self, now: Timestamp) -> Duration {
        now - std::mem::replace(&mut self.since, now)
    }

    /// Adds matches; what a nearer tier said of the same service stands.
    fn add(&mut self, matches: Vec<Match>) {
        let known: Vec<_> = self.answer.matches.iter().map(|found| found.service.id.clone()).collect();
        self.answer.matches.extend(matches.into_iter().filter(|found| !known.contains(&found.service.id)));
    }
}

fn names(line: &super::line::Line) -> String {
    line.nodes.iter().map(|node| &*node.name).collect::<Vec<_>>().join(", ")
}

/// How long a caller waits who does not say.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long the way back to the caller may take.
const MARGIN: Duration = Duration::from_millis(50);
/// How much longer than a node may take it is waited for the word that it did: the reason is better then.
const GRACE: Duration = Duration::from_millis(100);
/// How long an expired answer waits for a new one before it is given.
const MOMENT: Duration = Duration::from_millis(50);
