//! One population on one patch: tiles of up to [`CAPACITY`] rows, and an R*-tree of the tiles.
//!
//! The tiles cover the patch; one that is full is cut in two. A row stays in its tile as long as its foot is no more
//! than [`MARGIN`] outside, so that most placements write one row and touch no tree.
//!
//! The one inequality. For a thing at `p` that was measured at `m` and kept in tile `t`, a query at `c`, and `foot`
//! the projection onto the plane: `|foot(c) - t| <= |foot(c) - foot(p)| + |foot(p) - foot(m)| + |foot(m) - t|
//! <= |c - p| + |p - m| + stray`. So the tiles that a circle touches, drawn wider by the stray, the dead reckoning
//! and the uncertainty, hold all that `c` can reach.

use wayside_protocols::time::Timestamp;

use super::block::{BLOCK, Block};
use super::motion::{Z, outreach};
use super::row::Row;
use super::slab::{CAPACITY, Home, Lot, Slab};
use super::tile::{Circle, Foot, Tile, divide, halve};

/// How far a foot may be outside of its tile before the row is given to another, metres.
pub(super) const MARGIN: f64 = 10.0;

/// The tiles of one population on one patch, and what is known of all in them.
///
/// They lie in blocks of a few hundred rows, each with a tree of its own: whatever is done at once, be it cutting or
/// laying anew, is done to one block and takes a fraction of a millisecond.
pub(super) struct Stand {
    home: Home,
    /// What the blocks cover: all of the patch, and no more, so that the circles of its neighbours seldom touch them.
    whole: Tile,
    blocks: Vec<Block>,
    /// The tile of each block, side by side: which of them a circle touches is asked far more often than what is in one.
    tiles: Vec<Tile>,
    bounds: Bounds,
    rows: usize,
    lot: Lot,
    /// The block that is looked at next.
    next: usize,
}

impl Stand {
    /// Nobody, filed as `home`, on a patch that has all of its feet in `whole`.
    pub(super) fn new(home: Home, whole: Tile) -> Self {
        let (blocks, tiles) = (vec![Block::new()], vec![whole]);
        Self { home, whole, blocks, tiles, bounds: Bounds::NONE, rows: 0, lot: Lot::default(), next: 0 }
    }

    pub(super) const fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Takes note of a row in `block` that is `stray` metres outside of its tile; whether what holds for the block, and so
    /// perhaps for others, is wider now.
    #[inline]
    pub(super) fn note(&mut self, block: u32, row: &Row, stray: f64) -> bool {
        let wider = self.blocks[block as usize].bounds.note(row, stray);
        if wider {
            self.bounds.note(row, stray);
        }
        wider
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
        while slab.bucket(bucket).len() == CAPACITY {
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
            (self.blocks, self.tiles) = (vec![Block::new()], vec![self.whole]);
            (self.bounds, self.next) = (Bounds::NONE, 0);
            slab.release(&mut self.lot);
        }
        row
    }

    /// Shows every bucket whose tile something within `metres` of `centre` by `now` may be in, a few at a time, with the
    /// circle that must touch it. How many nodes and tiles it looked at.
    pub(super) fn within(
        &self,
        centre: [f64; 2],
        metres: f64,
        now: Timestamp,
        found: &mut impl FnMut(&[u32], &Circle),
    ) -> usize {
        let widest = Circle::new(centre, metres + self.bounds.reach(now));
        if !widest.touches(&self.whole) {
            return 1;
        }
        let mut looked_at = self.blocks.len();
        for (tile, block) in self.tiles.iter().zip(&self.blocks) {
            if !widest.touches(tile) || block.rows == 0 {
                continue;
            }
            let circle = Circle::new(centre, metres + block.bounds.reach(now));
            looked_at += block.within(&circle, &mut |buckets| found(buckets, &circle));
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
        let home = self.tiles.iter().position(|tile| tile.holds(&circle.centre));
        let others = (0..self.blocks.len()).filter(|number| Some(*number) != home);
        for number in home.into_iter().chain(others) {
            if circle.touches(&self.tiles[number]) && self.blocks[number].rows > 0 {
                self.blocks[number].nearest(&mut circle, found);
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
        let (tile, rows) = (self.tiles[number], block.close(slab, &mut self.lot));
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
        self.tiles.clear();
        self.lot.sort();
        self.lay(None, self.whole, &rows, slab);
        self.next = 0;
    }

    /// Files `rows`, which no bucket has, in blocks that cover `tile`; the first of them becomes block `number`.
    fn lay(&mut self, mut number: Option<usize>, tile: Tile, rows: &[Row], slab: &mut Slab) {
        let mut feet: Vec<Foot> = (0..).zip(rows).map(|(number, row)| (row.foot, number)).collect();
        let Self { blocks, tiles, bounds, lot, home, .. } = self;
        divide(tile, &mut feet, BLOCK / 2, &mut |tile, members| {
            let place = number.take().unwrap_or(blocks.len());
            let mut leaves = Vec::with_capacity(members.len() / PACKED + 1);
            divide(tile, members, PACKED, &mut |tile, members| {
                let bucket = slab.open(lot, *home, tile, place as u32);
                leaves.push((tile, bucket));
                members.iter().for_each(|(_, number)| slab.push(bucket, rows[*number]));
            });
            let block = Block::packed(leaves, slab);
            *bounds = bounds.and(&block.bounds);
            match blocks.get_mut(place) {
                Some(before) => (*before, tiles[place]) = (block, tile),
                None => {
                    blocks.push(block);
                    tiles.push(tile);
                }
            }
        });
    }

    /// The block that `foot` is in, or nearest to.
    fn block(&self, foot: [f64; 2]) -> usize {
        if self.blocks.len() == 1 {
            return 0;
        }
        let narrow = foot.map(|part| part as f32);
        self.tiles.iter().position(|tile| tile.holds(&narrow)).unwrap_or_else(|| {
            let away = |tile: &Tile| tile.distance_2(&narrow);
            let nearest = (0..).zip(&self.tiles).min_by(|a, b| away(a.1).total_cmp(&away(b.1)));
            nearest.map_or(0, |(number, _)| number)
        })
    }

    /// A bucket of a block whose tile `foot` is in, or nearest to.
    fn seek(&mut self, block: usize, foot: [f64; 2], slab: &mut Slab) -> u32 {
        let (within, tile) = (&mut self.blocks[block], self.tiles[block]);
        within.seek(&foot.map(|part| part as f32)).unwrap_or_else(|| {
            let bucket = slab.open(&mut self.lot, self.home, tile, block as u32);
            within.add(tile, bucket);
            bucket
        })
    }

    /// Cuts a full tile in two, and says which bucket `foot` belongs to.
    fn split(&mut self, block: usize, bucket: u32, foot: [f64; 2], slab: &mut Slab) -> u32 {
        let tile = slab.tile(bucket);
        let rows = slab.bucket(bucket).rows().collect::<Vec<_>>();
        let mut feet: Vec<Foot> = (0..).zip(&rows).map(|(number, row)| (row.foot, number)).collect();
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

    /// Takes note of a row that is `stray` metres outside of its tile; whether they are wider now.
    #[inline]
    pub(super) fn note(&mut self, row: &Row, stray: f64) -> bool {
        let (stray, speed_2) = (stray + Z * row.accuracy(), row.speed_2());
        let held = stray <= self.stray && (!row.moving() || row.time() >= self.oldest && speed_2 <= self.speed_2);
        if !held {
            self.stray = self.stray.max(stray);
            if row.moving() {
                self.oldest = self.oldest.min(row.time());
                self.speed_2 = self.speed_2.max(speed_2);
            }
        }
        !held
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

/// Rows in a tile when packed, at most: room for a few to come.
pub(super) const PACKED: usize = CAPACITY * 3 / 4;
/// What a block costs in rows, beside its rows.
const BLOCK_COST: usize = 16;
