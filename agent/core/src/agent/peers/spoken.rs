//! The last beacon of one agent, and whether the next can be from the same.

use wayside_protocols::mqtt::beacon::Glimpse;
use wayside_protocols::place::{Distance, Position};
use wayside_protocols::time::{Duration, Timestamp};

/// What was last believed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spoken {
    stamp: Option<(u32, u16)>,
    digest: u32,
    /// 1e-7 degrees.
    place: [i32; 2],
    heard: Timestamp,
    /// How long it holds.
    pub(super) until: Timestamp,
    /// The last beacon that was not newer, and how many in a row went on from there.
    rival: Option<((u32, u16), u8)>,
}

/// Why a beacon is not believed.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub(crate) enum Doubt {
    /// It came after one that was sent later.
    #[error("number {given} came after {newest}")]
    OutOfOrder {
        /// Which it is.
        given: u16,
        /// Which came before.
        newest: u16,
    },
    /// It has been heard before, or is far older than what has.
    #[error("epoch {}, number {} is not newer than epoch {}, number {}", given.0, given.1, newest.0, newest.1)]
    Replayed {
        /// Which it is.
        given: (u32, u16),
        /// Which is known.
        newest: (u32, u16),
    },
    /// Somebody else counts on under the same name.
    #[error("counts on at epoch {}, number {} while another under this name is at epoch {}, number {}", given.0, given.1, newest.0, newest.1)]
    SecondSender {
        /// Where the one is.
        given: (u32, u16),
        /// Where the other is.
        newest: (u32, u16),
    },
    /// Nothing gets there in that time.
    #[error("{distance} in {:.1} s is faster than {FASTEST} m/s", time.as_secs_f64())]
    Jumped {
        /// How far.
        distance: Distance,
        /// In which time.
        time: Duration,
    },
}

impl Doubt {
    /// The name under which it is counted.
    pub(crate) const fn counted(self) -> &'static str {
        match self {
            Self::OutOfOrder { .. } => "refused_beacon_out_of_order_total",
            Self::Replayed { .. } => "refused_beacon_replayed_total",
            Self::SecondSender { .. } => "refused_beacon_of_second_sender_total",
            Self::Jumped { .. } => "refused_beacon_jumped_total",
        }
    }
}

impl Spoken {
    /// Nothing so far.
    pub(super) fn nothing(now: Timestamp) -> Self {
        Self { stamp: None, digest: 0, place: [0; 2], heard: now, until: Timestamp::START, rival: None }
    }

    /// Takes in a beacon if it is newer than the last and can come from the same sender; says whether the digest of its
    /// services is another.
    pub(super) fn take(&mut self, beacon: &Glimpse<'_>, now: Timestamp) -> Result<bool, Doubt> {
        let given = beacon.stamp();
        // After a long silence anything can be: a restart without its epoch, a ferry.
        if let Some(newest) = self.stamp.filter(|_| now <= self.until) {
            self.in_order(given, newest)?;
        }
        let place = place(&beacon.position);
        if self.stamp.is_some() && now <= self.until + LASTING {
            self.no_leap(place, &beacon.position, now)?;
        }
        let changed = self.stamp.is_none() || beacon.services != self.digest;
        (self.stamp, self.digest, self.place) = (Some(given), beacon.services, place);
        (self.heard, self.until) = (now, now + beacon.ttl);
        Ok(changed && beacon.services != 0)
    }

    fn in_order(&mut self, given: (u32, u16), newest: (u32, u16)) -> Result<(), Doubt> {
        let behind = newest.1.wrapping_sub(given.1);
        let later = given.0 > newest.0 || (given.0 == newest.0 && behind > 1 << 15);
        if later {
            return Ok(());
        }
        if given == newest {
            return Err(Doubt::Replayed { given, newest });
        }
        let goes_on =
            |(epoch, number): (u32, u16)| epoch == given.0 && (1..=GAP).contains(&given.1.wrapping_sub(number));
        let times = match self.rival {
            Some((rival, times)) if goes_on(rival) => times.saturating_add(1),
            _ => 1,
        };
        self.rival = Some((given, times));
        if times >= CONVINCED {
            Err(Doubt::SecondSender { given, newest })
        } else if given.0 == newest.0 && behind <= GAP {
            Err(Doubt::OutOfOrder { given: given.1, newest: newest.1 })
        } else {
            Err(Doubt::Replayed { given, newest })
        }
    }

    fn no_leap(&self, there: [i32; 2], position: &Position, now: Timestamp) -> Result<(), Doubt> {
        let near = |axis: usize| there[axis].abs_diff(self.place[axis]) < NEAR;
        if near(0) && near(1) {
            return Ok(());
        }
        let Ok(before) = Position::new(f64::from(self.place[0]) / 1e7, f64::from(self.place[1]) / 1e7) else {
            return Ok(());
        };
        let (distance, time) = (before.distance(position), now - self.heard);
        if distance.as_metres() > LEAP + FASTEST * (time + DELAY).as_secs_f64() {
            return Err(Doubt::Jumped { distance, time });
        }
        Ok(())
    }
}

fn place(position: &Position) -> [i32; 2] {
    // Within 1.8e9, so they fit.
    [position.latitude(), position.longitude()].map(|degrees| (degrees * 1e7) as i32)
}

/// Metres a second that nothing on the ground does.
pub(crate) const FASTEST: f64 = 100.0;
/// Metres by which a receiver may be wrong between two fixes.
const LEAP: f64 = 350.0;
/// How much longer than the other a beacon may have been on its way.
const DELAY: Duration = Duration::from_secs(1);
/// 1e-7 degrees below which two places are less than 350 m apart, anywhere.
const NEAR: u32 = 22_000;
/// How long after a beacon has run out its place is still remembered.
const LASTING: Duration = Duration::from_secs(10);
/// How many numbers may be lost or overtaken in a row.
const GAP: u16 = 16;
/// Beacons in a row that count on beside the newest before they are taken for another sender's.
const CONVINCED: u8 = 3;
