//! Where everybody is and where they go: the same for all contestants, and in every run.

use wayside_protocols::place::{Fix, Motion, Position};
use wayside_protocols::time::{Duration, Timestamp};

/// How a town is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spread {
    /// Evenly.
    Even,
    /// In 200 crowds of unequal size.
    Clustered,
}

/// 20 by 20 km around Paris.
pub(crate) struct Town {
    /// Where everybody starts, by number.
    pub(crate) start: Vec<Fix>,
    /// Where everybody is at the end.
    pub(crate) end: Vec<Fix>,
    /// Around where questions are asked.
    pub(crate) centres: Vec<Position>,
}

/// Questions of each sort.
const CENTRES: usize = 400;
/// How often everybody moves.
pub(crate) const ROUNDS: u32 = 25;
/// Time between two rounds.
pub(crate) const ROUND: Duration = Duration::from_millis(100);
/// The middle of it all.
pub(crate) const MIDDLE: (f64, f64) = (48.86, 2.35);

impl Town {
    pub(crate) fn new(size: usize, spread: Spread) -> Self {
        let mut dice = Dice(20_261_122);
        let crowds: Vec<_> = (0..200).map(|_| dice.anywhere()).collect();
        let start: Vec<Fix> = (0..size)
            .map(|_| {
                let position = match spread {
                    Spread::Even => dice.anywhere(),
                    Spread::Clustered => {
                        // The square makes the first crowds the largest.
                        let crowd = crowds[(dice.throw().powi(2) * 200.0) as usize];
                        crowd.moved(0.0, 300.0 * dice.normal()).moved(90.0, 300.0 * dice.normal())
                    }
                };
                let motion = Motion::new(10.0 + 20.0 * dice.throw() as f32, 359.9 * dice.throw() as f32).ok();
                Fix { position, time: Timestamp::START, accuracy: 1.0, motion }
            })
            .collect();
        let end: Vec<Fix> = start.iter().map(|fix| (0..ROUNDS).fold(*fix, |fix, _| moved(&fix))).collect();
        let centres = (0..CENTRES).map(|_| end[dice.below(size)].position).collect();
        Self { start, end, centres }
    }
}

/// One round on.
pub(crate) fn moved(fix: &Fix) -> Fix {
    let (speed, heading) = fix.motion.map_or((0.0, 0.0), |motion| (f64::from(motion.speed), f64::from(motion.heading)));
    Fix { position: fix.position.moved(heading, speed * ROUND.as_secs_f64()), time: fix.time + ROUND, ..*fix }
}

/// Metres east and north of the middle, on one plane: what the baselines count in.
pub(crate) fn flat(position: &Position) -> [f64; 2] {
    const NORTH: f64 = 111_207.2;
    const EAST: f64 = 73_355.6;
    [(position.longitude() - MIDDLE.1) * EAST, (position.latitude() - MIDDLE.0) * NORTH]
}

struct Dice(u64);

impl Dice {
    fn throw(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, end: usize) -> usize {
        (self.throw() * end as f64) as usize
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.throw()).sum::<f64>() - 6.0
    }

    fn anywhere(&mut self) -> Position {
        let (east, north) = (20_000.0 * (self.throw() - 0.5), 20_000.0 * (self.throw() - 0.5));
        let middle = Position::new(MIDDLE.0, MIDDLE.1).expect("Paris is on Earth");
        middle.moved(0.0, north).moved(90.0, east)
    }
}
