//! Announcements in JSON.
//!
//! `{"name", "id", "agent", "kind", "address", "port", "lat", "lon", "alt", "accuracy_m", "speed_mps", "heading_deg",
//! "time_ms", "area", "ttl_s", "priority", "critical", "resources": {}, "metadata": {}, "health", "latency_ms"}`, all
//! optional. An area is `{"radius_m": 300}` (around the position, or with its own `lat` and `lon`) or
//! `{"polygon": [[lat, lon], ..]}`. What is not known is ignored and counted; `null` is as good as nothing.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Announcement, AnnouncementError, Decoded, MAX_LATENCY, MAX_TIME, MAX_TTL, Place, circle, outline};
use crate::json::{self, FieldError, Json, Object, rounded};
use crate::place::{Area, Motion, Position};
use crate::service::{Endpoint, Health, Host, Kind, Value};
use crate::time::{Duration, UnixMillis};

pub(super) fn read(payload: &[u8]) -> Result<Decoded, AnnouncementError> {
    taken(json::object(payload).map_err(AnnouncementError::Json)?)
}

/// Reads an object that stands in another.
pub(super) fn taken(mut object: Object) -> Result<Decoded, AnnouncementError> {
    let place = place(&mut object)?;
    let announcement = Announcement {
        id: name(&mut object, "id")?,
        agent: name(&mut object, "agent")?,
        name: name(&mut object, "name")?,
        kind: object.kind()?.unwrap_or(Kind::Device),
        endpoint: endpoint(&mut object)?,
        area: area(&mut object, place.map(|place| place.position))?,
        place,
        ttl: Duration::from_secs(
            object
                .optional("ttl_s", "a whole number from 1 to 86400", |value| value.whole(1, MAX_TTL))?
                .unwrap_or(DEFAULT_TTL),
        ),
        priority: object
            .optional("priority", "a whole number from 0 to 255", |value| value.whole(0, 255))?
            .unwrap_or_default() as u8,
        critical: object.optional("critical", "true or false", Json::flag)?.unwrap_or_default(),
        resources: resources(&mut object)?,
        metadata: metadata(&mut object)?,
        health: health(&mut object)?,
        latency: object
            .ranged("latency_ms", 0.0, MAX_LATENCY.as_millis() as f64)?
            .map(|ms| Duration::from_micros(libm::round(ms * 1_000.0) as u64)),
    };
    Ok(Decoded { announcement, unknown: object.left() })
}

pub(super) fn write(announcement: &Announcement) -> Vec<u8> {
    put(announcement).to_bytes()
}

/// Writes an object to stand in another.
pub(super) fn put(announcement: &Announcement) -> Object {
    let mut object = Object::default();
    let mut text = |field: &str, value: Option<&str>| {
        if let Some(value) = value {
            object.put(field, Json::Text(value.to_string()));
        }
    };
    text("id", announcement.id.as_ref().map(|id| id.as_str()));
    text("agent", announcement.agent.as_ref().map(|agent| agent.as_str()));
    text("name", announcement.name.as_ref().map(|name| name.as_str()));
    text("kind", Some(announcement.kind.as_str()));
    text("health", Some(announcement.health.as_str()));
    if let Some(endpoint) = &announcement.endpoint {
        object.put("address", Json::Text(endpoint.host.to_string()));
        if endpoint.port != 0 {
            object.put("port", Json::Number(endpoint.port.into()));
        }
    }
    if let Some(place) = &announcement.place {
        put_place(&mut object, place);
    }
    if let Some(area) = &announcement.area {
        object.put("area", Json::Object(written_area(area)));
    }
    object.put("ttl_s", Json::Number(announcement.ttl.as_secs() as f64));
    object.put("priority", Json::Number(announcement.priority.into()));
    object.put("critical", Json::Flag(announcement.critical));
    if let Some(latency) = announcement.latency {
        object.put("latency_ms", Json::Number(latency.as_micros() as f64 / 1_000.0));
    }
    let resources = announcement.resources.iter().map(|(key, value)| (key.to_string(), written_value(value)));
    object.put("resources", Json::Object(Object(resources.collect())));
    let metadata = announcement.metadata.iter().map(|(key, value)| (key.to_string(), Json::Text(value.to_string())));
    object.put("metadata", Json::Object(Object(metadata.collect())));
    object
}

/// Takes out a name of whatever kind is wanted.
fn name<T: core::str::FromStr>(object: &mut Object, field: &'static str) -> Result<Option<T>, AnnouncementError>
where
    AnnouncementError: From<T::Err>,
{
    let text = object.optional(field, "text", Json::text).map_err(AnnouncementError::Json)?;
    Ok(text.map(|text| text.parse()).transpose()?)
}

fn endpoint(object: &mut Object) -> Result<Option<Endpoint>, AnnouncementError> {
    let host: Option<Host> = name(object, "address")?;
    let port = object.optional("port", "a whole number from 1 to 65535", |value| value.whole(1, 65_535))?;
    match (host, port) {
        (Some(host), port) => Ok(Some(Endpoint { host, port: port.unwrap_or_default() as u16 })),
        (None, Some(_)) => Err(FieldError::Half { given: "port", missing: "address" }.into()),
        (None, None) => Ok(None),
    }
}

fn place(object: &mut Object) -> Result<Option<Place>, FieldError> {
    let place = object.place()?;
    let speed = object.ranged("speed_mps", 0.0, 163.82)?;
    let heading = object.ranged("heading_deg", 0.0, 360.0)?;
    let time = object
        .optional("time_ms", "milliseconds since 1970, a whole number up to 2^53", |value| value.whole(0, MAX_TIME))?;
    let motion = match (speed, heading) {
        (Some(speed), Some(heading)) => Some(Motion::new(speed as f32, heading as f32)?),
        // Where something points that stands still does not matter.
        (Some(0.0), None) | (None, None) => None,
        (Some(_), None) => return Err(FieldError::Half { given: "speed_mps", missing: "heading_deg" }),
        (None, Some(_)) => return Err(FieldError::Half { given: "heading_deg", missing: "speed_mps" }),
    };
    match place {
        Some((position, accuracy)) => Ok(Some(Place { position, accuracy, motion, time: time.map(UnixMillis) })),
        None if motion.is_some() => Err(FieldError::Half { given: "speed_mps", missing: "lat" }),
        None => Ok(None),
    }
}

fn area(object: &mut Object, here: Option<Position>) -> Result<Option<Area>, AnnouncementError> {
    let Some(mut area) = object.nested("area")? else { return Ok(None) };
    let polygon = area.optional("polygon", "a list of [lat, lon]", |value| {
        value.list()?.into_iter().map(corner).collect::<Option<Vec<_>>>()
    })?;
    let centre = area.place()?.map(|(position, _)| position).or(here);
    let radius = area.optional("radius_m", "a number", Json::number)?;
    Ok(Some(match (polygon, radius, centre) {
        (Some(corners), None, _) => {
            let corners: Result<Vec<_>, _> = corners.into_iter().map(|(lat, lon)| Position::new(lat, lon)).collect();
            outline(corners?)?
        }
        (None, Some(radius), Some(centre)) => circle(centre, radius)?,
        (None, Some(_), None) => return Err(FieldError::Half { given: "radius_m", missing: "lat" }.into()),
        (Some(_), Some(_), _) | (None, None, _) => {
            let limit = "either radius_m or polygon";
            return Err(FieldError::new("area", &Json::Object(area), limit).into());
        }
    }))
}

fn corner(value: Json) -> Option<(f64, f64)> {
    let [lat, lon] = <[Json; 2]>::try_from(value.list()?).ok()?;
    Some((lat.number()?, lon.number()?))
}

fn resources(object: &mut Object) -> Result<BTreeMap<Box<str>, Value>, FieldError> {
    let given = object.nested("resources")?.unwrap_or_default();
    pairs(given, "resources", |value| match value {
        Json::Number(number) => Some(Value::Number(number)),
        Json::Flag(flag) => Some(Value::Flag(flag)),
        Json::Text(text) => Some(Value::Text(text.into())),
        Json::Null | Json::List(_) | Json::Object(_) => None,
    })
}

fn metadata(object: &mut Object) -> Result<BTreeMap<Box<str>, Box<str>>, FieldError> {
    let given = object.nested("metadata")?.unwrap_or_default();
    pairs(given, "metadata", |value| match value {
        Json::Text(text) => Some(text.into()),
        Json::Number(_) | Json::Flag(_) => Some(value.to_string().into()),
        Json::Null | Json::List(_) | Json::Object(_) => None,
    })
}

fn pairs<T>(
    given: Object,
    field: &'static str,
    read: impl Fn(Json) -> Option<T>,
) -> Result<BTreeMap<Box<str>, T>, FieldError> {
    let read = |(key, value): (String, Json)| {
        let shown = value.clone();
        let value = read(value).ok_or_else(|| FieldError::new(field, &shown, "text, numbers, true or false"))?;
        Ok((key.into(), value))
    };
    given.0.into_iter().map(read).collect()
}

fn health(object: &mut Object) -> Result<Health, FieldError> {
    let health = object.optional("health", "passing, unknown or failing", |value| {
        let word = value.text()?;
        [Health::Passing, Health::Unknown, Health::Failing].into_iter().find(|health| health.as_str() == word)
    })?;
    Ok(health.unwrap_or(Health::Unknown))
}

fn put_place(object: &mut Object, place: &Place) {
    object.put_place(&place.position, place.accuracy);
    if let Some(Motion { speed, heading }) = place.motion {
        object.put("speed_mps", Json::Number(rounded(speed.into(), 1e2)));
        object.put("heading_deg", Json::Number(rounded(heading.into(), 1e1)));
    }
    if let Some(time) = place.time {
        object.put("time_ms", Json::Number(time.0 as f64));
    }
}

fn written_area(area: &Area) -> Object {
    let mut object = Object::default();
    match area {
        Area::Circle { centre, radius } => {
            object.put_place(centre, None);
            object.put("radius_m", Json::Number(rounded(radius.as_metres(), 1e2)));
        }
        Area::Polygon(corners) => {
            let pair = |corner: &Position| {
                let degrees = [corner.latitude(), corner.longitude()];
                Json::List(degrees.map(|degrees| Json::Number(rounded(degrees, 1e7))).into())
            };
            object.put("polygon", Json::List(corners.iter().map(pair).collect()));
        }
    }
    object
}

fn written_value(value: &Value) -> Json {
    match value {
        Value::Number(number) => Json::Number(*number),
        Value::Flag(flag) => Json::Flag(*flag),
        Value::Text(text) => Json::Text(text.to_string()),
    }
}

/// The lease of what does not say, seconds.
const DEFAULT_TTL: u64 = 120;
