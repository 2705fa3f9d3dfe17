//! What agents around a broker come to believe.

use wayside_core::query::Query;
use wayside_protocols::time::Duration;
use wayside_tests::world::{Memory, World};

use crate::town::{MINUTE, SECOND, around_a_broker};

#[test]
fn agents_around_a_broker_find_each_other_within_ten_seconds() {
    let mut world = World::new(1);
    around_a_broker(&mut world, 10);
    world.boot_all(Duration::from_millis(100));
    world.run_until("everybody knows everybody", 10 * SECOND, |world| world.missing().is_empty());
    world.run(10 * MINUTE);
    assert_eq!((world.missing(), world.ghosts()), (vec![], vec![]));
}

#[test]
fn a_killed_agent_is_gone_as_soon_as_its_will_is_said() {
    let mut world = World::new(2);
    let (_, hosts) = around_a_broker(&mut world, 10);
    world.boot_all(Duration::from_millis(100));
    world.run(MINUTE);
    world.kill(hosts[3]);
    assert!(!world.ghosts().is_empty());
    // The will waits 2 s for the agent to come back.
    world.run_until("its will is believed", 3 * SECOND, |world| world.ghosts().is_empty());
}

#[test]
fn an_agent_that_leaves_is_gone_at_once() {
    let mut world = World::new(3);
    let (broker, hosts) = around_a_broker(&mut world, 10);
    world.boot_all(Duration::from_millis(100));
    world.run(MINUTE);
    world.leave(hosts[3]);
    world.run_until("its goodbye is believed", SECOND, |world| world.ghosts().is_empty());
    assert!(!world.retained(broker).any(|topic| topic.contains("/a/") && topic.contains("b0-003")));
    world.run(10 * MINUTE);
    assert_eq!(world.ghosts(), vec![]);
}

#[test]
fn a_broker_that_lost_everything_is_told_everything_again() {
    let mut world = World::new(4);
    let (broker, hosts) = around_a_broker(&mut world, 10);
    world.boot_all(Duration::from_millis(100));
    world.run(MINUTE);
    let before: Vec<String> = world.retained(broker).map(str::to_owned).collect();
    world.stop(broker, Memory::Nothing);
    world.run(10 * SECOND);
    // Useful with the broker gone: what was heard still holds.
    assert_eq!(world.ask(hosts[0], Query::new("charging".parse().ok())).matches.len(), 1);
    world.start(broker);
    world
        .run_until("all is retained again", 5 * SECOND, |world| world.retained(broker).eq(before.iter().map(|t| &**t)));
    assert_eq!(world.missing(), vec![]);
}
