//! What the tiers beyond the neighbourhood cost, and how long they are away when something dies.
//!
//! `./tests/bench tiers [PART...]`, where a part is `latency`, `crowd`, `changes` or `gaps`; all four without one, in about
//! three minutes. Needs etcd, redis-server, wrk and nats-server (`tests/prepare`). Loopback on both sides of everything,
//! with two cores that carry the agents, the engine and the load. Each line reads `figure NAME VALUE UNIT`:
//!
//! * `tiers_local`, `tiers_region`, `tiers_cloud`, each `_p50` and `_p99`, unit `ms`: one question to the edge over HTTP,
//!   a new connection each; the question differs each time, so that no answer is from before. `tiers_region_cached`: the
//!   same question again. `tiers_far_region`, `tiers_far_cloud`: both registries behind a relay that holds every byte for
//!   10 ms each way. A relay, since `netem` is not in every kernel, and `tbf` delays only what is more than its rate.
//! * `tiers_cache_get`, unit `us`: one question to the core that is answered from what the region said before, without
//!   socket and JSON; 100,000 of them.
//! * `tiers_local_tarpit_p99`, unit `ms`: a local question while 16 callers keep asking a region that never answers;
//!   `tiers_local_calm_p99` just before it.
//! * `tiers_coalesced`, unit `questions`: what the region was asked when 200 callers asked the same at once.
//! * `tiers_hit_ratio`, unit `percent`: answers from the cache of 5,000 questions, Zipf (s = 1) over 1,000 different ones.
//! * `tiers_state_bytes_per_day`, unit `bytes`: what an edge with 500 services of which 25 change in a minute would write to
//!   its state directory in a day: 250 changes are made and counted, and the answers it keeps are added at their most.
//! * `tiers_region_qps_1e5` and `tiers_redis_qps_1e5`, unit `1/s`: questions within 500 m to a region of 100,000 services,
//!   and GEOSEARCH to a redis-server of as many places, both for the ten nearest, from 8 connections without pipelining and
//!   from the same load generator; `tiers_region_vs_redis`, unit `x`: the one over the other. `tiers_region_qps_wrk`: the
//!   first again, from wrk with 8 connections. `tiers_region_cpu`, `tiers_redis_cpu`, unit `us`: processor time of the
//!   server for each of its answers.
//! * `tiers_etcd_change_to_region`, `tiers_etcd_change_to_edge`, each `_p50` and `_p99`, unit `ms`: from the registration at
//!   one edge until the other of a region's two nodes says so in its watch, and until another edge that asks finds it.
//!   `tiers_nats_...`: the same on NATS, if the agent was built with `--features nats`.
//! * `tiers_node_gap`, unit `ms`: the longest time without a fresh answer in the 4 s after `kill -9` of a region's node, of
//!   three kills; `tiers_etcd_leader_gap`: from `kill -9` of the leader of three etcds until a registration made right
//!   after it is in the region, the longest of three; `tiers_nats_leader_gap`: of three servers of NATS, once.

mod changes;
mod crowd;
mod gaps;
mod latency;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use serde_json::{Value, json};
use wayside_tests::etcd::free_at;
use wayside_tests::figure::{quantile, tell};
use wayside_tests::place::Scratch;
use wayside_tests::wait::eventually;
use wayside_tests::wayside::Wayside;

fn main() {
    let parts: [(&str, fn()); 4] =
        [("latency", latency::run), ("crowd", crowd::run), ("changes", changes::run), ("gaps", gaps::run)];
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    for (name, part) in parts {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            part();
        }
    }
}

fn registry(n: u8, more: &str, registry: &str) -> Wayside {
    let address = free_at(IpAddr::V4(Ipv4Addr::new(127, 0, 4, n)));
    let agent = Wayside::start_at(address, &format!("id = \"r{n}\"\nkind = \"software\"\n{QUIET}{more}{registry}"));
    caught_up(&agent);
    agent
}

/// Whether the agent was built with NATS.
fn speaks_nats() -> bool {
    let dir = Scratch::new();
    let config = "[registry]\nengine = \"nats\"\nendpoints = [\"nats://127.0.0.1:1\"]\n";
    let file = dir.write("wayside.toml", config).display().to_string();
    let checked = wayside_tests::wayside::wayside(&["check", "--config", &file]);
    checked.code == 0
}

fn caught_up(agent: &Wayside) {
    eventually(SOON, "the registry has caught up", || {
        let health = agent.door.ask("GET", "/v1/discovery/health", None).ok()?;
        (health.json()["registry"]["footing"] == "following").then_some(())
    });
}

fn upstream(tier: &str, nodes: &[&Wayside], more: &str) -> String {
    let urls: Vec<String> = nodes.iter().map(|node| node.door.to_string()).collect();
    upstream_at(tier, &urls, more)
}

fn upstream_at(tier: &str, urls: &[String], more: &str) -> String {
    format!("[[upstream]]\ntier = \"{tier}\"\nurls = {urls:?}\nrefresh = \"5s\"\n{more}")
}

fn service(name: &str, id: &str) -> Value {
    json!({"name": name, "id": id, "address": "10.0.0.5", "port": 8080, "ttl_s": 600, "location": {"lat": 48.85, "lon": 2.35}})
}

fn tell_both(name: &str, took: &[f64]) {
    tell(&format!("{name}_p50"), quantile(took, 0.5), "ms");
    tell(&format!("{name}_p99"), quantile(took, 0.99), "ms");
}

/// Nothing but what is measured.
const QUIET: &str = "[mdns]\nenabled = false\n";
const PLACE: &str = "[position]\nlat = 48.85\nlon = 2.35\n";
const MEMORY: &str = "[registry]\nengine = \"memory\"\n";
const SERVICES: &str = "/v1/discovery/services";
const SOON: Duration = Duration::from_secs(20);
