//! What is on offer: one service, as it is kept by the broker.
//!
//! An announcement that begins with `{` is JSON, so that a shell script can announce; otherwise its first byte is the
//! version, 1, and the rest postcard (see `packed`). Both say the same. The topic says it too: name, agent and id may be
//! left out, and where they are there they must agree.

mod packed;
mod spelled;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::topic::Topic;
use crate::json::{FieldError, Object};
use crate::place::{Area, Distance, Fix, Motion, OutOfRange, Position};
use crate::service::{
    AgentId, Basis, Endpoint, Health, Kind, Label, Latency, NameError, Service, ServiceId, ServiceName, Value,
};
use crate::time::{Duration, Timestamp, UnixMillis};

/// One announcement.
#[derive(Clone, Debug, PartialEq)]
pub struct Announcement {
    /// What its agent calls it, if it says.
    pub id: Option<Label>,
    /// Who offers it, if it says.
    pub agent: Option<AgentId>,
    /// What callers ask for, if it says.
    pub name: Option<ServiceName>,
    /// What offers it; `device` in JSON that does not say.
    pub kind: Kind,
    /// Where it is reached.
    pub endpoint: Option<Endpoint>,
    /// Where it stands.
    pub place: Option<Place>,
    /// Where it holds.
    pub area: Option<Area>,
    /// How long the word holds: whole seconds, 1 to 86,400; 120 in JSON that does not say.
    pub ttl: Duration,
    /// Higher is preferred.
    pub priority: u8,
    /// Whether lives may depend on it.
    pub critical: bool,
    /// What it has to give.
    pub resources: BTreeMap<Box<str>, Value>,
    /// Whatever else it says of itself.
    pub metadata: BTreeMap<Box<str>, Box<str>>,
    /// Whether it answers.
    pub health: Health,
    /// How long it takes to answer, at most an hour.
    pub latency: Option<Duration>,
}

/// Where something stands, and how it moves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// Where.
    pub position: Position,
    /// One sigma, metres, at most 100,000; `None` if it does not say.
    pub accuracy: Option<f32>,
    /// How it moves.
    pub motion: Option<Motion>,
    /// When it was measured; `None` if it does not say, or its clock is not set.
    pub time: Option<UnixMillis>,
}

/// An announcement as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// What it says.
    pub announcement: Announcement,
    /// How many JSON members were not known, and ignored.
    pub unknown: usize,
}

impl Announcement {
    /// Reads a payload. An empty one is no announcement but a withdrawal: ask for that before.
    ///
    /// # Errors
    /// [`AnnouncementError`] if it is too long, of another version, garbled, or a field is not what it may be.
    pub fn decode(payload: &[u8]) -> Result<Decoded, AnnouncementError> {
        if payload.len() > MAX_BYTES {
            return Err(AnnouncementError::Long { given: payload.len() });
        }
        match payload.split_first() {
            None => Err(AnnouncementError::Empty),
            Some((b'{', _)) => spelled::read(payload),
            Some((&VERSION, packed)) => packed::read(packed),
            Some((&given, _)) => Err(AnnouncementError::Version { given }),
        }
    }

    /// Writes it as postcard.
    pub fn encode(&self) -> Vec<u8> {
        packed::write(self)
    }

    /// Writes it as JSON.
    pub fn to_json(&self) -> Vec<u8> {
        spelled::write(self)
    }

    /// Reads one that stands in another object.
    pub(crate) fn from_object(object: Object) -> Result<Decoded, AnnouncementError> {
        spelled::taken(object)
    }

    /// Writes it to stand in another object.
    pub(crate) fn to_object(&self) -> Object {
        spelled::put(self)
    }

    /// What there is to announce of `service` for `ttl`, at `now` when the wall clock shows `wall`. Id and agent are
    /// left out if the service's id is not of the form `{id}@{agent}`.
    pub fn from_service(service: &Service, ttl: Duration, wall: UnixMillis, now: Timestamp) -> Self {
        let (id, agent) = service.id.parts().unzip();
        let place = service.fix.map(|fix| {
            let age = u64::try_from(now.since(fix.time).as_millis()).unwrap_or(u64::MAX);
            let time = wall.plausible().then(|| UnixMillis(wall.0.saturating_sub(age)));
            Place { position: fix.position, accuracy: Some(fix.accuracy), motion: fix.motion, time }
        });
        Self {
            id: id.and_then(|id| id.parse().ok()),
            agent: agent.and_then(|agent| agent.parse().ok()),
            name: Some(service.name.clone()),
            kind: service.kind,
            endpoint: service.endpoint.clone(),
            place,
            area: service.area.clone(),
            ttl: Duration::from_secs(ttl.as_secs().clamp(1, MAX_TTL)),
            priority: service.priority,
            critical: service.critical,
            resources: service.resources.clone(),
            metadata: service.metadata.clone(),
            health: service.health,
            latency: service.latency.map(|latency| latency.round_trip),
        }
    }

    /// The service that is announced in `topic`, heard at `now` when the wall clock showed `wall`, and how long the
    /// word for it holds.
    ///
    /// The time of its fix is what it says, if both clocks can be right: ours is set, and the fix is from at most 2 s
    /// ahead and a day ago. Otherwise it is `now`.
    ///
    /// # Errors
    /// [`AnnouncementError::Topic`] if `topic` is not one for announcements, and [`AnnouncementError::Disagrees`] if it
    /// names another id, agent or name, or a cell that does not admit the position. No cell (`-/-`) admits everything.
    pub fn into_service(
        self,
        topic: &Topic,
        wall: UnixMillis,
        now: Timestamp,
    ) -> Result<(Service, Duration), AnnouncementError> {
        let Topic::Announcement { cell, name, agent, id } = topic else {
            return Err(AnnouncementError::Topic { given: topic.to_string() });
        };
        agree("name", name, self.name.as_ref())?;
        agree("agent", agent, self.agent.as_ref())?;
        agree("id", id, self.id.as_ref())?;
        if let (Some(cell), Some(place)) = (cell, &self.place)
            && !cell.admits(&place.position)
        {
            let (topic, payload) = (cell.to_string(), place.position.to_string());
            return Err(AnnouncementError::Disagrees { field: "cell", topic, payload });
        }
        let ttl = self.ttl;
        let service = self.dressed(ServiceId::of(id, agent), name.clone(), agent, wall, now);
        Ok((service, ttl))
    }

    /// The service that `agent` announces with it at `now`, when the wall clock shows `wall`; `None` if it has no id or no
    /// name.
    pub fn offered_by(self, agent: &AgentId, wall: UnixMillis, now: Timestamp) -> Option<Service> {
        let (id, name) = (ServiceId::of(self.id.as_ref()?, agent), self.name.clone()?);
        Some(self.dressed(id, name, agent, wall, now))
    }

    fn dressed(self, id: ServiceId, name: ServiceName, agent: &AgentId, wall: UnixMillis, now: Timestamp) -> Service {
        Service {
            agent: Some(agent.clone()),
            endpoint: self.endpoint,
            fix: self.place.map(|place| place.fix(self.kind, wall, now)),
            area: self.area,
            priority: self.priority,
            critical: self.critical,
            resources: self.resources,
            metadata: self.metadata,
            health: self.health,
            latency: self.latency.map(|round_trip| Latency { round_trip, basis: Basis::Reported }),
            ..Service::new(id, name, self.kind)
        }
    }
}

impl Place {
    fn fix(&self, kind: Kind, wall: UnixMillis, now: Timestamp) -> Fix {
        let told = self.time.filter(|time| wall.plausible() && time.plausible() && time.0 <= wall.0 + 2_000);
        let age = told.map(|time| wall.0.saturating_sub(time.0)).filter(|age| *age <= MAX_TTL * 1_000);
        Fix {
            position: self.position,
            time: age.map_or(now, |age| now.back(Duration::from_millis(age))),
            accuracy: self.accuracy.unwrap_or_else(|| kind.usual_accuracy()),
            motion: self.motion,
        }
    }
}

/// Why a payload is no announcement, or none that belongs here.
#[derive(Debug, thiserror::Error)]
pub enum AnnouncementError {
    /// There is nothing: a withdrawal.
    #[error("announcement is empty: a withdrawal")]
    Empty,
    /// It is too long.
    #[error("announcement of {given} bytes is longer than {MAX_BYTES}")]
    Long {
        /// How long.
        given: usize,
    },
    /// It is of another version.
    #[error("announcement begins with {given}, neither version {VERSION} nor {{")]
    Version {
        /// The first byte.
        given: u8,
    },
    /// It is not what postcard would write.
    #[error("announcement is cut short or garbled")]
    Garbled(#[from] postcard::Error),
    /// Bytes follow it.
    #[error("announcement is followed by {given} bytes, not 0")]
    Rest {
        /// How many.
        given: usize,
    },
    /// A code in it is not known.
    #[error("announcement {field} {given} is not known")]
    Unknown {
        /// Which field.
        field: &'static str,
        /// The code.
        given: u32,
    },
    /// It is not what JSON, or a member, may be.
    #[error("announcement: {0}")]
    Json(#[from] FieldError),
    /// A number in it is out of range.
    #[error("announcement {0}")]
    Range(#[from] OutOfRange),
    /// A resource is infinite, or no number at all.
    #[error("announcement resource {given} is not a finite number")]
    Infinite {
        /// What it is.
        given: f64,
    },
    /// A name in it is none.
    #[error("announcement {0}")]
    Name(#[from] NameError),
    /// Its topic is not one for announcements.
    #[error("{given} is no topic for announcements")]
    Topic {
        /// Which.
        given: String,
    },
    /// Its topic says something else.
    #[error("announcement {field} {payload} does not belong in a topic of {field} {topic}")]
    Disagrees {
        /// About what.
        field: &'static str,
        /// What the topic says.
        topic: String,
        /// What the payload says.
        payload: String,
    },
}

fn agree<T: PartialEq + ToString>(
    field: &'static str,
    topic: &T,
    payload: Option<&T>,
) -> Result<(), AnnouncementError> {
    match payload {
        Some(payload) if payload != topic => {
            Err(AnnouncementError::Disagrees { field, topic: topic.to_string(), payload: payload.to_string() })
        }
        _ => Ok(()),
    }
}

/// An area with these corners.
fn outline(corners: Vec<Position>) -> Result<Area, OutOfRange> {
    crate::place::within("corners", corners.len() as f64, 3.0, 64.0)?;
    let ecef: Vec<_> = corners.iter().map(Position::ecef).collect();
    for (index, corner) in ecef.iter().enumerate() {
        for other in &ecef[..index] {
            crate::place::within("distance between corners", corner.distance(other).as_metres(), 0.0, MAX_ACROSS)?;
        }
    }
    Ok(Area::Polygon(corners))
}

/// An area around `centre`.
fn circle(centre: Position, metres: f64) -> Result<Area, OutOfRange> {
    crate::place::within("radius_m", metres, 0.0, MAX_ACROSS / 2.0)?;
    Ok(Area::Circle { centre, radius: Distance::new(metres)? })
}

const VERSION: u8 = 1;
/// The longest announcement, bytes.
const MAX_BYTES: usize = 65_536;
/// The longest lease, seconds.
const MAX_TTL: u64 = 86_400;
/// The latest time of a fix, milliseconds since 1970: beyond, JSON numbers have gaps.
const MAX_TIME: u64 = 1 << 53;
/// The longest latency.
const MAX_LATENCY: Duration = Duration::from_secs(3_600);
/// The farthest two corners of an area may lie apart, metres.
const MAX_ACROSS: f64 = 100_000.0;

#[cfg(test)]
mod tests;
