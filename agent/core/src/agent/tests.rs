use std::time::Duration;

use wayside_protocols::mqtt::beacon::Beacon;
use wayside_protocols::mqtt::cell::Cell;
use wayside_protocols::mqtt::presence::{Presence, State};
use wayside_protocols::mqtt::topic::Topic;
use wayside_protocols::place::{Distance, Motion, Position};
use wayside_protocols::service::{AgentId, Endpoint, Health, Kind, Service, ServiceId};

use super::io::{Entry as Kept, Publication, Refusal};
use super::*;
use crate::limits::Limits;
use crate::query::{Centre, Near, Query};
use crate::registration::{HealthCheck, Probe, Registration};

const SECOND: Duration = Duration::from_secs(1);
const START: Timestamp = Timestamp::START;

fn settings() -> Settings {
    Settings {
        id: "gw-7".parse().unwrap(),
        kind: Kind::Gateway,
        version: "0.0.0",
        epoch: 4,
        seed: 1,
        position: Some((Position::new(48.8566, 2.3522).unwrap(), 3.0)),
        services: Vec::new(),
        restored: Vec::new(),
        mdns: true,
        browse: vec!["_wayside._tcp".into()],
        announce_devices: false,
        things: None,
        api_port: None,
        rotate: None,
        events: false,
        upstream: Default::default(),
        kept: Vec::new(),
        limits: Limits::default(),
    }
}

fn agent() -> Agent {
    Agent::new(settings(), START)
}

fn drained(agent: &mut Agent) -> Vec<Output> {
    std::iter::from_fn(|| agent.poll_output()).collect()
}

fn published(outputs: &[Output]) -> Vec<&Publication> {
    let publications = outputs.iter().map(|output| if let Output::Publish(said) = output { Some(said) } else { None });
    publications.flatten().collect()
}

fn charging(ttl: u64) -> Registration {
    let mut service = Service::new("cp1@gw-7".parse().unwrap(), "charging".parse().unwrap(), Kind::Gateway);
    service.endpoint = Some(Endpoint { host: "10.0.0.5".parse().unwrap(), port: 8080 });
    Registration { service, ttl: Duration::from_secs(ttl), check: None }
}

fn register(agent: &mut Agent, registration: Registration, now: Timestamp) -> Vec<Output> {
    drained(agent);
    agent.handle(Input::Register(Ticket(1), Box::new(registration)), now);
    let stored = drained(agent);
    assert!(matches!(stored[..], [Output::Store(Ticket(1), Kept::Registered(_))]), "{stored:?}");
    agent.handle(Input::Stored(Ticket(1), Ok(())), now);
    drained(agent)
}

fn message(agent: &mut Agent, topic: &str, payload: &[u8], now: Timestamp) {
    agent.handle(Input::Message { topic, payload, retained: false }, now);
}

#[test]
fn a_registration_is_acknowledged_only_once_it_is_on_disk() {
    let mut agent = agent();
    drained(&mut agent);
    let outputs = register(&mut agent, charging(60), START);
    assert!(outputs.iter().any(|output| matches!(output, Output::Registered(Ticket(1), Ok(_)))));
    assert!(agent.entry(&"cp1@gw-7".parse().unwrap()).is_some());
}

#[test]
fn a_registration_the_disk_does_not_take_is_refused_and_not_believed() {
    let mut agent = agent();
    agent.handle(Input::Register(Ticket(1), Box::new(charging(60))), START);
    agent.handle(Input::Stored(Ticket(1), Err("no space left on device".into())), START);
    let outputs = drained(&mut agent);
    assert!(outputs.iter().any(|output| matches!(output, Output::Registered(_, Err(Refusal::Disk(_))))));
    assert!(agent.entry(&"cp1@gw-7".parse().unwrap()).is_none());
}

#[test]
fn a_lease_that_is_not_renewed_runs_out_and_the_journal_hears_of_it() {
    let mut agent = agent();
    register(&mut agent, charging(60), START);
    agent.handle(Input::Renew(Ticket(2), "cp1@gw-7".parse().unwrap()), START + 50 * SECOND);
    agent.handle_timeout(START + 100 * SECOND);
    assert!(agent.entry(&"cp1@gw-7".parse().unwrap()).is_some());
    drained(&mut agent);
    agent.handle_timeout(START + 110 * SECOND);
    assert!(agent.entry(&"cp1@gw-7".parse().unwrap()).is_none());
    let outputs = drained(&mut agent);
    assert!(outputs.iter().any(|output| matches!(output, Output::Store(Ticket::OWN, Kept::Withdrawn(_)))));
}

#[test]
fn the_broker_is_told_everything_anew_after_each_connection() {
    let mut agent = agent();
    register(&mut agent, charging(60), START);
    for _ in 0..2 {
        agent.handle(Input::BrokerUp { session_present: false }, START);
        let outputs = drained(&mut agent);
        assert!(outputs.iter().any(|output| matches!(output, Output::Subscribe(_))));
        let topics: Vec<&str> = published(&outputs).iter().map(|publication| &*publication.topic).collect();
        assert_eq!(topics.len(), 2);
        assert_eq!(topics[0], "wayside/1/p/gw-7");
        assert!(topics[1].starts_with("wayside/1/a/") && topics[1].ends_with("/charging/gw-7/cp1"), "{topics:?}");
        agent.handle(Input::BrokerDown, START);
    }
}

#[test]
fn an_announcement_is_refreshed_at_half_its_lease_and_withdrawn_with_it() {
    let mut agent = agent();
    agent.handle(Input::BrokerUp { session_present: false }, START);
    register(&mut agent, charging(60), START);
    agent.handle_timeout(START + 29 * SECOND);
    assert!(published(&drained(&mut agent)).is_empty());
    agent.handle_timeout(START + 30 * SECOND);
    let refreshed = drained(&mut agent);
    assert_eq!(published(&refreshed)[0].expiry, Some(60 * SECOND));
    agent.handle_timeout(START + 60 * SECOND);
    let outputs = drained(&mut agent);
    let withdrawn = published(&outputs);
    assert!(withdrawn.iter().any(|publication| publication.payload.is_empty() && publication.retain));
}

#[test]
fn a_retained_announcement_of_a_former_life_is_cleared() {
    let mut agent = agent();
    agent.handle(Input::BrokerUp { session_present: false }, START);
    drained(&mut agent);
    message(&mut agent, "wayside/1/a/-/-/charging/gw-7/ghost", b"{\"name\":\"charging\"}", START);
    let outputs = drained(&mut agent);
    let cleared = published(&outputs);
    assert_eq!((&*cleared[0].topic, cleared[0].payload.len()), ("wayside/1/a/-/-/charging/gw-7/ghost", 0));
}

#[test]
fn a_shell_script_announces_with_one_line_of_json() {
    let mut agent = agent();
    let payload = br#"{"name":"charging","address":"10.0.0.5","port":8080,"lat":48.8566,"lon":2.3522,"ttl_s":60}"#;
    message(&mut agent, "wayside/1/a/-/-/charging/shell/cp1", payload, START);
    let mut query = Query::new("charging".parse().ok());
    let centre = Centre::At(Position::new(48.8566, 2.3530).unwrap());
    query.near = Some(Near { centre, radius: Distance::metres(100) });
    let answer = agent.find(&query, START);
    assert_eq!(answer.matches[0].service.id.as_str(), "cp1@shell");
    assert_eq!(answer.matches[0].place.unwrap().distance.to_string(), "59 m");
    query.near = Some(Near { centre, radius: Distance::metres(50) });
    assert!(agent.find(&query, START).matches.is_empty());
    agent.handle_timeout(START + 60 * SECOND);
    assert!(agent.entry(&"cp1@shell".parse().unwrap()).is_none());
}

#[test]
fn a_lost_agent_takes_what_it_announced_along_but_an_old_will_does_not() {
    let mut agent = agent();
    let presence = |state, epoch| Presence { state, ..Presence::will(epoch) }.encode();
    message(&mut agent, "wayside/1/p/car", &presence(State::Online, 2), START);
    message(&mut agent, "wayside/1/a/-/-/charging/car/x", b"{\"name\":\"charging\"}", START);
    message(&mut agent, "wayside/1/p/car", &presence(State::Lost, 1), START);
    assert_eq!(agent.entries().count(), 2);
    message(&mut agent, "wayside/1/p/car", &presence(State::Lost, 2), START);
    assert_eq!(agent.entries().count(), 0);
    message(&mut agent, "wayside/1/a/-/-/charging/car/x", b"{\"name\":\"charging\"}", START);
    assert_eq!(agent.entries().count(), 0);
    assert_eq!(agent.counters().get("refused_announcement_of_lost_agent_total"), 1);
}

#[test]
fn a_beacon_places_its_agent_and_a_replayed_one_does_not() {
    let mut agent = agent();
    let car: AgentId = "car-1".parse().unwrap();
    let position = Position::new(48.857, 2.353).unwrap();
    let mut beacon = Beacon {
        agent: car.clone(),
        epoch: 1,
        sequence: 5,
        kind: Kind::Vehicle,
        time: None,
        position,
        accuracy: Some(2.0),
        motion: Motion::new(10.0, 90.0).ok(),
        services: 0,
        ttl: 3 * SECOND,
        seal: None,
    };
    let topic = Topic::Beacon { cell: Cell::at(&position), agent: car.clone() }.to_string();
    message(&mut agent, &topic, &beacon.encode(), START);
    let id = ServiceId::agent(&car);
    let moved = agent.standing(&id, START + SECOND).unwrap();
    assert!((position.distance(&moved).as_metres() - 10.0).abs() < 0.1);
    beacon.position = position.moved(0.0, 400.0);
    beacon.sequence = 4;
    message(&mut agent, &topic, &beacon.encode(), START);
    let counters = agent.counters();
    assert_eq!(counters.get("beacons_total"), 1);
    assert_eq!(counters.get("refused_beacon_of_other_cell_total"), 1);
    assert_eq!(agent.rejections()[0].who.as_ref(), "car-1");
    agent.handle_timeout(START + 3 * SECOND);
    assert!(agent.entry(&id).is_none());
}

#[test]
fn what_fails_its_check_is_not_announced_and_what_answers_is_timed() {
    let mut agent = agent();
    agent.handle(Input::BrokerUp { session_present: false }, START);
    drained(&mut agent);
    let check = HealthCheck { probe: Probe::Tcp, interval: 5 * SECOND, timeout: SECOND };
    let registration = Registration { check: Some(check), ..charging(600) };
    register(&mut agent, registration, START);
    agent.handle_timeout(START);
    let outputs = drained(&mut agent);
    assert!(published(&outputs).is_empty());
    let Some(Output::Probe(id, due)) = outputs.iter().find(|output| matches!(output, Output::Probe(..))) else {
        panic!("nothing is checked: {outputs:?}")
    };
    assert_eq!(due.target.to_string(), "10.0.0.5:8080");
    agent.handle(Input::Probed(id.clone(), Ok(Duration::from_millis(3))), START);
    assert_eq!(published(&drained(&mut agent)).len(), 1);
    let shown = agent.entry(id).unwrap().shown().clone();
    assert_eq!((shown.health, shown.latency.unwrap().round_trip), (Health::Passing, Duration::from_millis(3)));
    for n in 1..=2 {
        agent.handle_timeout(START + n * 5 * SECOND);
        agent.handle(Input::Probed(id.clone(), Err("refused".into())), START + n * 5 * SECOND);
    }
    assert_eq!(agent.entry(id).unwrap().shown().health, Health::Failing);
    let outputs = drained(&mut agent);
    assert!(published(&outputs).last().unwrap().payload.is_empty());
}

#[test]
fn a_watch_begins_with_the_whole_picture_and_ends_with_its_caller() {
    let mut agent = agent();
    register(&mut agent, charging(60), START);
    agent.handle(Input::Watch(Ticket(9), Filter::default()), START);
    let outputs = drained(&mut agent);
    assert!(matches!(
        outputs[..],
        [Output::Watched(Ticket(9), WatchEvent::Reset), Output::Watched(Ticket(9), WatchEvent::Appeared(_))]
    ));
    agent.handle(Input::Unwatch(Ticket(9)), START);
    agent.handle_timeout(START + 60 * SECOND);
    assert!(!drained(&mut agent).iter().any(|output| matches!(output, Output::Watched(..))));
}

#[test]
fn leaving_says_goodbye_everywhere_and_then_that_it_is_done() {
    let mut agent = agent();
    agent.handle(Input::BrokerUp { session_present: false }, START);
    register(&mut agent, charging(60), START);
    drained(&mut agent);
    agent.handle(Input::Leave, START);
    let outputs = drained(&mut agent);
    assert_eq!(outputs.last(), Some(&Output::Left));
    assert!(outputs.iter().any(|output| matches!(output, Output::Retract(_))));
    let publications = published(&outputs);
    assert!(publications[0].payload.is_empty());
    assert!(String::from_utf8_lossy(&publications[1].payload).contains("offline"));
}

#[test]
fn a_device_without_a_broker_does_not_queue_publications() {
    let mut agent = agent();
    register(&mut agent, charging(60), START);
    agent.handle_timeout(START + 30 * SECOND);
    assert!(published(&drained(&mut agent)).is_empty());
}
