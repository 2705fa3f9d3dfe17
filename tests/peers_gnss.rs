//! The agent's own receiver: a real gpsd fed with NMEA by gpsfake, and a server that only pretends to be one.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use wayside_protocols::place::Position;
use wayside_tests::broker::free_port;
use wayside_tests::daemon::Daemon;
use wayside_tests::place::Scratch;
use wayside_tests::wait::eventually;
use wayside_tests::wayside::Wayside;

#[test]
fn a_drive_with_gpsd_fix_loss_return_and_a_leap() {
    let home = at(48.8566, 2.3522);
    let far = home.moved(45.0, 10_000.0);
    // A second each: 8 of driving east at 10 m/s, 12 in a tunnel, 8 where the tunnel ends, 8 somewhere else at once.
    let mut log = String::new();
    let tunnel = home.moved(90.0, 200.0);
    let drive = |from: Position| (0..8).map(move |second| Some(from.moved(90.0, 10.0 * f64::from(second))));
    for (second, place) in
        (0_u32..).zip(drive(home).chain((0..12).map(|_| None)).chain(drive(tunnel)).chain(drive(far)))
    {
        log.push_str(&epoch(second, place));
    }
    let scratch = Scratch::new();
    let log = scratch.write("drive.nmea", &log);
    let port = free_port();
    // Three sentences an epoch.
    let mut gpsfake = Command::new("gpsfake");
    gpsfake.args(["-1", "-q", "-c", "0.2", "-P", &port.to_string()]).arg(&log);
    let _gpsd = Daemon::start_family("gpsfake", gpsfake, scratch.path());
    let agent = following(port);

    let near = |place: Position, metres: f64| {
        let told = position(&agent);
        let there = told["lat"].as_f64().zip(told["lon"].as_f64()).map(|(lat, lon)| at(lat, lon));
        there.filter(|there| there.distance(&place).as_metres() < metres).map(|_| told)
    };
    let fix = eventually(SOON, "the first fix", || near(home, 120.0).filter(|told| told["certain"] == json!(true)));
    assert_eq!(fix["source"], "gpsd");
    assert!((1.0..60.0).contains(&fix["accuracy_m"].as_f64().unwrap_or(0.0)), "{fix}");
    eventually(SOON, "speed and heading", || {
        let told = position(&agent);
        let motion = told["speed_mps"].as_f64().zip(told["heading_deg"].as_f64());
        motion.filter(|(speed, heading)| (9.0..11.0).contains(speed) && (88.0..92.0).contains(heading))
    });
    agent.register(json!({"name": "toll", "address": "10.0.0.5", "port": 1, "ttl_s": 600,
        "location": {"lat": home.latitude(), "lon": home.longitude()}}));
    let here = |verdict: &str| {
        let found = agent.cli_json(&["find", "toll", "--here", "--within", "2km"]);
        (found["instances"][0]["verdict"] == *verdict).then_some(())
    };
    here("definite").expect("surely within 2 km");

    let vague = eventually(SOON, "in the tunnel it is not certain any more", || {
        Some(position(&agent)).filter(|told| told["certain"] == json!(false))
    });
    assert!(vague["accuracy_m"].as_f64() > fix["accuracy_m"].as_f64(), "{vague}");
    here("possible").expect("an agent that has lost its fix is sure of nothing");
    assert!(metric(&agent, "gnss_without_fix_total") > 0.0);

    eventually(LATER, "behind the tunnel", || near(tunnel, 120.0).filter(|told| told["certain"] == json!(true)));
    here("definite").expect("surely within 2 km again");

    eventually(LATER, "the leap is believed", || near(far, 120.0));
    assert!(metric(&agent, "gnss_leaps_doubted_total") >= 1.0);

    // The log is over, and gpsfake takes gpsd with it.
    eventually(Duration::from_secs(60), "nobody knows where it is", || {
        let told = position(&agent);
        told["reason"].as_str().filter(|reason| reason.starts_with("own position unknown: the last fix is")).map(|_| ())
    });
    let lost = agent.cli(&["find", "toll", "--here", "--within", "2km"]);
    assert_eq!(lost.code, 1, "{lost:?}");
    assert!(lost.stdout.contains("unreached: local: own position unknown"), "{lost:?}");
}

#[test]
fn what_is_not_gpsd_is_counted_by_name_and_the_agent_goes_on() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let port = listener.local_addr().expect("it has an address").port();
    let lines = [
        "HTTP/1.1 400 Bad Request".to_owned(),
        "{\"class\":\"TPV\",\"mode\":3,\"lat\":nan,\"lon\":nan}".to_owned(),
        "x".repeat(100_000),
        "{}".to_owned(),
        "[".repeat(10_000),
        "{\"class\":\"ERROR\",\"message\":\"Unrecognized request\"}".to_owned(),
        "{\"class\":\"TPV\",\"mode\":3,\"lat\":0,\"lon\":0}".to_owned(),
        "{\"class\":\"TPV\",\"mode\":3,\"lat\":123,\"lon\":2}".to_owned(),
        "{\"class\":\"TPV\",\"mode\":3,\"lat\":48,\"lon\":2,\"speed\":900,\"track\":1}".to_owned(),
        "{\"class\":\"TPV\",\"mode\":3,\"lat\":48.5,\"lon\":2.5,\"eph\":4.9,\"speed\":0.0,\"track\":0.0}".to_owned(),
    ];
    thread::spawn(move || {
        // First garbage and one good line, then a flood that never is a line of gpsd's.
        if let Ok((mut stream, _)) = listener.accept() {
            let mut asked = [0; 64];
            let _ = stream.read(&mut asked);
            let _ = stream.write_all(b"\xff\xfe\x00\x01\n");
            for line in lines {
                let _ = stream.write_all(line.as_bytes()).and_then(|()| stream.write_all(b"\r\n"));
            }
        }
        for stream in listener.incoming().flatten().take(3) {
            flood(stream);
        }
    });
    let agent = following(port);

    eventually(SOON, "the one good line is believed", || {
        let told = position(&agent);
        (told["lat"] == json!(48.5) && told["certain"] == json!(true)).then_some(())
    });
    for name in ["not_json", "too_long", "no_class", "by_gpsd", "null_island", "out_of_range"] {
        let name = format!("gnss_refused_{name}_total");
        assert!(metric(&agent, &name) >= 1.0, "{name} counts nothing");
    }
    eventually(LATER, "a flood ends the connection, and it is tried again", || {
        (metric(&agent, "gnss_failures_total") >= 2.0 && metric(&agent, "gnss_connections_total") >= 3.0).then_some(())
    });
    assert_eq!(agent.ask("GET", "/v1/discovery/health", None).status, 200);
}

#[test]
fn the_position_can_be_told_unless_a_receiver_rules() {
    let told = Wayside::start(None, "id = \"told\"\n[mdns]\nenabled = false\n");
    assert_eq!(told.cli(&["find", "wayside", "--here"]).code, 1);
    let body = json!({"lat": 48.8566, "lon": 2.3522, "accuracy_m": 2.0});
    let reply = told.ask("PUT", "/v1/position", Some(&body));
    assert_eq!((reply.status, &reply.json()["source"]), (200, &json!("api")), "{}", reply.body);
    told.register(json!({"name": "toll", "address": "10.0.0.5", "port": 1}));
    assert_eq!(told.cli(&["find", "toll", "--here", "--within", "lessThan50m"]).code, 0);
    let moving = json!({"lat": 48.8566, "lon": 2.3522, "speed_mps": 20.0, "heading_deg": 0.0});
    told.ask("PUT", "/v1/position", Some(&moving));
    eventually(SOON, "a position that moves and is not told again grows vague", || {
        Some(position(&told)).filter(|told| told["certain"] == json!(false))
    });

    let ruled = following(free_port());
    let refused = ruled.ask("PUT", "/v1/position", Some(&body));
    assert_eq!((refused.status, &refused.json()["type"]), (409, &json!("urn:wayside:problem:position-ruled")));
    assert!(refused.body.contains("position.gpsd"), "{}", refused.body);
}

fn flood(mut stream: TcpStream) {
    let garbage = "{\"class\":\"TPV\",\"mode\":3,\"lat\":999,\"lon\":2}\n".repeat(100);
    while stream.write_all(garbage.as_bytes()).is_ok() {}
}

fn following(port: u16) -> Wayside {
    let config = "id = \"car\"\nkind = \"vehicle\"\n[mdns]\nenabled = false\n[position]\n";
    Wayside::start(None, &format!("{config}gpsd = \"127.0.0.1:{port}\"\n"))
}

fn position(agent: &Wayside) -> Value {
    agent.ask("GET", "/v1/position", None).json()
}

fn metric(agent: &Wayside, name: &str) -> f64 {
    let page = agent.ask("GET", "/metrics", None).body;
    let line = page.lines().find_map(|line| line.strip_prefix(&format!("wayside_{name} ")));
    line.and_then(|value| value.parse().ok()).unwrap_or(0.0)
}

fn at(lat: f64, lon: f64) -> Position {
    Position::new(lat, lon).expect("a place on Earth")
}

/// One second of a receiver that drives east at 10 m/s, or has no fix: NMEA 0183 RMC, GGA and GSA.
fn epoch(second: u32, place: Option<Position>) -> String {
    let time = format!("21{:02}{:02}.00", second / 60, second % 60);
    let sentences = match place {
        Some(place) => {
            let (lat, lon) = (angle(place.latitude(), 2), angle(place.longitude(), 3));
            [
                format!("GPRMC,{time},A,{lat},N,{lon},E,19.44,090.0,221126,,,A"),
                format!("GPGGA,{time},{lat},N,{lon},E,1,08,1.0,35.0,M,45.0,M,,"),
                "GPGSA,A,3,01,02,03,04,05,06,07,08,,,,,1.8,1.0,1.5".to_owned(),
            ]
        }
        None => [
            format!("GPRMC,{time},V,,,,,,,221126,,,N"),
            format!("GPGGA,{time},,,,,0,00,99.9,,M,,M,,"),
            "GPGSA,A,1,,,,,,,,,,,,,99.9,99.9,99.9".to_owned(),
        ],
    };
    sentences.iter().fold(String::new(), |mut text, sentence| {
        let sum = sentence.bytes().fold(0, |sum, byte| sum ^ byte);
        let _ = write!(text, "${sentence}*{sum:02X}\r\n");
        text
    })
}

/// Degrees and decimal minutes, as NMEA has them.
fn angle(degrees: f64, digits: usize) -> String {
    let whole = degrees.trunc();
    format!("{whole:0digits$.0}{:08.5}", (degrees - whole) * 60.0)
}

const SOON: Duration = Duration::from_secs(15);
const LATER: Duration = Duration::from_secs(40);
