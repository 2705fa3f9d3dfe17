//! How long to wait before the next attempt.

use wayside_protocols::time::Duration;

/// Full jitter: anything between half a second and a ceiling that doubles with each failure, up to 30 s. A thousand agents
/// that lose one broker at the same moment do not come back at the same moment.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    failures: u32,
    state: u64,
}

impl Backoff {
    pub(super) fn new(seed: u64) -> Self {
        Self { failures: 0, state: seed }
    }

    /// The next wait.
    pub(super) fn next(&mut self) -> Duration {
        let ceiling = LONGEST.min(SHORTEST * 2_u32.saturating_pow(self.failures.saturating_add(1)));
        self.failures = self.failures.saturating_add(1);
        let spread = u64::try_from((ceiling - SHORTEST).as_millis()).unwrap_or(u64::MAX);
        SHORTEST + Duration::from_millis(self.draw() % (spread + 1))
    }

    /// A connection held.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// SplitMix64 (Steele, Lea, Flood 2014).
    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

const SHORTEST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_but_never_beyond_half_a_minute() {
        let mut backoff = Backoff::new(7);
        let waits: Vec<Duration> = (0..200).map(|_| backoff.next()).collect();
        assert!(waits.iter().all(|wait| (SHORTEST..=LONGEST).contains(wait)), "{waits:?}");
        assert!(waits[0] <= Duration::from_secs(1));
        assert!(waits.iter().any(|wait| *wait > Duration::from_secs(20)));
        backoff.reset();
        assert!(backoff.next() <= Duration::from_secs(1));
    }
}
