//! What is due when.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::time::Timestamp;

/// One moment for each of many things; setting it again moves it.
#[derive(Debug)]
pub(super) struct Agenda<K> {
    by_time: BTreeSet<(Timestamp, K)>,
    at: BTreeMap<K, Timestamp>,
}

impl<K: Clone + Ord> Agenda<K> {
    pub(super) fn new() -> Self {
        Self { by_time: BTreeSet::new(), at: BTreeMap::new() }
    }

    /// `key` is due `at`, and at no other time; never, if that is [`Timestamp::NEVER`].
    pub(super) fn set(&mut self, key: &K, at: Timestamp) {
        self.clear(key);
        if at < Timestamp::NEVER {
            self.by_time.insert((at, key.clone()));
            self.at.insert(key.clone(), at);
        }
    }

    pub(super) fn clear(&mut self, key: &K) {
        if let Some((key, at)) = self.at.remove_entry(key) {
            self.by_time.remove(&(at, key));
        }
    }

    pub(super) fn first(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes out what is due first, if that is now.
    pub(super) fn pop(&mut self, now: Timestamp) -> Option<K> {
        if self.first()? > now {
            return None;
        }
        let (_, key) = self.by_time.pop_first()?;
        self.at.remove(&key);
        Some(key)
    }
}
