//! Looks at everything, every time.

use wayside_core::geo::Key;
use wayside_protocols::place::{Fix, Position};

use crate::contest::Contestant;
use crate::town::flat;

#[derive(Default)]
pub(crate) struct Linear(Vec<[f64; 2]>);

impl Contestant for Linear {
    fn place(&mut self, key: Key, fix: &Fix) {
        let key = key.0 as usize;
        if self.0.len() <= key {
            self.0.resize(key + 1, [f64::INFINITY; 2]);
        }
        self.0[key] = flat(&fix.position);
    }

    fn within(&self, centre: &Position, metres: f64) -> usize {
        let centre = flat(centre);
        self.0.iter().filter(|at| distance_2(at, &centre) <= metres * metres).count()
    }

    fn nearest(&self, centre: &Position) -> usize {
        let centre = flat(centre);
        let mut best = Ten::default();
        for (key, at) in (0..).zip(&self.0) {
            best.offer(distance_2(at, &centre), key);
        }
        best.len()
    }
}

/// The radius, in metres, within which 99 of 100 centres have ten of `places`.
pub(crate) fn radius_of_ten(places: &[Fix], centres: &[Position]) -> f64 {
    let places: Vec<_> = places.iter().map(|fix| flat(&fix.position)).collect();
    let tenth = |centre: &Position| {
        let centre = flat(centre);
        let mut best = Ten::default();
        places.iter().for_each(|at| best.offer(distance_2(at, &centre), 0));
        best.worst()
    };
    let mut tenths: Vec<f64> = centres.iter().take(200).map(tenth).collect();
    tenths.sort_by(f64::total_cmp);
    tenths[tenths.len() * 99 / 100].sqrt()
}

pub(crate) fn distance_2(a: &[f64; 2], b: &[f64; 2]) -> f64 {
    let (x, y) = (a[0] - b[0], a[1] - b[1]);
    x * x + y * y
}

/// The ten best so far.
#[derive(Default)]
pub(crate) struct Ten(Vec<(f64, u32)>);

impl Ten {
    pub(crate) fn offer(&mut self, distance_2: f64, key: u32) {
        if distance_2 < self.worst() {
            let at = self.0.partition_point(|other| other.0 <= distance_2);
            self.0.truncate(9);
            self.0.insert(at.min(self.0.len()), (distance_2, key));
        }
    }

    pub(crate) fn worst(&self) -> f64 {
        if self.0.len() < 10 { f64::INFINITY } else { self.0[9].0 }
    }

    pub(crate) fn len(&self) -> usize {
        std::hint::black_box(&self.0).len()
    }
}
