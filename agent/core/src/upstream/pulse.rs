//! How quickly a node answers: what it takes at the moment, and what it hardly ever takes.

use wayside_protocols::time::{Duration, Timestamp};

/// Round trips to one node.
#[derive(Clone, Debug)]
pub(super) struct Pulse {
    /// Peak-EWMA (Finagle, linkerd): rises to a peak at once and decays from it, so that a node that has become slow is
    /// left alone at once and tried again by and by.
    peak: Option<(f64, Timestamp)>,
    last: [u32; LAST],
    count: usize,
    /// Questions on their way.
    pub(super) in_flight: u32,
}

impl Default for Pulse {
    fn default() -> Self {
        Self { peak: None, last: [0; LAST], count: 0, in_flight: 0 }
    }
}

impl Pulse {
    /// It answered, or failed, after `took`.
    pub(super) fn beat(&mut self, took: Duration, now: Timestamp) {
        let micros = took.as_micros().min(u128::from(u32::MAX)) as f64;
        let peak = self
            .decayed(now)
            .map_or(micros, |old| if micros > old.0 { micros } else { old.0 * old.1 + micros * (1.0 - old.1) });
        self.peak = Some((peak, now));
        // The cast cannot cut: the minimum above is that of a u32.
        self.last[self.count % LAST] = micros as u32;
        self.count += 1;
    }

    /// What choosing it costs: the peak-EWMA, for everybody who waits already and for who comes.
    pub(super) fn cost(&self) -> f64 {
        let usual = USUAL.as_micros() as f64;
        self.peak.map_or(usual, |(peak, _)| peak) * f64::from(self.in_flight + 1)
    }

    /// The peak-EWMA, where it was ever measured.
    pub(super) fn peak(&self) -> Option<Duration> {
        self.peak.map(|(peak, _)| Duration::from_micros(peak as u64))
    }

    /// What 95 of 100 round trips stay below; a guess until there are enough.
    pub(super) fn p95(&self) -> Duration {
        let known = self.count.min(LAST);
        if known < ENOUGH {
            return GUESS;
        }
        let mut sorted = self.last;
        sorted[..known].sort_unstable();
        Duration::from_micros(sorted[(known * 95).div_ceil(100) - 1].into())
    }

    fn decayed(&self, now: Timestamp) -> Option<(f64, f64)> {
        let (peak, at) = self.peak?;
        Some((peak, (-(now - at).as_secs_f64() / DECAY).exp()))
    }
}

/// Round trips that are remembered.
const LAST: usize = 64;
/// Round trips that make a percentile.
const ENOUGH: usize = 16;
/// What stands in for a percentile until then.
const GUESS: Duration = Duration::from_millis(150);
/// What stands in for a round trip before the first; as linkerd has it.
const USUAL: Duration = Duration::from_millis(30);
/// Seconds in which a peak decays to a third; as linkerd has it.
const DECAY: f64 = 10.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_peak_counts_at_once_and_fades() {
        let (mut pulse, mut now) = (Pulse::default(), Timestamp::START);
        pulse.beat(millis(10), now);
        pulse.beat(millis(200), now);
        assert_eq!(pulse.peak(), Some(millis(200)));
        for _ in 0..60 {
            now = now + Duration::from_secs(1);
            pulse.beat(millis(10), now);
        }
        assert!(pulse.peak().unwrap() < millis(12), "{:?}", pulse.peak());
    }

    #[test]
    fn who_has_many_waiting_costs_more() {
        let mut pulse = Pulse::default();
        pulse.beat(millis(10), Timestamp::START);
        let alone = pulse.cost();
        pulse.in_flight = 3;
        assert_eq!(pulse.cost(), alone * 4.0);
    }

    #[test]
    fn the_percentile_is_that_of_the_last_round_trips() {
        let mut pulse = Pulse::default();
        assert_eq!(pulse.p95(), GUESS);
        for n in 0..1_000 {
            pulse.beat(millis(if n % 100 < 90 { 10 } else { 50 }), Timestamp::START);
        }
        for n in 1..=64 {
            pulse.beat(millis(n), Timestamp::START);
        }
        assert_eq!(pulse.p95(), millis(61));
    }
}
