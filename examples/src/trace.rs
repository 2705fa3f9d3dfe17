//! The recorded city: where 200 vehicles were, five times a second for a minute.
//!
//! Own synthetic data (SUMO 1.15, a 2 x 2 km grid of streets at 48.86 N 2.36 E), cut to the 200 liveliest of 560
//! vehicles. Format: `WTR1`; vehicles, steps and milliseconds a step (u16 little endian each); then for each vehicle
//! and step the change of latitude and longitude (1e-7 degrees), heading (0.01 degrees) and speed (cm/s) since the
//! step before, as zigzag variable-length integers.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wayside_protocols::mqtt::beacon::{Beacon, wire_time};
use wayside_protocols::mqtt::cell::Cell;
use wayside_protocols::mqtt::topic::Topic;
use wayside_protocols::place::{Motion, Position};
use wayside_protocols::service::{AgentId, Kind};
use wayside_protocols::time::{Timestamp, UnixMillis};

/// Where one vehicle was at one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Where.
    pub position: Position,
    /// How it moved.
    pub motion: Motion,
}

impl Sample {
    /// What `agent` says that is here at `at`, and under which topic: known to 2 m, for three seconds.
    pub fn beacon(&self, agent: AgentId, sequence: u16, at: UnixMillis, services: u32) -> (String, Beacon) {
        let topic = Topic::Beacon { cell: Cell::at(&self.position), agent: agent.clone() };
        let beacon = Beacon {
            agent,
            epoch: 1,
            sequence,
            kind: Kind::Vehicle,
            time: wire_time(Timestamp::START, at, Timestamp::START),
            position: self.position,
            accuracy: Some(2.0),
            motion: Some(self.motion),
            services,
            ttl: Duration::from_secs(3),
            seal: None,
        };
        (topic.to_string(), beacon)
    }

    /// The place that is `part` (0 to 1) of the way to `next`, on a straight line.
    pub fn towards(&self, next: &Self, part: f64) -> Position {
        let metres = self.position.distance(&next.position).as_metres();
        self.position.moved(self.position.bearing(&next.position), metres * part)
    }
}

/// What the wall clock shows.
pub fn wall() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// A recording.
#[derive(Clone, Debug)]
pub struct Trace {
    vehicles: Vec<Vec<Sample>>,
    step_ms: u64,
}

impl Trace {
    /// The city that comes with the project.
    ///
    /// # Errors
    /// A word about what is wrong with the file.
    pub fn city() -> Result<Self, &'static str> {
        Self::read(include_bytes!("../data/city_200_vehicles_5hz_60s.wtr"))
    }

    /// Reads a recording.
    ///
    /// # Errors
    /// A word about what is wrong with it.
    pub fn read(bytes: &[u8]) -> Result<Self, &'static str> {
        let (head, mut rest) = bytes.split_at_checked(10).ok_or("trace is cut short")?;
        if &head[..4] != b"WTR1" {
            return Err("not a trace: it does not begin with WTR1");
        }
        let number = |at: usize| u64::from(u16::from_le_bytes([head[at], head[at + 1]]));
        let (vehicles, steps, step_ms) = (number(4), number(6), number(8));
        let vehicles = (0..vehicles).map(|_| vehicle(&mut rest, steps)).collect::<Result<_, _>>()?;
        Ok(Self { vehicles, step_ms })
    }

    /// How many vehicles there are.
    pub fn vehicles(&self) -> usize {
        self.vehicles.len()
    }

    /// Milliseconds from one step to the next.
    pub fn step_ms(&self) -> u64 {
        self.step_ms
    }

    /// Where `vehicle` was at `step`; after its end the recording begins again.
    pub fn sample(&self, vehicle: usize, step: usize) -> Sample {
        let samples = &self.vehicles[vehicle];
        samples[step % samples.len()]
    }
}

fn vehicle(rest: &mut &[u8], steps: u64) -> Result<Vec<Sample>, &'static str> {
    let mut state = [0i64; 4];
    (0..steps)
        .map(|_| {
            for value in &mut state {
                *value += zigzag(rest).ok_or("trace is cut short")?;
            }
            let [latitude, longitude, heading, speed] = state.map(|value| value as f64);
            let position = Position::new(latitude / 1e7, longitude / 1e7).map_err(|_| "a vehicle is off the map")?;
            let motion = Motion::new((speed / 100.0) as f32, (heading / 100.0) as f32 % 360.0);
            Ok(Sample { position, motion: motion.map_err(|_| "a vehicle is too fast")? })
        })
        .collect()
}

fn zigzag(rest: &mut &[u8]) -> Option<i64> {
    let (mut value, mut shift) = (0u64, 0);
    loop {
        let (&byte, tail) = rest.split_first()?;
        *rest = tail;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return Some((value >> 1).cast_signed() ^ -((value & 1).cast_signed()));
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_city_has_200_vehicles_that_move_as_fast_as_they_say() {
        let city = Trace::city().unwrap();
        assert_eq!((city.vehicles(), city.step_ms()), (200, 200));
        for vehicle in 0..city.vehicles() {
            let (from, to) = (city.sample(vehicle, 10), city.sample(vehicle, 11));
            let metres = from.position.distance(&to.position).as_metres();
            assert!(metres < 6.0, "vehicle {vehicle} moved {metres} m in 0.2 s");
        }
    }

    #[test]
    fn a_file_cut_short_is_an_error() {
        let bytes = include_bytes!("../data/city_200_vehicles_5hz_60s.wtr");
        assert!(Trace::read(&bytes[..1_000]).is_err());
        assert!(Trace::read(b"GIF89a....").is_err());
    }
}
