//! What a registry hears over MQTT, as messages go in and orders come out.

use wayside_protocols::service::ServiceId;
use wayside_protocols::time::UnixMillis;

use super::*;
use crate::agent::io::{Input, Settings};
use crate::limits::Limits;
use crate::registry::Footing;

const START: Timestamp = Timestamp::START;
const TOPIC: &str = "wayside/1/a/-/-/charging/gw-a/cp1";
const ROW: &[u8] = br#"{"kind":"gateway","lat":48.8566,"lon":2.3522,"time_ms":1795411515489,"ttl_s":100}"#;

/// A registry whose wall clock shows `wall`.
fn registry(wall: u64) -> Agent {
    let settings = Settings {
        id: "r1".parse().unwrap(),
        kind: Kind::Software,
        version: "0.0.0",
        epoch: 1,
        seed: 1,
        position: None,
        services: Vec::new(),
        restored: Vec::new(),
        mdns: false,
        browse: Vec::new(),
        announce_devices: false,
        things: None,
        api_port: None,
        rotate: None,
        events: false,
        upstream: Default::default(),
        kept: Vec::new(),
        limits: Limits::default(),
    };
    let mut agent = Agent::new(settings, START);
    agent.handle(Input::Wall(UnixMillis(wall)), START);
    agent.handle(Input::Engine(Footing::Following), START);
    agent
}

fn hear(agent: &mut Agent, topic: &str, payload: &[u8], now: Timestamp) {
    agent.handle(Input::Message { topic, payload, retained: true }, now);
}

/// What the engine is told within `time` of `now`; it takes all of it.
fn told(agent: &mut Agent, now: &mut Timestamp, time: Duration) -> Vec<Rows> {
    let (mut told, end) = (Vec::new(), *now + time);
    while let Some(due) = agent.poll_timeout().filter(|due| *due <= end) {
        *now = due.max(*now);
        agent.handle_timeout(*now);
        while let Some(output) = agent.poll_output() {
            if let Output::TakeIn(rows) = output {
                let receipt = Receipt { lease: rows.lease, held: 1, whole: false };
                agent.handle(Input::TakenIn(rows.agent.clone(), Ok(receipt)), *now);
                told.push(*rows);
            }
        }
        // What is due at the same moment was told.
        *now = *now + Duration::from_millis(1);
    }
    *now = end;
    told
}

#[test]
fn what_is_announced_is_told_once_renewed_while_it_holds_and_then_withdrawn() {
    let (mut agent, mut now) = (registry(0), START);
    hear(&mut agent, TOPIC, ROW, now);
    let first = told(&mut agent, &mut now, Duration::from_secs(1));
    let [first] = &first[..] else { panic!("{first:?}") };
    assert_eq!((first.agent.as_str(), first.whole, first.rows.len(), first.lease), ("gw-a", true, 1, REFRESH * 3));
    let renewals = told(&mut agent, &mut now, Duration::from_secs(90));
    assert!((2..=4).contains(&renewals.len()), "{renewals:?}");
    assert!(renewals.iter().all(|rows| !rows.whole && rows.rows.is_empty()), "{renewals:?}");
    // The word for it has run out, and nobody says it anew.
    let last = told(&mut agent, &mut now, Duration::from_secs(60));
    assert!(last.last().is_some_and(|rows| rows.leaving), "{last:?}");
    assert_eq!(agent.intake.poll_timeout(), None);
}

#[test]
fn a_clock_that_was_never_set_dates_nothing() {
    for (wall, dated) in [(0, false), (1_795_411_516_000, true)] {
        let (mut agent, mut now) = (registry(wall), START);
        hear(&mut agent, TOPIC, ROW, now);
        let said = told(&mut agent, &mut now, Duration::from_secs(1));
        let place = said[0].rows[0].place.unwrap();
        assert_eq!(place.time.is_some(), dated, "{wall}");
        let id: ServiceId = "cp1@gw-a".parse().unwrap();
        assert!(agent.entry(&id).is_some(), "it is believed whatever the clock shows");
    }
}

#[test]
fn one_that_is_lost_is_left_to_its_lease_and_one_that_leaves_is_gone_at_once() {
    for (word, leaves) in [("lost", false), ("offline", true)] {
        let (mut agent, mut now) = (registry(0), START);
        hear(&mut agent, "wayside/1/p/gw-a", br#"{"state":"online","epoch":3,"version":"1"}"#, now);
        hear(&mut agent, TOPIC, ROW, now);
        assert_eq!(told(&mut agent, &mut now, Duration::from_secs(1))[0].epoch, 3);
        let presence = format!(r#"{{"state":"{word}","epoch":3,"version":"1"}}"#);
        hear(&mut agent, "wayside/1/p/gw-a", presence.as_bytes(), now);
        let mut said = Vec::new();
        while let Some(output) = agent.poll_output() {
            said.extend(if let Output::TakeIn(rows) = output { Some(rows) } else { None });
        }
        assert_eq!(
            (said.len(), said.iter().all(|rows| rows.leaving && rows.epoch == 3)),
            (usize::from(leaves), true),
            "{word}"
        );
        assert!(told(&mut agent, &mut now, Duration::from_secs(120)).is_empty(), "{word}");
    }
}

#[test]
fn who_is_no_registry_tells_no_engine() {
    let (mut agent, mut now) = (registry(0), START);
    agent.registry = Default::default();
    hear(&mut agent, TOPIC, ROW, now);
    assert!(told(&mut agent, &mut now, Duration::from_secs(60)).is_empty());
}
