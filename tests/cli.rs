//! The command line as a person and a shell script use it.

use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use std::{io, thread};

use rustix::process::Signal;
use serde_json::{Value, json};
use wayside_tests::daemon::Daemon;
use wayside_tests::http::Door;
use wayside_tests::net::{Family, Net};
use wayside_tests::place::Scratch;
use wayside_tests::wait::eventually;
use wayside_tests::wayside::{Ran, Wayside, binary, ran, wayside};

#[test]
fn find_exits_0_when_it_finds_and_1_when_it_does_not() {
    let agent = alone();
    agent.register(charger(8080));

    let found = agent.cli(&["find", "charging", "--near", "48.8566,2.3530", "--within", "100m"]);
    assert_eq!(found.code, 0, "{found:?}");
    assert!(found.stdout.contains("59 m") || found.stdout.contains("59m"), "{found:?}");
    let none = agent.cli(&["find", "charging", "--near", "48.8566,2.3530", "--within", "50m"]);
    assert_eq!(none.code, 1, "{none:?}");
    assert_eq!(agent.cli(&["find", "nothing-of-the-kind"]).code, 1);
}

#[test]
fn a_wrong_option_or_value_exits_2_and_names_it() {
    let agent = alone();
    let wrong = [
        (&["find"][..], "NAME"),
        (&["find", "charging", "--within", "100 furlongs"], "furlongs"),
        (&["find", "charging", "--near", "91,2", "--within", "100m"], "91"),
        (&["find", "charging", "--near", "NaN,2", "--within", "100m"], "NaN"),
        (&["find", "charging", "--max-latency", "soon"], "soon"),
        (&["find", "charging", "--limit", "1001"], "1000"),
        (&["find", "charging", "--limt", "3"], "--limt"),
        (&["fnd", "charging"], "fnd"),
    ];
    for (args, named) in wrong {
        let ran = agent.cli(args);
        assert_eq!(ran.code, 2, "{args:?}: {ran:?}");
        assert!(ran.stderr.contains(named), "{args:?} does not name {named}: {ran:?}");
    }
}

#[test]
fn an_agent_that_is_not_there_exits_4_and_says_where_it_was_looked_for() {
    let scratch = Scratch::new();
    let nowhere = format!("unix:{}", scratch.file("nobody.sock").display());
    for args in [&["find", "charging"][..], &["services"], &["nearby", "--within", "500m"], &["show", "x"]] {
        let ran = wayside(&[args, &["--agent", nowhere.as_str()]].concat());
        assert_eq!(ran.code, 4, "{args:?}: {ran:?}");
        assert!(ran.stderr.contains("nobody.sock"), "{ran:?}");
    }
}

#[test]
fn every_output_format_shows_the_same_service() {
    let agent = alone();
    let id = agent.register(charger(8080));
    let show = |format: &str| {
        let ran = agent.cli(&["find", "charging", "--near", "48.8566,2.3530", "--within", "100m", "-o", format]);
        assert_eq!(ran.code, 0, "{format}: {ran:?}");
        ran.stdout
    };

    let whole: Value = serde_json::from_str(&show("json")).expect("-o json is JSON");
    assert_eq!(whole["instances"][0]["id"], id.as_str());
    for member in ["tier", "unreached", "explain"] {
        assert!(whole.get(member).is_some(), "{member} is missing: {whole}");
    }
    let lines = show("jsonl");
    let first: Value = serde_json::from_str(lines.lines().next().unwrap_or_default()).expect("-o jsonl is JSON lines");
    assert_eq!(first["id"], id.as_str());
    let map: Value = serde_json::from_str(&show("geojson")).expect("-o geojson is JSON");
    assert_eq!(map["type"], "FeatureCollection");
    assert_eq!(map["features"][0]["geometry"]["coordinates"][0], 2.3522);
    for format in ["table", "wide"] {
        let table = show(format);
        assert!(table.contains("10.0.0.5:8080") && !table.contains('\u{1b}'), "{table:?}");
    }
}

#[test]
fn the_listing_commands_know_what_was_registered() {
    let agent = alone();
    let id = agent.register(charger(8080));

    let listed = agent.cli(&["services", "-o", "json"]);
    assert!(listed.code == 0 && listed.stdout.contains(&id), "{listed:?}");
    let near = agent.cli(&["nearby", "--within", "500m"]);
    assert!(near.code == 0 && near.stdout.contains("charging"), "{near:?}");
    let shown = agent.cli(&["show", &id]);
    assert!(shown.code == 0 && shown.stdout.contains("10.0.0.5"), "{shown:?}");
    assert_eq!(agent.cli(&["show", "nobody@nowhere"]).code, 1);
}

#[test]
fn explain_says_which_tier_answered_and_why() {
    let agent = alone();
    agent.register(charger(8080));

    let found = agent.cli(&["find", "charging", "--near", "48.8566,2.3530", "--within", "100m", "--explain"]);
    assert_eq!(found.code, 0, "{found:?}");
    assert!((found.stdout + &found.stderr).contains("local"));
    let none = agent.cli(&["find", "charging", "--near", "10,10", "--within", "100m", "--explain"]);
    assert_eq!(none.code, 1, "{none:?}");
    assert!((none.stdout + &none.stderr).contains("local"));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let agent = alone();
    for port in 0..200 {
        agent.register(charger(9000 + port));
    }
    let script = "\"$0\" services -o jsonl | head -n 1 >/dev/null; exit ${PIPESTATUS[0]}";
    let mut bash = Command::new("bash");
    bash.args(["-c", script]).arg(binary()).env("WAYSIDE_AGENT", agent.door.to_string());

    let ran = ran(&mut bash);

    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.stderr, "");
}

#[test]
fn watch_prints_changes_as_they_come() {
    let agent = alone();
    let scratch = Scratch::new();
    let mut command = Command::new(binary());
    command.args(["watch", "charging", "-o", "jsonl"]).env("WAYSIDE_AGENT", agent.door.to_string());
    let mut watch = Daemon::start("watch", command, scratch.path());
    watch.says("reset", SOON);

    let id = agent.register(charger(8080));
    assert!(watch.says("appeared", SOON).contains(&id));
    agent.ask("DELETE", &format!("/v1/discovery/registration/{id}"), None);
    assert!(watch.says("departed", SOON).contains(&id));
}

#[test]
fn announce_holds_for_exactly_as_long_as_the_command_runs_and_hands_on_its_exit_code() {
    let agent = alone();
    let scratch = Scratch::new();
    let mut command = Command::new(binary());
    let script = "read line; exit 7";
    command.args(["announce", "charging", "--port", "8080", "--", "sh", "-c", script]);
    command.env("WAYSIDE_AGENT", agent.door.to_string());
    let mut announce = Daemon::start("announce", command, scratch.path());

    agent.finds("charging", "", SOON);
    announce.tell("done");
    let end = announce.end(SOON);

    assert_eq!(end.code(), Some(7));
    agent.loses("charging", "", Duration::from_secs(2));
}

#[test]
fn announce_ends_its_command_and_its_registration_when_it_is_asked_to_end() {
    let agent = alone();
    let scratch = Scratch::new();
    let mut command = Command::new(binary());
    command.args(["announce", "charging", "--port", "8080", "--", "sh", "-c", "echo $$ > \"$0\"; exec cat"]);
    command.arg(scratch.file("pid")).env("WAYSIDE_AGENT", agent.door.to_string());
    let mut announce = Daemon::start("announce", command, scratch.path());
    agent.finds("charging", "", SOON);
    let pid = eventually(SOON, "the command runs", || {
        std::fs::read_to_string(scratch.file("pid")).ok()?.trim().parse::<u32>().ok()
    });

    announce.stop();

    agent.loses("charging", "", Duration::from_secs(2));
    let gone = || (!Path::new(&format!("/proc/{pid}")).exists()).then_some(());
    eventually(SOON, "its command ended with it", gone);
}

#[test]
fn announce_that_is_asked_to_end_while_it_registers_withdraws_and_starts_no_command() {
    let agent = alone();
    let Door::Unix(socket) = &agent.door else { panic!("{:?} is no Unix socket", agent.door) };
    let scratch = Scratch::new();
    let (door, started) = (scratch.file("slow.sock"), scratch.file("started"));
    let slow = UnixListener::bind(&door).expect("a socket in a fresh directory");
    let mut command = Command::new(binary());
    command.args(["announce", "charging", "--port", "8080", "--", "touch"]).arg(&started);
    command.env("WAYSIDE_AGENT", format!("unix:{}", door.display()));
    let mut announce = Daemon::start("announce", command, scratch.path());

    slow.set_nonblocking(true).expect("a socket of its own");
    let connects = || eventually(SOON, "it connects", || slow.accept().ok()).0;
    let registering = connects();
    announce.signal(Signal::TERM);
    pass(registering, socket);
    let withdrawing = connects();
    agent.finds("charging", "", SOON);
    pass(withdrawing, socket);

    assert_eq!(announce.end(SOON).code(), Some(128 + 15));
    agent.loses("charging", "", SOON);
    assert!(!started.exists());
}

#[test]
fn announce_and_withdraw_by_id() {
    let agent = alone();
    let announced = agent.cli(&["announce", "charging", "--port", "8080", "--ttl", "60s"]);
    assert_eq!(announced.code, 0, "{announced:?}");
    let found = agent.finds("charging", "", SOON);
    let id = found["id"].as_str().unwrap_or_default();

    assert!(announced.stdout.contains(id), "{announced:?}");
    assert_eq!(agent.cli(&["withdraw", id]).code, 0);
    assert_eq!(agent.instances("charging").len(), 0);
    assert_ne!(agent.cli(&["withdraw", id]).code, 0);
}

#[test]
fn check_tells_five_mistakes_at_once_with_their_lines() {
    let scratch = Scratch::new();
    let config = scratch.write(
        "wayside.toml",
        "kind = \"boat\"\nspeling = 1\n[position]\nlat = 91.0\nlon = 2.0\n[api]\nlisten = \"0.0.0.0:7878\"\n[mqtt]\nurl = \"http://x\"\n",
    );

    let ran = check(&config.display().to_string());

    assert_eq!(ran.code, 2, "{ran:?}");
    for (mistake, line) in [("kind", 1), ("speling", 2), ("lat", 4), ("listen", 7), ("url", 9)] {
        let said = ran.stdout.clone() + &ran.stderr;
        assert!(said.contains(mistake), "{mistake} is not named: {said}");
        assert!(said.contains(&format!("wayside.toml:{line}")), "line {line} of {mistake} is not named: {said}");
    }
}

#[test]
fn check_accepts_an_empty_file_and_prints_the_defaults() {
    let scratch = Scratch::new();
    let empty = scratch.write("empty.toml", "");
    assert_eq!(check(&empty.display().to_string()).code, 0);

    let defaults = wayside(&["check", "--defaults"]);
    assert_eq!(defaults.code, 0, "{defaults:?}");
    let written = scratch.write("defaults.toml", &defaults.stdout);
    assert_eq!(check(&written.display().to_string()).code, 0, "the printed defaults are a configuration");
}

#[test]
fn an_empty_file_is_a_working_agent_for_a_plain_user() {
    let mut net = Net::new();
    let host = net.host(Family::V4);
    let scratch = Scratch::new();
    let config = scratch.write("w.toml", "");
    open_to_all(scratch.path());
    let as_nobody = |args: &[&str]| {
        let mut command = host.command("setpriv");
        command
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .arg(readable_binary(&scratch))
            .args(args);
        command.env("HOME", scratch.path()).env_remove("WAYSIDE_AGENT");
        command
    };
    let config = config.display().to_string();
    let mut agent = Daemon::start("agent", as_nobody(&["run", "--config", &config]), scratch.path());

    let announced = || ran(&mut as_nobody(&["announce", "charging", "--port", "8080"]));
    eventually(SOON, "it answers at its default address", || {
        assert_eq!(agent.ended(), None);
        Some(announced()).filter(|ran| ran.code == 0)
    });
    let found = ran(&mut as_nobody(&["find", "charging"]));
    assert_eq!(found.code, 0, "{found:?}");
    assert!(agent.stop().success());
}

#[test]
fn completions_and_the_manual_are_printed() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = wayside(&["completions", shell]);
        assert!(ran.code == 0 && ran.stdout.contains("wayside"), "{shell}: {ran:?}");
    }
    let manual = wayside(&["man"]);
    assert!(manual.code == 0 && manual.stdout.contains(".TH"), "{manual:?}");
}

#[test]
fn text_from_the_air_cannot_steer_the_terminal() {
    let agent = alone();
    let mut info = charger(8080);
    info["metadata"] = json!({"note": "red \u{1b}[31m\u{202e}alert"});
    let id = agent.register(info);

    for args in [&["show", id.as_str()][..], &["find", "charging", "-o", "wide"], &["services", "-o", "wide"]] {
        let ran = agent.cli(args);
        assert!(!ran.stdout.contains('\u{1b}') && !ran.stdout.contains('\u{202e}'), "{args:?}: {ran:?}");
    }
}

fn alone() -> Wayside {
    Wayside::start(None, "id = \"gw-1\"\n[position]\nlat = 48.8566\nlon = 2.3522\n[mdns]\nenabled = false\n")
}

fn charger(port: u16) -> Value {
    let location = json!({"lat": 48.8566, "lon": 2.3522});
    json!({"name": "charging", "address": "10.0.0.5", "port": port, "ttl_s": 600, "location": location})
}

/// Passes on what comes over `from` to whoever listens at `to`, and back, until both have said all.
fn pass(from: UnixStream, to: &Path) {
    let there = UnixStream::connect(to).expect("the agent listens");
    let twin = |stream: &UnixStream| stream.try_clone().expect("a descriptor is left");
    for (mut from, mut to) in [(twin(&from), twin(&there)), (there, from)] {
        thread::spawn(move || {
            // Whichever side is gone needs nothing passed on any more.
            let _ = io::copy(&mut from, &mut to).and_then(|_| to.shutdown(Shutdown::Write));
        });
    }
}

fn check(path: &str) -> Ran {
    wayside(&["check", "--config", path])
}

/// The binary where a plain user may read it; the repository may lie in root's home.
fn readable_binary(scratch: &Scratch) -> std::path::PathBuf {
    let copy = scratch.file("wayside");
    if !copy.exists() {
        std::fs::copy(binary(), &copy).expect("the binary can be copied");
    }
    copy
}

fn open_to_all(path: &Path) {
    let all = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o777);
    std::fs::set_permissions(path, all).expect("its own directory");
}

const SOON: Duration = Duration::from_secs(10);
