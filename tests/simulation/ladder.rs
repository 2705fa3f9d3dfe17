//! Which tier answers while things fail one after another.

use wayside_core::query::{Answer, Centre, Near, Outcome, Query, Tier};
use wayside_protocols::place::Distance;
use wayside_protocols::service::Kind;
use wayside_tests::world::{HostNo, World};

use crate::town::{SECOND, gateway, square};

/// A gateway on the square, a roadside unit 80 m and a car 300 m from it, all around one broker.
fn crossing(world: &mut World) -> (HostNo, HostNo, HostNo) {
    let broker = world.broker();
    let here = gateway(world, "here", Some(square()));
    let unit = world.host("rsu", Kind::Roadside, Some(square().moved(0.0, 80.0)));
    let car = world.host("car", Kind::Vehicle, Some(square().moved(90.0, 300.0)));
    for (host, critical) in [(unit, true), (car, false)] {
        world.offer(host, "brake", "brake");
        world.settings(host).services[0].service.critical = critical;
    }
    [here, unit, car].into_iter().for_each(|host| world.attach(host, broker));
    (here, unit, car)
}

#[test]
fn a_critical_question_climbs_down_the_ladder_as_things_fail_and_up_again() {
    let mut world = World::new(41);
    let (here, unit, car) = crossing(&mut world);
    world.boot_all(SECOND);
    world.run(5 * SECOND);
    assert_eq!(brakes(&mut world, here), (Some(Tier::Local), vec!["brake@rsu".into()]));
    world.kill(unit);
    world.run(3 * SECOND);
    assert_eq!(brakes(&mut world, here), (Some(Tier::Neighbour), vec!["brake@car".into()]));
    world.cut(here);
    world.run(2 * SECOND);
    // The broker is gone; where the car is holds as long as its last beacon said it would.
    assert_eq!(brakes(&mut world, here), (Some(Tier::Neighbour), vec!["brake@car".into()]));
    world.run(180 * SECOND);
    assert_eq!(brakes(&mut world, here), (None, vec![]));
    world.mend(here);
    world.boot(unit);
    world.run(5 * SECOND);
    assert_eq!(brakes(&mut world, here), (Some(Tier::Local), vec!["brake@rsu".into()]));
    world.leave(car);
    world.leave(unit);
    world.run(SECOND);
    assert_eq!(brakes(&mut world, here), (None, vec![]));
}

#[test]
fn an_agent_that_never_reached_anybody_answers_and_says_why_each_tier_did_not() {
    let mut world = World::new(42);
    let alone = world.host("alone", Kind::Gateway, None);
    world.boot(alone);
    world.run(SECOND);
    let answer = ask(&mut world, alone);
    assert_eq!((answer.tier, answer.matches.len(), answer.explain.len()), (None, 0, 4));
    assert!(answer.explain.iter().any(|report| report.outcome == Outcome::Unreached));
    assert!(!answer.unreached.is_empty());
}

fn brakes(world: &mut World, host: HostNo) -> (Option<Tier>, Vec<String>) {
    let answer = ask(world, host);
    (answer.tier, answer.matches.iter().map(|found| found.service.id.to_string()).collect())
}

fn ask(world: &mut World, host: HostNo) -> Answer {
    let mut query = Query::new("brake".parse().ok());
    query.critical = true;
    query.near = Some(Near { centre: Centre::Here, radius: Distance::metres(500) });
    world.ask(host, query)
}
