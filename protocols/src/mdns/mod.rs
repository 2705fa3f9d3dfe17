//! Multicast DNS (RFC 6762) and DNS-SD (RFC 6763): finding what neighbours on a link announce.
//!
//! [`Browser`] is handed datagrams and the time, and hands back queries to multicast and what it saw. [`txt`] says what
//! the key/value pairs of a TXT record mean, both ways. Being found is somebody else's work.

mod agenda;
mod belief;
mod browser;
mod cache;
mod caps;
mod counters;
mod crowd;
mod hearing;
mod message;
mod name;
mod packet;
mod question;
mod service_type;
mod telling;
pub mod txt;

pub use browser::{Browser, BrowserOutput, Datagram};
pub use caps::Caps;
pub use counters::Counters;
pub use service_type::{ServiceType, ServiceTypeError};

#[cfg(test)]
mod tests;
