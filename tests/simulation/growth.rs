//! How much is said as agents become more.

use wayside_protocols::time::Duration;
use wayside_tests::world::{Tally, World};

use crate::town::{MINUTE, around_a_broker, on_a_link};

/// Each announces itself and all hear it, so that up to 40 agents traffic grows as they do. At 80 it grows as their square:
/// what they know no longer fits one question, and more of them ask for a record before its answer is out.
#[test]
fn an_agent_says_less_than_a_packet_every_ten_seconds_however_many_share_its_link() {
    let rates = [5, 10, 20, 40, 80].map(|count| {
        let mut world = World::new(31);
        on_a_link(&mut world, count, 0.0);
        let said = ten_minutes(&mut world);
        assert_eq!(world.missing(), vec![]);
        eprintln!(
            "{count:3} agents: {:6.2} queries/s {:6.2} responses/s, {:.3} packets/s an agent",
            per_second(said.queries),
            per_second(said.responses),
            per_second(said.packets()) / count as f64,
        );
        per_second(said.packets())
    });
    for pair in rates[..4].windows(2) {
        assert!(pair[1] <= 2.5 * pair[0], "{rates:?}");
    }
    assert!(rates[4] <= 4.0 * rates[3] && rates[4] / 80.0 < 0.1, "{rates:?}");
}

#[test]
fn publications_grow_as_agents_do() {
    let rates = [10, 20, 40, 80].map(|count| {
        let mut world = World::new(32);
        around_a_broker(&mut world, count);
        let said = ten_minutes(&mut world);
        assert_eq!(world.missing(), vec![]);
        let (published, delivered) = (per_second(said.published), per_second(said.delivered));
        eprintln!("{count:3} agents: {published:6.2} published/s {delivered:7.2} delivered/s");
        published
    });
    for pair in rates.windows(2) {
        assert!(pair[1] <= 2.2 * pair[0], "{rates:?}");
    }
}

/// What is said in ten minutes, once everybody has settled.
fn ten_minutes(world: &mut World) -> Tally {
    world.boot_all(Duration::from_millis(100));
    world.run(5 * MINUTE);
    let before = world.tally();
    world.run(10 * MINUTE);
    world.tally().since(&before)
}

fn per_second(in_ten_minutes: u64) -> f64 {
    in_ten_minutes as f64 / 600.0
}
