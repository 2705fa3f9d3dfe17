//! Whether a node is asked at all.
//!
//! Closed until [`PATIENCE`] questions in a row failed; then open for a time drawn anew each time (full jitter: anything
//! up to a ceiling that doubles with each failure), so that a thousand agents that lose one node do not come back to it at
//! the same moment; then half open: one question is let through, and what becomes of it decides.

use wayside_protocols::time::{Duration, Timestamp};

use crate::dice::Dice;

/// The breaker before one node.
#[derive(Clone, Debug)]
pub(super) struct Breaker {
    failures: u32,
    until: Timestamp,
    /// One question is on its way to find out.
    probing: bool,
    /// Why the last question failed.
    why: Box<str>,
}

/// Whether a question may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// It may.
    Closed,
    /// It may, and it is the only one that may.
    HalfOpen,
    /// It may not, before that moment.
    Open(Timestamp),
}

impl Default for Breaker {
    fn default() -> Self {
        Self { failures: 0, until: Timestamp::START, probing: false, why: "".into() }
    }
}

impl Breaker {
    pub(super) fn gate(&self, now: Timestamp) -> Gate {
        match self.failures < PATIENCE {
            true => Gate::Closed,
            false if self.probing => Gate::Open(now + FLOOR),
            false if self.until > now => Gate::Open(self.until),
            false => Gate::HalfOpen,
        }
    }

    /// A question goes.
    pub(super) fn asked(&mut self, now: Timestamp) {
        self.probing = self.gate(now) == Gate::HalfOpen;
    }

    /// It was answered.
    pub(super) fn answered(&mut self) {
        (self.failures, self.probing) = (0, false);
    }

    /// It was not. True if this opens the breaker.
    pub(super) fn failed(&mut self, why: &str, dice: &mut Dice, now: Timestamp) -> bool {
        self.failures = self.failures.saturating_add(1);
        self.probing = false;
        self.why = why.into();
        if self.failures >= PATIENCE {
            self.until = now + pause(self.failures - PATIENCE, dice);
        }
        self.failures == PATIENCE
    }

    /// Why the last question failed.
    pub(super) fn why(&self) -> &str {
        &self.why
    }
}

/// How long to wait after so many failures beyond the first: full jitter, above a floor that keeps a spin from starting.
pub(super) fn pause(failures: u32, dice: &mut Dice) -> Duration {
    let ceiling = CEILING.min(BASE.saturating_mul(2_u32.saturating_pow(failures)));
    let spread = u64::try_from((ceiling - FLOOR).as_millis()).unwrap_or(u64::MAX);
    FLOOR + Duration::from_millis(dice.below(spread + 1))
}

/// Failures in a row that open it.
const PATIENCE: u32 = 3;
/// The first ceiling of a pause.
const BASE: Duration = Duration::from_secs(1);
/// The highest: a node that is back is asked again within this.
pub(super) const CEILING: Duration = Duration::from_secs(30);
/// The shortest pause.
pub(super) const FLOOR: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn after_three_failures_nothing_goes_until_one_question_has_found_out() {
        let (mut breaker, mut dice) = (Breaker::default(), Dice::new(1, "t"));
        let mut now = Timestamp::START;
        for n in 0..PATIENCE {
            assert_eq!(breaker.gate(now), Gate::Closed);
            breaker.asked(now);
            assert_eq!(breaker.failed("refused", &mut dice, now), n + 1 == PATIENCE);
        }
        let Gate::Open(until) = breaker.gate(now) else { panic!("not open") };
        now = until;
        assert_eq!(breaker.gate(now), Gate::HalfOpen);
        breaker.asked(now);
        assert!(matches!(breaker.gate(now), Gate::Open(_)), "only one may go");
        assert!(!breaker.failed("refused", &mut dice, now));
        let Gate::Open(until) = breaker.gate(now) else { panic!("not open again") };
        breaker.asked(until);
        breaker.answered();
        assert_eq!(breaker.gate(until), Gate::Closed);
    }

    proptest! {
        #[test]
        fn a_pause_is_never_longer_than_its_ceiling_nor_shorter_than_its_floor(failures in 0u32..100, seed: u64) {
            let pause = pause(failures, &mut Dice::new(seed, "t"));
            prop_assert!((FLOOR..=CEILING).contains(&pause));
            prop_assert!(pause <= BASE.saturating_mul(2_u32.saturating_pow(failures)));
        }
    }
}
