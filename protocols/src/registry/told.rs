//! What a registry answers: the answer of `POST /v1/discovery/services`, read by an agent.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::json::{self, FieldError, Json, Object};
use crate::place::{Area, Distance, Fix, Motion, OutOfRange, Position};
use crate::service::{
    AgentId, Basis, Endpoint, Health, Host, Kind, Latency, NameError, Service, ServiceId, ServiceName, Value,
};
use crate::time::{Duration, Timestamp};

/// An answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    /// What fits, best first.
    pub rows: Vec<Row>,
    /// How many fit in all; more than there are rows if the limit cut some off.
    pub fitting: usize,
    /// How many did not fit, by the reason in the registry's words.
    pub left_out: Vec<(Box<str>, usize)>,
    /// If nothing fits: how far away the nearest of that name stands, where one is known.
    pub nearest: Option<Distance>,
}

/// One service in an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The service; it stands where it stood when the registry answered.
    pub service: Service,
    /// Since anybody vouched for it.
    pub age: Duration,
    /// How long the word for it still holds; `None` without end.
    pub ttl: Option<Duration>,
    /// Whether the registry itself has it from last-known-good only.
    pub stale: bool,
}

impl Told {
    /// Reads an answer that arrived at `now`. Members that are not known are passed over.
    ///
    /// # Errors
    /// [`ToldError`] if it is too long, no answer at all, or a row in it is not what it may be: then none of it counts,
    /// since whoever gets one row wrong may have the others wrong as well.
    pub fn decode(body: &[u8], now: Timestamp) -> Result<Self, ToldError> {
        if body.len() > MAX_BYTES {
            return Err(ToldError::Long { given: body.len() });
        }
        let mut answer = json::object(body)?;
        let rows = answer.required("instances", "a list of services", Json::list)?;
        if rows.len() > MAX_ROWS {
            return Err(ToldError::Rows { given: rows.len() });
        }
        let rows: Vec<Row> =
            rows.into_iter().map(|row| self::row(object(row, "instances")?, now)).collect::<Result<_, _>>()?;
        let mut told = Self { fitting: rows.len(), rows, ..Self::default() };
        let mut fitting = 0;
        for report in answer.optional("explain", "a list of tiers", Json::list)?.unwrap_or_default() {
            fitting += told.explain(object(report, "explain")?)?;
        }
        told.fitting = told.fitting.max(fitting);
        Ok(told)
    }

    fn explain(&mut self, mut report: Object) -> Result<usize, ToldError> {
        let count = |value: Json| value.whole(0, MAX_COUNT);
        for left in report.optional("left_out", "a list of reasons", Json::list)?.unwrap_or_default() {
            let mut left = object(left, "left_out")?;
            let reason = left.required("reason", "text", Json::text)?;
            let given = left.required("count", "a whole number", count)? as usize;
            if let Some((_, known)) = self.left_out.iter_mut().find(|(known, _)| **known == *reason) {
                *known += given;
            } else if self.left_out.len() < MAX_REASONS {
                self.left_out.push((reason.into(), given));
            }
        }
        let nearest = report.ranged("nearest_m", 0.0, Distance::FARTHEST.as_metres())?;
        let nearest = nearest.map(Distance::new).transpose()?;
        self.nearest = match (self.nearest, nearest) {
            (Some(one), Some(other)) => Some(if one < other { one } else { other }),
            (one, other) => one.or(other),
        };
        Ok(report.optional("fitting", "a whole number", count)?.unwrap_or(0) as usize)
    }
}

/// Why a body is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ToldError {
    /// It is too long.
    #[error("answer of {given} bytes is longer than {MAX_BYTES}")]
    Long {
        /// How long.
        given: usize,
    },
    /// It has too many rows.
    #[error("answer of {given} rows is longer than {MAX_ROWS}")]
    Rows {
        /// How many.
        given: usize,
    },
    /// It is not what JSON, or a member, may be.
    #[error("answer: {0}")]
    Json(#[from] FieldError),
    /// A number in it is out of range.
    #[error("answer: {0}")]
    Range(#[from] OutOfRange),
    /// A name in it is none.
    #[error("answer: {0}")]
    Name(#[from] NameError),
}

fn object(value: Json, field: &'static str) -> Result<Object, FieldError> {
    if let Json::Object(object) = value { Ok(object) } else { Err(FieldError::new(field, &value, "objects")) }
}

fn row(mut object: Object, now: Timestamp) -> Result<Row, ToldError> {
    let id: ServiceId = object.required("id", "text", Json::text)?.parse()?;
    let name: ServiceName = object.required("name", "text", Json::text)?.parse()?;
    let kind = object.kind()?.ok_or(FieldError::Missing { field: "kind", limit: "the word for one" })?;
    let mut service = Service::new(id, name, kind);
    service.agent = name_of::<AgentId>(&mut object, "agent")?;
    service.endpoint = endpoint(&mut object)?;
    service.fix = fix(&mut object, kind, now)?;
    service.area = area(&mut object)?;
    // The cast cannot cut: the number is at most 255.
    service.priority =
        object.optional("priority", "a whole number from 0 to 255", |value| value.whole(0, 255))?.unwrap_or(0) as u8;
    service.critical = object.optional("critical", "true or false", Json::flag)?.unwrap_or_default();
    service.resources = pairs(&mut object, "resources", |value| match value {
        Json::Number(number) => Some(Value::Number(number)),
        Json::Flag(flag) => Some(Value::Flag(flag)),
        Json::Text(text) => Some(Value::Text(text.into())),
        Json::Null | Json::List(_) | Json::Object(_) => None,
    })?;
    service.metadata = pairs(&mut object, "metadata", |value| value.text().map(Into::into))?;
    service.health = health(&mut object)?;
    service.latency = latency(&mut object)?;
    let millis = |value: Json| value.whole(0, MAX_COUNT);
    Ok(Row {
        service,
        age: Duration::from_millis(object.optional("age_ms", "milliseconds", millis)?.unwrap_or(0)),
        ttl: object.ranged("ttl_s", 0.0, MAX_SECONDS)?.map(Duration::from_secs_f64),
        stale: object.optional("stale", "true or false", Json::flag)?.unwrap_or_default(),
    })
}

fn name_of<T: core::str::FromStr<Err = NameError>>(
    object: &mut Object,
    field: &'static str,
) -> Result<Option<T>, ToldError> {
    let text = object.optional(field, "text", Json::text)?;
    Ok(text.map(|text| text.parse()).transpose()?)
}

fn endpoint(object: &mut Object) -> Result<Option<Endpoint>, ToldError> {
    let host: Option<Host> = name_of(object, "address")?;
    let port = object.optional("port", "a whole number from 1 to 65535", |value| value.whole(1, 65_535))?;
    // The cast cannot cut: the number is at most 65,535.
    Ok(host.map(|host| Endpoint { host, port: port.unwrap_or_default() as u16 }))
}

/// Where it stood when the registry answered. What has come of the accuracy since the position was measured is in
/// `sigma_m`, where the question named a place.
fn fix(object: &mut Object, kind: Kind, now: Timestamp) -> Result<Option<Fix>, ToldError> {
    let measured = object.ranged("accuracy_m", 0.0, json::MAX_ACCURACY)?;
    let grown = object.ranged("sigma_m", 0.0, 1e9)?;
    let motion = match object.nested("motion")? {
        None => None,
        Some(mut motion) => {
            let speed = motion.ranged("speed_mps", 0.0, 163.82)?.unwrap_or_default();
            let heading = motion.ranged("heading_deg", 0.0, 360.0)?.unwrap_or_default();
            Some(Motion::new(speed as f32, heading as f32)?)
        }
    };
    let Some(mut position) = object.nested("position")? else { return Ok(None) };
    let Some((position, _)) = position.place()? else { return Ok(None) };
    let accuracy = match (measured, grown) {
        (None, None) => kind.usual_accuracy(),
        (one, other) => one.unwrap_or(0.0).max(other.unwrap_or(0.0)).min(json::MAX_ACCURACY) as f32,
    };
    Ok(Some(Fix { position, time: now, accuracy, motion }))
}

fn area(object: &mut Object) -> Result<Option<Area>, ToldError> {
    let Some(mut area) = object.nested("area")? else { return Ok(None) };
    let mut point = |value: Json| -> Result<Option<Position>, ToldError> {
        Ok(self::object(value, "corners")?.place()?.map(|(position, _)| position))
    };
    if let Some(corners) = area.optional("corners", "a list of points", Json::list)? {
        if !(3..=64).contains(&corners.len()) {
            return Err(FieldError::new("corners", &Json::Number(corners.len() as f64), "3 to 64 points").into());
        }
        let corners: Result<Option<Vec<Position>>, _> = corners.into_iter().map(&mut point).collect();
        return Ok(corners?.map(Area::Polygon));
    }
    let centre = area.nested("centre")?.map(|mut centre| centre.place()).transpose()?.flatten();
    let radius = area.ranged("radius_m", 0.0, 50_000.0)?.map(Distance::new).transpose()?;
    Ok(centre.zip(radius).map(|((centre, _), radius)| Area::Circle { centre, radius }))
}

fn health(object: &mut Object) -> Result<Health, FieldError> {
    let health = object.optional("health_status", "passing, unknown or failing", |value| {
        let word = value.text()?;
        [Health::Passing, Health::Unknown, Health::Failing].into_iter().find(|health| health.as_str() == word)
    })?;
    Ok(health.unwrap_or(Health::Unknown))
}

/// What somebody said it takes. What the registry only takes for usual is left out: the agent has its own idea of that.
fn latency(object: &mut Object) -> Result<Option<Latency>, ToldError> {
    let Some(mut performance) = object.nested("performance_metrics")? else { return Ok(None) };
    let millis = performance.ranged("latency_ms", 0.0, 3_600_000.0)?;
    let basis = performance.optional("latency_basis", "text", Json::text)?;
    let said = millis.filter(|_| basis.is_some_and(|basis| basis != Basis::Estimated.as_str()));
    let micros = |millis: f64| Duration::from_micros(libm::round(millis * 1_000.0) as u64);
    Ok(said.map(|millis| Latency { round_trip: micros(millis), basis: Basis::Reported }))
}

fn pairs<T>(
    object: &mut Object,
    field: &'static str,
    read: impl Fn(Json) -> Option<T>,
) -> Result<BTreeMap<Box<str>, T>, FieldError> {
    let given = object.nested(field)?.unwrap_or_default();
    let read = |(key, value): (String, Json)| {
        let shown = value.clone();
        let value = read(value).ok_or_else(|| FieldError::new(field, &shown, "text, numbers, true or false"))?;
        Ok((key.to_string().into(), value))
    };
    given.0.into_iter().map(read).collect()
}

/// The longest answer, bytes.
pub const MAX_BYTES: usize = 1 << 20;
/// Rows of the longest answer.
const MAX_ROWS: usize = 1_000;
/// Reasons kept of an answer.
const MAX_REASONS: usize = 32;
/// Numbers beyond have gaps in JSON.
const MAX_COUNT: u64 = 1 << 53;
/// The longest lease that is read, seconds: a century.
const MAX_SECONDS: f64 = 3.2e9;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::vec;
    use proptest::prelude::*;

    const ROW: &str = r#"{"id":"cp1@gw-7","name":"charging","kind":"gateway","agent":"gw-7","address":"10.0.0.5",
        "port":8080,"position":{"lat":48.8566,"lon":2.3522},"accuracy_m":1.5,"priority":3,"critical":true,
        "resources":{"power_kw":22,"plug":"ccs2","free":true},"metadata":{"operator":"x"},"health_status":"passing",
        "performance_metrics":{"latency_ms":1.25,"latency_basis":"measured"},"trust":"own","distance_m":12.3,
        "bearing_deg":90.0,"age_ms":1500,"sigma_m":2.5,"verdict":"definite","tier":"local","sources":["region"],
        "ttl_s":88.5,"stale":false}"#;

    fn decode(text: &str) -> Result<Told, ToldError> {
        Told::decode(text.as_bytes(), Timestamp::from_micros(7))
    }

    #[test]
    fn an_answer_of_our_own_api_is_read_to_the_last_field() {
        let told = decode(&format!(
            r#"{{"instances":[{ROW}],"tier":"local","unreached":[],"explain":[
            {{"tier":"local","outcome":"answered","asked":"x","fitting":3,"left_out":[{{"reason":"too far","count":2}}],
            "nearest_m":null,"text":""}},
            {{"tier":"neighbour","outcome":"empty","asked":"x","fitting":0,"left_out":[{{"reason":"too far","count":1}}],
            "nearest_m":812.5,"text":""}}]}}"#
        ))
        .unwrap();
        assert_eq!((told.rows.len(), told.fitting), (1, 3));
        assert_eq!(told.left_out, vec![("too far".into(), 3)]);
        assert_eq!(told.nearest.map(Distance::as_metres), Some(812.5));
        let Row { service, age, ttl, stale } = &told.rows[0];
        let fix = service.fix.unwrap();
        assert_eq!((fix.time, fix.accuracy, fix.motion), (Timestamp::from_micros(7), 2.5, None));
        let latency = service.latency.unwrap();
        assert_eq!((latency.round_trip, latency.basis), (Duration::from_micros(1_250), Basis::Reported));
        assert_eq!((service.priority, service.critical, service.health), (3, true, Health::Passing));
        assert_eq!(service.resources["power_kw"], Value::Number(22.0));
        assert_eq!(*age, Duration::from_millis(1_500));
        assert_eq!((*ttl, *stale), (Some(Duration::from_millis(88_500)), false));
        assert_eq!(service.trust, crate::service::Trust::Unsigned);
    }

    #[test]
    fn what_is_not_the_contract_is_no_answer_and_says_why() {
        let with = |field: &str, value: &str| {
            let mut row: BTreeMap<String, serde_json::Value> = serde_json::from_str(ROW).unwrap();
            row.insert(field.into(), serde_json::from_str(value).unwrap());
            format!(r#"{{"instances":[{}]}}"#, serde_json::to_string(&row).unwrap())
        };
        for (body, named) in [
            ("".into(), "not a JSON object"),
            ("[]".into(), "not a JSON object"),
            ("<html>".into(), "not a JSON object"),
            ("{}".into(), "instances is missing"),
            (r#"{"instances":{}}"#.into(), "instances"),
            (r#"{"instances":[3]}"#.into(), "instances 3"),
            (r#"{"instances":[{}]}"#.into(), "id is missing"),
            (with("id", "\"a\\u0000b\""), "service id"),
            (with("name", "\"Charging\""), "service name"),
            (with("kind", "\"truck\""), "kind"),
            (with("position", r#"{"lat":91,"lon":0}"#), "lat"),
            (with("position", r#"{"lat":1}"#), "lon"),
            (with("ttl_s", "-1"), "ttl_s"),
            (with("age_ms", "-1"), "age_ms"),
            (with("priority", "256"), "priority"),
            (with("resources", r#"{"a":[1]}"#), "resources"),
            (with("motion", r#"{"speed_mps":900,"heading_deg":0}"#), "speed"),
        ] {
            let error = decode(&body).unwrap_err().to_string();
            assert!(error.contains(named), "{body}: {error}");
        }
        let rows = (0..1_001).map(|_| "{}").collect::<Vec<_>>().join(",");
        assert!(matches!(decode(&format!(r#"{{"instances":[{rows}]}}"#)), Err(ToldError::Rows { given: 1_001 })));
        let long = vec![b' '; MAX_BYTES + 1];
        assert!(matches!(Told::decode(&long, Timestamp::START), Err(ToldError::Long { .. })));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = Told::decode(&bytes, Timestamp::START);
        }

        #[test]
        fn no_row_with_one_byte_changed_panics(at in 0usize..700, byte in any::<u8>()) {
            let mut body = format!(r#"{{"instances":[{ROW}]}}"#).into_bytes();
            if let Some(place) = body.get_mut(at) {
                *place = byte;
            }
            let _ = Told::decode(&body, Timestamp::START);
        }
    }
}
