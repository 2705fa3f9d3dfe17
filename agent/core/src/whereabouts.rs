//! Where the agent itself stands, and until when that can be said.
//!
//! A place that was written down or told without a motion holds until another is told. What moves is certain for as
//! long as its last fix can be extrapolated, grows vague from there on, and then is not known any more.

use wayside_protocols::place::{Fix, Position};
use wayside_protocols::time::{Duration, Timestamp};

use crate::geo::{self, ACCELERATION, HEADING_SIGMA, SPEED_SIGMA, TOP_SPEED, VALIDITY, Z};

/// Where the agent stands at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Whereabouts {
    /// Dead-reckoned; with the altitude of the fix.
    pub position: Position,
    /// One sigma along the worst horizontal line, metres.
    pub sigma: f64,
    /// Since it was measured or told.
    pub age: Duration,
    /// Whether it is good for a definite verdict.
    pub certain: bool,
    /// Which way it goes, degrees from true north; `None` if it stands, or is too slow to say.
    pub heading: Option<f32>,
}

/// The agent does not know where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// Nobody has ever said.
    #[error("own position unknown: set [position], give the agent a receiver or tell it by PUT /v1/position")]
    Never,
    /// The last fix is too old.
    #[error("own position unknown: the last fix is {} s old, more than {} s", .0.as_secs(), HOLDS.as_secs())]
    Since(Duration),
}

/// Where an agent stands at `now` that last stood at `own`.
///
/// # Errors
/// [`Lost`] if nobody has said, or too long ago.
pub fn whereabouts(own: Option<&Fix>, now: Timestamp) -> Result<Whereabouts, Lost> {
    let fix = own.ok_or(Lost::Never)?;
    let Some(motion) = fix.motion else {
        let (sigma, age) = (f64::from(fix.accuracy), now.since(fix.time));
        return Ok(Whereabouts { position: fix.position, sigma, age, certain: true, heading: None });
    };
    let age = now.since(fix.time);
    if age > HOLDS {
        return Err(Lost::Since(age));
    }
    let speed = f64::from(motion.speed);
    let (carried, late) = (age.min(VALIDITY).as_secs_f64(), age.saturating_sub(VALIDITY).as_secs_f64());
    // The agent asks in every direction at once, so the worst line counts.
    let drift = SPEED_SIGMA.max(HEADING_SIGMA * speed) * carried;
    let veer = 0.5 * ACCELERATION * carried * carried;
    let sigma = f64::from(fix.accuracy).hypot(drift).hypot(veer) + late * speed.max(TOP_SPEED) / Z;
    let flat = geo::standing(fix, now).position();
    let position = fix.position.altitude().and_then(|metres| flat.at_altitude(metres).ok()).unwrap_or(flat);
    let heading = (motion.speed >= STEERING).then_some(motion.heading);
    Ok(Whereabouts { position, sigma, age, certain: age <= VALIDITY, heading })
}

/// How long the last fix of something that moves is spoken of: by then [`Z`] sigma are more than a kilometre.
pub const HOLDS: Duration = Duration::from_secs(30);
/// Below this a receiver's track is noise, m/s.
const STEERING: f32 = 0.5;

#[cfg(test)]
mod tests {
    use super::*;
    use wayside_protocols::place::Motion;

    const SECOND: Duration = Duration::from_secs(1);

    fn driving() -> Fix {
        let position = Position::new(48.8566, 2.3522).unwrap().at_altitude(80.0).unwrap();
        Fix { position, time: Timestamp::START, accuracy: 2.0, motion: Motion::new(10.0, 90.0).ok() }
    }

    #[test]
    fn a_fix_that_is_not_renewed_grows_vague_and_then_is_none() {
        let fix = driving();
        let at = |seconds: u32| whereabouts(Some(&fix), Timestamp::START + SECOND * seconds);
        let sigmas: Vec<f64> = (0..=30).map(|seconds| at(seconds).unwrap().sigma).collect();
        assert!(sigmas.is_sorted(), "{sigmas:?}");
        assert!((sigmas[0] - 2.0).abs() < 1e-6 && sigmas[3] < 30.0 && sigmas[30] > 500.0, "{sigmas:?}");
        assert!(at(3).unwrap().certain && !at(4).unwrap().certain);
        assert_eq!(at(31), Err(Lost::Since(31 * SECOND)));
        let told = at(31).unwrap_err().to_string();
        assert_eq!(told, "own position unknown: the last fix is 31 s old, more than 30 s");
        assert_eq!(whereabouts(None, Timestamp::START), Err(Lost::Never));
    }

    #[test]
    fn it_is_reckoned_on_and_keeps_its_level() {
        let now = Timestamp::START + 2 * SECOND;
        let here = whereabouts(Some(&driving()), now).unwrap();
        assert!((here.position.distance(&driving().position).as_metres() - 20.0).abs() < 0.1);
        assert_eq!((here.position.altitude(), here.heading), (Some(80.0), Some(90.0)));
    }

    #[test]
    fn a_place_that_was_written_down_never_grows_old() {
        let fixed = Fix::fixed(driving().position, 1.0, Timestamp::START);
        let here = whereabouts(Some(&fixed), Timestamp::START + 86_400 * SECOND).unwrap();
        assert_eq!((here.sigma, here.certain, here.age), (1.0, true, 86_400 * SECOND));
    }
}
