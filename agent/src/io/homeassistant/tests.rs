use super::*;
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::sync::Arc;
use wayside_protocols::modbus::identify::{Heard as Reply, Inquiry};
use wayside_protocols::service::Value;

use crate::profiles;

fn identified(profile: &str) -> Identified {
    let mut inquiry = Inquiry::new(profiles::shipped());
    while inquiry.request().is_some() {
        inquiry.handle(Reply::Silent);
    }
    let mut identified = inquiry.finish();
    identified.profile = profiles::shipped().get(profile).cloned();
    identified
}

fn id() -> ServiceId {
    "meter-0123abcd@gw.7".parse().unwrap()
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::START + Duration::from_secs(seconds)
}

fn panel() -> Panel {
    Panel::new(Some("homeassistant".into()), Duration::from_secs(30), Duration::from_secs(100))
}

fn said(panel: &mut Panel) -> Vec<Publication> {
    std::iter::from_fn(|| panel.poll_output()).collect()
}

fn published(topic: &str, payload: &str) -> Heard {
    Heard::Published { topic: topic.into(), payload: payload.into() }
}

fn emptied(said: &[Publication]) -> BTreeSet<&str> {
    said.iter().filter(|said| said.payload.is_empty()).map(|said| &*said.topic).collect()
}

#[test]
fn a_device_is_said_once_and_again_when_home_assistant_is_born() {
    let (mut panel, device) = (panel(), identified("eastron-sdm630"));
    panel.hear(Heard::Connected, at(0));
    panel.list([(&id(), &device, true)].into_iter(), at(1));
    let first = said(&mut panel);
    assert!(first.len() > 10 && first.iter().all(|said| said.retain && !said.payload.is_empty()));
    assert!(first.iter().all(|said| said.topic.starts_with("homeassistant/sensor/wayside-gw_2e7/meter-0123abcd_")));
    panel.list([(&id(), &device, true)].into_iter(), at(2));
    assert_eq!(said(&mut panel), []);
    panel.hear(published("homeassistant/status", "offline"), at(3));
    assert_eq!(said(&mut panel), []);
    panel.hear(published("homeassistant/status", "online"), at(4));
    assert_eq!(said(&mut panel), first);
}

#[test]
fn values_are_read_when_they_are_due_and_a_lost_device_is_not_asked() {
    let (mut panel, device) = (panel(), identified("eastron-sdm630"));
    panel.list([(&id(), &device, true)].into_iter(), at(0));
    assert_eq!(panel.due(8, at(0)), [], "nobody is there to be told");
    panel.hear(Heard::Connected, at(0));
    assert_eq!(panel.due(8, at(0)), [id()]);
    assert_eq!(panel.due(8, at(0)), [], "it is being asked");
    said(&mut panel);
    let reading = Reading { point: "power".into(), value: Ok(Value::Number(1.5)), unit: "W".into() };
    panel.read(&id(), Some(&[reading]), at(1));
    let values = said(&mut panel);
    assert_eq!(&*values[0].topic, "wayside/1/v/gw.7/meter-0123abcd");
    assert_eq!(values[0].payload, br#"{"points":{"power":1.5},"state":"online"}"#);
    assert_eq!(panel.due(8, at(30)), []);
    panel.list([(&id(), &device, false)].into_iter(), at(30));
    assert_eq!(said(&mut panel)[0].payload, br#"{"points":{},"state":"lost"}"#);
    assert_eq!(panel.due(8, at(31)), []);
    panel.list([(&id(), &device, true)].into_iter(), at(40));
    assert_eq!(panel.due(8, at(40)), [id()]);
}

#[test]
fn what_is_gone_is_taken_back() {
    let device = identified("eastron-sdm630");
    let id = id();
    for (listed, later) in [(None, 2), (Some(false), 102)] {
        let mut panel = panel();
        panel.hear(Heard::Connected, at(0));
        panel.list([(&id, &device, true)].into_iter(), at(1));
        let first = said(&mut panel);
        for now in [2, later] {
            panel.list(listed.iter().map(|answers| (&id, &device, *answers)), at(now));
        }
        let taken = said(&mut panel);
        let wanted: BTreeSet<&str> = first.iter().map(|said| &*said.topic).collect();
        assert_eq!(emptied(&taken), wanted);
        assert_eq!(taken.last().unwrap().payload, Shown::lost(), "an empty value would be read");
    }
}

#[test]
fn what_a_former_life_has_left_is_taken_back() {
    let device = identified("eastron-sdm630");
    let left = |component: &str, object: &str| format!("homeassistant/{component}/wayside-gw_2e7/{object}/config");
    let (old, other) = (left("sensor", "meter-0123abcd_no_more"), left("sensor", "relay-00000000_output_1"));
    let mut panel = panel();
    panel.hear(Heard::Connected, at(0));
    for topic in [&old, &other, &left("sensor", "meter-0123abcd_power")] {
        panel.hear(published(topic, "{}"), at(0));
    }
    panel.list(std::iter::empty(), at(1));
    assert_eq!(said(&mut panel), [], "its device may still be found");
    panel.list([(&id(), &device, true)].into_iter(), at(2));
    assert_eq!(emptied(&said(&mut panel)), BTreeSet::from([&*old]));
    panel.list([(&id(), &device, true)].into_iter(), at(100));
    assert_eq!(emptied(&said(&mut panel)), BTreeSet::from([&*other]));
}

#[test]
fn once_it_is_off_everything_is_taken_back() {
    let mut panel = Panel::new(None, Duration::from_secs(30), Duration::from_secs(100));
    panel.hear(Heard::Connected, at(0));
    panel.hear(published("ha/sensor/wayside-gw_2e7/meter-0123abcd_power/config", "{}"), at(0));
    assert_eq!(panel.settled(), None);
    assert_eq!(emptied(&said(&mut panel)).len(), 1);
    assert_eq!(panel.settled(), Some(at(0)));
}

#[test]
fn what_the_device_says_steers_nothing() {
    let mut device = identified("eastron-sdm630");
    device.identity.model = Some("SDM\u{1b}[2J\u{202e}".into());
    let mut panel = panel();
    panel.hear(Heard::Connected, at(0));
    panel.list([(&id(), &device, true)].into_iter(), at(1));
    let config: Json = serde_json::from_slice(&said(&mut panel)[0].payload).unwrap();
    assert_eq!(config["device"]["model"], "SDM\\u{1b}[2J\\u{202e}");
}

#[test]
fn more_entities_than_there_is_room_for_are_not_shown() {
    let device = identified("eastron-sdm630");
    let ids: Vec<ServiceId> = (0..200).map(|number| format!("meter-{number:08x}@gw").parse().unwrap()).collect();
    let mut panel = panel();
    panel.hear(Heard::Connected, at(0));
    panel.list(ids.iter().map(|id| (id, &device, true)), at(1));
    let configs = said(&mut panel).len();
    assert!(configs <= MOST && configs > MOST / 2, "{configs}");
    assert!(Arc::strong_count(device.profile.as_ref().unwrap()) > 1);
}
