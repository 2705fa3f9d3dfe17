//! A vehicle among others, as bytes go in and out.

use std::time::Duration;

use wayside_protocols::mqtt::beacon::Beacon;
use wayside_protocols::mqtt::cell::Cell;
use wayside_protocols::mqtt::topic::Topic;
use wayside_protocols::place::{Distance, Motion, Position};
use wayside_protocols::service::{Kind, Service, ServiceId};
use wayside_protocols::time::UnixMillis;

use super::*;
use crate::agent::io::{Input, Publication, Settings};
use crate::geo::Population;
use crate::limits::Limits;
use crate::registration::Registration;

const START: Timestamp = Timestamp::START;
const SECOND: Duration = Duration::from_secs(1);

fn place(metres: f64) -> Position {
    Position::new(48.8566, 2.3522).unwrap().moved(90.0, metres)
}

fn agent(kind: Kind, services: &[&str], rotate: Option<Duration>) -> Agent {
    let me: AgentId = "me".parse().unwrap();
    let service = |id: &&str| {
        let id = ServiceId::of(&id.parse().unwrap(), &me);
        let service = Service::new(id, "hazard-view".parse().unwrap(), kind);
        Registration { service, ttl: Duration::from_secs(120), check: None }
    };
    let settings = Settings {
        id: me.clone(),
        kind,
        version: "0.0.0",
        epoch: 4,
        seed: 1,
        position: Some((place(0.0), 3.0)),
        services: services.iter().map(service).collect(),
        restored: Vec::new(),
        mdns: true,
        browse: vec!["_wayside._tcp".into()],
        announce_devices: false,
        things: None,
        api_port: None,
        rotate,
        events: false,
        upstream: Default::default(),
        kept: Vec::new(),
        limits: Limits { services: 3_000, services_per_source: 2_500, ..Limits::default() },
    };
    let mut agent = Agent::new(settings, START);
    agent.handle(Input::Wall(UnixMillis(1_767_225_600_000)), START);
    agent
}

fn car(name: &str, sequence: u16, metres: f64) -> Beacon {
    Beacon {
        agent: name.parse().unwrap(),
        epoch: 1,
        sequence,
        kind: Kind::Vehicle,
        time: None,
        position: place(metres),
        accuracy: Some(2.0),
        motion: Motion::new(10.0, 90.0).ok(),
        services: 0,
        ttl: 3 * SECOND,
        seal: None,
    }
}

fn hear(agent: &mut Agent, beacon: &Beacon, now: Timestamp) {
    hear_in(agent, Cell::at(&beacon.position), beacon, now);
}

fn hear_in(agent: &mut Agent, cell: Option<Cell>, beacon: &Beacon, now: Timestamp) {
    let topic = Topic::Beacon { cell, agent: beacon.agent.clone() }.to_string();
    agent.handle(Input::Message { topic: &topic, payload: &beacon.encode(), retained: false }, now);
}

fn drained(agent: &mut Agent) -> Vec<Output> {
    std::iter::from_fn(|| agent.poll_output()).collect()
}

fn published(outputs: &[Output]) -> impl Iterator<Item = &Publication> {
    outputs.iter().filter_map(|output| if let Output::Publish(said) = output { Some(said) } else { None })
}

fn beacons(outputs: &[Output]) -> Vec<Beacon> {
    let beacons = published(outputs).filter(|said| said.topic.starts_with("wayside/1/b/"));
    beacons.map(|said| Beacon::decode(&said.payload).unwrap()).collect()
}

#[test]
fn a_beacon_that_only_moves_a_neighbour_is_seen_and_settles_nothing() {
    let mut agent = agent(Kind::Gateway, &[], None);
    drained(&mut agent);
    let id = "car-1".parse().unwrap();
    for n in 0..100 {
        hear(&mut agent, &car("car-1", n, f64::from(n)), START + Duration::from_millis(u64::from(n) * 100));
        assert_eq!(drained(&mut agent), vec![]);
    }
    let now = START + Duration::from_millis(9_900);
    let stands = agent.standing(&id, now).unwrap();
    assert!(stands.distance(&place(99.0)).as_metres() < 0.5, "{stands}");
    assert_eq!((agent.counters().get("beacons_total"), agent.heard.moved), (100, 99));
    agent.handle_timeout(now + 3 * SECOND);
    assert!(agent.entry(&id).is_none(), "and it is forgotten when it falls silent");
}

#[test]
fn what_cannot_be_is_refused_by_name_and_shown_to_whoever_asks() {
    let mut agent = agent(Kind::Gateway, &[], None);
    let elsewhere = Cell::at(&place(5_000.0));
    hear_in(&mut agent, elsewhere, &car("far", 0, 0.0), START);
    hear(&mut agent, &Beacon { motion: Motion::new(120.0, 0.0).ok(), ..car("fast", 0, 0.0) }, START);
    hear(&mut agent, &car("leaps", 0, 0.0), START);
    hear(&mut agent, &car("leaps", 1, 10_000.0), START + SECOND);
    for n in 0..5 {
        hear(&mut agent, &Beacon { epoch: 2, ..car("two", n, 0.0) }, START);
        hear(&mut agent, &car("two", 700 + n, 0.0), START);
    }
    let mut faster = car("mad", 0, 0.0).encode();
    // 900 m/s in place of 10 m/s: the two bytes of 1,000 cm/s become the three of 90,000.
    let at = faster.windows(2).rposition(|pair| pair == [0xe8, 0x07]).unwrap();
    faster.splice(at..at + 2, [0x90, 0xbf, 0x05]);
    let topic = Topic::Beacon { cell: Cell::at(&place(0.0)), agent: "mad".parse().unwrap() }.to_string();
    agent.handle(Input::Message { topic: &topic, payload: &faster, retained: false }, START);
    let counters = agent.counters();
    for what in [
        "refused_beacon_of_other_cell_total",
        "refused_beacon_too_fast_total",
        "refused_beacon_jumped_total",
        "refused_beacon_total",
    ] {
        assert_eq!(counters.get(what), 1, "{what}");
    }
    assert_eq!(counters.get("refused_beacon_of_second_sender_total"), 3);
    let why = |who: &str| agent.rejections().iter().find(|known| &*known.who == who).unwrap().why.to_string();
    assert_eq!(why("mad"), "beacon speed 900 is outside 0 to 163.82");
    assert_eq!(why("leaps"), "10.0 km in 1.0 s is faster than 100 m/s");
    assert!(why("two").contains("counts on at epoch 1, number 704"), "{}", why("two"));
    for believed in ["leaps", "two"] {
        assert!(agent.entry(&believed.parse().unwrap()).is_some(), "{believed}");
    }
    for refused in ["far", "fast", "mad"] {
        assert!(agent.entry(&refused.parse().unwrap()).is_none(), "{refused}");
    }
}

#[test]
fn a_flood_of_names_pushes_out_neither_own_nor_critical_rows_nor_who_was_there_before() {
    let mut agent = agent(Kind::Gateway, &["own"], None);
    let critical = br#"{"name":"signal-phase","kind":"roadside","critical":true,"lat":48.9,"lon":2.4,"ttl_s":600}"#;
    agent.handle(
        Input::Message { topic: "wayside/1/a/-/-/signal-phase/rsu/sp", payload: critical, retained: true },
        START,
    );
    for n in 0..15 {
        hear(&mut agent, &car("real", n, 0.0), START + u32::from(n) * SECOND);
    }
    for n in 0..20_000u64 {
        let now = START + 15 * SECOND + Duration::from_micros(n * 60);
        hear(&mut agent, &Beacon { ttl: 600 * SECOND, ..car(&format!("fake-{n}"), 0, 50.0) }, now);
        if n % 10_000 == 0 {
            hear(&mut agent, &car("real", 15 + (n / 10_000) as u16, 0.0), now);
        }
    }
    let now = START + 17 * SECOND;
    assert!(agent.status(now).services <= 3_000);
    assert!(agent.counters().get("refused_beacon_of_crowd_total") > 10_000);
    for kept in ["own@me", "sp@rsu", "real"] {
        assert!(agent.entry(&kept.parse().unwrap()).is_some(), "{kept}");
    }
}

#[test]
fn after_half_a_million_beacons_a_question_looks_at_no_more_than_twice_what_a_fresh_agent_looks_at() {
    let side = 2_000.0;
    let drive = |n: u32, turn: u32| {
        let leg = (f64::from(n) * 617.3 + f64::from(turn) * 3.0) % (2.0 * side);
        let east = if leg < side { leg } else { 2.0 * side - leg };
        let north = f64::from(n) * 131.7 % side;
        Beacon {
            ttl: 600 * SECOND,
            position: place(east).moved(0.0, north),
            ..car(&format!("car-{n}"), turn as u16, 0.0)
        }
    };
    let (cars, turns) = (1_000, 500);
    let (mut worn, mut fresh) = (agent(Kind::Gateway, &[], None), agent(Kind::Gateway, &[], None));
    let mut now = START;
    for turn in 0..turns {
        for n in 0..cars {
            now = now + Duration::from_micros(1_000);
            hear(&mut worn, &drive(n, turn), now);
        }
    }
    assert_eq!(worn.counters().get("beacons_total"), u64::from(cars * turns));
    let before = now;
    for n in 0..cars {
        now = now + Duration::from_micros(1_000);
        hear(&mut fresh, &drive(n, turns - 1), now);
    }
    let looked_at = |agent: &Agent, now| {
        let mut found = 0;
        let counted = (0..20).map(|n| {
            let centre = place(f64::from(n) * 100.0).moved(0.0, f64::from(n) * 90.0);
            agent.known.geo().within(&centre, Distance::metres(500), Population::All, now, &mut |_, _| found += 1)
        });
        (counted.sum::<usize>(), found)
    };
    let ((worn, found), (fresh, there)) = (looked_at(&worn, before), looked_at(&fresh, now));
    eprintln!("{worn} looked at for {found}, fresh {fresh} for {there}");
    assert!(found > 500 && worn <= 2 * fresh, "{worn} looked at, fresh {fresh}");
}

#[test]
fn a_vehicle_says_where_it_is_with_what_it_offers_as_one_number_and_keeps_it_out_of_its_presence() {
    let mut agent = agent(Kind::Vehicle, &["hv"], None);
    agent.handle(Input::BrokerUp { session_present: false }, START);
    let outputs = drained(&mut agent);
    let said = beacons(&outputs);
    let offered: ServiceId = "hv@me".parse().unwrap();
    assert_eq!((said.len(), said[0].epoch, said[0].sequence), (1, 4, 0));
    assert_eq!(said[0].services, digest([&offered]));
    let presence = published(&outputs).find(|said| &*said.topic == "wayside/1/p/me").unwrap();
    assert!(!String::from_utf8_lossy(&presence.payload).contains("position"));
    let first = agent.poll_timeout().unwrap();
    agent.handle_timeout(first);
    assert!((SECOND..=SECOND * 11 / 10).contains(&(first - START)), "{first}");
    assert_eq!(beacons(&drained(&mut agent)).len(), 1);
}

#[test]
fn a_neighbour_whose_offers_are_not_known_is_asked_once_and_only_if_they_do_not_come_by_themselves() {
    let mut agent = agent(Kind::Vehicle, &[], None);
    agent.handle(Input::BrokerUp { session_present: false }, START);
    drained(&mut agent);
    let asked = |outputs: &[Output]| {
        let mut filters = Vec::new();
        for output in outputs {
            if let Output::Subscribe(new) = output {
                filters.extend(new.iter().filter(|filter| filter.contains("/a/+/")).cloned());
            }
        }
        filters
    };
    let announce = br#"{"name":"hazard-view","ttl_s":600}"#;
    let offers = |id: &str| digest([&id.parse::<ServiceId>().unwrap()]);
    let (told, hidden) = (offers("hv@told"), offers("hv@hidden"));
    for n in 0..60u16 {
        let now = START + Duration::from_millis(u64::from(n) * 100);
        hear(&mut agent, &Beacon { services: told, ..car("told", n, 0.0) }, now);
        hear(&mut agent, &Beacon { services: hidden, ..car("hidden", n, 0.0) }, now);
        if n == 5 {
            let topic = "wayside/1/a/-/-/hazard-view/told/hv";
            agent.handle(Input::Message { topic, payload: announce, retained: true }, now);
        }
        agent.handle_timeout(now);
    }
    let outputs = drained(&mut agent);
    assert_eq!(asked(&outputs), ["wayside/1/a/+/+/+/hidden/+".into()]);
    let over = outputs.iter().any(|output| *output == Output::Unsubscribe(vec!["wayside/1/a/+/+/+/hidden/+".into()]));
    assert!(over, "and it is not listened to for ever");
    assert_eq!(agent.counters().get("neighbours_asked_total"), 1);
}

#[test]
fn a_name_that_changes_is_withdrawn_first_and_begins_again_while_callers_keep_theirs() {
    let mut agent = agent(Kind::Vehicle, &["hv"], Some(Duration::from_secs(600)));
    let first = agent.on_air().clone();
    assert!(first.as_str() != "me" && first.as_str().len() == 12);
    agent.handle(Input::BrokerUp { session_present: false }, START);
    let outputs = drained(&mut agent);
    let named = |outputs: &[Output], name: &str| format!("{outputs:?}").contains(name);
    assert!(!published(&outputs).any(|said| said.topic.contains("/me")), "{outputs:?}");
    assert_eq!(beacons(&outputs)[0].agent, first);
    let mut now = START;
    let outputs = loop {
        now = agent.poll_timeout().unwrap().max(now);
        agent.handle_timeout(now);
        let outputs = drained(&mut agent);
        if outputs.iter().any(|output| matches!(output, Output::Rename { .. })) {
            break outputs;
        }
        assert!(now < START + 700 * SECOND);
    };
    assert!(now - START >= 540 * SECOND);
    let second = agent.on_air().clone();
    assert_ne!(first, second);
    let at = outputs.iter().position(|output| matches!(output, Output::Rename { .. })).unwrap();
    let (before, after) = outputs.split_at(at);
    assert!(published(before).any(|said| said.payload.is_empty() && said.topic.contains("/hazard-view/")));
    let goodbye = published(before).find(|said| said.topic.starts_with("wayside/1/p/")).unwrap();
    assert!(goodbye.expiry.is_some(), "a name that never comes back is not retained for ever");
    assert!(!named(before, second.as_str()) && !published(after).any(|said| said.topic.contains(first.as_str())));
    agent.handle(Input::BrokerUp { session_present: false }, now + SECOND);
    let said = beacons(&drained(&mut agent));
    assert_eq!((&said[0].agent, said[0].epoch, said[0].sequence), (&second, 1, 0));
    assert!(agent.entry(&"hv@me".parse().unwrap()).is_some(), "callers here know it as before");
    // Its own echo under the old name is no neighbour.
    hear(&mut agent, &car(first.as_str(), 9, 0.0), now + SECOND);
    assert!(agent.entry(&first.as_str().parse().unwrap()).is_none());
}
