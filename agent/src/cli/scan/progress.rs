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
    pub(super) fn draw(&mut self, findings: &Findings) {
        let now = self.clock.now();
        if !self.shown || now < self.next {
            return;
        }
        self.next = now + Duration::from_millis(100);
        self.line(&bar(findings, now));
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

/// `[#######.............] 89 of 254 addresses · 12 devices · 431 requests · 2.1 s`.
fn bar(findings: &Findings, now: Timestamp) -> String {
    let counts = findings.counts;
    let full = (counts.ended * WIDTH).checked_div(counts.addresses).unwrap_or(WIDTH).min(WIDTH);
    format!(
        "[{}{}] {} of {} addresses · {} devices · {} requests · {:.1} s",
        "#".repeat(full),
        ".".repeat(WIDTH - full),
        counts.ended,
        counts.addresses,
        findings.devices().count(),
        counts.requests,
        now.since(Timestamp::START).as_secs_f64(),
    )
}

const WIDTH: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use wayside_protocols::modbus::survey::Counts;

    #[test]
    fn a_bar_is_as_full_as_the_survey_is_far() {
        let counts = Counts { addresses: 254, ended: 89, requests: 431, ..Counts::default() };
        let mut findings = Findings::default();
        findings.counts = counts;
        let now = Timestamp::START + Duration::from_millis(2_100);
        assert_eq!(
            bar(&findings, now),
            "[#######.............] 89 of 254 addresses · 0 devices · 431 requests · 2.1 s"
        );
        assert!(bar(&Findings::default(), now).starts_with("[####################]"));
    }
}
