//! An agent at work for long: whether anything of it grows.
//!
//! `./tests/bench soak [MINUTES]`, by default 20 (needs mosquitto). 2,000 messages a second come by MQTT: announcements that
//! are renewed, changed and withdrawn, among 5,000 services of 200 others; the API is asked ten times a second. Each line
//! reads `figure NAME VALUE UNIT`; a line a minute on standard error shows how it went.
//!
//! * `soak_rss_first`, `soak_rss_last`, unit `MiB`: resident memory after a tenth of the time, when all services are known,
//!   and at the end; `soak_rss_most`: the most of all samples.
//! * `soak_files_first`, `soak_files_last`, unit `1`: open descriptors.
//! * `soak_threads_last`, unit `1`.
//! * `soak_messages`, unit `1/s`: what was published, until the agent knew the last of it.
//! * `soak_query_p50`, `_p99`, `_max`, unit `ms`: a question within 100 m over HTTP, connection included.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::json;
use wayside_protocols::mqtt::cell::Cell;
use wayside_protocols::mqtt::topic::Topic;
use wayside_protocols::place::Position;
use wayside_tests::broker::Broker;
use wayside_tests::figure::{millis, quantile, tell};
use wayside_tests::publisher::Publisher;
use wayside_tests::wait::eventually;
use wayside_tests::wayside::Wayside;

fn main() {
    let minutes: u32 = std::env::args().nth(1).map_or(20, |text| text.parse().expect("minutes, a whole number"));
    let broker = Broker::start();
    let config = format!("id = \"gw-1\"\n[mqtt]\nurl = \"{}\"\n[mdns]\nenabled = false\n", broker.url());
    let mut agent = Wayside::start(None, &config);
    let pid = agent.daemon.pid();
    let mut publisher = Publisher::tcp(broker.port(), "others").expect("mosquitto takes the others");
    eventually(Duration::from_secs(10), "the agent listens", || {
        publish(&mut publisher, 0, 0);
        agent.instance("charging", "cp-0").map(drop)
    });

    let start = Instant::now();
    let (mut first, mut most, mut times, mut said) = (None, 0.0_f64, Vec::new(), 0);
    for slice in 0..minutes * 60 * SLICES {
        for message in 0..PER_SLICE {
            publish(&mut publisher, slice, slice.wrapping_mul(PER_SLICE).wrapping_add(message));
        }
        times.push(question(&agent));
        let rss = agent.daemon.rss_kib() as f64 / 1_024.0;
        most = most.max(rss);
        let due = start + Duration::from_secs(1) / SLICES * (slice + 1);
        if let Some(early) = due.checked_duration_since(Instant::now()) {
            std::thread::park_timeout(early);
        }
        if slice >= minutes * 6 * SLICES && first.is_none() {
            first = Some((rss, files(pid)));
        }
        if slice / SLICES / 60 >= said {
            said += 1;
            eprintln!("minute {said:2}: {rss:.1} MiB, {} files, question {:.2} ms", files(pid), times[times.len() - 1]);
        }
    }
    assert!(agent.daemon.ended().is_none(), "the agent ended: {}", agent.daemon.log());
    publisher.publish(LAST, br#"{"name":"last","address":"10.0.0.5","port":1}"#, false).expect("mosquitto takes it");
    agent.finds("last", "last", Duration::from_secs(10));
    let seconds = start.elapsed().as_secs_f64();
    let first = first.unwrap_or_default();
    tell("soak_rss_first", first.0, "MiB");
    tell("soak_rss_last", agent.daemon.rss_kib() as f64 / 1_024.0, "MiB");
    tell("soak_rss_most", most, "MiB");
    tell("soak_files_first", first.1 as f64, "1");
    tell("soak_files_last", files(pid) as f64, "1");
    tell("soak_threads_last", fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count) as f64, "1");
    tell("soak_messages", f64::from(minutes * 60 * SLICES * PER_SLICE) / seconds, "1/s");
    for (name, share) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
        tell(&format!("soak_query_{name}"), quantile(&times, share), "ms");
    }
}

/// One message: seven of eight say a service anew with something changed, the eighth withdraws it.
fn publish(publisher: &mut Publisher, slice: u32, message: u32) {
    let number = message % SERVICES;
    let centre = Position::new(48.8566, 2.3522).expect("the centre is a place");
    let position = centre.moved(f64::from(number % 360), f64::from(number) / 4.0);
    let topic = Topic::Announcement {
        cell: Cell::at(&position),
        name: "charging".parse().expect("charging is a name"),
        agent: format!("post-{}", number % 200).parse().expect("post-0 is an id"),
        id: format!("cp-{number}").parse().expect("cp-0 is a label"),
    };
    let payload = if (message / SERVICES) % 8 == 7 {
        String::new()
    } else {
        json!({
            "name": "charging", "address": "10.0.0.5", "port": 8080, "ttl_s": 60, "metadata": {"round": slice.to_string()},
            "lat": position.latitude(), "lon": position.longitude(),
        })
        .to_string()
    };
    publisher.publish(&topic.to_string(), payload.as_bytes(), false).expect("mosquitto takes it");
}

fn question(agent: &Wayside) -> f64 {
    let begun = Instant::now();
    agent.answer(&json!({
        "service_name": "charging", "constraints": {"location": {"lat": 48.8566, "lon": 2.3522, "radius_m": 100}}
    }));
    millis(begun.elapsed())
}

fn files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

const LAST: &str = "wayside/1/a/-/-/last/others/last";
const SERVICES: u32 = 5_000;
/// Messages are sent, and a question asked, so many times a second.
const SLICES: u32 = 10;
const PER_SLICE: u32 = 200;
