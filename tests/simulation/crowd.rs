//! A thousand agents.

use std::time::Instant;

use wayside_protocols::place::Fix;
use wayside_protocols::service::Kind;
use wayside_protocols::time::Duration;
use wayside_tests::world::{HostNo, World};

use crate::town::{MINUTE, SECOND, on_a_link, square};

/// Twenty towns of 1.6 km by 800 m around a broker each, a tenth of their agents on wheels.
#[test]
fn a_thousand_agents_around_twenty_brokers_for_ten_minutes() {
    let began = Instant::now();
    let mut world = World::new(61);
    let hosts: Vec<HostNo> = (0..20).flat_map(|_| town(&mut world)).collect();
    world.boot_all(Duration::from_millis(10));
    for step in 0..60 {
        world.run(10 * SECOND);
        if step == 30 {
            hosts.iter().skip(1).step_by(50).for_each(|host| world.kill(*host));
        }
        for host in hosts.iter().step_by(10) {
            // 10 m/s east.
            let fix = world.agent(*host).own_fix().unwrap();
            let moved = Fix { position: fix.position.moved(90.0, 100.0), time: world.now(), ..fix };
            world.stand(*host, moved);
        }
    }
    eprintln!("{:?}, took {:?}", world.tally(), began.elapsed());
    assert_eq!((world.missing(), world.ghosts()), (vec![], vec![]));
}

fn town(world: &mut World) -> Vec<HostNo> {
    let broker = world.broker();
    let host = |n: u32| {
        let kind = if n.is_multiple_of(10) { Kind::Vehicle } else { Kind::Roadside };
        let place = square().moved(0.0, 160.0 * f64::from(n / 10)).moved(90.0, 160.0 * f64::from(n % 10));
        let host = world.host(&format!("t{}-{n:03}", broker.0), kind, Some(place));
        world.offer(host, "cp", "charging");
        world.attach(host, broker);
        host
    };
    (0..50).map(host).collect()
}

#[test]
fn a_thousand_agents_on_forty_links_for_ten_minutes() {
    let began = Instant::now();
    let mut world = World::new(62);
    let links: Vec<_> = (0..40).map(|_| on_a_link(&mut world, 25, 0.01)).collect();
    world.boot_all(Duration::from_millis(10));
    world.run(5 * MINUTE);
    for (_, hosts) in &links {
        world.kill(hosts[7]);
    }
    world.run(5 * MINUTE);
    eprintln!("{:?}, took {:?}", world.tally(), began.elapsed());
    assert_eq!((world.missing(), world.ghosts()), (vec![], vec![]));
}
