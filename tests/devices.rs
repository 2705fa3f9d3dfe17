//! Surveys and Things over the API of a running agent, as a program uses them; the simulated hosts tell what they were
//! asked.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use wayside_tests::place::Scratch;
use wayside_tests::plant::Plant;
use wayside_tests::plant::device::{Device, Identity};
use wayside_tests::plant::host::{Absent, Host};
use wayside_tests::plant::sunspec::Image;
use wayside_tests::wait::eventually;
use wayside_tests::wayside::{Wayside, wayside};

fn inverter(serial: &str) -> Device {
    Image::new(40_000, 66, "Fronius", "Symo 10.0-3-M", "3.1", serial)
        .inverter(4_321, 5_001)
        .into_device(Device::default())
}

fn named(name: &str) -> Device {
    Device::identified(Identity::basic(name, "X-1", "1"))
}

/// An agent that may ask two networks, but does nothing of its own accord.
fn agent(hall: &str, roof: &str) -> Wayside {
    Wayside::start(
        None,
        &format!(
            "id = \"gw-1\"\n[mdns]\nenabled = false\n\
             [[modbus.segment]]\nname = \"hall\"\ntargets = [\"{hall}/28:{PORT}\"]\ndeny = [\"{hall}/32\"]\n\
             units = \"1-20\"\npriority = 2\n\
             [[modbus.segment]]\nname = \"roof\"\ntargets = [\"{roof}:{PORT}\"]\npriority = 9\n\
             position = {{ lat = 48.1, lon = 2.1 }}\n"
        ),
    )
}

fn survey(agent: &Wayside, wanted: &Value) -> String {
    let begun = agent.ask("POST", "/v1/discovery/devices", Some(wanted));
    assert_eq!(begun.status, 202, "{}", begun.body);
    let id = begun.json()["id"].as_str().unwrap().to_owned();
    assert!(begun.head.to_lowercase().contains(&format!("location: /v1/discovery/devices/{id}\r\n")), "{}", begun.head);
    id
}

/// The events of a survey, to its end.
fn followed(agent: &Wayside, id: &str) -> Vec<(String, Value)> {
    let mut events = agent.door.events(&format!("/v1/discovery/devices/{id}/events")).unwrap();
    let mut told = Vec::new();
    while let Some(event) = events.next_event() {
        let last = event.0 == "finished";
        told.push(event);
        if last {
            return told;
        }
    }
    panic!("the stream broke off after {told:?}");
}

#[test]
fn a_survey_over_the_api_finds_devices_that_become_services_and_things() {
    let at = |last: u8| SocketAddr::from(([127, 9, 1, last], PORT));
    let roof = SocketAddr::from(([127, 9, 2, 1], PORT));
    let hosts = [
        (at(3), Host::agnostic(inverter("SN-A"))),
        (at(5), Host::agnostic(named("Acme"))),
        (roof, Host::agnostic(inverter("SN-B"))),
    ];
    let plant = Plant::with(1, hosts);
    let agent = agent("127.9.1.0", "127.9.2.1");
    assert_eq!(plant.ledgers().values().map(|ledger| ledger.connections).sum::<u64>(), 0, "nothing without being told");

    let id = survey(&agent, &json!({ "protocol": "modbus" }));
    let told = followed(&agent, &id);

    let (name, report) = told.last().unwrap();
    assert_eq!(
        (name.as_str(), &report["state"], &report["segment"]),
        ("finished", &json!("finished"), &json!("hall, roof"))
    );
    assert!(told.iter().any(|(name, _)| name == "progress"), "{told:?}");
    let rows = report["devices"].as_array().unwrap();
    let found = |row: &Value| (row["segment"].as_str().map(str::to_owned), row["serial"].as_str().map(str::to_owned));
    assert_eq!(rows.len(), 3, "{report}");
    assert_eq!(found(&rows[0]), (Some("roof".to_owned()), Some("SN-B".to_owned())), "the highest priority first");
    for row in rows {
        let of_it = |event: &&(String, Value)| event.0 == "found" && event.1["address"] == row["address"];
        assert!(told.iter().rfind(of_it).is_some(), "{row} was not told of");
        assert!(row["quality"]["rtt_p50_ms"].as_f64().is_some_and(|rtt| rtt > 0.0), "{row}");
    }

    let services = agent.instances("modbus.inverter");
    assert_eq!(services.len(), 2, "{services:?}");
    let here = agent.cli(&["find", "modbus.inverter", "--near", "48.1,2.1", "--within", "100m", "-o", "json"]);
    assert!(here.code == 0 && here.stdout.contains("SN-B") && !here.stdout.contains("SN-A"), "{here:?}");

    let things = agent.ask("GET", "/things?limit=2", None);
    assert!(things.head.contains("application/ld+json"), "{}", things.head);
    assert!(things.head.to_lowercase().contains("link: </things?offset=2&limit=2>; rel=\"next\""), "{}", things.head);
    assert_eq!(
        (
            things.json().as_array().map(Vec::len),
            agent.ask("GET", "/things?offset=2", None).json().as_array().map(Vec::len)
        ),
        (Some(2), Some(1))
    );
    let id = rows[0]["id"].as_str().unwrap();
    let thing = agent.ask("GET", &format!("/things/{id}"), None);
    assert!(thing.head.contains("application/td+json"), "{}", thing.head);
    let thing = thing.json();
    assert_eq!((&thing["title"], &thing["wayside:serial"]), (&json!("Fronius Symo 10.0-3-M"), &json!("SN-B")));
    assert!(
        thing["properties"]["power_raw"]["forms"][0]["href"].as_str().unwrap().starts_with("modbus+tcp://127.9.2.1:")
    );
    assert_eq!(agent.ask("GET", &format!("/things/{id}/properties/power"), None).json(), json!(4321.0));
    assert_eq!(agent.ask("GET", &format!("/things/{id}/properties/frequency"), None).json(), json!(50.01));
    for (path, status) in [
        (format!("/things/{id}/properties/charm"), 404),
        ("/things/nobody@gw-1".to_owned(), 404),
        ("/things?limit=0".to_owned(), 400),
        ("/things?page=2".to_owned(), 400),
    ] {
        assert_eq!(agent.ask("GET", &path, None).status, status, "{path}");
    }
    assert_eq!(agent.ask("GET", "/.well-known/wot", None).json()["@type"], "ThingDirectory");
    plant.vanish(roof);
    let gone = agent.ask("GET", &format!("/things/{id}/properties/power"), None);
    assert_eq!((gone.status, &gone.json()["type"]), (502, &json!("urn:wayside:problem:device")));
    for (address, ledger) in plant.ledgers() {
        ledger.is_gentle(&address.to_string());
        assert!(ledger.connections <= 2 || address == roof, "{address}: {} connections", ledger.connections);
    }
}

#[test]
fn what_a_device_must_be_good_for_decides_whether_it_is_listed() {
    let at = |last: u8| SocketAddr::from(([127, 9, 3, last], PORT));
    let slow = Host::gateway(Duration::from_millis(100), [(1, inverter("SN-SLOW"))]);
    let plant = Plant::with(2, [(at(1), Host::agnostic(inverter("SN-FAST"))), (at(2), slow)]);
    let agent = agent("127.9.3.0", "127.9.4.1");
    let wanted = json!({
        "segment": [at(1).to_string(), at(2).to_string()], "units": "1-3", "qos": { "max_latency": "25ms", "loss": 0.01 },
    });
    let id = survey(&agent, &wanted);
    let report = followed(&agent, &id).pop().unwrap().1;
    let serials = |rows: &Value| rows.as_array().unwrap().iter().map(|row| row["serial"].clone()).collect::<Vec<_>>();
    assert_eq!(
        (serials(&report["devices"]), serials(&report["left_out"])),
        (vec![json!("SN-FAST")], vec![json!("SN-SLOW")]),
        "{report}"
    );
    let why = report["left_out"][0]["why"].as_str().unwrap();
    assert!(why.contains("latency") && why.contains("> 25 ms"), "{why}");
    assert!(plant.ledger(at(2)).units().iter().all(|unit| (1..=3).contains(unit)), "only the units that were wanted");
}

#[test]
fn nothing_is_asked_that_the_configuration_does_not_allow() {
    let plant = Plant::with(3, [(SocketAddr::from(([127, 9, 5, 1], PORT)), Host::agnostic(named("Acme")))]);
    let agent = agent("127.9.5.0", "127.9.6.1");
    for (wanted, status, about) in [
        (json!({ "segment": "cellar" }), 400, "segment"),
        (json!({ "segment": "8.8.8.8" }), 400, "public"),
        (json!({ "segment": format!("127.9.7.1:{PORT}") }), 403, "127.9.7.1"),
        (json!({ "segment": "127.9.5.1:502" }), 403, "127.9.5.1"),
        (json!({ "segment": "hall", "units": "1-21" }), 403, "unit 21"),
        (json!({ "segment": "hall", "units": "0-300" }), 400, "units"),
        (json!({ "segment": [] }), 400, "segment"),
        (json!({ "segment": 7 }), 400, "segment"),
        (json!({ "protocol": "enip" }), 403, "enip"),
        (json!({ "protocol": "opcua" }), 400, "modbus, enip or bacnet"),
        (json!({ "qos": { "loss": 2 } }), 400, "qos.loss"),
        (json!({ "qos": { "speed": 1 } }), 400, "qos.speed"),
        (json!({ "write": true }), 400, "write"),
    ] {
        let refused = agent.ask("POST", "/v1/discovery/devices", Some(&wanted));
        assert_eq!(refused.status, status, "{wanted}: {}", refused.body);
        assert!(refused.body.contains(about), "{wanted}: {}", refused.body);
    }
    for (method, path) in [("GET", ""), ("GET", "/events"), ("DELETE", "")] {
        let refused = agent.ask(method, &format!("/v1/discovery/devices/9-9{path}"), None);
        assert_eq!((refused.status, &refused.json()["type"]), (404, &json!("urn:wayside:problem:unknown-survey")));
    }
    assert!(plant.ledgers().values().all(|ledger| ledger.connections == 0));
    let nobody = Wayside::start(None, "id = \"gw-2\"\n[mdns]\nenabled = false\n");
    let refused = nobody.ask("POST", "/v1/discovery/devices", Some(&json!({ "segment": "hall" })));
    assert_eq!((refused.status, nobody.ask("GET", "/things", None).json()), (403, json!([])));
}

#[test]
fn a_survey_that_is_deleted_stops_within_one_request_and_no_other_asks_there_meanwhile() {
    let address = SocketAddr::from(([127, 9, 8, 1], PORT));
    let gateway =
        Host { absent: Absent::Exception(0x0B), ..Host::gateway(Duration::from_millis(400), [(1, named("Acme"))]) };
    let plant = Plant::with(4, [(address, gateway)]);
    let agent = agent("127.9.8.0", "127.9.9.1");
    let id = survey(&agent, &json!({ "segment": "hall" }));
    eventually(SOON, "the gateway is asked", || (plant.last(address).0 >= 4).then_some(()));

    let taken = agent.ask("POST", "/v1/discovery/devices", Some(&json!({ "segment": address.to_string() })));
    assert_eq!((taken.status, &taken.json()["type"]), (409, &json!("urn:wayside:problem:taken")), "{}", taken.body);
    let list = agent.ask("GET", "/v1/discovery/devices", None).json();
    assert_eq!((&list["surveys"][0]["id"], &list["surveys"][0]["state"]), (&json!(id), &json!("running")));
    eventually(SOON, "what is found so far is told", || {
        let so_far = agent.ask("GET", &format!("/v1/discovery/devices/{id}"), None).json();
        (so_far["devices"][0]["manufacturer"] == "Acme").then_some(())
    });

    let asked = plant.last(address).0;
    let ended = agent.ask("DELETE", &format!("/v1/discovery/devices/{id}"), None);
    let after = plant.last(address).0;
    assert_eq!((ended.status, &ended.json()["state"]), (200, &json!("stopped")), "{}", ended.body);
    assert_eq!(ended.json()["devices"][0]["manufacturer"], "Acme");
    assert!(after <= asked + 1, "{after} after {asked}");
    assert_eq!(agent.ask("GET", &format!("/v1/discovery/devices/{id}"), None).status, 404);

    let again = survey(&agent, &json!({ "segment": address.to_string(), "units": "1" }));
    assert_eq!(followed(&agent, &again).pop().unwrap().1["counts"]["devices"], 1);
    plant.ledger(address).is_gentle("the gateway");
}

#[test]
fn the_command_line_has_the_agent_survey_and_describes_things() {
    let at = |last: u8| SocketAddr::from(([127, 9, 10, last], PORT));
    let plant = Plant::with(5, [(at(1), Host::agnostic(inverter("SN-A")))]);
    let agent = agent("127.9.10.0", "127.9.11.1");
    let by_agent = agent.cli(&["scan", "modbus", "hall", "--by-agent"]);
    assert!(by_agent.code == 0 && by_agent.stdout.contains("Symo 10.0-3-M"), "{by_agent:?}");
    assert_eq!(agent.instances("modbus.inverter").len(), 1);
    let refused = agent.cli(&["scan", "modbus", "127.9.12.1", "--by-agent"]);
    assert!(refused.code == 2 && refused.stderr.contains("127.9.12.1"), "{refused:?}");
    let mixed = agent.cli(&["scan", "modbus", "hall", "--by-agent", "--rate", "500"]);
    assert_eq!(mixed.code, 2, "{mixed:?}");

    let by_itself = wayside(&["scan", "modbus", &at(1).to_string(), "-o", "td"]);
    for told in [by_itself.stdout, agent.cli(&["scan", "modbus", "hall", "--by-agent", "-o", "td"]).stdout] {
        let things: Value = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"));
        let forms = things[0]["properties"]["power_raw"]["forms"][0].clone();
        assert!(forms["href"].as_str().is_some_and(|href| href.starts_with("modbus+tcp://127.9.10.1")), "{things}");
        assert_eq!(forms["modv:zeroBasedAddressing"], true);
    }
    plant.ledger(at(1)).is_gentle("the inverter");
}

#[test]
fn a_profile_that_is_dropped_into_the_directory_names_a_device_nobody_knew() {
    let scratch = Scratch::new();
    let address = SocketAddr::from(([127, 9, 13, 1], PORT));
    let plant = Plant::with(6, [(address, Host::agnostic(named("Acme").holding(100, &[235, 0])))]);
    scratch.write("acme.toml", PROFILE);
    let config = format!(
        "id = \"gw-1\"\n[mdns]\nenabled = false\n[modbus]\nprofiles = \"{}\"\ninterval = \"1s\"\n\
         [[modbus.segment]]\nname = \"hall\"\ntargets = [\"{address}\"]\nscan = true\n",
        scratch.path().display()
    );
    let file = scratch.write("check.conf", &config);
    let right = wayside(&["check", "--config", file.to_str().unwrap()]);
    assert_eq!(right.code, 0, "{right:?}");
    let agent = Wayside::start(None, &config);
    let row = eventually(LONG, "the device is a service", || agent.instances("modbus.hvac").pop());
    assert_eq!((&row["metadata"]["profile"], &row["metadata"]["manufacturer"]), (&json!("acme-x1"), &json!("Acme")));
    let id = row["id"].as_str().unwrap();
    assert_eq!(agent.ask("GET", &format!("/things/{id}/properties/temperature"), None).json(), json!(23.5));

    scratch.write("wrong.toml", &PROFILE.replace("scale", "scaling").replace("acme-x1", "acme-x2"));
    let wrong = wayside(&["check", "--config", file.to_str().unwrap()]);
    assert!(wrong.code == 2 && wrong.stderr.contains("wrong.toml") && wrong.stderr.contains("scaling"), "{wrong:?}");
    plant.ledger(address).is_gentle("the device");
}

const PROFILE: &str = r#"
id = "acme-x1"
manufacturer = "Acme"
models = ["X-1"]
class = "hvac"
source = "Acme X-1 manual, table 2"
licence = "own"
point = [{ name = "temperature", address = 100, type = "i16", unit = "°C", scale = 0.1 }]
[match]
manufacturer = ["Acme"]
model = ["X-1"]
"#;
const PORT: u16 = 1_502;
const SOON: Duration = Duration::from_secs(20);
const LONG: Duration = Duration::from_secs(100);
