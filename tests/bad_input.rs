//! What nobody should send, sent: a clear refusal, nothing lost, and the agent goes on.

use std::fs;
use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wayside_tests::broker::{Broker, free_port};
use wayside_tests::daemon::Daemon;
use wayside_tests::http::{Reply, Wire};
use wayside_tests::place::Scratch;
use wayside_tests::wait::eventually;
use wayside_tests::wayside::{Wayside, binary};

#[test]
fn a_question_out_of_range_is_refused_with_field_value_and_limit() {
    let agent = alone();
    let at = |lat: Value, lon: Value, radius: Value| json!({"service_name": "x", "constraints": {"location": {"lat": lat, "lon": lon, "radius_m": radius}}});
    let wrong = [
        (at(json!(90.1), json!(2), json!(100)), "lat", "90.1"),
        (at(json!(48), json!(-180.5), json!(100)), "lon", "-180.5"),
        (at(json!("NaN"), json!(2), json!(100)), "lat", "NaN"),
        (at(json!(null), json!(2), json!(100)), "lat", ""),
        (at(json!(48), json!(2), json!(-1)), "radius_m", "-1"),
        (at(json!(48), json!(2), json!(1e300)), "radius_m", "300"),
        (at(json!(48), json!(2), json!("wide")), "radius_m", "wide"),
        (json!({"service_name": "x", "colour": "red"}), "colour", ""),
        (json!({"service_name": "x", "limit": 1001}), "limit", "1001"),
        (json!({"service_name": "x", "limit": 0}), "limit", "0"),
        (json!({"service_name": "x", "urgency_level": 8}), "urgency_level", "8"),
        (json!({"service_name": "x", "deadline": "soon"}), "deadline", "soon"),
        (json!({"service_name": "Wo rse\u{1b}"}), "service_name", ""),
        (json!({}), "service_name", ""),
    ];
    for (body, field, value) in wrong {
        refused(&agent.ask("POST", "/v1/discovery/services", Some(&body)), field, value);
    }
    still_works(&agent);
}

#[test]
fn numbers_json_cannot_say_are_refused() {
    let agent = alone();
    for number in ["NaN", "Infinity", "-Infinity", "1e999", "0x10", "1,5"] {
        let location = format!(r#"{{"lat": {number}, "lon": 2.0, "radius_m": 100}}"#);
        let body = format!(r#"{{"service_name": "x", "constraints": {{"location": {location}}}}}"#);
        let reply = send(&agent, body.as_bytes());
        assert!((400..500).contains(&reply.status), "{number}: {reply:?}");
    }
    for body in [&b""[..], b"{", b"[]", b"null", b"\xff\xfe", b"{\"service_name\": \"x\"} trailing"] {
        let reply = send(&agent, body);
        assert!((400..500).contains(&reply.status), "{body:?}: {reply:?}");
    }
    let deep = [vec![b'['; 20_000], vec![b']'; 20_000]].concat();
    assert!((400..500).contains(&send(&agent, &deep).status));
    still_works(&agent);
}

#[test]
fn a_registration_out_of_range_is_refused_and_not_kept() {
    let agent = alone();
    let wrong = [
        ("ttl_s", json!(0), "0"),
        ("ttl_s", json!(86_401), "86401"),
        ("ttl_s", json!(-5), "-5"),
        ("port", json!(0), "0"),
        ("port", json!(65_536), "65536"),
        ("address", json!("not an address"), "not an address"),
        ("address", json!("0.0.0.0"), "0.0.0.0"),
        ("name", json!("UPPER CASE"), "UPPER CASE"),
        ("name", json!(""), ""),
        ("priority", json!(256), "256"),
        ("critical", json!("yes"), "yes"),
        ("location", json!({"lat": 91, "lon": 2}), "91"),
        ("location", json!({"lat": 48}), ""),
        ("health_check", json!({"kind": "exec", "interval_s": 5, "timeout_ms": 100}), "exec"),
        ("metadata", json!({"note": "x".repeat(5_000)}), ""),
        ("colour", json!("red"), ""),
    ];
    for (field, value, named) in wrong {
        let mut info = json!({"name": "charging", "address": "10.0.0.5", "port": 8080});
        info[field] = value;
        let reply = agent.ask("POST", "/v1/discovery/registration", Some(&json!({ "service_info": info })));
        refused(&reply, field, named);
    }
    assert_eq!(agent.instances("charging"), Vec::<Value>::new());
    still_works(&agent);
}

#[test]
fn a_body_of_one_mebibyte_is_refused_unread() {
    let agent = alone();
    let body = vec![b' '; 1024 * 1024];
    for path in ["/v1/discovery/services", "/v1/discovery/registration"] {
        let reply =
            agent.door.ask_raw("POST", path, &[("content-type", "application/json")], &body).expect("a refusal");
        assert_eq!(reply.status, 413, "{reply:?}");
        assert!(reply.body.contains("65536"), "the limit is not named: {reply:?}");
    }
    still_works(&agent);
}

#[test]
fn a_head_without_end_is_refused() {
    let agent = alone();
    let long = "x".repeat(64 * 1024);
    let reply = agent.door.ask_raw("GET", "/v1/discovery/health", &[("x-long", long.as_str())], b"");
    assert!(reply.map_or(true, |reply| (400..500).contains(&reply.status)));
    let target = format!("/v1/discovery/watch?service={}", "y".repeat(10_000));
    let reply = agent.door.ask_raw("GET", &target, &[], b"");
    assert!(reply.map_or(true, |reply| (400..500).contains(&reply.status)));
    still_works(&agent);
}

#[test]
fn two_hundred_clients_that_never_finish_their_head_are_dropped_and_others_answered() {
    let agent = alone();
    let mut lorises: Vec<Box<dyn Wire>> = Vec::new();
    for _ in 0..200 {
        let mut wire = agent.door.open(Duration::from_secs(30)).expect("the socket takes connections");
        if wire.write_all(b"GET /v1/discovery/health HTTP/1.1\r\nhost: localhost\r\nx-slow: ").is_ok() {
            lorises.push(wire);
        }
    }

    let asked = Instant::now();
    eventually(Duration::from_secs(20), "a request is answered", || {
        agent.door.ask("GET", "/v1/discovery/health", None).ok().filter(|reply| reply.status == 200)
    });
    eprintln!("answered after {:?}", asked.elapsed());
    for mut wire in lorises {
        let mut rest = Vec::new();
        // Either the end of the stream or a reset; a timeout would mean that it is still held open.
        let ended = wire.read_to_end(&mut rest);
        assert!(
            !ended.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock),
            "a slow client is kept for ever"
        );
    }
    still_works(&agent);
}

#[test]
fn ten_thousand_watchers_find_room_for_as_many_as_are_allowed_and_do_no_harm() {
    let agent = alone();
    let (mut open, mut turned_away) = (Vec::new(), 0);
    for _ in 0..10_000 {
        let Ok(mut wire) = agent.door.open(Duration::from_secs(5)) else {
            turned_away += 1;
            continue;
        };
        let asked = wire.write_all(b"GET /v1/discovery/watch?service=charging HTTP/1.1\r\nhost: localhost\r\n\r\n");
        let mut start = [0; 12];
        match asked.and_then(|()| wire.read_exact(&mut start)) {
            Ok(()) if start.ends_with(b"200") => open.push(wire),
            Ok(()) | Err(_) => turned_away += 1,
        }
    }
    assert_eq!(open.len(), 64, "limits.watchers is 64");
    assert_eq!(turned_away, 10_000 - 64);
    still_works(&agent);
    drop(open);
    eventually(SOON, "there is room again", || {
        agent.door.events("/v1/discovery/watch?service=charging").ok()?.next_event()
    });
}

#[test]
fn a_strange_host_header_is_refused_on_a_tcp_port() {
    let port = free_port();
    let scratch = Scratch::new();
    let _agent = on_port(&scratch, port);
    let door = wayside_tests::http::Door::Tcp(([127, 0, 0, 1], port).into());
    eventually(SOON, "it answers", || door.ask("GET", "/v1/discovery/health", None).ok());

    let strange = door.ask_raw("GET", "/v1/discovery/health", &[("host", "evil.example")], b"").expect("a refusal");

    assert!((400..500).contains(&strange.status), "{strange:?}");
}

#[test]
fn a_port_in_use_ends_the_start_with_a_word_about_it() {
    let port = free_port();
    let (first, second) = (Scratch::new(), Scratch::new());
    let mut running = on_port(&first, port);
    running.says(&port.to_string(), SOON);

    let mut refused = on_port(&second, port);

    let end = refused.end(SOON);
    assert!(!end.success(), "{end}");
    let said = refused.log().to_lowercase();
    assert!(said.contains(&port.to_string()) && said.contains("in use"), "{said}");
    assert_eq!(running.ended(), None);
}

#[test]
fn a_state_directory_that_is_read_only_costs_registrations_and_nothing_else() {
    let agent = Wayside::start_after("mount -t tmpfs -o ro tmpfs \"$STATE\"", QUIET);

    let reply = register(&agent, 8080);

    assert!((500..600).contains(&reply.status), "{reply:?}");
    assert_eq!(agent.instances("charging"), Vec::<Value>::new(), "what is refused is not shown");
    assert_eq!(agent.ask("GET", "/v1/discovery/health", None).status, 200);
}

#[test]
fn a_full_disk_refuses_a_registration_and_takes_the_next_when_there_is_room() {
    let agent = Wayside::start_after("mount -t tmpfs -o size=256k tmpfs \"$STATE\"", QUIET);
    assert_eq!(register(&agent, 8080).status, 201);
    // Only the agent sees that disk; this is the way in.
    let state = format!("/proc/{}/root{}", agent.daemon.pid(), agent.dir().join("state").display());
    let filler = std::path::Path::new(&state).join("filler");

    fill(&filler);
    let refused = (9000..9200).map(|port| register(&agent, port)).find(|reply| reply.status != 201);
    let refused = refused.expect("a full disk refuses sooner or later");
    assert!((500..600).contains(&refused.status), "{refused:?}");
    assert_eq!(agent.ask("GET", "/v1/discovery/health", None).status, 200);
    fs::remove_file(&filler).expect("it was made here");

    eventually(SOON, "registrations are taken again", || (register(&agent, 9999).status == 201).then_some(()));
    assert!(agent.instances("charging").iter().any(|row| row["port"] == 8080), "the first is still there");
}

#[test]
fn payloads_from_a_broker_that_lie_or_break_off_are_counted_and_show_nothing() {
    let broker = Broker::start();
    let config = format!("{QUIET}[mqtt]\nurl = \"{}\"\n", broker.url());
    let agent = Wayside::start(None, &config);
    let scratch = Scratch::new();
    let own = |lat: &str| format!(r#"{{"name":"charging","address":"10.0.0.5","port":8080,"lat":{lat},"lon":2.3522}}"#);
    let announce = "wayside/1/a/-/-/charging/shell";
    let wrong: [(&str, Vec<u8>); 14] = [
        ("json-nan", own("NaN").into()),
        ("json-far-north", own("90.5").into()),
        ("json-infinite", own("1e999").into()),
        ("json-broken", b"{\"name\":\"charging\"".to_vec()),
        ("json-deep", [vec![b'{'], vec![b'['; 4_000]].concat()),
        ("json-other-name", own("48.0").replace("charging", "parking").into()),
        ("json-half-place", br#"{"name":"charging","address":"10.0.0.5","port":8080,"lat":48.0}"#.to_vec()),
        ("json-port-zero", br#"{"name":"charging","address":"10.0.0.5","port":0}"#.to_vec()),
        ("json-ttl-minus", br#"{"name":"charging","address":"10.0.0.5","port":80,"ttl_s":-1}"#.to_vec()),
        ("binary-version-255", vec![255, 1, 2, 3, 4, 5, 6, 7]),
        ("binary-short", vec![1]),
        ("binary-noise", (0..=255).collect()),
        ("not-utf8", vec![b'{', 0xff, 0xfe, b'}']),
        ("nine-thousand", vec![b'{'; 9_000]),
    ];
    for (id, payload) in &wrong {
        publish(&broker, &scratch, &format!("{announce}/{id}"), payload);
    }
    publish(&broker, &scratch, "wayside/1/a/0123012301/01230/charging/shell/wrong-cell", own("48.8566").as_bytes());
    for payload in [&b""[..], &[1], &[9; 48], &[0xff; 200]] {
        publish(&broker, &scratch, "wayside/1/b/1202022000/20310/bus-1", payload);
    }
    for payload in [&b"{}"[..], b"lost", &[0; 10]] {
        publish(&broker, &scratch, "wayside/1/p/bus-1", payload);
    }
    broker.retain(&format!("{announce}/good"), &own("48.8566"));

    agent.finds("charging", "good@shell", SOON);

    let shown: Vec<String> = agent.instances("*").iter().map(|row| row["id"].to_string()).collect();
    assert!(
        !shown.iter().any(|id| id.contains("json-") || id.contains("binary-") || id.contains("bus-1")),
        "{shown:?}"
    );
    assert!(!shown.iter().any(|id| id.contains("wrong-cell")), "{shown:?}");
    let counted = agent.metric(&["refused"]);
    assert!(counted >= wrong.len() as f64, "{counted}: {}", agent.ask("GET", "/metrics", None).body);
    still_works(&agent);
}

#[test]
fn the_same_id_from_two_agents_is_two_services() {
    let broker = Broker::start();
    let agent = Wayside::start(None, &format!("{QUIET}[mqtt]\nurl = \"{}\"\n", broker.url()));
    let message = r#"{"name":"charging","address":"10.0.0.5","port":8080}"#;
    broker.retain("wayside/1/a/-/-/charging/first/cp1", message);
    broker.retain("wayside/1/a/-/-/charging/second/cp1", message);

    agent.finds("charging", "cp1@first", SOON);
    agent.finds("charging", "cp1@second", SOON);
}

/// Writes until the disk takes no more.
fn fill(path: &std::path::Path) {
    let mut file = fs::File::create(path).expect("there is room for a name");
    while file.write_all(&[0; 4096]).is_ok() {}
}

fn publish(broker: &Broker, scratch: &Scratch, topic: &str, payload: &[u8]) {
    let file = scratch.file("payload");
    fs::write(&file, payload).expect("its own directory");
    if payload.is_empty() {
        broker.publish(&["-V", "5", "-q", "1", "-t", topic, "-n"]);
    } else {
        broker.publish(&["-V", "5", "-q", "1", "-t", topic, "-f", &file.display().to_string()]);
    }
}

fn register(agent: &Wayside, port: u16) -> Reply {
    let info =
        json!({"name": "charging", "address": "10.0.0.5", "port": port, "metadata": {"note": "x".repeat(1_000)}});
    agent.ask("POST", "/v1/discovery/registration", Some(&json!({ "service_info": info })))
}

fn send(agent: &Wayside, body: &[u8]) -> Reply {
    let json = [("content-type", "application/json")];
    agent.door.ask_raw("POST", "/v1/discovery/services", &json, body).expect("a refusal")
}

/// Refused with problem JSON (RFC 9457) that names the field and the value.
#[track_caller]
fn refused(reply: &Reply, field: &str, value: &str) {
    assert!((400..500).contains(&reply.status), "{field} = {value}: {reply:?}");
    assert!(reply.head.to_lowercase().contains("application/problem+json"), "{field} = {value}: {reply:?}");
    assert!(reply.body.contains(field), "{field} is not named: {reply:?}");
    assert!(reply.body.contains(value), "{value} is not named: {reply:?}");
}

/// A proper registration is taken and found: nothing that went before did harm.
#[track_caller]
fn still_works(agent: &Wayside) {
    let id = agent.register(json!({"name": "proper", "address": "10.0.0.5", "port": 8080, "ttl_s": 60}));
    agent.finds("proper", &id, SOON);
}

fn alone() -> Wayside {
    Wayside::start(None, QUIET)
}

fn on_port(scratch: &Scratch, port: u16) -> Daemon {
    let state = scratch.file("state");
    let text = format!("{QUIET}[api]\nlisten = \"127.0.0.1:{port}\"\n[state]\ndir = \"{}\"\n", state.display());
    let config = scratch.write("wayside.toml", &text);
    let mut command = std::process::Command::new(binary());
    command.arg("run").arg("--config").arg(config);
    Daemon::start("wayside", command, scratch.path())
}

const QUIET: &str = "id = \"gw-1\"\n[mdns]\nenabled = false\n";
const SOON: Duration = Duration::from_secs(10);
