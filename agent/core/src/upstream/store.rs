//! The rows a registry told, apart from what is known here: nothing in it can push out, or overrule, what this agent has
//! heard itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wayside_protocols::place::Fix;
use wayside_protocols::registry::ask::Ask;
use wayside_protocols::registry::told::{Row, Told};
use wayside_protocols::service::{AgentId, Kind, ServiceId};
use wayside_protocols::sighting::{Sighting, Source};
use wayside_protocols::time::{Duration, Timestamp};

use super::cache::Keeping;
use super::{Kept, question};
use crate::limits::Limits;
use crate::neighbourhood::Neighbourhood;
use crate::query::{MAX_LIMIT, Match, Outcome, Query, Reason, Tier};
use crate::resolver::{self, Found};

/// Rows of one upstream, the latest word for each.
#[derive(Debug)]
pub(super) struct Store {
    me: AgentId,
    tier: Tier,
    keeping: Keeping,
    rows: Neighbourhood,
    told: BTreeMap<ServiceId, Heard>,
    bytes: usize,
}

/// When and how a row was told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    pub(super) at: Timestamp,
    /// How old the word was by then.
    pub(super) age: Duration,
    pub(super) ttl: Option<Duration>,
    /// Whether it was no more than last-known-good by then.
    pub(super) stale: bool,
    weight: usize,
}

/// Which rows an answer may be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// Those told lately.
    Fresh,
    /// All that are left.
    All,
}

impl Store {
    pub(super) fn new(me: AgentId, tier: Tier, keeping: Keeping, limits: &Limits) -> Self {
        // Rows are bounded by bytes; one agent's share is what its registry lets it have.
        let limits = Limits {
            services: keeping.bytes / LEAST,
            services_per_source: keeping.bytes / LEAST,
            services_per_agent: keeping.bytes / LEAST,
            max_ttl: keeping.stale,
            ..limits.clone()
        };
        let rows = Neighbourhood::new(me.clone(), limits);
        Self { me, tier, keeping, rows, told: BTreeMap::new(), bytes: 0 }
    }

    /// Takes in what was told in answer to `ask`, and forgets what should have been among it but was not. How many rows
    /// had to make room.
    pub(super) fn learn(&mut self, ask: Option<&Ask>, told: Told, now: Timestamp) -> u64 {
        let whole = told.fitting <= told.rows.len();
        let ids: BTreeSet<ServiceId> = told.rows.iter().map(|row| row.service.id.clone()).collect();
        let mut gone = 0;
        for row in told.rows {
            gone += self.take(row, now);
        }
        if let Some(ask) = ask.filter(|ask| whole && !ask.critical) {
            let query = question::back(ask);
            let fitting = resolver::beyond(&self.rows, &self.rows, &query, (self.tier, "".into()), now);
            for found in fitting.into_iter().flat_map(|found| found.matches) {
                if !ids.contains(&found.service.id) {
                    self.forget(&found.service.id.clone(), now);
                }
            }
        }
        gone
    }

    /// One row. What this agent offers itself it knows better.
    fn take(&mut self, row: Row, now: Timestamp) -> u64 {
        let Row { service, age, ttl, stale } = row;
        if service.agent.as_ref() == Some(&self.me) {
            return 0;
        }
        let (id, weight) = (service.id.clone(), service.weight() + LEAST);
        let source = if self.tier == Tier::Cloud { Source::Cloud } else { Source::Region };
        let sighting = Sighting::alive(source, service, self.keeping.stale);
        if self.rows.observe(sighting, now).is_err() {
            return 0;
        }
        let before = self.told.insert(id, Heard { at: now, age, ttl, stale, weight });
        self.bytes = self.bytes + weight - before.map_or(0, |before| before.weight);
        self.make_room(now)
    }

    /// What fits `query`; `known` is what this agent knows itself, which rules.
    ///
    /// # Errors
    /// As [`resolver::beyond`].
    pub(super) fn find(
        &self,
        known: &Neighbourhood,
        query: &Query,
        asked: Box<str>,
        of: Of,
        now: Timestamp,
    ) -> Result<Found, Box<str>> {
        let wide = Query { limit: MAX_LIMIT, ..query.clone() };
        let mut found = resolver::beyond(&self.rows, known, &wide, (self.tier, asked), now)?;
        found.matches.retain_mut(|found| {
            let ours = known.catalog().slot(&found.service.id).is_some();
            let Some(heard) = self.told.get(&found.service.id).filter(|_| !ours) else { return false };
            self.date(found, heard, now);
            (of == Of::All || !found.stale || heard.stale && now - heard.at < self.keeping.ttl)
                && query.sieve.max_age.is_none_or(|oldest| found.age <= oldest)
        });
        let limit = usize::from(query.limit);
        found.report.fitting = found.matches.len();
        found.report.outcome = if found.matches.is_empty() { Outcome::Empty } else { Outcome::Answered };
        found.report.left_out.retain(|(reason, _)| *reason != Reason::OverLimit);
        if found.matches.len() > limit {
            found.report.left_out.push((Reason::OverLimit, found.matches.len() - limit));
            found.matches.truncate(limit);
        }
        Ok(found)
    }

    /// Forgets what was told too long ago.
    pub(super) fn expire(&mut self, now: Timestamp) {
        while let Some(change) = self.rows.expire(now) {
            self.lose(&change.service().id.clone());
        }
    }

    /// Takes up a row that an earlier run kept: stale from the start.
    pub(super) fn restore(&mut self, kept: Kept, now: Timestamp) {
        let service = (*kept.service).clone();
        let row = Row { service, age: kept.age, ttl: Some(Duration::ZERO), stale: false };
        self.take(row, now);
    }

    /// What is worth keeping over a restart: what stands still and was not told too long ago.
    pub(super) fn to_keep(&self, rows: &mut ToKeep, own: Option<Fix>, now: Timestamp) {
        for entry in self.rows.catalog().entries().map(|(_, entry)| entry.shown()) {
            let moves = entry.fix.is_some_and(|fix| fix.motion.is_some()) || entry.kind == Kind::Vehicle;
            let Some(heard) = self.told.get(&entry.id).filter(|_| !moves) else { continue };
            let age = heard.age.saturating_add(now - heard.at);
            let metres = own.zip(entry.fix).map(|(own, fix)| own.position.distance(&fix.position).as_metres());
            if age < self.keeping.stale {
                let kept = Kept { tier: self.tier, service: Arc::clone(entry), age };
                rows.0.push((metres.unwrap_or(f64::MAX), heard.weight, kept));
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.told.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Dates a match by what the registry said, not by when it said it.
    fn date(&self, found: &mut Match, heard: &Heard, now: Timestamp) {
        let since = now - heard.at;
        let holds = heard.ttl.unwrap_or(self.keeping.ttl).min(self.keeping.ttl);
        found.age = heard.age.saturating_add(since);
        found.ttl = holds.saturating_sub(since);
        found.stale = heard.stale || since >= holds;
    }

    fn make_room(&mut self, now: Timestamp) -> u64 {
        let most = self.keeping.bytes / 4 * 3;
        if self.bytes <= most {
            return 0;
        }
        let mut oldest: Vec<(Timestamp, ServiceId)> =
            self.told.iter().map(|(id, heard)| (heard.at, id.clone())).collect();
        oldest.sort_unstable();
        let mut gone = 0;
        for (_, id) in oldest {
            // A sixteenth at once, so that a long answer does not sort all rows for each of its own.
            if self.bytes <= most - most / 16 {
                break;
            }
            self.forget(&id, now);
            gone += 1;
        }
        gone
    }

    fn forget(&mut self, id: &ServiceId, now: Timestamp) {
        let source = if self.tier == Tier::Cloud { Source::Cloud } else { Source::Region };
        // Withdrawing is never refused.
        let _ = self.rows.observe(Sighting::gone(source, id.clone()), now);
        self.lose(id);
    }

    fn lose(&mut self, id: &ServiceId) {
        if let Some(heard) = self.told.remove(id) {
            self.bytes -= heard.weight;
        }
    }
}

/// Rows for a restart, with how far away they stand and what they take.
#[derive(Debug, Default)]
pub(super) struct ToKeep(Vec<(f64, usize, Kept)>);

impl ToKeep {
    /// The nearest of them, as many as may be written.
    pub(super) fn nearest(mut self) -> Vec<Kept> {
        self.0.sort_by(|(a, _, one), (b, _, other)| a.total_cmp(b).then_with(|| one.service.id.cmp(&other.service.id)));
        let mut bytes = 0;
        let mut fits = |weight: usize| {
            bytes += weight;
            bytes <= KEPT_BYTES
        };
        self.0.into_iter().take_while(|(_, weight, _)| fits(*weight)).map(|(_, _, kept)| kept).collect()
    }
}

/// Bytes of rows that are kept over a restart.
const KEPT_BYTES: usize = 64 << 10;
/// Bytes a row takes besides its text, at the least.
const LEAST: usize = 512;
