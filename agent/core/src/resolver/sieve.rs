//! What a question leaves out besides radius and tier: kinds, directions, levels, age.

use wayside_protocols::place::{Fix, Position};
use wayside_protocols::service::Kind;
use wayside_protocols::time::Duration;

use super::Circle;
use crate::geo::{Estimate, HEADING_SIGMA, Z};
use crate::query::{Reason, Sector, Sieve, Verdict};

/// What is held against a sieve.
pub(super) struct Held<'a> {
    pub(super) kind: Kind,
    pub(super) age: Duration,
    /// The fix of what carries it.
    pub(super) fix: Option<&'a Fix>,
    /// Where that has come by now, and how it looks from the centre.
    pub(super) seen: Option<(Position, Estimate)>,
}

/// Whether it stays in, and how surely; definite does not make more of a verdict than the circle did.
pub(super) fn pass(sieve: &Sieve, circle: Option<Circle>, held: &Held<'_>) -> Result<Verdict, Reason> {
    if !sieve.kinds.is_empty() && !sieve.kinds.contains(&held.kind) {
        return Err(Reason::KindNotAsked);
    }
    if sieve.max_age.is_some_and(|oldest| held.age > oldest) {
        return Err(Reason::TooOld);
    }
    let own = circle.and_then(|circle| circle.heading);
    let mut verdict = Verdict::Definite;
    if let Some(sector) = sieve.heading {
        let motion = held.fix.and_then(|fix| fix.motion).filter(|motion| motion.speed > 0.0).ok_or(Reason::Heading)?;
        let spread = Z * HEADING_SIGMA.to_degrees();
        verdict = verdict.max(within(&turned(sector, own), motion.heading.into(), spread).ok_or(Reason::Heading)?);
    }
    let placed = circle.zip(held.seen);
    if let Some(sector) = sieve.sector {
        let (circle, (position, estimate)) = placed.ok_or(Reason::NoPosition)?;
        let metres = estimate.distance.as_metres();
        let spread = (Z * estimate.sigma.hypot(circle.sigma)).atan2(metres).to_degrees();
        let bearing = circle.centre.bearing(&position);
        verdict = verdict.max(within(&turned(sector, own), bearing, spread).ok_or(Reason::Direction)?);
    }
    if let Some((circle, (_, estimate))) = placed {
        verdict = verdict.max(level(sieve.same_level, &circle, held.fix, &estimate)?);
    }
    Ok(verdict)
}

/// Levels count where both sides state an altitude: surely apart is never definite, and left out where the question
/// asks for one level. Where one side states none, ordinary services on the ground stay what they are, unless one
/// level is asked for: then they are at most possible. Altitudes come from too many references (ellipsoid, sea) to
/// leave something out unasked.
fn level(same: bool, circle: &Circle, fix: Option<&Fix>, estimate: &Estimate) -> Result<Verdict, Reason> {
    let altitude = fix.and_then(|fix| fix.position.altitude());
    let Some((here, there)) = circle.centre.altitude().zip(altitude) else {
        return Ok(if same { Verdict::Possible } else { Verdict::Definite });
    };
    let spread = Z * UPWARDS * estimate.sigma.hypot(circle.sigma).min(SURE);
    let apart = f64::from((here - there).abs());
    if apart + spread <= LEVEL {
        Ok(Verdict::Definite)
    } else if same && apart - spread > LEVEL {
        Err(Reason::OtherLevel)
    } else if apart - spread > LEVEL || same {
        Ok(Verdict::Possible)
    } else {
        Ok(Verdict::Definite)
    }
}

/// The sector from true north, where it is told from the agent's own heading.
fn turned(sector: Sector, own: Option<f32>) -> Sector {
    let from = if sector.relative { own.map_or(0.0, f64::from) } else { 0.0 };
    Sector { bearing: (sector.bearing + from).rem_euclid(360.0), relative: false, ..sector }
}

fn within(sector: &Sector, degrees: f64, spread: f64) -> Option<Verdict> {
    let off = sector.off(degrees);
    if off + spread <= sector.within || sector.within >= 180.0 {
        Some(Verdict::Definite)
    } else {
        (off - spread <= sector.within).then_some(Verdict::Possible)
    }
}

/// Farther apart than this is another level, metres: more than a deck, less than two.
const LEVEL: f64 = 15.0;
/// A receiver knows its altitude about half as well as its place.
const UPWARDS: f64 = 2.0;
/// What has drifted along the road has not drifted upwards by as much, metres.
const SURE: f64 = 5.0;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sector(bearing: f64, within: f64) -> Sector {
        Sector { bearing, within, relative: false }
    }

    #[test]
    fn north_lies_between_west_and_east() {
        assert_eq!(sector(0.0, 10.0).off(355.0), 5.0);
        assert_eq!(sector(350.0, 10.0).off(5.0), 15.0);
        assert_eq!(within(&sector(359.0, 20.0), 3.0, 8.0), Some(Verdict::Definite));
        assert_eq!(within(&sector(359.0, 20.0), 15.0, 8.0), Some(Verdict::Possible));
        assert_eq!(within(&sector(359.0, 20.0), 40.0, 8.0), None);
        let ahead = turned(Sector { relative: true, ..sector(0.0, 30.0) }, Some(350.0));
        assert_eq!(ahead.off(20.0), 30.0);
    }

    proptest! {
        #[test]
        fn all_around_holds_everything(bearing in 0.0f64..360.0, degrees in 0.0f64..360.0, spread in 0.0f64..90.0) {
            prop_assert_eq!(within(&sector(bearing, 180.0), degrees, spread), Some(Verdict::Definite));
            prop_assert!(sector(bearing, 1.0).off(degrees) <= 180.0);
        }
    }
}
