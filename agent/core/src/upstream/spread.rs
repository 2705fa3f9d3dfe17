//! Whom a caller tries first among matches that are equal in everything but their name: a hundred callers who all take the
//! first one would all run to the same.

use std::collections::BTreeMap;

use wayside_protocols::service::{Latency, ServiceId};
use wayside_protocols::time::{Duration, Timestamp};

use crate::dice::Dice;
use crate::query::Match;

/// How often each was handed out first lately.
#[derive(Debug, Default)]
pub(super) struct Spread {
    handed: BTreeMap<ServiceId, (f64, Timestamp)>,
}

impl Spread {
    /// Of the best, the better of two at random comes first: the one that was handed out less often lately, by what it
    /// takes to answer (power of two choices). What differs in anything a caller asked for stays in its order.
    pub(super) fn among_equals(&mut self, matches: &mut [Match], dice: &mut Dice, now: Timestamp) {
        let Some((best, rest)) = matches.split_first() else { return };
        let equals = 1 + rest.iter().take_while(|other| equal(best, other)).count();
        if equals > 1 {
            // The casts cannot cut: what is drawn is below the number of matches.
            let (one, other) = (dice.below(equals as u64) as usize, dice.below(equals as u64) as usize);
            let first = if self.cost(&matches[one], now) <= self.cost(&matches[other], now) { one } else { other };
            matches[..=first].rotate_right(1);
            self.hand(&matches[0].service.id, now);
        }
    }

    fn cost(&self, found: &Match, now: Timestamp) -> f64 {
        let waiting = self.handed.get(&found.service.id).map_or(0.0, |handed| faded(*handed, now));
        found.latency.round_trip.as_secs_f64() * (waiting + 1.0)
    }

    fn hand(&mut self, id: &ServiceId, now: Timestamp) {
        if self.handed.len() >= REMEMBERED && !self.handed.contains_key(id) {
            self.handed.retain(|_, handed| faded(*handed, now) > 0.1);
            if self.handed.len() >= REMEMBERED {
                self.handed.clear();
            }
        }
        let handed = self.handed.entry(id.clone()).or_insert((0.0, now));
        *handed = (faded(*handed, now) + 1.0, now);
    }
}

fn equal(one: &Match, other: &Match) -> bool {
    let rank = |found: &Match| {
        let metres = found.place.map(|place| place.distance.as_metres());
        let Latency { round_trip, .. } = found.latency;
        (found.stale, found.service.health, found.verdict, found.service.priority, round_trip, metres, found.tier)
    };
    rank(one) == rank(other)
}

/// What is left of a number of callers: half of them are done after [`HALF`].
fn faded((count, at): (f64, Timestamp), now: Timestamp) -> f64 {
    count * (-(now - at).as_secs_f64() / HALF.as_secs_f64()).exp2()
}

/// How long half of the callers are busy with what they were told.
const HALF: Duration = Duration::from_secs(5);
/// Services that are remembered; when there are more, those that are done are forgotten, or all.
const REMEMBERED: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{Tier, Verdict};
    use std::sync::Arc;
    use wayside_protocols::service::{Basis, Kind, Service};

    fn found(id: &str, priority: u8) -> Match {
        let mut service = Service::new(id.parse().unwrap(), "render".parse().unwrap(), Kind::Software);
        service.priority = priority;
        Match {
            service: Arc::new(service),
            place: None,
            position: None,
            verdict: Verdict::Definite,
            tier: Tier::Cloud,
            sources: Vec::new(),
            latency: Latency { round_trip: Duration::from_millis(150), basis: Basis::Estimated },
            age: Duration::ZERO,
            ttl: Duration::ZERO,
            stale: false,
        }
    }

    #[test]
    fn a_hundred_callers_do_not_all_run_to_one_of_ten_equals() {
        let (mut spread, mut dice) = (Spread::default(), Dice::new(1, "t"));
        let mut load = BTreeMap::new();
        for _ in 0..100 {
            let mut matches: Vec<Match> = (0..10).map(|n| found(&format!("s{n}"), 1)).collect();
            spread.among_equals(&mut matches, &mut dice, Timestamp::START);
            assert_eq!(matches.len(), 10);
            *load.entry(matches[0].service.id.clone()).or_insert(0) += 1;
        }
        // 10 each would be perfect; by pure chance the fullest has about 18.
        let fullest = load.values().max().copied().unwrap_or(0);
        assert!(load.len() == 10 && fullest <= 14, "{load:?}");
    }

    #[test]
    fn what_is_better_stays_first() {
        let (mut spread, mut dice) = (Spread::default(), Dice::new(1, "t"));
        for _ in 0..50 {
            let mut matches = vec![found("best", 2), found("a", 1), found("b", 1)];
            spread.among_equals(&mut matches, &mut dice, Timestamp::START);
            assert_eq!(matches[0].service.id.as_str(), "best");
        }
    }
}
