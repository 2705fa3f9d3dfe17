//! What beacons cost, and how soon they are seen.
//!
//! `./tests/bench beacon` (needs mosquitto). `./tests/bench beacon inside` measures only what needs no process, `rate` the
//! first rate of that; `flood`, `wire` and `visible` the rest. Each line reads `figure NAME VALUE UNIT`:
//!
//! * `beacon_decoded_and_indexed`, unit `1/s`: beacons of 10,000 known neighbours that one core takes in, from topic and
//!   bytes to the moved row of the index, in CPU time of the thread.
//! * `beacon_query_idle_p50`, `_p99`, `_p99.9` and `beacon_query_busy_*`, unit `us`: the critical question within 100 m
//!   among 10,000 vehicles and 200 roadside units, from when it comes to its answer, while nothing or 100,000 beacons a
//!   second come as well. The clock is the CPU time of the one thread, so that other programs do not count; what a
//!   question waits for does: the beacon, or the repacking, that is at work.
//! * `beacon_rss_per_neighbour`, unit `B`: resident memory of this process over 50,000 neighbours, each with its row in
//!   catalog, index and peers.
//! * `beacon_bytes`, unit `B`: the longest of the recorded city's beacons, with ids of 12 bytes.
//! * `beacon_city_rate`, unit `Hz`: beacons a vehicle of the recorded city (5 fixes a second) sends a second on average,
//!   and `beacon_city_of_fixes`, unit `%`: the share of its fixes that is.
//! * `beacon_soak_rss_growth`, unit `KiB`, and `beacon_soak_query_vs_fresh`, unit `x`: after 10,000,000 beacons of 10,000
//!   vehicles that drive about: memory since the first million, and a question's time against that of an agent that has
//!   heard of the same vehicles for the first time.
//! * `beacon_flood_rss_growth`, unit `KiB`: memory after 1,000,000 made-up names in a minute, beside 20 real neighbours,
//!   own and critical services, which must all be there still.
//! * `beacon_mosquitto_sub`, `beacon_mosquitto_agent`, unit `1/s`, and `beacon_mosquitto_ratio`, unit `%`: what each, alone,
//!   got of the same beacons from one mosquitto, as fast as it takes them; `_cpu`, unit `us`: the receiver's CPU time for
//!   each.
//! * `beacon_to_visible_p50`, `_p99`, `_p99.9`, `_max`, unit `ms`: from handing a beacon to the kernel until a watcher of
//!   `/v1/discovery/watch` has read the event with the new position: mosquitto, the agent, and the loopback twice.

mod city;
#[path = "../bench_geo/cpu.rs"]
#[allow(dead_code, reason = "shared with the geo benchmark, which uses all of it")]
mod cpu;
mod flood;
mod inside;
mod queries;
mod scene;
mod soak;
#[path = "../../../../examples/src/trace.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the examples, which use all of it")]
mod trace;
mod visible;
mod wire;

use std::process::Command;

fn main() {
    let only = std::env::args().nth(1);
    let wanted = |part: &str| only.as_deref().is_none_or(|only| only == part);
    if only.as_deref() == Some("rate") {
        inside::rate();
    }
    if wanted("inside") {
        // Memory is measured before anything has been freed.
        inside::memory();
        inside::rate();
        queries::measure();
        city::measure();
        soak::measure();
    }
    if only.as_deref() == Some("flood") {
        flood::measure();
    } else if only.is_none() {
        // In a process of its own, for the same reason.
        let again = std::env::current_exe().and_then(|program| Command::new(program).arg("flood").status());
        assert!(again.is_ok_and(|status| status.success()), "the flood got through");
    }
    if wanted("wire") {
        wire::measure();
    }
    if wanted("visible") {
        visible::measure();
    }
}
