//! The index against a plain list of fixes.

use super::*;
use wayside_protocols::place::{Fix, Position};
use wayside_protocols::time::Timestamp;

#[test]
fn what_is_placed_is_found_and_what_is_removed_is_not() {
    let mut index = GeoIndex::new();
    let here = Position::new(48.8566, 2.3522).unwrap();
    index.place(Key(7), &Fix::fixed(here.moved(90.0, 80.0), 1.0, Timestamp::START)).unwrap();
    let near = index.nearest(&here, 10, Timestamp::START);
    assert_eq!(near.len(), 1);
    assert!((near[0].1.distance.as_metres() - 80.0).abs() < 0.05);
    assert!(index.remove(Key(7)));
    assert!(index.nearest(&here, 10, Timestamp::START).is_empty());
}
