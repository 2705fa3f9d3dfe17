//! Vehicles that move: whom they know, and how much they hear.
//!
//! `./tests/bench simulation` runs the same with ten thousand.

use wayside_protocols::service::Kind;
use wayside_protocols::time::Duration;
use wayside_tests::street::{Plan, Street};
use wayside_tests::world::World;

use crate::town::{MINUTE, SECOND, square};

const PLAN: Plan = Plan {
    seed: 81,
    vehicles: 120,
    per_km2: 12.0,
    fixes: 1,
    loss: 0.02,
    budget: 1_000,
    clocks: Duration::from_secs(2),
};

#[test]
fn vehicles_know_whom_they_drive_among_through_loss_outage_partition_and_wrong_clocks() {
    let mut street = Street::open(PLAN);
    street.drive(20 * SECOND);
    let good = |street: &Street, what: &str| {
        let (pairs, missed) = street.misses(1);
        eprintln!("{what}: {missed} of {pairs} missed");
        // A beacon is lost one time in fifty; two in a row leave somebody unheard of for a moment.
        assert!(pairs > 100 && missed * 50 <= pairs, "{what}: {missed} of {pairs}");
    };
    good(&street, "at first");
    street.outage(20 * SECOND);
    street.drive(10 * SECOND);
    good(&street, "after an outage");
    street.partition(10, 40 * SECOND);
    street.drive(10 * SECOND);
    good(&street, "after a partition");
    street.restart(10);
    street.drive(10 * SECOND);
    good(&street, "after some have started again");
}

#[test]
fn the_same_seed_is_the_same_traffic_to_the_byte() {
    let run = |seed| {
        let mut street = Street::open(Plan { seed, vehicles: 60, ..PLAN });
        street.drive(20 * SECOND);
        street.outage(5 * SECOND);
        street.drive(10 * SECOND);
        (street.world.trace(), street.world.tally())
    };
    let (first, second, other) = (run(1), run(1), run(2));
    assert_eq!(first, second);
    assert_ne!(first.0, other.0);
}

#[test]
fn a_larger_fleet_is_heard_no_more_of_and_a_denser_one_less_than_it_grows() {
    let heard = |vehicles, per_km2, budget| {
        let mut street = Street::open(Plan { vehicles, per_km2, budget, loss: 0.0, fixes: 5, ..PLAN });
        street.drive(8 * SECOND);
        let neighbours = street.neighbours(1);
        let (received, sent) = street.traffic(2 * SECOND);
        eprintln!(
            "{vehicles:5} vehicles, {neighbours:6.1} neighbours: {received:7.1} received, {sent:5.2} sent a second"
        );
        received
    };
    let (small, large) = (heard(100, 25.0, 1_000), heard(400, 25.0, 1_000));
    // A small town is mostly border; inside, nothing depends on how large the town is.
    assert!(large <= 2.0 * small, "{small} {large}");
    let (free, held) = (heard(100, 400.0, 1_000), heard(100, 400.0, 100));
    // One a second is the least there is.
    assert!(held <= 0.8 * free && held <= 115.0, "{held} instead of {free}");
}

#[test]
fn names_that_change_leave_nothing_behind_and_the_vehicles_own_callers_do_not_notice() {
    let mut world = World::new(82);
    let broker = world.broker();
    let cars: Vec<_> = (0..3)
        .map(|n| {
            let car = world.host(&format!("car-{n}"), Kind::Vehicle, Some(square().moved(90.0, 40.0 * f64::from(n))));
            world.settings(car).rotate = Some(MINUTE);
            world.settings(car).mdns = false;
            world.offer(car, "hv", "hazard-view");
            world.attach(car, broker);
            world.boot(car);
            car
        })
        .collect();
    let mut names = std::collections::BTreeSet::new();
    for _ in 0..100 {
        world.run(6 * SECOND);
        names.insert(world.agent(cars[1]).on_air().to_string());
        assert!(
            world.knows(cars[1], "hv@car-1") && !world.knows(cars[0], "hv@car-1") && !world.knows(cars[0], "car-1")
        );
        // Somebody is between two names for a second and a half at the most; an old one lasts as long as its beacon.
        let known =
            world.agent(cars[0]).entries().filter(|entry| !entry.own() && entry.shown().name.as_str() == "wayside");
        assert!(known.count() <= 4, "old names are forgotten");
    }
    assert!((9..=12).contains(&names.len()), "{names:?}");
    let offered = world.retained(broker).filter(|topic| topic.contains("/hazard-view/")).count();
    assert!(offered <= 3, "{offered} announcements of three vehicles");
    let kept: Vec<String> = world.retained(broker).map(str::to_owned).collect();
    assert!(!kept.iter().any(|topic| topic.contains("car-")), "{kept:?}");
}
