//! What the agent knows and decides.
//!
//! Pure: no socket, clock, file or thread. Bytes, words and the time go in; what to send, store and answer comes out.

pub mod agent;
pub mod catalog;
pub mod counters;
mod dice;
pub mod geo;
pub mod limits;
pub mod neighbourhood;
pub mod query;
pub mod registration;
pub mod registry;
pub mod resolver;
pub mod upstream;
pub mod watch;
pub mod whereabouts;
