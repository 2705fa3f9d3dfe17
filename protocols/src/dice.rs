//! Chance, the same for the same seed.

use crate::time::Duration;

/// SplitMix64: it only has to keep neighbours from speaking at once, not to be unguessable.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Somewhere in 0 to `limit - 1`; 0 for a `limit` of 0.
    pub(crate) fn below(&mut self, limit: u32) -> u32 {
        (self.next() >> 32).checked_rem(u64::from(limit)).unwrap_or(0) as u32
    }

    /// 20 to 120 ms: how long one waits so as not to speak at the same time as everybody else (RFC 6762 section 5.2).
    pub(crate) fn pause(&mut self) -> Duration {
        Duration::from_micros(20_000 + u64::from(self.below(100_000)))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}
