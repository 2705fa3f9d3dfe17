//! Questions as they are written in JSON.

use serde_json::Value as Json;

use wayside_core::query::{
    Centre, Comparison, DEFAULT_LIMIT, MAX_LIMIT, Near, Query, Requirement, Sector, Sieve, Tier,
};
use wayside_protocols::place::{Distance, Position, RELEVANCE_DISTANCES};
use wayside_protocols::service::{Kind, ServiceName, Trust, Value};
use wayside_protocols::time::Duration;

use crate::api::fields::{Fields, duration};
use crate::api::problem::Problem;
use crate::words;

/// Reads the body of `POST /v1/discovery/services`; also what arrives on `wayside/1/q/{agent}`.
///
/// # Errors
/// The first field that is unknown, missing or out of range, with its path, value and limit.
pub(crate) fn read(bytes: &[u8]) -> Result<Query, Problem> {
    let mut body = Fields::body(bytes)?;
    let mut query = Query::new(name(&mut body, "service_name")?);
    query.critical = body.flag("safety_critical")?;
    if let Some(mut constraints) = body.within("constraints")? {
        query.near = location(&mut constraints)?;
        query.max_latency = constraints.duration("latency", LONGEST)?;
        query.require = resources(&mut constraints)?;
        query.sieve = sieve(&mut constraints)?;
        constraints.finish()?;
    }
    if query.critical && query.near.is_none() {
        query.near = Some(Near { centre: Centre::Here, radius: DEFAULT_RADIUS });
    }
    // The cast cannot cut: the number is at most 7.
    query.urgency = body.whole("urgency_level", 0, 7)?.unwrap_or(0) as u8;
    query.min_trust = body.parsed("min_trust")?.unwrap_or(Trust::Unsigned);
    query.deadline = body.duration("deadline", LONGEST)?;
    let limit = body.whole("limit", 1, MAX_LIMIT.into())?;
    query.limit = limit.and_then(|limit| u16::try_from(limit).ok()).unwrap_or(DEFAULT_LIMIT);
    query.all_tiers = body.flag("all_tiers")?;
    query.farthest = tier(&mut body)?.unwrap_or(Tier::Cloud);
    body.finish()?;
    Ok(query)
}

/// A circle's radius from `radius_m`, more than 0 and at most half the way around the Earth.
pub(crate) fn radius(fields: &mut Fields, name: &'static str) -> Result<Option<Distance>, Problem> {
    let Some(value) = fields.take(name) else { return Ok(None) };
    let distance = value.as_f64().filter(|metres| *metres > 0.0).and_then(|metres| Distance::new(metres).ok());
    let limit = || format!("metres, more than 0 and at most {}", Distance::FARTHEST.as_metres());
    distance.map(Some).ok_or_else(|| Problem::field(&fields.at(name), &value, &limit()))
}

/// A circle's radius from `radius_m`, or from `relevance_distance` in ETSI's words.
pub(crate) fn reach(fields: &mut Fields) -> Result<Option<Distance>, Problem> {
    let metres = radius(fields, "radius_m")?;
    let Some(word) = fields.text("relevance_distance")? else { return Ok(metres) };
    let path = fields.at("relevance_distance");
    if metres.is_some() {
        return Err(Problem::field(&path, &word.into(), "given instead of radius_m, not beside it"));
    }
    let known = RELEVANCE_DISTANCES.iter().find(|(name, _)| *name == word);
    known.map(|(_, distance)| Some(*distance)).ok_or_else(|| {
        let names = RELEVANCE_DISTANCES.map(|(name, _)| name).join(", ");
        Problem::field(&path, &word.into(), &names)
    })
}

/// A direction such as `90`, `90/30` or `ahead`.
pub(crate) fn sector(fields: &mut Fields, name: &'static str) -> Result<Option<Sector>, Problem> {
    let Some(text) = fields.text(name)? else { return Ok(None) };
    words::sector(&text).map(Some).map_err(|_| {
        let limit = "degrees from 0 to 360, ahead, right, behind or left, and /DEGREES from 1 to 180 to either side";
        Problem::field(&fields.at(name), &text.into(), limit)
    })
}

/// One kind, or several separated by commas.
pub(crate) fn kinds(fields: &mut Fields) -> Result<Vec<Kind>, Problem> {
    let Some(text) = fields.text("kind")? else { return Ok(Vec::new()) };
    let kinds: Result<Vec<Kind>, _> = text.split(',').map(|word| word.trim().parse()).collect();
    kinds.map_err(|_| {
        let limit = "gateway, vehicle, roadside, device or software, or several separated by commas";
        Problem::field(&fields.at("kind"), &text.into(), limit)
    })
}

fn sieve(constraints: &mut Fields) -> Result<Sieve, Problem> {
    Ok(Sieve {
        kinds: kinds(constraints)?,
        heading: sector(constraints, "heading")?,
        sector: sector(constraints, "sector")?,
        max_age: constraints.duration("max_age", OLDEST)?,
        same_level: constraints.flag("same_level")?,
    })
}

/// A point from `lat` and `lon`; both or neither.
pub(crate) fn point(fields: &mut Fields) -> Result<Option<Position>, Problem> {
    let latitude = fields.number("lat", -90.0, 90.0)?;
    let longitude = fields.number("lon", -180.0, 180.0)?;
    match (latitude, longitude) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(Problem::missing(&fields.at("lon"), "given together with lat")),
        (None, Some(_)) => Err(Problem::missing(&fields.at("lat"), "given together with lon")),
        (Some(latitude), Some(longitude)) => Position::new(latitude, longitude)
            .map(Some)
            .map_err(|error| Problem::field(&fields.at("lat"), &Json::from(latitude), &error.to_string())),
    }
}

/// A number with a decimal or binary suffix: `22`, `0.2`, `512MiB`, `4k`, `2GB`; or a duration in seconds: `500ms` is
/// 0.5. `None` if it is none, or not finite.
pub(crate) fn quantity(text: &str) -> Option<f64> {
    let text = text.trim();
    if let Some(duration) = duration(text) {
        return Some(duration.as_secs_f64());
    }
    let split = text.find(|c: char| c.is_ascii_alphabetic() && !matches!(c, 'e' | 'E')).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit = unit.trim();
    let prefix = unit.strip_suffix('B').unwrap_or(unit);
    let scale = match prefix {
        "" => 1.0,
        "k" | "K" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "Ki" => 1_024.0,
        "Mi" => 1_048_576.0,
        "Gi" => 1_073_741_824.0,
        "Ti" => 1_099_511_627_776.0,
        _ => return None,
    };
    number.trim().parse::<f64>().ok().map(|number| number * scale).filter(|value| value.is_finite())
}

fn tier(body: &mut Fields) -> Result<Option<Tier>, Problem> {
    let Some(word) = body.text("farthest_tier")? else { return Ok(None) };
    let tiers = [Tier::Local, Tier::Neighbour, Tier::Region, Tier::Cloud];
    let known = tiers.into_iter().find(|tier| tier.as_str() == word);
    known.map(Some).ok_or_else(|| Problem::field("farthest_tier", &word.into(), "local, neighbour, region or cloud"))
}

fn name(body: &mut Fields, field: &'static str) -> Result<Option<ServiceName>, Problem> {
    match body.text(field)?.as_deref() {
        None => Err(Problem::missing(&body.at(field), "a service name such as charging, or * for any")),
        Some("*") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| Problem::field(&body.at(field), &text.into(), NAME)),
    }
}

fn location(constraints: &mut Fields) -> Result<Option<Near>, Problem> {
    let Some(mut location) = constraints.within("location")? else { return Ok(None) };
    let mut centre = point(&mut location)?.map_or(Centre::Here, Centre::At);
    if let Some(metres) = location.number("altitude_m", -1_000.0, 20_000.0)? {
        let Centre::At(flat) = centre else {
            return Err(Problem::missing(&location.at("lat"), "given together with altitude_m"));
        };
        // Within the range of altitudes, so nothing is refused here.
        centre = Centre::At(flat.at_altitude(metres as f32).unwrap_or(flat));
    }
    let radius = reach(&mut location)?.unwrap_or(DEFAULT_RADIUS);
    location.finish()?;
    Ok(Some(Near { centre, radius }))
}

fn resources(constraints: &mut Fields) -> Result<Vec<Requirement>, Problem> {
    let Some(mut resources) = constraints.within("resources")? else { return Ok(Vec::new()) };
    let entries = resources.rest();
    if entries.len() > MAX_RESOURCES {
        let path = constraints.at("resources");
        return Err(Problem::field(&path, &entries.len().into(), &format!("at most {MAX_RESOURCES} conditions")));
    }
    let path = |key: &str| resources.at(&key.chars().take(80).collect::<String>());
    entries
        .into_iter()
        .map(|(key, value)| {
            if key.is_empty() || key.len() > 64 {
                return Err(Problem::field(&path(&key), &value, "a resource name of 1 to 64 bytes"));
            }
            let (comparison, wanted) =
                condition(&value).ok_or_else(|| Problem::field(&path(&key), &value, CONDITION))?;
            Ok(Requirement { resource: key.into(), comparison, value: wanted })
        })
        .collect()
}

/// A bare number, flag or word must be equal; a text may begin with `>=`, `<=` or `=` and carry a unit.
fn condition(value: &Json) -> Option<(Comparison, Value)> {
    match value {
        Json::Bool(flag) => Some((Comparison::Equal, Value::Flag(*flag))),
        Json::Number(number) => Some((Comparison::Equal, Value::Number(number.as_f64()?))),
        Json::String(text) => {
            let bounded = [(">=", Comparison::AtLeast), ("<=", Comparison::AtMost), ("=", Comparison::Equal)]
                .into_iter()
                .find_map(|(sign, comparison)| Some((comparison, text.trim().strip_prefix(sign)?)));
            match bounded {
                Some((comparison, bound)) => Some((comparison, Value::Number(quantity(bound)?))),
                None if text.is_empty() || text.len() > 255 || text.starts_with(['<', '>']) => None,
                None => Some((Comparison::Equal, word(text))),
            }
        }
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

/// What a text amounts to: a quantity if it is one (`512MiB`), else `true`, `false` or a word.
pub(crate) fn word(text: &str) -> Value {
    match (quantity(text), text) {
        (Some(number), _) => Value::Number(number),
        (None, "true") => Value::Flag(true),
        (None, "false") => Value::Flag(false),
        (None, _) => Value::Text(text.into()),
    }
}

/// Radius of a question that names a place but no radius.
pub(crate) const DEFAULT_RADIUS: Distance = Distance::metres(500);
/// The longest latency and deadline a question may name.
const LONGEST: Duration = Duration::from_secs(60);
/// The oldest word a question may ask for.
const OLDEST: Duration = Duration::from_secs(86_400);
const MAX_RESOURCES: usize = 16;
const CONDITION: &str =
    "a number, true, false, a word of at most 255 bytes, or a bound such as \">=2\" or \"<=512MiB\"";
pub(crate) const NAME: &str = "1 to 64 of a-z 0-9 . - with a letter or digit at both ends, or * for any";

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> (String, String) {
        let problem: Json = serde_json::from_slice(&read(body.as_bytes()).unwrap_err().to_json()).unwrap();
        (problem["field"].as_str().unwrap_or("").into(), problem["detail"].as_str().unwrap().into())
    }

    #[test]
    fn a_full_question_is_read_to_the_last_field() {
        let query = read(
            br#"{"service_name":"charging","constraints":{"location":{"lat":48.8566,"lon":2.3522,"radius_m":100},
            "latency":"20ms","resources":{"cpu":">=2","gpu":true,"memory":">=512MiB","plug":"type2","power_kw":22}},
            "safety_critical":true,"urgency_level":7,"min_trust":"signed","deadline":"200ms","limit":3,"all_tiers":true}"#,
        )
        .unwrap();
        let centre = Position::new(48.8566, 2.3522).unwrap();
        assert_eq!(query.near, Some(Near { centre: Centre::At(centre), radius: Distance::metres(100) }));
        assert_eq!(query.max_latency, Some(Duration::from_millis(20)));
        assert_eq!((query.critical, query.urgency, query.limit, query.all_tiers), (true, 7, 3, true));
        assert_eq!((query.min_trust, query.deadline), (Trust::Signed, Some(Duration::from_millis(200))));
        let required: Vec<_> = query.require.into_iter().map(|r| (r.resource, r.comparison, r.value)).collect();
        let text = |text: &str| Value::Text(text.into());
        assert_eq!(
            required,
            [
                ("cpu".into(), Comparison::AtLeast, Value::Number(2.0)),
                ("gpu".into(), Comparison::Equal, Value::Flag(true)),
                ("memory".into(), Comparison::AtLeast, Value::Number(536_870_912.0)),
                ("plug".into(), Comparison::Equal, text("type2")),
                ("power_kw".into(), Comparison::Equal, Value::Number(22.0)),
            ]
        );
    }

    #[test]
    fn a_place_without_coordinates_is_here() {
        let query = read(br#"{"service_name":"*","constraints":{"location":{}}}"#).unwrap();
        assert_eq!(query.near, Some(Near { centre: Centre::Here, radius: DEFAULT_RADIUS }));
        assert_eq!(read(br#"{"service_name":"*"}"#).unwrap().near, None);
        assert_eq!(read(br#"{"service_name":"*","safety_critical":true}"#).unwrap().near, query.near);
    }

    #[test]
    fn filters_are_read_as_they_are_written() {
        let query = read(
            br#"{"service_name":"*","constraints":{"kind":"vehicle, gateway","heading":"90/30","sector":"ahead",
            "max_age":"5s","same_level":true,
            "location":{"lat":48.0,"lon":2.0,"altitude_m":80,"relevance_distance":"lessThan200m"}}}"#,
        )
        .unwrap();
        let heading = Some(Sector { bearing: 90.0, within: 30.0, relative: false });
        let sector = Some(Sector { bearing: 0.0, within: 45.0, relative: true });
        let kinds = vec![Kind::Vehicle, Kind::Gateway];
        let max_age = Some(Duration::from_secs(5));
        assert_eq!(query.sieve, Sieve { kinds, heading, sector, max_age, same_level: true });
        let near = query.near.unwrap();
        assert_eq!(near.radius, Distance::metres(200));
        assert!(matches!(near.centre, Centre::At(centre) if centre.altitude() == Some(80.0)));
    }

    #[test]
    fn every_mistake_is_named_by_its_path() {
        let location = |inner: &str| format!(r#"{{"service_name":"*","constraints":{{"location":{{{inner}}}}}}}"#);
        let cases = [
            (r#"{}"#.into(), "service_name"),
            (r#"{"service_name":"Charging"}"#.into(), "service_name"),
            (r#"{"service_name":3}"#.into(), "service_name"),
            (location(r#""lat":91,"lon":0"#), "constraints.location.lat"),
            (location(r#""lat":"48","lon":0"#), "constraints.location.lat"),
            (location(r#""lat":1"#), "constraints.location.lon"),
            (location(r#""lat":1,"lon":180.1"#), "constraints.location.lon"),
            (location(r#""radius_m":0"#), "constraints.location.radius_m"),
            (location(r#""radius_m":-1"#), "constraints.location.radius_m"),
            (location(r#""radius_m":1e300"#), "constraints.location.radius_m"),
            (location(r#""radius":1"#), "constraints.location.radius"),
            (location(r#""altitude_m":3"#), "constraints.location.lat"),
            (location(r#""relevance_distance":"near""#), "constraints.location.relevance_distance"),
            (location(r#""relevance_distance":"lessThan50m","radius_m":1"#), "constraints.location.relevance_distance"),
            (r#"{"service_name":"*","constraints":{"kind":"truck"}}"#.into(), "constraints.kind"),
            (r#"{"service_name":"*","constraints":{"heading":"north"}}"#.into(), "constraints.heading"),
            (r#"{"service_name":"*","constraints":{"sector":"90/0"}}"#.into(), "constraints.sector"),
            (r#"{"service_name":"*","constraints":{"max_age":"2d"}}"#.into(), "constraints.max_age"),
            (r#"{"service_name":"*","constraints":{"same_level":1}}"#.into(), "constraints.same_level"),
            (r#"{"service_name":"*","constraints":[]}"#.into(), "constraints"),
            (r#"{"service_name":"*","constraints":{"latency":"fast"}}"#.into(), "constraints.latency"),
            (r#"{"service_name":"*","constraints":{"latency":20}}"#.into(), "constraints.latency"),
            (r#"{"service_name":"*","constraints":{"resources":{"a":">=x"}}}"#.into(), "constraints.resources.a"),
            (r#"{"service_name":"*","constraints":{"resources":{"a":"> 3"}}}"#.into(), "constraints.resources.a"),
            (r#"{"service_name":"*","constraints":{"resources":{"a":[1]}}}"#.into(), "constraints.resources.a"),
            (r#"{"service_name":"*","limit":0}"#.into(), "limit"),
            (r#"{"service_name":"*","limit":1001}"#.into(), "limit"),
            (r#"{"service_name":"*","limit":1.5}"#.into(), "limit"),
            (r#"{"service_name":"*","urgency_level":8}"#.into(), "urgency_level"),
            (r#"{"service_name":"*","min_trust":"full"}"#.into(), "min_trust"),
            (r#"{"service_name":"*","deadline":"0s"}"#.into(), "deadline"),
            (r#"{"service_name":"*","safety_critical":"yes"}"#.into(), "safety_critical"),
            (r#"{"service_name":"*","farthest_tier":"moon"}"#.into(), "farthest_tier"),
            (r#"{"service_name":"*","extra":1}"#.into(), "extra"),
            (r#"[]"#.into(), "(body)"),
        ];
        for (body, field) in cases {
            let (named, detail) = refused(&body);
            assert_eq!(named, field, "{body}");
            assert!(detail.contains(field), "{detail}");
        }
    }

    #[test]
    fn a_number_beyond_all_numbers_is_no_json() {
        let (_, detail) = refused(r#"{"service_name":"*","limit":1e999}"#);
        assert!(detail.contains("number out of range at line 1"), "{detail}");
        for bad in ["NaN", "{\"limit\":NaN}", "{", "\u{feff}{}", "{\"a\":1}x"] {
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(read(&[b'['; 60_000]).is_err());
    }

    #[test]
    fn quantities_carry_units() {
        assert_eq!(quantity("512MiB"), Some(536_870_912.0));
        assert_eq!(quantity("2 GB"), Some(2e9));
        assert_eq!(quantity("1e3"), Some(1_000.0));
        assert_eq!(quantity("4k"), Some(4_000.0));
        for bad in ["", "MiB", "nan", "inf", "1e999", "5 parsecs", "0x10"] {
            assert_eq!(quantity(bad), None, "{bad}");
        }
    }
}
