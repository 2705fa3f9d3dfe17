//! Every place on Earth under one roof.

use std::collections::BTreeMap;
use std::fmt;

use rstar::RTree;
use rstar::primitives::GeomWithData;
use wayside_protocols::place::{Distance, Ecef, Fix, Position};
use wayside_protocols::time::Timestamp;

use super::motion::{Estimate, Standing};
use super::patch::{self, PatchId, Plane};
use super::slab::{CAPACITY, Home, Kind, Refused, Row, Slab, check, ecef};
use super::stand::{Bounds, MARGIN, Stand, Tile};
use super::turn::Turns;
use super::{Key, Population};

/// Who stands where.
///
/// Nothing here is capped: the catalog hands out the keys and forgets. A thing costs about 100 bytes. Not knowing
/// where something is makes a search wide, so what is vague or very fast is kept apart and looked at one by one.
pub struct GeoIndex {
    slab: Slab,
    patches: Vec<Patch>,
    spare: Vec<u32>,
    numbers: BTreeMap<PatchId, u32>,
    /// Where the patches are, to find those a circle touches.
    atlas: RTree<GeomWithData<[f64; 3], u32>>,
    /// What holds for every stand of a population; see [`Bounds`].
    widest: [Bounds; 2],
    /// Buckets of what is in no tree.
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
            slab: Slab::default(),
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
        let Some(seat) = self.slab.seat(key) else {
            self.admit(key, fix);
            return Ok(());
        };
        let home = self.slab.home(seat);
        let row = self.slab.row_mut(seat);
        row.write(fix, self.turns);
        let row = *row;
        let mut kind = home.kind();
        if fix.motion.is_some() {
            kind = Kind::Mobile;
        }
        if let Some(place) = home.place() {
            let patch = &mut self.patches[place];
            let foot = patch.plane.foot(&row.ecef);
            // The far side of the Earth has the same feet.
            let on_patch = row.ecef.distance_2(&patch.plane.origin) <= ON_PATCH_2;
            if kind == Kind::Static && !(on_patch && near(foot, row.first)) {
                kind = Kind::Mobile;
            }
            let stray = self.slab.tile_of(seat).stray(foot);
            if kind == home.kind() && on_patch && stray <= MARGIN && !row.unruly() {
                patch.stands[kind as usize].note(&row, stray);
                self.widest[kind as usize].note(&row, stray);
                self.stats.quiet += 1;
                return Ok(());
            }
        }
        self.stats.moved += 1;
        let row = self.take_out(seat);
        self.put_in(row, kind);
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
        self.slab.seat(key).map(|seat| self.slab.row(seat).standing(now))
    }

    /// How `key` looks from `centre` at `now`.
    pub fn estimate(&self, key: Key, centre: &Position, now: Timestamp) -> Option<Estimate> {
        self.slab.seat(key).map(|seat| self.slab.row(seat).seen(&ecef(centre, self.turns), now))
    }

    /// Which population `key` is of; never [`Population::All`].
    pub fn population(&self, key: Key) -> Option<Population> {
        self.slab.seat(key).map(|seat| match self.slab.home(seat).kind() {
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
        let mut looked_at = 0;
        for kind in population.kinds() {
            let mut show = |bucket: u32, any: f64| {
                let rows = self.slab.rows(bucket);
                looked_at += rows.len();
                for row in rows {
                    if let Some(estimate) = row.seen_within(&centre, reach, any, now) {
                        found(Key(row.key()), estimate);
                    }
                }
            };
            let mut nodes = 0;
            self.touched(&centre, reach + self.widest[*kind as usize].reach(now), |patch| {
                let stand = &patch.stands[*kind as usize];
                let wide = reach + stand.bounds().reach(now) + ROUNDING;
                nodes += stand.within(patch.plane.foot(&centre), wide, &mut |bucket| show(bucket, wide * wide));
            });
            self.loose[*kind as usize].iter().for_each(|bucket| show(*bucket, f64::INFINITY));
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
        let offer = |best: &mut Best, bucket: u32| {
            for row in self.slab.rows(bucket) {
                best.offer(row.distance_2(&centre, now), row.key());
            }
        };
        self.loose.iter().flatten().for_each(|bucket| offer(&mut best, *bucket));
        let mut order: Vec<_> = self.atlas.iter().map(|at| (at.data, point(at.geom()).distance_2(&centre))).collect();
        order.sort_unstable_by(|a, b| a.1.total_cmp(&b.1));
        for (place, away_2) in order {
            let patch = &self.patches[place as usize];
            for stand in &patch.stands {
                let reach = stand.bounds().reach(now);
                if away_2.sqrt() - patch::REACH - reach * LEAN - LEVEL > best.worst() {
                    continue;
                }
                stand.nearest(patch.plane.foot(&centre), best.worst() + reach, &mut |bucket| {
                    offer(&mut best, bucket);
                    best.worst() + reach
                });
            }
        }
        let seen = |key: Key| self.slab.seat(key).map(|seat| (key, self.slab.row(seat).seen(&centre, now)));
        best.rows.iter().filter_map(|(_, key)| seen(Key(*key))).collect()
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
        let loose = self.loose.iter().flatten().map(|bucket| self.slab.rows(*bucket).len()).sum();
        Stats { loose, patches: self.numbers.len(), ..self.stats }
    }

    fn admit(&mut self, key: Key, fix: &Fix) {
        let mut row = Row::empty();
        row.name(key.0);
        row.write(fix, self.turns);
        self.stats.placed += 1;
        self.stats.moved += 1;
        self.put_in(row, if fix.motion.is_some() { Kind::Mobile } else { Kind::Static });
    }

    /// Files a row that is filed nowhere.
    fn put_in(&mut self, mut row: Row, kind: Kind) {
        if row.unruly() {
            self.loosen(row, kind);
            return;
        }
        let place = self.patch(PatchId::of(&row.ecef));
        let patch = &mut self.patches[place as usize];
        row.first = patch.plane.foot(&row.ecef).map(|part| part as f32);
        let stand = &mut patch.stands[kind as usize];
        stand.insert(row, &patch.plane, &mut self.slab);
        self.widest[kind as usize] = self.widest[kind as usize].and(stand.bounds());
    }

    /// Takes a row out of where it is filed.
    fn take_out(&mut self, seat: u32) -> Row {
        let home = self.slab.home(seat);
        let Some(place) = home.place() else {
            let (row, bucket) = (self.slab.take(seat), seat / CAPACITY as u32);
            if self.slab.rows(bucket).is_empty() {
                self.loose[home.kind() as usize].retain(|other| *other != bucket);
                self.slab.close(bucket);
            }
            return row;
        };
        let row = self.patches[place].stands[home.kind() as usize].remove(seat, &mut self.slab);
        self.drop_if_empty(place as u32);
        row
    }

    fn loosen(&mut self, row: Row, kind: Kind) {
        let list = &mut self.loose[kind as usize];
        let bucket = match list.last() {
            Some(bucket) if self.slab.rows(*bucket).len() < CAPACITY => *bucket,
            _ => {
                list.push(self.slab.open(Home::loose(kind), Tile::WHOLE));
                list[list.len() - 1]
            }
        };
        self.slab.push(bucket, row);
    }

    fn patch(&mut self, id: PatchId) -> u32 {
        if let Some(place) = self.numbers.get(&id) {
            return *place;
        }
        let place = self.spare.pop().unwrap_or(self.patches.len() as u32);
        let stands = [Kind::Static, Kind::Mobile].map(|kind| Stand::new(Home::patch(place, kind)));
        let patch = Patch { id, plane: id.plane(), stands };
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
        let Patch { plane, stands, .. } = &mut self.patches[place];
        let seen = stands[0].len() + stands[1].len();
        let mut lapsed = Vec::new();
        for stand in stands {
            stand.survey(plane, &self.slab, now, &mut |key| lapsed.push(Key(key)));
        }
        for key in &lapsed {
            // Taking one out gives its seat to another, so each is looked up when its turn comes.
            if let Some(seat) = self.slab.seat(*key) {
                let kind = self.slab.home(seat).kind();
                let row = self.take_out(seat);
                self.loosen(row, kind);
            }
        }
        if !lapsed.is_empty() {
            // What held for the lapsed no longer needs to.
            self.survey(place, now);
        }
        seen
    }

    /// Packs the stands of a patch that need it, and says whether one did.
    fn pack(&mut self, place: usize) -> bool {
        let Patch { plane, stands, .. } = &mut self.patches[place];
        let mut packed = false;
        for stand in stands.iter_mut().filter(|stand| stand.worn()) {
            stand.pack(plane, &mut self.slab);
            self.stats.packed += 1;
            packed = true;
        }
        packed
    }
}

impl Row {
    /// Whether it would make every search of its tree too wide.
    fn unruly(&self) -> bool {
        self.accuracy > LOOSE_SIGMA || self.speed_2() > LOOSE_SPEED * LOOSE_SPEED
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
    /// Distance squared and key; nearest first.
    rows: Vec<(f64, u32)>,
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

    #[inline]
    fn offer(&mut self, distance_2: f64, key: u32) {
        if self.rows.len() == self.k && self.rows.last().is_some_and(|last| *last < (distance_2, key)) {
            return;
        }
        let at = self.rows.partition_point(|other| *other < (distance_2, key));
        self.rows.insert(at, (distance_2, key));
        self.rows.truncate(self.k);
    }
}

fn array(point: &Ecef) -> [f64; 3] {
    [point.x, point.y, point.z]
}

fn point([x, y, z]: &[f64; 3]) -> Ecef {
    Ecef { x: *x, y: *y, z: *z }
}

/// Whether `foot` is where something may be said to be that was placed at `first`.
fn near(foot: [f64; 2], first: [f32; 2]) -> bool {
    let (x, y) = (foot[0] - f64::from(first[0]), foot[1] - f64::from(first[1]));
    x * x + y * y <= STANDING * STANDING
}

/// What stands still is measured no farther than this from where it was first, metres.
const STANDING: f64 = 25.0;
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
