//! The only clock in the program.

use rustix::time::{ClockId, clock_gettime};
use wayside_protocols::time::{Timestamp, UnixMillis};

/// Counts from the moment it was made, on `CLOCK_BOOTTIME`: through suspend, and past every step of the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: u64,
}

impl Clock {
    /// Starts counting.
    pub fn start() -> Self {
        Self { start: micros(ClockId::Boottime) }
    }

    /// Now.
    pub fn now(self) -> Timestamp {
        Timestamp::from_micros(micros(ClockId::Boottime).saturating_sub(self.start))
    }

    /// What the wall clock shows; it may jump, and may never have been set.
    pub fn wall(self) -> UnixMillis {
        UnixMillis(micros(ClockId::Realtime) / 1_000)
    }
}

fn micros(id: ClockId) -> u64 {
    let time = clock_gettime(id);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000)
}
