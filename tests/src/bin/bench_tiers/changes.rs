//! From a change at one edge to where it is seen.

use std::time::Instant;

use serde_json::json;
use wayside_tests::etcd::Etcd;
use wayside_tests::figure::millis;
use wayside_tests::nats::Nats;
use wayside_tests::wayside::Wayside;

use crate::{QUIET, SERVICES, registry, service, tell_both, upstream};

pub(crate) fn run() {
    let etcd = Etcd::start(3);
    through("etcd", &format!("[registry]\nengine = \"etcd\"\nendpoints = {}\n", etcd.endpoints()));
    drop(etcd);
    if crate::speaks_nats() {
        let nats = Nats::start(3);
        through("nats", &format!("[registry]\nengine = \"nats\"\nendpoints = {}\n", nats.endpoints()));
    }
}

fn through(name: &str, engine: &str) {
    let (one, two) = (registry(4, "", engine), registry(5, "", engine));
    let offers = Wayside::start(None, &format!("id = \"a\"\n{QUIET}{}", upstream("region", &[&one], "")));
    let asks = Wayside::start(None, &format!("id = \"b\"\n{QUIET}{}", upstream("region", &[&two], "")));
    // What is told by a watch of the other node.
    let mut events = two.door.events("/v1/discovery/watch?service=charging").expect("a watch");
    let (mut region, mut edge) = (Vec::new(), Vec::new());
    for n in 0..CHANGES {
        let id = format!("cp{n}");
        let started = Instant::now();
        offers.register(service("charging", &id));
        loop {
            let (name, data) = events.next_event().expect("an event");
            if name == "appeared" && data["id"] == format!("{id}@a") {
                break;
            }
        }
        region.push(millis(started.elapsed()));
        let only = format!("only-{n}");
        let started = Instant::now();
        offers.register(service(&only, &only));
        for attempt in 0.. {
            // Another limit is another question: nothing is from before.
            let question = json!({"service_name": only, "limit": 1 + attempt % 900});
            if asks.ask("POST", SERVICES, Some(&question)).json()["tier"] == "region" {
                break;
            }
        }
        edge.push(millis(started.elapsed()));
    }
    tell_both(&format!("tiers_{name}_change_to_region"), &region);
    tell_both(&format!("tiers_{name}_change_to_edge"), &edge);
}

const CHANGES: u32 = 100;
