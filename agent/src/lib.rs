//! Where the agent touches the world.

pub mod clock;
pub mod driver;
pub mod io;
