//! The file itself: opened, appended to, cut back, written anew.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tracing::warn;

use super::record::{self, Stretch};
use super::stored::StoredEntry;
use super::{JournalError, JournalTally, failed};

/// An open journal file that ends with a whole record.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    /// Everything before this is whole and on disk.
    length: u64,
    /// A failed write may have left bytes behind `length`.
    dirty: bool,
}

/// What a journal file says.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// Registrations that hold, by id.
    pub(super) entries: BTreeMap<Box<str>, StoredEntry>,
    /// Records that cannot be read any more, other than a torn tail.
    pub(super) damaged: usize,
    /// Bytes up to the end of the last whole record.
    whole: u64,
}

impl LogFile {
    /// Opens the journal in `dir`, and cuts a torn tail off.
    pub(super) fn open(dir: &Path, tally: &JournalTally) -> Result<(Self, Contents), JournalError> {
        fs::create_dir_all(dir).map_err(failed("create", dir))?;
        let path = dir.join(NAME);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed("open", &path))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed("read", &path))?;
        let contents = Contents::read(&bytes, &path);
        let torn = bytes.len() as u64 > contents.whole;
        let mut log = Self { path, file, length: contents.whole, dirty: torn };
        if torn {
            log.cut()?;
        }
        // The file itself may be new: its name must survive a power cut as well.
        sync_dir(dir)?;
        tally.synced();
        Ok((log, contents))
    }

    /// Bytes in it.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Appends `bytes` and waits until they are on disk. On an error the file is as it was.
    pub(super) fn append(&mut self, bytes: &[u8], tally: &JournalTally) -> Result<(), JournalError> {
        if self.dirty {
            self.cut()?;
        }
        self.dirty = true;
        self.file.seek(SeekFrom::Start(self.length)).map_err(failed("write to", &self.path))?;
        let written = self.file.write_all(bytes).map_err(failed("write to", &self.path));
        let synced = written.and_then(|()| self.file.sync_data().map_err(failed("sync", &self.path)));
        if let Err(error) = synced {
            // If even this fails, the next commit begins with it.
            let _ = self.cut();
            return Err(error);
        }
        self.dirty = false;
        self.length += bytes.len() as u64;
        tally.wrote(bytes.len());
        tally.synced();
        Ok(())
    }

    /// Writes what holds into a new file that takes the place of this one.
    pub(super) fn rewrite(&mut self, tally: &JournalTally) -> Result<(), JournalError> {
        let mut bytes = Vec::new();
        self.file.seek(SeekFrom::Start(0)).map_err(failed("read", &self.path))?;
        (&self.file).take(self.length).read_to_end(&mut bytes).map_err(failed("read", &self.path))?;
        let contents = Contents::read(&bytes, &self.path);
        let fresh: Vec<u8> = contents.entries.values().flat_map(StoredEntry::to_record).collect();
        replace(&self.path, &fresh, tally)?;
        self.file = OpenOptions::new().read(true).write(true).open(&self.path).map_err(failed("open", &self.path))?;
        self.length = fresh.len() as u64;
        Ok(())
    }

    /// Takes away whatever a failed or torn write left behind.
    fn cut(&mut self) -> Result<(), JournalError> {
        self.file.set_len(self.length).map_err(failed("cut", &self.path))?;
        self.file.sync_all().map_err(failed("sync", &self.path))?;
        self.dirty = false;
        Ok(())
    }
}

impl Contents {
    fn read(bytes: &[u8], path: &Path) -> Self {
        let (mut contents, mut rest) = (Self::default(), bytes);
        while let Some((stretch, after)) = record::next(rest) {
            rest = after;
            match stretch {
                Stretch::Whole(payload) => contents.learn(payload),
                Stretch::Damaged(length) => {
                    warn!(path = %path.display(), length, "the journal is damaged; records in these bytes are lost");
                    contents.damaged += 1;
                }
                Stretch::Torn(length) => {
                    warn!(path = %path.display(), length, "the journal ends in a write that was cut off; it never counted");
                    continue;
                }
            }
            contents.whole = (bytes.len() - rest.len()) as u64;
        }
        contents
    }

    fn learn(&mut self, payload: &[u8]) {
        match StoredEntry::from_payload(payload) {
            Some(StoredEntry::Withdrawn(id)) => {
                self.entries.remove(&id);
            }
            Some(entry) => {
                self.entries.insert(entry.id().into(), entry);
            }
            None => self.damaged += 1,
        }
    }
}

/// What the journal in `dir` says, where it can be read but not written.
pub(super) fn peek(dir: &Path) -> BTreeMap<Box<str>, StoredEntry> {
    let path = dir.join(NAME);
    fs::read(&path).map(|bytes| Contents::read(&bytes, &path).entries).unwrap_or_default()
}

/// Puts `bytes` in place of what `path` holds: whoever looks sees the old or the new, never a part.
pub(super) fn replace(path: &Path, bytes: &[u8], tally: &JournalTally) -> Result<(), JournalError> {
    let beside = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut file = File::create(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(failed("write", &beside))?;
    tally.wrote(bytes.len());
    fs::rename(&beside, path).map_err(failed("rename", &beside))?;
    path.parent().map_or(Ok(()), sync_dir)?;
    tally.synced();
    Ok(())
}

fn sync_dir(dir: &Path) -> Result<(), JournalError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed("sync", dir))
}

const NAME: &str = "registrations";
