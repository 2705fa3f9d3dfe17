//! Entries that have something in common, and a number for it that is quicker to compare than its name.

use std::collections::{BTreeMap, BTreeSet};

use super::Slot;

/// What stands for a name while anybody bears it; never 0, and never given twice.
pub(super) type Number = u64;

/// Entries by a name that they share.
#[derive(Debug)]
pub(super) struct Groups<N> {
    by_name: BTreeMap<N, Group>,
    given: Number,
}

#[derive(Debug)]
struct Group {
    number: Number,
    slots: BTreeSet<Slot>,
}

impl<N: Ord + Clone> Groups<N> {
    pub(super) fn new() -> Self {
        Self { by_name: BTreeMap::new(), given: 0 }
    }

    /// What lies in `slot` bears `name`. The number of that name.
    pub(super) fn insert(&mut self, name: &N, slot: Slot) -> Number {
        if let Some(group) = self.by_name.get_mut(name) {
            group.slots.insert(slot);
            return group.number;
        }
        self.given += 1;
        self.by_name.insert(name.clone(), Group { number: self.given, slots: BTreeSet::from([slot]) });
        self.given
    }

    /// What lies in `slot` bears `name` no more.
    pub(super) fn remove(&mut self, name: &N, slot: Slot) {
        if let Some(group) = self.by_name.get_mut(name) {
            group.slots.remove(&slot);
            if group.slots.is_empty() {
                self.by_name.remove(name);
            }
        }
    }

    /// The number of `name`, if anybody bears it.
    pub(super) fn number(&self, name: &N) -> Option<Number> {
        self.by_name.get(name).map(|group| group.number)
    }

    /// Who bears `name`.
    pub(super) fn slots(&self, name: &N) -> impl Iterator<Item = Slot> {
        self.by_name.get(name).into_iter().flat_map(|group| &group.slots).copied()
    }

    /// How many bear `name`.
    pub(super) fn len(&self, name: &N) -> usize {
        self.by_name.get(name).map_or(0, |group| group.slots.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_number_while_anybody_bears_it_and_no_other_name_ever_gets_it() {
        let mut groups = Groups::new();
        let a = groups.insert(&"a", Slot(1));
        assert_eq!((groups.insert(&"a", Slot(2)), groups.len(&"a")), (a, 2));
        let b = groups.insert(&"b", Slot(3));
        groups.remove(&"a", Slot(1));
        assert_eq!((groups.number(&"a"), groups.slots(&"a").collect()), (Some(a), vec![Slot(2)]));
        groups.remove(&"a", Slot(2));
        assert_eq!((groups.number(&"a"), groups.len(&"a")), (None, 0));
        let again = groups.insert(&"a", Slot(1));
        assert!(![0, a, b].contains(&again) && b != a);
    }
}
