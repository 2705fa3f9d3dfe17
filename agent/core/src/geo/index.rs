//! Every place on Earth under one roof.

use std::collections::BTreeMap;
use std::fmt;

use rstar::RTree;
use rstar::primitives::GeomWithData;
use wayside_protocols::place::{Distance, Ecef, Fix, Position};
use wayside_protocols::time::Timestamp;

use super::motion::{Estimate, Standing};
use super::patch::{self, PatchId, Plane};
use super::slab::{Home, Kind, Refused, Row, check, ecef};
use super::stand::{Bounds, MARGIN, Stand};
use super::turn::Turns;
use super::{Key, Population};

/// Who stands where.
///
/// Nothing here is capped: the catalog hands out the keys and forgets. A thing costs about 120 bytes. Not knowing where
/// something is makes a search wide, so what is vague or very fast is kept in a list apart and looked at one by one.
pub struct GeoIndex {
    /// The row of each key; [`NO_ROW`] for a key that is not placed.
    rows: Vec<u32>,
    slab: Vec<Row>,
    free: Vec<u32>,
    patches: Vec<Patch>,
    spare: Vec<u32>,
    numbers: BTreeMap<PatchId, u32>,
    /// Where the patches are, to find those a circle touches.
    atlas: RTree<GeomWithData<[f64; 3], u32>>,
    /// What holds for every tree of a population; see [`Bounds`].
    widest: [Bounds; 2],
    loose: [Vec<u32>; 2],
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
    /// Of these, what is too vague, fast or old for a tree.
    pub loose: usize,
    /// Patches in use.
    pub patches: usize,
    /// Placements that changed no more than a row.
    pub quiet: u64,
    /// Placements that a tree had to be told of.
    pub moved: u64,
    /// Trees packed.
    pub packed: u64,
}

struct Patch {
    id: PatchId,
    plane: Plane,
    stands: [Stand; 2],
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
            rows: Vec::new(),
            slab: Vec::new(),
            free: Vec::new(),
            patches: Vec::new(),
            spare: Vec::new(),
            numbers: BTreeMap::new(),
            atlas: RTree::new(),
            widest: [Bounds::NONE; 2],
            loose: [Vec::new(), Vec::new()],
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
        check(key, fix)?;
        let Some(number) = self.row(key) else {
            self.admit(key, fix);
            return Ok(());
        };
        let row = &mut self.slab[number as usize];
        row.write(fix, self.turns);
        let mut kind = row.home().kind();
        let still_there = if let Home::Patch(_, place) = row.home() {
            let patch = &mut self.patches[place as usize];
            let stray = patch.stray(row);
            if let Some(stray) = stray
                && (kind == Kind::Mobile || !row.moving())
                && !row.unruly()
            {
                patch.stands[kind as usize].note(row, stray);
                self.widest[kind as usize].note(row, stray);
                self.stats.quiet += 1;
                return Ok(());
            }
            stray.is_some()
        } else {
            true
        };
        if fix.motion.is_some() || !still_there {
            kind = Kind::Mobile;
        }
        self.stats.moved += 1;
        self.take_out(number);
        self.put_in(number, kind);
        Ok(())
    }

    /// Forgets `key`; whether it was placed.
    pub fn remove(&mut self, key: Key) -> bool {
        let Some(number) = self.row(key) else { return false };
        self.take_out(number);
        self.slab[number as usize].file(Home::None);
        self.free.push(number);
        self.rows[key.0 as usize] = NO_ROW;
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
        self.row(key).map(|number| self.slab[number as usize].standing(now))
    }

    /// How `key` looks from `centre` at `now`.
    pub fn estimate(&self, key: Key, centre: &Position, now: Timestamp) -> Option<Estimate> {
        self.row(key).map(|number| self.slab[number as usize].seen(&ecef(centre, self.turns), now))
    }

    /// Which population `key` is of; never [`Population::All`].
    pub fn population(&self, key: Key) -> Option<Population> {
        self.row(key).map(|number| match self.slab[number as usize].home().kind() {
            Kind::Static => Population::Static,
            Kind::Mobile => Population::Mobile,
        })
    }

    /// Shows `found` every one of `population` that at [`Z`](super::Z) sigma may be within `radius` of `centre` at `now`, in no
    /// order. For a centre that is itself vague, ask for a radius wider by [`Z`](super::Z) of its sigma; then let
    /// [`verdict`](super::verdict) decide. Returns how many nodes, anchors and rows it looked at: what it cost.
    pub fn within(
        &self,
        centre: &Position,
        radius: Distance,
        population: Population,
        now: Timestamp,
        found: &mut impl FnMut(Key, Estimate),
    ) -> usize {
        let centre = ecef(centre, self.turns);
        let reach = radius.as_metres();
        let mut show = |number: u32, any: f64| {
            let row = &self.slab[number as usize];
            if let Some(estimate) = row.seen_within(&centre, reach, any, now) {
                found(Key(row.key), estimate);
            }
        };
        let mut looked_at = 0;
        for kind in population.kinds() {
            self.touched(&centre, reach + self.widest[*kind as usize].reach(now), |patch| {
                let stand = &patch.stands[*kind as usize];
                let wide = reach + stand.bounds().reach(now) + ROUNDING;
                looked_at += stand.within(patch.plane.foot(&centre), wide, &mut |number| show(number, wide * wide));
            });
            looked_at += self.loose[*kind as usize].len();
            for &number in &self.loose[*kind as usize] {
                show(number, f64::INFINITY);
            }
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
        let all = Population::All.kinds();
        for &number in all.iter().flat_map(|kind| &self.loose[*kind as usize]) {
            let row = &self.slab[number as usize];
            best.offer(row.distance_2(&centre, now), row.key, number);
        }
        let mut order: Vec<_> = self.atlas.iter().map(|at| (at.data, point(at.geom()).distance_2(&centre))).collect();
        order.sort_unstable_by(|a, b| a.1.total_cmp(&b.1));
        for (place, away_2) in order {
            let patch = &self.patches[place as usize];
            for stand in &patch.stands {
                let reach = stand.bounds().reach(now);
                if away_2.sqrt() - patch::REACH - reach * LEAN - LEVEL > best.worst() {
                    continue;
                }
                stand.nearest(patch.plane.foot(&centre), best.worst() + reach, &mut |number| {
                    let row = &self.slab[number as usize];
                    best.offer(row.distance_2(&centre, now), row.key, number);
                    best.worst() + reach
                });
            }
        }
        best.rows.iter().map(|(_, key, number)| (Key(*key), self.slab[*number as usize].seen(&centre, now))).collect()
    }

    /// Keeps searches narrow and trees packed; call it about ten times a second, or answers stay right but grow slow.
    /// Looks at patches in turn until it has seen a quarter of all, 16,384 at least, and packs at most one tree. A look costs about
    /// 5 ns, packing about 250 ns for each thing in that tree.
    pub fn maintain(&mut self, now: Timestamp) {
        let budget = (self.len() / 4).max(SURVEYED);
        let (mut seen, mut packed) = (0, false);
        for _ in 0..self.patches.len() {
            if seen >= budget {
                break;
            }
            self.next = (self.next + 1) % self.patches.len();
            seen += self.survey(self.next, now);
            packed = packed || self.pack(self.next);
        }
        for kind in [Kind::Static, Kind::Mobile] {
            let stands = self.patches.iter().map(|patch| patch.stands[kind as usize].bounds());
            self.widest[kind as usize] = stands.fold(Bounds::NONE, |widest, bounds| widest.and(bounds));
        }
    }

    /// What it has done and holds.
    pub fn stats(&self) -> Stats {
        let loose = self.loose.iter().map(Vec::len).sum();
        Stats { loose, patches: self.numbers.len(), ..self.stats }
    }

    fn row(&self, key: Key) -> Option<u32> {
        self.rows.get(key.0 as usize).copied().filter(|row| *row != NO_ROW)
    }

    fn admit(&mut self, key: Key, fix: &Fix) {
        let number = self.free.pop().unwrap_or_else(|| {
            self.slab.push(Row::empty());
            (self.slab.len() - 1) as u32
        });
        let row = &mut self.slab[number as usize];
        row.key = key.0;
        row.write(fix, self.turns);
        if self.rows.len() <= key.0 as usize {
            self.rows.resize(key.0 as usize + 1, NO_ROW);
        }
        self.rows[key.0 as usize] = number;
        self.stats.placed += 1;
        self.stats.moved += 1;
        self.put_in(number, if fix.motion.is_some() { Kind::Mobile } else { Kind::Static });
    }

    /// Files a row that is filed nowhere.
    fn put_in(&mut self, number: u32, kind: Kind) {
        let row = &mut self.slab[number as usize];
        if row.unruly() {
            let list = &mut self.loose[kind as usize];
            row.file(Home::Loose(kind, list.len() as u32));
            list.push(number);
            return;
        }
        let place = self.patch(PatchId::of(&self.slab[number as usize].ecef));
        let row = &mut self.slab[number as usize];
        let patch = &mut self.patches[place as usize];
        row.anchor = patch.anchor(row);
        row.file(Home::Patch(kind, place));
        let stray = patch.stray(row).unwrap_or(MARGIN);
        let stand = &mut patch.stands[kind as usize];
        stand.insert(row.anchor, number);
        stand.note(row, stray);
        self.widest[kind as usize].note(row, stray);
    }

    /// Takes a row out of where it is filed; what it says of its home is out of date until it is filed again.
    fn take_out(&mut self, number: u32) {
        let row = self.slab[number as usize];
        match row.home() {
            Home::None => {}
            Home::Patch(kind, place) => {
                self.patches[place as usize].stands[kind as usize].remove(row.anchor, number);
                self.drop_if_empty(place);
            }
            Home::Loose(kind, place) => {
                let list = &mut self.loose[kind as usize];
                list.swap_remove(place as usize);
                if let Some(other) = list.get(place as usize) {
                    self.slab[*other as usize].file(Home::Loose(kind, place));
                }
            }
        }
    }

    fn patch(&mut self, id: PatchId) -> u32 {
        if let Some(place) = self.numbers.get(&id) {
            return *place;
        }
        let patch = Patch { id, plane: id.plane(), stands: [Stand::new(), Stand::new()] };
        let origin = array(&patch.plane.origin);
        let place = if let Some(place) = self.spare.pop() {
            self.patches[place as usize] = patch;
            place
        } else {
            self.patches.push(patch);
            (self.patches.len() - 1) as u32
        };
        self.numbers.insert(id, place);
        self.atlas.insert(GeomWithData::new(origin, place));
        place
    }

    fn drop_if_empty(&mut self, place: u32) {
        let patch = &self.patches[place as usize];
        if patch.stands.iter().all(|stand| stand.len() == 0) {
            self.numbers.remove(&patch.id);
            self.atlas.remove(&GeomWithData::new(array(&patch.plane.origin), place));
            self.spare.push(place);
        }
    }

    /// Shows every patch that may have something within `reach` of `centre`.
    fn touched(&self, centre: &Ecef, reach: f64, mut found: impl FnMut(&Patch)) {
        let wide = reach * LEAN + patch::REACH + LEVEL;
        for at in self.atlas.locate_within_distance(array(centre), wide * wide) {
            found(&self.patches[at.data as usize]);
        }
    }

    /// Learns anew what holds for a patch, and puts what is past its validity with the loose. How many it looked at.
    fn survey(&mut self, place: usize, now: Timestamp) -> usize {
        let (plane, stands) = {
            let patch = &mut self.patches[place];
            (&patch.plane, &mut patch.stands)
        };
        let seen = stands[0].len() + stands[1].len();
        let mut lapsed = Vec::new();
        for stand in stands {
            stand.survey(&self.slab, |row| stray_2(plane, row).sqrt(), now, &mut |number| lapsed.push(number));
        }
        for number in &lapsed {
            self.loosen(*number);
        }
        if !lapsed.is_empty() {
            // What held for the lapsed no longer needs to.
            self.survey(place, now);
        }
        seen
    }

    fn loosen(&mut self, number: u32) {
        let kind = self.slab[number as usize].home().kind();
        self.take_out(number);
        let list = &mut self.loose[kind as usize];
        self.slab[number as usize].file(Home::Loose(kind, list.len() as u32));
        list.push(number);
    }

    /// Packs the trees of a patch that need it, and lays the rows in the order of the tree, so that neighbours on
    /// the ground are neighbours in memory.
    fn pack(&mut self, place: usize) -> bool {
        let mut packed = false;
        let Self { patches, slab, rows, stats, .. } = self;
        for stand in patches[place].stands.iter_mut().filter(|stand| stand.worn()) {
            stand.pack(|order| {
                let contents: Vec<Row> = order.iter().map(|number| slab[*number as usize]).collect();
                let mut seats = order.to_vec();
                seats.sort_unstable();
                for (seat, row) in seats.iter().zip(contents) {
                    slab[*seat as usize] = row;
                    rows[row.key as usize] = *seat;
                }
                seats
            });
            stats.packed += 1;
            packed = true;
        }
        packed
    }
}

impl Patch {
    /// How far `row` is from its anchor, if that is still within the margin and on this patch.
    #[inline]
    fn stray(&self, row: &Row) -> Option<f64> {
        // The far side of the Earth has the same feet.
        if row.ecef.distance_2(&self.plane.origin) > ON_PATCH_2 {
            return None;
        }
        let stray_2 = stray_2(&self.plane, row);
        (stray_2 <= MARGIN * MARGIN).then(|| stray_2.sqrt())
    }

    /// Where to have it in the tree: at its foot but for up to 1.5 m each way, drawn from its key. Else a car park of
    /// things at one point would be a heap in which the tree can find nothing.
    fn anchor(&self, row: &Row) -> [f32; 2] {
        let drawn = row.key.wrapping_mul(0x9E37_79B1);
        let aside = [drawn >> 16, drawn & 0xFFFF].map(|part| (f64::from(part) / 65_536.0 - 0.5) * 3.0);
        let [x, y] = self.plane.foot(&row.ecef);
        [(x + aside[0]) as f32, (y + aside[1]) as f32]
    }
}

impl Row {
    /// Whether it would make every search of its tree too wide.
    fn unruly(&self) -> bool {
        self.accuracy > LOOSE_SIGMA || self.speed() > LOOSE_SPEED
    }
}

impl Population {
    fn kinds(self) -> &'static [Kind] {
        match self {
            Self::All => &[Kind::Static, Kind::Mobile],
            Self::Static => &[Kind::Static],
            Self::Mobile => &[Kind::Mobile],
        }
    }
}

/// The best so far of a search for the nearest.
struct Best {
    k: usize,
    /// Distance squared, key and row; nearest first.
    rows: Vec<(f64, u32, u32)>,
}

impl Best {
    fn new(k: usize) -> Self {
        Self { k, rows: Vec::with_capacity(k.min(1_024) + 1) }
    }

    /// Metres beyond which nothing is of interest.
    fn worst(&self) -> f64 {
        if self.rows.len() < self.k {
            f64::INFINITY
        } else {
            self.rows.last().map_or(f64::INFINITY, |row| row.0.sqrt())
        }
    }

    fn offer(&mut self, distance_2: f64, key: u32, row: u32) {
        let at = self.rows.partition_point(|other| (other.0, other.1) < (distance_2, key));
        if at < self.k {
            self.rows.insert(at, (distance_2, key, row));
            self.rows.truncate(self.k);
        }
    }
}

fn array(point: &Ecef) -> [f64; 3] {
    [point.x, point.y, point.z]
}

fn point([x, y, z]: &[f64; 3]) -> Ecef {
    Ecef { x: *x, y: *y, z: *z }
}

fn stray_2(plane: &Plane, row: &Row) -> f64 {
    let [x, y] = plane.foot(&row.ecef);
    let (x, y) = (x - f64::from(row.anchor[0]), y - f64::from(row.anchor[1]));
    x * x + y * y
}

const NO_ROW: u32 = u32::MAX;
/// One sigma above which a thing is kept with the loose, metres.
const LOOSE_SIGMA: f32 = 30.0;
/// Speed above which a thing is kept with the loose, m/s.
const LOOSE_SPEED: f64 = 70.0;
/// A row this far from the origin of its plane, squared, is not on the patch any more.
const ON_PATCH_2: f64 = (patch::REACH + 100.0) * (patch::REACH + 100.0);
/// How much longer a way on the ground is than its foot on a patch, and how far the ground is from the plane: both
/// far above what a patch of this size has.
const LEAN: f64 = 1.01;
const LEVEL: f64 = 100.0;
/// Added to what a search reaches, metres, so that no rounding decides what is found.
const ROUNDING: f64 = 0.01;
/// Rows that one call of [`GeoIndex::maintain`] looks at, at the least.
const SURVEYED: usize = 16_384;
