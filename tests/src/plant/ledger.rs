//! What was asked of one host, to the byte.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// When, since the plant started.
    pub at: Duration,
    /// On which connection, counted from 1.
    pub connection: u64,
    /// Of which unit.
    pub unit: u8,
    /// Function and data, as they came.
    pub pdu: Vec<u8>,
}

/// Everything that one host was asked.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Connections made, refused ones included.
    pub connections: u64,
    /// When each was made, since the plant started.
    pub connected: Vec<Duration>,
    /// The most that were open at once.
    pub open_at_once: usize,
    /// The most requests of open connections that waited for a reply at once.
    pub outstanding: usize,
    /// Requests, in the order they came.
    pub asked: Vec<Asked>,
    /// Bytes that were no request.
    pub strange: Vec<Vec<u8>>,
    /// Bytes received.
    pub bytes: u64,
    /// When the last connection was closed, since the plant started.
    pub closed: Option<Duration>,
}

impl Ledger {
    /// How often each function was asked for.
    pub fn functions(&self) -> BTreeMap<u8, usize> {
        let mut counts = BTreeMap::new();
        for asked in &self.asked {
            *counts.entry(asked.pdu.first().copied().unwrap_or(0)).or_default() += 1;
        }
        counts
    }

    /// The units asked.
    pub fn units(&self) -> BTreeSet<u8> {
        self.asked.iter().map(|asked| asked.unit).collect()
    }

    /// Holds it to the law: nothing but reading functions, whole requests only, one connection, one request at a time.
    ///
    /// # Panics
    /// If it was broken.
    #[track_caller]
    pub fn is_gentle(&self, who: &str) {
        self.only_reads(who);
        assert!(self.open_at_once <= 1, "{who} had {} connections at once", self.open_at_once);
        assert!(self.outstanding <= 1, "{who} had {} requests outstanding", self.outstanding);
    }

    /// Holds it to the first half of the law: nothing but reading functions, in whole requests.
    ///
    /// # Panics
    /// If it was broken.
    #[track_caller]
    pub fn only_reads(&self, who: &str) {
        for asked in &self.asked {
            let reads = matches!(asked.pdu[..], [1..=4, _, _, _, _] | [43, 14, 1..=4, _]);
            assert!(reads, "{who} was asked {:02x?} of unit {}", asked.pdu, asked.unit);
        }
        assert!(self.strange.is_empty(), "{who} heard what is no request: {:02x?}", self.strange);
    }
}
