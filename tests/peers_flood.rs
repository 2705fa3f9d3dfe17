//! One client of a real broker that makes up names: caps hold, and what matters is answered all the while.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wayside_protocols::mqtt::beacon::Beacon;
use wayside_protocols::mqtt::cell::Cell;
use wayside_protocols::mqtt::topic::Topic;
use wayside_protocols::place::{Motion, Position};
use wayside_protocols::service::Kind;
use wayside_tests::broker::Broker;
use wayside_tests::figure::{millis, quantile};
use wayside_tests::publisher::Publisher;
use wayside_tests::wayside::Wayside;

/// 200,000 names, as fast as mosquitto takes them: what fits in a minute of a slow machine. `WAYSIDE_FLOOD_NAMES` makes
/// it the whole million.
#[test]
fn a_client_that_makes_up_names_fills_no_table_and_delays_no_critical_answer() {
    let names: u32 = std::env::var("WAYSIDE_FLOOD_NAMES").ok().and_then(|text| text.parse().ok()).unwrap_or(200_000);
    let broker = Broker::start();
    let agent = Wayside::start(
        None,
        &format!(
            "id = \"gw-1\"\nkind = \"gateway\"\n[position]\nlat = 48.8566\nlon = 2.3522\n[mdns]\nenabled = false\n\
             [mqtt]\nurl = \"{}\"\n[limits]\nservices = {SERVICES}\npresences = {PRESENCES}\n",
            broker.url()
        ),
    );
    agent.register(json!({"name": "charging", "address": "10.0.0.5", "port": 1, "ttl_s": 600}));
    broker.retain(
        "wayside/1/a/-/-/signal-phase/rsu-1/sp",
        r#"{"name":"signal-phase","kind":"roadside","address":"10.0.0.6","port":1,"critical":true,"lat":48.8567,"lon":2.3522,"ttl_s":600}"#,
    );
    agent.finds("signal-phase", "sp@rsu-1", SOON);
    let before = agent.daemon.rss_kib();

    let (port, began) = (broker.port(), Instant::now());
    let flood = thread::spawn(move || {
        let mut publisher = Publisher::tcp(port, "who-makes-up-names").expect("mosquitto takes the client");
        for name in 0..names {
            let (topic, payload) = stranger(name);
            publisher.publish(&topic, &payload, false).expect("mosquitto takes a beacon");
        }
    });
    let heard = || agent.metric(&["mqtt_messages_total"]);
    let (mut times, mut most) = (Vec::new(), before);
    let (mut quiet, mut last) = (Instant::now(), 0.0);
    // Until all has arrived that mosquitto does not drop, which it may of QoS 0.
    while !flood.is_finished() || quiet.elapsed() < Duration::from_secs(2) {
        let asked = Instant::now();
        let answer = ask(&agent, "signal-phase", true);
        times.push(millis(asked.elapsed()));
        assert_eq!(answer["instances"][0]["id"], "sp@rsu-1", "{answer}");
        most = most.max(agent.daemon.rss_kib());
        if heard() > last {
            (quiet, last) = (Instant::now(), heard());
        }
    }
    flood.join().expect("the client was not refused");
    assert!(heard() > 10_000.0, "only {} of {names} arrived", heard());
    assert!(
        ask(&agent, "charging", false)["instances"][0]["id"].as_str().is_some_and(|id| id.ends_with("@gw-1")),
        "own rows stay"
    );
    let health = agent.ask("GET", "/v1/discovery/health", None).json();
    let held = |what: &str| health["metrics"][what].as_u64().expect("a number");
    assert!(held("services") <= SERVICES && held("peers") <= PRESENCES, "{health}");
    // Strangers come a thousand a second, 4,096 at once; all others are refused, by name. (A machine that brings fewer
    // refuses none.)
    let refused = agent.metric(&["refused_beacon_of_crowd_total"]);
    let let_in = agent.metric(&["beacons_total"]);
    assert!(let_in <= 4_200.0 + 1_000.0 * began.elapsed().as_secs_f64(), "{refused} refused, {let_in} let in");
    let rejected = agent.cli(&["services", "--rejected"]);
    assert!(refused == 0.0 || rejected.stdout.contains("strangers"), "{rejected:?}");
    // The budget of a flood is 64 MiB in all; this much is one of names alone.
    assert!(most < 48 << 10, "{before} KiB became {most} KiB");
    eprintln!(
        "{names} names sent, {} heard, {let_in} let in, {refused} refused; {before} KiB became {most} KiB; {} critical \
         questions meanwhile, p50 {:.2} ms, p99 {:.2} ms",
        heard(),
        times.len(),
        quantile(&times, 0.5),
        quantile(&times, 0.99)
    );
    // The agent says 504 where it is late itself; how long a busy machine lets it wait is no law of ours.
    assert!(quantile(&times, 0.5) < DEADLINE_MS, "{times:?}");
}

fn ask(agent: &Wayside, service: &str, critical: bool) -> Value {
    let question = json!({
        "service_name": service, "safety_critical": critical, "deadline": format!("{DEADLINE_MS}ms"),
        "constraints": {"location": {"lat": 48.8566, "lon": 2.3522, "radius_m": 100}},
    });
    let reply = agent.ask("POST", "/v1/discovery/services", Some(&question));
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()
}

fn stranger(name: u32) -> (String, Vec<u8>) {
    let centre = Position::new(48.8566, 2.3522).expect("a place on Earth");
    let position = centre.moved(f64::from(name % 360), f64::from(name % 400));
    let beacon: Beacon = Beacon {
        agent: format!("fake-{name:07}").parse().expect("letters and digits are an id"),
        epoch: 1,
        sequence: 1,
        kind: Kind::Vehicle,
        time: None,
        position,
        accuracy: Some(2.0),
        motion: Motion::new(10.0, 90.0).ok(),
        services: 0,
        ttl: Duration::from_secs(600),
        seal: None,
    };
    let topic = Topic::Beacon { cell: Cell::at(&position), agent: beacon.agent.clone() };
    (topic.to_string(), beacon.encode())
}

const SERVICES: u64 = 5_000;
const PRESENCES: u64 = 5_000;
const DEADLINE_MS: f64 = 200.0;
const SOON: Duration = Duration::from_secs(20);
