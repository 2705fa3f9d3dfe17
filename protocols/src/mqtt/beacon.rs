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

mod packed;

use alloc::string::String;
use alloc::vec::Vec;
use core::borrow::Borrow;

use self::packed::Wire;
use super::cell::Cell;
use crate::place::{Fix, Motion, OutOfRange, Position};
use crate::service::{AgentId, Kind, NameError, Service, ServiceId, ServiceName};
use crate::time::{Duration, Timestamp, UnixMillis};

/// One beacon. Its sender is an [`AgentId`], or in a [`Glimpse`] the text that stands for one.
#[derive(Clone, Debug, PartialEq)]
pub struct Beacon<A = AgentId> {
    /// Who.
    pub agent: A,
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

/// A beacon as it lies in its bytes: every number in it has been checked, and nothing was copied. Whether its agent is an
/// id at all has not been looked at.
pub type Glimpse<'a> = Beacon<&'a str>;

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

/// The [`digest`] of no services. A beacon may say 0 instead of a digest: it then says nothing of its services.
pub const EMPTY: u32 = 0x811c_9dc5;

/// A number for a set of services, the same in whatever order they come: FNV-1a (32 bit) over their ids in ascending
/// order, each followed by a zero byte.
pub fn digest<'a>(services: impl IntoIterator<Item = &'a ServiceId>) -> u32 {
    let mut ids: Vec<&str> = services.into_iter().map(ServiceId::as_str).collect();
    ids.sort_unstable();
    let bytes = ids.into_iter().flat_map(|id| id.bytes().chain([0]));
    bytes.fold(EMPTY, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

impl Beacon {
    /// Reads a beacon.
    ///
    /// # Errors
    /// [`BeaconError`] if it is of another version, cut short, too long, without a position, or out of range.
    pub fn decode(bytes: &[u8]) -> Result<Self, BeaconError> {
        Glimpse::read(bytes)?.beacon()
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

    /// The agent as the service `wayside` that it is, and how long that holds.
    pub fn service(&self, wall: UnixMillis, now: Timestamp) -> (Service, Duration) {
        let mut service = Service::new(ServiceId::agent(&self.agent), ServiceName::wayside(), self.kind);
        service.agent = Some(self.agent.clone());
        service.fix = Some(self.fix(wall, now));
        (service, self.ttl)
    }
}

impl Beacon {
    /// The same, lent.
    pub fn glimpse(&self) -> Glimpse<'_> {
        self.of(self.agent.as_str())
    }
}

impl<'a> Glimpse<'a> {
    /// Reads a beacon without copying anything.
    ///
    /// # Errors
    /// As [`Beacon::decode`], but for the id.
    pub fn read(bytes: &'a [u8]) -> Result<Self, BeaconError> {
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

    /// A beacon of its own.
    ///
    /// # Errors
    /// [`BeaconError::Name`] if the id in it is none.
    pub fn beacon(&self) -> Result<Beacon, BeaconError> {
        Ok(self.of(self.agent.parse()?))
    }
}

impl<A> Beacon<A> {
    /// Checks that it belongs where it was published.
    ///
    /// # Errors
    /// [`BeaconError::Disagrees`] if the topic names another agent, or a cell that does not admit the position
    /// ([`Cell::admits`]). No cell (`-/-`) admits everything.
    pub fn agrees_with(&self, agent: &str, cell: Option<Cell>) -> Result<(), BeaconError>
    where
        A: Borrow<str>,
    {
        let own = self.agent.borrow();
        if own != agent {
            let (topic, payload) = (text(agent), text(own));
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

    /// The same of another sender.
    fn of<B>(&self, agent: B) -> Beacon<B> {
        Beacon {
            agent,
            epoch: self.epoch,
            sequence: self.sequence,
            kind: self.kind,
            time: self.time,
            position: self.position,
            accuracy: self.accuracy,
            motion: self.motion,
            services: self.services,
            ttl: self.ttl,
            seal: self.seal,
        }
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

fn text(value: impl core::fmt::Display) -> String {
    alloc::format!("{value}")
}

const VERSION: u8 = 1;
/// An id of 64 bytes, everything at its longest, and a seal.
const MAX_BYTES: usize = 192;
const SEAL_BYTES: usize = 72;
const MAX_AGE_MS: i64 = 60_000;
const MAX_AHEAD_MS: i64 = 2_000;

#[cfg(test)]
mod tests;
