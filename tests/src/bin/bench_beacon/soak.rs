//! What ten million beacons leave behind.

use wayside_core::agent::Agent;
use wayside_protocols::time::{Duration, Timestamp};
use wayside_tests::figure::tell;

use crate::cpu;
use crate::scene::{Traffic, agent, critical, hear, rss, units};

pub(crate) fn measure() {
    let traffic = Traffic::new(10_000, 4_000.0);
    let mut worn = agent(10_000);
    units(&mut worn, 4_000.0, Timestamp::START);
    let mut now = traffic.arrive(&mut worn, 0, Timestamp::START);
    let mut early = 0.0;
    for turn in 1..=1_000 {
        for vehicle in 0..traffic.vehicles {
            now = now + Duration::from_micros(20);
            hear(&mut worn, &traffic.beacon(vehicle, turn), now);
        }
        if worn.poll_timeout().is_some_and(|due| due <= now) {
            worn.handle_timeout(now);
        }
        if turn == 100 {
            early = rss();
        }
    }
    tell("beacon_soak_rss_growth", (rss() - early) / 1_024.0, "KiB");
    assert_eq!(worn.counters().get("beacons_total"), 1_001 * traffic.vehicles as u64);
    let mut fresh = agent(10_000);
    units(&mut fresh, 4_000.0, now);
    let now = traffic.arrive(&mut fresh, 1_000, now);
    // A moment for both to keep house.
    for n in 0..100 {
        for agent in [&mut worn, &mut fresh] {
            let later = now + Duration::from_millis(100 * n);
            hear(agent, &traffic.beacon(n as usize, 1_001), later);
        }
    }
    let now = now + Duration::from_secs(10);
    tell("beacon_soak_query_vs_fresh", time(&worn, now) / time(&fresh, now), "x");
}

/// The least of five rounds.
fn time(agent: &Agent, now: Timestamp) -> f64 {
    let round = || {
        let began = cpu::own();
        for _ in 0..2_000 {
            assert!(!agent.find(&critical(), now).matches.is_empty());
        }
        cpu::own() - began
    };
    (0..5).map(|_| round()).fold(f64::MAX, f64::min)
}
