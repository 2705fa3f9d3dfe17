use super::*;

#[test]
fn nobody_on_the_link_poses_as_an_agents_service() {
    let id = ServiceId::dns("CP1@gw-7._http._tcp.local").unwrap();
    assert_eq!(id.as_str(), "cp1\\064gw-7._http._tcp.local");
    assert_eq!(id.parts(), None);
}

#[test]
fn a_service_name_is_lower_case() {
    assert!("modbus.inverter".parse::<ServiceName>().is_ok());
    for bad in ["", "Charging", "-x", "x.", "a b", "naïve"] {
        assert!(bad.parse::<ServiceName>().is_err(), "{bad}");
    }
}

#[test]
fn topic_wildcards_are_no_label() {
    for bad in ["+", "#", "a/b", "", "a b"] {
        assert!(bad.parse::<Label>().is_err(), "{bad}");
    }
}
