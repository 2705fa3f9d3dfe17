use std::time::Duration;

use wayside_protocols::place::{Fix, Motion};
use wayside_protocols::service::{AgentId, Kind, Service, ServiceId, ServiceName, Value};
use wayside_protocols::sighting::{Sighting, Source};

use super::*;
use crate::limits::Limits;
use crate::query::{Comparison, Near, Reason, Requirement, Sector, Verdict};

const SECOND: Duration = Duration::from_secs(1);

/// A neighbourhood around one point, with services at stated distances north of it.
struct Street {
    known: Neighbourhood,
    here: Position,
}

impl Street {
    fn new() -> Self {
        let here = Position::new(48.8566, 2.3522).unwrap();
        Self { known: Neighbourhood::new("me".parse().unwrap(), Limits::default()), here }
    }

    fn with(mut self, id: &str, kind: Kind, metres: f64, change: impl FnOnce(&mut Service)) -> Self {
        let mut service = Service::new(id.parse().unwrap(), "brake".parse().unwrap(), kind);
        service.fix = Some(Fix::fixed(self.here.moved(0.0, metres), 1.0, Timestamp::START));
        change(&mut service);
        self.known.observe(Sighting::alive(Source::Mqtt, service, 60 * SECOND), Timestamp::START).unwrap();
        self
    }

    fn ask(&self, change: impl FnOnce(&mut Query)) -> Answer {
        let mut query = Query::new("brake".parse().ok());
        query.near = Some(Near { centre: Centre::At(self.here), radius: Distance::metres(500) });
        change(&mut query);
        find(&self.known, &query, Timestamp::START)
    }
}

fn ids(answer: &Answer) -> Vec<&str> {
    answer.matches.iter().map(|found| found.service.id.as_str()).collect()
}

#[test]
fn a_critical_question_is_answered_by_critical_fixed_services_within_100_m() {
    let street = Street::new()
        .with("rsu", Kind::Roadside, 80.0, |service| service.critical = true)
        .with("plain", Kind::Roadside, 20.0, |_| {})
        .with("car", Kind::Vehicle, 10.0, |service| service.critical = true);
    let answer = street.ask(|query| query.critical = true);
    assert_eq!((answer.tier, ids(&answer)), (Some(Tier::Local), vec!["rsu"]));
    assert_eq!(answer.explain[1].outcome, Outcome::NotNeeded);
}

#[test]
fn without_one_certainly_near_vehicles_within_500_m_answer() {
    let street = Street::new()
        .with("rsu", Kind::Roadside, 99.5, |service| service.critical = true)
        .with("car", Kind::Vehicle, 400.0, |_| {})
        .with("far", Kind::Vehicle, 600.0, |_| {});
    let answer = street.ask(|query| query.critical = true);
    assert_eq!((answer.tier, ids(&answer)), (Some(Tier::Neighbour), vec!["car"]));
    assert_eq!(answer.explain[0].left_out, [(Reason::NotCertain, 1)]);
}

#[test]
fn nothing_near_says_how_far_the_nearest_is() {
    let street = Street::new().with("a", Kind::Device, 900.0, |_| {});
    let answer = street.ask(|_| {});
    assert_eq!((answer.tier, answer.matches.len()), (None, 0));
    let nearest = answer.explain[0].nearest.unwrap().as_metres();
    assert!((nearest - 900.0).abs() < 0.1, "{nearest}");
    assert_eq!(answer.explain[0].left_out, [(Reason::TooFar, 1)]);
    assert_eq!(answer.explain[2].outcome, Outcome::NotConfigured);
}

#[test]
fn among_very_many_nobody_counts_how_far_the_nearest_is() {
    let mut street = Street::new();
    for n in 0..1_025 {
        street = street.with(&format!("d{n}"), Kind::Device, 900.0, |_| {});
    }
    let answer = street.ask(|_| {});
    assert_eq!((answer.matches.len(), answer.explain[0].nearest, answer.explain[0].left_out.len()), (0, None, 0));
}

#[test]
fn what_rides_on_an_agent_is_found_where_the_agent_is() {
    let mut street = Street::new();
    let agent: AgentId = "car-1".parse().unwrap();
    let mut presence = Service::new(ServiceId::agent(&agent), ServiceName::wayside(), Kind::Vehicle);
    presence.agent = Some(agent.clone());
    let motion = Motion::new(10.0, 0.0).unwrap();
    let place = street.here.moved(0.0, 300.0);
    presence.fix = Some(Fix { position: place, time: Timestamp::START, accuracy: 2.0, motion: Some(motion) });
    let mut rider = Service::new("lidar@car-1".parse().unwrap(), "brake".parse().unwrap(), Kind::Vehicle);
    rider.agent = Some(agent);
    for service in [rider, presence] {
        street.known.observe(Sighting::alive(Source::Mqtt, service, 60 * SECOND), Timestamp::START).unwrap();
    }
    let mut query = Query::new("brake".parse().ok());
    query.near = Some(Near { centre: Centre::At(street.here), radius: Distance::metres(500) });
    let answer = find(&street.known, &query, Timestamp::START + SECOND);
    assert_eq!(ids(&answer), ["lidar@car-1"]);
    let place = answer.matches[0].place.unwrap();
    assert!((place.distance.as_metres() - 310.0).abs() < 0.5, "{place:?}");
}

#[test]
fn the_order_is_certainty_priority_latency_distance_and_id() {
    let street = Street::new()
        .with("possible", Kind::Device, 499.5, |service| service.priority = 9)
        .with("b", Kind::Device, 50.0, |_| {})
        .with("a", Kind::Device, 50.0, |_| {})
        .with("near", Kind::Device, 10.0, |_| {})
        .with("preferred", Kind::Device, 400.0, |service| service.priority = 5);
    let answer = street.ask(|_| {});
    assert_eq!(ids(&answer), ["preferred", "near", "a", "b", "possible"]);
    assert_eq!(answer.matches[4].verdict, Verdict::Possible);
}

#[test]
fn a_resource_that_is_not_stated_does_not_match() {
    let street = Street::new()
        .with("strong", Kind::Device, 50.0, |service| {
            service.resources.insert("power_kw".into(), Value::Number(50.0));
        })
        .with("silent", Kind::Device, 10.0, |_| {});
    let answer = street.ask(|query| {
        let value = Value::Number(22.0);
        query.require.push(Requirement { resource: "power_kw".into(), comparison: Comparison::AtLeast, value });
    });
    assert_eq!(ids(&answer), ["strong"]);
    assert_eq!(answer.explain[0].left_out, [(Reason::Unstated, 1)]);
}

#[test]
fn all_tiers_are_merged_on_demand() {
    let street = Street::new().with("box", Kind::Device, 50.0, |_| {}).with("car", Kind::Vehicle, 10.0, |_| {});
    assert_eq!(ids(&street.ask(|_| {})), ["box"]);
    assert_eq!(ids(&street.ask(|query| query.all_tiers = true)), ["box", "car"]);
}

#[test]
fn asking_from_here_without_knowing_where_here_is_says_so() {
    let street = Street::new().with("a", Kind::Device, 10.0, |_| {});
    let answer = street.ask(|query| {
        query.near = Some(Near { centre: Centre::Here, radius: Distance::metres(100) });
    });
    assert!(answer.matches.is_empty());
    assert_eq!(answer.unreached.len(), 2);
}

#[test]
fn the_limit_cuts_the_worst_and_says_how_many() {
    let street = (0..20)
        .fold(Street::new(), |street, n| street.with(&format!("s{n:02}"), Kind::Device, 10.0 + f64::from(n), |_| {}));
    let answer = street.ask(|query| query.limit = 3);
    assert_eq!(ids(&answer), ["s00", "s01", "s02"]);
    assert_eq!(answer.explain[0].left_out, [(Reason::OverLimit, 17)]);
}

/// The agent itself, driving north at 10 m/s since the start.
fn driving(street: &mut Street) {
    let motion = Motion::new(10.0, 0.0).ok();
    street.known.stand(Fix { position: street.here, time: Timestamp::START, accuracy: 2.0, motion });
}

fn from_here(street: &Street, seconds: u32, change: impl FnOnce(&mut Query)) -> Answer {
    let mut query = Query::new("brake".parse().ok());
    query.near = Some(Near { centre: Centre::Here, radius: Distance::metres(100) });
    change(&mut query);
    find(&street.known, &query, Timestamp::START + SECOND * seconds)
}

#[test]
fn the_askers_own_doubt_makes_answers_possible_and_then_none() {
    let mut street = Street::new().with("a", Kind::Device, 30.0, |_| {});
    driving(&mut street);
    let verdicts = |seconds| from_here(&street, seconds, |_| {}).matches.first().map(|found| found.verdict);
    assert_eq!(verdicts(1), Some(Verdict::Definite));
    assert_eq!(verdicts(5), Some(Verdict::Possible));
    let lost = from_here(&street, 40, |_| {});
    assert!(lost.matches.is_empty());
    assert_eq!(&*lost.unreached[0].reason, "own position unknown: the last fix is 40 s old, more than 30 s");
    assert_eq!(lost.explain[0].outcome, Outcome::Unreached);
}

#[test]
fn a_gateway_that_moves_is_still_asked_first_when_lives_depend_on_it() {
    let motion = Motion::new(8.0, 0.0).ok();
    let street = Street::new().with("gw", Kind::Gateway, 40.0, |service| {
        service.critical = true;
        service.fix = service.fix.map(|fix| Fix { motion, ..fix });
    });
    assert_eq!(ids(&street.ask(|query| query.critical = true)), ["gw"]);
}

#[test]
fn a_thousand_vehicles_cost_the_first_tier_nothing() {
    let mut street = Street::new().with("rsu", Kind::Roadside, 80.0, |service| service.critical = true);
    for n in 0..1_000 {
        street = street.with(&format!("v{n}"), Kind::Vehicle, 10.0 + 0.1 * f64::from(n), |_| {});
    }
    let answer = street.ask(|query| query.critical = true);
    assert_eq!((ids(&answer), &answer.explain[0].left_out[..]), (vec!["rsu"], &[][..]));
}

#[test]
fn kinds_directions_and_age_are_filtered_and_counted() {
    let heading = |degrees| {
        move |service: &mut Service| {
            service.fix = service.fix.map(|fix| Fix { motion: Motion::new(10.0, degrees).ok(), ..fix });
        }
    };
    let street = Street::new()
        .with("east", Kind::Vehicle, 50.0, heading(90.0))
        .with("nearly", Kind::Vehicle, 50.0, heading(118.0))
        .with("west", Kind::Vehicle, 50.0, heading(270.0))
        .with("post", Kind::Roadside, 50.0, |_| {});
    let asked = |change: &dyn Fn(&mut Query)| {
        street.ask(|query| {
            query.all_tiers = true;
            change(query);
        })
    };
    let east = asked(&|query| query.sieve.heading = Some(Sector { bearing: 90.0, within: 30.0, relative: false }));
    assert_eq!(ids(&east), ["east", "nearly"]);
    assert_eq!((east.matches[0].verdict, east.matches[1].verdict), (Verdict::Definite, Verdict::Possible));
    assert_eq!(east.explain[1].left_out, [(Reason::OtherKind, 1), (Reason::Heading, 1)]);
    let kinds = asked(&|query| query.sieve.kinds = vec![Kind::Roadside]);
    assert_eq!(
        (ids(&kinds), &kinds.explain[1].left_out[..]),
        (vec!["post"], &[(Reason::OtherKind, 1), (Reason::KindNotAsked, 3)][..])
    );
    let south = asked(&|query| query.sieve.sector = Some(Sector { bearing: 180.0, within: 60.0, relative: false }));
    assert!(south.matches.is_empty());
    let mut query = Query::new("brake".parse().ok());
    query.sieve.max_age = Some(SECOND);
    let old = find(&street.known, &query, Timestamp::START + 2 * SECOND);
    assert_eq!((old.matches.len(), old.explain[0].left_out.last()), (0, Some(&(Reason::TooOld, 1))));
}

#[test]
fn ahead_is_where_the_agent_goes_and_needs_a_heading() {
    let mut street =
        Street::new().with("ahead", Kind::Device, 80.0, |_| {}).with("behind", Kind::Device, -80.0, |_| {});
    let ahead = |query: &mut Query| query.sieve.sector = Some(Sector { bearing: 0.0, within: 45.0, relative: true });
    driving(&mut street);
    assert_eq!(ids(&from_here(&street, 1, ahead)), ["ahead"]);
    street.known.stand(Fix::fixed(street.here, 1.0, Timestamp::START));
    let stands = from_here(&street, 1, ahead);
    assert!(stands.unreached[0].reason.starts_with("own heading unknown"), "{stands:?}");
}

#[test]
fn another_level_is_never_definite_and_left_out_where_one_level_is_asked_for() {
    let high = |metres: f32| {
        move |service: &mut Service| {
            let up = |fix: Fix| Fix { position: fix.position.at_altitude(metres).unwrap(), ..fix };
            service.fix = service.fix.map(up);
        }
    };
    let street = Street::new()
        .with("bridge", Kind::Device, 50.0, high(130.0))
        .with("road", Kind::Device, 50.0, high(82.0))
        .with("flat", Kind::Device, 50.0, |_| {});
    let centre = Centre::At(street.here.at_altitude(80.0).unwrap());
    let near = Some(Near { centre, radius: Distance::metres(100) });
    let told = |same_level| {
        let answer = street.ask(|query| {
            (query.near, query.sieve.same_level) = (near, same_level);
        });
        let left = answer.explain[0].left_out.clone();
        (answer.matches.iter().map(|found| (found.service.id.to_string(), found.verdict)).collect::<Vec<_>>(), left)
    };
    let named =
        |found: &[(&str, Verdict)]| found.iter().map(|(id, verdict)| (id.to_string(), *verdict)).collect::<Vec<_>>();
    let (definite, possible) = (Verdict::Definite, Verdict::Possible);
    assert_eq!(told(false), (named(&[("flat", definite), ("road", definite), ("bridge", possible)]), vec![]));
    assert_eq!(told(true), (named(&[("road", definite), ("flat", possible)]), vec![(Reason::OtherLevel, 1)]));
}
