//! The only clock in the program.
//!
//! `CLOCK_BOOTTIME` runs on through suspend and never jumps with NTP; tokio's and std's clocks stand still while a
//! vehicle sleeps, so nothing here measures with them. `agent/clippy.toml` keeps every other file from asking the time.

use std::time::SystemTime;

use rustix::time::{ClockId, Timespec};
use wayside_protocols::time::{Duration, Timestamp, UnixMillis};

/// Reads the time, counted from the moment it was made.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    started: Duration,
}

impl Clock {
    /// A clock that shows [`Timestamp::START`] at this moment.
    pub fn start() -> Self {
        Self { started: read(ClockId::Boottime) }
    }

    /// The time since this clock was made, suspend included.
    pub fn now(self) -> Timestamp {
        Timestamp::START + read(ClockId::Boottime).saturating_sub(self.started)
    }

    /// What the wall clock shows; on a device without a battery-backed clock that may be 1970.
    ///
    /// Asked through the C library, as TLS asks for it: what tells one of them another time tells both.
    #[expect(clippy::disallowed_methods, reason = "this file is where time comes from")]
    pub fn wall(self) -> UnixMillis {
        // A wall clock set before 1970 reads as 1970.
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

#[expect(clippy::disallowed_methods, reason = "this file is where time comes from")]
fn read(clock: ClockId) -> Duration {
    let Timespec { tv_sec, tv_nsec } = rustix::time::clock_gettime(clock);
    // Time since boot is never negative.
    Duration::new(u64::try_from(tv_sec).unwrap_or(0), u32::try_from(tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_clock_stands_at_its_start_and_goes_on_from_there() {
        let clock = Clock::start();
        let first = clock.now();
        let later = std::iter::repeat_with(|| clock.now()).find(|now| *now > first);
        assert!(first < Timestamp::START + Duration::from_secs(1));
        assert!(later.is_some());
    }
}
