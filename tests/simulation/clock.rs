//! Clocks that are wrong, and hosts that sleep.

use wayside_protocols::time::{Timestamp, UnixMillis};
use wayside_tests::world::{HostNo, World};

use crate::town::{MINUTE, SECOND, around_a_broker, on_a_link};

#[test]
fn clocks_in_1970_are_no_hindrance() {
    let mut world = World::new(21);
    let (_, hosts) = around_a_broker(&mut world, 6);
    hosts.iter().step_by(2).for_each(|host| world.set_wall(*host, UnixMillis(0)));
    world.boot_all(SECOND);
    world.run_until("everybody knows everybody", 10 * SECOND, |world| world.missing().is_empty());
    for _ in 0..30 {
        world.run(MINUTE);
        assert_eq!((world.missing(), world.ghosts()), (vec![], vec![]));
    }
    assert!(!world.agent(hosts[0]).status(world.now()).clock_trusted);
}

#[test]
fn a_clock_that_jumps_makes_nobody_forget_anything() {
    let mut world = World::new(22);
    let (_, hosts) = around_a_broker(&mut world, 6);
    let (_, linked) = on_a_link(&mut world, 6, 0.0);
    world.boot_all(SECOND);
    world.run(MINUTE);
    let departed = |world: &World| hosts.iter().chain(&linked).map(|host| departures(world, *host)).sum::<u64>();
    let before = departed(&world);
    for shown in [2_000_000_000_000, 0, 4_000_000_000_000, 1_767_225_600_000] {
        world.set_wall(hosts[1], UnixMillis(shown));
        world.set_wall(linked[1], UnixMillis(shown));
        world.run(10 * MINUTE);
        assert_eq!((world.missing(), departed(&world)), (vec![], before), "clock shows {shown}");
    }
}

#[test]
fn who_slept_for_eight_hours_believes_nothing_old_and_finds_everybody_again() {
    let mut world = World::new(23);
    let (broker, hosts) = around_a_broker(&mut world, 6);
    let link = world.link(0.0);
    hosts.iter().for_each(|host| world.join(*host, link));
    world.boot_all(SECOND);
    world.run(40 * MINUTE);
    let sleeper = hosts[2];
    world.sleep(sleeper);
    world.run(480 * MINUTE);
    assert!(!world.knows(hosts[0], "b0-002"));
    assert!(world.retained(broker).any(|topic| topic.ends_with("p/b0-002")), "its will is kept");
    world.wake(sleeper);
    let (agent, now) = (world.agent(sleeper), world.now());
    assert!(agent.entries().all(|entry| entry.own() && entry.until() > now));
    let took = world.run_until("everybody knows everybody", 10 * SECOND, |world| world.missing().is_empty());
    eprintln!("found everybody after {took:?}");
    world.run(10 * MINUTE);
    assert_eq!((world.missing(), world.ghosts()), (vec![], vec![]));
}

/// The hundred minutes end in the same second in which everybody else has just answered: no responder says it again so
/// soon (RFC 6762 section 6), and the first question after the sleep goes unanswered.
#[test]
fn who_dozed_for_a_while_finds_everybody_on_its_link_again() {
    for minutes in [1, 3, 10, 30, 70, 100, 480] {
        let mut world = World::new(24);
        let (_, hosts) = on_a_link(&mut world, 6, 0.0);
        world.boot_all(SECOND);
        world.run(200 * MINUTE);
        world.sleep(hosts[2]);
        world.run(minutes * MINUTE);
        world.wake(hosts[2]);
        let took = world.run_until("everybody knows everybody", 5 * SECOND, |world| world.missing().is_empty());
        eprintln!("asleep for {minutes} min: found everybody after {took:?}");
    }
}

#[test]
fn a_lease_ends_on_time_even_if_its_host_sleeps_through_it() {
    let mut world = World::new(25);
    let (_, hosts) = around_a_broker(&mut world, 2);
    world.boot_all(SECOND);
    world.run(10 * SECOND);
    let registration = world.registration(hosts[0], "app", "parking");
    let ticket = world.register(hosts[0], registration);
    world.run_until("the lease is granted", SECOND, |world| matches!(world.lease(hosts[0], ticket), Some(Ok(_))));
    world.run_until("the neighbour knows it", SECOND, |world| world.knows(hosts[1], "app@b0-000"));
    world.sleep(hosts[0]);
    world.run(121 * SECOND);
    world.wake(hosts[0]);
    assert!(!world.knows(hosts[0], "app@b0-000"));
    world.run(10 * SECOND);
    assert!(!world.knows(hosts[1], "app@b0-000") && world.knows(hosts[1], "cp@b0-000"));
}

fn departures(world: &World, host: HostNo) -> u64 {
    assert!(world.now() > Timestamp::START);
    let counters = world.agent(host).counters();
    counters.iter().filter(|(what, _)| *what == "departed_total").map(|(_, n)| n).sum()
}
