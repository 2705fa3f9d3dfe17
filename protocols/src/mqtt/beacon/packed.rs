//! Beacons as postcard has them, and the values by which ETSI says "unavailable".

use serde::{Deserialize, Serialize};

use super::{Beacon, BeaconError, Glimpse, Seal};
use crate::place::{Motion, OutOfRange, Position, within};
use crate::service::Kind;
use crate::time::Duration;

#[derive(Serialize, Deserialize)]
pub(super) struct Wire<'a> {
    /// Bits 0 to 2: kind. Bit 3: the time is not known. Bits 4 to 7: seal (0 none, 1 Ed25519).
    pub(super) head: u8,
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
    /// Wider than the values allowed, so that a speed nothing has is refused by its name.
    speed: u32,
    accuracy: u16,
    #[serde(with = "postcard::fixint::le")]
    services: u32,
    ttl: u16,
}

impl<'a> Wire<'a> {
    pub(super) fn of(beacon: &'a Beacon) -> Self {
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
            speed: speed.into(),
            accuracy: beacon.accuracy.map_or(ACCURACY_UNAVAILABLE, |metres| scaled(metres, 100.0, u16::MAX).max(1)),
            services: beacon.services,
            ttl: u16::try_from(beacon.ttl.as_millis() / 100).unwrap_or(MAX_TTL).clamp(1, MAX_TTL),
        }
    }

    pub(super) fn read(&self, seal: Option<Seal>) -> Result<Glimpse<'a>, BeaconError> {
        let kind = *Kind::ALL
            .get(usize::from(self.head & 7))
            .ok_or_else(|| BeaconError::Unknown { field: "kind", given: (self.head & 7).into() })?;
        if !(1..=MAX_TTL).contains(&self.ttl) {
            let (low, high) = (0.1, f64::from(MAX_TTL) / 10.0);
            return Err(OutOfRange { field: "ttl", value: f64::from(self.ttl) / 10.0, low, high }.into());
        }
        Ok(Glimpse {
            agent: self.agent,
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
        if self.heading == HEADING_UNAVAILABLE || self.speed == u32::from(SPEED_UNAVAILABLE) {
            return Ok(None);
        }
        // In f64 first, so that the error shows the value as it was meant.
        within("heading", f64::from(self.heading) / 10.0, 0.0, 360.0)?;
        within("speed", f64::from(self.speed) / 100.0, 0.0, 163.82)?;
        Ok(Some(Motion::new(self.speed as f32 / 100.0, f32::from(self.heading) / 10.0)?))
    }
}

impl Seal {
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (key, signature) = bytes.split_first_chunk()?;
        Some(Self { key: *key, signature: signature.try_into().ok()? })
    }
}

/// `value` times `scale`, rounded, at most `limit`.
fn scaled(value: f32, scale: f32, limit: u16) -> u16 {
    (libm::roundf(value * scale) as u16).min(limit)
}

/// Bit of the head: the time is not known.
const UNTIMED: u8 = 1 << 3;
/// Longest ttl, 0.1 s.
const MAX_TTL: u16 = 6_000;
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
