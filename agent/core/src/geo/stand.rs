//! One population on one patch: an R*-tree of anchors, and how far from its anchor anything can be.
//!
//! The one inequality. For a thing at `p` that was measured at `m` and is anchored at `a` on the plane, a query at
//! `c` and `foot` the projection onto the plane:
//! `|foot(c) - a| <= |foot(c) - foot(p)| + |foot(p) - foot(m)| + |foot(m) - a| <= |c - p| + |p - m| + stray`.
//! So all that `c` can reach lies in a circle wider by the stray, the dead reckoning and the uncertainty.

use rstar::{AABB, ParentNode, RStarInsertionStrategy, RTree, RTreeNode, RTreeObject, RTreeParams};
use wayside_protocols::time::Timestamp;

use super::motion::{Z, outreach};
use super::slab::Row;

/// How far a thing may stray from its anchor before the tree is told, metres.
pub(super) const MARGIN: f64 = 25.0;

/// A tree and what is known of all in it.
pub(super) struct Stand {
    tree: RTree<Anchor, Wide>,
    bounds: Bounds,
    /// Insertions and removals since the tree was packed.
    churn: usize,
}

impl Stand {
    pub(super) fn new() -> Self {
        Self { tree: RTree::new_with_params(), bounds: Bounds::NONE, churn: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.tree.size()
    }

    pub(super) fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    pub(super) fn insert(&mut self, at: [f32; 2], row: u32) {
        self.churn += 1;
        self.tree.insert(Anchor { at, row });
    }

    pub(super) fn remove(&mut self, at: [f32; 2], row: u32) {
        self.churn += 1;
        let removed = self.tree.remove(&Anchor { at, row });
        debug_assert!(removed.is_some(), "a row is in the tree at its anchor");
    }

    /// Takes note of a thing that is `stray` metres from its anchor.
    #[inline]
    pub(super) fn note(&mut self, row: &Row, stray: f64) {
        self.bounds.note(row, stray);
    }

    /// Every row whose anchor is within `radius` of `centre`. How many nodes and anchors it looked at.
    pub(super) fn within(&self, centre: [f64; 2], radius: f64, found: &mut impl FnMut(u32)) -> usize {
        descend(self.tree.root(), &Circle::new(centre, radius), found)
    }

    /// Every row, nearest anchors first but only roughly: `found` is given a row and says how far it is worth
    /// looking, as metres between the centre and an anchor.
    pub(super) fn nearest(&self, centre: [f64; 2], worth: f64, found: &mut impl FnMut(u32) -> f64) -> f64 {
        let mut worth = worth;
        approach(self.tree.root(), centre.map(|part| part as f32), &mut worth, found);
        worth
    }

    /// Learns the bounds anew from `rows`, given how far a row strays from its anchor, and reports each row that
    /// `lapsed` by `now` instead of counting it in.
    pub(super) fn survey(
        &mut self,
        rows: &[Row],
        stray: impl Fn(&Row) -> f64,
        now: Timestamp,
        lapsed: &mut impl FnMut(u32),
    ) {
        let mut bounds = Bounds::NONE;
        for anchor in &self.tree {
            let row = &rows[anchor.row as usize];
            if row.lapsed(now) {
                lapsed(anchor.row);
            }
            bounds.note(row, stray(row));
        }
        self.bounds = bounds;
    }

    /// Whether churn has worn the tree so far that packing pays.
    pub(super) fn worn(&self) -> bool {
        self.churn > self.len() / 2 + 256
    }

    /// Packs the tree. `reseat` is given each row in the order of the packed tree, and says which row stands in its
    /// place from then on.
    pub(super) fn pack(&mut self, mut reseat: impl FnMut(&[u32]) -> Vec<u32>) {
        let anchors: Vec<_> = self.tree.iter().copied().collect();
        self.tree = RTree::bulk_load_with_params(anchors);
        let order: Vec<u32> = self.tree.iter().map(|anchor| anchor.row).collect();
        for (anchor, row) in self.tree.iter_mut().zip(reseat(&order)) {
            anchor.row = row;
        }
        self.churn = 0;
    }
}

/// What holds for everything in a tree; only a survey makes it narrower.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Metres from the anchor to where it was measured, and [`Z`] sigma.
    stray: f64,
    /// Metres a second; negative if nothing moves.
    speed: f64,
    /// When the oldest fix of what moves was taken.
    oldest: Timestamp,
}

impl Bounds {
    pub(super) const NONE: Self = Self { stray: 0.0, speed: -1.0, oldest: Timestamp::NEVER };

    /// Takes note of a thing that is `stray` metres from its anchor.
    #[inline]
    pub(super) fn note(&mut self, row: &Row, stray: f64) {
        self.stray = self.stray.max(stray + Z * f64::from(row.accuracy));
        if row.moving() {
            self.oldest = self.oldest.min(row.time);
            self.speed = self.speed.max(row.speed());
        }
    }

    /// What holds for both.
    pub(super) fn and(&self, other: &Self) -> Self {
        Self {
            stray: self.stray.max(other.stray),
            speed: self.speed.max(other.speed),
            oldest: self.oldest.min(other.oldest),
        }
    }

    /// How much wider than itself a circle must be drawn around anchors, metres.
    pub(super) fn reach(&self, now: Timestamp) -> f64 {
        let moved = if self.speed < 0.0 { 0.0 } else { outreach(now.since(self.oldest), self.speed) };
        self.stray + moved
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Anchor {
    at: [f32; 2],
    row: u32,
}

impl RTreeObject for Anchor {
    type Envelope = AABB<[f32; 2]>;

    fn envelope(&self) -> Self::Envelope {
        AABB::from_point(self.at)
    }
}

/// Sixteen to a node: measured 1.3 to 2 times faster to ask after churn than the default six, and a third smaller.
struct Wide;

impl RTreeParams for Wide {
    const MIN_SIZE: usize = 6;
    const MAX_SIZE: usize = 16;
    const REINSERTION_COUNT: usize = 4;
    type DefaultInsertionStrategy = RStarInsertionStrategy;
}

struct Circle {
    centre: [f32; 2],
    radius_2: f32,
}

impl Circle {
    /// Wide enough to make up for what is lost by counting in f32: 24 bits of the largest number that occurs.
    fn new(centre: [f64; 2], radius: f64) -> Self {
        let rounding = 0.01 + 1e-6 * (centre[0].abs() + centre[1].abs() + radius);
        let radius = radius + rounding;
        Self { centre: centre.map(|part| part as f32), radius_2: (radius * radius) as f32 }
    }
}

fn descend(node: &ParentNode<Anchor>, circle: &Circle, found: &mut impl FnMut(u32)) -> usize {
    let mut looked_at = node.children().len();
    for child in node.children() {
        match child {
            RTreeNode::Leaf(anchor) => {
                if distance_2(anchor.at, circle.centre) <= circle.radius_2 {
                    found(anchor.row);
                }
            }
            RTreeNode::Parent(parent) => {
                if parent.envelope().distance_2(&circle.centre) <= circle.radius_2 {
                    looked_at += descend(parent, circle, found);
                }
            }
        }
    }
    looked_at
}

fn approach(node: &ParentNode<Anchor>, centre: [f32; 2], worth: &mut f64, found: &mut impl FnMut(u32) -> f64) {
    let mut branches: Vec<(f32, &ParentNode<Anchor>)> = Vec::new();
    for child in node.children() {
        match child {
            RTreeNode::Leaf(anchor) => {
                if reaches(distance_2(anchor.at, centre), *worth) {
                    *worth = found(anchor.row);
                }
            }
            RTreeNode::Parent(parent) => branches.push((parent.envelope().distance_2(&centre), parent)),
        }
    }
    branches.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    for (distance_2, parent) in branches {
        if !reaches(distance_2, *worth) {
            break;
        }
        approach(parent, centre, worth, found);
    }
}

/// Whether something this far away can be within `worth` metres, f32 rounding allowed for.
fn reaches(distance_2: f32, worth: f64) -> bool {
    f64::from(distance_2).sqrt() * (1.0 - 1e-6) - 0.02 <= worth
}

fn distance_2(a: [f32; 2], b: [f32; 2]) -> f32 {
    let (x, y) = (a[0] - b[0], a[1] - b[1]);
    x * x + y * y
}
