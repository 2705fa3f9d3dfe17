//! `wayside doctor` and `wayside health` on this machine: what works, what does not, what to do.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::net::TcpListener;
use std::os::unix::fs::chown;

use serde_json::{Value, json};
use wayside_tests::broker::Broker;
use wayside_tests::place::Scratch;
use wayside_tests::wayside::{Ran, Wayside, wayside};

/// The user who owns nothing.
const NOBODY: u32 = 65_534;

fn look(ran: &Ran, name: &str) -> Value {
    let told: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    let looks = told["checks"].as_array().unwrap();
    looks.iter().find(|look| look["name"] == name).unwrap_or_else(|| panic!("no {name}: {told}")).clone()
}

#[test]
fn what_works_is_green_and_what_does_not_has_a_hint() {
    let broker = Broker::start();
    let config = format!("id = \"gw-1\"\n[mdns]\nenabled = false\n[mqtt]\nurl = \"{}\"\n", broker.url());
    let agent = Wayside::start(None, &config);
    let file = agent.dir().join("wayside.toml");
    let file = file.to_str().unwrap();

    let well = agent.cli(&["doctor", "--config", file, "-o", "json"]);
    assert_eq!(well.code, 0, "{well:?}");
    for name in ["configuration", "agent", "broker", "clock", "state", "limits"] {
        let look = look(&well, name);
        assert!(look["state"] == "ok" || name == "limits", "{look}");
    }
    assert_eq!(look(&well, "mdns")["state"], "off");
    let told = agent.cli(&["doctor", "--config", file]);
    assert!(told.code == 0 && told.stdout.contains("nothing is broken"), "{told:?}");

    drop(broker);
    let ill = agent.cli(&["doctor", "--config", file, "-o", "json"]);
    let broker = look(&ill, "broker");
    assert_eq!((ill.code, &broker["state"]), (1, &json!("FAIL")), "{broker}");
    assert!(broker["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{broker}");
}

#[test]
fn every_part_that_is_missing_is_named() {
    let scratch = Scratch::new();
    // Somebody who says nothing where gpsd should be.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = format!(
        "[api]\nlisten = \"unix:{}\"\n[position]\ngpsd = \"{}\"\n[mdns]\ninterfaces = [\"nowhere0\"]\n\
         [state]\ndir = \"/proc/nothing\"\n\
         [[modbus.segment]]\nname = \"line\"\ntargets = [\"/dev/ttyNONE0\"]\n\
         [[upstream]]\ntier = \"region\"\nurls = [\"http://127.0.0.1:1\"]\n",
        scratch.file("nobody.sock").display(),
        mute.local_addr().unwrap(),
    );
    let file = scratch.write("wayside.toml", &config);
    let ran = wayside(&["doctor", "--config", file.to_str().unwrap(), "-o", "json"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    for (name, says) in [
        ("agent", "nobody.sock"),
        ("interfaces", "none is up"),
        ("gpsd", "does not answer like gpsd"),
        ("serial line", "/dev/ttyNONE0 is not there"),
        ("region", "127.0.0.1:1"),
    ] {
        let look = look(&ran, name);
        assert!(look["state"] == "FAIL" && look["found"].as_str().unwrap().contains(says), "{look}");
    }
    assert_eq!(look(&ran, "state")["state"], "note");

    let wrong = scratch.write("wrong.toml", "kind = \"truck\"\n");
    let ran = wayside(&["doctor", "--config", wrong.to_str().unwrap(), "-o", "json"]);
    let look = look(&ran, "configuration");
    assert!(ran.code == 1 && look["found"].as_str().unwrap().contains("truck"), "{look}");
}

#[test]
fn a_file_that_root_left_in_the_agents_directory_is_named_and_whose_it_should_be() {
    let scratch = Scratch::new();
    let state = scratch.file("state");
    std::fs::create_dir(&state).unwrap();
    std::fs::write(state.join("registrations"), b"").unwrap();
    let config = format!("[mdns]\nenabled = false\n[state]\ndir = \"{}\"\n", state.display());
    let file = scratch.write("wayside.toml", &config);
    let seen = || look(&wayside(&["doctor", "--config", file.to_str().unwrap(), "-o", "json"]), "state");
    assert_eq!(seen()["state"], "ok");

    chown(&state, Some(NOBODY), Some(NOBODY)).unwrap();

    let (seen, left) = (seen(), state.join("registrations").display().to_string());
    assert!(seen["state"] == "note" && seen["found"].as_str().unwrap().contains(&left), "{seen}");
    assert!(seen["hint"].as_str().unwrap().contains(&format!("chown {NOBODY}:{NOBODY} {left}")), "{seen}");
}

#[test]
fn health_waits_until_the_agent_is_well_and_no_longer() {
    let scratch = Scratch::new();
    let nowhere = format!("unix:{}", scratch.file("nobody.sock").display());
    let absent = wayside(&["health", "--wait", "1s", "--agent", &nowhere]);
    assert_eq!(absent.code, 4, "{absent:?}");
    let agent = Wayside::start(None, "id = \"gw-1\"\n[mdns]\nenabled = false\n");
    let well = agent.cli(&["health", "--wait", "20s"]);
    assert!(well.code == 0 && well.stdout.starts_with("ok  gw-1"), "{well:?}");
    assert_eq!(agent.cli_json(&["health"])["status"], "ok");
}
