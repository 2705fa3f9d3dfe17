//! Waiting for a condition, with a deadline.

use std::time::{Duration, Instant};

/// The first `Some` that `look` returns. Looks every 20 ms.
///
/// # Panics
/// If there is none within `limit`; `what` then says what was waited for.
#[track_caller]
pub fn eventually<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        pause();
    }
}

/// Holds for as long as `time`: `look` stays true, looked at every 20 ms.
///
/// # Panics
/// As soon as it is not.
#[track_caller]
pub fn throughout(time: Duration, what: &str, mut look: impl FnMut() -> bool) {
    let start = Instant::now();
    while start.elapsed() < time {
        assert!(look(), "after {:?} of {time:?} no longer: {what}", start.elapsed());
        pause();
    }
}

// The one place that sleeps: between two looks at the world.
fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}
