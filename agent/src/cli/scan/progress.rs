//! How far a survey is, for whoever looks on.

use std::io::{self, IsTerminal as _, Write as _};

use wayside_protocols::time::{Duration, Timestamp};

use crate::clock::Clock;
use crate::io::bus::findings::Findings;

/// One line on standard error that is drawn over; nothing unless that is a terminal.
#[derive(Debug)]
pub(super) struct Progress {
    clock: Clock,
    shown: bool,
    next: Timestamp,
}

impl Progress {
    pub(super) fn open(clock: Clock) -> Self {
        Self { clock, shown: io::stderr().is_terminal(), next: Timestamp::START }
    }

    /// Draws, but not more often than ten times a second.
    pub(super) fn draw(&mut self, far: impl FnOnce() -> Bar) {
        let now = self.clock.now();
        if !self.shown || now < self.next {
            return;
        }
        self.next = now + Duration::from_millis(100);
        self.line(&far().line(now));
    }

    /// Takes the line away.
    pub(super) fn clear(&mut self) {
        if self.shown {
            self.line("");
        }
    }

    fn line(&mut self, text: &str) {
        let mut out = io::stderr().lock();
        // Nobody who looks on is no reason to stop.
        let drawn = write!(out, "\r\u{1b}[K{text}").and_then(|()| out.flush());
        self.shown = drawn.is_ok();
    }
}

/// How far a survey is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bar {
    pub(super) addresses: usize,
    pub(super) ended: usize,
    pub(super) devices: usize,
    pub(super) requests: usize,
}

impl Bar {
    /// What this process has found.
    pub(super) fn of(findings: &Findings) -> Self {
        let counts = findings.counts;
        Self {
            addresses: counts.addresses,
            ended: counts.ended,
            devices: findings.devices().count(),
            requests: usize::try_from(counts.requests).unwrap_or(usize::MAX),
        }
    }

    /// `[#######.............] 89 of 254 addresses · 12 devices · 431 requests · 2.1 s`.
    fn line(&self, now: Timestamp) -> String {
        let full = (self.ended * WIDTH).checked_div(self.addresses).unwrap_or(WIDTH).min(WIDTH);
        format!(
            "[{}{}] {} of {} addresses · {} devices · {} requests · {:.1} s",
            "#".repeat(full),
            ".".repeat(WIDTH - full),
            self.ended,
            self.addresses,
            self.devices,
            self.requests,
            now.since(Timestamp::START).as_secs_f64(),
        )
    }
}

const WIDTH: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_full_as_the_survey_is_far() {
        let bar = Bar { addresses: 254, ended: 89, devices: 12, requests: 431 };
        let now = Timestamp::START + Duration::from_millis(2_100);
        assert_eq!(bar.line(now), "[#######.............] 89 of 254 addresses · 12 devices · 431 requests · 2.1 s");
        assert!(Bar::default().line(now).starts_with("[####################]"));
    }
}
