//! What the pairs of a TXT record mean (RFC 6763 section 6), both ways.
//!
//! `lat` and `lon` (decimal degrees) place any instance. Where `agent` and `id` name what an agent of ours offers, these
//! too have a meaning: `name`, `kind`, `acc` (one sigma, metres), `prio` (0 to 255), `crit` (`1`), `r.<resource>`. On
//! `_wayside._tcp`, where the instance is the agent itself, `id` is its id and `kind` its kind; `v`, `epoch`, `api` and
//! `offers` stay in the metadata. Everything else becomes metadata, within bounds. A value that makes no sense is left
//! out and counted; the service stays.

mod read;
mod write;

pub use read::{Instance, offers, service};
pub use write::{Presence, pairs};

use crate::service::Kind;

/// Printable US-ASCII without `=` (RFC 6763 section 6.4), and not longer than we keep.
fn key_allowed(key: &str) -> bool {
    (1..=MAX_KEY).contains(&key.len()) && key.bytes().all(|byte| matches!(byte, 0x20..=0x7e) && byte != b'=')
}

/// What an agent's own words say where the accuracy is left out (one sigma, metres).
fn usual_accuracy(kind: Kind) -> f32 {
    if kind == Kind::Vehicle { 5.0 } else { 1.0 }
}

const MEANT: [&str; 10] = ["id", "agent", "name", "kind", "lat", "lon", "acc", "prio", "crit", "proto"];
const MAX_ACCURACY: f32 = 10_000.0;
const MAX_PAIRS: usize = 32;
const MAX_KEY: usize = 32;
const MAX_STRING: usize = 255;
pub(super) const MAX_TXT: usize = 1_300;

#[cfg(test)]
mod tests;
