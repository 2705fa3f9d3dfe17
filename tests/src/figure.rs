//! What the benchmarks say, and how they count.

#![allow(clippy::print_stdout, reason = "the figures are what it is for")]

use std::fs;
use std::time::Duration;

/// Writes `figure NAME VALUE UNIT`, with three decimals.
pub fn tell(name: &str, value: f64, unit: &str) {
    println!("figure {name} {value:.3} {unit}");
}

/// The value that `share` (0 to 1) of `values` do not exceed: the nearest rank.
///
/// # Panics
/// If there are none.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    assert!(!values.is_empty(), "no values to take a quantile of");
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

/// Milliseconds.
pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// Processor time that all threads of a process have had so far, as the scheduler counts it: finer than the ticks of
/// `/proc/PID/stat`, of which an idle agent uses too few to count.
pub fn cpu_time(pid: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let spent = threads.filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(spent.sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_a_value_that_was_measured() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!([0.0, 0.5, 0.99, 1.0].map(|share| quantile(&values, share)), [1.0, 50.0, 99.0, 100.0]);
    }
}
