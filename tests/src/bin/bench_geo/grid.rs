//! A hash of 250 m cells: the fastest there is as long as everything is on one plane and evenly spread.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use wayside_core::geo::Key;
use wayside_protocols::place::{Fix, Position};

use crate::contest::Contestant;
use crate::linear::{Ten, distance_2};
use crate::town::flat;

#[derive(Default)]
pub(crate) struct Grid {
    places: Vec<Option<[f64; 2]>>,
    cells: HashMap<u64, Vec<Member>, BuildHasherDefault<Mix>>,
}

type Member = (u32, [f64; 2]);

impl Contestant for Grid {
    fn place(&mut self, key: Key, fix: &Fix) {
        let (number, at) = (key.0, flat(&fix.position));
        if self.places.len() <= number as usize {
            self.places.resize(number as usize + 1, None);
        }
        let old = self.places[number as usize].replace(at).map(|at| cell(&at));
        if let Some(old) = old {
            let members = self.cells.entry(old).or_default();
            if let Some(index) = members.iter().position(|member| member.0 == number) {
                if old == cell(&at) {
                    members[index].1 = at;
                    return;
                }
                members.swap_remove(index);
            }
        }
        self.cells.entry(cell(&at)).or_default().push((number, at));
    }

    fn within(&self, centre: &Position, metres: f64) -> usize {
        let centre = flat(centre);
        let (left, right) = (column(centre[0] - metres), column(centre[0] + metres));
        let (low, high) = (column(centre[1] - metres), column(centre[1] + metres));
        let cells = (left..=right).flat_map(|x| (low..=high).map(move |y| pair(x, y)));
        let members = cells.filter_map(|cell| self.cells.get(&cell)).flatten();
        members.filter(|(_, at)| distance_2(at, &centre) <= metres * metres).count()
    }

    fn nearest(&self, centre: &Position) -> usize {
        let centre = flat(centre);
        let (x, y) = (column(centre[0]), column(centre[1]));
        let mut best = Ten::default();
        for ring in 0..200_i32 {
            // Everything in this ring is at least this far away.
            let least = f64::from(ring - 1).max(0.0) * CELL;
            if least * least > best.worst() {
                break;
            }
            for (dx, dy) in (-ring..=ring).flat_map(|dx| (-ring..=ring).map(move |dy| (dx, dy))) {
                if dx.abs().max(dy.abs()) == ring {
                    for (number, at) in self.cells.get(&pair(x + dx, y + dy)).into_iter().flatten() {
                        best.offer(distance_2(at, &centre), *number);
                    }
                }
            }
        }
        best.len()
    }
}

fn column(metres: f64) -> i32 {
    (metres / CELL).floor() as i32
}

fn cell(at: &[f64; 2]) -> u64 {
    pair(column(at[0]), column(at[1]))
}

fn pair(x: i32, y: i32) -> u64 {
    u64::from(x.cast_unsigned()) << 32 | u64::from(y.cast_unsigned())
}

const CELL: f64 = 250.0;

/// One multiplication: the keys are no secret and nobody chooses them.
#[derive(Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        let mixed = (self.0 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ mixed >> 29;
    }
}
