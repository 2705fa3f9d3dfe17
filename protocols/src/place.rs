//! Where things stand.
//!
//! Positions are WGS84. Distances are decided in Earth-centred metres (ECEF): a straight line between two surface
//! points is the geodesic to well under a millimetre at a few kilometres, with no special case at the poles or the
//! antimeridian. Degrees are never compared as if they were metres.

use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use crate::time::Timestamp;

/// A point on or near the WGS84 ellipsoid: latitude in [-90, 90] degrees, longitude in [-180, 180] degrees, and
/// metres above the ellipsoid where known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Position {
    latitude: f64,
    longitude: f64,
    altitude: Option<f32>,
}

impl Position {
    /// A point at `latitude` and `longitude` degrees.
    ///
    /// # Errors
    /// [`OutOfRange`] if either is not finite or outside its range.
    pub fn new(latitude: f64, longitude: f64) -> Result<Self, OutOfRange> {
        within("latitude", latitude, -90.0, 90.0)?;
        within("longitude", longitude, -180.0, 180.0)?;
        Ok(Self { latitude, longitude, altitude: None })
    }

    /// The same point at `metres` above the ellipsoid.
    ///
    /// # Errors
    /// [`OutOfRange`] outside -1,000 to 20,000 m.
    pub fn at_altitude(self, metres: f32) -> Result<Self, OutOfRange> {
        within("altitude", f64::from(metres), -1_000.0, 20_000.0)?;
        Ok(Self { altitude: Some(metres), ..self })
    }

    /// Degrees north.
    pub fn latitude(&self) -> f64 {
        self.latitude
    }

    /// Degrees east.
    pub fn longitude(&self) -> f64 {
        self.longitude
    }

    /// Metres above the ellipsoid, where known.
    pub fn altitude(&self) -> Option<f32> {
        self.altitude
    }

    /// The point on the ellipsoid's surface below, in Earth-centred metres. Altitude is left out on purpose: a
    /// distance is along the ground, and levels are compared apart.
    pub fn ecef(&self) -> Ecef {
        let (phi, lambda) = (self.latitude.to_radians(), self.longitude.to_radians());
        let (sin_phi, cos_phi) = (libm::sin(phi), libm::cos(phi));
        let normal = SEMI_MAJOR / libm::sqrt(1.0 - ECCENTRICITY_2 * sin_phi * sin_phi);
        Ecef {
            x: normal * cos_phi * libm::cos(lambda),
            y: normal * cos_phi * libm::sin(lambda),
            z: normal * (1.0 - ECCENTRICITY_2) * sin_phi,
        }
    }

    /// Metres along the ground to `other`; exact to 0.05 m at 500 m and to 0.01 % at 50 km.
    pub fn distance(&self, other: &Self) -> Distance {
        self.ecef().distance(&other.ecef())
    }

    /// The direction in which `other` lies, degrees clockwise from true north in [0, 360).
    pub fn bearing(&self, other: &Self) -> f64 {
        let (north, east) = self.ecef().offset_at(self, &other.ecef());
        let degrees = libm::atan2(east, north).to_degrees();
        if degrees < 0.0 { degrees + 360.0 } else { degrees }
    }

    /// The point `metres` away in direction `bearing` (degrees clockwise from true north). Good to centimetres for
    /// the few hundred metres that dead reckoning spans.
    pub fn moved(&self, bearing: f64, metres: f64) -> Self {
        let phi = self.latitude.to_radians();
        let sin_phi = libm::sin(phi);
        let w2 = 1.0 - ECCENTRICITY_2 * sin_phi * sin_phi;
        let normal = SEMI_MAJOR / libm::sqrt(w2);
        let meridian = normal * (1.0 - ECCENTRICITY_2) / w2;
        let turn = bearing.to_radians();
        let (north, east) = (metres * libm::cos(turn), metres * libm::sin(turn));
        let parallel = (normal * libm::cos(phi)).max(1.0);
        let mut latitude = self.latitude + (north / meridian).to_degrees();
        let mut longitude = self.longitude + (east / parallel).to_degrees();
        if latitude.abs() > 90.0 {
            latitude = 180.0_f64.copysign(latitude) - latitude;
            longitude += 180.0;
        }
        longitude = (longitude + 180.0).rem_euclid_360() - 180.0;
        Self { latitude: latitude.clamp(-90.0, 90.0), longitude, altitude: self.altitude }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6},{:.6}", self.latitude, self.longitude)
    }
}

impl FromStr for Position {
    type Err = PlaceError;

    /// Reads `LAT,LON` in decimal degrees, e.g. `48.8566,2.3522`.
    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let shape = || PlaceError::Shape { what: "position", example: "48.8566,2.3522" };
        let (latitude, longitude) = text.split_once(',').ok_or_else(shape)?;
        let number = |part: &str| part.trim().parse::<f64>().map_err(|_| shape());
        Ok(Self::new(number(latitude)?, number(longitude)?)?)
    }
}

/// A point in Earth-centred, Earth-fixed metres.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ecef {
    /// Towards 0 N 0 E.
    pub x: f64,
    /// Towards 0 N 90 E.
    pub y: f64,
    /// Towards the north pole.
    pub z: f64,
}

impl Ecef {
    /// The square of the straight line to `other`, in square metres.
    #[inline]
    pub fn distance_2(&self, other: &Self) -> f64 {
        let (dx, dy, dz) = (self.x - other.x, self.y - other.y, self.z - other.z);
        dx * dx + dy * dy + dz * dz
    }

    /// The straight line to `other` bent back onto a sphere: chord to arc, so that it also holds at 50 km.
    #[inline]
    pub fn distance(&self, other: &Self) -> Distance {
        let chord = libm::sqrt(self.distance_2(other));
        let half = (chord * (1.0 / (2.0 * MEAN_RADIUS))).min(1.0);
        Distance(if chord < 10_000.0 {
            // Third order of the arcsine: below a nanometre off at this length, and no trigonometry.
            chord * (1.0 + half * half * (1.0 / 6.0))
        } else {
            2.0 * MEAN_RADIUS * libm::asin(half)
        })
    }

    /// Metres north and east from here (which is `origin` on the ground) to `other`, on the tangent plane.
    pub fn offset_at(&self, origin: &Position, other: &Self) -> (f64, f64) {
        let (phi, lambda) = (origin.latitude.to_radians(), origin.longitude.to_radians());
        let (sp, cp, sl, cl) = (libm::sin(phi), libm::cos(phi), libm::sin(lambda), libm::cos(lambda));
        let (dx, dy, dz) = (other.x - self.x, other.y - self.y, other.z - self.z);
        (-sp * cl * dx - sp * sl * dy + cp * dz, -sl * dx + cl * dy)
    }
}

/// Metres, never negative, always finite.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Distance(f64);

impl Distance {
    /// No distance at all.
    pub const ZERO: Self = Self(0.0);
    /// Half the way around the Earth; nothing is farther.
    pub const FARTHEST: Self = Self(20_037_508.0);

    /// A distance of `metres`.
    ///
    /// # Errors
    /// [`OutOfRange`] if not finite, negative, or more than half the way around the Earth.
    pub fn new(metres: f64) -> Result<Self, OutOfRange> {
        within("distance", metres, 0.0, Self::FARTHEST.0)?;
        Ok(Self(metres))
    }

    /// A whole number of metres, for constants.
    pub const fn metres(metres: u32) -> Self {
        Self(metres as f64)
    }

    /// The value in metres.
    pub const fn as_metres(self) -> f64 {
        self.0
    }
}

impl fmt::Display for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1_000.0 { write!(f, "{:.0} m", self.0) } else { write!(f, "{:.1} km", self.0 / 1_000.0) }
    }
}

impl FromStr for Distance {
    type Err = PlaceError;

    /// Reads `100m`, `1.5km`, a bare number of metres, or one of [`RELEVANCE_DISTANCES`].
    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let text = text.trim();
        if let Some((_, distance)) = RELEVANCE_DISTANCES.iter().find(|(word, _)| *word == text) {
            return Ok(*distance);
        }
        let (number, scale) = match (text.strip_suffix("km"), text.strip_suffix('m')) {
            (Some(number), _) => (number, 1_000.0),
            (None, Some(number)) => (number, 1.0),
            (None, None) => (text, 1.0),
        };
        let value: f64 =
            number.trim().parse().map_err(|_| PlaceError::Shape { what: "distance", example: "100m or 1.5km" })?;
        Ok(Self::new(value * scale)?)
    }
}

/// The words of ETSI TS 102 894-2 (`RelevanceDistance`) for how far around something matters.
pub const RELEVANCE_DISTANCES: [(&str, Distance); 8] = [
    ("lessThan50m", Distance::metres(50)),
    ("lessThan100m", Distance::metres(100)),
    ("lessThan200m", Distance::metres(200)),
    ("lessThan500m", Distance::metres(500)),
    ("lessThan1000m", Distance::metres(1_000)),
    ("lessThan5km", Distance::metres(5_000)),
    ("lessThan10km", Distance::metres(10_000)),
    ("over10km", Distance::FARTHEST),
];

/// A position as somebody measured it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fix {
    /// Where.
    pub position: Position,
    /// When it was measured, on this agent's own clock.
    pub time: Timestamp,
    /// One standard deviation along any horizontal line, metres.
    pub accuracy: f32,
    /// How it moves; `None` for what stands still.
    pub motion: Option<Motion>,
}

impl Fix {
    /// What stands at `position` and does not move, known to `accuracy` metres (one sigma).
    pub fn fixed(position: Position, accuracy: f32, time: Timestamp) -> Self {
        Self { position, time, accuracy, motion: None }
    }
}

/// How something moves over the ground.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Motion {
    /// Metres a second, in [0, 163.82] (ETSI TS 102 894-2 `SpeedValue`).
    pub speed: f32,
    /// Degrees clockwise from true north, in [0, 360).
    pub heading: f32,
}

impl Motion {
    /// Moving at `speed` m/s towards `heading` degrees.
    ///
    /// # Errors
    /// [`OutOfRange`] for a speed outside [0, 163.82] m/s or a heading outside [0, 360).
    pub fn new(speed: f32, heading: f32) -> Result<Self, OutOfRange> {
        // Compared as f32: as f64, the highest speed there is would be 7 micrometres a second too fast.
        if !(0.0..=163.82).contains(&speed) {
            return Err(OutOfRange { field: "speed", value: speed.into(), low: 0.0, high: 163.82 });
        }
        within("heading", f64::from(heading), 0.0, 360.0)?;
        Ok(Self { speed, heading: if heading >= 360.0 { 0.0 } else { heading } })
    }
}

/// Where a service holds: around a point, or inside an outline.
#[derive(Clone, Debug, PartialEq)]
pub enum Area {
    /// Everything within `radius` of `centre`.
    Circle {
        /// The middle.
        centre: Position,
        /// How far it reaches.
        radius: Distance,
    },
    /// A closed outline of at least three corners, at most 64, less than 100 km across.
    Polygon(Vec<Position>),
}

/// A number outside what it may be.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{field} {value} is outside {low} to {high}")]
pub struct OutOfRange {
    /// What the number stands for.
    pub field: &'static str,
    /// What was given.
    pub value: f64,
    /// The least it may be.
    pub low: f64,
    /// The most it may be.
    pub high: f64,
}

/// Why a text is not a place.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum PlaceError {
    /// It does not look like one.
    #[error("not a {what}; write it like {example}")]
    Shape {
        /// What was expected.
        what: &'static str,
        /// How one looks.
        example: &'static str,
    },
    /// It does, but a number in it is out of range.
    #[error(transparent)]
    Range(#[from] OutOfRange),
}

/// Checks that `value` is finite and within [`low`, `high`].
///
/// # Errors
/// [`OutOfRange`], naming the field, the value and the limits.
pub fn within(field: &'static str, value: f64, low: f64, high: f64) -> Result<(), OutOfRange> {
    // A NaN compares false with everything, so it is refused here too.
    if value >= low && value <= high { Ok(()) } else { Err(OutOfRange { field, value, low, high }) }
}

trait RemEuclid360 {
    fn rem_euclid_360(self) -> f64;
}

impl RemEuclid360 for f64 {
    fn rem_euclid_360(self) -> f64 {
        let rest = libm::fmod(self, 360.0);
        if rest < 0.0 { rest + 360.0 } else { rest }
    }
}

/// WGS84 semi-major axis, metres.
const SEMI_MAJOR: f64 = 6_378_137.0;
/// WGS84 first eccentricity squared.
const ECCENTRICITY_2: f64 = 6.694_379_990_141_317e-3;
/// IUGG mean radius, metres; only bends chords into arcs.
const MEAN_RADIUS: f64 = 6_371_008.8;

#[cfg(test)]
mod tests {
    use super::*;
    use geo::{Bearing, Destination, Distance as _, Geodesic, Point};
    use proptest::prelude::*;

    fn point(p: &Position) -> Point {
        Point::new(p.longitude(), p.latitude())
    }

    proptest! {
        #[test]
        fn a_distance_is_the_geodesic_within_five_centimetres(
            lat in -89.9f64..89.9, lon in -180.0f64..180.0, bearing in 0.0f64..360.0, metres in 0.0f64..500.0,
        ) {
            let from = Position::new(lat, lon).unwrap();
            let there = Geodesic.destination(point(&from), bearing, metres);
            let lon = if there.x() > 180.0 { there.x() - 360.0 } else { there.x() };
            let to = Position::new(there.y(), lon).unwrap();
            let truth = Geodesic.distance(point(&from), point(&to));
            prop_assert!((from.distance(&to).as_metres() - truth).abs() < 0.05);
        }

        #[test]
        fn dead_reckoning_lands_where_the_geodesic_does(
            lat in -80.0f64..80.0, lon in -180.0f64..180.0, bearing in 0.0f64..360.0, metres in 0.0f64..300.0,
        ) {
            let from = Position::new(lat, lon).unwrap();
            let moved = from.moved(bearing, metres);
            let there = Geodesic.destination(point(&from), bearing, metres);
            prop_assert!(Geodesic.distance(point(&moved), there) < 0.1);
        }

        #[test]
        fn a_bearing_is_the_geodesics(
            lat in -85.0f64..85.0, lon in -179.0f64..179.0, bearing in 0.0f64..360.0, metres in 10.0f64..500.0,
        ) {
            let from = Position::new(lat, lon).unwrap();
            let there = Geodesic.destination(point(&from), bearing, metres);
            let to = Position::new(there.y(), there.x()).unwrap();
            let off = (from.bearing(&to) - Geodesic.bearing(point(&from), there)).rem_euclid(360.0);
            prop_assert!(!(0.05..=359.95).contains(&off), "{off}");
        }
    }

    #[test]
    fn the_antimeridian_is_an_ordinary_place() {
        let west = Position::new(0.0, 179.9999).unwrap();
        let east = Position::new(0.0, -179.9999).unwrap();
        assert!((west.distance(&east).as_metres() - 22.26).abs() < 0.01);
        assert!(west.moved(90.0, 22.26).longitude() < 0.0);
    }

    #[test]
    fn what_is_no_number_is_refused() {
        assert!(Position::new(f64::NAN, 0.0).is_err());
        assert!(Position::new(0.0, f64::INFINITY).is_err());
        assert!(Distance::new(f64::NAN).is_err());
        assert!(Distance::new(-1.0).is_err());
        let error = Position::new(91.0, 0.0).unwrap_err();
        assert_eq!(std::format!("{error}"), "latitude 91 is outside -90 to 90");
    }

    #[test]
    fn the_highest_speed_is_one() {
        assert!(Motion::new(163.82, 360.0).is_ok_and(|motion| motion.heading == 0.0));
        for (speed, heading) in [(163.83, 0.0), (f32::NAN, 0.0), (-0.1, 0.0), (1.0, f32::NAN), (1.0, 360.1)] {
            assert!(Motion::new(speed, heading).is_err());
        }
    }

    #[test]
    fn distances_read_as_people_write_them() {
        assert_eq!("100m".parse(), Ok(Distance::metres(100)));
        assert_eq!("1.5km".parse(), Ok(Distance::metres(1_500)));
        assert_eq!("lessThan1000m".parse(), Ok(Distance::metres(1_000)));
        assert!("lessThan7m".parse::<Distance>().is_err());
        assert!("-5m".parse::<Distance>().is_err());
        assert!("far".parse::<Distance>().is_err());
    }
}
