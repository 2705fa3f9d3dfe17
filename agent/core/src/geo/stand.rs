//! One population on one patch: tiles of up to sixteen rows, and an R*-tree of the tiles.
//!
//! The tiles cover the patch; one that is full is cut in two. A row stays in its tile as long as its foot is no more
//! than [`MARGIN`] outside, so that most placements write one row and touch no tree.
//!
//! The one inequality. For a thing at `p` that was measured at `m` and kept in tile `t`, a query at `c`, and `foot`
//! the projection onto the plane: `|foot(c) - t| <= |foot(c) - foot(p)| + |foot(p) - foot(m)| + |foot(m) - t|
//! <= |c - p| + |p - m| + stray`. So the tiles that a circle touches, drawn wider by the stray, the dead reckoning
//! and the uncertainty, hold all that `c` can reach.

use rstar::AABB;
use wayside_protocols::time::Timestamp;

use super::block::{BLOCK, Block};
use super::motion::{Z, outreach};
use super::slab::{CAPACITY, Home, Lot, Row, Slab};

/// How far a foot may be outside of its tile before the row is given to another, metres.
pub(super) const MARGIN: f64 = 10.0;

/// A part of the plane, from its lower left to its upper right corner, metres.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tile {
    low: [f32; 2],
    high: [f32; 2],
}

impl Tile {
    /// From `low` to `high`.
    pub(super) fn new(low: [f64; 2], high: [f64; 2]) -> Self {
        Self { low: low.map(|part| part as f32), high: high.map(|part| part as f32) }
    }

    /// How far `foot` is outside.
    #[inline]
    pub(super) fn stray(&self, foot: [f64; 2]) -> f64 {
        let out = |axis: usize| {
            let (low, high) = (f64::from(self.low[axis]), f64::from(self.high[axis]));
            (low - foot[axis]).max(foot[axis] - high).max(0.0)
        };
        let (x, y) = (out(0), out(1));
        if x == 0.0 { y } else { (x * x + y * y).sqrt() }
    }

    /// How far `centre` is outside, squared.
    #[inline]
    pub(super) fn distance_2(&self, centre: &[f32; 2]) -> f32 {
        let out = |axis: usize| (self.low[axis] - centre[axis]).max(centre[axis] - self.high[axis]).max(0.0);
        let (x, y) = (out(0), out(1));
        x * x + y * y
    }

    /// Whether `foot` is in it.
    #[inline]
    pub(super) fn holds(&self, foot: &[f32; 2]) -> bool {
        (0..2).all(|axis| self.low[axis] <= foot[axis] && foot[axis] <= self.high[axis])
    }

    /// As the tree has it.
    pub(super) fn envelope(&self) -> AABB<[f32; 2]> {
        AABB::from_corners(self.low, self.high)
    }

    /// The two sides of `cut`, if it goes through.
    fn cut(self, axis: usize, cut: f32) -> Option<(Self, Self)> {
        let (mut lower, mut upper) = (self, self);
        lower.high[axis] = cut;
        upper.low[axis] = cut;
        (self.low[axis] < cut && cut < self.high[axis]).then_some((lower, upper))
    }
}

impl From<AABB<[f32; 2]>> for Tile {
    fn from(envelope: AABB<[f32; 2]>) -> Self {
        Self { low: envelope.lower(), high: envelope.upper() }
    }
}

/// The tiles of one population on one patch, and what is known of all in them.
///
/// They lie in blocks of a few hundred rows, each with a tree of its own: whatever is done at once, be it cutting or
/// laying anew, is done to one block and takes a fraction of a millisecond.
pub(super) struct Stand {
    home: Home,
    /// What the blocks cover: all of the patch, and no more, so that the circles of its neighbours seldom touch them.
    whole: Tile,
    blocks: Vec<Block>,
    bounds: Bounds,
    rows: usize,
    lot: Lot,
    /// The block that is looked at next.
    next: usize,
}

impl Stand {
    /// Nobody, filed as `home`, on a patch that has all of its feet in `whole`.
    pub(super) fn new(home: Home, whole: Tile) -> Self {
        let blocks = vec![Block::new(whole)];
        Self { home, whole, blocks, bounds: Bounds::NONE, rows: 0, lot: Lot::default(), next: 0 }
    }

    pub(super) const fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Takes note of a row in `block` that is `stray` metres outside of its tile.
    #[inline]
    pub(super) fn note(&mut self, block: u32, row: &Row, stray: f64) {
        self.bounds.note(row, stray);
        self.blocks[block as usize].bounds.note(row, stray);
    }

    /// Whether nobody is here.
    pub(super) const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Files `row` in the tile that its foot is in.
    pub(super) fn insert(&mut self, row: Row, slab: &mut Slab) {
        let foot = row.foot();
        let block = self.block(foot);
        let mut bucket = self.seek(block, foot, slab);
        // Cutting close around a crowd leaves it in one bucket; after four such cuts there is none left to make.
        while slab.rows(bucket).len() == CAPACITY {
            bucket = self.split(block, bucket, foot, slab);
        }
        self.rows += 1;
        self.blocks[block].rows += 1;
        self.note(block as u32, &row, slab.tile(bucket).stray(foot));
        slab.push(bucket, row);
        if self.blocks[block].overfull() {
            self.pack(block, slab);
        }
    }

    /// Takes a row away.
    pub(super) fn remove(&mut self, seat: u32, slab: &mut Slab) -> Row {
        let block = slab.block(seat) as usize;
        let row = slab.take(seat);
        self.rows -= 1;
        self.blocks[block].rows -= 1;
        if self.blocks[block].rows == 0 {
            self.blocks[block].close(slab, &mut self.lot);
        }
        if self.rows == 0 {
            self.blocks = vec![Block::new(self.whole)];
            (self.bounds, self.next) = (Bounds::NONE, 0);
            slab.release(&mut self.lot);
        }
        row
    }

    /// Shows every bucket whose tile something within `metres` of `centre` by `now` may be in, with the circle that
    /// must touch it. How many nodes and tiles it looked at.
    pub(super) fn within(
        &self,
        centre: [f64; 2],
        metres: f64,
        now: Timestamp,
        found: &mut impl FnMut(u32, &Circle),
    ) -> usize {
        let widest = Circle::new(centre, metres + self.bounds.reach(now));
        let mut looked_at = self.blocks.len();
        for block in self.blocks.iter().filter(|block| widest.touches(&block.tile) && block.rows > 0) {
            let circle = Circle::new(centre, metres + block.bounds.reach(now));
            looked_at += block.within(&circle, &mut |bucket| found(bucket, &circle));
        }
        looked_at
    }

    /// How far `centre` is from the nearest tile, metres; infinite if there is none.
    pub(super) fn away(&self, centre: [f64; 2]) -> f64 {
        if self.rows == 0 { f64::INFINITY } else { self.whole.stray(centre) }
    }

    /// Shows every bucket, nearest tiles first but only roughly, whose tile `circle` touches; the next has to touch
    /// the circle that `found` gives back.
    pub(super) fn nearest(&self, mut circle: Circle, found: &mut impl FnMut(u32) -> Circle) {
        // The block around the centre makes the circle small for the others.
        let home = self.blocks.iter().position(|block| block.rows > 0 && block.tile.holds(&circle.centre));
        let others = (0..self.blocks.len()).filter(|number| Some(*number) != home);
        for block in home.into_iter().chain(others).map(|number| &self.blocks[number]) {
            if block.rows > 0 && circle.touches(&block.tile) {
                block.nearest(&mut circle, found);
            }
        }
    }

    /// Looks at blocks in turn until all have been looked at or `chore` is done: learns their bounds anew, lays worn ones
    /// anew, and notes what has lapsed by `now`. Whether all have been.
    pub(super) fn tend(&mut self, slab: &mut Slab, now: Timestamp, chore: &mut Chore) -> bool {
        while self.next < self.blocks.len() {
            if chore.looks == 0 {
                return false;
            }
            let block = &mut self.blocks[self.next];
            block.survey(slab, now, &mut |key| {
                if !self.home.is_loose() && chore.lapses > 0 {
                    chore.lapses -= 1;
                    chore.lapsed.push(key);
                }
            });
            chore.looks = chore.looks.saturating_sub(block.rows + BLOCK_COST);
            if block.worn() && chore.packs > 0 {
                chore.packs = chore.packs.saturating_sub(block.rows + BLOCK_COST);
                chore.packed += 1;
                self.pack(self.next, slab);
            }
            self.next += 1;
        }
        self.next = 0;
        self.bounds = self.blocks.iter().fold(Bounds::NONE, |all, block| all.and(&block.bounds));
        if self.blocks.len() > 1 && self.rows <= BLOCK / 2 {
            self.gather(slab);
        }
        true
    }

    /// Lays the tiles of a block anew, each filled to three quarters, and in memory beside those that they lie beside.
    /// More rows than a block should have become several.
    fn pack(&mut self, number: usize, slab: &mut Slab) {
        let block = &mut self.blocks[number];
        let (tile, rows) = (block.tile, block.close(slab, &mut self.lot));
        self.lot.sort();
        self.lay(Some(number), tile, &rows, slab);
    }

    /// Puts what is left of many blocks into one.
    fn gather(&mut self, slab: &mut Slab) {
        let mut rows = Vec::with_capacity(self.rows);
        for block in &mut self.blocks {
            rows.append(&mut block.close(slab, &mut self.lot));
        }
        self.blocks.clear();
        self.lot.sort();
        self.lay(None, self.whole, &rows, slab);
        self.next = 0;
    }

    /// Files `rows`, which no bucket has, in blocks that cover `tile`; the first of them becomes block `number`.
    fn lay(&mut self, mut number: Option<usize>, tile: Tile, rows: &[Row], slab: &mut Slab) {
        let feet = (0..).zip(rows).map(|(number, row)| (row.foot().map(|part| part as f32), number));
        let mut feet: Vec<Foot> = feet.collect();
        let Self { blocks, lot, home, .. } = self;
        divide(tile, &mut feet, BLOCK / 2, &mut |tile, members| {
            let place = number.take().unwrap_or(blocks.len());
            let mut leaves = Vec::with_capacity(members.len() / PACKED + 1);
            divide(tile, members, PACKED, &mut |tile, members| {
                let bucket = slab.open(lot, *home, tile, place as u32);
                leaves.push((tile, bucket));
                members.iter().for_each(|(_, number)| slab.push(bucket, rows[*number]));
            });
            let block = Block::packed(tile, leaves, slab);
            match blocks.get_mut(place) {
                Some(before) => *before = block,
                None => blocks.push(block),
            }
        });
    }

    /// The block that `foot` is in, or nearest to.
    fn block(&self, foot: [f64; 2]) -> usize {
        if self.blocks.len() == 1 {
            return 0;
        }
        let narrow = foot.map(|part| part as f32);
        self.blocks.iter().position(|block| block.tile.holds(&narrow)).unwrap_or_else(|| {
            let away = |block: &Block| block.tile.distance_2(&narrow);
            let nearest = (0..).zip(&self.blocks).min_by(|a, b| away(a.1).total_cmp(&away(b.1)));
            nearest.map_or(0, |(number, _)| number)
        })
    }

    /// A bucket of a block whose tile `foot` is in, or nearest to.
    fn seek(&mut self, block: usize, foot: [f64; 2], slab: &mut Slab) -> u32 {
        let within = &mut self.blocks[block];
        within.seek(&foot.map(|part| part as f32)).unwrap_or_else(|| {
            let bucket = slab.open(&mut self.lot, self.home, within.tile, block as u32);
            within.add(within.tile, bucket);
            bucket
        })
    }

    /// Cuts a full tile in two, and says which bucket `foot` belongs to.
    fn split(&mut self, block: usize, bucket: u32, foot: [f64; 2], slab: &mut Slab) -> u32 {
        let tile = slab.tile(bucket);
        let rows = slab.rows(bucket).to_vec();
        let feet = (0..).zip(&rows).map(|(number, row)| (row.foot().map(|part| part as f32), number));
        let mut feet: Vec<_> = feet.collect();
        let (half, cut) = halve(tile, &mut feet);
        let (lower, upper) = cut.map_or((tile, tile), |cut| (cut.lower, cut.upper));
        let within = &mut self.blocks[block];
        if cut.is_some() {
            within.narrow(tile, lower, bucket);
        }
        let other = slab.open(&mut self.lot, self.home, upper, block as u32);
        within.add(upper, other);
        slab.clear(bucket, lower);
        for (place, (_, number)) in feet.iter().enumerate() {
            slab.push(if place < half { bucket } else { other }, rows[*number]);
        }
        if upper.stray(foot) < lower.stray(foot) { other } else { bucket }
    }
}

/// What one call of upkeep may do, and what it found.
pub(super) struct Chore {
    /// Rows it may still look at.
    pub(super) looks: usize,
    /// Rows it may still lay anew; the last block may be more.
    pub(super) packs: usize,
    /// Blocks it has laid anew.
    pub(super) packed: u64,
    /// How many of what has lapsed it may still put with the loose; the others wait for the next call.
    pub(super) lapses: usize,
    /// Their keys.
    pub(super) lapsed: Vec<u32>,
}

/// What holds for everything in a stand; only a survey makes it narrower.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Metres from the tile to where it was measured, and [`Z`] sigma.
    stray: f64,
    /// Metres a second, squared; negative if nothing moves.
    speed_2: f64,
    /// When the oldest fix of what moves was taken.
    oldest: Timestamp,
}

impl Bounds {
    pub(super) const NONE: Self = Self { stray: 0.0, speed_2: -1.0, oldest: Timestamp::NEVER };

    /// Takes note of a row that is `stray` metres outside of its tile.
    #[inline]
    pub(super) fn note(&mut self, row: &Row, stray: f64) {
        self.stray = self.stray.max(stray + Z * f64::from(row.accuracy));
        if row.moving() {
            self.oldest = self.oldest.min(row.time);
            self.speed_2 = self.speed_2.max(row.speed_2());
        }
    }

    /// What holds for both.
    pub(super) fn and(&self, other: &Self) -> Self {
        Self {
            stray: self.stray.max(other.stray),
            speed_2: self.speed_2.max(other.speed_2),
            oldest: self.oldest.min(other.oldest),
        }
    }

    /// How much wider than itself a circle must be drawn around tiles, metres.
    pub(super) fn reach(&self, now: Timestamp) -> f64 {
        let moved = if self.speed_2 < 0.0 { 0.0 } else { outreach(now.since(self.oldest), self.speed_2.sqrt()) };
        self.stray + moved
    }
}

/// A circle on the plane that may be a little too wide, never too narrow.
pub(super) struct Circle {
    pub(super) centre: [f32; 2],
    pub(super) radius_2: f32,
}

impl Circle {
    /// Whether any of `tile` is in it.
    #[inline]
    pub(super) fn touches(&self, tile: &Tile) -> bool {
        tile.distance_2(&self.centre) <= self.radius_2
    }

    /// Wide enough to make up for what is lost by counting in f32: 24 bits of the largest number that occurs.
    pub(super) fn new(centre: [f64; 2], radius: f64) -> Self {
        let rounding = 0.01 + 1e-6 * (centre[0].abs() + centre[1].abs() + radius);
        let radius = radius + rounding;
        Self { centre: centre.map(|part| part as f32), radius_2: (radius * radius) as f32 }
    }

    /// Whether `foot` is in it.
    #[inline]
    pub(super) fn holds(&self, foot: [f32; 2]) -> bool {
        let (x, y) = (foot[0] - self.centre[0], foot[1] - self.centre[1]);
        x * x + y * y <= self.radius_2
    }
}

/// A foot and the number of the row it belongs to.
type Foot = ([f32; 2], usize);

#[derive(Clone, Copy)]
struct Cut {
    lower: Tile,
    upper: Tile,
}

/// Cuts `tile` until each part has at most so many rows, and gives each part its own. A crowd at one point has no cut:
/// it is one part if it is a block's, and several with one tile if these are to be buckets.
fn divide(tile: Tile, feet: &mut [Foot], most: usize, part: &mut impl FnMut(Tile, &mut [Foot])) {
    if feet.len() <= most {
        part(tile, feet);
        return;
    }
    let (half, cut) = halve(tile, feet);
    if cut.is_none() && most > CAPACITY {
        part(tile, feet);
        return;
    }
    let (lower, upper) = cut.map_or((tile, tile), |cut| (cut.lower, cut.upper));
    let (left, right) = feet.split_at_mut(half);
    divide(lower, left, most, part);
    divide(upper, right, most, part);
}

/// Orders `feet` so that those of the lower part come first, and says how many these are and where the cut goes: through
/// the middle if that can be, beside a crowd if the middle is one, and close around feet that are all at one point, so
/// that their tile is not in everybody's way. Where even that is done there is no cut: both halves keep the tile.
fn halve(tile: Tile, feet: &mut [Foot]) -> (usize, Option<Cut>) {
    let half = feet.len() / 2;
    let wider = usize::from(extent(feet, 1) > extent(feet, 0));
    for axis in [wider, 1 - wider] {
        let (_, middle, _) = feet.select_nth_unstable_by(half, |a, b| a.0[axis].total_cmp(&b.0[axis]));
        let middle = middle.0[axis];
        let parts = || feet.iter().map(|(foot, _)| foot[axis]);
        let below = parts().filter(|part| *part < middle).fold(f32::NEG_INFINITY, f32::max);
        let above = parts().filter(|part| *part > middle).fold(f32::INFINITY, f32::min);
        let (below, above) = if below > f32::NEG_INFINITY { (below, middle) } else { (middle, above) };
        let cut = below + (above - below) / 2.0;
        if below < cut
            && cut.is_finite()
            && let Some((lower, upper)) = tile.cut(axis, cut)
        {
            return (parted(feet, |foot| foot[axis] < cut), Some(Cut { lower, upper }));
        }
    }
    let point = feet.first().map_or([0.0; 2], |(foot, _)| *foot);
    for axis in [0, 1] {
        for (cut, left) in [(point[axis] + ROOM, feet.len()), (point[axis] - ROOM, 0)] {
            let worth = tile.low[axis] + ROOM < cut && cut < tile.high[axis] - ROOM;
            if extent(feet, axis) == 0.0
                && worth
                && let Some((lower, upper)) = tile.cut(axis, cut)
            {
                return (left, Some(Cut { lower, upper }));
            }
        }
    }
    (half, None)
}

/// From the least to the greatest.
fn extent(feet: &[Foot], axis: usize) -> f32 {
    let parts = || feet.iter().map(|(foot, _)| foot[axis]);
    parts().fold(f32::NEG_INFINITY, f32::max) - parts().fold(f32::INFINITY, f32::min)
}

/// Puts those first that are `below`, and says how many.
fn parted(feet: &mut [Foot], below: impl Fn(&[f32; 2]) -> bool) -> usize {
    let mut count = 0;
    for number in 0..feet.len() {
        if below(&feet[number].0) {
            feet.swap(count, number);
            count += 1;
        }
    }
    count
}

/// What is left around a crowd at one point, metres.
const ROOM: f32 = 1.0;
/// Rows in a tile when packed, at most: room for a few to come.
pub(super) const PACKED: usize = CAPACITY * 3 / 4;
/// What a block costs in rows, beside its rows.
const BLOCK_COST: usize = 16;
