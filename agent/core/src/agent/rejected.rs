//! What was refused lately, and why: counted elsewhere for ever, kept here for a person to look at.

use std::collections::{BTreeMap, VecDeque};

use wayside_protocols::time::Timestamp;

/// Something that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// What, by the name under which it is counted, less `refused_` and `_total`.
    pub what: &'static str,
    /// Who sent it, as far as it said: the beginning of what came from the wire, not escaped.
    pub who: Box<str>,
    /// Why, the last time.
    pub why: Box<str>,
    /// When, the last time.
    pub at: Timestamp,
    /// How often the same came from the same sender while it is remembered.
    pub times: u64,
}

/// The last refusals, [`EACH`] of every kind, so that a flood of one does not hide the others. The kinds are fixed in
/// the code.
#[derive(Clone, Debug, Default)]
pub(super) struct Rejected(BTreeMap<&'static str, VecDeque<Rejection>>);

impl Rejected {
    pub(super) fn note(&mut self, what: &'static str, who: &str, why: &dyn std::fmt::Display, now: Timestamp) {
        let what = what.trim_start_matches("refused_").trim_end_matches("_total");
        let who: Box<str> = cut(who, WHO).into();
        let last = self.0.entry(what).or_default();
        let times = match last.iter().position(|known| known.who == who) {
            Some(known) => last.remove(known).map_or(0, |known| known.times),
            None => 0,
        };
        if last.len() >= EACH {
            last.pop_front();
        }
        let why = cut(&why.to_string(), WHY).into();
        last.push_back(Rejection { what, who, why, at: now, times: times + 1 });
    }

    /// The latest first.
    pub(super) fn latest(&self) -> Vec<&Rejection> {
        let mut all: Vec<&Rejection> = self.0.values().flatten().collect();
        all.sort_by(|a, b| b.at.cmp(&a.at).then(a.what.cmp(b.what)).then(a.who.cmp(&b.who)));
        all
    }
}

/// The beginning of `text`, at most `bytes` long.
fn cut(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

/// Refusals remembered of each kind.
const EACH: usize = 16;
/// Bytes of a sender that are kept.
const WHO: usize = 80;
/// Bytes of a reason that are kept.
const WHY: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_kind_hides_neither_the_others_nor_how_often_one_sender_came() {
        let mut rejected = Rejected::default();
        rejected.note("refused_topic_total", "é".repeat(100).as_str(), &"why", Timestamp::START);
        for n in 0..10_000 {
            let at = Timestamp::from_micros(n);
            rejected.note("refused_beacon_jumped_total", &format!("car-{n}"), &"far", at);
            rejected.note("refused_beacon_too_fast_total", "car", &n, at);
        }
        let latest = rejected.latest();
        assert_eq!(latest.len(), 2 * EACH - EACH + 2);
        let fast = latest.iter().find(|known| known.what == "beacon_too_fast").unwrap();
        assert_eq!((fast.times, &*fast.why), (10_000, "9999"));
        assert!(latest.iter().any(|known| known.what == "topic" && known.who.len() == WHO));
    }
}
