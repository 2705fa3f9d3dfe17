//! What a survey of a whole segment takes: 254 addresses, 32 devices, four gateways at 9600 baud that wait 100 ms.
//!
//! Figures, each for the units that people choose (`modbus_usual_`) and for drawn ones (`modbus_drawn_`):
//! - `found`, `matched`, `false`: devices found, those with the right service and profile, and rows beyond;
//! - `first`, `p50`, `p90`, `all`, `closed`, seconds from the start of `wayside scan`: when the first device, half of
//!   them, nine in ten and the last were asked the last that they were asked before the sweep went on (as the devices
//!   saw it), and when the program ended;
//! - `connections`, `most_connections` (at once, to one host), `requests`, `writes` (function codes other than 1 to 4
//!   and 43), by the devices' ledgers; `rss` (peak) and `cpu` of the program.
//!
//! `nmap_` is nmap's modbus-discover on the same twenty hosts in the same run, for two minutes at the most; it looks at
//! port 502 only, so this needs a user who may listen there. Without nmap the figures are left out, and it says so.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use serde_json::Value;
use wayside_tests::figure::{cpu_time, quantile, tell};
use wayside_tests::place::Scratch;
use wayside_tests::plant::Plant;
use wayside_tests::plant::ledger::Ledger;
use wayside_tests::plant::segment::{Ids, Segment};
use wayside_tests::wayside::binary;

fn main() {
    let usual = Segment::new(Ipv4Addr::new(127, 7, 0, 0), PORT, Ids::Usual, 1);
    let plant = Plant::with(1, usual.hosts.clone());
    survey("modbus_usual", &plant, &usual, "127.7.0.0/24");
    plant.forget();
    nmap(&plant, &usual);
    drop(plant);
    let drawn = Segment::new(Ipv4Addr::new(127, 7, 8, 0), PORT, Ids::Drawn, 2);
    let plant = Plant::with(2, drawn.hosts.clone());
    survey("modbus_drawn", &plant, &drawn, "127.7.8.0/24");
}

fn survey(name: &str, plant: &Plant, segment: &Segment, network: &str) {
    let scratch = Scratch::new();
    let out = fs::File::create(scratch.file("report")).expect("the scratch directory is writable");
    let mut command = Command::new(binary());
    command.args(["scan", "modbus", &format!("{network}:{PORT}"), "-o", "json"]);
    command.stdin(Stdio::null()).stdout(out);
    let before = plant.elapsed();
    let mut scan = command.spawn().expect("wayside starts");
    let (mut rss, mut cpu) = (0, Duration::ZERO);
    let ended = loop {
        if scan.try_wait().expect("wayside is a child").is_some() {
            break plant.elapsed();
        }
        rss = rss.max(peak_kib(scan.id()));
        cpu = cpu.max(cpu_time(scan.id()));
        thread::park_timeout(Duration::from_millis(10));
    };
    let text = fs::read_to_string(scratch.file("report")).expect("the report was written");
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let rows = report["devices"].as_array().cloned().unwrap_or_default();

    let (mut found, mut matched, mut times) = (0, 0, Vec::new());
    for resident in &segment.residents {
        let here = |row: &&Value| {
            row["address"] == resident.address.to_string() && resident.unit.is_none_or(|unit| row["unit"] == unit)
        };
        let Some(row) = rows.iter().find(here) else { continue };
        found += 1;
        let profile = resident.profile.map_or(Value::Null, Value::from);
        matched += usize::from(row["service"] == resident.service && row["profile"] == profile);
        let ledger = plant.ledger(resident.address);
        let unit = row["unit"].as_u64().unwrap_or(0);
        times.push(identified(&ledger, unit).saturating_sub(before).as_secs_f64());
    }
    let figure = |what: &str, value: f64, unit: &str| tell(&format!("{name}_{what}"), value, unit);
    figure("found", f64::from(found), "devices");
    figure("matched", matched as f64, "devices");
    figure("false", rows.len() as f64 - f64::from(found), "devices");
    if !times.is_empty() {
        for (what, share) in [("first", 0.0), ("p50", 0.5), ("p90", 0.9), ("all", 1.0)] {
            figure(what, quantile(&times, share), "s");
        }
    }
    figure("closed", (ended - before).as_secs_f64(), "s");
    ledgers(&figure, plant);
    figure("rss", rss as f64 / 1024.0, "MiB");
    figure("cpu", cpu.as_secs_f64(), "s");
}

/// When the unit was last asked in the row of questions that found it.
fn identified(ledger: &Ledger, unit: u64) -> Duration {
    let mut asked = ledger.asked.iter().skip_while(|asked| u64::from(asked.unit) != unit);
    let row = asked.by_ref().take_while(|asked| u64::from(asked.unit) == unit);
    row.last().map_or(Duration::ZERO, |asked| asked.at)
}

fn ledgers(figure: &dyn Fn(&str, f64, &str), plant: &Plant) {
    let all: Vec<Ledger> = plant.ledgers().into_values().collect();
    let sum = |count: fn(&Ledger) -> usize| all.iter().map(count).sum::<usize>() as f64;
    let others =
        |ledger: &Ledger| ledger.asked.iter().filter(|asked| !matches!(asked.pdu.first(), Some(1..=4 | 43))).count();
    figure("connections", sum(|ledger| ledger.connections as usize), "");
    figure("most_connections", all.iter().map(|ledger| ledger.open_at_once).max().unwrap_or(0) as f64, "");
    figure("requests", sum(|ledger| ledger.asked.len()), "");
    figure("writes", all.iter().map(others).sum::<usize>() as f64, "");
}

#[allow(clippy::print_stdout, reason = "the figures are what it is for")]
fn nmap(plant: &Plant, segment: &Segment) {
    let hosts: Vec<String> =
        segment.hosts.iter().map(|(address, _): &(SocketAddr, _)| address.ip().to_string()).collect();
    let mut command = Command::new("timeout");
    command.args(["120", "nmap", "-n", "-Pn", "-p", &PORT.to_string(), "--script", "modbus-discover"]);
    command.args(["--script-args", "modbus-discover.aggressive=true"]).args(hosts).stdin(Stdio::null());
    let begun = Instant::now();
    let Ok(output) = command.output() else { return println!("nmap: not measured, it does not start") };
    if output.status.code() == Some(127) {
        return println!("nmap: not measured, it is not installed");
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let sids = said.lines().filter(|line| line.contains("sid 0x")).count();
    let figure = |what: &str, value: f64, unit: &str| tell(&format!("nmap_{what}"), value, unit);
    figure("rows", sids as f64, "");
    figure("ended", begun.elapsed().as_secs_f64(), "s");
    ledgers(&figure, plant);
}

fn peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.split_whitespace().next()).and_then(|kib| kib.parse().ok()).unwrap_or(0)
}

const PORT: u16 = 502;
