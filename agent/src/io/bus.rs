//! Modbus connections and serial lines: one task owns each, and one request is on its way at a time.
//!
//! Two things hold by the shape of this code. What is sent is a [`Request`], which cannot say a write. And a
//! [`line::Line`] that failed in any way is used up by that: there is nothing left to ask on.
//!
//! [`Request`]: wayside_protocols::modbus::request::Request

pub mod adapter;
pub mod audit;
mod desk;
pub mod findings;
pub mod keeper;
pub mod line;
mod open;
mod owner;
mod port;
pub mod round;

pub use audit::Audit;
pub use desk::{Bus, desk};
pub use open::OpenError;
pub use owner::AskError;
