//! One row for each thing: where it is, how it moves, and when that was so.

use wayside_protocols::place::{Ecef, Fix, OutOfRange, Position, within};
use wayside_protocols::time::Timestamp;

use super::patch::{Plane, REACH};
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

/// What is known of one thing, in metres on the plane of its patch: 32 bytes, so that a search of sixteen neighbours
/// reads eight cache lines.
///
/// On a patch an f32 is within a quarter of a millimetre.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(32))]
pub(super) struct Row {
    /// Where it was measured.
    at: [f32; 3],
    /// For what stated a motion, its velocity in [`SPEED_UNIT`]; else how far it has drifted since it was first
    /// placed, in [`DRIFT_UNIT`].
    pace: [i16; 2],
    /// When.
    pub(super) time: Timestamp,
    /// One sigma, metres.
    pub(super) accuracy: f32,
    /// Whose row it is, and whether its fix stated a motion.
    key: u32,
}

impl Row {
    /// What `measured` is on `plane`.
    #[inline]
    pub(super) fn new(key: u32, measured: &Measured, plane: &Plane) -> Self {
        let at = plane.seen_from(&measured.ecef).map(|part| part as f32);
        let (mut pace, mut key) = ([0; 2], key);
        if let Some(velocity) = &measured.velocity {
            key |= MOVING;
            let [x, y, _] = plane.along(velocity);
            // At most 164 m/s, which is 20,970 units; the cast saturates.
            pace = [x, y].map(|part| nearest(part / SPEED_UNIT));
        }
        Self { at, pace, time: measured.time, accuracy: measured.accuracy, key }
    }

    /// Where its foot is on the plane.
    #[inline]
    pub(super) fn foot(&self) -> [f64; 2] {
        [f64::from(self.at[0]), f64::from(self.at[1])]
    }

    /// The same as it is kept.
    #[inline]
    pub(super) fn feet(&self) -> [f32; 2] {
        [self.at[0], self.at[1]]
    }

    /// Where it was measured, as seen from the plane.
    #[inline]
    pub(super) fn at(&self) -> [f64; 3] {
        self.at.map(f64::from)
    }

    /// Metres a second along the plane; zero for what stands.
    #[inline]
    pub(super) fn velocity(&self) -> [f64; 2] {
        if self.moving() { self.pace.map(|part| f64::from(part) * SPEED_UNIT) } else { [0.0; 2] }
    }

    /// Metres a second, squared.
    #[inline]
    pub(super) fn speed_2(&self) -> f64 {
        let [x, y] = self.velocity();
        x * x + y * y
    }

    /// Whether its fix stated a motion, if only one of no speed.
    #[inline]
    pub(super) const fn moving(&self) -> bool {
        self.key & MOVING != 0
    }

    #[inline]
    pub(super) const fn key(&self) -> u32 {
        self.key & !MOVING
    }

    /// Whether it still lies on the patch whose plane it is counted on. The far side of the Earth has the same feet,
    /// but is far below.
    #[inline]
    pub(super) fn on_patch(&self) -> bool {
        let reach = REACH as f32;
        self.at[0].abs() <= reach && self.at[1].abs() <= reach && self.at[2].abs() <= 100.0
    }

    /// Takes over how far it had drifted by `before`, which is on the same plane, and says whether it stands still.
    pub(super) fn drift(&mut self, before: &Self) -> bool {
        let [x, y] = [0, 1].map(|axis| f32::from(before.pace[axis]) * DRIFT_UNIT + self.at[axis] - before.at[axis]);
        let still = x * x + y * y <= STANDING * STANDING;
        if still {
            self.pace = [x, y].map(|part| nearest(f64::from(part / DRIFT_UNIT)));
        }
        still
    }
}

/// A fix in Earth-centred metres.
pub(super) struct Measured {
    pub(super) ecef: Ecef,
    /// Metres a second, if it stated a motion.
    pub(super) velocity: Option<[f64; 3]>,
    pub(super) time: Timestamp,
    pub(super) accuracy: f32,
}

impl Measured {
    /// What `fix` says.
    #[inline]
    pub(super) fn new(fix: &Fix, turns: &Turns) -> Self {
        let (sin_phi, cos_phi) = turns.sin_cos(fix.position.latitude());
        let (sin_lambda, cos_lambda) = turns.sin_cos(fix.position.longitude());
        let velocity = fix.motion.map(|motion| {
            let (sin, cos) = turns.sin_cos(f64::from(motion.heading));
            let (east, north) = (f64::from(motion.speed) * sin, f64::from(motion.speed) * cos);
            [
                -sin_lambda * east - sin_phi * cos_lambda * north,
                cos_lambda * east - sin_phi * sin_lambda * north,
                cos_phi * north,
            ]
        });
        let ecef = on_the_ground(sin_phi, cos_phi, sin_lambda, cos_lambda);
        Self { ecef, velocity, time: fix.time, accuracy: fix.accuracy }
    }

    /// Whether it would make every search of its stand too wide.
    #[inline]
    pub(super) fn unruly(&self) -> bool {
        let speed_2 = self.velocity.map_or(0.0, |[x, y, z]| x * x + y * y + z * z);
        self.accuracy > LOOSE_SIGMA || speed_2 > LOOSE_SPEED * LOOSE_SPEED
    }
}

/// Where a bucket belongs: to a population of a patch, and there to the tiles or to the loose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Home(u32);

impl Home {
    pub(super) const fn new(place: u32, kind: Kind) -> Self {
        Self(place << 2 | kind as u32)
    }

    /// The same patch and population, among the loose.
    pub(super) const fn loose(self) -> Self {
        Self(self.0 | 2)
    }

    /// Its number among the stands of the patch.
    pub(super) const fn stand(self) -> usize {
        self.0 as usize & 3
    }

    pub(super) const fn is_loose(self) -> bool {
        self.0 & 2 != 0
    }

    pub(super) const fn kind(self) -> Kind {
        if self.0 & 1 == 0 { Kind::Static } else { Kind::Mobile }
    }

    /// Its place in the list of patches.
    pub(super) const fn place(self) -> usize {
        self.0 as usize >> 2
    }
}

/// Which population a row is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Static,
    Mobile,
}

/// All rows, in buckets of sixteen that lie together in memory, and the seat of each key.
///
/// Rows never move unless their bucket changes, and the slab grows by chunks, so that no placement waits for a copy
/// of everything.
#[derive(Default)]
pub(super) struct Slab {
    chunks: Vec<Box<[Row; CHUNK]>>,
    heads: Vec<Head>,
    /// How many rows are in a bucket; apart from the heads, so that a search reads one byte for a bucket.
    counts: Vec<u8>,
    /// Chunks that belong to nobody.
    spare: Vec<u32>,
    seats: Vec<u32>,
}

/// What belongs to one stand: whole chunks, so that what is near on the ground is on few pages of memory.
#[derive(Default)]
pub(super) struct Lot {
    chunks: Vec<u32>,
    /// Buckets that are not open.
    spare: Vec<u32>,
}

impl Lot {
    /// Lets buckets be opened in the order in which they lie in memory.
    pub(super) fn sort(&mut self) {
        self.spare.sort_unstable_by(|a, b| b.cmp(a));
    }
}

/// Rows in a bucket.
pub(super) const CAPACITY: usize = 16;

#[derive(Clone, Copy, Debug)]
struct Head {
    tile: Tile,
    home: Home,
    /// Which block of its stand.
    block: u32,
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

    /// The block of its stand that the bucket of `seat` is of.
    #[inline]
    pub(super) fn block(&self, seat: u32) -> u32 {
        self.heads[seat as usize / CAPACITY].block
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
        let rows = usize::from(self.counts[bucket as usize]);
        &self.chunks[first / CHUNK][first % CHUNK..][..rows]
    }

    /// An empty bucket out of `lot`.
    pub(super) fn open(&mut self, lot: &mut Lot, home: Home, tile: Tile, block: u32) -> u32 {
        if lot.spare.is_empty() {
            let chunk = self.spare.pop().unwrap_or_else(|| {
                self.chunks.push(Box::new([EMPTY; CHUNK]));
                self.heads.resize(self.chunks.len() * BUCKETS, Head { tile, home, block });
                self.counts.resize(self.chunks.len() * BUCKETS, 0);
                (self.chunks.len() - 1) as u32
            });
            lot.chunks.push(chunk);
            let first = chunk * BUCKETS as u32;
            lot.spare.extend((first..first + BUCKETS as u32).rev());
        }
        let bucket = lot.spare.pop().expect("a chunk was added");
        self.heads[bucket as usize] = Head { tile, home, block };
        bucket
    }

    /// Gives a bucket back to `lot`; what is in it has to be pushed elsewhere.
    pub(super) fn close(&mut self, lot: &mut Lot, bucket: u32) {
        self.counts[bucket as usize] = 0;
        lot.spare.push(bucket);
    }

    /// Takes all of `lot` back, of which no bucket is open.
    pub(super) fn release(&mut self, lot: &mut Lot) {
        self.spare.append(&mut lot.chunks);
        lot.spare.clear();
    }

    /// Empties a bucket and gives it another tile; what was in it has to be pushed elsewhere.
    pub(super) fn clear(&mut self, bucket: u32, tile: Tile) {
        self.heads[bucket as usize].tile = tile;
        self.counts[bucket as usize] = 0;
    }

    /// Puts a row in a bucket that has room.
    pub(super) fn push(&mut self, bucket: u32, row: Row) {
        let count = &mut self.counts[bucket as usize];
        debug_assert!(usize::from(*count) < CAPACITY, "a full bucket is cut before");
        let seat = bucket * CAPACITY as u32 + u32::from(*count);
        *count += 1;
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
        let count = &mut self.counts[bucket as usize];
        *count -= 1;
        let last = bucket * CAPACITY as u32 + u32::from(*count);
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

/// The whole number nearest to `number`, which is in range. The rounding of std is a call where the processor may lack
/// the instruction.
#[inline]
fn nearest(number: f64) -> i16 {
    (number + 0.5_f64.copysign(number)) as i16
}

const MOVING: u32 = 1 << 31;
const EMPTY: Row = Row { at: [0.0; 3], pace: [0; 2], time: Timestamp::START, accuracy: 0.0, key: 0 };
const NO_SEAT: u32 = u32::MAX;
/// Buckets in a chunk: 8 KiB, which is what a patch costs that has but one thing on it.
const BUCKETS: usize = 16;
const CHUNK: usize = BUCKETS * CAPACITY;
/// Metres a second; 164 m/s, the most there is, are 20,970 of them.
const SPEED_UNIT: f64 = 1.0 / 128.0;
/// Metres.
const DRIFT_UNIT: f32 = 0.01;
/// What stands still is measured no farther than this from where it was first, metres.
const STANDING: f32 = 25.0;
/// One sigma above which a thing is kept with the loose, metres.
const LOOSE_SIGMA: f32 = 30.0;
/// Speed above which a thing is kept with the loose, m/s.
const LOOSE_SPEED: f64 = 70.0;
/// WGS84.
const SEMI_MAJOR: f64 = 6_378_137.0;
const ECCENTRICITY_2: f64 = 6.694_379_990_141_317e-3;
