//! Whom to ask beyond the neighbourhood: the registries of the region and the cloud.
//!
//! The ladder goes on here where the local tiers end. Each upstream is asked in turn, region before cloud, within what is
//! left of the deadline; questions that are alike go out once; a node that fails is left alone for a while; what was told
//! is kept, so that it can be told again while its registry cannot be reached, and then it says so. An upstream that fails
//! is a line in the answer, never a reason to hide what is known.
//!
//! `breaker` (whether a node is asked) · `pulse` (how quick it is) · `budget` (how many questions go out twice) · `cache`
//! (which questions were answered) · `store` (the rows) · `line` (one upstream) · `question` (what is asked) · `flight`
//! (what is on its way) · `ladder` (who waits for it) · `shards` (which upstream holds what) · `spread` (whom a caller tries
//! first) · `announce` (what registries are told).

pub(crate) mod announce;
mod breaker;
mod budget;
mod cache;
mod flight;
mod ladder;
mod line;
mod pulse;
mod question;
mod shards;
mod spread;
mod store;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use wayside_protocols::mqtt::announcement::Announcement;
use wayside_protocols::place::Position;
use wayside_protocols::registry::placement::Shard;
use wayside_protocols::registry::rows::Receipt;
use wayside_protocols::service::{AgentId, Kind, Service};
use wayside_protocols::time::{Duration, Timestamp};

use crate::counters::Counters;
use crate::dice::Dice;
use crate::limits::Limits;
use crate::neighbourhood::Neighbourhood;
use crate::query::{Answer, Cause, Ticket, Tier, Trace};
use announce::Speaker;
pub use cache::Keeping;
use flight::{Flight, Key, Sent, What};
use ladder::Waiting;
use shards::Shards;
use spread::Spread;
use store::ToKeep;

/// Every upstream, in the order in which they are asked: regions, then clouds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings(pub Vec<Line>);

/// One upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// [`Tier::Region`] or [`Tier::Cloud`].
    pub tier: Tier,
    /// Its nodes, as answers name them.
    pub nodes: Vec<Box<str>>,
    /// How long one of them may take.
    pub timeout: Duration,
    /// How often it is told that this agent is there; `None` tells it nothing at all.
    pub refresh: Option<Duration>,
    /// How long its answers are kept.
    pub keeping: Keeping,
    /// Which shard of its tier's registry it is; of one tier all are, or none.
    pub shard: Option<Shard>,
}

/// Names one exchange with a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeId(pub u64);

/// Something to say to one node of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// What it is answered by.
    pub id: ExchangeId,
    /// Which upstream, counted in [`Settings`].
    pub line: usize,
    /// Which of its nodes.
    pub node: usize,
    /// What it is.
    pub call: Call,
    /// JSON.
    pub body: Vec<u8>,
    /// How long it may take.
    pub within: Duration,
    /// In whose name; `None` where nobody in particular asks.
    pub trace: Option<Trace>,
}

/// What is said to a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// A question.
    Ask,
    /// What this agent offers.
    Announce,
}

/// Why an exchange failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// In one word.
    pub cause: Cause,
    /// In words for people.
    pub why: Box<str>,
}

/// The upstreams, and everybody who waits for them.
#[derive(Debug)]
pub(crate) struct Upstreams {
    lines: Vec<line::Line>,
    shards: Shards,
    waiting: BTreeMap<Ticket, Waiting>,
    flights: BTreeMap<Key, Flight>,
    sent: BTreeMap<ExchangeId, Sent>,
    serial: u64,
    dice: Dice,
    counters: Counters,
    outputs: VecDeque<Said>,
    swept: Timestamp,
    spread: Spread,
    /// Something was told since rows were last kept over a restart, and when that is due.
    news: bool,
    keep_at: Timestamp,
}

/// What the upstreams want done.
#[derive(Debug)]
pub(crate) enum Said {
    Exchange(Exchange),
    Answer(Ticket, Box<Answer>),
    Keep(Vec<Kept>),
}

/// A row as it is kept over a restart.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// Which tier told it.
    pub tier: Tier,
    /// What it says.
    pub service: Arc<Service>,
    /// How old the word for it is.
    pub age: Duration,
}

impl Upstreams {
    /// `None` if there is none.
    pub(crate) fn new(settings: &Settings, me: &AgentId, limits: &Limits, seed: u64) -> Option<Self> {
        let lines: Vec<_> = settings.0.iter().map(|line| line::Line::new(line, me, limits)).collect();
        (!lines.is_empty()).then(|| Self {
            lines,
            shards: Shards::new(&settings.0),
            waiting: BTreeMap::new(),
            flights: BTreeMap::new(),
            sent: BTreeMap::new(),
            serial: 0,
            dice: Dice::new(seed, "upstream"),
            counters: Counters::default(),
            outputs: VecDeque::new(),
            swept: Timestamp::START,
            spread: Spread::default(),
            news: false,
            keep_at: Timestamp::START + KEEP_FIRST,
        })
    }

    /// An exchange came to an end.
    pub(crate) fn told(
        &mut self,
        id: ExchangeId,
        result: Result<&[u8], Failure>,
        known: &Neighbourhood,
        now: Timestamp,
    ) {
        let Some(sent) = self.sent.remove(&id) else { return };
        let node = &mut self.lines[sent.line].nodes[sent.node];
        node.pulse.in_flight = node.pulse.in_flight.saturating_sub(1);
        match sent.what {
            What::Ask(key) => self.landed(key, (sent.node, sent.at), result, known, now),
            What::Announce => self.acknowledged((sent.line, sent.node, sent.at), result, now),
        }
    }

    /// Lets time pass.
    pub(crate) fn handle_timeout(&mut self, known: &Neighbourhood, now: Timestamp) {
        self.hedge(now);
        self.give_up_waiting(known, now);
        if now - self.swept >= SWEEP {
            self.swept = now;
            self.lose_the_lost(known, now);
            self.lines.iter_mut().for_each(|line| line.store.expire(now));
            self.freshen(now);
            self.keep(known, now);
        }
    }

    /// What an earlier run kept is known again, as last-known-good: at the line of its tier.
    pub(crate) fn restore(&mut self, kept: Vec<Kept>, now: Timestamp) {
        for kept in kept {
            if let Some(line) = self.lines.iter_mut().find(|line| line.tier == kept.tier) {
                line.store.restore(kept, now);
            }
        }
    }

    /// Keeps what is nearest over a restart, now and then: a crash costs what was told since, and flash wears little.
    fn keep(&mut self, known: &Neighbourhood, now: Timestamp) {
        if self.news && self.keep_at <= now {
            self.keep_at = now + KEEP_EVERY;
            self.news = false;
            let mut rows = ToKeep::default();
            self.lines.iter().for_each(|line| line.store.to_keep(&mut rows, known.own(), now));
            self.outputs.push_back(Said::Keep(rows.nearest()));
        }
    }

    /// When [`Upstreams::handle_timeout`] or [`Upstreams::speak`] is due.
    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        let busy = !self.sent.is_empty() || self.lines.iter().any(|line| line.cache.len() + line.store.len() > 0);
        let waiting = self.waiting.values().map(|waiting| waiting.until).min();
        let hedges = self.flights.values().map(|flight| flight.hedge_at).min().filter(|at| *at != Timestamp::NEVER);
        let announcers = self.lines.iter().filter_map(|line| line.announcer.as_ref()?.poll_timeout()).min();
        [waiting, hedges, announcers, busy.then_some(self.swept + SWEEP)].into_iter().flatten().min()
    }

    /// The next thing to do.
    pub(crate) fn poll_output(&mut self) -> Option<Said> {
        self.outputs.pop_front()
    }

    /// This agent offers just this, and stands there.
    pub(crate) fn offer(&mut self, rows: &[Announcement], place: Option<(Position, f32)>, now: Timestamp) {
        for (at, line) in self.lines.iter_mut().enumerate() {
            let Some(announcer) = &mut line.announcer else { continue };
            let told = rows.iter().filter(|row| self.shards.told_of(at, row.name.as_ref())).cloned();
            let beyond = announcer.offer(told, place, now);
            if beyond > 0 {
                self.counters.add("upstream_rows_not_told_total", beyond as u64);
            }
        }
    }

    /// Says to registries what is due.
    pub(crate) fn speak(&mut self, speaker: &(AgentId, Kind, u32), now: Timestamp) {
        for line in 0..self.lines.len() {
            let due = |at| at <= now;
            if !self.lines[line].announcer.as_ref().and_then(|a| a.poll_timeout()).is_some_and(due) {
                continue;
            }
            let Some(node) = self.lines[line].choose(&self.lines[line].tried, &mut self.dice, now) else {
                let next = self.lines[line].next_attempt(now);
                if let Some(announcer) = &mut self.lines[line].announcer {
                    announcer.not_before(next);
                }
                continue;
            };
            let message = self.lines[line].announcer.as_mut().and_then(|a| a.message(said_by(speaker), now));
            if let Some(message) = message {
                self.counters.count(if message.whole {
                    "upstream_announced_whole_total"
                } else {
                    "upstream_announced_total"
                });
                self.send(line, node, What::Announce, message.encode(), now);
            }
        }
    }

    /// Says goodbye to registries.
    pub(crate) fn leave(&mut self, speaker: &(AgentId, Kind, u32), known: &Neighbourhood, now: Timestamp) {
        self.keep_at = now;
        self.keep(known, now);
        for line in 0..self.lines.len() {
            let farewell = self.lines[line].announcer.as_mut().and_then(|a| a.farewell(said_by(speaker)));
            if let Some((message, node)) = farewell.zip(self.lines[line].choose(&[], &mut self.dice, now)) {
                self.send(line, node, What::Announce, message.encode(), now);
            }
        }
    }

    /// From here on this agent goes by another name.
    pub(crate) fn renamed(&mut self, now: Timestamp) {
        self.lines.iter_mut().filter_map(|line| line.announcer.as_mut()).for_each(|a| a.renamed(now));
    }

    /// Adds what was counted, and what is held.
    pub(crate) fn count_into(&self, counters: &mut Counters) {
        self.counters.iter().for_each(|(what, n)| counters.add(what, n));
    }

    /// Questions and rows that are held, their bytes, and how many nodes are left alone at the moment.
    pub(crate) fn held(&self, now: Timestamp) -> Held {
        let open = |node: &&line::Node| matches!(node.breaker.gate(now), breaker::Gate::Open(_));
        Held {
            questions: self.lines.iter().map(|line| line.cache.len()).sum(),
            rows: self.lines.iter().map(|line| line.store.len()).sum(),
            bytes: self.lines.iter().map(|line| line.cache.bytes() + line.store.bytes()).sum(),
            nodes: self.lines.iter().map(|line| line.nodes.len()).sum(),
            nodes_open: self.lines.iter().flat_map(|line| &line.nodes).filter(open).count(),
            latency: self.lines.iter().flat_map(|line| &line.nodes).filter_map(|node| node.pulse.peak()).min(),
        }
    }

    fn acknowledged(
        &mut self,
        (line, node, at): (usize, usize, Timestamp),
        result: Result<&[u8], Failure>,
        now: Timestamp,
    ) {
        let contract = |error: wayside_protocols::mqtt::FieldError| Failure {
            cause: Cause::Contract,
            why: format!("is not the contract: {error}").into(),
        };
        let receipt = result.and_then(|body| Receipt::decode(body).map_err(contract));
        match receipt {
            Ok(receipt) => {
                self.lines[line].tried.clear();
                let asked = &mut self.lines[line].nodes[node];
                asked.breaker.answered();
                asked.pulse.beat(now - at, now);
                if let Some(announcer) = &mut self.lines[line].announcer
                    && announcer.taken(&receipt, &mut self.dice, now)
                {
                    self.counters.count("upstream_resaid_total");
                }
            }
            Err(failure) => {
                self.counters.count("upstream_announce_failures_total");
                if failure.cause == Cause::Refused {
                    // It cannot keep records at the moment, but it is there, and may answer questions.
                    self.lines[line].nodes[node].breaker.answered();
                } else {
                    self.failed(line, node, &failure, now);
                }
                let line = &mut self.lines[line];
                line.tried.push(node);
                let another = line.choose(&line.tried, &mut self.dice, now).is_some();
                if !another {
                    line.tried.clear();
                }
                match &mut line.announcer {
                    Some(announcer) if another => announcer.failed_there(now),
                    Some(announcer) => announcer.lost(&mut self.dice, now),
                    None => {}
                }
            }
        }
    }
}

/// What the upstreams hold at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Questions that were answered.
    pub questions: usize,
    /// Rows of all answers.
    pub rows: usize,
    /// Bytes of both.
    pub bytes: usize,
    /// Nodes there are.
    pub nodes: usize,
    /// Nodes that are left alone because they failed.
    pub nodes_open: usize,
    /// What the quickest node takes.
    pub latency: Option<Duration>,
}

fn said_by((agent, kind, epoch): &(AgentId, Kind, u32)) -> Speaker {
    Speaker { agent: agent.clone(), kind: *kind, epoch: *epoch }
}

/// When rows are first kept over a restart, and how often after that: 64 KiB each time are 3 MiB a day at the most.
const KEEP_FIRST: Duration = Duration::from_secs(60);
const KEEP_EVERY: Duration = Duration::from_secs(1_800);
/// How often it is looked whether anything has grown old.
const SWEEP: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
