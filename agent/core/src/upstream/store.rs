//! The rows a registry told, apart from what is known here: nothing in it can push out, or overrule, what this agent has
//! heard itself.

use std::collections::{BTreeMap, BTreeSet};

use wayside_protocols::registry::ask::Ask;
use wayside_protocols::registry::told::{Row, Told};
use wayside_protocols::service::{AgentId, ServiceId};
use wayside_protocols::sighting::{Sighting, Source};
use wayside_protocols::time::{Duration, Timestamp};

use super::cache::Keeping;
use super::question;
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

    /// Every row with when it was told, for those who keep them over a restart.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&std::sync::Arc<wayside_protocols::service::Service>, &Heard)> {
        let held = self.rows.catalog().entries().map(|(_, entry)| entry.shown());
        held.filter_map(|service| Some((service, self.told.get(&service.id)?)))
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

/// Bytes a row takes besides its text, at the least.
const LEAST: usize = 512;
