//! Registrations that survive a crash.
//!
//! An append-only file. An entry is acknowledged after `fdatasync`; entries that wait together share one. A file whose
//! tail was torn by a crash is cut back to its last whole record; one that is mostly garbage is written anew beside
//! itself and renamed. A disk that is full or read-only refuses entries, not the agent: each commit tries again.

mod epoch;
mod file;
pub mod kept;
mod record;
mod stored;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tracing::{error, info, warn};

use wayside_core::agent::io::{Entry, Ticket};
use wayside_core::registration::Registration;
use wayside_protocols::time::UnixMillis;

use crate::count::AtomicU64;
use crate::driver::{Inbox, Message};
use file::{Contents, LogFile};
use stored::StoredEntry;

/// The journal of one state directory.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    /// `None` while the directory does not let us.
    file: Option<LogFile>,
    /// The record of each registration that holds: what compaction keeps.
    live: BTreeMap<Box<str>, Live>,
    /// This start's epoch, while it is not on disk. It goes there before any registration, so that no later start
    /// counts the same.
    uncounted: Option<u32>,
    tally: Arc<JournalTally>,
}

/// What the journal said at the start.
#[derive(Debug)]
pub struct Restored {
    /// Registrations that held when the agent stopped. Each gets its whole lease again: nobody knows how long the
    /// agent was away.
    pub registrations: Vec<Registration>,
    /// How often this agent has started. Where the state directory cannot be written it is one more than what can be
    /// read there; where it cannot even be read, the seconds of a wall clock that has been set, or 1.
    pub epoch: u32,
    /// Why nothing can be kept, if nothing can: registrations are refused with this reason until it can.
    pub trouble: Option<JournalError>,
}

/// Why something is not on disk.
#[derive(Debug, thiserror::Error)]
#[error("{path}: cannot {what}: {source}", path = path.display())]
pub struct JournalError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// What the journal has done since the start; shared with whoever shows it.
#[derive(Debug, Default)]
pub struct JournalTally {
    bytes: AtomicU64,
    syncs: AtomicU64,
    failures: AtomicU64,
    failing: AtomicBool,
}

impl JournalTally {
    /// Bytes written to the state directory.
    pub fn bytes_written(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Times the disk was waited for.
    pub fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// Commits that failed.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Whether the last commit failed, or the directory cannot be used.
    pub fn failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    fn wrote(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn synced(&self) {
        self.syncs.fetch_add(1, Ordering::Relaxed);
    }
}

impl Journal {
    /// Opens the journal in `dir`, creating both where needed, and counts this start. Never fails: an agent without a
    /// usable state directory runs, and says so in [`Restored::trouble`].
    pub fn open(dir: &Path, wall: UnixMillis) -> (Self, Restored) {
        let tally = Arc::new(JournalTally::default());
        let mut journal = Self { dir: dir.into(), file: None, live: BTreeMap::new(), uncounted: None, tally };
        let (epoch, counted) = epoch::next(dir, wall, &journal.tally);
        journal.uncounted = counted.is_err().then_some(epoch);
        let opened = journal.reopen();
        let registrations = match &opened {
            Ok(contents) => contents.entries.values().filter_map(stored::restore).collect(),
            Err(_) => file::peek(dir).values().filter_map(stored::restore).collect(),
        };
        let trouble = opened.and(counted).err();
        journal.tally.failing.store(trouble.is_some(), Ordering::Relaxed);
        (journal, Restored { registrations, epoch, trouble })
    }

    /// Puts `entries` on disk, in their order; when it returns they survive `kill -9` and a power cut. An entry that
    /// says what the journal says already costs nothing.
    ///
    /// # Errors
    /// [`JournalError`]; then none of `entries` counts, and the next call tries the disk anew.
    pub fn commit(&mut self, entries: &[Entry]) -> Result<(), JournalError> {
        let outcome = self.append(entries);
        let failing = outcome.is_err();
        if failing {
            self.tally.failures.fetch_add(1, Ordering::Relaxed);
        }
        let before = self.tally.failing.swap(failing, Ordering::Relaxed);
        match (&outcome, before) {
            (Err(error), false) => error!(%error, "registrations are refused until the disk takes them"),
            (Ok(()), true) => info!(dir = %self.dir.display(), "the disk takes registrations again"),
            _ => {}
        }
        outcome
    }

    /// Where its work is counted.
    pub fn tally(&self) -> Arc<JournalTally> {
        Arc::clone(&self.tally)
    }

    fn append(&mut self, entries: &[Entry]) -> Result<(), JournalError> {
        if self.file.is_none() {
            self.reopen()?;
        }
        if let Some(epoch) = self.uncounted {
            epoch::write(&self.dir, epoch, &self.tally)?;
            self.uncounted = None;
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut bytes = Vec::new();
        let mut learnt: Vec<(Box<str>, Option<Live>)> = Vec::new();
        for entry in entries {
            let record = StoredEntry::from(entry).to_record();
            let (id, live) = match entry {
                Entry::Registered(registration) => (registration.service.id.as_str(), Some(Live::of(&record))),
                Entry::Withdrawn(id) => (id.as_str(), None),
            };
            let known = learnt.iter().rev().find(|(other, _)| &**other == id).map(|(_, live)| *live);
            if known.unwrap_or_else(|| self.live.get(id).copied()) == live {
                continue;
            }
            bytes.extend_from_slice(&record);
            learnt.push((id.into(), live));
        }
        if !bytes.is_empty() {
            file.append(&bytes, &self.tally)?;
        }
        for (id, live) in learnt {
            match live {
                Some(live) => self.live.insert(id, live),
                None => self.live.remove(&id),
            };
        }
        self.compact();
        Ok(())
    }

    /// Reads the file from the start, cuts off a torn tail, and learns what holds.
    fn reopen(&mut self) -> Result<Contents, JournalError> {
        let (file, contents) = LogFile::open(&self.dir, &self.tally)?;
        self.file = Some(file);
        self.live = contents.entries.iter().map(|(id, entry)| (id.clone(), Live::of(&entry.to_record()))).collect();
        if contents.damaged > 0 {
            self.rewrite();
        }
        Ok(contents)
    }

    /// Writes the file anew when most of it is garbage: at most one byte of rewriting for each four appended, so that
    /// flash wears little.
    fn compact(&mut self) {
        let live: usize = self.live.values().map(|live| live.bytes).sum();
        let length = self.file.as_ref().map_or(0, LogFile::length);
        if length.saturating_sub(live as u64) > GARBAGE.max(4 * live as u64) {
            self.rewrite();
        }
    }

    /// Failing to is no loss: whichever file bears the name says the same. The next commit opens that one, since
    /// nobody knows how far this came.
    fn rewrite(&mut self) {
        let Some(file) = &mut self.file else { return };
        if let Err(error) = file.rewrite(&self.tally) {
            warn!(%error, "the journal stays longer than it needs to be");
            self.file = None;
        }
    }
}

/// Writes down what the driver asks for until its queue is closed; then everything taken is on disk.
pub async fn keep(mut journal: Journal, mut entries: mpsc::Receiver<(Ticket, Entry)>, inbox: Inbox) {
    let mut waiting = Vec::with_capacity(TOGETHER);
    while entries.recv_many(&mut waiting, TOGETHER).await > 0 {
        let (tickets, batch): (Vec<_>, Vec<_>) = waiting.drain(..).unzip();
        let committed = spawn_blocking(move || {
            let outcome = journal.commit(&batch).map_err(|error| Box::from(error.to_string()));
            (journal, outcome)
        });
        // A panic has ended the program before it gets here.
        let Ok((back, outcome)) = committed.await else { return };
        journal = back;
        for ticket in tickets {
            if !inbox.tell(Message::Stored(ticket, outcome.clone())).await {
                break;
            }
        }
    }
}

/// The record of a registration that holds: how long it is, and a digest to see whether another says the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Live {
    bytes: usize,
    digest: u64,
}

impl Live {
    fn of(record: &[u8]) -> Self {
        use std::hash::{DefaultHasher, Hasher};
        let mut hasher = DefaultHasher::new();
        hasher.write(record);
        Self { bytes: record.len(), digest: hasher.finish() }
    }
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError {
    move |source| JournalError { what, path: path.into(), source }
}

/// Entries that share one wait for the disk at the most.
const TOGETHER: usize = 256;
/// Bytes of garbage a journal may always carry.
const GARBAGE: u64 = 256 * 1_024;

#[cfg(test)]
mod tests;
