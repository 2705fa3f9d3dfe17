//! Numbers that are the same for the same seed, and that nobody without it can foresee.

use std::hash::{DefaultHasher, Hasher as _};

/// A keyed sequence (SipHash of a counter): who sees some of its numbers learns nothing of the others, as an id that
/// is to be linked to no earlier one needs it.
#[derive(Clone, Debug)]
pub(crate) struct Dice {
    seed: u64,
    drawn: u64,
}

impl Dice {
    /// `purpose` keeps what is drawn for one thing apart from what is drawn for another.
    pub(crate) fn new(seed: u64, purpose: &str) -> Self {
        Self { seed: keyed(seed, purpose), drawn: 0 }
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.drawn += 1;
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.seed);
        hasher.write_u64(self.drawn);
        hasher.finish()
    }

    /// Somewhere in 0 to `limit - 1`; 0 for a `limit` of 0.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 16).checked_rem(limit).unwrap_or(0)
    }
}

/// `text` as a number that only the seed makes foreseeable, so that nobody picks names that meet in one place.
pub(crate) fn keyed(seed: u64, text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write_u64(seed);
    hasher.write(text.as_bytes());
    hasher.finish()
}
