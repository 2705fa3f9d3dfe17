//! What agents say to each other through an MQTT 5 broker.
//!
//! [`topic`] names the places, [`cell`] cuts the map into them, [`beacon`] says where something moves, [`announcement`]
//! what is on offer, and [`presence`] whether an agent is there at all.

pub mod announcement;
pub mod beacon;
pub mod cell;
pub mod presence;
pub mod topic;

pub use crate::json::FieldError;
