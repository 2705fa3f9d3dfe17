//! Who keeps how many, so that room is made at the cost of whoever takes most of it.

use alloc::collections::{BTreeMap, BTreeSet};
use core::cmp::Reverse;
use core::net::IpAddr;

/// Serial numbers by the sender they came from. All operations are logarithmic.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    members: BTreeMap<IpAddr, BTreeSet<u64>>,
    /// The sender with most is last; among equals, the one whose oldest is oldest.
    ranked: BTreeSet<(usize, Reverse<u64>, IpAddr)>,
    total: usize,
}

impl Crowd {
    pub(super) fn add(&mut self, sender: IpAddr, serial: u64) {
        self.change(sender, |set| set.insert(serial));
        self.total += 1;
    }

    pub(super) fn remove(&mut self, sender: IpAddr, serial: u64) {
        self.change(sender, |set| set.remove(&serial));
        self.total -= 1;
    }

    pub(super) fn total(&self) -> usize {
        self.total
    }

    /// How many came from `sender`.
    pub(super) fn of(&self, sender: IpAddr) -> usize {
        self.members.get(&sender).map_or(0, BTreeSet::len)
    }

    /// The oldest that came from `sender`.
    pub(super) fn oldest_of(&self, sender: IpAddr) -> Option<u64> {
        self.members.get(&sender)?.first().copied()
    }

    /// The oldest of the sender that has most.
    pub(super) fn oldest_of_heaviest(&self) -> Option<u64> {
        self.ranked.last().map(|(_, Reverse(oldest), _)| *oldest)
    }

    /// Every serial number.
    pub(super) fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.members.values().flatten().copied()
    }

    fn change(&mut self, sender: IpAddr, change: impl FnOnce(&mut BTreeSet<u64>) -> bool) {
        let set = self.members.entry(sender).or_default();
        if let Some(oldest) = set.first() {
            self.ranked.remove(&(set.len(), Reverse(*oldest), sender));
        }
        change(set);
        match set.first() {
            Some(oldest) => {
                self.ranked.insert((set.len(), Reverse(*oldest), sender));
            }
            None => {
                self.members.remove(&sender);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_most_gives_its_oldest() {
        let (modest, hog) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let mut crowd = Crowd::default();
        for (sender, serial) in [(modest, 1), (hog, 2), (hog, 3)] {
            crowd.add(sender, serial);
        }
        assert_eq!(crowd.oldest_of_heaviest(), Some(2));
        crowd.remove(hog, 2);
        assert_eq!(crowd.oldest_of_heaviest(), Some(1), "among equals the oldest goes");
        assert_eq!((crowd.total(), crowd.of(hog), crowd.oldest_of(hog)), (2, 1, Some(3)));
    }
}
