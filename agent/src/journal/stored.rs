//! Registrations as they stand in the journal: shapes of their own, so that a change of the domain is no change of the
//! disk.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use wayside_core::agent::io::Entry;
use wayside_core::registration::{HealthCheck, Probe, Registration};
use wayside_protocols::place::{Area, Distance, Fix, Position};
use wayside_protocols::service::{Endpoint, Kind, Service, Trust, Value};
use wayside_protocols::time::{Duration, Timestamp};

use super::record;

/// One payload. The order of variants and fields is the format; new ones go to the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum StoredEntry {
    Withdrawn(Box<str>),
    Registered(Box<StoredRegistration>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredRegistration {
    id: Box<str>,
    name: Box<str>,
    kind: Box<str>,
    agent: Option<Box<str>>,
    endpoint: Option<(Box<str>, u16)>,
    fix: Option<(StoredPoint, f32)>,
    area: Option<StoredArea>,
    priority: u8,
    critical: bool,
    resources: BTreeMap<Box<str>, StoredValue>,
    metadata: BTreeMap<Box<str>, Box<str>>,
    ttl_ms: u64,
    check: Option<StoredCheck>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct StoredPoint(f64, f64, Option<f32>);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum StoredArea {
    Circle(StoredPoint, f64),
    Polygon(Vec<StoredPoint>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum StoredValue {
    Number(f64),
    Flag(bool),
    Text(Box<str>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct StoredCheck {
    probe: StoredProbe,
    interval_ms: u64,
    timeout_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum StoredProbe {
    Tcp,
    Http(Box<str>),
    Ttl,
}

impl StoredEntry {
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Withdrawn(id) => id,
            Self::Registered(registration) => &registration.id,
        }
    }

    pub(super) fn to_record(&self) -> Vec<u8> {
        // Into memory, and every shape here has a postcard form: this cannot fail. An empty payload is no entry, so
        // that even then nothing wrong is read back.
        record::seal(&postcard::to_allocvec(self).unwrap_or_default())
    }

    pub(super) fn from_payload(payload: &[u8]) -> Option<Self> {
        postcard::from_bytes(payload).ok()
    }
}

impl From<&Entry> for StoredEntry {
    fn from(entry: &Entry) -> Self {
        match entry {
            Entry::Withdrawn(id) => Self::Withdrawn(id.as_str().into()),
            Entry::Registered(registration) => Self::Registered(Box::new(store(registration))),
        }
    }
}

/// The registration an entry holds; `None` for a withdrawal, and for what this version does not take any more.
pub(super) fn restore(entry: &StoredEntry) -> Option<Registration> {
    let StoredEntry::Registered(stored) = entry else { return None };
    let mut service = Service::new(stored.id.parse().ok()?, stored.name.parse().ok()?, stored.kind.parse().ok()?);
    service.agent = stored.agent.as_ref().and_then(|agent| agent.parse().ok());
    service.endpoint = match &stored.endpoint {
        Some((host, port)) => Some(Endpoint { host: host.parse().ok()?, port: *port }),
        None => None,
    };
    service.fix = match &stored.fix {
        Some((point, accuracy)) => Some(Fix::fixed(point.restore()?, *accuracy, Timestamp::START)),
        None => None,
    };
    service.area = stored.area.as_ref().and_then(StoredArea::restore);
    (service.priority, service.critical, service.trust) = (stored.priority, stored.critical, Trust::Own);
    service.resources = stored.resources.iter().map(|(key, value)| (key.clone(), value.restore())).collect();
    service.metadata = stored.metadata.clone();
    let check = stored.check.as_ref().map(StoredCheck::restore);
    Some(Registration { service, ttl: Duration::from_millis(stored.ttl_ms), check })
}

fn store(registration: &Registration) -> StoredRegistration {
    let Service { id, name, kind, agent, endpoint, fix, area, priority, critical, resources, metadata, .. } =
        &registration.service;
    StoredRegistration {
        id: id.as_str().into(),
        name: name.as_str().into(),
        kind: Kind::as_str(*kind).into(),
        agent: agent.as_ref().map(|agent| agent.as_str().into()),
        endpoint: endpoint.as_ref().map(|endpoint| (endpoint.host.to_string().into(), endpoint.port)),
        fix: fix.as_ref().map(|fix| (StoredPoint::of(&fix.position), fix.accuracy)),
        area: area.as_ref().map(StoredArea::of),
        priority: *priority,
        critical: *critical,
        resources: resources.iter().map(|(key, value)| (key.clone(), StoredValue::of(value))).collect(),
        metadata: metadata.clone(),
        ttl_ms: millis(registration.ttl),
        check: registration.check.as_ref().map(StoredCheck::of),
    }
}

impl StoredPoint {
    fn of(position: &Position) -> Self {
        Self(position.latitude(), position.longitude(), position.altitude())
    }

    fn restore(&self) -> Option<Position> {
        let position = Position::new(self.0, self.1).ok()?;
        Some(self.2.and_then(|altitude| position.at_altitude(altitude).ok()).unwrap_or(position))
    }
}

impl StoredArea {
    fn of(area: &Area) -> Self {
        match area {
            Area::Circle { centre, radius } => Self::Circle(StoredPoint::of(centre), radius.as_metres()),
            Area::Polygon(corners) => Self::Polygon(corners.iter().map(StoredPoint::of).collect()),
        }
    }

    fn restore(&self) -> Option<Area> {
        Some(match self {
            Self::Circle(centre, radius) => {
                Area::Circle { centre: centre.restore()?, radius: Distance::new(*radius).ok()? }
            }
            Self::Polygon(corners) => Area::Polygon(corners.iter().map(StoredPoint::restore).collect::<Option<_>>()?),
        })
    }
}

impl StoredValue {
    fn of(value: &Value) -> Self {
        match value {
            Value::Number(number) => Self::Number(*number),
            Value::Flag(flag) => Self::Flag(*flag),
            Value::Text(text) => Self::Text(text.clone()),
        }
    }

    fn restore(&self) -> Value {
        match self {
            Self::Number(number) => Value::Number(*number),
            Self::Flag(flag) => Value::Flag(*flag),
            Self::Text(text) => Value::Text(text.clone()),
        }
    }
}

impl StoredCheck {
    fn of(check: &HealthCheck) -> Self {
        let probe = match &check.probe {
            Probe::Tcp => StoredProbe::Tcp,
            Probe::Http { path } => StoredProbe::Http(path.clone()),
            Probe::Ttl => StoredProbe::Ttl,
        };
        Self { probe, interval_ms: millis(check.interval), timeout_ms: millis(check.timeout) }
    }

    fn restore(&self) -> HealthCheck {
        let probe = match &self.probe {
            StoredProbe::Tcp => Probe::Tcp,
            StoredProbe::Http(path) => Probe::Http { path: path.clone() },
            StoredProbe::Ttl => Probe::Ttl,
        };
        let (interval, timeout) = (Duration::from_millis(self.interval_ms), Duration::from_millis(self.timeout_ms));
        HealthCheck { probe, interval, timeout }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
