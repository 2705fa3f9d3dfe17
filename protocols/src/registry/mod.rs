//! What the registry of a region or of the cloud is asked, what it says, and what it is told.
//!
//! [`ask`] is the question an edge puts to `POST /v1/discovery/services` of a registry, [`told`] the answer to it, and
//! [`rows`] what an agent offers, as it tells a registry in `POST /v1/registry/announcement`. All of it is JSON: an
//! agent and its registry may be of different ages, and people read what goes wrong between them. [`placement`] says which
//! of several shards of a registry holds what.

pub mod ask;
pub mod placement;
pub mod rows;
pub mod told;
