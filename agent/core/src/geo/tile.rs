//! Parts of a plane, how they are cut, and circles over them.

use rstar::AABB;

use super::slab::CAPACITY;

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
        let out = |axis: usize| larger(larger(self.low[axis] - centre[axis], centre[axis] - self.high[axis]), 0.0);
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
    pub(super) fn holds(&self, foot: &[f32; 2]) -> bool {
        let (x, y) = (foot[0] - self.centre[0], foot[1] - self.centre[1]);
        x * x + y * y <= self.radius_2
    }
}

/// The larger of two of which neither is NaN: one instruction, where [`f32::max`] has to look for a NaN.
#[inline]
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// A foot and the number of the row it belongs to.
pub(super) type Foot = ([f32; 2], usize);

#[derive(Clone, Copy)]
pub(super) struct Cut {
    pub(super) lower: Tile,
    pub(super) upper: Tile,
}

/// Cuts `tile` until each part has at most so many rows, and gives each part its own. A crowd at one point has no cut:
/// it is one part if it is a block's, and several with one tile if these are to be buckets.
pub(super) fn divide(tile: Tile, feet: &mut [Foot], most: usize, part: &mut impl FnMut(Tile, &mut [Foot])) {
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
pub(super) fn halve(tile: Tile, feet: &mut [Foot]) -> (usize, Option<Cut>) {
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
