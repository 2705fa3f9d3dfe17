//! Counting what happened, by name.

use std::collections::BTreeMap;

/// Counts of what happened, by name. Names are fixed in the code, so that no label comes from the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters(BTreeMap<&'static str, u64>);

impl Counters {
    /// One more `what`.
    pub fn count(&mut self, what: &'static str) {
        self.add(what, 1);
    }

    /// `n` more `what`.
    pub fn add(&mut self, what: &'static str, n: u64) {
        *self.0.entry(what).or_default() += n;
    }

    /// How many `what` there were.
    pub fn get(&self, what: &'static str) -> u64 {
        self.0.get(what).copied().unwrap_or_default()
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().map(|(what, n)| (*what, *n))
    }
}
