//! Agents that die and live again, and brokers that remember the wrong things.

use wayside_protocols::time::Duration;
use wayside_tests::world::{Memory, World};

use crate::town::{MINUTE, SECOND, around_a_broker, on_a_link};

#[test]
fn what_was_acknowledged_outlives_kill_9() {
    let mut world = World::new(51);
    let (_, hosts) = around_a_broker(&mut world, 3);
    world.boot_all(SECOND);
    world.run(10 * SECOND);
    let registration = world.registration(hosts[0], "app", "parking");
    let ticket = world.register(hosts[0], registration);
    world.run_until("it is acknowledged", SECOND, |world| matches!(world.lease(hosts[0], ticket), Some(Ok(_))));
    world.kill(hosts[0]);
    world.run(10 * SECOND);
    assert!(!world.knows(hosts[1], "app@b0-000"));
    world.boot(hosts[0]);
    assert!(world.knows(hosts[0], "app@b0-000"));
    world.run_until("the neighbours know it again", 5 * SECOND, |world| {
        world.knows(hosts[1], "app@b0-000") && world.missing().is_empty()
    });
}

#[test]
fn a_former_life_is_cleared_from_the_broker() {
    let mut world = World::new(52);
    let (broker, hosts) = around_a_broker(&mut world, 3);
    world.offer(hosts[0], "old", "parking");
    world.boot_all(SECOND);
    world.run(10 * SECOND);
    assert!(world.knows(hosts[1], "old@b0-000"));
    world.kill(hosts[0]);
    world.settings(hosts[0]).services.pop();
    world.boot(hosts[0]);
    world.run(10 * SECOND);
    assert!(!world.retained(broker).any(|topic| topic.contains("parking")));
    assert_eq!((world.missing(), world.ghosts()), (vec![], vec![]));
}

#[test]
fn an_agent_back_before_its_will_is_said_is_never_called_lost() {
    let mut world = World::new(53);
    let (_, hosts) = around_a_broker(&mut world, 3);
    world.boot_all(SECOND);
    world.run(10 * SECOND);
    world.kill(hosts[0]);
    world.boot(hosts[0]);
    for _ in 0..60 {
        world.run(SECOND);
        assert!(world.knows(hosts[1], "b0-000") && world.knows(hosts[1], "cp@b0-000"));
    }
}

#[test]
fn a_broker_that_forgets_sessions_or_remembers_everything_is_no_different() {
    for keeps in [Memory::All, Memory::Retained, Memory::Nothing] {
        let mut world = World::new(54);
        let (broker, hosts) = around_a_broker(&mut world, 6);
        world.boot_all(SECOND);
        world.run(MINUTE);
        world.stop(broker, keeps);
        world.run(10 * SECOND);
        // One dies and one comes back with less while nobody can hear of it.
        world.kill(hosts[5]);
        world.kill(hosts[4]);
        world.settings(hosts[4]).services.clear();
        world.boot(hosts[4]);
        world.start(broker);
        world.run_until("everybody knows everybody", 10 * SECOND, |world| world.missing().is_empty());
        // What is retained holds for up to 180 s at the broker, and from then on for up to 180 s at who reads it.
        let took = world.run_until("the dead are forgotten", 361 * SECOND, |world| world.ghosts().is_empty());
        eprintln!("broker keeps {keeps:?}: no ghost after {took:?}");
        world.run(10 * MINUTE);
        assert_eq!((world.missing(), world.ghosts()), (vec![], vec![]));
    }
}

#[test]
fn who_loses_the_broker_and_comes_back_finds_everybody() {
    let mut world = World::new(55);
    let (_, hosts) = around_a_broker(&mut world, 6);
    world.boot_all(SECOND);
    world.run(MINUTE);
    world.cut(hosts[2]);
    world.run_until("the others are told", 26 * SECOND, |world| !world.knows(hosts[0], "b0-002"));
    // Meanwhile one leaves: the one who is cut off cannot know before the lease ends.
    world.leave(hosts[3]);
    world.run(5 * MINUTE);
    assert_eq!(world.ghosts(), vec![]);
    world.mend(hosts[2]);
    world.run_until("everybody knows everybody", 5 * SECOND, |world| world.missing().is_empty());
}

#[test]
fn who_restarts_on_a_link_with_other_services_leaves_none_of_the_old() {
    let mut world = World::new(56);
    let (_, hosts) = on_a_link(&mut world, 6, 0.0);
    world.boot_all(Duration::from_millis(100));
    world.run(MINUTE);
    world.kill(hosts[1]);
    world.settings(hosts[1]).services.clear();
    world.boot(hosts[1]);
    let took = world.run_until("the old runs out", 121 * SECOND, |world| world.ghosts().is_empty());
    eprintln!("no ghost after {took:?}");
    assert_eq!(world.missing(), vec![]);
}

#[test]
fn who_renews_keeps_and_who_does_not_loses() {
    let mut world = World::new(57);
    let (_, hosts) = around_a_broker(&mut world, 2);
    world.boot_all(SECOND);
    let [kept, lost] = ["kept", "lost"].map(|id| world.registration(hosts[0], id, "parking"));
    let id = kept.service.id.clone();
    world.register(hosts[0], kept);
    world.register(hosts[0], lost);
    for _ in 0..10 {
        world.run(MINUTE);
        world.renew(hosts[0], id.clone());
    }
    world.run(SECOND);
    assert!(world.knows(hosts[1], "kept@b0-000") && !world.knows(hosts[1], "lost@b0-000"));
    world.withdraw(hosts[0], id);
    world.run(SECOND);
    assert!(!world.knows(hosts[1], "kept@b0-000"));
}
