//! How long the critical question takes, alone and in traffic.

use wayside_core::agent::Agent;
use wayside_core::agent::io::{Input, Output, Ticket};
use wayside_protocols::time::{Duration, Timestamp};
use wayside_tests::figure::{quantile, tell};

use crate::cpu;
use crate::scene::{Traffic, agent, critical, hear, units};

pub(crate) fn measure() {
    let traffic = Traffic::new(10_000, 4_000.0);
    let mut known = agent(10_000);
    units(&mut known, 4_000.0, Timestamp::START);
    let start = traffic.arrive(&mut known, 0, Timestamp::START);
    while known.poll_output().is_some() {}
    for (name, rate) in [("idle", 0.0), ("busy", 100_000.0)] {
        let times = ask(&mut known, &traffic, rate, start);
        for (share, of) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
            tell(&format!("beacon_query_{name}_{share}"), quantile(&times, of), "us");
        }
    }
}

/// A thousand questions a second and `rate` beacons a second, in the order they come, on the clock of this thread's CPU.
fn ask(known: &mut Agent, traffic: &Traffic, rate: f64, start: Timestamp) -> Vec<f64> {
    let turns = if rate > 0.0 { SECONDS * rate / traffic.vehicles as f64 } else { 0.0 } as u64;
    let beacons: Vec<_> = (1..=turns)
        .flat_map(|turn| (0..traffic.vehicles).map(move |vehicle| (vehicle, turn)))
        .map(|(vehicle, turn)| traffic.beacon(vehicle, turn))
        .collect();
    let began = cpu::own();
    let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
    let (mut sent, mut times) = (0, Vec::new());
    let query = critical();
    while times.len() < (SECONDS * QUESTIONS) as usize {
        let now = cpu::own() - began;
        let asked = times.len() as f64 / QUESTIONS;
        let next = sent as f64 / rate.max(1.0);
        if sent < beacons.len() && next <= now && next <= asked {
            hear(known, &beacons[sent], at(now));
            sent += 1;
        } else if asked <= now {
            known.handle(Input::Ask(Ticket(times.len() as u64), query.clone()), at(now));
            let answer = known.poll_output();
            let Some(Output::Answer(_, answer)) = answer else { panic!("no answer but {answer:?}") };
            assert!(!answer.matches.is_empty(), "a unit stands within 100 m");
            times.push((cpu::own() - began - asked) * 1e6);
        }
    }
    times
}

const SECONDS: f64 = 5.0;
const QUESTIONS: f64 = 1_000.0;
