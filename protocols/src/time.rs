//! Time as the agent counts it.
//!
//! Every duration in the program is measured on `CLOCK_BOOTTIME`, which runs on through suspend and never jumps with
//! NTP. A gateway without a real-time clock boots in 1970 and must work all the same.

use core::fmt;
use core::ops::{Add, Sub};
pub use core::time::Duration;

/// A moment, in microseconds since the agent started. Comparable only within one run of one agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment the agent started.
    pub const START: Self = Self(0);
    /// Later than anything that will happen.
    pub const NEVER: Self = Self(u64::MAX);

    /// The moment `micros` microseconds after the start.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the start.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was, seen from here; zero if it lies ahead.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// The moment `duration` before this one, but never before the start.
    pub fn back(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(micros(duration)))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    /// Saturates at [`Timestamp::NEVER`].
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros(duration)))
    }
}

impl Sub for Timestamp {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06} s", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// Milliseconds since 1970-01-01 00:00 UTC, as far as anybody here knows them.
///
/// Used to compare times that crossed a wire, never to measure how long something lasted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// 2025-01-01: a wall clock that shows less has not been set since the device booted.
    pub const PLAUSIBLE: Self = Self(1_735_689_600_000);

    /// Whether a clock that shows this can have been set.
    pub fn plausible(self) -> bool {
        self >= Self::PLAUSIBLE
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_saturates_instead_of_wrapping() {
        assert_eq!(Timestamp::START + Duration::MAX, Timestamp::NEVER);
        assert_eq!(Timestamp::START.back(Duration::from_secs(1)), Timestamp::START);
    }

    #[test]
    fn what_lies_ahead_is_zero_ago() {
        assert_eq!(Timestamp::START - Timestamp::from_micros(5), Duration::ZERO);
    }
}
