//! Where something is, said several times a second.
//!
//! The first byte is the version, 1. Then, as postcard has it: a byte of kind, flags and seal; the id of the agent;
//! sequence (u16, fixed); epoch; time of fix (u32, fixed: milliseconds of Unix time modulo 2^32); latitude and
//! longitude (i32, fixed, 1e-7 degrees); altitude (cm); heading (0.1 degrees); speed (cm/s); accuracy (one sigma, cm,
//! 0 if not known; note that ETSI's confidence is 95 %, 2.45 times as much); digest of the services (u32, fixed); ttl
//! (0.1 s). Units and the other "unavailable" values are those of ETSI TS 102 894-2. With a seal, 8 bytes of key id and
//! 64 of signature follow. `protocols/vectors/beacon.txt` has examples.
//!
//! The id is in the topic as well: a beacon must be of use on a transport without topics, and a seal must cover it.
//! With an id of 12 bytes, an epoch below 2^28 and an accuracy below 163 m it has at most 48 bytes, sealed 120.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::cell::Cell;
use crate::place::{Fix, Motion, OutOfRange, Position, within};
use crate::service::{AgentId, Kind, NameError, Service, ServiceId, ServiceName};
use crate::time::{Duration, Timestamp, UnixMillis};

/// One beacon.
#[derive(Clone, Debug, PartialEq)]
pub struct Beacon {
    /// Who.
    pub agent: AgentId,
    /// How often it has started.
    pub epoch: u32,
    /// Counts the beacons of one life, modulo 2^16.
    pub sequence: u16,
    /// What it is.
    pub kind: Kind,
    /// When it was there: milliseconds of Unix time modulo 2^32 (49.7 days); `None` if its clock is not set.
    pub time: Option<u32>,
    /// Where it was.
    pub position: Position,
    /// How sure that is: one sigma, 0.01 m to 655.35 m; `None` if it does not know.
    pub accuracy: Option<f32>,
    /// How it moved; `None` if it does not know both speed and heading.
    pub motion: Option<Motion>,
    /// [`digest`] of the services it offers: a change means that its announcements are worth reading again.
    pub services: u32,
    /// How long this holds, 0.1 s to 600 s in steps of 0.1 s.
    pub ttl: Duration,
    /// Its signature, carried along unread.
    pub seal: Option<Seal>,
}

/// A signature (Ed25519) over everything before it. Nothing here checks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// Names the key.
    pub key: [u8; 8],
    /// Signs the bytes before the key.
    pub signature: [u8; 64],
}

/// When a fix was measured, on our own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measured {
    /// As its sender says.
    Told(Timestamp),
    /// Its sender's clock or ours cannot be right, so the time of receipt stands in. The fix may be older than that.
    Received(Timestamp),
}

impl Measured {
    /// Works out when a fix was measured whose sender says `time` (milliseconds of Unix time modulo 2^32), heard at
    /// `now` when our wall clock showed `wall`.
    ///
    /// The time of receipt is taken instead if the sender does not know, if our own clock has not been set, or if the
    /// fix would be from more than 2 s ahead or 60 s ago: clocks differ by hours when they differ, and what is really
    /// that old has expired at the broker. Up to 2 s ahead counts as this moment.
    pub fn of(time: Option<u32>, wall: UnixMillis, now: Timestamp) -> Self {
        let Some(time) = time.filter(|_| wall.plausible()) else { return Self::Received(now) };
        match i64::from((wall.0 as u32).wrapping_sub(time).cast_signed()) {
            age if (0..=MAX_AGE_MS).contains(&age) => Self::Told(now.back(Duration::from_millis(age.unsigned_abs()))),
            age if (-MAX_AHEAD_MS..0).contains(&age) => Self::Told(now),
            _ => Self::Received(now),
        }
    }

    /// The moment, however it was found out.
    pub const fn at(self) -> Timestamp {
        match self {
            Self::Told(at) | Self::Received(at) => at,
        }
    }
}

/// What a beacon says of the moment `at`, at `now` when the wall clock shows `wall`; `None` if that has not been set.
pub fn wire_time(at: Timestamp, wall: UnixMillis, now: Timestamp) -> Option<u32> {
    let age = u64::try_from(now.since(at).as_millis()).unwrap_or(u64::MAX);
    wall.plausible().then(|| wall.0.saturating_sub(age) as u32)
}

/// A number for a set of services, the same in whatever order they come: FNV-1a (32 bit) over their ids in ascending
/// order, each followed by a zero byte.
pub fn digest<'a>(services: impl IntoIterator<Item = &'a ServiceId>) -> u32 {
    let mut ids: Vec<&str> = services.into_iter().map(ServiceId::as_str).collect();
    ids.sort_unstable();
    let bytes = ids.into_iter().flat_map(|id| id.bytes().chain([0]));
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

impl Beacon {
    /// Reads a beacon.
    ///
    /// # Errors
    /// [`BeaconError`] if it is of another version, cut short, too long, without a position, or out of range.
    pub fn decode(bytes: &[u8]) -> Result<Self, BeaconError> {
        let Some((&version, body)) = bytes.split_first() else { return Err(BeaconError::Short { given: 0 }) };
        if version != VERSION {
            return Err(BeaconError::Version { given: version });
        }
        if bytes.len() > MAX_BYTES {
            return Err(BeaconError::Long { given: bytes.len() });
        }
        let (wire, rest) =
            postcard::take_from_bytes::<Wire<'_>>(body).map_err(|_| BeaconError::Short { given: bytes.len() })?;
        let seal = match (wire.head >> 4, rest) {
            (0, []) => None,
            (1, rest) => Some(Seal::read(rest).ok_or(BeaconError::Rest { given: rest.len(), expected: SEAL_BYTES })?),
            (0, rest) => return Err(BeaconError::Rest { given: rest.len(), expected: 0 }),
            (given, _) => return Err(BeaconError::Unknown { field: "seal", given: given.into() }),
        };
        wire.read(seal)
    }

    /// Writes a beacon. What does not fit its field becomes the nearest that does.
    pub fn encode(&self) -> Vec<u8> {
        let wire = Wire::of(self);
        // A vector takes whatever it is given, so nothing here can fail.
        let mut bytes = postcard::to_extend(&wire, [VERSION].to_vec()).unwrap_or_default();
        if let Some(seal) = &self.seal {
            bytes.extend_from_slice(&seal.key);
            bytes.extend_from_slice(&seal.signature);
        }
        bytes
    }

    /// Which beacon this is: epoch and sequence.
    pub fn stamp(&self) -> (u32, u16) {
        (self.epoch, self.sequence)
    }

    /// Whether this was sent after the beacon with the stamp `previous`: in a later life, or later in the same one,
    /// counting modulo 2^16 as RFC 1982 has it. Forget `previous` with its beacon's ttl, or an agent that lost its
    /// epoch is deaf to you for ever.
    pub fn newer_than(&self, previous: (u32, u16)) -> bool {
        let (epoch, sequence) = previous;
        let ahead = self.sequence.wrapping_sub(sequence);
        self.epoch > epoch || (self.epoch == epoch && ahead != 0 && ahead < 1 << 15)
    }

    /// Checks that it belongs where it was published.
    ///
    /// # Errors
    /// [`BeaconError::Disagrees`] if the topic names another agent, or a cell that does not admit the position
    /// ([`Cell::admits`]). No cell (`-/-`) admits everything.
    pub fn agrees_with(&self, agent: &AgentId, cell: Option<Cell>) -> Result<(), BeaconError> {
        if self.agent != *agent {
            let (topic, payload) = (text(agent), text(&self.agent));
            return Err(BeaconError::Disagrees { field: "agent", topic, payload });
        }
        match cell {
            Some(cell) if !cell.admits(&self.position) => {
                let (topic, payload) = (text(cell), text(self.position));
                Err(BeaconError::Disagrees { field: "cell", topic, payload })
            }
            _ => Ok(()),
        }
    }

    /// Where it was, on our own clock, heard at `now` when our wall clock showed `wall`.
    pub fn fix(&self, wall: UnixMillis, now: Timestamp) -> Fix {
        Fix {
            position: self.position,
            time: Measured::of(self.time, wall, now).at(),
            accuracy: self.accuracy.unwrap_or_else(|| self.kind.usual_accuracy()),
            motion: self.motion,
        }
    }

    /// The agent as the service `wayside` that it is, and how long that holds.
    pub fn service(&self, wall: UnixMillis, now: Timestamp) -> (Service, Duration) {
        let mut service = Service::new(ServiceId::agent(&self.agent), ServiceName::wayside(), self.kind);
        service.agent = Some(self.agent.clone());
        service.fix = Some(self.fix(wall, now));
        (service, self.ttl)
    }
}

/// Why bytes are no beacon, or none that belongs here.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BeaconError {
    /// It is of another version.
    #[error("beacon version {given} is not {VERSION}")]
    Version {
        /// Which.
        given: u8,
    },
    /// It ends too early, or the id in it is no text.
    #[error("beacon of {given} bytes is cut short or garbled")]
    Short {
        /// How long.
        given: usize,
    },
    /// It is too long.
    #[error("beacon of {given} bytes is longer than {MAX_BYTES}")]
    Long {
        /// How long.
        given: usize,
    },
    /// What follows it is not what its seal says.
    #[error("beacon is followed by {given} bytes, not {expected}")]
    Rest {
        /// How many.
        given: usize,
        /// How many there should be.
        expected: usize,
    },
    /// A code in it is not known.
    #[error("beacon {field} {given} is not known")]
    Unknown {
        /// Which field.
        field: &'static str,
        /// The code.
        given: u32,
    },
    /// Its position is ETSI's "unavailable".
    #[error("beacon without a position: {field} is {given}, unavailable")]
    Nowhere {
        /// Which coordinate.
        field: &'static str,
        /// Its value.
        given: i32,
    },
    /// A number in it is out of range.
    #[error("beacon {0}")]
    Range(#[from] OutOfRange),
    /// The id in it is none.
    #[error("beacon {0}")]
    Name(#[from] NameError),
    /// Its topic says something else.
    #[error("beacon {field} {payload} does not belong in a topic of {field} {topic}")]
    Disagrees {
        /// About what.
        field: &'static str,
        /// What the topic says.
        topic: String,
        /// What the payload says.
        payload: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    /// Bits 0 to 2: kind. Bit 3: the time is not known. Bits 4 to 7: seal (0 none, 1 Ed25519).
    head: u8,
    agent: &'a str,
    #[serde(with = "postcard::fixint::le")]
    sequence: u16,
    epoch: u32,
    #[serde(with = "postcard::fixint::le")]
    time: u32,
    #[serde(with = "postcard::fixint::le")]
    latitude: i32,
    #[serde(with = "postcard::fixint::le")]
    longitude: i32,
    altitude: i32,
    heading: u16,
    speed: u16,
    accuracy: u16,
    #[serde(with = "postcard::fixint::le")]
    services: u32,
    ttl: u16,
}

impl<'a> Wire<'a> {
    fn of(beacon: &'a Beacon) -> Self {
        let kind = Kind::ALL.iter().position(|kind| *kind == beacon.kind).unwrap_or_default() as u8;
        let untimed = if beacon.time.is_none() { UNTIMED } else { 0 };
        let seal = if beacon.seal.is_some() { 1 << 4 } else { 0 };
        let (heading, speed) = match beacon.motion {
            Some(Motion { speed, heading }) => {
                (scaled(heading, 10.0, HEADING_LIMIT) % HEADING_LIMIT, scaled(speed, 100.0, SPEED_LIMIT))
            }
            None => (HEADING_UNAVAILABLE, SPEED_UNAVAILABLE),
        };
        Self {
            head: kind | untimed | seal,
            agent: beacon.agent.as_str(),
            sequence: beacon.sequence,
            epoch: beacon.epoch,
            time: beacon.time.unwrap_or_default(),
            latitude: libm::round(beacon.position.latitude() * 1e7) as i32,
            longitude: libm::round(beacon.position.longitude() * 1e7) as i32,
            altitude: beacon.position.altitude().map_or(ALTITUDE_UNAVAILABLE, |metres| {
                // ETSI's highest altitude means "that or more".
                (libm::round(f64::from(metres) * 100.0) as i32).min(ALTITUDE_LIMIT)
            }),
            heading,
            speed,
            accuracy: beacon.accuracy.map_or(ACCURACY_UNAVAILABLE, |metres| scaled(metres, 100.0, u16::MAX).max(1)),
            services: beacon.services,
            ttl: u16::try_from(beacon.ttl.as_millis() / 100).unwrap_or(MAX_TTL).clamp(1, MAX_TTL),
        }
    }

    fn read(&self, seal: Option<Seal>) -> Result<Beacon, BeaconError> {
        let kind = *Kind::ALL
            .get(usize::from(self.head & 7))
            .ok_or_else(|| BeaconError::Unknown { field: "kind", given: (self.head & 7).into() })?;
        if !(1..=MAX_TTL).contains(&self.ttl) {
            let (low, high) = (0.1, f64::from(MAX_TTL) / 10.0);
            return Err(OutOfRange { field: "ttl", value: f64::from(self.ttl) / 10.0, low, high }.into());
        }
        Ok(Beacon {
            agent: self.agent.parse()?,
            epoch: self.epoch,
            sequence: self.sequence,
            kind,
            time: (self.head & UNTIMED == 0).then_some(self.time),
            position: self.position()?,
            accuracy: (self.accuracy != ACCURACY_UNAVAILABLE).then(|| f32::from(self.accuracy) / 100.0),
            motion: self.motion()?,
            services: self.services,
            ttl: Duration::from_millis(u64::from(self.ttl) * 100),
            seal,
        })
    }

    fn position(&self) -> Result<Position, BeaconError> {
        if self.latitude == LATITUDE_UNAVAILABLE {
            return Err(BeaconError::Nowhere { field: "latitude", given: self.latitude });
        }
        if self.longitude == LONGITUDE_UNAVAILABLE {
            return Err(BeaconError::Nowhere { field: "longitude", given: self.longitude });
        }
        let position = Position::new(f64::from(self.latitude) / 1e7, f64::from(self.longitude) / 1e7)?;
        match self.altitude {
            ALTITUDE_UNAVAILABLE => Ok(position),
            centimetres => {
                let highest = f64::from(ALTITUDE_LIMIT) / 100.0;
                within("altitude", f64::from(centimetres) / 100.0, -1_000.0, highest)?;
                Ok(position.at_altitude(centimetres as f32 / 100.0)?)
            }
        }
    }

    fn motion(&self) -> Result<Option<Motion>, BeaconError> {
        if self.heading == HEADING_UNAVAILABLE || self.speed == SPEED_UNAVAILABLE {
            return Ok(None);
        }
        // In f64 first, so that the error shows the value as it was meant.
        within("heading", f64::from(self.heading) / 10.0, 0.0, 360.0)?;
        within("speed", f64::from(self.speed) / 100.0, 0.0, 163.82)?;
        Ok(Some(Motion::new(f32::from(self.speed) / 100.0, f32::from(self.heading) / 10.0)?))
    }
}

impl Seal {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (key, signature) = bytes.split_first_chunk()?;
        Some(Self { key: *key, signature: signature.try_into().ok()? })
    }
}

/// `value` times `scale`, rounded, at most `limit`.
fn scaled(value: f32, scale: f32, limit: u16) -> u16 {
    (libm::roundf(value * scale) as u16).min(limit)
}

fn text(value: impl core::fmt::Display) -> String {
    alloc::format!("{value}")
}

const VERSION: u8 = 1;
/// An id of 64 bytes, everything at its longest, and a seal.
const MAX_BYTES: usize = 192;
const SEAL_BYTES: usize = 72;
/// Bit of the head: the time is not known.
const UNTIMED: u8 = 1 << 3;
/// Longest ttl, 0.1 s.
const MAX_TTL: u16 = 6_000;
const MAX_AGE_MS: i64 = 60_000;
const MAX_AHEAD_MS: i64 = 2_000;
// ETSI TS 102 894-2: Latitude, Longitude, AltitudeValue, HeadingValue, SpeedValue.
const LATITUDE_UNAVAILABLE: i32 = 900_000_001;
const LONGITUDE_UNAVAILABLE: i32 = 1_800_000_001;
const ALTITUDE_LIMIT: i32 = 800_000;
const ALTITUDE_UNAVAILABLE: i32 = 800_001;
const HEADING_LIMIT: u16 = 3_600;
const HEADING_UNAVAILABLE: u16 = 3_601;
const SPEED_LIMIT: u16 = 16_382;
const SPEED_UNAVAILABLE: u16 = 16_383;
/// Nobody is that sure.
const ACCURACY_UNAVAILABLE: u16 = 0;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use proptest::prelude::*;

    fn beacon() -> Beacon {
        Beacon {
            agent: "car-17".parse().unwrap(),
            epoch: 7,
            sequence: 42,
            kind: Kind::Vehicle,
            time: Some(0x1234_5678),
            position: Position::new(48.8566, 2.3522).unwrap(),
            accuracy: Some(2.5),
            motion: Some(Motion::new(13.9, 90.0).unwrap()),
            services: 0,
            ttl: Duration::from_secs(3),
            seal: None,
        }
    }

    #[test]
    fn later_is_later_in_life_or_in_a_later_life() {
        let at = |epoch, sequence| Beacon { epoch, sequence, ..beacon() };
        for (epoch, sequence, previous, newer) in [
            (7, 43, (7, 42), true),
            (7, 42, (7, 42), false),
            (7, 41, (7, 42), false),
            (7, 0, (7, 65_535), true),
            (7, 65_535, (7, 0), false),
            (7, 32_767, (7, 0), true),
            (7, 32_768, (7, 0), false),
            (8, 0, (7, 65_535), true),
            (6, 65_535, (7, 0), false),
        ] {
            assert_eq!(at(epoch, sequence).newer_than(previous), newer, "{epoch} {sequence} after {previous:?}");
        }
    }

    #[test]
    fn the_time_of_a_fix_wraps_every_49_days() {
        let wall = UnixMillis((WALL.0 & !0xffff_ffff) + 500);
        let told = (wall.0 - 800) as u32;
        assert_eq!(Measured::of(Some(told), wall, NOW), Measured::Told(NOW.back(Duration::from_millis(800))));
    }

    #[test]
    fn a_clock_that_cannot_be_right_gives_way_to_the_time_of_receipt() {
        let of = |millis: i64| Measured::of(Some((WALL.0 as i64 + millis) as u32), WALL, NOW);
        assert_eq!(of(-60_000), Measured::Told(NOW.back(Duration::from_secs(60))));
        assert_eq!(of(-60_001), Measured::Received(NOW));
        assert_eq!(of(2_000), Measured::Told(NOW));
        assert_eq!(of(2_001), Measured::Received(NOW));
        assert_eq!(Measured::of(None, WALL, NOW), Measured::Received(NOW));
        assert_eq!(Measured::of(Some(4_000), UnixMillis(5_000), NOW), Measured::Received(NOW));
    }

    #[test]
    fn a_clock_in_1970_tells_no_time() {
        let fixed = NOW.back(Duration::from_millis(250));
        assert_eq!(wire_time(fixed, UnixMillis(5_000), NOW), None);
        assert_eq!(wire_time(fixed, WALL, NOW), Some((WALL.0 - 250) as u32));
    }

    #[test]
    fn a_beacon_in_the_wrong_topic_is_refused() {
        let beacon = beacon();
        let (me, other) = (beacon.agent.clone(), "car-18".parse().unwrap());
        let here = Cell::at(&beacon.position);
        assert_eq!(beacon.agrees_with(&me, here), Ok(()));
        assert_eq!(beacon.agrees_with(&me, None), Ok(()));
        assert_eq!(
            beacon.agrees_with(&other, here).unwrap_err().to_string(),
            "beacon agent car-17 does not belong in a topic of agent car-18"
        );
        let elsewhere = "1202200110/12310".parse().ok();
        assert_eq!(
            beacon.agrees_with(&me, elsewhere).unwrap_err().to_string(),
            "beacon cell 48.856600,2.352200 does not belong in a topic of cell 1202200110/12310"
        );
    }

    #[test]
    fn a_digest_depends_on_the_services_and_not_on_their_order() {
        let ids = ["a@gw", "b@gw", "c@gw"].map(|id| id.parse::<ServiceId>().unwrap());
        assert_eq!(digest(&ids), digest(ids.iter().rev()));
        assert_ne!(digest(&ids), digest(&ids[..2]));
        assert_eq!(digest([]), 0x811c_9dc5);
    }

    #[test]
    fn a_position_without_accuracy_is_as_sure_as_its_kind() {
        let vague = Beacon { accuracy: None, ..beacon() };
        assert!((vague.fix(WALL, NOW).accuracy - 5.0).abs() < f32::EPSILON);
    }

    #[test]
    fn what_does_not_fit_becomes_the_nearest_that_does() {
        let odd = Beacon {
            accuracy: Some(1e9),
            ttl: Duration::from_secs(9_999),
            position: beacon().position.at_altitude(20_000.0).unwrap(),
            motion: Motion::new(163.82, 359.99).ok(),
            ..beacon()
        };
        let read = Beacon::decode(&odd.encode()).unwrap();
        assert_eq!((read.accuracy, read.ttl), (Some(655.35), Duration::from_secs(600)));
        assert_eq!(read.position.altitude(), Some(8_000.0));
        assert_eq!(read.motion, Motion::new(163.82, 0.0).ok());
        let zero = Beacon { accuracy: Some(0.0), ttl: Duration::ZERO, ..beacon() };
        let read = Beacon::decode(&zero.encode()).unwrap();
        assert_eq!((read.accuracy, read.ttl), (Some(0.01), Duration::from_millis(100)));
    }

    proptest! {
        #[test]
        fn a_beacon_reads_as_it_is_written(
            (lat, lon) in (-900_000_000i32..=900_000_000, -1_800_000_000i32..=1_800_000_000),
            (alt, motion) in (-100_000i32..=800_000, (0u16..=16_382, 0u16..3_600)),
            (epoch, sequence, time) in (any::<u32>(), any::<u16>(), any::<Option<u32>>()),
            (accuracy, services, ttl, kind) in (1u16.., any::<u32>(), 1u64..=6_000, 0usize..5),
            id in "[A-Za-z0-9._:-]{1,64}", seal in any::<Option<[u8; 8]>>(),
        ) {
            let position = Position::new(f64::from(lat) / 1e7, f64::from(lon) / 1e7).unwrap();
            let beacon = Beacon {
                agent: id.parse().unwrap(), epoch, sequence, time, services,
                kind: Kind::ALL[kind],
                position: position.at_altitude(alt as f32 / 100.0).unwrap(),
                accuracy: Some(f32::from(accuracy) / 100.0),
                motion: Motion::new(f32::from(motion.0) / 100.0, f32::from(motion.1) / 10.0).ok(),
                ttl: Duration::from_millis(ttl * 100),
                seal: seal.map(|key| Seal { key, signature: [7; 64] }),
            };
            prop_assert_eq!(Beacon::decode(&beacon.encode()), Ok(beacon));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = Beacon::decode(&bytes);
            let _ = Beacon::decode(&[&[VERSION], bytes.as_slice()].concat());
        }
    }

    const WALL: UnixMillis = UnixMillis(1_795_000_000_000);
    const NOW: Timestamp = Timestamp::from_micros(100_000_000_000);
}
