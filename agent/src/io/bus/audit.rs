//! The record of every request that was sent.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions, rename};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tokio::sync::{mpsc, oneshot};
use wayside_protocols::modbus::request::Request;
use wayside_protocols::modbus::target::Target;
use wayside_protocols::modbus::unit::Unit;
use wayside_protocols::time::UnixMillis;

use crate::clock::Clock;

/// Where requests are recorded before they are sent. Without a file nothing is recorded.
#[derive(Clone, Debug, Default)]
pub struct Audit {
    entries: Option<mpsc::Sender<Entry>>,
}

type Entry = (String, oneshot::Sender<Result<(), Box<str>>>);

impl Audit {
    /// Records to the end of `path`, and the task that writes. When the file has [`MOST`] bytes it becomes `path.1`, in
    /// place of the one before.
    ///
    /// # Errors
    /// If it cannot be opened for writing.
    pub fn open(path: &Path, clock: Clock) -> io::Result<(Self, impl Future<Output = ()> + use<>)> {
        let file = append(path)?;
        let length = file.metadata()?.len();
        let (entries, waiting) = mpsc::channel(ENTRIES);
        let book = Book { path: path.to_owned(), file, length, clock };
        Ok((Self { entries: Some(entries) }, book.keep(waiting)))
    }

    /// Records one request. It must not be sent unless this went well.
    pub(super) async fn note(&self, target: &Target, unit: Unit, request: &Request) -> Result<(), Box<str>> {
        let Some(entries) = &self.entries else { return Ok(()) };
        let mut pdu = String::with_capacity(10);
        for byte in request.pdu() {
            // Writing to a String cannot fail.
            let _ = write!(pdu, "{byte:02x}");
        }
        let entry = serde_json::json!({ "target": target.to_string(), "unit": unit.0, "pdu": pdu }).to_string();
        let (written, done) = oneshot::channel();
        entries.send((entry, written)).await.map_err(|_| "the program is stopping")?;
        done.await.unwrap_or_else(|_| Err("the program is stopping".into()))
    }
}

struct Book {
    path: PathBuf,
    file: File,
    length: u64,
    clock: Clock,
}

impl Book {
    async fn keep(mut self, mut entries: mpsc::Receiver<Entry>) {
        while let Some((entry, written)) = entries.recv().await {
            let outcome = self.write(&entry).map_err(|error| format!("{}: {error}", self.path.display()).into());
            // The request's sender may be gone; the record stays.
            let _ = written.send(outcome);
        }
    }

    fn write(&mut self, entry: &str) -> io::Result<()> {
        let time = moment(self.clock.wall());
        let line = format!("{{\"time\":\"{time}\",{}\n", entry.trim_start_matches('{'));
        if self.length + line.len() as u64 > MOST {
            let mut old = self.path.clone().into_os_string();
            old.push(".1");
            rename(&self.path, old)?;
            self.file = append(&self.path)?;
            self.length = 0;
        }
        self.file.write_all(line.as_bytes())?;
        self.length += line.len() as u64;
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// `2026-11-22T21:05:00.123Z` (RFC 3339; the days by Howard Hinnant's `civil_from_days`).
fn moment(wall: UnixMillis) -> String {
    let (days, millis) = (wall.0 / 86_400_000, wall.0 % 86_400_000);
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day + 2) / 153;
    let (month, day) = (if shifted < 10 { shifted + 3 } else { shifted - 9 }, day - (153 * shifted + 2) / 5 + 1);
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (millis / 3_600_000, millis / 60_000 % 60, millis / 1_000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", millis % 1_000)
}

/// Bytes of the file at the most; with the one before it, twice as many are kept.
pub const MOST: u64 = 4 << 20;
/// Entries that wait to be written at the most; a further request waits until it is recorded.
const ENTRIES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use wayside_protocols::modbus::request::Objects;

    #[test]
    fn moments_are_written_as_the_calendar_has_them() {
        assert_eq!(moment(UnixMillis(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(moment(UnixMillis(951_782_400_123)), "2000-02-29T00:00:00.123Z");
        assert_eq!(moment(UnixMillis(1_795_381_500_000)), "2026-11-22T21:05:00.000Z");
        assert_eq!(moment(UnixMillis(4_107_542_399_999)), "2100-02-28T23:59:59.999Z");
    }

    #[tokio::test]
    async fn every_request_is_on_record_before_it_is_sent_and_the_record_is_bounded() {
        let path = std::env::temp_dir().join(format!("wayside-audit-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, vec![b'x'; usize::try_from(MOST).unwrap() - 10]).unwrap();
        let (audit, keep) = Audit::open(&path, Clock::start()).unwrap();
        let target = Target::Tcp("127.0.0.1:502".parse().unwrap());
        let note = async {
            audit.note(&target, Unit(3), &Request::Identify(Objects::Regular, 0)).await.unwrap();
            drop(audit);
        };
        tokio::join!(keep, note);
        let record = std::fs::read_to_string(&path).unwrap();
        let entry: serde_json::Value = serde_json::from_str(&record).unwrap();
        assert_eq!(
            (&entry["target"], &entry["unit"], &entry["pdu"]),
            (&"127.0.0.1:502".into(), &3.into(), &"2b0e0200".into())
        );
        let mut old = path.clone().into_os_string();
        old.push(".1");
        assert_eq!(std::fs::metadata(&old).unwrap().len(), MOST - 10);
        std::fs::remove_file(&path).unwrap();
        std::fs::remove_file(&old).unwrap();
    }
}
