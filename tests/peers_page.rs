//! The map page in a real browser: what is drawn where, what names from the air can do, and what becomes of a tab.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use wayside_protocols::place::Position;
use wayside_tests::broker::Broker;
use wayside_tests::daemon::{Daemon, output};
use wayside_tests::etcd::free_at;
use wayside_tests::place::{Scratch, peer};
use wayside_tests::plant::Plant;
use wayside_tests::plant::device::Device;
use wayside_tests::plant::host::Host;
use wayside_tests::plant::sunspec::Image;
use wayside_tests::publisher::Publisher;
use wayside_tests::wait::eventually;
use wayside_tests::wayside::Wayside;

#[test]
fn markers_and_rings_are_drawn_where_the_places_are() {
    let agent = start("kind = \"roadside\"");
    let here = here();
    let mut marks = vec![json!({"id": "own", "east": 0.0, "north": 0.0, "colour": "own"})];
    for (bearing, metres) in [(0.0, 230.0), (90.0, 480.0), (217.0, 350.0), (300.0, 400.0)] {
        let at: Position = here.moved(bearing, metres);
        let (north, east) = (metres * f64::to_radians(bearing).cos(), metres * f64::to_radians(bearing).sin());
        let id = agent.register(json!({
            "name": "lamp", "address": "10.0.0.5", "port": 80, "ttl_s": 600,
            "location": {"lat": at.latitude(), "lon": at.longitude()},
        }));
        marks.push(json!({"id": id, "east": east, "north": north, "colour": "roadside"}));
    }
    for scheme in ["light", "dark"] {
        let seen = page("look", &agent, &json!({"marks": marks, "rings": [100, 500], "scheme": scheme}));
        for mark in seen["marks"].as_array().expect("a list") {
            assert!(mark["on"].as_f64() < Some(12.0), "{scheme}: no marker at {mark}");
            assert!(mark["beside"].as_f64() > Some(60.0), "{scheme}: a marker without an end at {mark}");
        }
        for off in seen["rings"].as_array().expect("a list") {
            assert!(off.as_f64() <= Some(2.0), "{scheme}: a ring is {off} pixels off");
        }
        assert_eq!((seen["note"].as_str(), seen["rows"].as_u64()), (Some(""), Some(4)), "{seen}");
    }
}

#[test]
fn names_from_the_air_are_text_and_nothing_else() {
    let agent = start("");
    let evil = "<img src=x onerror=\"window.harmed=true\">";
    let refused = json!({"service_info": {"name": evil, "address": "10.0.0.5", "port": 80}});
    assert_eq!(agent.ask("POST", "/v1/discovery/registration", Some(&refused)).status, 400, "no name of a service");
    agent.register(json!({
        "name": "trap", "address": "10.0.0.5", "port": 80, "ttl_s": 600,
        "location": {"lat": here().latitude(), "lon": here().longitude()},
        "metadata": {"title": evil, "turned": "\u{202e}gnp.exe", "bell": "a\u{7}b\u{9b}31m", "<b>key</b>": "</script>"},
        "resources": {"<i>power</i>": "<script>window.harmed=true</script>"},
    }));
    let seen = page("hostile", &agent, &json!({"count": 1}));
    assert_eq!((&seen["images"], &seen["scripts"], &seen["harmed"]), (&json!(0), &json!(1), &json!(false)), "{seen}");
    let detail = seen["detail"].as_str().expect("text");
    for part in [evil, "\\u202egnp.exe", "a\\u0007b\\u009b31m", "</script>", "<script>window.harmed=true</script>"] {
        assert!(detail.contains(part), "{part} is not shown: {detail}");
    }
    assert!(seen["answer"].as_str().is_some_and(|answer| answer.contains(evil)), "{seen}");
    assert_eq!(seen["marks"], 0, "{seen}");
    assert_eq!(seen["dialogs"], json!([]), "{seen}");
}

#[test]
fn a_question_is_asked_and_explained_and_a_device_is_read_by_hand_and_by_key() {
    let at = SocketAddr::from(([127, 9, 71, 3], 1_502));
    let inverter = Image::new(40_000, 66, "Fronius", "Symo 10.0-3-M", "3.1", "SN-A").inverter(4_321, 5_001);
    let _plant = Plant::with(1, [(at, Host::agnostic(inverter.into_device(Device::default())))]);
    let agent = start(&format!(
        "[[modbus.segment]]\nname = \"hall\"\ntargets = [\"{at}\"]\nscan = true\n\
         position = {{ lat = {}, lon = {} }}\n",
        here().latitude(),
        here().longitude()
    ));
    agent.finds("modbus.inverter", "", SOON);
    let off = here().moved(0.0, 900.0);
    agent.register(json!({
        "name": "aaa", "address": "10.0.0.5", "port": 80, "ttl_s": 600,
        "location": {"lat": off.latitude(), "lon": off.longitude()},
    }));
    let (lat, lon) = (here().latitude(), here().longitude());
    let wanted = json!({
        "count": 2, "service": "aaa", "device": "modbus.inverter", "live": "4321 W", "lat": lat, "lon": lon,
    });
    let seen = page("ask", &agent, &wanted);
    let answer = seen["answer"].as_str().expect("text");
    for part in ["Nothing fits", "local: no services", "1 too far", "cloud: not configured"] {
        assert!(answer.contains(part), "{part} is not said: {answer}");
    }
    assert_eq!(seen["up"], "aaa", "sorted by name");
    assert!(
        seen["down"].as_str().is_some_and(|name| name.starts_with("modbus.inverter ")),
        "and the other way: {seen}"
    );
    let detail = seen["detail"].as_str().expect("text");
    for part in ["What it says now", "frequency", "50.01 Hz", "Who vouches for it", "modbus"] {
        assert!(detail.contains(part), "{part} is not shown: {detail}");
    }
    let (before, after) = (&seen["before"], &seen["after"]);
    assert!(after["x"].as_f64() < before["x"].as_f64() && after["y"].as_f64() > before["y"].as_f64(), "{seen}");
    assert!(after["metres"].as_f64() < before["metres"].as_f64(), "{seen}");
    assert!(seen["trouble"].as_str().is_some_and(|why| why.starts_with("no.geojson: ")), "{seen}");
    assert_eq!(seen["saved"]["type"], "FeatureCollection");
    let features = seen["saved"]["features"].as_array().expect("a list");
    let saved =
        features.iter().find(|one| one["properties"]["name"] == "modbus.inverter").expect("the device is saved");
    let offset = |n: usize, true_one: f64| saved["geometry"]["coordinates"][n].as_f64().map(|it| (it - true_one).abs());
    assert!(offset(0, lon) < Some(1e-6) && offset(1, lat) < Some(1e-6), "longitude comes first: {saved}");
    assert_eq!(seen["nameless"], 0, "every control has a name");
}

#[test]
fn a_page_says_that_its_agent_is_gone_and_finds_it_again() {
    let mut agent = start("");
    let id = agent.register(json!({"name": "lamp", "address": "10.0.0.5", "port": 80, "ttl_s": 600}));
    let scratch = Scratch::new();
    let mut tab = Daemon::start("page", node("follow", &agent, &json!({})), scratch.path());
    let state = |tab: &mut Daemon, state: &str| tab.says(&format!("{{\"state\":\"{state}"), PATIENCE);
    state(&mut tab, "live");
    agent.daemon.kill();
    state(&mut tab, "lost: ");
    agent.restart();
    let again = eventually(PATIENCE, "the page is live again", || tab.lines("{\"state\":\"live").get(1).cloned());
    drop(again);
    eventually(PATIENCE, "what was registered is there again", || agent.instance("lamp", &id));
}

#[test]
fn ten_thousand_in_view_are_counted_on_the_map_and_each_is_found_in_the_table() {
    let broker = Broker::start();
    let agent = start(&format!("[mqtt]\nurl = \"{}\"\n", broker.url()));
    let mut publisher = Publisher::tcp(broker.port(), "a-big-city").expect("mosquitto takes the client");
    for number in 0..CITY {
        let at = here().moved(f64::from(number) * 2.399, 5.0 + f64::from(number) / 25.0);
        let payload = json!({
            "name": "lamp", "kind": "device", "address": "10.0.0.6", "port": 1, "ttl_s": 3600,
            "lat": at.latitude(), "lon": at.longitude(),
        });
        let topic = format!("wayside/1/a/-/-/lamp/town-{}/lamp-{number}", number / 200);
        publisher.publish(&topic, payload.to_string().as_bytes(), true).expect("mosquitto takes it");
    }
    let known = || agent.ask("GET", "/v1/discovery/health", None).json()["metrics"]["services"].as_u64();
    eventually(PATIENCE, "the agent knows them", || (known() >= Some(u64::from(CITY))).then_some(()));
    let seen = page("crowd", &agent, &json!({"count": CITY, "one": "lamp-7777@"}));
    assert_eq!(seen["things"], CITY, "{seen}");
    let note = seen["note"].as_str().expect("text");
    assert!(note.contains("in view") && note.contains("drawn together"), "{note}");
    let count = seen["count"].as_str().expect("text");
    assert!(count.contains("400 of 10000"), "the table says that it is cut: {count}");
    assert!(seen["single"].as_str().is_some_and(|row| row.contains("lamp-7777@town-38")), "{seen}");
    // Usable, on a machine that does other things too.
    assert!(seen["filtered"].as_f64() < Some(5_000.0), "{seen}");
    eprintln!("10,000 in view: filtered in {} ms, frames of {} ms", seen["filtered"], seen["times"]);
}

#[test]
fn an_accelerated_day_leaves_the_page_as_small_as_it_was() {
    let agent = start("");
    let seen = page("day", &agent, &json!({"seconds": 3600, "cars": 2}));
    let hours: Vec<f64> = seen["hours"].as_array().expect("a list").iter().filter_map(Value::as_f64).collect();
    assert_eq!(hours.len(), 24, "{seen}");
    let (early, late) = (hours[1], hours[23]);
    eprintln!(
        "heap after 2 hours {:.2} MB, after 24 hours {:.2} MB, {} events",
        early / 1e6,
        late / 1e6,
        24 * 3600 * 2
    );
    assert!(late < early * 1.1 + 500_000.0, "it grows: {hours:?}");
    assert!(seen["things"].as_u64() <= Some(5), "what is gone is forgotten: {seen}");
}

#[test]
fn two_hundred_tabs_are_too_many_and_both_sides_say_so() {
    let agent = start("");
    let mut open = Vec::new();
    let mut refused = 0;
    for _ in 0..200 {
        let mut stream = agent.door.events("/v1/discovery/watch").expect("somebody listens");
        // A stream begins with a reset; a refusal is no stream of events.
        match stream.next_event() {
            Some((name, _)) if name == "reset" => open.push(stream),
            _ => refused += 1,
        }
    }
    assert_eq!((open.len(), refused), (64, 136), "limits.watchers = 64");
    let health = agent.ask("GET", "/v1/discovery/health", None);
    assert_eq!((health.status, &health.json()["metrics"]["watchers"]), (200, &json!(64)), "others are served");
    let scratch = Scratch::new();
    let mut tab = Daemon::start("page", node("follow", &agent, &json!({})), scratch.path());
    let said = tab.says("{\"state\":\"lost: ", PATIENCE);
    assert!(said.contains("64"), "the page names the cap: {said}");
    drop(open);
    tab.says("{\"state\":\"live", PATIENCE);
}

/// An agent at a known place that can be opened in a browser.
fn start(more: &str) -> Wayside {
    let (lat, lon) = (here().latitude(), here().longitude());
    let (head, tail) = if more.starts_with('[') { ("", more) } else { (more, "") };
    let config = format!(
        "id = \"here\"\n{head}\n[position]\nlat = {lat}\nlon = {lon}\naccuracy_m = 1.0\n[mdns]\nenabled = false\n{tail}"
    );
    Wayside::start_at(free_at(Ipv4Addr::LOCALHOST.into()), &config)
}

fn here() -> Position {
    Position::new(48.8591, 2.3591).expect("a place on Earth")
}

fn node(what: &str, agent: &Wayside, wanted: &Value) -> Command {
    let script: PathBuf = peer("page/page.mjs");
    let mut command = Command::new("node");
    command.arg(script).args([what, &agent.door.to_string(), &wanted.to_string()]);
    command
}

/// What the browser has seen; nothing of it came from anywhere but the agent.
#[track_caller]
fn page(what: &str, agent: &Wayside, wanted: &Value) -> Value {
    let text = output(&mut node(what, agent, wanted));
    let seen: Value = serde_json::from_str(text.trim()).unwrap_or_else(|error| panic!("{what}: {error}: {text}"));
    assert_eq!((&seen["elsewhere"], &seen["errors"]), (&json!([]), &json!([])), "{seen}");
    seen
}

const CITY: u32 = 10_000;
const SOON: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(40);
