//! Where the agent touches the world.

pub mod api;
pub mod clock;
pub mod driver;
pub mod io;
pub mod journal;
