//! Every place on Earth under one roof.

use std::collections::BTreeMap;
use std::fmt;

use rstar::RTree;
use rstar::primitives::GeomWithData;
use wayside_protocols::place::{Distance, Ecef, Fix, Position};
use wayside_protocols::time::Timestamp;

use super::motion::{Estimate, Look, Standing};
use super::patch::{self, PatchId, Plane};
use super::slab::{Home, Kind, Measured, Refused, Row, Slab, check, ecef};
use super::stand::{Bounds, MARGIN, Stand};
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
    widest: [Bounds; 2],
    /// How many of a population are in no tree.
    loose: [usize; 2],
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
    /// Patches whose tiles were laid anew.
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
            loose: [0; 2],
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
            if stands && on_patch && row.drift(self.slab.row(seat)) { Kind::Static } else { Kind::Mobile }
        });
        let stray = self.slab.tile_of(seat).stray(row.foot());
        if kind == home.kind() && on_patch && stray <= MARGIN && !home.is_loose() && !measured.unruly() {
            *self.slab.row_mut(seat) = row;
            patch.stands[kind as usize].note(&row, stray);
            self.widest[kind as usize].note(&row, stray);
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
            self.slab.row_mut(seat).drift(&before);
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
        found: &mut impl FnMut(Key, Estimate),
    ) -> usize {
        let centre = ecef(centre, self.turns);
        let reach = radius.as_metres();
        let mut looked_at = 0;
        for kind in population.kinds().iter().map(|kind| *kind as usize) {
            let mut show = |bucket: u32, look: &Look, any: f64| {
                for row in self.slab.rows(bucket) {
                    looked_at += 1;
                    if let Some(estimate) = row.seen_within(look, reach, any) {
                        found(Key(row.key()), estimate);
                    }
                }
            };
            let mut nodes = 0;
            self.touched(&centre, reach + self.widest[kind].reach(now), kind, |patch| {
                let (stand, look) = (&patch.stands[kind], patch.look(&centre, now));
                let wide = reach + stand.bounds().reach(now) + ROUNDING;
                nodes += stand.within(look.foot(), wide, &mut |bucket| show(bucket, &look, wide * wide));
            });
            if self.loose[kind] > 0 {
                for patch in &self.patches {
                    let look = patch.look(&centre, now);
                    patch.stands[kind].loose().iter().for_each(|bucket| show(*bucket, &look, f64::INFINITY));
                }
            }
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
        let mut order: Vec<_> = self.atlas.iter().map(|at| (at.data, point(at.geom()).distance_2(&centre))).collect();
        order.sort_unstable_by(|a, b| a.1.total_cmp(&b.1));
        for (place, away_2) in order {
            let patch = &self.patches[place as usize];
            let look = patch.look(&centre, now);
            let offer = |best: &mut Best, bucket: u32| {
                for row in self.slab.rows(bucket) {
                    best.offer(row.distance_2(&look), row.key());
                }
            };
            for stand in patch.stands.iter().filter(|stand| !stand.is_empty()) {
                stand.loose().iter().for_each(|bucket| offer(&mut best, *bucket));
                let reach = stand.bounds().reach(now) + ROUNDING;
                if away_2.sqrt() - patch::REACH - reach * LEAN - LEVEL > best.worst() {
                    continue;
                }
                stand.nearest(look.foot(), best.worst() + reach, &mut |bucket| {
                    offer(&mut best, bucket);
                    best.worst() + reach
                });
            }
        }
        let seen = |key: Key| self.slab.seat(key).map(|seat| (key, self.seen(seat, &centre, now)));
        best.rows.iter().filter_map(|(_, key)| seen(Key(*key))).collect()
    }

    /// Keeps searches narrow and tiles packed; call it about ten times a second, or answers stay right but grow slow.
    ///
    /// Looks at patches in turn until it has seen a quarter of everything, or 16,384, and lays the tiles of at most
    /// one patch anew. On a busy machine that took at most 7 ms with 100,000 things in a city, where a patch has 9,000.
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
        Stats { loose: self.loose[0] + self.loose[1], patches: self.numbers.len(), ..self.stats }
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
        let kind = wanted.unwrap_or(if fix.motion.is_some() { Kind::Mobile } else { Kind::Static });
        self.put_in(key, &Measured::new(fix, self.turns), kind);
    }

    /// Files what is filed nowhere.
    fn put_in(&mut self, key: Key, measured: &Measured, kind: Kind) {
        let place = self.patch(PatchId::of(&measured.ecef));
        let patch = &mut self.patches[place as usize];
        let row = Row::new(key.0, measured, &patch.plane);
        let stand = &mut patch.stands[kind as usize];
        if measured.unruly() {
            self.loose[kind as usize] += 1;
            stand.loosen(row, &mut self.slab);
        } else {
            stand.insert(row, &mut self.slab);
            self.widest[kind as usize] = self.widest[kind as usize].and(stand.bounds());
        }
    }

    /// Takes a row out of where it is filed.
    fn take_out(&mut self, seat: u32) -> Row {
        let home = self.slab.home(seat);
        self.loose[home.kind() as usize] -= usize::from(home.is_loose());
        let row = self.patches[home.place()].stands[home.kind() as usize].remove(seat, &mut self.slab);
        self.drop_if_empty(home.place() as u32);
        row
    }

    fn patch(&mut self, id: PatchId) -> u32 {
        if let Some(place) = self.numbers.get(&id) {
            return *place;
        }
        let place = self.spare.pop().unwrap_or(self.patches.len() as u32);
        let stands = [Kind::Static, Kind::Mobile].map(|kind| Stand::new(Home::new(place, kind)));
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
        if patch.stands.iter().all(Stand::is_empty) {
            self.numbers.remove(&patch.id);
            self.atlas.remove(&GeomWithData::new(array(&patch.plane.origin), place));
            self.spare.push(place);
        }
    }

    /// Shows every patch that may have something of `kind` within `reach` of `centre`.
    fn touched(&self, centre: &Ecef, reach: f64, kind: usize, mut found: impl FnMut(&Patch)) {
        let wide = reach * LEAN + patch::REACH + LEVEL;
        let mut show = |patch: &Patch| {
            if !patch.stands[kind].is_empty() {
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

    /// Learns anew what holds for a patch, and puts what is past its validity with the loose. How many it looked at.
    fn survey(&mut self, place: usize, now: Timestamp) -> usize {
        let stands = &mut self.patches[place].stands;
        let seen = stands[0].len() + stands[1].len();
        let mut lapsed = Vec::new();
        for stand in stands.iter_mut() {
            stand.survey(&self.slab, now, &mut |key| lapsed.push(Key(key)));
        }
        if lapsed.is_empty() {
            return seen;
        }
        for key in &lapsed {
            // Taking one out gives its seat to another, so each is looked up when its turn comes.
            if let Some(seat) = self.slab.seat(*key) {
                let stand = &mut stands[self.slab.home(seat).kind() as usize];
                let row = stand.remove(seat, &mut self.slab);
                stand.loosen(row, &mut self.slab);
            }
        }
        self.loose[Kind::Mobile as usize] += lapsed.len();
        // What held for the lapsed no longer needs to.
        stands.iter_mut().for_each(|stand| stand.survey(&self.slab, now, &mut |_| {}));
        seen
    }

    /// Packs the stands of a patch that need it, and says whether one did.
    fn pack(&mut self, place: usize) -> bool {
        let Self { patches, slab, .. } = self;
        let mut packed = false;
        for stand in patches[place].stands.iter_mut().filter(|stand| stand.worn()) {
            stand.pack(slab);
            self.stats.packed += 1;
            packed = true;
        }
        packed
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
        let before = |other: &(f64, u32)| other.0 < distance_2 || other.0 == distance_2 && other.1 < key;
        if self.rows.len() == self.k {
            if self.rows.last().is_some_and(before) {
                return;
            }
            self.rows.pop();
        }
        let at = self.rows.iter().rposition(before).map_or(0, |last| last + 1);
        self.rows.insert(at, (distance_2, key));
    }
}

fn array(point: &Ecef) -> [f64; 3] {
    [point.x, point.y, point.z]
}

fn point([x, y, z]: &[f64; 3]) -> Ecef {
    Ecef { x: *x, y: *y, z: *z }
}

/// How much longer a way on the ground is than its foot on a patch, and how far the ground is from the plane: both
/// far above what a patch of this size has.
const LEAN: f64 = 1.01;
const LEVEL: f64 = 100.0;
/// Patches that are sooner looked at one by one than found in a tree.
const FEW: usize = 32;
/// Added to what a search reaches, metres, so that no rounding decides what is found.
const ROUNDING: f64 = 0.01;
/// Rows that one call of [`GeoIndex::maintain`] looks at, at the least.
const SURVEYED: usize = 16_384;
