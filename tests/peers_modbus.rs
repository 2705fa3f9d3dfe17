//! That a Modbus device of another make tells us what it tells others: pymodbus on TCP and on a line, read by mbpoll
//! beside us.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use wayside::clock::Clock;
use wayside::io::bus::{Audit, Bus, desk};
use wayside_protocols::modbus::reply::Reply;
use wayside_protocols::modbus::request::{Objects, Request, Table};
use wayside_protocols::modbus::segment::Segment;
use wayside_protocols::modbus::target::Target;
use wayside_protocols::modbus::unit::Unit;
use wayside_tests::daemon::{Daemon, output};
use wayside_tests::place::{Scratch, peer, python};
use wayside_tests::wait::eventually;
use wayside_tests::wayside::wayside;

#[test]
fn a_device_on_tcp_tells_us_what_it_tells_mbpoll() {
    let scratch = Scratch::new();
    let _device = pymodbus(&["tcp", "127.8.4.1", "1502"], scratch.path());
    let (words, objects, parts) = read(&target("127.8.4.1:1502"));
    assert_eq!(words, mbpoll(&["-m", "tcp", "-p", "1502", "127.8.4.1"]));
    whole(&objects, parts);
}

#[test]
fn a_device_on_a_line_tells_us_what_it_tells_mbpoll() {
    let scratch = Scratch::new();
    let (ours, theirs) = (scratch.file("ours"), scratch.file("theirs"));
    let end = |path: &Path| format!("pty,raw,echo=0,link={}", path.display());
    let mut socat = Command::new("socat");
    socat.arg(end(&ours)).arg(end(&theirs));
    let _line = Daemon::start("socat", socat, scratch.path());
    eventually(SOON, "the line is there", || (ours.exists() && theirs.exists()).then_some(()));
    let _device = pymodbus(&["rtu", &theirs.display().to_string()], scratch.path());

    let (words, objects, parts) = read(&target(&format!("{}?baud=19200&parity=none", ours.display())));
    assert_eq!(words, mbpoll(&["-m", "rtu", "-b", "19200", "-P", "none", &ours.display().to_string()]));
    whole(&objects, parts);
}

#[test]
fn a_scan_finds_the_one_unit_that_is_there() {
    let scratch = Scratch::new();
    let _device = pymodbus(&["tcp", "127.8.4.2", "1502"], scratch.path());
    let ran = wayside(&["scan", "modbus", "127.8.4.2:1502", "--units", "1-20", "-o", "json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    let [row] = &report["devices"].as_array().unwrap()[..] else { panic!("{report}") };
    assert_eq!((&row["unit"], &row["manufacturer"]), (&5.into(), &"Pymodbus".into()), "{report}");
    assert_eq!((&row["model"], &row["version"]), (&"Pymodbus Server".into(), &"3.16.1".into()), "{report}");
}

/// What unit 5 holds in registers 100 to 139, its identification objects, and in how many parts they came.
fn read(target: &Target) -> (Vec<u16>, Vec<(u8, String)>, usize) {
    on_a_bus(async |bus| {
        let ask = async |request| bus.ask_anew(target, Unit(5), request, PATIENT, PATIENT).await.unwrap().0;
        let words = Request::read(Table::HoldingRegisters, 100, 40).unwrap();
        let Reply::Registers(words) = ask(words).await else { panic!("no registers") };
        let (mut objects, mut next, mut parts) = (Vec::new(), Some(0), 0);
        while let Some(first) = next {
            let Reply::Identification(part) = ask(Request::Identify(Objects::Extended, first)).await else {
                panic!("no identification")
            };
            let texts = part.objects.iter().map(|(id, bytes)| (*id, String::from_utf8_lossy(bytes).into_owned()));
            objects.extend(texts);
            next = part.next;
            parts += 1;
        }
        (words, objects, parts)
    })
}

#[track_caller]
fn whole(objects: &[(u8, String)], parts: usize) {
    assert!(parts > 2, "{parts} parts");
    assert_eq!(objects[0], (0, "Pymodbus".to_owned()));
    let numbers: Vec<u8> = objects.iter().map(|(id, _)| *id).collect();
    let mut once = numbers.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(numbers, once, "each object comes once, in rising order");
    assert!((0x80..0x88).all(|id| numbers.contains(&id)), "{numbers:?}");
}

/// The same registers as mbpoll prints them.
fn mbpoll(how: &[&str]) -> Vec<u16> {
    let text = output(Command::new("mbpoll").args(["-a", "5", "-0", "-r", "100", "-c", "40", "-1"]).args(how));
    let lines = text.lines().filter(|line| line.starts_with('['));
    // Above 32,767 it adds the signed value in brackets.
    lines.filter_map(|line| line.split_whitespace().nth(1)?.parse().ok()).collect()
}

fn pymodbus(args: &[&str], dir: &Path) -> Daemon {
    let mut command = Command::new(python());
    command.arg("-u").arg(peer("pymodbus_peer.py")).args(args);
    let mut daemon = Daemon::start("pymodbus", command, dir);
    daemon.says("ready", SOON);
    daemon
}

fn target(text: &str) -> Target {
    Segment::new(&[text], &[""; 0], None, 502).unwrap().targets()[0].clone()
}

fn on_a_bus<T>(work: impl AsyncFnOnce(Bus) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (bus, keep) = desk(Audit::default(), Clock::start());
        let (done, ()) = tokio::join!(work(bus), keep);
        done
    })
}

const SOON: Duration = Duration::from_secs(20);
const PATIENT: Duration = Duration::from_secs(5);
