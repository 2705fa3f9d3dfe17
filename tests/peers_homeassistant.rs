//! Home Assistant itself, its core and its MQTT integration, shows our devices.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use wayside::io::homeassistant::entity::Shown;
use wayside::profiles;
use wayside_protocols::modbus::identify::{Heard, Identified, Inquiry};
use wayside_protocols::modbus::profile::{Format, Meaning, Point};
use wayside_protocols::modbus::reading::Reading;
use wayside_protocols::modbus::reply::{Part, Reply};
use wayside_protocols::service::Value as Amount;
use wayside_tests::broker::{Broker, free_port};
use wayside_tests::daemon::Daemon;
use wayside_tests::place::{Scratch, peer, python, python_of_home_assistant};
use wayside_tests::publisher::Publisher;
use wayside_tests::wait::eventually;
use wayside_tests::wayside::Wayside;

#[test]
fn home_assistant_shows_a_device_with_its_values_for_as_long_as_it_and_the_agent_are_there() {
    let (broker, scratch) = (Broker::start(), Scratch::new());
    let port = free_port();
    let (mut device, theirs) = sunspec(port, &scratch);
    let mut home = home_assistant(&broker, "homeassistant", &scratch);
    let heard = broker.listen("homeassistant/+/+/+/config", scratch.path());
    let mut agent = Wayside::start(None, &config(&broker, port, "[homeassistant]\ninterval = \"1s\"\n"));

    let power = shows(&home, "_0ccac437_power", |state| state["state"] != "unavailable" && state["state"] != "unknown");
    assert_eq!(power["state"].as_str().unwrap().parse::<f64>().ok(), theirs["103.W"].as_f64(), "{power}");
    let attributes = &power["attributes"];
    assert_eq!((&attributes["unit_of_measurement"], &attributes["device_class"]), (&json!("W"), &json!("power")));
    assert_eq!(attributes["state_class"], "measurement");
    let named = json!({ "manufacturer": "Acme Solar", "model": "Mill 5", "sw_version": "2.7",
        "serial_number": "S-0815", "name": "Acme Solar Mill 5" });
    assert_eq!(power["device"], named);
    let energy = shows(&home, "_0ccac437_energy_total", |state| state["state"] != "unavailable");
    assert_eq!(energy["attributes"]["state_class"], "total_increasing", "{energy}");
    // What the device does not have is unknown, not unavailable, and no number that was never read.
    for absent in ["_0ccac437_current_l3", "_0ccac437_state_vendor"] {
        shows(&home, absent, |state| state["state"] == "unknown");
    }

    device.kill();
    shows(&home, "_0ccac437_power", |state| state["state"] == "unavailable");
    let (_device, _) = sunspec(port, &scratch);
    shows(&home, "_0ccac437_power", |state| state["state"] == power["state"]);
    agent.daemon.kill();
    shows(&home, "_0ccac437_power", |state| state["state"] == "unavailable");
    agent.restart();
    shows(&home, "_0ccac437_power", |state| state["state"] == power["state"]);

    // A Home Assistant that starts says so, and is told everything anew.
    let configs = || heard.lines("-0ccac437_power/config {").len();
    let before = eventually(SOON, "nothing is on its way", || {
        let seen = configs();
        (seen >= 1 && home.lines("complaint").is_empty()).then_some(seen)
    });
    home.kill();
    home = home_assistant(&broker, "homeassistant", &scratch);
    eventually(SOON, "the configurations come anew", || (configs() > before).then_some(()));
    shows(&home, "_0ccac437_power", |state| state["state"] == power["state"]);

    // Off again: what was shown is taken back.
    assert!(broker.retained("homeassistant/#").len() > 20);
    agent.daemon.stop();
    let path = agent.dir().join("wayside.toml");
    let written = std::fs::read_to_string(&path).unwrap().replace("[homeassistant]\ninterval = \"1s\"\n", "");
    std::fs::write(&path, written).unwrap();
    agent.restart();
    eventually(SOON, "nothing is retained", || broker.retained("homeassistant/#").is_empty().then_some(()));
    eventually(SOON, "the entity is removed", || {
        home.lines("removed ").iter().any(|line| line.ends_with("_0ccac437_power")).then_some(())
    });
    eventually(LATER, "and nothing is left to do", || {
        (!agent.dir().join("state/homeassistant").exists()).then_some(())
    });
    assert_eq!(home.lines("complaint"), Vec::<String>::new());
}

#[test]
fn a_device_that_stays_away_is_removed_under_a_prefix_of_its_own() {
    let (broker, scratch) = (Broker::start(), Scratch::new());
    let port = free_port();
    let (mut device, _) = sunspec(port, &scratch);
    let home = home_assistant(&broker, "haus/ha", &scratch);
    let on = "[homeassistant]\nprefix = \"haus/ha\"\ninterval = \"1s\"\nforget = \"3s\"\n";
    let _agent = Wayside::start(None, &config(&broker, port, on));
    shows(&home, "_0ccac437_power", |state| state["state"] != "unavailable" && state["state"] != "unknown");
    device.kill();
    shows(&home, "_0ccac437_power", |state| state["state"] == "unavailable");
    eventually(SOON, "nothing is retained", || broker.retained("haus/#").is_empty().then_some(()));
    eventually(SOON, "no values either", || broker.retained("wayside/1/v/#").is_empty().then_some(()));
    eventually(SOON, "the entity is removed", || {
        home.lines("removed ").iter().any(|line| line.ends_with("_0ccac437_power")).then_some(())
    });
    assert_eq!(home.lines("complaint"), Vec::<String>::new());
}

#[test]
fn home_assistant_accepts_every_point_of_every_profile() {
    let (broker, scratch) = (Broker::start(), Scratch::new());
    let home = home_assistant(&broker, "homeassistant", &scratch);
    let mut publisher = Publisher::tcp(broker.port(), "profiles").unwrap();
    publisher.publish("wayside/1/p/gw", br#"{"state":"online","epoch":1}"#, true).unwrap();
    let mut wanted = 0;
    for (number, profile) in profiles::shipped().iter().enumerate() {
        let mut identified = nobody();
        identified.profile = Some(std::sync::Arc::clone(profile));
        let id = format!("{}-{number:08x}@gw", identified.class()).parse().unwrap();
        let shown = Shown::new(&id, &identified).unwrap();
        let points = shown.points();
        for point in &points {
            publisher.publish(&shown.config_topic("homeassistant", point), &shown.config(point), true).unwrap();
        }
        let readings: Vec<Reading> = points.iter().map(reading).collect();
        publisher.publish(&shown.topic(), &shown.values(&readings), true).unwrap();
        wanted += points.len();
    }
    assert!(wanted > 500, "{wanted}");
    let whole = |state: &Value| state["state"] != "unavailable" && state["state"] != "unknown";
    eventually(LATER, "every entity has its value", || {
        let states = home.lines("state {");
        let ids: std::collections::BTreeSet<String> =
            states.iter().map(|line| read(line)).filter(whole).map(|state| state["unique_id"].to_string()).collect();
        (ids.len() == wanted).then_some(())
    });
    assert_eq!(home.lines("complaint"), Vec::<String>::new());
}

/// A value that a point may have.
fn reading(point: &Point) -> Reading {
    let value = match (&point.meaning, point.format) {
        // The first word of some is "unknown".
        (Meaning::States(states), _) => Amount::Text(states.last().unwrap().1.clone()),
        (Meaning::Flags(_), _) => Amount::Text("none".into()),
        (Meaning::Number, Format::Text(_)) => Amount::Text("text".into()),
        (Meaning::Number, Format::Flag(_)) => Amount::Flag(true),
        (Meaning::Number, _) => Amount::Number(point.range.map_or(1.5, |(low, high)| f64::midpoint(low, high))),
    };
    Reading { point: point.name.clone(), value: Ok(value), unit: point.unit.clone() }
}

/// A device that says its name and nothing else.
fn nobody() -> Identified {
    let mut inquiry = Inquiry::new(profiles::shipped());
    let objects = vec![(0, b"Nobody".as_slice().into())];
    inquiry.handle(Heard::Reply(Reply::Identification(Part { objects, next: None })));
    inquiry.finish()
}

fn config(broker: &Broker, port: u16, more: &str) -> String {
    format!(
        "id = \"gw.7\"\n[mdns]\nenabled = false\n[mqtt]\nurl = \"{}\"\n[modbus]\ninterval = \"1s\"\n\
         [[modbus.segment]]\nname = \"roof\"\ntargets = [\"127.0.0.1:{port}\"]\nunits = \"1\"\nscan = true\n{more}",
        broker.url()
    )
}

fn sunspec(port: u16, scratch: &Scratch) -> (Daemon, Value) {
    let mut command = Command::new(python());
    command.arg(peer("sunspec_peer.py")).args(["40000", "66", &port.to_string()]);
    let mut daemon = Daemon::start(&format!("sunspec-{}", serial()), command, scratch.path());
    let said = daemon.says("values ", LATER);
    (daemon, serde_json::from_str(said.trim_start_matches("values ")).unwrap())
}

fn home_assistant(broker: &Broker, prefix: &str, scratch: &Scratch) -> Daemon {
    let mut command = Command::new(python_of_home_assistant());
    let home = scratch.file("home");
    command.arg(peer("homeassistant_peer.py")).arg(&home).args([&broker.port().to_string(), prefix]);
    let mut daemon = Daemon::start(&format!("homeassistant-{}", serial()), command, scratch.path());
    daemon.says("up", LATER);
    daemon
}

/// A name for a log of its own, so that nobody reads what an earlier one has said.
fn serial() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static SERIAL: AtomicU32 = AtomicU32::new(0);
    SERIAL.fetch_add(1, Ordering::Relaxed)
}

/// The last state of the entity that ends so, once it is as `wanted`.
#[track_caller]
fn shows(home: &Daemon, entity: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let found = |line: &String| Some(read(line)).filter(|state| state["entity"].as_str().unwrap().ends_with(entity));
    eventually(SOON, &format!("{entity} is as it should be"), || {
        home.lines("state {").iter().filter_map(found).next_back().filter(|state| wanted(state))
    })
}

fn read(line: &str) -> Value {
    let told = line.split_once("state ").map_or("", |(_, told)| told);
    serde_json::from_str(told).unwrap_or_else(|error| panic!("{error}: {line}"))
}

const SOON: Duration = Duration::from_secs(30);
const LATER: Duration = Duration::from_secs(90);
