//! How often the agent has started.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use wayside_protocols::time::UnixMillis;

use super::file::replace;
use super::{JournalError, JournalTally, failed};

/// The epoch of this start, and whether it is on disk.
///
/// Neighbours tell an agent's lives apart by it, so it must rise. If it cannot be read at all, the seconds of a wall
/// clock that has been set stand in for it: more than any count of starts, and rising.
pub(super) fn next(dir: &Path, wall: UnixMillis, tally: &JournalTally) -> (u32, Result<(), JournalError>) {
    let path = dir.join(NAME);
    let last = match fs::read_to_string(&path) {
        Ok(text) => text.trim().parse::<u32>().ok(),
        Err(error) if error.kind() == ErrorKind::NotFound && writable(dir) => Some(0),
        Err(_) => None,
    };
    let epoch = last.map_or_else(|| guess(wall), |last| last.saturating_add(1));
    (epoch, write(dir, epoch, tally))
}

fn guess(wall: UnixMillis) -> u32 {
    if wall.plausible() { u32::try_from(wall.0 / 1_000).unwrap_or(u32::MAX) } else { 1 }
}

fn writable(dir: &Path) -> bool {
    fs::create_dir_all(dir).is_ok() && replace(&dir.join("probe"), b"", &JournalTally::default()).is_ok() && {
        // Left behind it would only be an empty file.
        let _ = fs::remove_file(dir.join("probe"));
        true
    }
}

/// Puts `epoch` on disk as the count of starts so far.
pub(super) fn write(dir: &Path, epoch: u32, tally: &JournalTally) -> Result<(), JournalError> {
    fs::create_dir_all(dir).map_err(failed("create", dir))?;
    replace(&dir.join(NAME), format!("{epoch}\n").as_bytes(), tally)
}

const NAME: &str = "epoch";
