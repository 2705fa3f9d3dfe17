//! What announcements say, and what they may not.

use super::*;
use proptest::collection::btree_map;
use proptest::option;
use proptest::prelude::*;

const PARIS: &str = r#""lat":48.8566,"lon":2.3522"#;

fn read(json: &str) -> Announcement {
    Announcement::decode(json.as_bytes()).unwrap().announcement
}

fn refused(json: &str) -> String {
    Announcement::decode(json.as_bytes()).unwrap_err().to_string()
}

fn heard(json: &str, topic: &str) -> Result<(Service, Duration), AnnouncementError> {
    read(json).into_service(&Topic::parse(topic).unwrap(), WALL, NOW)
}

fn misplaced(json: &str, topic: &str) -> String {
    heard(json, topic).unwrap_err().to_string()
}

#[test]
fn a_shell_script_announces_in_one_line() {
    let json = r#"{"name":"charging","address":"10.0.0.5","port":8080,"lat":48.8566,"lon":2.3522,"ttl_s":60}"#;
    let (service, ttl) = heard(json, "wayside/1/a/-/-/charging/shell/cp1").unwrap();
    assert_eq!((service.id.as_str(), service.kind), ("cp1@shell", Kind::Device));
    assert_eq!(service.endpoint.unwrap().to_string(), "10.0.0.5:8080");
    assert_eq!(service.fix, Some(Fix::fixed(Position::new(48.8566, 2.3522).unwrap(), 1.0, NOW)));
    assert_eq!(ttl, Duration::from_secs(60));
}

#[test]
fn an_empty_object_says_all_by_its_topic() {
    let (service, ttl) = heard("{}", "wayside/1/a/-/-/charging/shell/cp1").unwrap();
    let expected = Service {
        agent: Some("shell".parse().unwrap()),
        ..Service::new("cp1@shell".parse().unwrap(), "charging".parse().unwrap(), Kind::Device)
    };
    assert_eq!((service, ttl), (expected, Duration::from_secs(120)));
}

#[test]
fn what_is_not_known_is_counted_and_null_is_nothing() {
    let decoded = Announcement::decode(br#"{"colour":"red","x":{"y":[1]},"lat":null,"ttl_s":5}"#).unwrap();
    assert_eq!((decoded.unknown, decoded.announcement.place), (2, None));
}

#[test]
fn metadata_becomes_text_and_resources_keep_their_kind() {
    let said = read(r#"{"metadata":{"a":1,"b":true,"c":"x"},"resources":{"a":22.5,"b":false,"c":"type2"}}"#);
    let texts: Vec<&str> = said.metadata.values().map(AsRef::as_ref).collect();
    assert_eq!(texts, ["1", "true", "x"]);
    let values: Vec<&Value> = said.resources.values().collect();
    assert_eq!(values, [&Value::Number(22.5), &Value::Flag(false), &Value::Text("type2".into())]);
}

#[test]
fn a_refusal_names_field_value_and_limit() {
    for (json, why) in [
        (r#"{"port":70000,"address":"h"}"#, "port 70000 is not allowed: a whole number from 1 to 65535"),
        (r#"{"port":1.5,"address":"h"}"#, "port 1.5 is not allowed: a whole number from 1 to 65535"),
        (r#"{"port":"80","address":"h"}"#, "port \"80\" is not allowed: a whole number from 1 to 65535"),
        (r#"{"port":80}"#, "port is set without address"),
        (r#"{"ttl_s":0}"#, "ttl_s 0 is not allowed: a whole number from 1 to 86400"),
        (r#"{"ttl_s":86401}"#, "ttl_s 86401 is not allowed: a whole number from 1 to 86400"),
        (r#"{"lat":1}"#, "lat is set without lon"),
        (r#"{"lon":1}"#, "lon is set without lat"),
        (r#"{"accuracy_m":1}"#, "accuracy_m is set without lat"),
        (r#"{"lat":90.0000001,"lon":0}"#, "lat 90.0000001 is outside -90 to 90"),
        (r#"{"lat":0,"lon":180.1}"#, "lon 180.1 is outside -180 to 180"),
        (r#"{"lat":"48","lon":2}"#, "lat \"48\" is not allowed: a number"),
        (r#"{"lat":0,"lon":0,"accuracy_m":-1}"#, "accuracy_m -1 is outside 0 to 100000"),
        (r#"{"lat":0,"lon":0,"speed_mps":3}"#, "speed_mps is set without heading_deg"),
        (r#"{"lat":0,"lon":0,"speed_mps":164,"heading_deg":0}"#, "speed_mps 164 is outside 0 to 163.82"),
        (r#"{"kind":"car"}"#, "kind \"car\" is not allowed: gateway, vehicle, roadside, device or software"),
        (r#"{"critical":1}"#, "critical 1 is not allowed: true or false"),
        (r#"{"priority":256}"#, "priority 256 is not allowed: a whole number from 0 to 255"),
        (r#"{"health":"ill"}"#, "health \"ill\" is not allowed: passing, unknown or failing"),
        (r#"{"latency_ms":-1}"#, "latency_ms -1 is outside 0 to 3600000"),
        (r#"{"resources":{"a":[1]}}"#, "resources [..] is not allowed: text, numbers, true or false"),
        (r#"{"metadata":[]}"#, "metadata [..] is not allowed: an object"),
        (r#"{"area":{}}"#, "area {..} is not allowed: either radius_m or polygon"),
        (r#"{"area":{"radius_m":5}}"#, "radius_m is set without lat"),
        ("{\"ttl_s\":5,\"ttl_s\":6}", "not a JSON object"),
        ("{\"ttl_s\":1e999}", "not a JSON object"),
        ("{", "not a JSON object"),
    ] {
        assert_eq!(refused(json), std::format!("announcement: {why}"), "{json}");
    }
}

#[test]
fn names_and_areas_are_refused_in_their_own_words() {
    assert!(refused(r#"{"name":"Charging"}"#).starts_with("announcement service name \"Charging\" is not allowed"));
    assert!(refused(r#"{"address":"a b"}"#).starts_with("announcement address \"a b\" is not allowed"));
    assert_eq!(
        refused(r#"{"lat":0,"lon":0,"area":{"radius_m":50001}}"#),
        "announcement radius_m 50001 is outside 0 to 50000"
    );
    assert_eq!(refused(r#"{"area":{"polygon":[[0,0],[0,1]]}}"#), "announcement corners 2 is outside 3 to 64");
    assert!(
        refused(r#"{"area":{"polygon":[[0,0],[0,1],[1,1]]}}"#).starts_with("announcement distance between corners")
    );
}

#[test]
fn bytes_that_are_no_announcement_say_so() {
    let said = |bytes: &[u8]| Announcement::decode(bytes).unwrap_err().to_string();
    assert_eq!(said(b""), "announcement is empty: a withdrawal");
    assert_eq!(said(b"\x07abc"), "announcement begins with 7, neither version 1 nor {");
    assert_eq!(said(&[b'{'; 65_537]), "announcement of 65537 bytes is longer than 65536");
    let deep = [br#"{"x":"#.as_slice(), "[".repeat(60_000).as_bytes()].concat();
    assert_eq!(said(&deep), "announcement: not a JSON object");
}

#[test]
fn a_payload_that_disagrees_with_its_topic_is_refused() {
    let topic = "wayside/1/a/-/-/charging/shell/cp1";
    assert_eq!(
        misplaced(r#"{"name":"http"}"#, topic),
        "announcement name http does not belong in a topic of name charging"
    );
    assert_eq!(misplaced(r#"{"id":"cp2"}"#, topic), "announcement id cp2 does not belong in a topic of id cp1");
    assert_eq!(
        misplaced(r#"{"agent":"gw"}"#, topic),
        "announcement agent gw does not belong in a topic of agent shell"
    );
    assert_eq!(misplaced("{}", "wayside/1/p/gw"), "wayside/1/p/gw is no topic for announcements");
}

#[test]
fn a_cell_must_be_where_the_position_is() {
    let json = std::format!("{{{PARIS}}}");
    for good in ["1202200110/12112", "-/-"] {
        assert!(heard(&json, &std::format!("wayside/1/a/{good}/charging/shell/cp1")).is_ok(), "{good}");
    }
    assert_eq!(
        misplaced(&json, "wayside/1/a/1202200110/12310/charging/shell/cp1"),
        "announcement cell 48.856600,2.352200 does not belong in a topic of cell 1202200110/12310"
    );
    assert!(heard("{}", "wayside/1/a/1202200110/12310/charging/shell/cp1").is_ok());
}

#[test]
fn the_time_of_a_fix_is_believed_if_it_can_be() {
    let age = |told: u64, wall: UnixMillis| {
        let json = std::format!("{{{PARIS},\"time_ms\":{told}}}");
        let topic = Topic::parse("wayside/1/a/-/-/charging/shell/cp1").unwrap();
        let (service, _) = read(&json).into_service(&topic, wall, NOW).unwrap();
        NOW.since(service.fix.unwrap().time).as_millis()
    };
    assert_eq!(age(WALL.0 - 600_000, WALL), 600_000);
    assert_eq!(age(WALL.0 + 1_000, WALL), 0);
    assert_eq!(age(WALL.0 + 3_000, WALL), 0);
    assert_eq!(age(WALL.0 - 86_400_001, WALL), 0);
    assert_eq!(age(WALL.0 - 600_000, UnixMillis(5_000)), 0);
    assert_eq!(age(5_000, WALL), 0);
}

#[test]
fn a_service_announced_is_the_service_heard() {
    let topic = Topic::parse("wayside/1/a/-/-/charging/gw-7/cp1").unwrap();
    let motion = Motion::new(13.9, 90.0).unwrap();
    let service = Service {
        agent: Some("gw-7".parse().unwrap()),
        fix: Some(Fix {
            position: Position::new(48.8566, 2.3522).unwrap(),
            time: NOW.back(Duration::from_secs(3)),
            accuracy: 2.5,
            motion: Some(motion),
        }),
        latency: Some(Latency { round_trip: Duration::from_millis(3), basis: Basis::Reported }),
        health: Health::Passing,
        critical: true,
        ..Service::new("cp1@gw-7".parse().unwrap(), "charging".parse().unwrap(), Kind::Vehicle)
    };
    let announcement = Announcement::from_service(&service, Duration::from_secs(60), WALL, NOW);
    for payload in [announcement.encode(), announcement.to_json()] {
        let decoded = Announcement::decode(&payload).unwrap().announcement;
        let heard = decoded.into_service(&topic, WALL, NOW).unwrap();
        assert_eq!(heard, (service.clone(), Duration::from_secs(60)));
    }
}

proptest! {
    #[test]
    fn an_announcement_reads_as_it_is_written(announcement in announcement()) {
        let packed = Announcement::decode(&announcement.encode()).unwrap().announcement;
        prop_assert_eq!(&packed, &announcement);
        let spelled = Announcement::decode(&announcement.to_json()).unwrap();
        prop_assert_eq!((&spelled.announcement, spelled.unknown), (&announcement, 0));
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), json in any::<bool>()) {
        let first = if json { b'{' } else { VERSION };
        let _ = Announcement::decode(&[&[first], bytes.as_slice()].concat());
    }
}

/// Whatever the wire can carry without rounding.
fn announcement() -> impl Strategy<Value = Announcement> {
    let names = (option::of(Just("cp1")), option::of(Just("gw-7")), option::of(Just("modbus.inverter")));
    let value = prop_oneof![
        any::<i32>().prop_map(|n| Value::Number(f64::from(n) / 16.0)),
        any::<bool>().prop_map(Value::Flag),
        ".{0,20}".prop_map(|text| Value::Text(text.into())),
    ];
    let pairs = (btree_map(".{0,8}", value, 0..4), btree_map(".{0,8}", ".{0,20}", 0..4));
    let numbers = (0usize..5, 1..=MAX_TTL, any::<u8>(), any::<bool>(), 0usize..3, option::of(0u64..3_600_000_000));
    (names, pairs, numbers, option::of(place()), option::of(area()), option::of(endpoint())).prop_map(
        |(
            (id, agent, name),
            (resources, metadata),
            (kind, ttl, priority, critical, health, latency),
            place,
            area,
            endpoint,
        )| {
            Announcement {
                id: id.map(|id| id.parse().unwrap()),
                agent: agent.map(|agent| agent.parse().unwrap()),
                name: name.map(|name| name.parse().unwrap()),
                kind: Kind::ALL[kind],
                endpoint,
                place,
                area,
                ttl: Duration::from_secs(ttl),
                priority,
                critical,
                resources: resources.into_iter().map(|(key, value)| (key.into(), value)).collect(),
                metadata: metadata.into_iter().map(|(key, value)| (key.into(), value.into())).collect(),
                health: [Health::Passing, Health::Unknown, Health::Failing][health],
                latency: latency.map(Duration::from_micros),
            }
        },
    )
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    let host = prop_oneof![
        any::<core::net::IpAddr>().prop_map(|ip| ip.to_string()),
        Just("rsu-1.local".to_string()),
        Just("fe80::1%eth0".to_string()),
    ];
    (host, any::<u16>()).prop_map(|(host, port)| Endpoint { host: host.parse().unwrap(), port })
}

fn place() -> impl Strategy<Value = Place> {
    let altitude = option::of(-100_000i32..=2_000_000);
    let motion = option::of((0u16..=16_382, 0u16..3_600));
    (position(), altitude, option::of(0u32..=10_000_000), motion, option::of(0u64..1 << 50)).prop_map(
        |(position, altitude, accuracy, motion, time)| Place {
            position: altitude.map_or(position, |cm| position.at_altitude(cm as f32 / 1e2).unwrap()),
            accuracy: accuracy.map(|cm| (f64::from(cm) / 1e2) as f32),
            motion: motion
                .map(|(speed, heading)| Motion::new(f32::from(speed) / 1e2, f32::from(heading) / 1e1).unwrap()),
            time: time.map(UnixMillis),
        },
    )
}

fn area() -> impl Strategy<Value = Area> {
    let corners = proptest::collection::vec((0i32..4_000_000, 0i32..4_000_000), 3..8);
    prop_oneof![
        (position(), 0u32..=5_000_000).prop_map(|(centre, cm)| circle(centre, f64::from(cm) / 1e2).unwrap()),
        corners.prop_map(|corners| {
            let corner = |(lat, lon)| Position::new(f64::from(lat) / 1e7, f64::from(lon) / 1e7).unwrap();
            outline(corners.into_iter().map(corner).collect()).unwrap()
        }),
    ]
}

fn position() -> impl Strategy<Value = Position> {
    (-900_000_000i32..=900_000_000, -1_800_000_000i32..=1_800_000_000)
        .prop_map(|(lat, lon)| Position::new(f64::from(lat) / 1e7, f64::from(lon) / 1e7).unwrap())
}

const WALL: UnixMillis = UnixMillis(1_795_000_000_000);
const NOW: Timestamp = Timestamp::from_micros(100_000_000_000);
