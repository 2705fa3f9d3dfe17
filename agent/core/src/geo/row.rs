//! What is known of one thing: where it is, how it moves, and when that was so.

use wayside_protocols::place::{Ecef, Fix, OutOfRange, Position, within};
use wayside_protocols::time::Timestamp;

use super::patch::{Plane, REACH};
use super::turn::Turns;

/// Why something cannot be placed.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Refused {
    /// A number that is none, or that nothing can have.
    #[error(transparent)]
    Range(#[from] OutOfRange),
    /// A slot number beyond those that the index keeps.
    #[error("key {0} is not below {end}", end = super::Key::END)]
    Key(u32),
}

/// What is known of one thing, in metres on the plane of its patch. On a patch an f32 is within a quarter of a millimetre.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// The foot of where it was measured.
    pub(super) foot: [f32; 2],
    pub(super) rest: Rest,
}

/// All but the foot, 24 bytes: a search reads the feet of a bucket, and of most rows no more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rest {
    /// When it was measured.
    time: Timestamp,
    /// How far out of the plane.
    level: f32,
    /// One sigma, metres.
    accuracy: f32,
    /// For what stated a motion, its velocity in [`SPEED_UNIT`]; else how far it has drifted since it was first
    /// placed, in [`DRIFT_UNIT`].
    pace: [i16; 2],
    /// Whose row it is, and whether its fix stated a motion.
    key: u32,
}

impl Row {
    /// What `measured` is on `plane`.
    #[inline]
    pub(super) fn new(key: u32, measured: &Measured, plane: &Plane) -> Self {
        let [x, y, level] = plane.seen_from(&measured.ecef).map(|part| part as f32);
        let (mut pace, mut key) = ([0; 2], key);
        if let Some(velocity) = &measured.velocity {
            key |= MOVING;
            let [x, y, _] = plane.along(velocity);
            // At most 164 m/s, which is 20,970 units; the cast saturates.
            pace = [x, y].map(|part| nearest(part / SPEED_UNIT));
        }
        let rest = Rest { time: measured.time, level, accuracy: measured.accuracy, pace, key };
        Self { foot: [x, y], rest }
    }

    /// Where its foot is on the plane.
    #[inline]
    pub(super) fn foot(&self) -> [f64; 2] {
        self.foot.map(f64::from)
    }

    /// Where it was measured, as seen from the plane.
    #[inline]
    pub(super) fn at(&self) -> [f64; 3] {
        let [x, y] = self.foot();
        [x, y, f64::from(self.rest.level)]
    }

    /// When it was measured.
    #[inline]
    pub(super) const fn time(&self) -> Timestamp {
        self.rest.time
    }

    /// One sigma, metres.
    #[inline]
    pub(super) fn accuracy(&self) -> f64 {
        f64::from(self.rest.accuracy)
    }

    /// Metres a second along the plane; zero for what stands.
    #[inline]
    pub(super) fn velocity(&self) -> [f64; 2] {
        if self.moving() { self.rest.pace.map(|part| f64::from(part) * SPEED_UNIT) } else { [0.0; 2] }
    }

    /// Metres a second, squared.
    #[inline]
    pub(super) fn speed_2(&self) -> f64 {
        let [x, y] = self.velocity();
        x * x + y * y
    }

    /// Whether its fix stated a motion, if only one of no speed.
    #[inline]
    pub(super) const fn moving(&self) -> bool {
        self.rest.key & MOVING != 0
    }

    #[inline]
    pub(super) const fn key(&self) -> u32 {
        self.rest.key & !MOVING
    }

    /// Whether it still lies on the patch whose plane it is counted on. The far side of the Earth has the same feet,
    /// but is far below.
    #[inline]
    pub(super) fn on_patch(&self) -> bool {
        let reach = REACH as f32;
        self.foot[0].abs() <= reach && self.foot[1].abs() <= reach && self.rest.level.abs() <= 100.0
    }

    /// Takes over how far it had drifted by `before`, which is on the same plane, and says whether it stands still.
    pub(super) fn drift(&mut self, before: &Self) -> bool {
        let [x, y] =
            [0, 1].map(|axis| f32::from(before.rest.pace[axis]) * DRIFT_UNIT + self.foot[axis] - before.foot[axis]);
        let still = x * x + y * y <= STANDING * STANDING;
        if still {
            self.rest.pace = [x, y].map(|part| nearest(f64::from(part / DRIFT_UNIT)));
        }
        still
    }
}

/// A fix in Earth-centred metres.
pub(super) struct Measured {
    pub(super) ecef: Ecef,
    /// Metres a second, if it stated a motion.
    pub(super) velocity: Option<[f64; 3]>,
    pub(super) time: Timestamp,
    pub(super) accuracy: f32,
}

impl Measured {
    /// What `fix` says.
    #[inline]
    pub(super) fn new(fix: &Fix, turns: &Turns) -> Self {
        let (sin_phi, cos_phi) = turns.sin_cos(fix.position.latitude());
        let (sin_lambda, cos_lambda) = turns.sin_cos(fix.position.longitude());
        let velocity = fix.motion.map(|motion| {
            let (sin, cos) = turns.sin_cos(f64::from(motion.heading));
            let (east, north) = (f64::from(motion.speed) * sin, f64::from(motion.speed) * cos);
            [
                -sin_lambda * east - sin_phi * cos_lambda * north,
                cos_lambda * east - sin_phi * sin_lambda * north,
                cos_phi * north,
            ]
        });
        let ecef = on_the_ground(sin_phi, cos_phi, sin_lambda, cos_lambda);
        Self { ecef, velocity, time: fix.time, accuracy: fix.accuracy }
    }

    /// Whether it would make every search of its stand too wide.
    #[inline]
    pub(super) fn unruly(&self) -> bool {
        let speed_2 = self.velocity.map_or(0.0, |[x, y, z]| x * x + y * y + z * z);
        self.accuracy > LOOSE_SIGMA || speed_2 > LOOSE_SPEED * LOOSE_SPEED
    }
}

/// Checks what the types leave open: a [`Fix`] and a motion can be put together by hand.
pub(super) fn check(key: super::Key, fix: &Fix) -> Result<(), Refused> {
    if key.0 >= super::Key::END {
        return Err(Refused::Key(key.0));
    }
    within("accuracy", f64::from(fix.accuracy), 0.0, 1e7)?;
    if let Some(motion) = fix.motion {
        within("speed", f64::from(motion.speed), 0.0, 163.82)?;
        within("heading", f64::from(motion.heading), 0.0, 360.0)?;
    }
    Ok(())
}

/// Earth-centred metres of `position`, as [`Position::ecef`] says it, without libm.
pub(super) fn ecef(position: &Position, turns: &Turns) -> Ecef {
    let (sin_phi, cos_phi) = turns.sin_cos(position.latitude());
    let (sin_lambda, cos_lambda) = turns.sin_cos(position.longitude());
    on_the_ground(sin_phi, cos_phi, sin_lambda, cos_lambda)
}

#[inline]
fn on_the_ground(sin_phi: f64, cos_phi: f64, sin_lambda: f64, cos_lambda: f64) -> Ecef {
    let normal = SEMI_MAJOR / (1.0 - ECCENTRICITY_2 * sin_phi * sin_phi).sqrt();
    Ecef {
        x: normal * cos_phi * cos_lambda,
        y: normal * cos_phi * sin_lambda,
        z: normal * (1.0 - ECCENTRICITY_2) * sin_phi,
    }
}

/// The whole number nearest to `number`, which is in range. The rounding of std is a call where the processor may lack
/// the instruction.
#[inline]
fn nearest(number: f64) -> i16 {
    (number + 0.5_f64.copysign(number)) as i16
}

impl Rest {
    /// Nobody's.
    pub(super) const EMPTY: Self = Self { time: Timestamp::START, level: 0.0, accuracy: 0.0, pace: [0; 2], key: 0 };
}

const MOVING: u32 = 1 << 31;
/// Metres a second; 164 m/s, the most there is, are 20,970 of them.
const SPEED_UNIT: f64 = 1.0 / 128.0;
/// Metres.
const DRIFT_UNIT: f32 = 0.01;
/// What stands still is measured no farther than this from where it was first, metres.
const STANDING: f32 = 25.0;
/// One sigma above which a thing is kept with the loose, metres.
const LOOSE_SIGMA: f32 = 30.0;
/// Speed above which a thing is kept with the loose, m/s.
const LOOSE_SPEED: f64 = 70.0;
/// WGS84.
const SEMI_MAJOR: f64 = 6_378_137.0;
const ECCENTRICITY_2: f64 = 6.694_379_990_141_317e-3;
