//! A few hundred rows in tiles, and an R*-tree of the tiles: as much as is laid anew at once.

use rstar::{AABB, ParentNode, RStarInsertionStrategy, RTree, RTreeNode, RTreeObject, RTreeParams};
use wayside_protocols::time::Timestamp;

use super::row::Row;
use super::slab::{FEW, Lot, Slab, bits, mask};
use super::stand::{Bounds, PACKED};
use super::tile::{Circle, Tile};

/// Tiles that cover a part of a patch exactly.
pub(super) struct Block {
    tree: RTree<Leaf, Wide>,
    /// How many rows are in it.
    pub(super) rows: usize,
    /// What holds for all of them.
    pub(super) bounds: Bounds,
    /// How many tiles it had when they were last laid.
    laid: usize,
    /// Whether its rows could not be parted then: most are at one point, and laying them anew is of no use.
    crowd: bool,
}

impl Block {
    /// Nobody.
    pub(super) fn new() -> Self {
        Self { tree: RTree::new_with_params(), rows: 0, bounds: Bounds::NONE, laid: 0, crowd: false }
    }

    /// What was just filed in these buckets.
    pub(super) fn packed(leaves: Vec<(Tile, u32)>, slab: &Slab) -> Self {
        let rows = leaves.iter().map(|(_, bucket)| slab.bucket(*bucket).len()).sum();
        let laid = leaves.len();
        let leaves = leaves.into_iter().map(|(tile, bucket)| Leaf { tile, bucket }).collect();
        let mut block =
            Self { tree: RTree::bulk_load_with_params(leaves), rows, bounds: Bounds::NONE, laid, crowd: rows > BLOCK };
        block.survey(slab, Timestamp::START, &mut |_| {});
        block
    }

    /// Closes every bucket and hands back what was in them.
    pub(super) fn close(&mut self, slab: &mut Slab, lot: &mut Lot) -> Vec<Row> {
        let mut rows = Vec::with_capacity(self.rows);
        for leaf in &self.tree {
            rows.extend(slab.bucket(leaf.bucket).rows());
            slab.close(lot, leaf.bucket);
        }
        *self = Self::new();
        rows
    }

    /// Whether it should become several.
    pub(super) const fn overfull(&self) -> bool {
        self.rows > BLOCK && !self.crowd
    }

    /// Whether so many tiles were cut, or so many are all but empty, that packing pays.
    pub(super) fn worn(&self) -> bool {
        let (tiles, needed) = (self.tree.size(), self.rows / PACKED + 1);
        let small = self.rows <= BLOCK;
        small && (tiles > self.laid + self.laid / 2 + 8 || tiles > 2 * needed + 8)
    }

    /// Learns the bounds anew, and reports the key of each row that has lapsed by `now`.
    pub(super) fn survey(&mut self, slab: &Slab, now: Timestamp, lapsed: &mut impl FnMut(u32)) {
        let mut bounds = Bounds::NONE;
        for leaf in &self.tree {
            for row in slab.bucket(leaf.bucket).rows() {
                if row.lapsed(now) {
                    lapsed(row.key());
                }
                bounds.note(&row, leaf.tile.stray(row.foot()));
            }
        }
        self.bounds = bounds;
    }

    /// Shows every bucket whose tile `circle` touches, [`FEW`] at a time. How many nodes and tiles it looked at.
    pub(super) fn within(&self, circle: &Circle, found: &mut impl FnMut(&[u32])) -> usize {
        descend(self.tree.root(), circle, found)
    }

    /// Shows every bucket, nearest tiles first but only roughly, whose tile `circle` touches; the next has to touch
    /// the circle that `found` gives back.
    pub(super) fn nearest(&self, circle: &mut Circle, found: &mut impl FnMut(u32) -> Circle) {
        approach(self.tree.root(), circle, found);
    }

    /// The bucket whose tile `foot` is in, or is nearest to; `None` if there is no tile yet.
    pub(super) fn seek(&self, foot: &[f32; 2]) -> Option<u32> {
        holding(self.tree.root(), foot).or_else(|| {
            let mut best = (f32::INFINITY, None);
            closest(self.tree.root(), foot, &mut best);
            best.1
        })
    }

    /// Takes in a bucket.
    pub(super) fn add(&mut self, tile: Tile, bucket: u32) {
        self.tree.insert(Leaf { tile, bucket });
    }

    /// Gives a bucket a smaller tile.
    pub(super) fn narrow(&mut self, from: Tile, to: Tile, bucket: u32) {
        self.tree.remove(&Leaf { tile: from, bucket });
        self.tree.insert(Leaf { tile: to, bucket });
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Leaf {
    tile: Tile,
    bucket: u32,
}

impl RTreeObject for Leaf {
    type Envelope = AABB<[f32; 2]>;

    fn envelope(&self) -> Self::Envelope {
        self.tile.envelope()
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

/// What everything below `node` is in.
#[inline]
fn around(node: &RTreeNode<Leaf>) -> Tile {
    match node {
        RTreeNode::Leaf(leaf) => leaf.tile,
        RTreeNode::Parent(parent) => parent.envelope().into(),
    }
}

fn descend(node: &ParentNode<Leaf>, circle: &Circle, found: &mut impl FnMut(&[u32])) -> usize {
    let mut looked_at = node.children().len();
    for children in node.children().chunks(FEW) {
        let (mut buckets, mut touched) = ([0; FEW], 0);
        for child in bits(mask(children, |child| circle.touches(&around(child)))).map(|number| &children[number]) {
            match child {
                RTreeNode::Leaf(leaf) => {
                    buckets[touched] = leaf.bucket;
                    touched += 1;
                }
                RTreeNode::Parent(parent) => looked_at += descend(parent, circle, found),
            }
        }
        found(&buckets[..touched]);
    }
    looked_at
}

/// The nearest child first: it makes the circle small for the others, and spares sorting them.
fn approach(node: &ParentNode<Leaf>, circle: &mut Circle, found: &mut impl FnMut(u32) -> Circle) {
    let mut away = [f32::INFINITY; MANY];
    for children in node.children().chunks(MANY) {
        for (number, child) in children.iter().enumerate() {
            away[number] = around(child).distance_2(&circle.centre);
        }
        let away = &mut away[..children.len()];
        while let Some((next, _)) =
            away.iter().enumerate().filter(|away| *away.1 <= circle.radius_2).min_by(|a, b| a.1.total_cmp(b.1))
        {
            away[next] = f32::NAN;
            match &children[next] {
                RTreeNode::Leaf(leaf) => *circle = found(leaf.bucket),
                RTreeNode::Parent(parent) => approach(parent, circle, found),
            }
        }
    }
}

/// The first tile with `foot` in it.
fn holding(node: &ParentNode<Leaf>, foot: &[f32; 2]) -> Option<u32> {
    node.children().iter().filter(|child| around(child).holds(foot)).find_map(|child| match child {
        RTreeNode::Leaf(leaf) => Some(leaf.bucket),
        RTreeNode::Parent(parent) => holding(parent, foot),
    })
}

/// Finds the tile nearest to `foot`.
fn closest(node: &ParentNode<Leaf>, foot: &[f32; 2], best: &mut (f32, Option<u32>)) {
    for child in node.children() {
        let distance_2 = around(child).distance_2(foot);
        if distance_2 < best.0 {
            match child {
                RTreeNode::Leaf(leaf) => *best = (distance_2, Some(leaf.bucket)),
                RTreeNode::Parent(parent) => closest(parent, foot, best),
            }
            if best.0 == 0.0 {
                return;
            }
        }
    }
}

/// Children of a node that are put in order together. A packed tree may have more than [`Wide`] allows.
const MANY: usize = 32;
/// Rows in a block at the most, unless they are at one point: laying them anew takes about half a millisecond.
pub(super) const BLOCK: usize = 1_024;
