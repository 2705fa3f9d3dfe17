//! Time spent computing, not waiting.

use std::fs;
use std::io;

use rustix::time::{ClockId, clock_gettime};

/// Seconds of CPU that this thread has used.
pub(crate) fn own() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Seconds of CPU that the process `pid` has used in its first thread.
pub(crate) fn of(pid: u32) -> io::Result<f64> {
    let line = fs::read_to_string(format!("/proc/{pid}/schedstat"))?;
    let nanos = line.split_whitespace().next().and_then(|number| number.parse::<f64>().ok());
    nanos.map(|nanos| nanos * 1e-9).ok_or_else(|| io::Error::other("/proc/PID/schedstat begins with no number"))
}
