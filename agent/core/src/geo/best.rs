//! The nearest few, found one by one.

use super::motion::Look;
use super::row::Row;

/// The best so far of a search for the nearest.
pub(super) struct Best<'a> {
    /// How many are wanted.
    pub(super) k: usize,
    /// Nearest first.
    pub(super) rows: Vec<Near<'a>>,
}

/// A row, and how it is looked at.
pub(super) struct Near<'a> {
    /// Of the straight line, squared.
    pub(super) distance_2: f64,
    pub(super) row: Row,
    pub(super) look: &'a Look,
}

impl Near<'_> {
    /// Whether it goes before `other`: it is nearer or, as near, has the lower key.
    #[inline]
    fn before(&self, other: &Self) -> bool {
        self.distance_2 < other.distance_2 || self.distance_2 == other.distance_2 && self.row.key() < other.row.key()
    }
}

impl<'a> Best<'a> {
    /// None so far of `k`.
    pub(super) fn new(k: usize) -> Self {
        Self { k, rows: Vec::with_capacity(k.min(1_024) + 1) }
    }

    /// Metres beyond which nothing is of interest.
    pub(super) fn worst(&self) -> f64 {
        if self.rows.len() < self.k {
            f64::INFINITY
        } else {
            self.rows.last().map_or(f64::INFINITY, |row| row.distance_2.sqrt())
        }
    }

    /// Takes `near` in, if it is one of them.
    #[inline]
    pub(super) fn offer(&mut self, near: Near<'a>) {
        if self.rows.len() == self.k {
            if self.rows.last().is_some_and(|last| last.before(&near)) {
                return;
            }
            self.rows.pop();
        }
        let at = self.rows.iter().rposition(|other| other.before(&near)).map_or(0, |last| last + 1);
        self.rows.insert(at, near);
    }
}
