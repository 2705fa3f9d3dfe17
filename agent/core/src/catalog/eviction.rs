//! Making room.

use std::cmp::Ordering;
use std::sync::Arc;

use wayside_protocols::sighting::Source;
use wayside_protocols::time::{Duration, Timestamp};

use super::{Catalog, Change, Entry, Slot};

/// How much room is made at once, so that a flood does not pay for a search with every row: a 64th of the catalog.
const SHARE: usize = 64;
/// What was heard again after this long has shown that it lasts, and makes room only after what has not.
const LASTING: Duration = Duration::from_secs(10);

impl Catalog {
    /// Makes room for a newcomer from `source` in a full catalog, and says what had to go. `distance` tells how far
    /// a slot stands from the agent in metres; what stands nowhere counts as farthest.
    ///
    /// Own rows never go. Critical rows of others go only when nothing else is left and the newcomer is critical too
    /// (`critical`). Otherwise first goes what has not shown that it lasts, then the farthest, then what was heard
    /// longest ago; rows of a source that takes more than its share before those of the others.
    pub fn evict(
        &mut self,
        source: Source,
        critical: bool,
        now: Timestamp,
        distance: impl Fn(Slot) -> f64,
    ) -> Vec<(Slot, Change)> {
        let share = self.limits.services_per_source;
        let greedy = self.entries().filter(|(_, entry)| only(entry, source)).count() > share;
        let mut rows: Vec<Row> = self
            .entries()
            .filter(|(_, entry)| !entry.own() && (critical || !entry.shown().critical))
            .filter(|(_, entry)| !greedy || only(entry, source))
            .map(|(slot, entry)| Row {
                slot,
                critical: entry.shown().critical,
                lasting: entry.heard() - entry.appeared() >= LASTING,
                metres: distance(slot),
                silent: now - entry.heard(),
            })
            .collect();
        rows.sort_unstable_by(Row::first_to_go);
        rows.truncate((self.len() / SHARE).max(1));
        let gone = |row: Row| {
            let shown = Arc::clone(self.at(row.slot)?.shown());
            Some((row.slot, Change::Departed(self.remove(row.slot, &shown)?)))
        };
        rows.into_iter().filter_map(gone).collect()
    }
}

struct Row {
    slot: Slot,
    critical: bool,
    lasting: bool,
    metres: f64,
    silent: Duration,
}

impl Row {
    fn first_to_go(&self, other: &Self) -> Ordering {
        self.critical
            .cmp(&other.critical)
            .then(self.lasting.cmp(&other.lasting))
            .then(other.metres.total_cmp(&self.metres))
            .then(other.silent.cmp(&self.silent))
            .then(self.slot.cmp(&other.slot))
    }
}

fn only(entry: &Entry, source: Source) -> bool {
    entry.claims().iter().all(|held| held.source == source)
}
