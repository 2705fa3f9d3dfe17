//! The journal under `kill -9`: what was acknowledged is there afterwards, and what is there was written.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use wayside::journal::Journal;
use wayside_core::agent::io::Entry;
use wayside_core::registration::Registration;
use wayside_protocols::service::{Kind, Service};
use wayside_protocols::time::UnixMillis;

#[test]
fn killed_at_any_moment_it_loses_nothing_that_was_acknowledged() {
    // The same test is run again as the process that is killed.
    if let (Ok(dir), Ok(next)) = (std::env::var("JOURNAL_DIR"), std::env::var("JOURNAL_NEXT")) {
        return write_until_killed(Path::new(&dir), next.parse().unwrap());
    }
    let dir = std::env::temp_dir().join(format!("wayside-kill-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    // The serial number of the last acknowledged operation on each id, over all lives.
    let mut acknowledged = BTreeMap::<u64, u64>::new();
    let mut next = 0;
    for round in 0..ROUNDS {
        // Moments spread over the start, the first commits and the steady state, the same in every run.
        let moment = Duration::from_micros(500 + round * 7_919 % 25_000);
        for serial in live(&dir, next, moment) {
            acknowledged.insert(serial % IDS, serial);
            next = next.max(serial + 1);
        }
        next += UNDER_WAY;
        let (_, restored) = Journal::open(&dir, UnixMillis(0));
        assert!(restored.trouble.is_none());
        check(&acknowledged, &restored.registrations, next, round);
    }
    assert!(acknowledged.len() as u64 == IDS && next > 10 * ROUNDS, "hardly anything was written: {next}");
    std::fs::remove_dir_all(&dir).unwrap();
}

/// Writes as fast as it can until it is killed, and says what is on disk.
fn write_until_killed(dir: &Path, mut serial: u64) {
    let (mut journal, _) = Journal::open(dir, UnixMillis(0));
    let mut acknowledgements = std::io::stderr();
    loop {
        let batch: Vec<u64> = (serial..=serial + serial % UNDER_WAY).collect();
        journal.commit(&batch.iter().map(|serial| operation(*serial)).collect::<Vec<_>>()).unwrap();
        let told: String = batch.iter().map(|serial| format!("{serial}\n")).collect();
        acknowledgements.write_all(told.as_bytes()).unwrap();
        serial += batch.len() as u64;
    }
}

/// One life: what was acknowledged until it was killed.
fn live(dir: &Path, next: u64, moment: Duration) -> Vec<u64> {
    let this: PathBuf = std::env::current_exe().unwrap();
    let mut child = Command::new(this)
        .args(["--exact", "killed_at_any_moment_it_loses_nothing_that_was_acknowledged", "--nocapture"])
        .env("JOURNAL_DIR", dir)
        .env("JOURNAL_NEXT", next.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    // The process needs a moment of its own to begin; the clock of the life starts with its first word.
    let first = lines.next();
    std::thread::park_timeout(moment);
    child.kill().unwrap();
    child.wait().unwrap();
    first.into_iter().chain(lines).map(|line| line.unwrap().parse().unwrap()).collect()
}

/// The state of each id is that after its last acknowledged operation, or after one that was under way.
fn check(acknowledged: &BTreeMap<u64, u64>, restored: &[Registration], next: u64, round: u64) {
    let held: BTreeMap<u64, u64> = restored
        .iter()
        .map(|held| (held.service.metadata["id"].parse().unwrap(), held.service.metadata["serial"].parse().unwrap()))
        .collect();
    for (id, last) in acknowledged {
        match held.get(id) {
            Some(serial) => assert!(serial >= last, "round {round}: id {id} went back from {last} to {serial}"),
            None => {
                let withdrawn = (*last..next).step_by(IDS as usize).any(withdraws);
                assert!(withdrawn, "round {round}: id {id} is lost, acknowledged at {last}");
            }
        }
    }
}

fn operation(serial: u64) -> Entry {
    let id = format!("s{}@gw-7", serial % IDS).parse().unwrap();
    if withdraws(serial) {
        return Entry::Withdrawn(id);
    }
    let mut service = Service::new(id, "charging".parse().unwrap(), Kind::Gateway);
    service.metadata.insert("id".into(), (serial % IDS).to_string().into());
    service.metadata.insert("serial".into(), serial.to_string().into());
    service.metadata.insert("ballast".into(), "x".repeat((serial % 300) as usize).into());
    Entry::Registered(Box::new(Registration { service, ttl: Duration::from_secs(60), check: None }))
}

fn withdraws(serial: u64) -> bool {
    serial / IDS % 4 == 3
}

const ROUNDS: u64 = 200;
const IDS: u64 = 50;
/// Operations that share one commit at the most, hence may be on disk without having been acknowledged.
const UNDER_WAY: u64 = 16;
