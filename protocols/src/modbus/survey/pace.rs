//! How fast a survey may go, and how it keeps to that.

use alloc::collections::VecDeque;

use crate::modbus::target::Target;
use crate::time::{Duration, Timestamp};

/// Every budget of a survey. Devices are spared by what one host gets; the rest spares the network and ourselves.
///
/// "A second" is any second: no window of that length, wherever it begins, holds more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Connections tried a second; most addresses of a network refuse or stay silent.
    pub attempts: u32,
    /// Connections that come about a second.
    pub connections: u32,
    /// Requests a second, to all hosts together.
    pub requests: u32,
    /// Requests a second to one host. There is never more than one on its way to it.
    pub host_requests: u32,
    /// Hosts that are connected, or being connected, at once.
    pub open: usize,
    /// How long a connection may take to come about.
    pub connect: Duration,
    /// How long a reply may take; `None` for 1.5 s on TCP, more than the second after which gateways give up, and for
    /// half a second and two frames on a serial line.
    pub reply: Option<Duration>,
    /// Units of one host that may stay silent; then it is left alone. Does not hold for serial lines, where units that
    /// are not there are silent. Each costs a connection.
    pub silent: u32,
    /// Requests to one host beyond one a unit.
    pub extra: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            attempts: 400,
            connections: 32,
            requests: 240,
            host_requests: 24,
            open: 64,
            connect: Duration::from_millis(500),
            reply: None,
            silent: 32,
            extra: 512,
        }
    }
}

impl Pace {
    /// How long a reply of `target` is waited for.
    pub fn deadline(&self, target: &Target) -> Duration {
        self.reply.unwrap_or_else(|| match target {
            Target::Tcp(_) | Target::RtuOverTcp(_) => Duration::from_millis(1_500),
            Target::Serial(serial) => Duration::from_millis(500) + serial.byte() * 512,
        })
    }

    /// Connections to one host at the most, over the whole survey; there is never more than one at once.
    pub fn most_connections(&self, target: &Target) -> u32 {
        if target.serial().is_some() { 1 } else { self.silent.saturating_add(MISHAPS) }
    }

    /// Requests to one host at the most.
    pub fn most_requests(&self, units: usize) -> u32 {
        u32::try_from(units).unwrap_or(u32::MAX).saturating_add(self.extra)
    }
}

/// Connections that one host may cost beyond those for silent units: hung up on, or spoilt by garbage.
const MISHAPS: u32 = 12;

/// At most so many in any second.
#[derive(Clone, Debug)]
pub(super) struct Window {
    most: usize,
    begun: VecDeque<Timestamp>,
}

impl Window {
    pub(super) fn new(most: u32) -> Self {
        Self { most: usize::try_from(most.clamp(1, MOST)).unwrap_or(1), begun: VecDeque::new() }
    }

    /// From when on there is room, with `reserved` places that may be taken at any moment. `None` as long as those
    /// fill it all.
    pub(super) fn free(&self, reserved: usize) -> Option<Timestamp> {
        let room = self.most.checked_sub(reserved).filter(|room| *room > 0)?;
        let Some(over) = self.begun.len().checked_sub(room) else { return Some(Timestamp::START) };
        // Two at the distance of just one second would both be in a window that includes its ends.
        self.begun.get(over).map(|begun| *begun + SECOND + Duration::from_micros(1))
    }

    pub(super) fn take(&mut self, now: Timestamp) {
        if self.begun.len() == self.most {
            self.begun.pop_front();
        }
        self.begun.push_back(now);
    }
}

/// A window that is longer remembers more than it is worth.
const MOST: u32 = 10_000;
const SECOND: Duration = Duration::from_secs(1);

/// Whether a host answers as quickly as it did at first. Only replies of one sort are compared: those of a gateway for
/// units that are not there, which are many and all alike.
#[derive(Clone, Debug, Default)]
pub(super) struct Rhythm {
    first: [Duration; 5],
    heard: usize,
    baseline: Duration,
    slow: u8,
}

impl Rhythm {
    /// True if this was the third in a row that took more than twice as long as the first five did in the middle, and
    /// [`SLACK`] more.
    pub(super) fn falters(&mut self, rtt: Duration) -> bool {
        if let Some(place) = self.first.get_mut(self.heard) {
            *place = rtt;
            self.heard += 1;
            let mut sorted = self.first;
            sorted.sort_unstable();
            self.baseline = sorted[2];
            return false;
        }
        let slow = rtt > self.baseline * 2 && rtt > self.baseline + SLACK;
        self.slow = if slow { self.slow + 1 } else { 0 };
        if self.slow < 3 {
            return false;
        }
        self.slow = 0;
        true
    }

    pub(super) fn baseline(&self) -> Duration {
        self.baseline
    }
}

/// What a busy machine at our own end may add.
const SLACK: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_second_holds_more_than_the_window_allows() {
        let mut window = Window::new(3);
        let mut now = Timestamp::START;
        let mut taken = VecDeque::new();
        for _ in 0..50 {
            now = now.max(window.free(0).unwrap());
            window.take(now);
            taken.push_back(now);
            now = now + Duration::from_millis(137);
        }
        for at in &taken {
            assert!(taken.iter().filter(|other| *other >= at && **other <= *at + SECOND).count() <= 3);
        }
        assert_eq!(window.free(3), None);
    }

    #[test]
    fn a_host_falters_when_three_replies_in_a_row_take_twice_as_long() {
        let mut rhythm = Rhythm::default();
        let millis = Duration::from_millis;
        for rtt in [100, 110, 105, 90, 400, 260, 260] {
            assert!(!rhythm.falters(millis(rtt)), "{rtt}");
        }
        assert!(rhythm.falters(millis(260)));
        for rtt in [260, 260, 100, 260, 260] {
            assert!(!rhythm.falters(millis(rtt)), "{rtt}");
        }
    }
}
