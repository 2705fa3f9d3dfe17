//! A million made-up names in a minute.

use wayside_core::agent::io::{Input, Output, Ticket};
use wayside_core::registration::Registration;
use wayside_protocols::service::{Kind, Service};
use wayside_protocols::time::{Duration, Timestamp};
use wayside_tests::figure::tell;

use crate::cpu;
use crate::scene::{Traffic, agent, critical, hear, rss, units};

pub(crate) fn measure() {
    let mut known = agent(0);
    units(&mut known, 1_000.0, Timestamp::START);
    let service = Service::new("cp@gw-1".parse().expect("an id"), "charging".parse().expect("a name"), Kind::Gateway);
    let own = Registration { service, ttl: Duration::from_secs(86_400), check: None };
    known.handle(Input::Register(Ticket(1), Box::new(own)), Timestamp::START);
    while let Some(output) = known.poll_output() {
        if let Output::Store(ticket, _) = output {
            known.handle(Input::Stored(ticket, Ok(())), Timestamp::START);
        }
    }
    let real = Traffic::new(20, 400.0);
    // They have been there for a while.
    let mut now = real.arrive(&mut known, 0, Timestamp::START);
    for turn in 1..=20 {
        now = now + Duration::from_secs(1);
        (0..real.vehicles).for_each(|vehicle| hear(&mut known, &real.beacon(vehicle, turn), now));
    }
    let (before, began) = (rss(), cpu::own());
    let flood = Traffic::new(1_000_000, 1_000.0);
    for name in 0..flood.vehicles {
        now = now + Duration::from_micros(60);
        let (topic, payload) = flood.beacon(name + 1_000, 0);
        hear(&mut known, &(topic, payload), now);
        if name % 16_667 == 0 {
            let turn = 21 + name as u64 / 16_667;
            (0..real.vehicles).for_each(|vehicle| hear(&mut known, &real.beacon(vehicle, turn), now));
            known.handle_timeout(now);
            while known.poll_output().is_some() {}
        }
    }
    let spent = cpu::own() - began;
    let status = known.status(now);
    assert!(status.services <= 20_000 && status.peers <= 16_384, "{status:?}");
    assert!(!known.find(&critical(), now).matches.is_empty(), "critical rows are kept");
    assert!(known.entry(&"cp@gw-1".parse().expect("an id")).is_some(), "own rows are kept");
    let there = (0..real.vehicles).filter(|n| known.entry(&format!("veh-{n:08}").parse().expect("an id")).is_some());
    assert_eq!(there.count(), real.vehicles, "who has been there stays");
    tell("beacon_flood_rss_growth", (rss() - before) / 1_024.0, "KiB");
    tell("beacon_flood_cpu", spent, "s");
}
