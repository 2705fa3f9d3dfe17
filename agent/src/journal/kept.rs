//! Rows that upstreams told, kept over a restart: one file beside the journal, written whole, now and then.
//!
//! It is no truth but a memory: a file that is damaged costs what is in it, and nobody is refused anything over it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use wayside_core::agent::io::Entry;
use wayside_core::query::Tier;
use wayside_core::registration::Registration;
use wayside_core::upstream::Kept;
use wayside_protocols::service::Trust;
use wayside_protocols::time::{Duration, UnixMillis};

use super::JournalTally;
use super::file::replace;
use super::record::{self, Stretch};
use super::stored::{self, StoredEntry};
use crate::clock::Clock;

/// One row. The order of fields is the format; new ones go to the end.
#[derive(Serialize, Deserialize)]
struct StoredRow {
    cloud: bool,
    age_ms: u64,
    /// What the wall clock showed when it was written.
    wall_ms: u64,
    entry: StoredEntry,
}

/// Writes what the driver wants kept until its queue is closed. A disk that does not take it is no trouble: the next time
/// is tried anew.
pub async fn keep(dir: PathBuf, mut rows: mpsc::Receiver<Vec<Kept>>, tally: Arc<JournalTally>, clock: Clock) {
    while let Some(rows) = rows.recv().await {
        let (dir, tally) = (dir.clone(), Arc::clone(&tally));
        let written = spawn_blocking(move || {
            let bytes: Vec<u8> = rows.iter().flat_map(|kept| seal(kept, clock.wall())).collect();
            replace(&dir.join(NAME), &bytes, &tally)
        });
        // A panic has ended the program before it gets here.
        if let Ok(Err(error)) = written.await {
            warn!(%error, "what upstreams told is not kept over a restart");
        }
    }
}

/// What an earlier run kept in `dir`. How long ago that was the wall clock says, if it was set then and is now; otherwise
/// the rows are as old as they were when they were written, at the least.
pub fn restore(dir: &Path, wall: UnixMillis) -> Vec<Kept> {
    let Ok(bytes) = fs::read(dir.join(NAME)) else { return Vec::new() };
    let (mut kept, mut rest) = (Vec::new(), &bytes[..]);
    while let Some((stretch, after)) = record::next(rest) {
        rest = after;
        if let Stretch::Whole(payload) = stretch {
            kept.extend(open(payload, wall));
        }
    }
    info!(rows = kept.len(), "rows that upstreams told are known from before");
    kept
}

fn seal(kept: &Kept, wall: UnixMillis) -> Vec<u8> {
    let registration = Registration { service: (*kept.service).clone(), ttl: Duration::ZERO, check: None };
    let row = StoredRow {
        cloud: kept.tier == Tier::Cloud,
        age_ms: u64::try_from(kept.age.as_millis()).unwrap_or(u64::MAX),
        wall_ms: wall.0,
        entry: StoredEntry::from(&Entry::Registered(Box::new(registration))),
    };
    // As in the journal: this cannot fail, and an empty record is no row.
    record::seal(&postcard::to_allocvec(&row).unwrap_or_default())
}

fn open(payload: &[u8], wall: UnixMillis) -> Option<Kept> {
    let StoredRow { cloud, age_ms, wall_ms, entry } = postcard::from_bytes(payload).ok()?;
    let mut service = stored::restore(&entry)?.service;
    service.trust = Trust::Unsigned;
    let known = wall.plausible() && UnixMillis(wall_ms).plausible();
    let since = if known { wall.0.saturating_sub(wall_ms) } else { 0 };
    let age = Duration::from_millis(age_ms.saturating_add(since));
    let tier = if cloud { Tier::Cloud } else { Tier::Region };
    Some(Kept { tier, service: Arc::new(service), age })
}

const NAME: &str = "last-known-good";

#[cfg(test)]
mod tests {
    use super::*;
    use wayside_protocols::place::{Fix, Position};
    use wayside_protocols::service::{Kind, Service};
    use wayside_protocols::time::Timestamp;

    fn kept() -> Kept {
        let mut service = Service::new("cp1@gw-8".parse().unwrap(), "charging".parse().unwrap(), Kind::Gateway);
        service.agent = Some("gw-8".parse().unwrap());
        service.fix = Some(Fix::fixed(Position::new(48.1, 2.1).unwrap(), 1.5, Timestamp::START));
        Kept { tier: Tier::Region, service: Arc::new(service), age: Duration::from_secs(5) }
    }

    #[test]
    fn a_row_is_as_old_as_the_wall_clock_says_if_it_was_set() {
        let set = UnixMillis(UnixMillis::PLAUSIBLE.0 + 1_000_000);
        let opened = |written, read| {
            let bytes = seal(&kept(), written);
            let Some((Stretch::Whole(payload), _)) = record::next(&bytes) else { panic!("no record") };
            open(payload, read).unwrap()
        };
        let later = opened(set, UnixMillis(set.0 + 60_000));
        assert_eq!((later.age, &later.service), (Duration::from_secs(65), &kept().service));
        assert_eq!(opened(UnixMillis(0), set).age, Duration::from_secs(5));
        assert_eq!(opened(set, UnixMillis(0)).age, Duration::from_secs(5));
    }
}
