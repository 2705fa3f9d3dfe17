//! Where something is by now, and how sure that is.
//!
//! A fix with a motion is carried forward in a straight line while it is valid. The uncertainty grows with its age:
//! speed and heading are off by as much as a sender may leave unsaid (the ETSI CAM rule, EN 302 637-2: 0.5 m/s and
//! 4 degrees), and anything may brake or turn. What stands still stays where it is and never grows vague.

use wayside_protocols::place::{Distance, Ecef, Fix, Position};
use wayside_protocols::time::{Duration, Timestamp};

use super::slab::Row;
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
    let mut row = Row::empty();
    row.write(fix, Turns::shared());
    row.standing(now)
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

impl Row {
    /// Where it has come by `now`.
    pub(super) fn standing(&self, now: Timestamp) -> Standing {
        let lapse = self.lapse(now);
        Standing { ecef: self.carried(lapse.carried), age: now.since(self.time), valid: lapse.valid }
    }

    /// How it looks from `centre`, if at [`Z`] sigma it is within `reach` metres; `any` is the farthest that this
    /// can be for anything of its kind, as a chord squared, and saves most of the work for the others.
    #[inline]
    pub(super) fn seen_within(&self, centre: &Ecef, reach: f64, any: f64, now: Timestamp) -> Option<Estimate> {
        let lapse = self.lapse(now);
        let at = self.carried(lapse.carried);
        if at.distance_2(centre) > any {
            return None;
        }
        let distance = at.distance(centre);
        let sigma = self.sigma(centre, &at, &lapse);
        (distance.as_metres() - Z * sigma <= reach).then(|| Estimate {
            distance,
            sigma,
            age: now.since(self.time),
            valid: lapse.valid,
        })
    }

    /// How it looks from `centre`.
    pub(super) fn seen(&self, centre: &Ecef, now: Timestamp) -> Estimate {
        let lapse = self.lapse(now);
        let at = self.carried(lapse.carried);
        let sigma = self.sigma(centre, &at, &lapse);
        Estimate { distance: at.distance(centre), sigma, age: now.since(self.time), valid: lapse.valid }
    }

    /// The straight line to `centre`, squared.
    #[inline]
    pub(super) fn distance_2(&self, centre: &Ecef, now: Timestamp) -> f64 {
        self.carried(self.lapse(now).carried).distance_2(centre)
    }

    /// Whether its fix is past extrapolating.
    pub(super) fn lapsed(&self, now: Timestamp) -> bool {
        self.moving() && now.since(self.time) > VALIDITY
    }

    #[inline]
    fn lapse(&self, now: Timestamp) -> Lapse {
        if !self.moving() {
            return Lapse { carried: 0.0, late: 0.0, valid: true };
        }
        let (now, then) = (now.as_micros(), self.time.as_micros());
        let seconds = now.saturating_sub(then) as f64 * 1e-6;
        // What claims to come from far ahead is no better than what is long past, only it cannot be put to an age.
        let valid = now.abs_diff(then) <= VALIDITY_MICROS;
        Lapse { carried: seconds.min(VALID), late: (seconds - VALID).max(0.0), valid }
    }

    #[inline]
    fn carried(&self, seconds: f64) -> Ecef {
        let [vx, vy, vz] = self.velocity.map(f64::from);
        Ecef { x: self.ecef.x + vx * seconds, y: self.ecef.y + vy * seconds, z: self.ecef.z + vz * seconds }
    }

    /// One sigma along the line from `centre` to `at`, metres.
    #[inline]
    fn sigma(&self, centre: &Ecef, at: &Ecef, lapse: &Lapse) -> f64 {
        let accuracy = f64::from(self.accuracy);
        if lapse.carried <= 0.0 {
            return accuracy;
        }
        let t = lapse.carried;
        let [vx, vy, vz] = self.velocity.map(f64::from);
        let speed_2 = vx * vx + vy * vy + vz * vz;
        let along = (at.x - centre.x) * vx + (at.y - centre.y) * vy + (at.z - centre.z) * vz;
        let line_2 = at.distance_2(centre) * speed_2;
        // Seen from where it stands, or standing itself: the worse of the two directions.
        let cos_2 = if line_2 > 0.0 { (along * along / line_2).min(1.0) } else { 1.0 };
        let (ahead, aside, veer) = (SPEED_SIGMA * t, HEADING_SIGMA * t, 0.5 * ACCELERATION * t * t);
        let grown_2 = ahead * ahead * cos_2 + aside * aside * speed_2 * (1.0 - cos_2) + veer * veer;
        let sigma = (accuracy * accuracy + grown_2).sqrt();
        if lapse.late > 0.0 { (sigma + lateness(lapse.late, speed_2.sqrt())).min(FARTHEST) } else { sigma }
    }
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

/// How long a fix has been carried, and how long it has been past carrying, seconds.
struct Lapse {
    carried: f64,
    late: f64,
    valid: bool,
}

const VALIDITY_MICROS: u64 = VALIDITY.as_secs() * 1_000_000;
const VALID: f64 = VALIDITY.as_secs() as f64;
const FARTHEST: f64 = Distance::FARTHEST.as_metres();
const ECCENTRICITY_2: f64 = 6.694_379_990_141_317e-3;
