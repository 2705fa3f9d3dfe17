//! Announcements in postcard: the version byte, then the fields of [`Wire`] in their order.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use core::net::IpAddr;

use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use super::{
    Announcement, AnnouncementError, Decoded, MAX_LATENCY, MAX_TIME, MAX_TTL, Place, VERSION, circle, outline,
};
use crate::json::MAX_ACCURACY;
use crate::place::{Area, Motion, Position, within};
use crate::service::{Endpoint, Health, Host, Kind, Value};
use crate::time::{Duration, UnixMillis};

pub(super) fn read(bytes: &[u8]) -> Result<Decoded, AnnouncementError> {
    let (wire, rest) = postcard::take_from_bytes::<Wire<'_>>(bytes)?;
    if !rest.is_empty() {
        return Err(AnnouncementError::Rest { given: rest.len() });
    }
    Ok(Decoded { announcement: wire.read()?, unknown: 0 })
}

pub(super) fn write(announcement: &Announcement) -> Vec<u8> {
    // A vector takes whatever it is given, so nothing here can fail.
    postcard::to_extend(&Wire::of(announcement), [VERSION].to_vec()).unwrap_or_default()
}

/// Names are empty where they are left to the topic.
#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    id: &'a str,
    agent: &'a str,
    name: &'a str,
    kind: u8,
    /// Bit 0: critical. Bits 1 and 2: health (0 unknown, 1 passing, 2 failing).
    flags: u8,
    priority: u8,
    /// Seconds.
    ttl: u32,
    endpoint: Option<(WireHost<'a>, u16)>,
    place: Option<WirePlace>,
    area: Option<WireArea<'a>>,
    /// Microseconds.
    latency: Option<u32>,
    #[serde(borrow)]
    resources: Pairs<'a, WireValue<'a>>,
    metadata: Pairs<'a, &'a str>,
}

#[derive(Serialize, Deserialize)]
enum WireHost<'a> {
    V4([u8; 4]),
    V6([u8; 16]),
    Name(&'a str),
}

#[derive(Serialize, Deserialize)]
struct WirePlace {
    at: WirePosition,
    /// Centimetres.
    accuracy: Option<u32>,
    /// cm/s and 0.1 degrees.
    motion: Option<(u16, u16)>,
    /// Milliseconds since 1970.
    time: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct WirePosition {
    /// 1e-7 degrees.
    #[serde(with = "postcard::fixint::le")]
    latitude: i32,
    #[serde(with = "postcard::fixint::le")]
    longitude: i32,
    /// Centimetres.
    altitude: Option<i32>,
}

#[derive(Serialize, Deserialize)]
enum WireArea<'a> {
    /// Centre and centimetres.
    Circle(WirePosition, u32),
    /// Latitude and longitude of each corner, eight bytes a corner, little-endian.
    #[serde(borrow)]
    Polygon(Corners<'a>),
}

#[derive(Serialize, Deserialize)]
enum WireValue<'a> {
    Number(f64),
    Flag(bool),
    Text(&'a str),
}

impl<'a> Wire<'a> {
    fn of(from: &'a Announcement) -> Self {
        let health = match from.health {
            Health::Unknown => 0,
            Health::Passing => 1,
            Health::Failing => 2,
        };
        let values = from.resources.iter().map(|(key, value)| (key.as_ref(), WireValue::of(value)));
        Self {
            id: from.id.as_ref().map_or("", |id| id.as_str()),
            agent: from.agent.as_ref().map_or("", |agent| agent.as_str()),
            name: from.name.as_ref().map_or("", |name| name.as_str()),
            kind: Kind::ALL.iter().position(|kind| *kind == from.kind).unwrap_or_default() as u8,
            flags: u8::from(from.critical) | health << 1,
            priority: from.priority,
            ttl: from.ttl.as_secs().clamp(1, MAX_TTL) as u32,
            endpoint: from.endpoint.as_ref().map(|endpoint| (WireHost::of(&endpoint.host), endpoint.port)),
            place: from.place.as_ref().map(WirePlace::of),
            area: from.area.as_ref().map(WireArea::of),
            latency: from.latency.map(|latency| latency.min(MAX_LATENCY).as_micros() as u32),
            resources: Pairs(values.collect()),
            metadata: Pairs(from.metadata.iter().map(|(key, value)| (key.as_ref(), value.as_ref())).collect()),
        }
    }

    fn read(self) -> Result<Announcement, AnnouncementError> {
        let kind = *Kind::ALL
            .get(usize::from(self.kind))
            .ok_or_else(|| AnnouncementError::Unknown { field: "kind", given: self.kind.into() })?;
        let health = match self.flags >> 1 {
            0 => Health::Unknown,
            1 => Health::Passing,
            2 => Health::Failing,
            _ => return Err(AnnouncementError::Unknown { field: "flags", given: self.flags.into() }),
        };
        within("ttl_s", self.ttl.into(), 1.0, MAX_TTL as f64)?;
        within("latency_ms", f64::from(self.latency.unwrap_or_default()) / 1e3, 0.0, MAX_LATENCY.as_millis() as f64)?;
        let resources = self.resources.0.into_iter().map(|(key, value)| Ok((key.into(), value.read()?)));
        Ok(Announcement {
            id: told(self.id).map(str::parse).transpose()?,
            agent: told(self.agent).map(str::parse).transpose()?,
            name: told(self.name).map(str::parse).transpose()?,
            kind,
            endpoint: self
                .endpoint
                .map(|(host, port)| Ok::<_, AnnouncementError>(Endpoint { host: host.read()?, port }))
                .transpose()?,
            place: self.place.map(|place| place.read()).transpose()?,
            area: self.area.map(|area| area.read()).transpose()?,
            ttl: Duration::from_secs(self.ttl.into()),
            priority: self.priority,
            critical: self.flags & 1 == 1,
            resources: resources.collect::<Result<_, AnnouncementError>>()?,
            metadata: self.metadata.0.into_iter().map(|(key, value)| (key.into(), value.into())).collect(),
            health,
            latency: self.latency.map(|micros| Duration::from_micros(micros.into())),
        })
    }
}

impl<'a> WireHost<'a> {
    fn of(host: &'a Host) -> Self {
        match host {
            Host::Ip(IpAddr::V4(ip)) => Self::V4(ip.octets()),
            Host::Ip(IpAddr::V6(ip)) => Self::V6(ip.octets()),
            Host::Name(name) => Self::Name(name),
        }
    }

    fn read(self) -> Result<Host, AnnouncementError> {
        Ok(match self {
            Self::V4(octets) => Host::Ip(octets.into()),
            Self::V6(octets) => Host::Ip(octets.into()),
            Self::Name(name) => name.parse()?,
        })
    }
}

impl WirePlace {
    fn of(place: &Place) -> Self {
        Self {
            at: WirePosition::of(&place.position),
            accuracy: place.accuracy.map(|metres| libm::round(f64::from(metres) * 1e2).min(MAX_ACCURACY * 1e2) as u32),
            motion: place.motion.map(|Motion { speed, heading }| {
                (libm::roundf(speed * 1e2) as u16, libm::roundf(heading * 1e1) as u16 % 3_600)
            }),
            time: place.time.map(|time| time.0),
        }
    }

    fn read(&self) -> Result<Place, AnnouncementError> {
        let accuracy = self.accuracy.map(|centimetres| f64::from(centimetres) / 1e2);
        within("accuracy_m", accuracy.unwrap_or_default(), 0.0, MAX_ACCURACY)?;
        within("time_ms", self.time.unwrap_or_default() as f64, 0.0, MAX_TIME as f64)?;
        let motion = self.motion.map(|(speed, heading)| Motion::new(f32::from(speed) / 1e2, f32::from(heading) / 1e1));
        Ok(Place {
            position: self.at.read()?,
            accuracy: accuracy.map(|metres| metres as f32),
            motion: motion.transpose()?,
            time: self.time.map(UnixMillis),
        })
    }
}

impl WirePosition {
    fn of(position: &Position) -> Self {
        Self {
            latitude: libm::round(position.latitude() * 1e7) as i32,
            longitude: libm::round(position.longitude() * 1e7) as i32,
            altitude: position.altitude().map(|metres| libm::round(f64::from(metres) * 1e2) as i32),
        }
    }

    fn read(&self) -> Result<Position, AnnouncementError> {
        let position = Position::new(f64::from(self.latitude) / 1e7, f64::from(self.longitude) / 1e7)?;
        Ok(match self.altitude {
            Some(centimetres) => position.at_altitude(centimetres as f32 / 1e2)?,
            None => position,
        })
    }
}

impl WireArea<'_> {
    fn of(area: &Area) -> Self {
        match area {
            Area::Circle { centre, radius } => {
                Self::Circle(WirePosition::of(centre), libm::round(radius.as_metres() * 1e2) as u32)
            }
            Area::Polygon(corners) => {
                let bytes = corners.iter().flat_map(|corner| {
                    let at = WirePosition::of(corner);
                    at.latitude.to_le_bytes().into_iter().chain(at.longitude.to_le_bytes())
                });
                Self::Polygon(Corners(Cow::Owned(bytes.collect())))
            }
        }
    }

    fn read(&self) -> Result<Area, AnnouncementError> {
        match self {
            Self::Circle(centre, centimetres) => Ok(circle(centre.read()?, f64::from(*centimetres) / 1e2)?),
            Self::Polygon(Corners(bytes)) => {
                let (corners, rest) = bytes.as_chunks::<8>();
                if !rest.is_empty() {
                    return Err(AnnouncementError::Rest { given: rest.len() });
                }
                let corners = corners.iter().map(|&[a, b, c, d, e, f, g, h]| {
                    let (latitude, longitude) = (i32::from_le_bytes([a, b, c, d]), i32::from_le_bytes([e, f, g, h]));
                    Position::new(f64::from(latitude) / 1e7, f64::from(longitude) / 1e7)
                });
                Ok(outline(corners.collect::<Result<_, _>>()?)?)
            }
        }
    }
}

impl<'a> WireValue<'a> {
    fn of(value: &'a Value) -> Self {
        match value {
            Value::Number(number) => Self::Number(*number),
            Value::Flag(flag) => Self::Flag(*flag),
            Value::Text(text) => Self::Text(text),
        }
    }

    fn read(self) -> Result<Value, AnnouncementError> {
        Ok(match self {
            Self::Number(number) if number.is_finite() => Value::Number(number),
            Self::Number(given) => return Err(AnnouncementError::Infinite { given }),
            Self::Flag(flag) => Value::Flag(flag),
            Self::Text(text) => Value::Text(text.into()),
        })
    }
}

/// A postcard map. It grows as it is read, so that a length that lies costs nothing, and a key twice is garbled.
struct Pairs<'a, V>(BTreeMap<&'a str, V>);

impl<V: Serialize> Serialize for Pairs<'_, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(&self.0)
    }
}

impl<'de: 'a, 'a, V: Deserialize<'de>> Deserialize<'de> for Pairs<'a, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PairsVisitor(PhantomData)).map(Self)
    }
}

struct PairsVisitor<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for PairsVisitor<V> {
    type Value = BTreeMap<&'de str, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("pairs")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Self::Value, A::Error> {
        let mut read = BTreeMap::new();
        while let Some((key, value)) = pairs.next_entry()? {
            if read.insert(key, value).is_some() {
                return Err(A::Error::custom("a key twice"));
            }
        }
        Ok(read)
    }
}

/// Bytes that are borrowed when read: their length is checked against the payload before anything is set aside.
struct Corners<'a>(Cow<'a, [u8]>);

impl Serialize for Corners<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Corners<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&[u8]>::deserialize(deserializer).map(|bytes| Self(Cow::Borrowed(bytes)))
    }
}

fn told(name: &str) -> Option<&str> {
    (!name.is_empty()).then_some(name)
}
