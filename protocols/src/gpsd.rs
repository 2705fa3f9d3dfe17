//! What gpsd says of its receiver: one JSON object a line (`gpsd_json(5)`), of which `TPV` holds the fix.
//!
//! gpsd states errors at 95 % confidence; here everything is one sigma along any horizontal line. The radius `eph`
//! holds 95 % of a plane, which is 2.4477 sigma; `epx` and `epy` hold 95 % of a line each, which is 1.96. Where both
//! are said the larger counts, since a receiver may fill either from a model.

use alloc::string::String;

use serde_json::Value as Json;

use crate::place::{Motion, OutOfRange, Position};

/// What a client says first: from then on gpsd reports by itself.
pub const WATCH: &[u8] = b"?WATCH={\"enable\":true,\"json\":true};\n";

/// What one line means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Report {
    /// The receiver knows where it is.
    Fix(Received),
    /// The receiver is there and does not know where it is (mode 0 or 1), or gpsd has none.
    NoFix,
    /// Something else: satellites, devices, versions.
    Other,
}

/// A fix at the moment it was said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Received {
    /// Where.
    pub position: Position,
    /// One sigma, metres.
    pub accuracy: f32,
    /// How it moves. A receiver on wheels may always move, so one that states no speed and track is at speed zero, not
    /// without motion: its fix grows old.
    pub motion: Motion,
}

/// Reads one line, without its end.
///
/// # Errors
/// [`GpsdError`] if it is no JSON object, has no class, or holds a number that cannot be.
pub fn read(line: &[u8]) -> Result<Report, GpsdError> {
    let said: Json = serde_json::from_slice(line).map_err(|_| GpsdError::NotJson { bytes: line.len() })?;
    match said.get("class").and_then(Json::as_str) {
        Some("TPV") => tpv(&said),
        // `DEVICES` that lists none: the receiver was unplugged.
        Some("DEVICES") if said.get("devices").and_then(Json::as_array).is_some_and(|list| list.is_empty()) => {
            Ok(Report::NoFix)
        }
        Some("ERROR") => Err(GpsdError::Refused(text(&said, "message"))),
        Some(_) => Ok(Report::Other),
        None => Err(GpsdError::NoClass),
    }
}

fn tpv(said: &Json) -> Result<Report, GpsdError> {
    if said.get("mode").and_then(Json::as_u64).unwrap_or(0) < 2 {
        return Ok(Report::NoFix);
    }
    let number = |name: &str| said.get(name).and_then(Json::as_f64);
    let (Some(latitude), Some(longitude)) = (number("lat"), number("lon")) else { return Ok(Report::NoFix) };
    if latitude == 0.0 && longitude == 0.0 {
        return Err(GpsdError::Null);
    }
    let mut position = Position::new(latitude, longitude)?;
    let above_sea = || Some(number("altMSL")? + number("geoidSep")?);
    if let Some(metres) = number("altHAE").or_else(above_sea) {
        position = position.at_altitude(metres as f32)?;
    }
    let motion = match (number("speed"), number("track")) {
        (Some(speed), Some(track)) => Motion::new(speed as f32, track as f32)?,
        // Which way is not known: it is at rest as far as can be said.
        (Some(speed), None) => Motion { speed: 0.0, ..Motion::new(speed as f32, 0.0)? },
        (None, track) => Motion::new(0.0, track.unwrap_or(0.0) as f32)?,
    };
    Ok(Report::Fix(Received { position, accuracy: accuracy(number), motion }))
}

/// One sigma from what gpsd states at 95 %.
fn accuracy(number: impl Fn(&str) -> Option<f64>) -> f32 {
    let stated = |name: &str| number(name).filter(|metres| metres.is_finite() && *metres >= 0.0);
    let plane = stated("eph").map(|metres| metres / SIGMAS_IN_A_PLANE);
    let lines = [stated("epx"), stated("epy")].map(|line| line.map(|metres| metres / SIGMAS_ON_A_LINE));
    let worst = [plane, lines[0], lines[1]]
        .into_iter()
        .flatten()
        .fold(None, |worst: Option<f64>, sigma| Some(worst.map_or(sigma, |worst| worst.max(sigma))));
    worst.map_or(UNSTATED, |sigma| sigma.clamp(0.01, FARTHEST) as f32)
}

fn text(said: &Json, name: &str) -> String {
    said.get(name).and_then(Json::as_str).unwrap_or_default().chars().filter(|c| !c.is_control()).take(80).collect()
}

/// Why a line is of no use. None of these ends the connection.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum GpsdError {
    /// It is no JSON.
    #[error("line of {bytes} bytes from gpsd is no JSON")]
    NotJson {
        /// How long it is.
        bytes: usize,
    },
    /// It is JSON of no class.
    #[error("object from gpsd has no class")]
    NoClass,
    /// gpsd did not understand us.
    #[error("gpsd refuses: {0}")]
    Refused(String),
    /// A fix at exactly 0 N 0 E, where receivers are that have none.
    #[error("fix at exactly 0 N 0 E")]
    Null,
    /// A number that cannot be.
    #[error("gpsd says {0}")]
    Range(#[from] OutOfRange),
}

/// 95 % of a two-dimensional normal distribution: sqrt(-2 ln 0.05).
const SIGMAS_IN_A_PLANE: f64 = 2.447_746_8;
/// 95 % of a one-dimensional one.
const SIGMAS_ON_A_LINE: f64 = 1.959_964;
/// One sigma of a receiver that states no error, metres: what vehicles are taken for elsewhere.
const UNSTATED: f32 = 5.0;
/// Vaguer than this says nothing, metres.
const FARTHEST: f64 = 1e6;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;

    fn fix(line: &str) -> Received {
        match read(line.as_bytes()) {
            Ok(Report::Fix(received)) => received,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_line_of_gpsd_3_22_is_a_fix_in_one_sigma() {
        let received = fix(
            r#"{"class":"TPV","device":"/dev/pts/2","status":2,"mode":3,"time":"2026-11-22T21:00:00.000Z","ept":0.005,
            "lat":48.856600000,"lon":2.352200000,"altHAE":80.1,"altMSL":35.4,"alt":35.4,"epx":9.8,"epy":11.8,"epv":23.0,
            "track":90.5,"magtrack":91.0,"speed":13.9,"climb":0.0,"eps":0.04,"eph":19.0,"sep":24.32}"#,
        );
        assert_eq!(received.position.to_string(), "48.856600,2.352200");
        assert_eq!(received.position.altitude(), Some(80.1));
        assert_eq!(received.motion, Motion::new(13.9, 90.5).unwrap());
        // eph means 7.76 m and epy 6.02 m of one sigma.
        assert!((received.accuracy - 19.0 / 2.447_746_8).abs() < 1e-3, "{}", received.accuracy);
    }

    #[test]
    fn modes_zero_and_one_are_no_fix_whatever_else_they_say() {
        for line in [
            r#"{"class":"TPV","mode":0}"#,
            r#"{"class":"TPV","mode":1,"lat":48.0,"lon":2.0}"#,
            r#"{"class":"TPV"}"#,
            r#"{"class":"TPV","mode":3}"#,
            r#"{"class":"DEVICES","devices":[]}"#,
        ] {
            assert_eq!(read(line.as_bytes()), Ok(Report::NoFix), "{line}");
        }
        assert_eq!(read(br#"{"class":"SKY","satellites":[]}"#), Ok(Report::Other));
        assert_eq!(read(br#"{"class":"DEVICES","devices":[{"path":"/dev/ttyS0"}]}"#), Ok(Report::Other));
    }

    #[test]
    fn a_receiver_that_states_no_error_or_track_still_ages() {
        let received = fix(r#"{"class":"TPV","mode":2,"lat":-33.9,"lon":18.4,"speed":7.0}"#);
        assert_eq!((received.accuracy, received.motion.speed), (5.0, 0.0));
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (line, told) in [
            ("", "line of 0 bytes from gpsd is no JSON"),
            ("$GPRMC,,V,,,,,,,,,,N*53", "line of 23 bytes from gpsd is no JSON"),
            ("{\"mode\":3,\"lat\":nan}", "line of 20 bytes from gpsd is no JSON"),
            ("{}", "object from gpsd has no class"),
            ("[1]", "object from gpsd has no class"),
            (r#"{"class":"ERROR","message":"Unrecognized request"}"#, "gpsd refuses: Unrecognized request"),
            (r#"{"class":"TPV","mode":3,"lat":0,"lon":0}"#, "fix at exactly 0 N 0 E"),
            (r#"{"class":"TPV","mode":3,"lat":91,"lon":0}"#, "gpsd says latitude 91 is outside -90 to 90"),
            (
                r#"{"class":"TPV","mode":3,"lat":1,"lon":2,"speed":900,"track":1}"#,
                "gpsd says speed 900 is outside 0 to 163.82",
            ),
        ] {
            assert_eq!(read(line.as_bytes()).unwrap_err().to_string(), told, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_stop_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes);
        }

        #[test]
        fn a_fix_that_is_read_is_a_place(lat in -1e3f64..1e3, lon in -1e3f64..1e3, eph in -1e9f64..1e9) {
            let line = std::format!(r#"{{"class":"TPV","mode":3,"lat":{lat},"lon":{lon},"eph":{eph}}}"#);
            if let Ok(Report::Fix(received)) = read(line.as_bytes()) {
                prop_assert!(received.accuracy >= 0.01 && received.accuracy.is_finite());
            }
        }
    }
}
