use std::sync::Arc;

use wayside_protocols::modbus::identify::{Heard, Inquiry};
use wayside_protocols::modbus::reply::{Part, Reply};
use wayside_protocols::service::AgentId;

use super::*;
use crate::profiles;

fn described(manufacturer: &str, model: &str, way: &Way) -> Value {
    let mut inquiry = Inquiry::new(profiles::shipped());
    let objects = vec![(0, manufacturer.as_bytes().into()), (1, model.as_bytes().into())];
    inquiry.handle(Heard::Reply(Reply::Identification(Part { objects, next: None })));
    let identified = inquiry.finish();
    assert!(identified.profile.as_ref().is_some_and(|profile| Arc::strong_count(profile) > 1));
    let agent: AgentId = "gw".parse().unwrap();
    let id = ServiceId::of(&"meter-1".parse().unwrap(), &agent);
    let door = Door { base: "http://127.0.0.1:7878".into(), token: false };
    Thing { id: &id, identified: &identified, way, unit: Unit(7), door: &door }.describe()
}

fn tcp() -> Way {
    Way::Tcp(Endpoint { host: "127.0.0.1".parse().unwrap(), port: 1502 })
}

#[test]
fn a_float_is_read_from_the_device_or_through_the_agent() {
    let thing = described("Eastron", "SDM630", &tcp());
    let forms = thing["properties"]["power"]["forms"].as_array().unwrap();
    assert_eq!(forms[0]["href"], "http://127.0.0.1:7878/things/meter-1@gw/properties/power");
    assert_eq!(forms[1]["href"], "modbus+tcp://127.0.0.1:1502/7/52?quantity=2");
    assert_eq!(forms[1]["modv:entity"], "InputRegister");
    assert_eq!(thing["properties"]["power"]["unit"], "W");
    assert_eq!(thing["title"], "Eastron SDM630");
}

#[test]
fn bits_that_are_not_the_value_have_a_name_of_their_own() {
    let thing = described("Carlo Gavazzi", "EM340", &tcp());
    let value = &thing["properties"]["voltage_l1"];
    assert_eq!(value["forms"].as_array().map(Vec::len), Some(1));
    let raw = &thing["properties"]["voltage_l1_raw"];
    assert_eq!(raw["wayside:scale"], 0.1);
    assert_eq!(raw["forms"][0]["modv:mostSignificantWord"], false);
    assert!(raw["forms"][0]["contentType"].as_str().is_some_and(|content| content.contains("LITTLE_ENDIAN_BYTE_SWAP")));
}

#[test]
fn every_modbus_form_says_where_counting_begins() {
    for (manufacturer, model) in
        [("Eastron", "SDM630"), ("Carlo Gavazzi", "EM340"), ("Ebyte", "ME31"), ("Schneider", "ATV312H")]
    {
        let thing = described(manufacturer, model, &tcp());
        let properties = thing["properties"].as_object().unwrap();
        let forms = properties.values().flat_map(|property| property["forms"].as_array().unwrap());
        let modbus: Vec<_> = forms.filter(|form| form["href"].as_str().unwrap().starts_with("modbus")).collect();
        assert!(!modbus.is_empty() && modbus.iter().all(|form| form["modv:zeroBasedAddressing"] == true), "{model}");
    }
}

#[test]
fn a_device_on_a_line_is_read_through_the_agent_alone() {
    let thing = described("Eastron", "SDM630", &Way::Rtu("/dev/ttyUSB0".into()));
    assert_eq!(thing["properties"]["power"]["forms"].as_array().map(Vec::len), Some(1));
}
