//! What the agent believes, and until when.

use std::sync::Arc;

use wayside_protocols::service::Service;

/// What believing differently means.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A service nobody vouched for before.
    Appeared(Arc<Service>),
    /// A service that shows itself differently.
    Updated(Arc<Service>),
    /// A service nobody vouches for any more.
    Departed(Arc<Service>),
}
