//! Where things stand, and who is near.
//!
//! The trees only propose; the row in the slab decides, by a straight line in Earth-centred metres, so neither the
//! poles nor the antimeridian is a special case. What makes the proposal safe is one inequality, said in `stand`:
//! projecting a point onto a plane can only bring it nearer, so a circle on the plane that is drawn wide enough for
//! strays and dead reckoning touches the tile of every answer.
//!
//! `motion` (where it is by now) · `turn` (sines without libm) · `patch` (planes) · `row` (of one thing) · `slab` (all
//! rows, in buckets) · `tile` (parts of a plane) · `block` (some tiles and their tree) · `stand` (all tiles of a population
//! on one plane) · `best` (the nearest so far) · `index` (the whole).

mod best;
mod block;
mod index;
mod motion;
#[cfg(test)]
mod oracle;
mod patch;
mod row;
mod slab;
mod stand;
mod tile;
mod turn;

pub use index::{GeoIndex, Stats};
pub use motion::{
    ACCELERATION, Estimate, HEADING_SIGMA, SPEED_SIGMA, Seen, Standing, TOP_SPEED, VALIDITY, Z, standing, verdict,
};
pub use row::Refused;

/// A slot in the catalog; what the index knows a service by. Below [`Key::END`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub u32);

impl Key {
    /// The first number that is no slot. The index keeps four bytes for every slot below the highest in use.
    pub const END: u32 = 1 << 24;
}

/// Which of the indexed a query is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Population {
    /// Everything.
    All,
    /// What was placed as such, or has never been seen to move.
    Static,
    /// What was placed as such, or stated a motion or was placed elsewhere than before.
    Mobile,
}
