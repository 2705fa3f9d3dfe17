//! How often beacons may go out while the way is narrow.
//!
//! The reactive table of ETSI TS 102 687 V1.2.1 (annex A.1), with what stands for the channel here: the share of the
//! outgoing queue that waits for the broker, and the beacons that arrive against a budget. What is more counts.

use wayside_protocols::time::{Duration, Timestamp};

/// The ceiling on a beacon rate.
#[derive(Clone, Debug)]
pub(super) struct Congestion {
    /// Beacons heard a second that are as much as one is to take.
    budget: u32,
    state: usize,
    heard: u32,
    backlog: f64,
    measured: Timestamp,
}

impl Congestion {
    pub(super) fn new(budget: u32, now: Timestamp) -> Self {
        Self { budget: budget.max(1), state: 0, heard: 0, backlog: 0.0, measured: now }
    }

    /// A beacon arrived.
    pub(super) fn heard(&mut self) {
        self.heard = self.heard.saturating_add(1);
    }

    /// So many publications wait in a queue for so many.
    pub(super) fn backlog(&mut self, waiting: usize, capacity: usize) {
        self.backlog = waiting as f64 / capacity.max(1) as f64;
    }

    /// Measures, once a second at most, and goes one state towards what the load wants.
    pub(super) fn step(&mut self, now: Timestamp) {
        let time = now - self.measured;
        if time < SECOND {
            return;
        }
        let heard = f64::from(self.heard) / time.as_secs_f64() / f64::from(self.budget);
        let load = heard.max(self.backlog);
        let wanted = STATES.iter().filter(|(limit, _)| load >= *limit).count() - 1;
        self.state = match wanted {
            more if more > self.state => self.state + 1,
            less if less < self.state => self.state - 1,
            _ => self.state,
        };
        (self.heard, self.measured) = (0, now);
    }

    /// The least time from one beacon to the next.
    pub(super) fn interval(&self) -> Duration {
        STATES[self.state].1
    }
}

/// From which load on a state holds, and its interval: 10, 5, 2.5, 2 and 1 Hz. Never less than 1 Hz: what is critical
/// has to be heard however full the air is.
const STATES: [(f64, Duration); 5] = [
    (0.0, Duration::from_millis(100)),
    (0.30, Duration::from_millis(200)),
    (0.40, Duration::from_millis(400)),
    (0.50, Duration::from_millis(500)),
    (0.60, Duration::from_millis(1_000)),
];
const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::START;

    fn after(loads: &[f64]) -> Vec<u128> {
        let mut congestion = Congestion::new(1_000, START);
        let step = |(second, load): (usize, &f64)| {
            (0..(load * 1_000.0) as u32).for_each(|_| congestion.heard());
            congestion.step(START + Duration::from_secs(second as u64 + 1));
            congestion.interval().as_millis()
        };
        loads.iter().enumerate().map(step).collect()
    }

    #[test]
    fn a_sudden_load_takes_four_seconds_to_the_lowest_rate_and_four_back() {
        let loads = [0.9, 0.9, 0.9, 0.9, 0.9, 0.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(after(&loads), [200, 400, 500, 1_000, 1_000, 500, 400, 200, 100, 100]);
    }

    #[test]
    fn each_load_settles_at_its_own_state() {
        for (load, interval) in
            [(0.29, 100), (0.30, 200), (0.39, 200), (0.40, 400), (0.50, 500), (0.59, 500), (0.61, 1_000), (9.0, 1_000)]
        {
            assert_eq!(after(&[load; 6])[5], interval, "{load}");
        }
    }

    #[test]
    fn a_queue_that_fills_counts_as_much_as_a_full_air_and_no_state_is_skipped_within_a_second() {
        let mut congestion = Congestion::new(1_000, START);
        congestion.backlog(64, 64);
        for micros in (0..1_000_000).step_by(1_000) {
            congestion.step(Timestamp::from_micros(micros));
        }
        assert_eq!(congestion.interval(), Duration::from_millis(100));
        congestion.step(START + SECOND);
        congestion.step(START + SECOND);
        assert_eq!(congestion.interval(), Duration::from_millis(200));
        congestion.backlog(0, 64);
        congestion.step(START + 2 * SECOND);
        assert_eq!(congestion.interval(), Duration::from_millis(100));
    }
}
