//! Where something is by now, and how sure that is.
//!
//! A fix with a motion is carried forward in a straight line while it is valid. The uncertainty grows with its age:
//! speed and heading are off by as much as a sender may leave unsaid (the ETSI CAM rule, EN 302 637-2: 0.5 m/s and
//! 4 degrees), and anything may brake or turn. What stands still stays where it is and never grows vague.

use wayside_protocols::place::{Distance, Ecef, Fix, Position};
use wayside_protocols::time::{Duration, Timestamp};

use super::patch::{PatchId, Plane};
use super::row::{Measured, Row};
use super::turn::Turns;
use crate::query::Verdict;

/// How many standard deviations make a verdict.
pub const Z: f64 = 2.0;
/// How long a fix with a motion can be extrapolated: three times the longest silence the ETSI CAM rule allows.
pub const VALIDITY: Duration = Duration::from_secs(3);
/// One sigma of a stated speed, m/s.
pub const SPEED_SIGMA: f64 = 0.5;
/// One sigma of a stated heading, radians (4 degrees).
pub const HEADING_SIGMA: f64 = 0.069_813;
/// The hardest braking or turning to reckon with, m/s^2.
pub const ACCELERATION: f64 = 5.0;
/// How fast something unheard of may be going, m/s, unless it stated more: past its validity a fix grows vague so
/// that [`Z`] sigma grow at this pace.
pub const TOP_SPEED: f64 = 50.0;

/// Where something stands as seen from somewhere.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Along the ground, dead-reckoned.
    pub distance: Distance,
    /// One standard deviation of the distance along the line of sight, metres.
    pub sigma: f64,
    /// Since it was measured; zero for a fix from the future.
    pub age: Duration,
    /// Whether the fix still is good for a definite verdict.
    pub valid: bool,
}

/// Where something stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// On the ground, dead-reckoned.
    pub ecef: Ecef,
    /// Since it was measured; zero for a fix from the future.
    pub age: Duration,
    /// Whether the fix still is good for a definite verdict.
    pub valid: bool,
}

impl Standing {
    /// As latitude and longitude; without an altitude, which the index does not keep.
    pub fn position(&self) -> Position {
        surface(&self.ecef)
    }
}

/// Where `fix` has come by `now`; for callers that hold a fix and no index.
pub fn standing(fix: &Fix, now: Timestamp) -> Standing {
    let measured = Measured::new(fix, Turns::shared());
    let plane = PatchId::of(&measured.ecef).plane();
    Row::new(0, &measured, &plane).standing(&plane, now)
}

/// What can be said about being within `radius` of a centre that is itself known to `centre_sigma` metres: `None` if
/// it is outside at [`Z`] sigma.
pub fn verdict(estimate: &Estimate, radius: Distance, centre_sigma: f64) -> Option<Verdict> {
    let spread = Z * estimate.sigma.hypot(centre_sigma);
    let (metres, radius) = (estimate.distance.as_metres(), radius.as_metres());
    if metres - spread > radius {
        None
    } else if estimate.valid && metres + spread <= radius {
        Some(Verdict::Definite)
    } else {
        Some(Verdict::Possible)
    }
}

/// A question as it looks from the plane of a patch.
#[derive(Clone, Copy)]
pub(super) struct Look {
    centre: [f64; 3],
    now: i64,
}

impl Look {
    /// From `centre` at `now`.
    pub(super) fn new(centre: [f64; 3], now: Timestamp) -> Self {
        Self { centre, now: signed(now) }
    }

    /// The foot of the centre.
    pub(super) const fn foot(&self) -> [f64; 2] {
        [self.centre[0], self.centre[1]]
    }
}

impl Row {
    /// Where it has come by `now`.
    pub(super) fn standing(&self, plane: &Plane, now: Timestamp) -> Standing {
        let lapse = self.lapse(signed(now));
        let [x, y] = self.carried(&lapse);
        Standing { ecef: plane.point([x, y, self.level(&lapse)]), age: lapse.age(), valid: lapse.valid() }
    }

    /// How it looks, if at [`Z`] sigma it is within `reach`.
    // Inlined always: a caller that asks for no more than the distance then pays for no more.
    #[inline(always)]
    pub(super) fn seen_within(&self, look: &Look, reach: &Reach) -> Option<Seen> {
        let lapse = self.lapse(look.now);
        let ([x, y], [cx, cy, cz]) = (self.carried(&lapse), look.centre);
        let seen = Seen { row: *self, way: [x - cx, y - cy, self.level(&lapse) - cz], lapse };
        if seen.chord_2() <= reach.chord_2 {
            return Some(seen);
        }
        let estimate = seen.estimate();
        (estimate.distance.as_metres() - Z * estimate.sigma <= reach.metres).then_some(seen)
    }

    /// How it looks.
    pub(super) fn seen(&self, look: &Look) -> Estimate {
        let lapse = self.lapse(look.now);
        let [x, y] = self.carried(&lapse);
        let [cx, cy, cz] = look.centre;
        Seen { row: *self, way: [x - cx, y - cy, self.level(&lapse) - cz], lapse }.estimate()
    }

    /// The straight line to the centre, squared.
    #[inline]
    pub(super) fn distance_2(&self, look: &Look) -> f64 {
        let lapse = self.lapse(look.now);
        let ([x, y], [cx, cy, cz]) = (self.carried(&lapse), look.centre);
        let (x, y, z) = (x - cx, y - cy, self.level(&lapse) - cz);
        x * x + y * y + z * z
    }

    /// Whether its fix is past extrapolating.
    pub(super) fn lapsed(&self, now: Timestamp) -> bool {
        self.moving() && now.since(self.time()) > VALIDITY
    }

    #[inline]
    fn lapse(&self, now: i64) -> Lapse {
        let micros = now - signed(self.time());
        // What stands still does not grow old.
        let seconds = if self.moving() { micros as f64 * 1e-6 } else { 0.0 };
        Lapse { micros, seconds, carried: seconds.clamp(0.0, VALID) }
    }

    #[inline]
    fn carried(&self, lapse: &Lapse) -> [f64; 2] {
        let ([x, y, _], [vx, vy]) = (self.at(), self.velocity());
        [x + vx * lapse.carried, y + vy * lapse.carried]
    }

    /// How far out of the plane it has come: the ground falls away as the square of the way from the origin.
    #[inline]
    fn level(&self, lapse: &Lapse) -> f64 {
        let ([x, y, z], [vx, vy]) = (self.at(), self.velocity());
        z - (x * vx + y * vy) * lapse.carried * FALL
    }
}

/// Something that may be within reach, worked out no further than it is asked for.
#[derive(Clone, Copy)]
pub struct Seen {
    row: Row,
    way: [f64; 3],
    lapse: Lapse,
}

impl Seen {
    /// Along the ground, dead-reckoned.
    #[inline]
    pub fn distance(&self) -> Distance {
        let [x, y, z] = self.way;
        Ecef { x, y, z }.distance(&Ecef { x: 0.0, y: 0.0, z: 0.0 })
    }

    /// How it looks, and how sure that is.
    #[inline]
    pub fn estimate(&self) -> Estimate {
        let ([x, y, _], lapse) = (self.way, &self.lapse);
        let [vx, vy] = self.row.velocity();
        let speed_2 = vx * vx + vy * vy;
        let (along, line_2) = (x * vx + y * vy, self.chord_2() * speed_2);
        // Seen from where it stands, or standing itself: as if along its way.
        let cos_2 = if line_2 > 0.0 { (along * along / line_2).min(1.0) } else { 1.0 };
        let (t, accuracy) = (lapse.carried, self.row.accuracy());
        let ahead_2 = SPEED_SIGMA * SPEED_SIGMA * cos_2;
        let aside_2 = HEADING_SIGMA * HEADING_SIGMA * speed_2 * (1.0 - cos_2);
        let veer_2 = 0.25 * ACCELERATION * ACCELERATION * t * t;
        let mut sigma = (accuracy * accuracy + (ahead_2 + aside_2 + veer_2) * t * t).sqrt();
        if lapse.seconds > VALID {
            sigma = (sigma + lateness(lapse.seconds - VALID, speed_2.sqrt())).min(FARTHEST);
        }
        Estimate { distance: self.distance(), sigma, age: lapse.age(), valid: lapse.valid() }
    }

    /// The straight line to the centre, squared.
    #[inline]
    fn chord_2(&self) -> f64 {
        let [x, y, z] = self.way;
        x * x + y * y + z * z
    }
}

/// How far a question reaches.
#[derive(Clone, Copy)]
pub(super) struct Reach {
    metres: f64,
    /// The straight line between two points so far apart on the ground, squared.
    chord_2: f64,
}

impl Reach {
    /// `distance` along the ground.
    pub(super) fn new(distance: Distance) -> Self {
        let metres = distance.as_metres();
        let chord = 2.0 * RADIUS * (metres / (2.0 * RADIUS)).min(core::f64::consts::FRAC_PI_2).sin();
        Self { metres, chord_2: chord * chord }
    }
}

/// The time since a fix.
#[derive(Clone, Copy)]
struct Lapse {
    micros: i64,
    /// The same, if it matters.
    seconds: f64,
    /// For how much of it the fix is carried on.
    carried: f64,
}

impl Lapse {
    #[inline]
    fn age(&self) -> Duration {
        Duration::from_micros(self.micros.max(0).unsigned_abs())
    }

    /// What claims to come from far ahead is no better than what is long past, only it cannot be put to an age.
    #[inline]
    fn valid(&self) -> bool {
        self.seconds.abs() <= VALID
    }
}

/// As microseconds that can be subtracted; 292,000 years will do for ever.
#[inline]
fn signed(time: Timestamp) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

/// How far a fix of `age` and at most `speed` can be from where it was measured, at [`Z`] sigma beyond its own
/// accuracy, metres: what a search must reach out by.
pub(super) fn outreach(age: Duration, speed: f64) -> f64 {
    let seconds = age.as_secs_f64();
    let t = seconds.min(VALID);
    let grown = SPEED_SIGMA * t + HEADING_SIGMA * speed * t + 0.5 * ACCELERATION * t * t;
    speed * t + Z * (grown + lateness((seconds - VALID).max(0.0), speed))
}

fn lateness(late: f64, speed: f64) -> f64 {
    late * speed.max(TOP_SPEED) / Z
}

/// The point on the ground at or under `ecef`. Exact on the ellipsoid; a point carried 500 m along a tangent is
/// 2 cm above it, which shifts the latitude by less than a tenth of a millimetre.
fn surface(ecef: &Ecef) -> Position {
    let across = ecef.x.hypot(ecef.y);
    let latitude = ecef.z.atan2((1.0 - ECCENTRICITY_2) * across).to_degrees();
    let longitude = if across > 0.0 { ecef.y.atan2(ecef.x).to_degrees() } else { 0.0 };
    Position::new(latitude.clamp(-90.0, 90.0), longitude.clamp(-180.0, 180.0)).expect("clamped to its range")
}

const VALID: f64 = VALIDITY.as_secs() as f64;
const FARTHEST: f64 = Distance::FARTHEST.as_metres();
/// Of the Earth, metres; the one that [`Ecef::distance`] bends its chord on.
const RADIUS: f64 = 6_371_008.8;
/// Near enough for the fall of the ground over the few hundred metres that a fix is carried.
const FALL: f64 = 1.0 / RADIUS;
const ECCENTRICITY_2: f64 = 6.694_379_990_141_317e-3;
