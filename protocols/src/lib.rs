//! What neighbours say.
//!
//! Bytes from a link, a broker or a device go in, [`sighting::Sighting`]s come out, and back. Nothing here knows a
//! socket, a clock, a file or a thread: the crate is `no_std`, so that a microcontroller can speak our beacon.
#![no_std]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod bacnet;
pub mod device;
mod dice;
pub mod enip;
pub mod gpsd;
mod json;
pub mod mdns;
pub mod modbus;
pub mod mqtt;
pub mod place;
pub mod registry;
pub mod service;
pub mod sighting;
pub mod text;
pub mod time;
