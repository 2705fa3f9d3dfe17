//! A whole segment of simulated devices, surveyed by the built agent as a user does it; every host tells what it was
//! asked.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on ends")]

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;
use serde_json::Value;
use wayside_tests::daemon::Daemon;
use wayside_tests::place::Scratch;
use wayside_tests::plant::Plant;
use wayside_tests::plant::device::{Device, Identity};
use wayside_tests::plant::host::{Absent, Host, Manner, Others};
use wayside_tests::plant::segment::{Ids, Segment};
use wayside_tests::plant::sunspec::Image;
use wayside_tests::wait::eventually;
use wayside_tests::wayside::{Wayside, binary, wayside};

#[test]
fn a_segment_with_the_units_that_people_choose_is_found_to_the_last_device() {
    whole_segment(Ipv4Addr::new(127, 7, 1, 0), Ids::Usual, 1);
}

#[test]
fn a_segment_with_units_drawn_at_random_is_found_to_the_last_device() {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = std::env::var("WAYSIDE_SEED").map_or(since.as_secs(), |seed| seed.parse().unwrap());
    println!("WAYSIDE_SEED={seed}");
    whole_segment(Ipv4Addr::new(127, 7, 2, 0), Ids::Drawn, seed);
}

fn whole_segment(network: Ipv4Addr, ids: Ids, seed: u64) {
    let segment = Segment::new(network, PORT, ids, seed);
    let plant = Plant::with(seed, segment.hosts);

    let report = scan(&[&format!("{network}/24:{PORT}")]);

    let rows = report["devices"].as_array().unwrap();
    let mut missed = Vec::new();
    let mut known = BTreeSet::new();
    for resident in &segment.residents {
        let here = |row: &&Value| {
            row["address"] == resident.address.to_string() && resident.unit.is_none_or(|unit| row["unit"] == unit)
        };
        let Some(row) = rows.iter().find(here) else {
            missed.push(format!("not found: {resident:?}"));
            continue;
        };
        known.insert((row["address"].to_string(), row["unit"].to_string()));
        let profile = resident.profile.map_or(Value::Null, Value::from);
        let serial =
            resident.serial.as_ref().filter(|_| row["identified_by"].as_str().is_some_and(|by| by.contains("sunspec")));
        let right = row["service"] == resident.service
            && row["profile"] == profile
            && row["manufacturer"] == resident.manufacturer
            && serial.is_none_or(|serial| row["serial"] == **serial);
        if !right {
            missed.push(format!("taken for another: {resident:?}: {row}"));
        }
    }
    assert_eq!(missed, [""; 0], "seed {seed}");
    assert_eq!(rows.len(), known.len(), "devices that are not there: {rows:?}");
    for (address, ledger) in plant.ledgers() {
        ledger.is_gentle(&address.to_string());
        assert_eq!(ledger.connections, 1, "{address}");
    }
    let requests: usize = plant.ledgers().values().map(|ledger| ledger.asked.len()).sum();
    println!("{requests} requests, {}", report["counts"]);
}

#[test]
fn hostile_hosts_do_no_harm_and_are_told_of() {
    let named = |name: &str| Device::identified(Identity::basic(name, "X-1", "1"));
    let mut endless = named("Endless");
    if let Some(identity) = &mut endless.identity {
        identity.endless = true;
    }
    let at = |last: u8| SocketAddr::from(([127, 7, 3, last], PORT));
    let honest = Host { absent: Absent::Exception(0x0B), ..Host::native(1, named("Honest")) };
    let manner = |manner| Host { manner, ..honest.clone() };
    let others = |others| Host { others, ..Host::native(250, Device::default()) };
    let plant = Plant::with(
        3,
        [
            (at(1), honest.clone()),
            (at(2), manner(Manner::Babbles)),
            (at(3), manner(Manner::HangsUp)),
            (at(4), manner(Manner::NeverAnswers)),
            (at(5), others(Others::Same(named("Everybody")))),
            (at(6), others(Others::Changing(named("Chameleon")))),
            (at(7), Host::agnostic(endless)),
            (at(8), others(Others::Each(named("Crowd")))),
        ],
    );

    let report = scan(&[&format!("127.7.3.0/28:{PORT}"), "--units", "1-12,246,247", "--timeout", "300ms"]);

    let rows = report["devices"].as_array().unwrap();
    let count = |last: u8| rows.iter().filter(|row| row["address"] == at(last).to_string()).count();
    assert_eq!((count(1), count(5), count(7)), (1, 1, 1), "{report}");
    assert_eq!((count(2), count(3), count(4)), (0, 0, 0), "{report}");
    for (last, reason) in [(2, "garbage"), (3, "hangs up"), (4, "never answers")] {
        let told = |row: &Value| {
            row["address"] == at(last).to_string() && row["reason"].as_str().is_some_and(|why| why.contains(reason))
        };
        assert!(report["refused"].as_array().unwrap().iter().any(told), "{reason}: {}", report["refused"]);
    }
    for (address, ledger) in plant.ledgers() {
        ledger.is_gentle(&address.to_string());
        assert!(ledger.asked.len() < 300, "{address} was asked {} times", ledger.asked.len());
    }
}

#[test]
fn what_is_denied_is_never_touched_and_a_dry_run_touches_nobody() {
    let at = |last: u8| SocketAddr::from(([127, 7, 4, last], PORT));
    let device = || Host::agnostic(Device::identified(Identity::basic("Acme", "X-1", "1")));
    let plant = Plant::with(4, [(at(1), device()), (at(2), device())]);
    let target = format!("127.7.4.0/29:{PORT}");

    let dry = wayside(&["scan", "modbus", &target, "--dry-run", "-o", "json"]);
    assert_eq!(dry.code, 0, "{dry:?}");
    assert!(plant.ledgers().values().all(|ledger| ledger.connections == 0));

    let report = scan(&[&target, "--deny", "127.7.4.2"]);
    assert_eq!(report["devices"].as_array().map(Vec::len), Some(1), "{report}");
    assert_eq!(plant.ledger(at(2)).connections, 0);
    assert!(report["refused"].to_string().contains("127.7.4.2"), "{report}");
}

#[test]
fn what_may_not_be_asked_is_refused_before_anything_is_sent() {
    for (target, reason) in
        [("8.8.8.8", "public"), ("127.0.0.0/8", "1024"), ("127.0.0.1:0", "port"), ("/dev/none?baud=9600", "not there")]
    {
        let ran = wayside(&["scan", "modbus", target, "-o", "json"]);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(ran.code != 0 && said.contains(reason), "{target}: {ran:?}");
    }
}

#[test]
fn asked_to_end_it_ends_within_one_request() {
    let scratch = Scratch::new();
    let address = SocketAddr::from(([127, 7, 5, 1], PORT));
    let device = || Device::identified(Identity::basic("Acme", "X-1", "1"));
    let plant = Plant::with(5, [(address, Host::gateway(Duration::from_millis(400), [(1, device())]))]);
    let mut command = Command::new(binary());
    command.args(["scan", "modbus", &address.to_string(), "-o", "json"]);
    let mut survey = Daemon::start("scan", command, scratch.path());
    eventually(SOON, "the gateway is asked", || (plant.last(address).0 >= 5).then_some(()));

    survey.signal(Signal::TERM);
    let asked = plant.last(address).0;
    survey.end(Duration::from_secs(3));

    let ledger = plant.ledger(address);
    assert!(ledger.asked.len() as u64 <= asked + 1, "{} after {asked}", ledger.asked.len());
    ledger.is_gentle("the gateway");
    eventually(SOON, "its connection is closed", || plant.ledger(address).closed);
    assert!(survey.log().contains("Acme"), "what was found until then is told: {}", survey.log());
}

#[test]
fn an_agent_notices_who_leaves_comes_back_and_becomes_another() {
    let address = SocketAddr::from(([127, 7, 10, 3], PORT));
    let inverter = |serial: &str| {
        Image::new(40_000, 66, "Fronius", "Symo 10.0-3-M", "3.1", serial)
            .inverter(4_321, 5_001)
            .into_device(Device::default())
    };
    let plant = Plant::with(6, [(address, Host::agnostic(inverter("SN-A")))]);
    let agent = Wayside::start(
        None,
        &format!(
            "id = \"gw-1\"\n[mdns]\nenabled = false\n[modbus]\ninterval = \"1s\"\n\
             [[modbus.segment]]\nname = \"hall\"\ntargets = [\"127.7.10.0/29:{PORT}\"]\nscan = true\npriority = 5\n"
        ),
    );
    let known = |serial: &str| {
        let rows = agent.instances("modbus.inverter");
        let mut serials = rows.iter().map(|row| row["metadata"]["serial"].as_str().unwrap_or_default());
        (rows.len() == 1 && serials.all(|known| known == serial)).then_some(())
    };
    eventually(LONG, "the inverter is a service", || known("SN-A"));
    assert_eq!(agent.cli(&["find", "modbus.inverter", "--require", "loss<=0.01"]).code, 0);
    // It thinks for 8 ms.
    eventually(LONG, "its latency is known", || {
        (agent.cli(&["find", "modbus.inverter", "--max-latency", "100ms"]).code == 0).then_some(())
    });
    assert_eq!(agent.cli(&["find", "modbus.inverter", "--max-latency", "2ms"]).code, 1);

    plant.vanish(address);
    eventually(LONG, "it departs", || agent.instances("modbus.inverter").is_empty().then_some(()));
    plant.come_back(address).unwrap();
    eventually(LONG, "it is back", || known("SN-A"));
    plant.change(address, move |host| host.others = Others::Same(inverter("SN-B")));
    eventually(LONG, "another is there in its place", || known("SN-B"));
    plant.ledger(address).is_gentle("the inverter");
}

#[track_caller]
fn scan(args: &[&str]) -> Value {
    let ran = wayside(&[&["scan", "modbus"], args, &["-o", "json"]].concat());
    assert!(matches!(ran.code, 0 | 1), "{ran:?}");
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

const PORT: u16 = 1_502;
const SOON: Duration = Duration::from_secs(20);
const LONG: Duration = Duration::from_secs(100);
