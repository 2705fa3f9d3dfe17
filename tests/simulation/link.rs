//! What agents on links come to believe.

use wayside_protocols::time::Duration;
use wayside_tests::world::World;

use crate::town::{MINUTE, SECOND, gateway, on_a_link};

#[test]
fn agents_on_a_link_find_each_other_within_five_seconds() {
    let mut world = World::new(11);
    on_a_link(&mut world, 10, 0.0);
    world.boot_all(Duration::from_millis(100));
    world.run_until("everybody knows everybody", 5 * SECOND, |world| world.missing().is_empty());
    for _ in 0..30 {
        world.run(MINUTE);
        assert_eq!((world.missing(), world.ghosts()), (vec![], vec![]));
    }
}

#[test]
fn a_link_that_loses_a_fifth_of_everything_hides_nobody() {
    let mut world = World::new(12);
    on_a_link(&mut world, 10, 0.2);
    world.boot_all(Duration::from_millis(100));
    let took = world.run_until("everybody knows everybody", 3 * MINUTE, |world| world.missing().is_empty());
    eprintln!("converged after {took:?}");
}

#[test]
fn who_says_goodbye_leaves_no_ghost() {
    let mut world = World::new(13);
    let (_, hosts) = on_a_link(&mut world, 10, 0.0);
    world.boot_all(Duration::from_millis(100));
    world.run(MINUTE);
    world.leave(hosts[4]);
    // A goodbye leaves a second (RFC 6762 section 10.1).
    world.run_until("its goodbye is believed", 2 * SECOND, |world| world.ghosts().is_empty());
    for _ in 0..20 {
        world.run(MINUTE);
        assert_eq!(world.ghosts(), vec![]);
    }
}

#[test]
fn who_is_killed_is_forgotten_within_two_minutes() {
    let mut world = World::new(14);
    let (_, hosts) = on_a_link(&mut world, 10, 0.0);
    world.boot_all(Duration::from_millis(100));
    world.run(MINUTE);
    world.kill(hosts[4]);
    let took = world.run_until("its records run out", 121 * SECOND, |world| world.ghosts().is_empty());
    eprintln!("forgotten after {took:?}");
    world.run(10 * MINUTE);
    assert_eq!((world.missing(), world.ghosts()), (vec![], vec![]));
}

#[test]
fn both_sides_of_a_partition_find_each_other_again_when_it_heals() {
    let mut world = World::new(15);
    let (link, hosts) = on_a_link(&mut world, 12, 0.0);
    world.boot_all(Duration::from_millis(100));
    world.run(MINUTE);
    world.split(link, &hosts[..6]);
    world.run(5 * MINUTE);
    // Two sides of a cut cannot know each other: what they knew has run out.
    assert!(!world.knows(hosts[0], "l0-011") && world.knows(hosts[0], "l0-005"));
    assert_eq!(world.missing(), vec![]);
    world.heal(link);
    let took = world.run_until("everybody knows everybody", 10 * MINUTE, |world| world.missing().is_empty());
    eprintln!("converged after {took:?}");
}

#[test]
fn a_partition_of_hours_heals_as_soon_as_somebody_asks_again() {
    let mut world = World::new(17);
    let (link, hosts) = on_a_link(&mut world, 6, 0.0);
    world.boot_all(Duration::from_millis(100));
    world.run(MINUTE);
    world.split(link, &hosts[..3]);
    world.run(180 * MINUTE);
    world.heal(link);
    // Nobody was told, so nobody asks before its turn: RFC 6762 section 5.2 lets the turns become an hour long.
    let took = world.run_until("everybody knows everybody", 61 * MINUTE, |world| world.missing().is_empty());
    eprintln!("converged after {took:?}");
}

#[test]
fn who_roams_is_known_on_its_new_link_and_forgotten_on_the_old_one() {
    let mut world = World::new(16);
    let (home, at_home) = on_a_link(&mut world, 5, 0.0);
    let (away, far_away) = on_a_link(&mut world, 5, 0.0);
    let car = gateway(&mut world, "car", None);
    world.join(car, home);
    world.boot_all(Duration::from_millis(100));
    world.run(MINUTE);
    world.roam(car, home, away);
    // Its carrier is gone, and with it what it heard there.
    assert!(!world.knows(car, "l0-000"));
    world.run_until("the new link knows it", 5 * SECOND, |world| {
        world.missing().is_empty() && world.knows(far_away[0], "cp@car") && world.knows(car, "cp@l1-004")
    });
    world.run_until("the old link forgets it", 121 * SECOND, |world| !world.knows(at_home[0], "car"));
}
