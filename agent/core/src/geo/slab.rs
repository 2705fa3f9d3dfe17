//! One row for each thing: where it truly is, how it moves, and where the trees believe it to be.

use wayside_protocols::place::{Ecef, Fix, OutOfRange, Position, within};
use wayside_protocols::time::Timestamp;

use super::stand::Tile;
use super::turn::Turns;

/// Why something cannot be placed.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum Refused {
    /// A number that is none, or that nothing can have.
    #[error(transparent)]
    Range(#[from] OutOfRange),
    /// A slot number beyond those that the index keeps.
    #[error("key {0} is not below {end}", end = super::Key::END)]
    Key(u32),
}

/// What is known of one thing; 64 bytes, so that a look costs one cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Row {
    /// Where it was measured.
    pub(super) ecef: Ecef,
    /// When.
    pub(super) time: Timestamp,
    /// Earth-centred metres a second; zero for what stands.
    pub(super) velocity: [f32; 3],
    /// One sigma, metres.
    pub(super) accuracy: f32,
    /// Where on its patch's plane it was placed first.
    pub(super) first: [f32; 2],
    /// Whose row it is, and whether its fix stated a motion.
    key: u32,
}

/// Where a bucket belongs: to the loose of a population, or to a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Home(u32);

impl Home {
    /// Nobody's.
    const NONE: Self = Self(u32::MAX);

    pub(super) const fn loose(kind: Kind) -> Self {
        Self(kind as u32)
    }

    pub(super) const fn patch(place: u32, kind: Kind) -> Self {
        Self((place + 1) << 1 | kind as u32)
    }

    pub(super) const fn kind(self) -> Kind {
        if self.0 & 1 == 0 { Kind::Static } else { Kind::Mobile }
    }

    /// Its place in the list of patches; `None` for the loose.
    pub(super) const fn place(self) -> Option<usize> {
        (self.0 as usize >> 1).checked_sub(1)
    }
}

/// Which population a row is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Static,
    Mobile,
}

impl Row {
    pub(super) const fn empty() -> Self {
        Self {
            ecef: Ecef { x: 0.0, y: 0.0, z: 0.0 },
            time: Timestamp::START,
            velocity: [0.0; 3],
            accuracy: 0.0,
            first: [0.0; 2],
            key: 0,
        }
    }

    /// Takes over what `fix` says; the key and where it was first stay.
    #[inline]
    pub(super) fn write(&mut self, fix: &Fix, turns: &Turns) {
        let (sin_phi, cos_phi) = turns.sin_cos(fix.position.latitude());
        let (sin_lambda, cos_lambda) = turns.sin_cos(fix.position.longitude());
        self.ecef = on_the_ground(sin_phi, cos_phi, sin_lambda, cos_lambda);
        self.time = fix.time;
        self.accuracy = fix.accuracy;
        self.key &= !MOVING;
        self.velocity = [0.0; 3];
        if let Some(motion) = fix.motion {
            let (sin, cos) = turns.sin_cos(f64::from(motion.heading));
            let (east, north) = (f64::from(motion.speed) * sin, f64::from(motion.speed) * cos);
            self.key |= MOVING;
            self.velocity = [
                (-sin_lambda * east - sin_phi * cos_lambda * north) as f32,
                (cos_lambda * east - sin_phi * sin_lambda * north) as f32,
                (cos_phi * north) as f32,
            ];
        }
    }

    /// Whether its fix stated a motion, if only one of no speed.
    pub(super) fn moving(&self) -> bool {
        self.key & MOVING != 0
    }

    /// Metres a second, squared.
    #[inline]
    pub(super) fn speed_2(&self) -> f64 {
        let [x, y, z] = self.velocity.map(f64::from);
        x * x + y * y + z * z
    }

    pub(super) const fn key(&self) -> u32 {
        self.key & !MOVING
    }

    /// Makes it the row of `key`.
    pub(super) fn name(&mut self, key: u32) {
        self.key = key | self.key & MOVING;
    }
}

/// All rows, in buckets of sixteen that lie together in memory, and the seat of each key.
///
/// Rows never move unless their bucket changes, and the slab grows by chunks, so that no placement waits for a copy
/// of everything.
#[derive(Default)]
pub(super) struct Slab {
    chunks: Vec<Box<[Row; CHUNK]>>,
    heads: Vec<Head>,
    spare: Vec<u32>,
    seats: Vec<u32>,
}

/// Rows in a bucket.
pub(super) const CAPACITY: usize = 16;

#[derive(Clone, Copy, Debug)]
struct Head {
    tile: Tile,
    home: Home,
    rows: u32,
}

impl Slab {
    /// Where the row of `key` is, if it is placed.
    #[inline]
    pub(super) fn seat(&self, key: super::Key) -> Option<u32> {
        self.seats.get(key.0 as usize).copied().filter(|seat| *seat != NO_SEAT)
    }

    #[inline]
    pub(super) fn row(&self, seat: u32) -> &Row {
        &self.chunks[seat as usize / CHUNK][seat as usize % CHUNK]
    }

    #[inline]
    pub(super) fn row_mut(&mut self, seat: u32) -> &mut Row {
        &mut self.chunks[seat as usize / CHUNK][seat as usize % CHUNK]
    }

    /// What the bucket of `seat` belongs to.
    #[inline]
    pub(super) fn home(&self, seat: u32) -> Home {
        self.heads[seat as usize / CAPACITY].home
    }

    /// The tile of the bucket of `seat`.
    #[inline]
    pub(super) fn tile_of(&self, seat: u32) -> &Tile {
        &self.heads[seat as usize / CAPACITY].tile
    }

    pub(super) fn tile(&self, bucket: u32) -> Tile {
        self.heads[bucket as usize].tile
    }

    /// Everything in a bucket.
    #[inline]
    pub(super) fn rows(&self, bucket: u32) -> &[Row] {
        let first = bucket as usize * CAPACITY;
        let rows = self.heads[bucket as usize].rows as usize;
        &self.chunks[first / CHUNK][first % CHUNK..][..rows]
    }

    /// An empty bucket.
    pub(super) fn open(&mut self, home: Home, tile: Tile) -> u32 {
        let head = Head { tile, home, rows: 0 };
        if let Some(bucket) = self.spare.pop() {
            self.heads[bucket as usize] = head;
            return bucket;
        }
        self.heads.push(head);
        if self.heads.len() * CAPACITY > self.chunks.len() * CHUNK {
            self.chunks.push(Box::new([Row::empty(); CHUNK]));
        }
        (self.heads.len() - 1) as u32
    }

    /// Gives a bucket back; what is in it has to be pushed elsewhere.
    pub(super) fn close(&mut self, bucket: u32) {
        self.heads[bucket as usize] = Head { tile: Tile::WHOLE, home: Home::NONE, rows: 0 };
        self.spare.push(bucket);
    }

    /// Empties a bucket and gives it another tile; what was in it has to be pushed elsewhere.
    pub(super) fn clear(&mut self, bucket: u32, tile: Tile) {
        let head = &mut self.heads[bucket as usize];
        (head.tile, head.rows) = (tile, 0);
    }

    /// Puts a row in a bucket that has room.
    pub(super) fn push(&mut self, bucket: u32, row: Row) {
        let head = &mut self.heads[bucket as usize];
        debug_assert!((head.rows as usize) < CAPACITY, "a full bucket is cut before");
        let seat = bucket * CAPACITY as u32 + head.rows;
        head.rows += 1;
        *self.row_mut(seat) = row;
        let key = row.key() as usize;
        if self.seats.len() <= key {
            self.seats.resize(key + 1, NO_SEAT);
        }
        self.seats[key] = seat;
    }

    /// Takes a row out; the last of its bucket takes its seat.
    pub(super) fn take(&mut self, seat: u32) -> Row {
        let row = *self.row(seat);
        let bucket = seat / CAPACITY as u32;
        let head = &mut self.heads[bucket as usize];
        // A bucket that was closed because this was the last row of its stand counts none.
        head.rows = head.rows.saturating_sub(1);
        let last = bucket * CAPACITY as u32 + head.rows;
        if last > seat {
            let other = *self.row(last);
            *self.row_mut(seat) = other;
            self.seats[other.key() as usize] = seat;
        }
        self.seats[row.key() as usize] = NO_SEAT;
        row
    }
}

/// Checks what the types leave open: a [`Fix`] and a motion can be put together by hand.
pub(super) fn check(key: super::Key, fix: &Fix) -> Result<(), Refused> {
    if key.0 >= super::Key::END {
        return Err(Refused::Key(key.0));
    }
    within("accuracy", f64::from(fix.accuracy), 0.0, 1e7)?;
    if let Some(motion) = fix.motion {
        within("speed", f64::from(motion.speed), 0.0, 163.82)?;
        within("heading", f64::from(motion.heading), 0.0, 360.0)?;
    }
    Ok(())
}

/// Earth-centred metres of `position`, as [`Position::ecef`] says it, without libm.
pub(super) fn ecef(position: &Position, turns: &Turns) -> Ecef {
    let (sin_phi, cos_phi) = turns.sin_cos(position.latitude());
    let (sin_lambda, cos_lambda) = turns.sin_cos(position.longitude());
    on_the_ground(sin_phi, cos_phi, sin_lambda, cos_lambda)
}

#[inline]
fn on_the_ground(sin_phi: f64, cos_phi: f64, sin_lambda: f64, cos_lambda: f64) -> Ecef {
    let normal = SEMI_MAJOR / (1.0 - ECCENTRICITY_2 * sin_phi * sin_phi).sqrt();
    Ecef {
        x: normal * cos_phi * cos_lambda,
        y: normal * cos_phi * sin_lambda,
        z: normal * (1.0 - ECCENTRICITY_2) * sin_phi,
    }
}

const MOVING: u32 = 1 << 31;
const NO_SEAT: u32 = u32::MAX;
/// Rows in a chunk.
const CHUNK: usize = 16 * CAPACITY;
/// WGS84.
const SEMI_MAJOR: f64 = 6_378_137.0;
const ECCENTRICITY_2: f64 = 6.694_379_990_141_317e-3;
