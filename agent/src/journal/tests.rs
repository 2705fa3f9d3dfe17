use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::AtomicU32;

use super::*;
use crate::api::stage::settings;
use wayside_core::registration::{HealthCheck, Probe};
use wayside_protocols::place::{Area, Distance, Fix, Position};
use wayside_protocols::service::{Endpoint, Kind, Service, Trust, Value};
use wayside_protocols::time::{Duration, Timestamp};

/// A directory of its own for one test, gone at its end.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("wayside-journal-{}-{serial}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        Self(dir)
    }

    fn open(&self) -> (Journal, Restored) {
        Journal::open(&self.0, UnixMillis(0))
    }

    fn file(&self) -> PathBuf {
        self.0.join("registrations")
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn registration(id: &str, priority: u8) -> Registration {
    let mut service = Service::new(id.parse().unwrap(), "charging".parse().unwrap(), Kind::Gateway);
    (service.priority, service.trust) = (priority, Trust::Own);
    Registration { service, ttl: Duration::from_secs(60), check: None }
}

fn registered(id: &str, priority: u8) -> Entry {
    Entry::Registered(Box::new(registration(id, priority)))
}

fn withdrawn(id: &str) -> Entry {
    Entry::Withdrawn(id.parse().unwrap())
}

fn held(restored: &Restored) -> BTreeMap<&str, u8> {
    restored.registrations.iter().map(|held| (held.service.id.as_str(), held.service.priority)).collect()
}

#[test]
fn what_was_committed_is_there_after_the_next_start() {
    let dir = Dir::new();
    let (mut journal, first) = dir.open();
    journal.commit(&[registered("a@g", 1), registered("b@g", 2)]).unwrap();
    journal.commit(&[registered("a@g", 3), withdrawn("b@g"), registered("c@g", 4)]).unwrap();
    let (_, second) = dir.open();
    assert_eq!(held(&second), BTreeMap::from([("a@g", 3), ("c@g", 4)]));
    assert_eq!((first.epoch, second.epoch), (1, 2));
    assert!(second.trouble.is_none());
}

#[test]
fn every_field_of_a_registration_survives() {
    let dir = Dir::new();
    let mut full = registration("cp1@gw-7", 9);
    let place = Position::new(-89.9, 180.0).unwrap().at_altitude(35.0).unwrap();
    full.service.agent = "gw-7".parse().ok();
    full.service.endpoint = Some(Endpoint { host: "fd00::1".parse().unwrap(), port: 8080 });
    full.service.fix = Some(Fix::fixed(place, 2.5, Timestamp::START));
    full.service.area = Some(Area::Circle { centre: place, radius: Distance::metres(50) });
    full.service.critical = true;
    full.service.resources.insert("power_kw".into(), Value::Number(22.0));
    full.service.resources.insert("free".into(), Value::Flag(true));
    full.service.resources.insert("plug".into(), Value::Text("ccs".into()));
    full.service.metadata.insert("k".into(), "v".into());
    let probe = Probe::Http { path: "/health".into() };
    full.check = Some(HealthCheck { probe, interval: Duration::from_secs(5), timeout: Duration::from_millis(500) });
    dir.open().0.commit(&[Entry::Registered(Box::new(full.clone()))]).unwrap();
    assert_eq!(dir.open().1.registrations, [full]);
}

#[test]
fn wherever_a_write_is_cut_off_all_before_it_holds() {
    let dir = Dir::new();
    let (mut journal, _) = dir.open();
    journal.commit(&[registered("a@g", 1), registered("b@g", 2)]).unwrap();
    let whole = fs::read(dir.file()).unwrap().len();
    journal.commit(&[registered("a@g", 3)]).unwrap();
    let bytes = fs::read(dir.file()).unwrap();
    for length in whole..bytes.len() {
        fs::write(dir.file(), &bytes[..length]).unwrap();
        let (mut journal, restored) = dir.open();
        assert_eq!(held(&restored), BTreeMap::from([("a@g", 1), ("b@g", 2)]), "cut at {length}");
        assert_eq!(fs::read(dir.file()).unwrap().len(), whole);
        journal.commit(&[registered("c@g", 5)]).unwrap();
        assert_eq!(dir.open().1.registrations.len(), 3);
    }
}

#[test]
fn a_flipped_bit_costs_one_record_at_the_most() {
    let dir = Dir::new();
    dir.open().0.commit(&[registered("a@g", 1), registered("b@g", 2), registered("c@g", 3)]).unwrap();
    let bytes = fs::read(dir.file()).unwrap();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x10;
        fs::write(dir.file(), &flipped).unwrap();
        let held = dir.open().1.registrations.len();
        assert!(held >= 2, "bit at {at}: {held} of 3 left");
        assert_eq!(dir.open().1.registrations.len(), held, "reading twice tells the same");
    }
}

#[test]
fn saying_the_same_again_wears_no_flash() {
    let dir = Dir::new();
    let (mut journal, _) = dir.open();
    journal.commit(&[registered("a@g", 1)]).unwrap();
    let before = (journal.tally().bytes_written(), journal.tally().syncs());
    journal.commit(&[registered("a@g", 1), withdrawn("b@g")]).unwrap();
    assert_eq!((journal.tally().bytes_written(), journal.tally().syncs()), before);
    journal.commit(&[registered("a@g", 2), registered("a@g", 1)]).unwrap();
    assert_eq!(held(&dir.open().1), BTreeMap::from([("a@g", 1)]));
}

#[test]
fn many_entries_wait_for_the_disk_once() {
    let dir = Dir::new();
    let (mut journal, _) = dir.open();
    let before = journal.tally().syncs();
    let entries: Vec<_> = (0..200).map(|n| registered(&format!("s{n}@g"), 0)).collect();
    journal.commit(&entries).unwrap();
    assert_eq!(journal.tally().syncs(), before + 1);
}

#[test]
fn the_file_does_not_grow_with_churn() {
    let dir = Dir::new();
    let (mut journal, _) = dir.open();
    for round in 0..200 {
        let entries: Vec<_> = (0..100).map(|n| registered(&format!("s{n}@g"), round as u8)).collect();
        journal.commit(&entries).unwrap();
    }
    let length = fs::metadata(dir.file()).unwrap().len();
    assert!(length < 400_000, "{length} bytes");
    // All of it was appended once, and at most a quarter rewritten.
    let written = journal.tally().bytes_written();
    assert!(written < 200 * 100 * 60 * 5 / 4, "{written} bytes");
    assert_eq!(dir.open().1.registrations.len(), 100);
    assert!(held(&dir.open().1).values().all(|priority| *priority == 199));
}

#[test]
fn a_disk_that_does_not_take_it_refuses_the_entry_and_is_tried_again() {
    let dir = Dir::new();
    fs::write(&dir.0, b"a file where the directory should be").unwrap();
    let (mut journal, restored) = dir.open();
    let trouble = restored.trouble.unwrap().to_string();
    assert!(trouble.contains(dir.0.to_str().unwrap()), "{trouble}");
    assert_eq!(restored.epoch, 1);
    assert!(journal.tally().failing());
    assert!(journal.commit(&[registered("a@g", 1)]).is_err());
    fs::remove_file(&dir.0).unwrap();
    journal.commit(&[registered("b@g", 2)]).unwrap();
    assert!(!journal.tally().failing());
    let (_, second) = dir.open();
    assert_eq!(held(&second), BTreeMap::from([("b@g", 2)]));
    assert_eq!(second.epoch, 2, "the start without a disk is counted as soon as there is one");
}

#[test]
fn without_a_state_directory_a_clock_that_was_set_stands_in_for_the_epoch() {
    let dir = Dir::new();
    fs::write(&dir.0, b"").unwrap();
    let (_, restored) = Journal::open(&dir.0, UnixMillis(1_795_373_017_123));
    assert_eq!(restored.epoch, 1_795_373_017);
    fs::remove_file(&dir.0).unwrap();
}

#[tokio::test]
async fn what_a_caller_was_told_is_registered_is_on_disk() {
    let dir = Dir::new();
    let (journal, _) = dir.open();
    let clock = crate::clock::Clock::start();
    let (orders, entries) = mpsc::channel(64);
    let (handle, inbox, doors) = crate::driver::doors();
    let edges = crate::driver::Edges { journal: Some(orders), ..Default::default() };
    let agent = wayside_core::agent::Agent::new(settings(), clock.now());
    let driver = crate::driver::Driver::new(agent, doors, edges, move || clock.now(), move || clock.wall());
    let tasks = (tokio::spawn(driver.run()), tokio::spawn(keep(journal, entries, inbox)));
    let mut registering = tokio::task::JoinSet::new();
    for n in 0..50 {
        let handle = handle.clone();
        let registration = registration(&format!("s{n}@gw-7"), 0);
        registering.spawn(async move { handle.register(registration).await });
    }
    while let Some(lease) = registering.join_next().await {
        lease.unwrap().unwrap();
    }
    assert_eq!(dir.open().1.registrations.len(), 50);
    handle.leave().await;
    tasks.0.await.unwrap();
    tasks.1.await.unwrap();
}
