//! Which unit is asked first.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::dice::Dice;
use crate::modbus::unit::{Unit, Units};

/// Every unit: those that installers and makers like to use first, then the low ones, since buses are counted up from 1,
/// then those that makers of some plants use, then the rest as the dice fall.
pub(super) fn order(dice: &mut Dice) -> Arc<[Unit]> {
    let mut order: Vec<Unit> = Vec::with_capacity(256);
    let mut left: Units = (0..=255).map(Unit).collect();
    let low = (11..=34).map(Unit);
    for unit in LIKELY.map(Unit).into_iter().chain(low).chain(SOMETIMES.map(Unit)) {
        if left.contains(unit) {
            left.remove(unit);
            order.push(unit);
        }
    }
    let tail = order.len();
    order.extend(left.iter());
    shuffle(&mut order[tail..], dice);
    order.into()
}

/// The three of `units` that a device is least likely to have: the highest that nobody likes to use, or just the
/// highest. `None` if there are no more than that: then all of them are asked anyway.
pub(super) fn unlikely(units: &Units) -> Option<[Unit; 3]> {
    let mut found: Vec<Unit> = units.iter().filter(|unit| unit.0 < 248).collect();
    // A stable sort: those that are liked go below the others, each rising.
    found.sort_by_key(|unit| !LIKELY.contains(&unit.0) && !SOMETIMES.contains(&unit.0));
    found.reverse();
    if found.len() > 3 { found.get(..3).and_then(|three| three.try_into().ok()) } else { None }
}

/// Fisher and Yates.
pub(super) fn shuffle<T>(items: &mut [T], dice: &mut Dice) {
    for last in (1..items.len()).rev() {
        let with = dice.below(u32::try_from(last + 1).unwrap_or(u32::MAX)) as usize;
        items.swap(last, with);
    }
}

/// 1 is what most devices come with, 255 what a device on TCP answers to for itself; 126 and 200 on are inverters, 3
/// and 100 too, 10 and 20 meters; 247 is the highest (the units that evcc, mbmd and the makers' manuals name).
const LIKELY: [u8; 17] = [1, 2, 3, 255, 126, 10, 100, 200, 4, 5, 20, 11, 6, 7, 8, 9, 12];
const SOMETIMES: [u8; 11] = [101, 201, 71, 50, 240, 40, 60, 127, 202, 203, 204];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_asked_once_the_likely_ones_first_and_the_rest_by_the_dice() {
        let (one, other) = (order(&mut Dice::new(1)), order(&mut Dice::new(2)));
        assert_eq!(one[..8], [1, 2, 3, 255, 126, 10, 100, 200].map(Unit));
        assert_eq!(one[..49], other[..49]);
        assert_ne!(one, other);
        assert_eq!(one.iter().copied().collect::<Units>().len(), 256);
        assert_eq!(one.len(), 256);
    }

    #[test]
    fn an_alias_is_looked_for_where_nobody_lives() {
        assert_eq!(unlikely(&Units::devices()), Some([247, 246, 245].map(Unit)));
        assert_eq!(unlikely(&"1-3,13".parse().unwrap()), Some([13, 3, 2].map(Unit)));
        assert_eq!(unlikely(&"1-3,255".parse().unwrap()), None);
    }
}
