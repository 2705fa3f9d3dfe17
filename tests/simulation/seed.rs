//! The same seed is the same run.

use wayside_protocols::time::Duration;
use wayside_tests::world::{Memory, Tally, Trace, World};

use crate::town::{MINUTE, SECOND, around_a_broker, on_a_link};

#[test]
fn the_same_seed_is_the_same_run_to_the_byte() {
    let (first, second, other) = (bad_day(71), bad_day(71), bad_day(72));
    assert_eq!((first.trace, first.tally, &first.table), (second.trace, second.tally, &second.table));
    assert_ne!(first.trace, other.trace);
}

#[test]
fn a_bad_day_goes_as_it_always_does() {
    let day = bad_day(73);
    eprintln!("trace {} {:?}", day.trace, day.tally);
    assert_eq!(day.table, BAD_DAY, "\n{}", day.table);
}

struct Day {
    trace: Trace,
    tally: Tally,
    table: String,
}

/// Everything that happens to agents, one after the other, and what everybody believes two minutes after each.
fn bad_day(seed: u64) -> Day {
    let mut world = World::new(seed);
    let (link, hosts) = on_a_link(&mut world, 10, 0.02);
    let other = world.link(0.02);
    let (broker, more) = around_a_broker(&mut world, 10);
    hosts.iter().take(5).for_each(|host| world.attach(*host, broker));
    let mut table = String::from("what happens          missing  ghosts\n");
    let mut note = |world: &mut World, what: &str| {
        world.run(130 * SECOND);
        table += &format!("{what:20} {:8} {:7}\n", world.missing().len(), world.ghosts().len());
    };
    world.boot_all(Duration::from_millis(100));
    note(&mut world, "start");
    world.kill(hosts[1]);
    note(&mut world, "kill -9");
    world.crash(more[1]);
    note(&mut world, "power cut");
    world.boot(hosts[1]);
    world.boot(more[1]);
    note(&mut world, "both start again");
    world.leave(hosts[2]);
    note(&mut world, "goodbye");
    world.roam(hosts[3], link, other);
    note(&mut world, "roaming");
    world.stop(broker, Memory::Nothing);
    note(&mut world, "broker stops");
    world.start(broker);
    note(&mut world, "broker starts");
    world.sleep(hosts[4]);
    note(&mut world, "one falls asleep");
    world.wake(hosts[4]);
    note(&mut world, "and wakes up");
    world.split(link, &hosts[5..8]);
    world.run(5 * MINUTE);
    note(&mut world, "the link splits");
    Day { trace: world.trace(), tally: world.tally(), table }
}

/// Changes only if what agents come to believe does.
const BAD_DAY: &str = "\
what happens          missing  ghosts
start                       0       0
kill -9                     0       0
power cut                   0       0
both start again            0       0
goodbye                     0       0
roaming                     0       0
broker stops                0       0
broker starts               0       0
one falls asleep            0       0
and wakes up                0       0
the link splits             0       0
";
