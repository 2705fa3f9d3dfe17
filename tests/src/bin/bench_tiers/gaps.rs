//! How long something is away when somebody dies.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wayside_tests::etcd::Etcd;
use wayside_tests::figure::{millis, quantile, tell};
use wayside_tests::nats::Nats;
use wayside_tests::wait::eventually;
use wayside_tests::wayside::Wayside;

use crate::{QUIET, SERVICES, SOON, caught_up, registry, service, upstream};

pub(crate) fn run() {
    let mut etcd = Etcd::start(3);
    let on_etcd = format!("[registry]\nengine = \"etcd\"\nendpoints = {}\n", etcd.endpoints());
    let (mut one, mut two) = (registry(6, "", &on_etcd), registry(7, "", &on_etcd));
    let edge = Wayside::start(None, &format!("id = \"edge\"\n{QUIET}{}", upstream("region", &[&one, &two], "")));
    let offers = Wayside::start(None, &format!("id = \"a\"\n{QUIET}{}", upstream("region", &[&one, &two], "")));
    offers.register(service("charging", "before"));
    two.finds("charging", "before@a", SOON);

    let (mut nodes, mut serial) = (Vec::new(), 0);
    for round in 0..ROUNDS {
        // A node that was killed is tried anew by and by; the next one is killed once both are asked again.
        eventually(Duration::from_secs(60), "both nodes are asked", || {
            serial += 1;
            drop(ask(&edge, serial));
            (edge.metric(&["upstream_nodes_open"]) == 0.0).then_some(())
        });
        let node = if round % 2 == 0 { &mut one } else { &mut two };
        node.daemon.kill();
        nodes.push(silence(&edge, &mut serial));
        node.begin_again();
        caught_up(node);
    }
    tell("tiers_node_gap", quantile(&nodes, 1.0), "ms");

    let mut leaders = Vec::new();
    for round in 0..ROUNDS {
        let leader = etcd.leader();
        let started = Instant::now();
        etcd.kill(leader);
        let id = format!("after{round}");
        offers.register(service("charging", &id));
        two.finds("charging", &format!("{id}@a"), Duration::from_secs(30));
        leaders.push(millis(started.elapsed()));
        etcd.revive(leader);
    }
    tell("tiers_etcd_leader_gap", quantile(&leaders, 1.0), "ms");
    drop((one, two, edge, offers, etcd));
    if crate::speaks_nats() {
        nats();
    }
}

fn nats() {
    let mut nats = Nats::start(3);
    let on_nats = format!("[registry]\nengine = \"nats\"\nendpoints = {}\n", nats.endpoints());
    let node = registry(8, "", &on_nats);
    let offers = Wayside::start(None, &format!("id = \"a\"\n{QUIET}{}", upstream("region", &[&node], "")));
    offers.register(service("charging", "before"));
    node.finds("charging", "before@a", SOON);
    let leader = nats.leader("KV_wayside");
    let started = Instant::now();
    nats.kill(leader);
    offers.register(service("charging", "after"));
    node.finds("charging", "after@a", Duration::from_secs(60));
    tell("tiers_nats_leader_gap", millis(started.elapsed()), "ms");
}

/// The longest time without a fresh answer from now on.
fn silence(edge: &Wayside, serial: &mut u32) -> f64 {
    let started = Instant::now();
    let (mut last, mut longest) = (started, Duration::ZERO);
    while started.elapsed() < LOOKED {
        *serial += 1;
        let reply = ask(edge, *serial);
        if reply["tier"] == "region" && reply["instances"][0]["stale"] == false {
            longest = longest.max(last.elapsed());
            last = Instant::now();
        }
    }
    millis(longest.max(last.elapsed()))
}

/// Another circle is another question: nothing is from before.
fn ask(edge: &Wayside, serial: u32) -> Value {
    let question = json!({"service_name": "charging", "constraints": {"location":
        {"lat": 48.85, "lon": 2.35, "radius_m": 1_000 + serial}}});
    edge.ask("POST", SERVICES, Some(&question)).json()
}

const ROUNDS: u32 = 3;
/// How long answers are looked at after a kill.
const LOOKED: Duration = Duration::from_secs(4);
