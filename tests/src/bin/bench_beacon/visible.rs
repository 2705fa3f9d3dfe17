//! How long after a vehicle says where it is the agent says so too.

use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use wayside_protocols::mqtt::beacon::{Beacon, wire_time};
use wayside_protocols::place::Motion;
use wayside_protocols::service::Kind;
use wayside_protocols::time::Timestamp;
use wayside_tests::broker::Broker;
use wayside_tests::figure::{millis, quantile, tell};
use wayside_tests::wayside::Wayside;

use crate::scene::{PATIENCE, centre, id, listening, message};
use crate::trace::wall;

/// 200 vehicles in turn send 2,000 beacons in all, 100 a second: each one every two seconds, since a watcher is told once
/// a second that somebody has moved.
pub(crate) fn measure() {
    let broker = Broker::start();
    let (agent, mut publisher) = listening(&broker);
    let events = watch(&agent);

    let start = Instant::now();
    let mut times = Vec::new();
    for number in 0..BEACONS {
        while let Some(rest) = (start + PACE * number).checked_duration_since(Instant::now()) {
            thread::park_timeout(rest);
        }
        let beacon = beacon(number);
        let (topic, payload) = message(&beacon);
        let published = Instant::now();
        publisher.publish(&topic, &payload, false).expect("mosquitto takes a beacon");
        times.push(millis(seen(&events, &beacon) - published));
    }
    let known = agent.instances("wayside").len();
    assert!(known > VEHICLES as usize, "of {VEHICLES} vehicles and itself the agent answers with {known}");
    tell("beacon_to_visible_p50", quantile(&times, 0.5), "ms");
    tell("beacon_to_visible_p99", quantile(&times, 0.99), "ms");
    tell("beacon_to_visible_p99.9", quantile(&times, 0.999), "ms");
    tell("beacon_to_visible_max", quantile(&times, 1.0), "ms");
}

/// Events as they are read, with the moment.
fn watch(agent: &Wayside) -> Receiver<(Instant, Value)> {
    let mut events = agent.door.events("/v1/discovery/watch?service=wayside").expect("the agent lets us watch");
    let (sender, receiver) = channel();
    thread::spawn(move || {
        while let Some((name, data)) = events.next_event() {
            let read = Instant::now();
            if name != "departed" && sender.send((read, data)).is_err() {
                return;
            }
        }
    });
    receiver
}

/// When the event of `beacon` was read.
fn seen(events: &Receiver<(Instant, Value)>, beacon: &Beacon) -> Instant {
    let agrees = |data: &Value| {
        let near =
            |key: &str, degrees: f64| data["position"][key].as_f64().is_some_and(|told| (told - degrees).abs() < 1e-6);
        data["id"] == beacon.agent.as_str()
            && near("lat", beacon.position.latitude())
            && near("lon", beacon.position.longitude())
    };
    loop {
        let (read, data) = events
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|_| panic!("no event within {PATIENCE:?} of {} {}", beacon.agent, beacon.sequence));
        if agrees(&data) {
            return read;
        }
    }
}

fn beacon(number: u32) -> Beacon {
    let (vehicle, turn) = (number % VEHICLES, number / VEHICLES);
    let lane = centre().moved(0.0, f64::from(vehicle) * 3.0);
    Beacon {
        agent: id(&format!("veh-{vehicle}")),
        epoch: 1,
        sequence: turn as u16,
        kind: Kind::Vehicle,
        time: wire_time(Timestamp::START, wall(), Timestamp::START),
        position: lane.moved(90.0, f64::from(turn) * 5.0),
        accuracy: Some(2.0),
        motion: Motion::new(10.0, 90.0).ok(),
        services: 0,
        ttl: Duration::from_secs(30),
        seal: None,
    }
}

const BEACONS: u32 = 2_000;
const VEHICLES: u32 = 200;
const PACE: Duration = Duration::from_millis(10);
