//! What a gateway does to an agent: a supervisor that watches it, a wall clock that jumps by years, a configuration with a
//! mistake, little memory.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::fs;
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, SystemTime};

use rustix::process::Signal;
use serde_json::{Value, json};
use wayside_tests::broker::Broker;
use wayside_tests::place::Scratch;
use wayside_tests::wait::eventually;
use wayside_tests::wayside::Wayside;

#[test]
fn a_supervisor_hears_ready_then_the_watchdog_then_stopping() {
    let (broker, scratch) = (Broker::start(), Scratch::new());
    let place = scratch.file("notify");
    let socket = UnixDatagram::bind(&place).unwrap();
    socket.set_nonblocking(true).unwrap();
    // mDNS and MQTT are on: the watchdog is fed only while all loops come round.
    let prelude = format!("export NOTIFY_SOCKET={} WATCHDOG_USEC=8000000", place.display());
    let agent = Wayside::start_after(&prelude, &format!("id = \"gw-1\"\n[mqtt]\nurl = \"{}\"\n", broker.url()));

    let mut heard = Vec::new();
    let mut hear = |wanted: &str, times: usize| {
        eventually(Duration::from_secs(30), &format!("{wanted}, {times} times"), || {
            let mut text = [0; 256];
            match socket.recv(&mut text) {
                Ok(length) => heard.extend(String::from_utf8_lossy(&text[..length]).lines().map(str::to_owned)),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
            }
            (heard.iter().filter(|line| *line == wanted).count() >= times).then_some(())
        });
    };
    hear("READY=1", 1);
    hear("WATCHDOG=1", 2);
    agent.daemon.signal(Signal::TERM);
    hear("STOPPING=1", 1);
    let mut agent = agent;
    let ended = eventually(Duration::from_secs(3), "it has left", || agent.daemon.ended());
    assert!(ended.success(), "{ended:?}");
    assert!(!agent.daemon.log().contains("not heard of"), "{}", agent.daemon.log());
}

#[test]
fn a_wall_clock_that_jumps_by_decades_both_ways_costs_no_lease() {
    let scratch = Scratch::new();
    let skew = scratch.write("skew", &format!("-{}", since_1970()));
    let prelude = format!(
        "export LD_PRELOAD=$(ls /usr/lib/*/faketime/libfaketime.so.1) FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME_NO_CACHE=1 \
         FAKETIME_TIMESTAMP_FILE={}",
        skew.display()
    );
    let agent = Wayside::start_after(&prelude, QUIET);
    let health = || agent.ask("GET", "/v1/discovery/health", None).json();
    assert_eq!(health()["metrics"]["clock_trusted"], 0, "it is 1970: {}", health());
    assert!(year(&health()) <= 1971, "{}", health()["timestamp"]);
    let id = agent.register(json!({"name": "charging", "address": "10.0.0.5", "port": 8080, "ttl_s": 3600}));

    // The time came by NTP; then somebody set it to the far future, then back.
    for (offset, trusted, about) in [("+0", 1, 2_020), ("+40y", 1, 2_060), ("-10y", 0, 2_010), ("+0", 1, 2_020)] {
        fs::write(&skew, offset).unwrap();
        eventually(Duration::from_secs(10), &format!("the year is {about} and later, with {offset}"), || {
            let health = health();
            ((about..about + 30).contains(&year(&health)) && health["metrics"]["clock_trusted"] == trusted)
                .then_some(())
        });
        let row = agent.instance("charging", &id).unwrap_or_else(|| panic!("gone with {offset}"));
        let left = row["ttl_s"].as_f64().unwrap();
        assert!((3_500.0..=3_600.0).contains(&left), "{left} s are left with {offset}");
    }
    let ttl = json!({"name": "brief", "address": "10.0.0.5", "port": 8081, "ttl_s": 1});
    agent.register(ttl);
    agent.loses("brief", "brief", Duration::from_secs(10));
}

#[test]
fn a_configuration_with_a_mistake_changes_nothing_and_the_next_right_one_does() {
    let mut agent = Wayside::start(None, &format!("{QUIET}[[service]]\nname = \"old\"\nport = 1\n"));
    agent.finds("old", "old", SOON);
    let file = agent.dir().join("wayside.toml");
    let right = fs::read_to_string(&file).unwrap();

    fs::write(&file, right.replace("port = 1", "port = 70000")).unwrap();
    agent.daemon.signal(Signal::HUP);
    agent.daemon.says("the old configuration stays", SOON);
    let told = agent.daemon.log();
    assert!(told.contains("wayside.toml:") && told.contains("service[0].port") && told.contains("70000"), "{told}");
    agent.finds("old", "old", SOON);

    fs::write(&file, right.replace("\"old\"", "\"new\"")).unwrap();
    agent.daemon.signal(Signal::HUP);
    agent.finds("new", "new", SOON);
    agent.loses("old", "old", SOON);
}

#[test]
fn ten_thousand_services_fit_into_forty_megabytes_of_data() {
    let broker = Broker::start();
    // RLIMIT_DATA, KiB: heap, anonymous maps and the stacks of threads. Beyond it an allocation fails, and the agent ends.
    let mut agent = Wayside::start_after("ulimit -d 40960", &format!("{QUIET}[mqtt]\nurl = \"{}\"\n", broker.url()));
    let mut lines = wayside_tests::publisher::Publisher::tcp(broker.port(), "others").unwrap();
    for number in 0..10_000 {
        let topic = format!("wayside/1/a/-/-/charging/post-{}/cp-{number}", number % 50);
        let payload = json!({
            "name": "charging", "address": "10.0.0.5", "port": 8080, "ttl_s": 3600,
            "metadata": {"operator": "city", "plug": "type2", "row": number.to_string()}
        });
        lines.publish(&topic, payload.to_string().as_bytes(), true).unwrap();
        if number % 200 == 199 {
            // mosquitto drops what waits too long for a reader.
            eventually(SOON, &format!("{number} and one are known"), || {
                assert!(agent.daemon.ended().is_none(), "it ended: {}", agent.daemon.log());
                (agent.metric(&["wayside_services"]) > f64::from(number)).then_some(())
            });
        }
    }
    let answer = agent.answer(&json!({"service_name": "charging", "limit": 1000}));
    assert_eq!(answer["instances"].as_array().unwrap().len(), 1000);
}

fn since_1970() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

fn year(health: &Value) -> u32 {
    let told = health["timestamp"].as_str().unwrap_or_else(|| panic!("no time in {health}"));
    told[..4].parse().unwrap()
}

const QUIET: &str = "id = \"gw-1\"\n[mdns]\nenabled = false\n";
const SOON: Duration = Duration::from_secs(10);

/// What a person at the serial console of a gateway sees.
#[test]
fn top_fits_a_screen_of_80_by_24_and_an_old_terminal() {
    let agent = Wayside::start(None, QUIET);
    for number in 0..40 {
        let name = format!("pump-{number}");
        agent.register(json!({"name": name, "address": "10.0.0.5", "port": 8080, "metadata": {"x": "y".repeat(200)}}));
    }
    for term in ["xterm-256color", "vt100"] {
        let scratch = Scratch::new();
        let tmux = |words: &[&str]| {
            let socket = scratch.file("tmux");
            wayside_tests::wayside::ran(std::process::Command::new("tmux").arg("-S").arg(socket).args(words))
        };
        let command = format!(
            "TERM={term} WAYSIDE_AGENT={} {} top --interval 200ms --timeout 60s; echo ended with $?; cat",
            agent.door,
            wayside_tests::wayside::binary().display()
        );
        let begun = tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", &command]);
        assert_eq!(begun.code, 0, "{begun:?}");
        let screen = || tmux(&["capture-pane", "-p"]).stdout;
        let seen = eventually(SOON, &format!("a whole picture on {term}"), || {
            Some(screen()).filter(|screen| screen.contains("a second: requests") && screen.contains("more"))
        });
        assert!(seen.starts_with("wayside ") && seen.contains("40 services"), "{seen}");
        assert!(seen.lines().count() <= 24 && seen.lines().all(|line| line.chars().count() <= 80), "{seen}");
        assert!(!seen.contains("[K") && !seen.contains("[H"), "what steers the terminal is not shown: {seen}");
        agent.daemon.signal(Signal::STOP);
        let (mut last, mut looks) = (String::new(), 0);
        eventually(SOON, "it waits for an answer", || {
            let now = screen();
            looks = if now == last { looks + 1 } else { 0 };
            last = now;
            (looks > 30).then_some(())
        });
        tmux(&["send-keys", "C-c"]);
        eventually(SOON, "it ends with 0", || screen().contains("ended with 0").then_some(()));
        agent.daemon.signal(Signal::CONT);
        tmux(&["kill-server"]);
    }
}
