//! One row for each thing: where it truly is, how it moves, and where the trees believe it to be.

use wayside_protocols::place::{Ecef, Fix, OutOfRange, Position, within};
use wayside_protocols::time::Timestamp;

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

/// What is known of one thing; 64 bytes, so that a look costs one cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Row {
    /// Where it was measured.
    pub(super) ecef: Ecef,
    /// When.
    pub(super) time: Timestamp,
    /// Earth-centred metres a second; zero for what stands.
    pub(super) velocity: [f32; 3],
    /// One sigma, metres.
    pub(super) accuracy: f32,
    /// Where on its patch's plane the tree has it.
    pub(super) anchor: [f32; 2],
    /// Whose row it is.
    pub(super) key: u32,
    home: u32,
}

/// Where a row is filed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// Nowhere; the row is free.
    None,
    /// In a tree of the patch at this place of the list of patches.
    Patch(Kind, u32),
    /// In a list of the loose, at this place.
    Loose(Kind, u32),
}

/// Which population a row is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Static,
    Mobile,
}

impl Home {
    /// Of which population what is filed here is; what is filed nowhere has not moved.
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::None => Kind::Static,
            Self::Patch(kind, _) | Self::Loose(kind, _) => kind,
        }
    }
}

impl Row {
    pub(super) const fn empty() -> Self {
        Self {
            ecef: Ecef { x: 0.0, y: 0.0, z: 0.0 },
            time: Timestamp::START,
            velocity: [0.0; 3],
            accuracy: 0.0,
            anchor: [0.0; 2],
            key: 0,
            home: 0,
        }
    }

    /// Takes over what `fix` says; where it is filed stays.
    #[inline]
    pub(super) fn write(&mut self, fix: &Fix, turns: &Turns) {
        let (sin_phi, cos_phi) = turns.sin_cos(fix.position.latitude());
        let (sin_lambda, cos_lambda) = turns.sin_cos(fix.position.longitude());
        self.ecef = on_the_ground(sin_phi, cos_phi, sin_lambda, cos_lambda);
        self.time = fix.time;
        self.accuracy = fix.accuracy;
        self.home &= !MOVING;
        self.velocity = [0.0; 3];
        if let Some(motion) = fix.motion {
            let (sin, cos) = turns.sin_cos(f64::from(motion.heading));
            let (east, north) = (f64::from(motion.speed) * sin, f64::from(motion.speed) * cos);
            self.home |= MOVING;
            self.velocity = [
                (-sin_lambda * east - sin_phi * cos_lambda * north) as f32,
                (cos_lambda * east - sin_phi * sin_lambda * north) as f32,
                (cos_phi * north) as f32,
            ];
        }
    }

    /// Whether its fix stated a motion, if only one of no speed.
    pub(super) fn moving(&self) -> bool {
        self.home & MOVING != 0
    }

    /// Metres a second, as stated.
    #[inline]
    pub(super) fn speed(&self) -> f64 {
        let [x, y, z] = self.velocity.map(f64::from);
        (x * x + y * y + z * z).sqrt()
    }

    pub(super) fn home(&self) -> Home {
        let place = self.home & PLACE;
        match (self.home & FILED) >> FILED_SHIFT {
            1 => Home::Patch(Kind::Static, place),
            2 => Home::Patch(Kind::Mobile, place),
            3 => Home::Loose(Kind::Static, place),
            4 => Home::Loose(Kind::Mobile, place),
            _ => Home::None,
        }
    }

    pub(super) fn file(&mut self, home: Home) {
        let (filed, place) = match home {
            Home::None => (0, 0),
            Home::Patch(Kind::Static, place) => (1, place),
            Home::Patch(Kind::Mobile, place) => (2, place),
            Home::Loose(Kind::Static, place) => (3, place),
            Home::Loose(Kind::Mobile, place) => (4, place),
        };
        self.home = self.home & MOVING | filed << FILED_SHIFT | place & PLACE;
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

const MOVING: u32 = 1 << 31;
const FILED_SHIFT: u32 = 28;
const FILED: u32 = 7 << FILED_SHIFT;
const PLACE: u32 = (1 << FILED_SHIFT) - 1;
/// WGS84.
const SEMI_MAJOR: f64 = 6_378_137.0;
const ECCENTRICITY_2: f64 = 6.694_379_990_141_317e-3;
