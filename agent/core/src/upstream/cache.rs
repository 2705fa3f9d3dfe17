//! Which questions a registry has answered, and when: exact LRU within a number of bytes.
//!
//! The rows themselves lie in the store; a question that is fresh here is answered from there.

use std::collections::BTreeMap;

use wayside_protocols::registry::ask::Ask;
use wayside_protocols::time::{Duration, Timestamp};

use crate::query::TierReport;

/// How long answers are kept, and how many bytes of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keeping {
    /// How long an answer is as good as new.
    pub ttl: Duration,
    /// How long "there is none" is.
    pub negative: Duration,
    /// How often an answer is asked for anew while it is in use.
    pub refresh: Duration,
    /// How long rows are kept as last-known-good.
    pub stale: Duration,
    /// Bytes of questions and rows together, for each upstream; what was used longest ago goes first.
    pub bytes: usize,
}

impl Default for Keeping {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(300),
            negative: Duration::from_secs(30),
            refresh: Duration::from_secs(60),
            stale: Duration::from_secs(86_400),
            bytes: 2 << 20,
        }
    }
}

/// The questions that were answered.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    keeping: Keeping,
    answered: BTreeMap<Box<[u8]>, Answered>,
    /// By turn: what was used longest ago comes first.
    turns: BTreeMap<u64, Box<[u8]>>,
    turn: u64,
    bytes: usize,
}

#[derive(Clone, Debug)]
struct Answered {
    ask: Ask,
    at: Timestamp,
    /// Whether anybody has asked since.
    used: bool,
    turn: u64,
    /// How long the shortest of its rows holds.
    holds: Duration,
    /// What the registry said of what is not among the rows.
    report: TierReport,
}

/// What is known of a question.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Look {
    /// It was answered lately.
    Fresh(TierReport),
    /// It was answered, but too long ago.
    Expired,
    /// It was not.
    Missing,
}

impl Cache {
    pub(super) fn new(keeping: Keeping) -> Self {
        Self { keeping, answered: BTreeMap::new(), turns: BTreeMap::new(), turn: 0, bytes: 0 }
    }

    /// What has just been learnt of the question written like this.
    pub(super) fn peek(&self, body: &[u8]) -> Option<&TierReport> {
        self.answered.get(body).map(|known| &known.report)
    }

    /// What is known of the question written like this; it counts as used.
    pub(super) fn look(&mut self, body: &[u8], now: Timestamp) -> Look {
        let Some(known) = self.answered.get_mut(body) else { return Look::Missing };
        known.used = true;
        if let Some(key) = self.turns.remove(&known.turn) {
            self.turn += 1;
            known.turn = self.turn;
            self.turns.insert(self.turn, key);
        }
        let holds = if known.report.fitting == 0 { self.keeping.negative } else { self.keeping.ttl.min(known.holds) };
        if now - known.at < holds { Look::Fresh(known.report.clone()) } else { Look::Expired }
    }

    /// It was answered, by rows of which the shortest holds for `holds`. How many others had to make room for it.
    pub(super) fn put(
        &mut self,
        body: &[u8],
        ask: Ask,
        (report, holds): (TierReport, Duration),
        now: Timestamp,
    ) -> u64 {
        self.drop_one(body);
        self.turn += 1;
        self.turns.insert(self.turn, body.into());
        self.bytes += cost(body);
        self.answered.insert(body.into(), Answered { ask, at: now, used: false, turn: self.turn, holds, report });
        let mut gone = 0;
        // A quarter is for questions, the rest for rows.
        while self.bytes > self.keeping.bytes / 4
            && let Some(oldest) = self.turns.values().next().cloned()
        {
            self.drop_one(&oldest);
            gone += 1;
        }
        gone
    }

    /// The questions in use whose answers are to be asked for anew.
    pub(super) fn stale(&self, now: Timestamp) -> Vec<Ask> {
        let due = |known: &&Answered| known.used && now - known.at >= self.keeping.refresh;
        self.answered.values().filter(due).map(|known| known.ask.clone()).take(AT_ONCE).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.answered.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn drop_one(&mut self, body: &[u8]) -> Option<Answered> {
        let known = self.answered.remove(body)?;
        self.turns.remove(&known.turn);
        self.bytes -= cost(body);
        Some(known)
    }
}

/// Bytes a question takes: itself twice, and what is known of it.
fn cost(body: &[u8]) -> usize {
    2 * body.len() + 256
}

/// Answers asked for anew at the same time.
const AT_ONCE: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{Outcome, Tier};
    use proptest::prelude::*;

    fn ask() -> Ask {
        Ask { name: None, near: None, kinds: Vec::new(), bounds: Vec::new(), critical: false, limit: 10 }
    }

    fn report(fitting: usize) -> TierReport {
        let outcome = if fitting == 0 { Outcome::Empty } else { Outcome::Answered };
        TierReport {
            tier: Tier::Region,
            asked: "".into(),
            fitting,
            left_out: Vec::new(),
            nearest: None,
            took: Duration::ZERO,
            outcome,
        }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::START + Duration::from_secs(seconds)
    }

    #[test]
    fn an_answer_holds_five_minutes_and_no_answer_half_a_minute() {
        let mut cache = Cache::new(Keeping::default());
        cache.put(b"some", ask(), (report(2), Duration::MAX), at(0));
        cache.put(b"none", ask(), (report(0), Duration::MAX), at(0));
        assert!(matches!(cache.look(b"some", at(299)), Look::Fresh(_)));
        assert_eq!(cache.look(b"some", at(300)), Look::Expired);
        assert!(matches!(cache.look(b"none", at(29)), Look::Fresh(_)));
        assert_eq!(cache.look(b"none", at(30)), Look::Expired);
        assert_eq!(cache.look(b"other", at(0)), Look::Missing);
        cache.put(b"short", ask(), (report(1), Duration::from_secs(14)), at(0));
        assert!(matches!(cache.look(b"short", at(13)), Look::Fresh(_)));
        assert_eq!(cache.look(b"short", at(14)), Look::Expired, "an answer is no fresher than its rows");
    }

    #[test]
    fn only_what_is_in_use_is_asked_for_anew() {
        let mut cache = Cache::new(Keeping::default());
        cache.put(b"used", ask(), (report(1), Duration::MAX), at(0));
        cache.put(b"idle", ask(), (report(1), Duration::MAX), at(0));
        cache.look(b"used", at(10));
        assert_eq!((cache.stale(at(59)).len(), cache.stale(at(60)).len()), (0, 1));
        cache.put(b"used", ask(), (report(1), Duration::MAX), at(60));
        assert_eq!(cache.stale(at(400)).len(), 0);
    }

    proptest! {
        /// The model keeps keys in the order of their last use.
        #[test]
        fn keeps_what_was_used_last(steps in proptest::collection::vec((0u8..40, any::<bool>()), 0..300)) {
            let room = 8;
            let mut cache = Cache::new(Keeping { bytes: 4 * room * cost(&[0]), ..Keeping::default() });
            let mut model: Vec<u8> = Vec::new();
            for (n, (key, put)) in steps.into_iter().enumerate() {
                let known = model.contains(&key);
                prop_assert_eq!(cache.look(&[key], at(n as u64 / 10)) != Look::Missing, known);
                if put || known {
                    model.retain(|other| *other != key);
                    model.push(key);
                }
                if put {
                    cache.put(&[key], ask(), (report(1), Duration::MAX), at(n as u64 / 10));
                }
                if model.len() > room {
                    model.remove(0);
                }
                prop_assert_eq!(cache.len(), model.len());
                prop_assert!(cache.bytes() <= room * cost(&[0]));
                prop_assert_eq!(cache.turns.len(), cache.answered.len());
            }
        }
    }
}
