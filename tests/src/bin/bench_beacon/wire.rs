//! What comes through a real broker, to the agent and to `mosquitto_sub`.

use std::time::{Duration, Instant};

use wayside_tests::broker::Broker;
use wayside_tests::figure::tell;
use wayside_tests::place::Scratch;
use wayside_tests::wait::eventually;

use crate::scene::{Traffic, listening};

pub(crate) fn measure() {
    let broker = Broker::start_with_settings("allow_anonymous true\nmax_queued_messages 0\n");
    let scratch = Scratch::new();
    let (agent, mut publisher) = listening(&broker);
    let listener = broker.count("wayside/1/b/#", scratch.path());
    let traffic = Traffic::new(2_000, 800.0);
    let messages = || agent.metric(&["mqtt_messages_total"]);
    // All of them are known before it counts.
    for vehicle in 0..traffic.vehicles {
        let (topic, payload) = traffic.beacon(vehicle, 0);
        publisher.publish(&topic, &payload, false).expect("mosquitto takes a beacon");
    }
    eventually(Duration::from_secs(20), "the vehicles are known", || {
        (agent.metric(&["beacons_total"]) >= traffic.vehicles as f64).then_some(())
    });
    let (heard, seen) = (messages(), listener.count());
    let beacons: Vec<_> = (1..=TURNS)
        .flat_map(|turn| (0..traffic.vehicles).map(move |vehicle| (vehicle, turn)))
        .map(|(v, t)| traffic.beacon(v, t))
        .collect();
    let began = Instant::now();
    for (topic, payload) in &beacons {
        publisher.publish(topic, payload, false).expect("mosquitto takes a beacon");
    }
    let sent = beacons.len();
    // Both have what they get as soon as neither gets any more.
    let mut last = (0.0, 0, Instant::now());
    let (agent_got, sub_got, ended) = eventually(Duration::from_secs(120), "all has arrived", || {
        let got = (messages() - heard, listener.count() - seen);
        if (got.0, got.1) != (last.0, last.1) {
            last = (got.0, got.1, Instant::now());
        }
        let over = got.1 as usize >= sent && got.0 >= sent as f64;
        (over || last.2.elapsed() > Duration::from_secs(3)).then_some((got.0, got.1, last.2))
    });
    let seconds = (ended - began).as_secs_f64();
    eprintln!("{sent} sent, {sub_got} got by mosquitto_sub, {agent_got} by the agent in {seconds:.2} s");
    tell("beacon_mosquitto_sub", sub_got as f64 / seconds, "1/s");
    tell("beacon_mosquitto_agent", agent_got / seconds, "1/s");
    tell("beacon_mosquitto_ratio", 100.0 * agent_got / sub_got as f64, "%");
}

const TURNS: u64 = 100;
