//! Modbus as a client sees it: what may be asked, what came back, and nothing that writes.
//!
//! Heads up: "MODBUS Application Protocol Specification V1.1b3" rules requests and replies, "MODBUS Messaging on TCP/IP
//! Implementation Guide V1.0b" the frames on TCP, "MODBUS over Serial Line V1.02" those on a line. A reading is right,
//! or it is an error.

pub mod frame;
pub mod identify;
pub mod identity;
pub mod plan;
pub mod profile;
pub mod reading;
pub mod reply;
pub mod request;
pub mod segment;
pub mod sunspec;
pub mod survey;
pub mod target;
pub mod translate;
pub mod unit;
