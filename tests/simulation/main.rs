//! What only many agents show.
//!
//! Every run prints its seed. A seed that fails becomes a named test.

mod broker;
mod link;
mod town;
