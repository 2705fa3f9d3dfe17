//! What the examples share: the recorded city, and the fleet that drives it.

pub mod fleet;
pub mod trace;
