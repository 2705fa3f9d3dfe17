//! One row for each thing, and where it lies.

use super::row::{Rest, Row};
use super::tile::Tile;

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

/// All rows, in buckets that lie together in memory, and the seat of each key.
///
/// Rows never move unless their bucket changes, and the slab grows by chunks, so that no placement waits for a copy
/// of everything.
#[derive(Default)]
pub(super) struct Slab {
    chunks: Vec<Box<[Room; BUCKETS]>>,
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
pub(super) const CAPACITY: usize = 15;

/// A bucket with room for all it may have: eight cache lines, of which a search reads three for what is not near, and a
/// placement two or three in all.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Room {
    tile: Tile,
    home: Home,
    /// Which block of its stand.
    block: u32,
    /// How many rows there are.
    count: u32,
    feet: [[f32; 2]; CAPACITY],
    rests: [Rest; CAPACITY],
}

const _: () = assert!(size_of::<Room>() == 512, "a bucket is eight cache lines");

/// What is in a bucket.
#[derive(Clone, Copy)]
pub(super) struct Bucket<'a> {
    feet: &'a [[f32; 2]],
    rests: &'a [Rest],
}

impl<'a> Bucket<'a> {
    pub(super) const fn len(&self) -> usize {
        self.feet.len()
    }

    /// All rows.
    pub(super) fn rows(self) -> impl Iterator<Item = Row> + 'a {
        self.feet.iter().zip(self.rests).map(|(foot, rest)| Row { foot: *foot, rest: *rest })
    }
}

/// One bit for each of at most 32 things: whether `holds` of it. Without a branch, so that the processor waits for the
/// memory of all at once and not for one after the other.
#[inline]
pub(super) fn mask<T>(things: &[T], holds: impl Fn(&T) -> bool) -> u32 {
    (0..).zip(things).fold(0, |mask, (number, thing)| mask | u32::from(holds(thing)) << number)
}

/// The numbers of the bits that are set.
#[inline]
pub(super) fn bits(mut mask: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let number = (mask != 0).then(|| mask.trailing_zeros() as usize);
        mask &= mask.wrapping_sub(1);
        number
    })
}

impl Slab {
    /// Where the row of `key` is, if it is placed.
    #[inline]
    pub(super) fn seat(&self, key: super::Key) -> Option<u32> {
        self.seats.get(key.0 as usize).copied().filter(|seat| *seat != NO_SEAT)
    }

    #[inline]
    pub(super) fn row(&self, seat: u32) -> Row {
        let (room, at) = (self.room(seat / SEATS), (seat % SEATS) as usize);
        Row { foot: room.feet[at], rest: room.rests[at] }
    }

    /// Writes the row of `seat` anew.
    #[inline]
    pub(super) fn set(&mut self, seat: u32, row: Row) {
        let (room, at) = (self.room_mut(seat / SEATS), (seat % SEATS) as usize);
        (room.feet[at], room.rests[at]) = (row.foot, row.rest);
    }

    /// What the bucket of `seat` belongs to.
    #[inline]
    pub(super) fn home(&self, seat: u32) -> Home {
        self.room(seat / SEATS).home
    }

    /// The block of its stand that the bucket of `seat` is of.
    #[inline]
    pub(super) fn block(&self, seat: u32) -> u32 {
        self.room(seat / SEATS).block
    }

    /// The tile of the bucket of `seat`.
    #[inline]
    pub(super) fn tile_of(&self, seat: u32) -> &Tile {
        &self.room(seat / SEATS).tile
    }

    pub(super) fn tile(&self, bucket: u32) -> Tile {
        self.room(bucket).tile
    }

    /// Everything in a bucket.
    #[inline]
    pub(super) fn bucket(&self, bucket: u32) -> Bucket<'_> {
        let room = self.room(bucket);
        let rows = room.count as usize;
        Bucket { feet: &room.feet[..rows], rests: &room.rests[..rows] }
    }

    /// Those rows of at most [`FEW`] buckets whose foot is as `wanted`. Of all feet that is worked out before the first row
    /// is read.
    #[inline]
    pub(super) fn filter(&self, buckets: &[u32], wanted: impl Fn(&[f32; 2]) -> bool) -> impl Iterator<Item = Row> {
        debug_assert!(buckets.len() <= FEW, "{} buckets at once", buckets.len());
        let mut near = [0; FEW];
        for (near, bucket) in near.iter_mut().zip(buckets) {
            let room = self.room(*bucket);
            *near = mask(&room.feet, &wanted) & ((1 << room.count) - 1);
        }
        buckets.iter().zip(near).flat_map(|(bucket, near)| {
            let room = self.room(*bucket);
            bits(near).map(|at| Row { foot: room.feet[at], rest: room.rests[at] })
        })
    }

    #[inline]
    fn room(&self, bucket: u32) -> &Room {
        &self.chunks[bucket as usize / BUCKETS][bucket as usize % BUCKETS]
    }

    #[inline]
    fn room_mut(&mut self, bucket: u32) -> &mut Room {
        &mut self.chunks[bucket as usize / BUCKETS][bucket as usize % BUCKETS]
    }

    /// An empty bucket out of `lot`.
    pub(super) fn open(&mut self, lot: &mut Lot, home: Home, tile: Tile, block: u32) -> u32 {
        if lot.spare.is_empty() {
            let chunk = self.spare.pop().unwrap_or_else(|| {
                let (feet, rests) = ([[0.0; 2]; CAPACITY], [Rest::EMPTY; CAPACITY]);
                self.chunks.push(Box::new([Room { tile, home, block, count: 0, feet, rests }; BUCKETS]));
                (self.chunks.len() - 1) as u32
            });
            lot.chunks.push(chunk);
            let first = chunk * BUCKETS as u32;
            lot.spare.extend((first..first + BUCKETS as u32).rev());
        }
        let bucket = lot.spare.pop().expect("a chunk was added");
        let room = self.room_mut(bucket);
        (room.tile, room.home, room.block) = (tile, home, block);
        bucket
    }

    /// Gives a bucket back to `lot`; what is in it has to be pushed elsewhere.
    pub(super) fn close(&mut self, lot: &mut Lot, bucket: u32) {
        self.room_mut(bucket).count = 0;
        lot.spare.push(bucket);
    }

    /// Takes all of `lot` back, of which no bucket is open.
    pub(super) fn release(&mut self, lot: &mut Lot) {
        self.spare.append(&mut lot.chunks);
        lot.spare.clear();
    }

    /// Empties a bucket and gives it another tile; what was in it has to be pushed elsewhere.
    pub(super) fn clear(&mut self, bucket: u32, tile: Tile) {
        let room = self.room_mut(bucket);
        (room.tile, room.count) = (tile, 0);
    }

    /// Puts a row in a bucket that has room.
    pub(super) fn push(&mut self, bucket: u32, row: Row) {
        let count = &mut self.room_mut(bucket).count;
        debug_assert!((*count as usize) < CAPACITY, "a full bucket is cut before");
        let seat = bucket * SEATS + *count;
        *count += 1;
        self.set(seat, row);
        let key = row.key() as usize;
        if self.seats.len() <= key {
            self.seats.resize(key + 1, NO_SEAT);
        }
        self.seats[key] = seat;
    }

    /// Takes a row out; the last of its bucket takes its seat.
    pub(super) fn take(&mut self, seat: u32) -> Row {
        let row = self.row(seat);
        let bucket = seat / SEATS;
        let count = &mut self.room_mut(bucket).count;
        *count -= 1;
        let last = bucket * SEATS + *count;
        if last > seat {
            let other = self.row(last);
            self.set(seat, other);
            self.seats[other.key() as usize] = seat;
        }
        self.seats[row.key() as usize] = NO_SEAT;
        row
    }
}

/// Buckets that are looked through together.
pub(super) const FEW: usize = 16;
/// The numbers for the seats of a bucket: one more than it has, so that they can be told apart by a shift.
const SEATS: u32 = 16;
const NO_SEAT: u32 = u32::MAX;
/// Buckets in a chunk: 8 KiB, which is what a patch costs that has but one thing on it.
const BUCKETS: usize = 16;
