//! The agent's own receiver: what it says is believed if it can be, and a leap only when it is said twice.

use wayside_protocols::gpsd::{Received, Report};
use wayside_protocols::place::Fix;
use wayside_protocols::time::{Duration, Timestamp};

use crate::geo::Z;

/// What was last believed, and what is not yet.
#[derive(Debug, Default)]
pub(super) struct Receiver {
    believed: Option<Fix>,
    doubted: Option<Fix>,
    lost: bool,
}

/// What becomes of a report.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Word {
    /// The agent stands there.
    Believed(Fix),
    /// It would be a leap that nothing on a road can make; a second fix has to say the same.
    Doubted,
    /// The receiver has no fix.
    Without,
    /// Nothing about where it is.
    Nothing,
}

impl Receiver {
    /// Takes in what the receiver says at `now`. Its fix counts from then: a receiver reports within some tenths of a
    /// second, while its clock and ours may differ by far more.
    pub(super) fn hear(&mut self, report: Report, now: Timestamp) -> Word {
        match report {
            Report::Other => Word::Nothing,
            Report::NoFix => {
                self.lost = true;
                Word::Without
            }
            Report::Fix(received) => {
                self.lost = false;
                self.weigh(received, now)
            }
        }
    }

    /// Whether the last that was heard of the receiver is that it has no fix.
    pub(super) fn lost(&self) -> bool {
        self.lost
    }

    fn weigh(&mut self, received: Received, now: Timestamp) -> Word {
        let Received { position, accuracy, motion } = received;
        let fix = Fix { position, time: now, accuracy, motion: Some(motion) };
        let follows = |before: &Fix| {
            let moved = f64::from(TOP_SPEED) * now.since(before.time).as_secs_f64();
            let spread = Z * f64::from(before.accuracy).hypot(f64::from(accuracy));
            before.position.distance(&position).as_metres() <= moved + spread + SLACK
        };
        let said_again = |doubted: &Fix| now.since(doubted.time) >= AGAIN && follows(doubted);
        if self.believed.as_ref().is_none_or(follows) || self.doubted.as_ref().is_some_and(said_again) {
            (self.believed, self.doubted) = (Some(fix), None);
            return Word::Believed(fix);
        }
        // The first of two that agree stays, so that its age is that of the doubt.
        if !self.doubted.as_ref().is_some_and(follows) {
            self.doubted = Some(fix);
        }
        Word::Doubted
    }
}

/// Faster than anything on a road, m/s.
const TOP_SPEED: f32 = 70.0;
/// What a receiver may jump by within its own noise, metres.
const SLACK: f64 = 30.0;
/// Two lines of one cycle are one fix.
const AGAIN: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;
    use wayside_protocols::place::{Motion, Position};

    const SECOND: Duration = Duration::from_secs(1);

    fn at(metres: f64) -> Report {
        let position = Position::new(48.8566, 2.3522).unwrap().moved(90.0, metres);
        Report::Fix(Received { position, accuracy: 4.0, motion: Motion::new(10.0, 90.0).unwrap() })
    }

    fn believed(word: Word) -> bool {
        matches!(word, Word::Believed(_))
    }

    #[test]
    fn a_leap_is_believed_when_a_second_fix_says_the_same() {
        let mut receiver = Receiver::default();
        let now = |n: u32| Timestamp::START + SECOND * n;
        assert!(believed(receiver.hear(at(0.0), now(0))));
        assert!(believed(receiver.hear(at(10.0), now(1))));
        assert_eq!(receiver.hear(at(9_000.0), now(2)), Word::Doubted);
        assert!(believed(receiver.hear(at(9_010.0), now(3))));
        assert!(believed(receiver.hear(at(9_020.0), now(4))));
    }

    #[test]
    fn one_wild_fix_among_good_ones_moves_nobody() {
        let mut receiver = Receiver::default();
        for n in 0..20u32 {
            let wild = n % 3 == 1;
            let word =
                receiver.hear(at(if wild { 5_000.0 * f64::from(n) } else { 10.0 }), Timestamp::START + SECOND * n);
            assert_eq!(believed(word), !wild, "{n}");
        }
    }

    #[test]
    fn two_lines_of_one_cycle_do_not_confirm_each_other() {
        let mut receiver = Receiver::default();
        receiver.hear(at(0.0), Timestamp::START);
        let now = Timestamp::START + SECOND;
        assert_eq!(receiver.hear(at(9_000.0), now), Word::Doubted);
        assert_eq!(receiver.hear(at(9_000.0), now + Duration::from_millis(5)), Word::Doubted);
        assert!(believed(receiver.hear(at(9_000.0), now + SECOND)));
    }

    #[test]
    fn after_a_long_silence_wherever_it_can_have_come_is_no_leap() {
        let mut receiver = Receiver::default();
        receiver.hear(at(0.0), Timestamp::START);
        assert_eq!(receiver.hear(Report::NoFix, Timestamp::START + SECOND), Word::Without);
        assert!(receiver.lost());
        assert!(believed(receiver.hear(at(1_000.0), Timestamp::START + 60 * SECOND)));
        assert!(!receiver.lost());
    }
}
