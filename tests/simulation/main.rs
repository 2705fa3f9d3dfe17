//! What only many agents show.
//!
//! Every run prints its seed. A seed that fails becomes a named test.

mod broker;
mod clock;
mod crowd;
mod growth;
mod ladder;
mod life;
mod link;
mod seed;
mod street;
mod town;
