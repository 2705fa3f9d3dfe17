//! Where the agent touches the world: sockets, files, the clock, HTTP and the command line.

pub mod cli;
pub mod clock;
pub mod config;
pub mod words;
