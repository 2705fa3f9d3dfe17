//! Every place on Earth under one roof.

use std::collections::BTreeMap;
use std::fmt;

use rstar::RTree;
use rstar::primitives::GeomWithData;
use wayside_protocols::place::{Distance, Ecef, Fix, Position};
use wayside_protocols::time::Timestamp;

use super::best::{Best, Near};
use super::motion::{Estimate, Look, Reach, Seen, Standing};
use super::patch::{self, PatchId, Plane};
use super::row::{Measured, Refused, Row, check, ecef};
use super::slab::{Home, Kind, Slab};
use super::stand::{Bounds, Chore, MARGIN, Stand};
use super::tile::{Circle, Tile};
use super::turn::Turns;
use super::{Key, Population};

/// Who stands where.
///
/// Nothing here is capped: the catalog hands out the keys and forgets. A thing costs about 70 bytes, a patch 8 KiB at
/// least. Not knowing where something is makes a search wide, so what is vaguer than 30 m, faster than 70 m/s or past
/// its validity is kept apart and looked at one by one.
pub struct GeoIndex {
    slab: Slab,
    patches: Vec<Patch>,
    spare: Vec<u32>,
    numbers: BTreeMap<PatchId, u32>,
    /// Where the patches are, to find those a circle touches.
    atlas: RTree<GeomWithData<[f64; 3], u32>>,
    /// What holds for every stand of a population; see [`Bounds`].
    widest: [Bounds; STANDS],
    /// How many each stand has, over all patches.
    held: [usize; STANDS],
    /// The patch that [`GeoIndex::maintain`] looks at next.
    next: usize,
    stats: Stats,
    turns: &'static Turns,
}

/// What the index has done and holds, for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Placed and not removed.
    pub placed: usize,
    /// Of these, what is too vague, fast or old for a tile.
    pub loose: usize,
    /// Patches in use.
    pub patches: usize,
    /// Placements that changed no more than a row.
    pub quiet: u64,
    /// Placements that changed the tile, first ones included.
    pub moved: u64,
    /// Blocks of tiles that were laid anew.
    pub packed: u64,
}

struct Patch {
    id: PatchId,
    plane: Plane,
    /// Static and mobile, then the loose of either: see [`Home::stand`].
    stands: [Stand; STANDS],
    /// The stand that upkeep goes on with.
    tended: usize,
}

impl fmt::Debug for GeoIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GeoIndex").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Default for GeoIndex {
    fn default() -> Self {
        Self::new()
    }
}

impl GeoIndex {
    /// Nothing anywhere.
    pub fn new() -> Self {
        Self {
            slab: Slab::default(),
            patches: Vec::new(),
            spare: Vec::new(),
            numbers: BTreeMap::new(),
            atlas: RTree::new(),
            widest: [Bounds::NONE; STANDS],
            held: [0; STANDS],
            next: 0,
            stats: Stats::default(),
            turns: Turns::shared(),
        }
    }

    /// Puts `key` where `fix` says, whether it was placed before or not. It counts as mobile from the first fix that
    /// states a motion, or that lies more than 25 m from where it was placed first, until it is removed.
    ///
    /// # Errors
    /// [`Refused`] if a number in it cannot be; the index is unchanged.
    pub fn place(&mut self, key: Key, fix: &Fix) -> Result<(), Refused> {
        self.place_among(key, fix, Population::All)
    }

    /// [`GeoIndex::place`], but into the population that is named, however it moves; [`Population::All`] leaves that to
    /// the index.
    ///
    /// # Errors
    /// As [`GeoIndex::place`].
    pub fn place_among(&mut self, key: Key, fix: &Fix, of: Population) -> Result<(), Refused> {
        check(key, fix)?;
        let wanted = of.kind();
        let Some(seat) = self.slab.seat(key) else {
            self.admit(key, fix, wanted);
            return Ok(());
        };
        let (home, measured) = (self.slab.home(seat), Measured::new(fix, self.turns));
        let patch = &mut self.patches[home.place()];
        let mut row = Row::new(key.0, &measured, &patch.plane);
        let on_patch = row.on_patch();
        let stands = home.kind() == Kind::Static && fix.motion.is_none();
        let kind = wanted.unwrap_or_else(|| {
            if stands && on_patch && row.drift(&self.slab.row(seat)) { Kind::Static } else { Kind::Mobile }
        });
        let stray = self.slab.tile_of(seat).stray(row.foot());
        if kind == home.kind() && on_patch && stray <= MARGIN && home.is_loose() == measured.unruly() {
            let block = self.slab.block(seat);
            self.slab.set(seat, row);
            if patch.stands[home.stand()].note(block, &row, stray) {
                self.widest[home.stand()].note(&row, stray);
            }
            self.stats.quiet += 1;
            return Ok(());
        }
        self.stats.moved += 1;
        let before = self.take_out(seat);
        self.put_in(key, &measured, kind);
        if kind == Kind::Static
            && wanted.is_none()
            && let Some(seat) = self.slab.seat(key)
            && self.slab.home(seat).place() == home.place()
        {
            let mut row = self.slab.row(seat);
            row.drift(&before);
            self.slab.set(seat, row);
        }
        Ok(())
    }

    /// Forgets `key`; whether it was placed.
    pub fn remove(&mut self, key: Key) -> bool {
        let Some(seat) = self.slab.seat(key) else { return false };
        self.take_out(seat);
        self.stats.placed -= 1;
        true
    }

    /// How many are placed.
    pub fn len(&self) -> usize {
        self.stats.placed
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.stats.placed == 0
    }

    /// Where `key` has come by `now`.
    pub fn position(&self, key: Key, now: Timestamp) -> Option<Standing> {
        self.slab.seat(key).map(|seat| self.slab.row(seat).standing(self.plane(seat), now))
    }

    /// How `key` looks from `centre` at `now`.
    pub fn estimate(&self, key: Key, centre: &Position, now: Timestamp) -> Option<Estimate> {
        self.slab.seat(key).map(|seat| self.seen(seat, &ecef(centre, self.turns), now))
    }

    /// Which population `key` is of; never [`Population::All`].
    pub fn population(&self, key: Key) -> Option<Population> {
        self.slab.seat(key).map(|seat| match self.slab.home(seat).kind() {
            Kind::Static => Population::Static,
            Kind::Mobile => Population::Mobile,
        })
    }

    /// Shows `found` every one of `population` that at [`Z`](super::Z) sigma may be within `radius` of `centre` at
    /// `now`, in no order. For a centre that is itself vague, ask for a radius wider by [`Z`](super::Z) of its sigma;
    /// then let [`verdict`](super::verdict) decide. Returns how many nodes, tiles and rows it looked at: what it cost.
    pub fn within(
        &self,
        centre: &Position,
        radius: Distance,
        population: Population,
        now: Timestamp,
        found: &mut impl FnMut(Key, Seen),
    ) -> usize {
        let centre = ecef(centre, self.turns);
        let (metres, reach) = (radius.as_metres(), Reach::new(radius));
        let mut looked_at = 0;
        for stand in population.stands().iter().filter(|stand| self.held[**stand] > 0) {
            let mut nodes = 0;
            self.touched(&centre, metres + self.widest[*stand].reach(now), *stand, |patch| {
                let look = patch.look(&centre, now);
                nodes += patch.stands[*stand].within(look.foot(), metres + ROUNDING, now, &mut |buckets, any| {
                    looked_at += buckets.iter().map(|bucket| self.slab.bucket(*bucket).len()).sum::<usize>();
                    for row in self.slab.filter(buckets, |foot| any.holds(foot)) {
                        if let Some(seen) = row.seen_within(&look, &reach) {
                            found(Key(row.key()), seen);
                        }
                    }
                });
            });
            looked_at += nodes;
        }
        looked_at
    }

    /// The `k` nearest at `now`, nearest first; equally near ones by key.
    pub fn nearest(&self, centre: &Position, k: usize, now: Timestamp) -> Vec<(Key, Estimate)> {
        let centre = ecef(centre, self.turns);
        let mut best = Best::new(k.min(self.len()));
        if best.k == 0 {
            return Vec::new();
        }
        let mut order = Vec::with_capacity(self.patches.len());
        for patch in &self.patches {
            let look = patch.look(&centre, now);
            for stand in patch.stands.iter().filter(|stand| !stand.is_empty()) {
                let reach = stand.bounds().reach(now) + ROUNDING;
                order.push((stand.away(look.foot()) - reach, reach, look, stand));
            }
        }
        order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        for (away, reach, look, stand) in &order {
            if *away > best.worst() {
                break;
            }
            let any = |best: &Best<'_>| Circle::new(look.foot(), best.worst() + reach);
            stand.nearest(any(&best), &mut |bucket| {
                let worth = any(&best);
                for row in self.slab.filter(&[bucket], |foot| worth.holds(foot)) {
                    best.offer(Near { distance_2: row.distance_2(look), row, look });
                }
                any(&best)
            });
        }
        best.rows.iter().map(|near| (Key(near.row.key()), near.row.seen(near.look))).collect()
    }

    /// Keeps searches narrow and tiles packed; call it about forty times a second, or answers stay right but grow slow.
    ///
    /// Looks at a sixteenth of everything, or 4,096 things, lays anew the tiles of a few blocks, two thousand things at
    /// the most, and puts up to 256 that have fallen silent with the loose; it goes on where it ended. So nobody waits
    /// for it: a call takes a fraction of a millisecond with 100,000 things. Only a crowd at one point, which cannot be
    /// parted, is looked at in one go.
    pub fn maintain(&mut self, now: Timestamp) {
        let looks = (self.len() / 16).max(SURVEYED);
        let mut chore = Chore { looks, packs: PACKS, packed: 0, lapses: LAPSES, lapsed: Vec::new() };
        for _ in 0..self.patches.len() {
            self.next %= self.patches.len();
            if !self.tend(self.next, now, &mut chore) {
                break;
            }
            self.next += 1;
        }
        self.stats.packed += chore.packed;
        for (stand, widest) in self.widest.iter_mut().enumerate() {
            let stands = self.patches.iter().map(|patch| patch.stands[stand].bounds());
            *widest = stands.fold(Bounds::NONE, |widest, bounds| widest.and(bounds));
        }
    }

    /// What it has done and holds.
    pub fn stats(&self) -> Stats {
        Stats { loose: self.held[2] + self.held[3], patches: self.numbers.len(), ..self.stats }
    }

    fn plane(&self, seat: u32) -> &Plane {
        &self.patches[self.slab.home(seat).place()].plane
    }

    fn seen(&self, seat: u32, centre: &Ecef, now: Timestamp) -> Estimate {
        let patch = &self.patches[self.slab.home(seat).place()];
        self.slab.row(seat).seen(&patch.look(centre, now))
    }

    fn admit(&mut self, key: Key, fix: &Fix, wanted: Option<Kind>) {
        self.stats.placed += 1;
        self.stats.moved += 1;
        let kind = wanted.unwrap_or_else(|| if fix.motion.is_some() { Kind::Mobile } else { Kind::Static });
        self.put_in(key, &Measured::new(fix, self.turns), kind);
    }

    /// Files what is filed nowhere.
    fn put_in(&mut self, key: Key, measured: &Measured, kind: Kind) {
        let place = self.patch(PatchId::of(&measured.ecef));
        let patch = &mut self.patches[place as usize];
        let row = Row::new(key.0, measured, &patch.plane);
        let home = Home::new(place, kind);
        let home = if measured.unruly() { home.loose() } else { home };
        self.held[home.stand()] += 1;
        let stand = &mut patch.stands[home.stand()];
        stand.insert(row, &mut self.slab);
        self.widest[home.stand()] = self.widest[home.stand()].and(stand.bounds());
    }

    /// Takes a row out of where it is filed.
    fn take_out(&mut self, seat: u32) -> Row {
        let home = self.slab.home(seat);
        self.held[home.stand()] -= 1;
        let row = self.patches[home.place()].stands[home.stand()].remove(seat, &mut self.slab);
        self.drop_if_empty(home.place() as u32);
        row
    }

    fn patch(&mut self, id: PatchId) -> u32 {
        if let Some(place) = self.numbers.get(&id) {
            return *place;
        }
        let place = self.spare.pop().unwrap_or(self.patches.len() as u32);
        let plane = id.plane();
        let whole = Tile::new(plane.low, plane.high);
        let homes = [Kind::Static, Kind::Mobile].map(|kind| Home::new(place, kind));
        let [still, mobile] = homes;
        let stands = [still, mobile, still.loose(), mobile.loose()].map(|home| Stand::new(home, whole));
        let patch = Patch { id, plane, stands, tended: 0 };
        let origin = array(&patch.plane.origin);
        match self.patches.get_mut(place as usize) {
            Some(spare) => *spare = patch,
            None => self.patches.push(patch),
        }
        self.numbers.insert(id, place);
        self.atlas.insert(GeomWithData::new(origin, place));
        place
    }

    fn drop_if_empty(&mut self, place: u32) {
        let patch = &self.patches[place as usize];
        if patch.stands.iter().all(Stand::is_empty) {
            self.numbers.remove(&patch.id);
            self.atlas.remove(&GeomWithData::new(array(&patch.plane.origin), place));
            self.spare.push(place);
        }
    }

    /// Shows every patch that may have something of a stand within `reach` of `centre`.
    fn touched(&self, centre: &Ecef, reach: f64, stand: usize, mut found: impl FnMut(&Patch)) {
        let wide = reach * LEAN + patch::REACH + LEVEL;
        let mut show = |patch: &Patch| {
            if !patch.stands[stand].is_empty() {
                found(patch);
            }
        };
        if self.patches.len() <= FEW {
            let near = |patch: &&Patch| patch.plane.origin.distance_2(centre) <= wide * wide;
            self.patches.iter().filter(near).for_each(show);
            return;
        }
        for at in self.atlas.locate_within_distance(array(centre), wide * wide) {
            show(&self.patches[at.data as usize]);
        }
    }

    /// Goes on with the upkeep of a patch; whether all of it has been looked at.
    fn tend(&mut self, place: usize, now: Timestamp, chore: &mut Chore) -> bool {
        let Self { patches, slab, held, .. } = self;
        let patch = &mut patches[place];
        while patch.tended < STANDS && patch.stands[patch.tended].tend(slab, now, chore) {
            patch.tended += 1;
        }
        for key in chore.lapsed.drain(..).map(Key) {
            // Taking one out gives its seat to another, so each is looked up when its turn comes.
            let Some(seat) = slab.seat(key) else { continue };
            let home = slab.home(seat);
            let row = patch.stands[home.stand()].remove(seat, slab);
            patch.stands[home.loose().stand()].insert(row, slab);
            held[home.stand()] -= 1;
            held[home.loose().stand()] += 1;
        }
        let all = patch.tended == STANDS;
        patch.tended %= STANDS;
        all
    }
}

impl Patch {
    fn look(&self, centre: &Ecef, now: Timestamp) -> Look {
        Look::new(self.plane.seen_from(centre), now)
    }
}

impl Population {
    fn kind(self) -> Option<Kind> {
        match self {
            Self::All => None,
            Self::Static => Some(Kind::Static),
            Self::Mobile => Some(Kind::Mobile),
        }
    }

    fn stands(self) -> &'static [usize] {
        match self {
            Self::All => &[0, 1, 2, 3],
            Self::Static => &[0, 2],
            Self::Mobile => &[1, 3],
        }
    }
}

fn array(point: &Ecef) -> [f64; 3] {
    [point.x, point.y, point.z]
}

/// How much longer a way on the ground is than its foot on a patch, and how far the ground is from the plane: both
/// far above what a patch of this size has.
const LEAN: f64 = 1.01;
const LEVEL: f64 = 100.0;
/// Patches that are sooner looked at one by one than found in a tree.
const FEW: usize = 32;
/// Added to what a search reaches, metres, so that no rounding decides what is found.
const ROUNDING: f64 = 0.01;
/// Stands of a patch.
const STANDS: usize = 4;
/// Rows that one call of [`GeoIndex::maintain`] looks at, at the least.
const SURVEYED: usize = 4_096;
/// Rows that it puts with the loose at the most.
const LAPSES: usize = 256;
/// Rows that it lays anew, give or take a block.
const PACKS: usize = 1_024;
