//! Questions on their way: each goes out once, however many wait for it; to a second node if the first fails, or takes
//! longer than it hardly ever does.

use wayside_protocols::registry::ask::Ask;
use wayside_protocols::registry::told::Told;
use wayside_protocols::time::{Duration, Timestamp};

use super::{Call, Exchange, ExchangeId, Failure, Said, Upstreams};
use crate::neighbourhood::Neighbourhood;
use crate::query::{Cause, Outcome, Reason, Ticket, TierReport, Trace};

/// Which upstream is asked, and the question as it is written.
pub(super) type Key = (usize, Box<[u8]>);

/// One question on its way.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) ask: Ask,
    /// Whoever waits for it; nobody, if an answer is only to be kept fresh.
    pub(super) waiters: Vec<Ticket>,
    tried: Vec<usize>,
    open: usize,
    pub(super) hedge_at: Timestamp,
    failures: Vec<String>,
    cause: Cause,
    /// In the name of whoever asked first.
    trace: Option<Trace>,
}

/// What was sent, to whom and when.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) line: usize,
    pub(super) node: usize,
    pub(super) at: Timestamp,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Ask(Key),
    Announce,
}

impl Upstreams {
    /// Has `ticket`, if anybody, wait for the answer to `ask`; sends it unless it is on its way already.
    ///
    /// # Errors
    /// Why it cannot be asked at all.
    pub(super) fn join(&mut self, key: &Key, ask: Ask, ticket: Option<Ticket>, now: Timestamp) -> Result<(), Failure> {
        if let Some(flight) = self.flights.get_mut(key) {
            flight.waiters.extend(ticket);
            self.counters.count("upstream_coalesced_total");
            return Ok(());
        }
        if self.flights.len() >= FLIGHTS {
            self.counters.count("upstream_busy_total");
            let why = format!("{FLIGHTS} questions are on their way already").into();
            return Err(Failure { cause: Cause::Unreachable, why });
        }
        let line = &self.lines[key.0];
        let node = line.choose(&[], &mut self.dice, now).ok_or_else(|| line.why(now))?;
        let asker = ticket.and_then(|ticket| self.waiting.get(&ticket));
        let trace = asker.and_then(|waiting| waiting.trace_of(line.tier));
        let flight = Flight {
            ask,
            trace,
            waiters: ticket.into_iter().collect(),
            tried: Vec::new(),
            open: 0,
            hedge_at: Timestamp::NEVER,
            failures: Vec::new(),
            cause: Cause::Unreachable,
        };
        self.flights.insert(key.clone(), flight);
        self.lines[key.0].budget.earn();
        self.counters.count("upstream_questions_total");
        self.ask_node(key, node, now);
        Ok(())
    }

    /// A node answered a question, or did not.
    pub(super) fn landed(
        &mut self,
        key: Key,
        (node, at): (usize, Timestamp),
        result: Result<&[u8], Failure>,
        known: &Neighbourhood,
        now: Timestamp,
    ) {
        let told = result.and_then(|body| {
            Told::decode(body, now).map_err(|error| Failure {
                cause: Cause::Contract,
                why: format!("is not the contract: {error}").into(),
            })
        });
        match told {
            Ok(told) => {
                let asked = &mut self.lines[key.0].nodes[node];
                asked.breaker.answered();
                asked.pulse.beat(now - at, now);
                self.learn(key, told, known, now);
            }
            Err(failure) => {
                self.counters.count("upstream_failures_total");
                self.failed(key.0, node, &failure, now);
                self.try_another(key, node, failure, known, now);
            }
        }
    }

    /// A node failed.
    pub(super) fn failed(&mut self, line: usize, node: usize, failure: &Failure, now: Timestamp) {
        let timeout = self.lines[line].timeout;
        let asked = &mut self.lines[line].nodes[node];
        // However quickly it failed, that is no reason to prefer it.
        asked.pulse.beat(timeout, now);
        if asked.breaker.failed(&failure.why, &mut self.dice, now) {
            self.counters.count("upstream_breaker_opened_total");
        }
    }

    /// Asks a second node where the first takes longer than 95 of 100 answers did.
    pub(super) fn hedge(&mut self, now: Timestamp) {
        let due: Vec<Key> =
            self.flights.iter().filter(|(_, flight)| flight.hedge_at <= now).map(|(key, _)| key.clone()).collect();
        for key in due {
            let Some(flight) = self.flights.get_mut(&key) else { continue };
            flight.hedge_at = Timestamp::NEVER;
            let line = &mut self.lines[key.0];
            if let Some(node) = line.choose(&flight.tried, &mut self.dice, now)
                && line.budget.spend()
            {
                self.counters.count("upstream_hedged_total");
                self.ask_node(&key, node, now);
            }
        }
    }

    /// Asks anew what is in use and grows old.
    pub(super) fn freshen(&mut self, now: Timestamp) {
        for line in 0..self.lines.len() {
            for ask in self.lines[line].cache.stale(now) {
                let key: Key = (line, ask.to_json().into());
                if !self.flights.contains_key(&key) && self.join(&key, ask, None, now).is_ok() {
                    self.counters.count("upstream_cache_refreshes_total");
                }
            }
        }
    }

    /// What the shell never answered has failed.
    pub(super) fn lose_the_lost(&mut self, known: &Neighbourhood, now: Timestamp) {
        let late = |sent: &Sent, timeout: Duration| now - sent.at > timeout + SLACK;
        let lost: Vec<ExchangeId> = (self.sent.iter())
            .filter(|(_, sent)| late(sent, self.lines[sent.line].timeout))
            .map(|(id, _)| *id)
            .collect();
        for id in lost {
            let why = "nothing came of it".into();
            self.told(id, Err(Failure { cause: Cause::Late, why }), known, now);
        }
    }

    pub(super) fn send(&mut self, line: usize, node: usize, what: What, body: Vec<u8>, now: Timestamp) {
        self.serial += 1;
        let id = ExchangeId(self.serial);
        let call = if matches!(what, What::Ask(_)) { Call::Ask } else { Call::Announce };
        let trace = match &what {
            What::Ask(key) => self.flights.get(key).and_then(|flight| flight.trace),
            What::Announce => None,
        };
        let within = self.lines[line].timeout;
        let asked = &mut self.lines[line].nodes[node];
        asked.breaker.asked(now);
        asked.pulse.in_flight += 1;
        self.sent.insert(id, Sent { line, node, at: now, what });
        self.outputs.push_back(Said::Exchange(Exchange { id, line, node, call, body, within, trace }));
    }

    fn ask_node(&mut self, key: &Key, node: usize, now: Timestamp) {
        let Some(flight) = self.flights.get_mut(key) else { return };
        flight.tried.push(node);
        flight.open += 1;
        let line = &self.lines[key.0];
        let more = line.nodes.len() > flight.tried.len() && flight.tried.len() < 2;
        flight.hedge_at = if more { now + line.nodes[node].pulse.p95() } else { Timestamp::NEVER };
        self.send(key.0, node, What::Ask(key.clone()), key.1.to_vec(), now);
    }

    /// An answer is kept, and given to all who wait for it.
    fn learn(&mut self, key: Key, told: Told, known: &Neighbourhood, now: Timestamp) {
        let Some(flight) = self.flights.remove(&key) else { return };
        self.news |= !told.rows.is_empty();
        let line = &mut self.lines[key.0];
        // Both tiers of the registry are asked, so what is "of another kind" for one of them says nothing.
        let telling = Reason::ALL.into_iter().filter(|reason| *reason != Reason::OtherKind);
        let left_out = telling.filter_map(|reason| {
            let (_, count) = told.left_out.iter().find(|(said, _)| **said == *reason.as_str())?;
            Some((reason, *count))
        });
        let holds = told.rows.iter().filter_map(|row| row.ttl).min().unwrap_or(Duration::MAX);
        let report = TierReport {
            tier: line.tier,
            asked: line.asked(),
            fitting: told.fitting,
            left_out: left_out.collect(),
            nearest: told.nearest,
            took: Duration::ZERO,
            outcome: if told.rows.is_empty() { Outcome::Empty } else { Outcome::Answered },
        };
        let evicted =
            line.store.learn(Some(&flight.ask), told, now) + line.cache.put(&key.1, flight.ask, (report, holds), now);
        if evicted > 0 {
            self.counters.add("upstream_cache_evictions_total", evicted);
        }
        for ticket in flight.waiters {
            self.landed_for(ticket, &key, known, now);
        }
    }

    /// The next node, if there is one; else all who wait are told.
    fn try_another(&mut self, key: Key, node: usize, failure: Failure, known: &Neighbourhood, now: Timestamp) {
        let Some(flight) = self.flights.get_mut(&key) else { return };
        flight.open -= 1;
        flight.failures.push(format!("{}: {}", self.lines[key.0].nodes[node].name, failure.why));
        flight.cause = failure.cause;
        if flight.open > 0 {
            return;
        }
        if let Some(next) = self.lines[key.0].choose(&flight.tried, &mut self.dice, now) {
            return self.ask_node(&key, next, now);
        }
        let Some(flight) = self.flights.remove(&key) else { return };
        let failure = Failure { cause: flight.cause, why: flight.failures.join(", ").into() };
        for ticket in flight.waiters {
            self.pass_by(ticket, failure.clone(), known, now);
        }
    }
}

/// Different questions that are on their way at the same time; a further one counts as failed.
const FLIGHTS: usize = 256;
/// How much longer than allowed an exchange may take before it counts as lost.
const SLACK: Duration = Duration::from_secs(2);
