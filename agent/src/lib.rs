//! Where the agent touches the world: sockets, files, the clock, HTTP and the command line.

pub mod api;
pub mod cli;
pub mod clock;
pub mod config;
pub mod count;
pub mod driver;
pub mod field;
pub mod io;
pub mod journal;
pub mod profiles;
pub mod pulse;
pub mod running;
pub mod surveys;
pub mod things;
#[cfg(feature = "otlp")]
pub mod trace;
pub mod words;
