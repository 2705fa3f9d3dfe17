//! What comes through a real broker, to `mosquitto_sub` alone and then to the agent alone.

use std::time::{Duration, Instant};

use wayside_tests::broker::Broker;
use wayside_tests::figure::{cpu_time, tell};
use wayside_tests::place::Scratch;
use wayside_tests::publisher::Publisher;
use wayside_tests::wait::eventually;

use crate::scene::{Traffic, listening};

pub(crate) fn measure() {
    let broker = Broker::start_with_settings("allow_anonymous true\nmax_queued_messages 0\n");
    let scratch = Scratch::new();
    let traffic = Traffic::new(2_000, 800.0);
    let sub = {
        let listener = broker.count("wayside/1/b/#", scratch.path());
        let mut publisher = Publisher::tcp(broker.port(), "nobody-else").expect("mosquitto takes the vehicles");
        run(&traffic, &mut publisher, listener.pid(), &mut || listener.count())
    };
    let (agent, mut publisher) = listening(&broker);
    let mut heard = || agent.metric(&["mqtt_messages_total"]) as u64;
    // All of them are known before it counts, and strangers come a thousand a second.
    eventually(Duration::from_secs(60), "the vehicles are known", || {
        for vehicle in 0..traffic.vehicles {
            let (topic, payload) = traffic.beacon(vehicle, 0);
            publisher.publish(&topic, &payload, false).expect("mosquitto takes a beacon");
        }
        (agent.metric(&["services_placed"]) > traffic.vehicles as f64).then_some(())
    });
    let ours = run(&traffic, &mut publisher, agent.daemon.pid(), &mut heard);
    for (name, run) in [("sub", &sub), ("agent", &ours)] {
        tell(&format!("beacon_mosquitto_{name}"), run.rate, "1/s");
        tell(&format!("beacon_mosquitto_{name}_cpu"), run.micros, "us");
    }
    tell("beacon_mosquitto_ratio", 100.0 * ours.rate / sub.rate, "%");
}

struct Run {
    /// Beacons received a second, from the first sent to the last received.
    rate: f64,
    /// CPU time of the receiver for each.
    micros: f64,
}

/// Sends 200,000 beacons as fast as the broker takes them, until the receiver gets no more.
fn run(traffic: &Traffic, publisher: &mut Publisher, receiver: u32, got: &mut impl FnMut() -> u64) -> Run {
    let beacons: Vec<_> =
        (1..=TURNS).flat_map(|turn| (0..traffic.vehicles).map(move |vehicle| traffic.beacon(vehicle, turn))).collect();
    let (before, spent) = (got(), cpu_time(receiver));
    let began = Instant::now();
    for (topic, payload) in &beacons {
        publisher.publish(topic, payload, false).expect("mosquitto takes a beacon");
    }
    let (mut count, mut ended) = (0, Instant::now());
    eventually(Duration::from_secs(120), "all has arrived", || {
        let now = got() - before;
        if now > count {
            (count, ended) = (now, Instant::now());
        }
        (count >= beacons.len() as u64 || ended.elapsed() > Duration::from_secs(3)).then_some(())
    });
    eprintln!("{} sent, {count} received in {:.2} s", beacons.len(), (ended - began).as_secs_f64());
    let micros = (cpu_time(receiver) - spent).as_secs_f64() * 1e6 / count as f64;
    Run { rate: count as f64 / (ended - began).as_secs_f64(), micros }
}

const TURNS: u64 = 100;
