//! How long a record is believed, and when it is asked for again (RFC 6762 sections 5.2, 7.1 and 10).

use crate::time::{Duration, Timestamp};

use crate::dice::Dice;

/// The life of one record.
#[derive(Clone, Debug)]
pub(super) struct Belief {
    heard: Timestamp,
    ttl: Duration,
    until: Timestamp,
    /// Parts in a hundred by which its refreshes are late, so that not everybody asks at once.
    late: u32,
    /// How many of its refreshes have been asked.
    asked: u8,
    /// Whether it said goodbye, or was flushed by a newer record.
    parting: bool,
}

impl Belief {
    /// Heard at `now`, to be believed for `seconds`, at most a day.
    pub(super) fn new(seconds: u32, now: Timestamp, dice: &mut Dice) -> Self {
        let ttl = Duration::from_secs(u64::from(seconds.clamp(1, MAX_TTL)));
        Self { heard: now, ttl, until: now + ttl, late: dice.below(3), asked: 0, parting: false }
    }

    /// When it was heard last.
    pub(super) fn heard(&self) -> Timestamp {
        self.heard
    }

    /// When it stops being believed.
    pub(super) fn until(&self) -> Timestamp {
        self.until
    }

    /// Its whole life.
    pub(super) fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Whether it ends by somebody's word rather than by silence.
    pub(super) fn parting(&self) -> bool {
        self.parting
    }

    /// Whether it has ended.
    pub(super) fn over(&self, now: Timestamp) -> bool {
        self.until <= now
    }

    /// It said goodbye, or a newer record took its place: it ends in a second (RFC 6762 sections 10.1 and 10.2).
    pub(super) fn part(&mut self, now: Timestamp) {
        self.until = self.until.min(now + GRACE);
        self.parting = true;
    }

    /// Seconds left, if that is more than half of its life: then it is a known answer (RFC 6762 section 7.1).
    pub(super) fn known_answer(&self, now: Timestamp) -> Option<u32> {
        let left = self.until - now;
        (left > self.ttl / 2 && !self.parting).then(|| u32::try_from(left.as_secs()).unwrap_or(MAX_TTL))
    }

    /// Whether it is old enough to be asked for.
    pub(super) fn aged(&self, now: Timestamp) -> bool {
        !self.parting && now >= self.heard + self.ttl * 4 / 5
    }

    /// When something happens to it next: a refresh is due, or it ends.
    pub(super) fn next(&self) -> Timestamp {
        // A life of seconds is too short to ask four times in its last fifth.
        let refreshes = if self.ttl < SHORT { 1 } else { REFRESHES };
        if self.parting || self.asked >= refreshes {
            return self.until;
        }
        let percent = 80 + 5 * u32::from(self.asked) + self.late;
        (self.heard + self.ttl * percent / 100).min(self.until)
    }

    /// Whether a refresh is due; if so, the next one is not before its turn.
    pub(super) fn take_refresh(&mut self, now: Timestamp) -> bool {
        let mut due = false;
        while !self.over(now) && self.next() <= now {
            self.asked += 1;
            due = true;
        }
        due
    }
}

const GRACE: Duration = Duration::from_secs(1);
const SHORT: Duration = Duration::from_secs(10);
const REFRESHES: u8 = 4;
const MAX_TTL: u32 = 86_400;

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn a_record_is_asked_for_at_80_85_90_and_95_percent() {
        let mut belief = Belief::new(100, Timestamp::START, &mut Dice::new(1));
        let mut asked = Vec::new();
        while !belief.over(belief.next()) {
            let at = belief.next();
            assert!(belief.take_refresh(at));
            asked.push(at.as_micros() / 1_000_000);
        }
        assert!(asked.iter().zip([80, 85, 90, 95]).all(|(at, due)| (due..=due + 2).contains(at)), "{asked:?}");
        assert_eq!((asked.len(), belief.next().as_micros()), (4, 100_000_000));
    }

    #[test]
    fn a_goodbye_leaves_a_second() {
        let mut belief = Belief::new(100, Timestamp::START, &mut Dice::new(1));
        belief.part(Timestamp::from_micros(5));
        assert_eq!(belief.until(), Timestamp::from_micros(1_000_005));
        assert!(belief.known_answer(Timestamp::from_micros(5)).is_none());
    }

    #[test]
    fn nobody_is_believed_for_longer_than_a_day() {
        let belief = Belief::new(u32::MAX, Timestamp::START, &mut Dice::new(1));
        assert_eq!(belief.until(), Timestamp::from_micros(86_400_000_000));
    }
}
