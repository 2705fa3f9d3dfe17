//! Where each agent lies, by a keyed number of its name.

/// Numbers and their seats, searched in as good as one step. Twice as long as what is in it, and laid anew when it is
/// full; nothing is ever shown in its order, which depends on the key.
#[derive(Debug, Default)]
pub(super) struct Seats {
    /// As many as a power of two; a number lies where its lowest bits say, or in the next place that was free.
    places: Vec<(u64, u32)>,
    taken: usize,
}

impl Seats {
    pub(super) fn len(&self) -> usize {
        self.taken
    }

    #[inline]
    pub(super) fn get(&self, number: u64) -> Option<u32> {
        let mut place = self.first(number)?;
        loop {
            match self.places[place] {
                (_, NOBODY) => return None,
                (other, seat) if other == number => return Some(seat),
                _ => place = self.after(place),
            }
        }
    }

    /// Gives `number` a seat, which is never `u32::MAX`; hands back the one it had.
    pub(super) fn insert(&mut self, number: u64, seat: u32) -> Option<u32> {
        if 2 * (self.taken + 1) > self.places.len() {
            self.lay(|_| true, (2 * self.places.len()).max(FEWEST));
        }
        let mut place = self.first(number)?;
        loop {
            match &mut self.places[place] {
                free @ (_, NOBODY) => {
                    *free = (number, seat);
                    self.taken += 1;
                    return None;
                }
                (other, before) if *other == number => return Some(std::mem::replace(before, seat)),
                _ => place = self.after(place),
            }
        }
    }

    /// Forgets every seat but those that `stays` wants.
    pub(super) fn retain(&mut self, stays: impl Fn(u32) -> bool) {
        self.lay(stays, self.places.len());
    }

    fn lay(&mut self, stays: impl Fn(u32) -> bool, long: usize) {
        self.taken = 0;
        for (number, seat) in std::mem::replace(&mut self.places, vec![(0, NOBODY); long]) {
            if seat != NOBODY && stays(seat) {
                self.insert(number, seat);
            }
        }
    }

    /// `None` while there is no place at all.
    fn first(&self, number: u64) -> Option<usize> {
        Some(number as usize & self.places.len().checked_sub(1)?)
    }

    fn after(&self, place: usize) -> usize {
        (place + 1) & (self.places.len() - 1)
    }
}

/// A place that is free.
const NOBODY: u32 = u32::MAX;
const FEWEST: usize = 16;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_finds_what_a_map_finds(steps in vec((0u64..64, 0u32..1_000, 0u8..20), 1..400)) {
            let (mut seats, mut map) = (Seats::default(), BTreeMap::new());
            for (number, seat, what) in steps {
                // Numbers that all want the first places.
                let number = (number << 32) | (number % 3);
                if what == 0 {
                    seats.retain(|seat| seat % 3 != 0);
                    map.retain(|_, seat| *seat % 3 != 0);
                } else {
                    prop_assert_eq!(seats.insert(number, seat), map.insert(number, seat));
                }
                prop_assert_eq!(seats.len(), map.len());
                for number in (0..64).map(|number| (number << 32) | (number % 3)) {
                    prop_assert_eq!(seats.get(number), map.get(&number).copied());
                }
            }
        }
    }
}
