//! How many beacons one core takes in, and what a neighbour costs.

use wayside_protocols::time::{Duration, Timestamp};
use wayside_tests::figure::tell;

use crate::cpu;
use crate::scene::{Traffic, agent, hear, rss};

/// Beacons of known neighbours that one core takes in.
pub(crate) fn rate() {
    let traffic = Traffic::new(10_000, 4_000.0);
    let mut known = agent(10_000);
    let mut now = traffic.arrive(&mut known, 0, Timestamp::START);
    let mut spent = 0.0;
    for round in 1..=ROUNDS {
        // Writing them is the vehicles' work.
        let beacons: Vec<_> = (0..traffic.vehicles).map(|vehicle| traffic.beacon(vehicle, round)).collect();
        let began = cpu::own();
        for beacon in &beacons {
            now = now + Duration::from_micros(10);
            hear(&mut known, beacon, now);
        }
        spent += cpu::own() - began;
    }
    let heard = ROUNDS * traffic.vehicles as u64;
    let counted = known.counters().get("beacons_total");
    assert_eq!(counted, heard + traffic.vehicles as u64, "a beacon was refused");
    tell("beacon_decoded_and_indexed", heard as f64 / spent, "1/s");
}

/// What a neighbour costs.
pub(crate) fn memory() {
    let many = Traffic::new(50_000, 8_000.0);
    let mut known = agent(50_000);
    let before = rss();
    many.arrive(&mut known, 0, Timestamp::START);
    tell("beacon_rss_per_neighbour", (rss() - before) / many.vehicles as f64, "B");
}

const ROUNDS: u64 = 100;
