use std::collections::BTreeSet;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use wayside_protocols::place::{Fix, Position};
use wayside_protocols::service::{Kind, Trust, Value};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn service(id: &str) -> Service {
    Service::new(id.parse().unwrap(), "charging".parse().unwrap(), Kind::Device)
}

fn alive(source: Source, id: &str, seconds: u32) -> Sighting {
    Sighting::alive(source, service(id), seconds * SECOND)
}

fn catalog() -> Catalog {
    Catalog::new(Limits::default())
}

#[test]
fn one_source_falling_silent_keeps_what_another_still_hears() {
    let mut catalog = catalog();
    catalog.observe(alive(Source::Region, "a", 10), Timestamp::START).unwrap();
    catalog.observe(alive(Source::Mqtt, "a", 20), Timestamp::START).unwrap();
    assert_eq!(catalog.expire(Timestamp::START + 10 * SECOND), None);
    assert_eq!(catalog.len(), 1);
    let departed = catalog.expire(Timestamp::START + 20 * SECOND);
    assert!(matches!(departed, Some((_, Change::Departed(service))) if service.id.as_str() == "a"));
}

#[test]
fn what_two_sources_say_does_not_flap() {
    let mut catalog = catalog();
    let mut near = service("a");
    near.metadata.insert("colour".into(), "green".into());
    let mut far = service("a");
    far.metadata.insert("colour".into(), "red".into());
    far.resources.insert("power_kw".into(), Value::Number(22.0));
    catalog.observe(Sighting::alive(Source::Mqtt, near.clone(), 60 * SECOND), Timestamp::START).unwrap();
    catalog.observe(Sighting::alive(Source::Cloud, far.clone(), 60 * SECOND), Timestamp::START).unwrap();
    for _ in 0..3 {
        let again = catalog.observe(Sighting::alive(Source::Mqtt, near.clone(), 60 * SECOND), Timestamp::START);
        assert_eq!(again, Ok(None));
        let again = catalog.observe(Sighting::alive(Source::Cloud, far.clone(), 60 * SECOND), Timestamp::START);
        assert_eq!(again, Ok(None));
    }
    let shown = catalog.get(&near.id).unwrap().shown();
    assert_eq!(&*shown.metadata["colour"], "green");
    assert_eq!(shown.resources["power_kw"], Value::Number(22.0));
}

#[test]
fn nobody_on_the_network_moves_what_is_our_own() {
    let mut catalog = catalog();
    let mut own = service("a");
    own.fix = Some(Fix::fixed(Position::new(48.0, 2.0).unwrap(), 1.0, Timestamp::START));
    let mut forged = service("a");
    forged.fix = Some(Fix::fixed(Position::new(0.0, 0.0).unwrap(), 1.0, Timestamp::START + SECOND));
    catalog.observe(Sighting::alive(Source::Api, own.clone(), 60 * SECOND), Timestamp::START).unwrap();
    catalog.observe(Sighting::alive(Source::Mqtt, forged, 60 * SECOND), Timestamp::START + SECOND).unwrap();
    let shown = catalog.get(&own.id).unwrap().shown();
    assert_eq!((shown.fix, shown.trust), (own.fix, Trust::Own));
}

#[test]
fn a_fix_measured_again_at_the_same_place_is_no_news() {
    let mut catalog = catalog();
    let place = Position::new(48.0, 2.0).unwrap();
    let at = |time| {
        let mut service = service("a");
        service.fix = Some(Fix::fixed(place, 1.0, time));
        Sighting::alive(Source::Mqtt, service, 60 * SECOND)
    };
    catalog.observe(at(Timestamp::START), Timestamp::START).unwrap();
    let later = Timestamp::START + 30 * SECOND;
    assert_eq!(catalog.observe(at(later), later), Ok(None));
    assert_eq!(catalog.get(&"a".parse().unwrap()).unwrap().heard(), later);
}

#[test]
fn a_full_catalog_keeps_own_and_critical_rows() {
    let limits = Limits { services: 100, ..Limits::default() };
    let mut catalog = Catalog::new(limits);
    catalog.observe(alive(Source::Api, "own", 60), Timestamp::START).unwrap();
    let mut critical = service("critical");
    critical.critical = true;
    catalog.observe(Sighting::alive(Source::Mqtt, critical, 60 * SECOND), Timestamp::START).unwrap();
    for n in 0..1_000 {
        let sighting = alive(Source::Mqtt, &format!("s{n}"), 60);
        if catalog.observe(sighting.clone(), Timestamp::START).is_err() {
            assert!(!catalog.evict(Source::Mqtt, false, Timestamp::START, |_| f64::MAX).is_empty());
            catalog.observe(sighting, Timestamp::START).unwrap();
        }
    }
    assert!(catalog.get(&"own".parse().unwrap()).is_some());
    assert!(catalog.get(&"critical".parse().unwrap()).is_some());
    assert!(catalog.len() <= 100);
}

#[test]
fn what_carries_too_much_is_refused_by_name() {
    let mut catalog = catalog();
    let mut fat = service("fat");
    fat.metadata.insert("text".into(), "x".repeat(9_000).into());
    let error = catalog.observe(Sighting::alive(Source::Mqtt, fat, SECOND), Timestamp::START).unwrap_err();
    assert!(matches!(error, Disbelief::TooLarge { limit: 4_096, .. }));
}

#[derive(Clone, Debug)]
enum Step {
    Alive(Source, u8, u32),
    Gone(Source, u8),
    Wait(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let source = prop_oneof![Just(Source::Mqtt), Just(Source::Region), Just(Source::Cloud)];
    prop_oneof![
        4 => (source.clone(), 0u8..6, 1u32..40).prop_map(|(source, id, ttl)| Step::Alive(source, id, ttl)),
        1 => (source, 0u8..6).prop_map(|(source, id)| Step::Gone(source, id)),
        2 => (1u32..30).prop_map(Step::Wait),
    ]
}

proptest! {
    #[test]
    fn knows_exactly_what_somebody_still_vouches_for(steps in vec(step(), 0..200)) {
        let mut catalog = catalog();
        let mut model: Vec<(Source, u8, Timestamp)> = Vec::new();
        let mut now = Timestamp::START;
        for step in steps {
            match step {
                Step::Alive(source, id, ttl) => {
                    catalog.observe(alive(source, &id.to_string(), ttl), now).unwrap();
                    model.retain(|(s, i, _)| (*s, *i) != (source, id));
                    model.push((source, id, now + ttl * SECOND));
                }
                Step::Gone(source, id) => {
                    catalog.observe(Sighting::gone(source, id.to_string().parse().unwrap()), now).unwrap();
                    model.retain(|(s, i, _)| (*s, *i) != (source, id));
                }
                Step::Wait(seconds) => {
                    now = now + seconds * SECOND;
                    while catalog.expire(now).is_some() {}
                    model.retain(|(.., until)| *until > now);
                }
            }
            let ids: BTreeSet<String> = catalog.entries().map(|(_, e)| e.shown().id.to_string()).collect();
            prop_assert_eq!(ids, model.iter().map(|(_, id, _)| id.to_string()).collect::<BTreeSet<_>>());
            let due = model.iter().map(|(.., until)| *until).min();
            if let Some(due) = due {
                prop_assert!(catalog.next_expiry().is_some_and(|alarm| alarm <= due));
            }
            let named = catalog.named(&"charging".parse().unwrap()).count();
            prop_assert_eq!(named, catalog.len());
        }
    }
}
