//! Both ways.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::mdns::Counters;
use crate::place::{Fix, Position};
use crate::service::{AgentId, Endpoint, Service, ServiceId, Value};
use crate::time::Timestamp;

fn wire<T: AsRef<str>>(pairs: &[(T, T)]) -> Vec<u8> {
    let mut wire = Vec::new();
    for (key, value) in pairs {
        let pair = format!("{}={}", key.as_ref(), value.as_ref());
        wire.push(pair.len() as u8);
        wire.extend_from_slice(pair.as_bytes());
    }
    wire
}

fn read(full_name: &str, service_type: &str, txt: &[u8]) -> (Service, Counters) {
    let endpoint = Endpoint { host: "10.0.0.5".parse().unwrap(), port: 80 };
    let mut counters = Counters::default();
    let service_type = service_type.parse().unwrap();
    let heard = Timestamp::START;
    let instance = Instance { full_name, service_type: &service_type, endpoint: &endpoint, txt, heard };
    (service(instance, &mut counters).unwrap(), counters)
}

#[test]
fn lat_and_lon_place_anybody() {
    let (service, counters) = read("x._ipp._tcp.local", "_ipp._tcp", &wire(&[("LAT", "48.5"), ("lon", "-2.25")]));
    assert_eq!(service.fix.unwrap().position, Position::new(48.5, -2.25).unwrap());
    assert_eq!((service.fix.unwrap().accuracy, service.kind, counters), (1.0, Kind::Device, Counters::default()));
}

#[test]
fn a_place_that_is_none_leaves_the_service_unplaced() {
    for (lat, lon) in [("91", "2"), ("NaN", "2"), ("1", "inf"), ("north", "2"), ("1", ""), ("1", "180.1")] {
        let (service, counters) = read("x._ipp._tcp.local", "_ipp._tcp", &wire(&[("lat", lat), ("lon", lon)]));
        assert_eq!((service.fix, counters.invalid_values > 0), (None, true), "{lat} {lon}");
    }
    let (service, counters) = read("x._ipp._tcp.local", "_ipp._tcp", &wire(&[("lat", "1")]));
    assert_eq!((service.fix, counters.invalid_values), (None, 1));
}

#[test]
fn nobody_else_sets_what_only_agents_say() {
    let pairs = [("id", "cp1"), ("kind", "roadside"), ("crit", "1"), ("r.kw", "22")];
    let (service, _) = read("CP1@gw._charging._tcp.local", "_charging._tcp", &wire(&pairs));
    assert_eq!(service.id.as_str(), "cp1\\064gw._charging._tcp.local");
    assert_eq!((service.kind, service.critical, service.resources.len()), (Kind::Device, false, 0));
    assert_eq!(service.metadata.len(), 4);
}

#[test]
fn udp_is_told_in_the_metadata() {
    let (service, _) = read("x._coap._udp.local", "_coap._udp", &[]);
    assert_eq!((service.name.as_str(), &*service.metadata["proto"]), ("coap", "udp"));
}

#[test]
fn of_two_equal_keys_the_first_counts_and_odd_strings_are_left_out() {
    let txt = b"\x03a=1\x03A=2\x01b\x02=x\x00\x05c=\xff\xfe!\x09short";
    let (service, counters) = read("x._ipp._tcp.local", "_ipp._tcp", txt);
    let pairs: Vec<(&str, &str)> = service.metadata.iter().map(|(key, value)| (&**key, &**value)).collect();
    assert_eq!((pairs, counters.dropped_pairs), (vec![("a", "1"), ("b", "")], 3));
}

#[test]
fn a_hundred_pairs_are_too_many() {
    let pairs: Vec<(String, String)> = (0..100).map(|at| (format!("k{at}"), "v".into())).collect();
    let (service, counters) = read("x._ipp._tcp.local", "_ipp._tcp", &wire(&pairs));
    assert_eq!((service.metadata.len(), counters.dropped_pairs), (32, 68));
}

#[test]
fn an_agent_is_known_by_its_id_and_says_what_it_offers() {
    let presence = Presence {
        id: "gw-7".parse().unwrap(),
        kind: Kind::Gateway,
        version: "0.1.0".into(),
        epoch: 12,
        api: Some(7878),
        position: Some((Position::new(59.9, 10.7).unwrap(), 2.5)),
        offers: vec!["_charging._tcp".parse().unwrap(); 40],
    };
    let pairs = presence.pairs();
    let (service, counters) = read("gw-7._wayside._tcp.local", "_wayside._tcp", &wire(&pairs));
    assert_eq!((service.id.as_str(), service.name.as_str(), service.kind), ("gw-7", "wayside", Kind::Gateway));
    assert_eq!((service.fix.unwrap().accuracy, &*service.metadata["epoch"]), (2.5, "12"));
    assert_eq!((offers(&service).len(), counters), (16, Counters::default()));
}

fn offered() -> impl Strategy<Value = Service> {
    let place = proptest::option::of((-90.0..=90.0_f64, -180.0..=180.0_f64, 0.5_f32..100.0));
    let metadata = proptest::collection::btree_map("[a-q]{1,6}x", "[ -~]{0,40}", 0..5);
    let resources = proptest::collection::btree_map("[a-z_]{1,8}", -1e6..1e6_f64, 0..4);
    let kind = proptest::sample::select(Kind::ALL.as_slice());
    (place, metadata, resources, kind, any::<u8>(), any::<bool>()).prop_map(
        |(place, metadata, resources, kind, priority, critical)| {
            let agent: AgentId = "gw-7".parse().unwrap();
            let id = ServiceId::of(&"cp1".parse().unwrap(), &agent);
            let fix = place.map(|(lat, lon, accuracy)| {
                let places = |degrees: f64| format!("{degrees:.7}").parse().unwrap();
                Fix::fixed(Position::new(places(lat), places(lon)).unwrap(), accuracy, Timestamp::START)
            });
            Service {
                agent: Some(agent),
                endpoint: Some(Endpoint { host: "10.0.0.5".parse().unwrap(), port: 80 }),
                fix,
                priority,
                critical,
                resources: resources.into_iter().map(|(key, value)| (key.into(), Value::Number(value))).collect(),
                metadata: metadata.into_iter().map(|(key, value)| (key.into(), value.into())).collect(),
                ..Service::new(id, "modbus.inverter".parse().unwrap(), kind)
            }
        },
    )
}

proptest! {
    #[test]
    fn what_an_agent_announces_is_what_is_read(service in offered()) {
        let (read, counters) = read("cp1._inverter._tcp.local", "_inverter._tcp", &wire(&pairs(&service)));
        prop_assert_eq!(read, service);
        prop_assert_eq!(counters, Counters::default());
    }

    #[test]
    fn no_txt_panics(txt in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        let (service, _) = read("x._ipp._tcp.local", "_ipp._tcp", &txt);
        prop_assert!(service.metadata.len() <= 33 && service.weight() < 1_500);
    }
}
