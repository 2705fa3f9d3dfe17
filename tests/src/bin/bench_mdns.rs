//! How long after avahi starts to publish a service the agent shows it, beside avahi's own browser.
//!
//! `./tests/bench mdns`, as root (build the agent first: `cargo build --release -p wayside`). Each line reads
//! `figure NAME VALUE UNIT`:
//!
//! * `mdns_to_visible_p50`, unit `ms`: from the start of `avahi-publish` until a watcher of `/v1/discovery/watch` has
//!   read the event that shows the service with its address. Probing takes its publisher about 0.8 s of it (RFC 6762, 8.1).
//! * `mdns_to_visible_avahi_browse_p50`: until `avahi-browse -p -r` has printed it with its address (`=`).
//! * `mdns_to_listed_avahi_browse_p50`: until it has printed its name (`+`).
//! * `mdns_later_than_avahi_p50`, `_max`: how much later in the same round the agent is than avahi-browse, both with the
//!   address; below 0, it is earlier.
//!
//! What is measured: 20 services, one after the other, each with a new name, published in one namespace; in a second
//! one are an avahi-daemon with the browser, and the agent, all started before.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use wayside_tests::figure::{millis, quantile, tell};
use wayside_tests::mdns::Avahi;
use wayside_tests::net::{Family, Net};
use wayside_tests::wayside::Wayside;

/// Who has shown an instance, and how much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// The agent, with its address.
    Agent,
    /// avahi-browse, its name.
    Listed,
    /// avahi-browse, with its address.
    Resolved,
}

type Sighting = (Instant, Seen, String);

fn main() {
    let mut net = Net::new();
    let (here, there) = (net.host(Family::Both), net.host(Family::Both));
    let publisher = Avahi::start(&there, "there");
    let browser = Avahi::start(&here, "here");
    let agent = Wayside::start(Some(&here), "id = \"gw-1\"\n");
    let (sender, sightings) = channel();
    let mut browse = browse(&browser, sender.clone());
    watch(&agent, sender);

    // The first one is no round: it shows that everybody listens.
    round(&publisher, &sightings, 0);
    let rounds: Vec<[f64; 3]> = (1..=ROUNDS).map(|number| round(&publisher, &sightings, number)).collect();
    let _ = browse.kill();
    let _ = browse.wait();

    let of = |index: usize| rounds.iter().map(|round| round[index]).collect::<Vec<f64>>();
    let later: Vec<f64> = rounds.iter().map(|[agent, _, resolved]| agent - resolved).collect();
    tell("mdns_to_visible_p50", quantile(&of(0), 0.5), "ms");
    tell("mdns_to_visible_avahi_browse_p50", quantile(&of(2), 0.5), "ms");
    tell("mdns_to_listed_avahi_browse_p50", quantile(&of(1), 0.5), "ms");
    tell("mdns_later_than_avahi_p50", quantile(&later, 0.5), "ms");
    tell("mdns_later_than_avahi_max", quantile(&later, 1.0), "ms");
}

/// Publishes one instance; milliseconds until the agent, until avahi-browse listed, and until it resolved it.
fn round(publisher: &Avahi, sightings: &Receiver<Sighting>, number: u16) -> [f64; 3] {
    let instance = format!("lamp-{number}");
    let start = Instant::now();
    let _published = publisher.publish(&instance, "_http._tcp", 9_000 + number, &["lat=48.8566", "lon=2.3522"]);
    let mut first = [None; 3];
    while first.contains(&None) {
        let waited = sightings.recv_timeout(PATIENCE);
        let (at, seen, named) =
            waited.unwrap_or_else(|_| panic!("of {instance}, agent, name and address are seen after {first:?}"));
        if named == instance {
            let place = &mut first[seen as usize];
            *place = place.or(Some(millis(at - start)));
        }
    }
    first.map(Option::unwrap_or_default)
}

/// Every instance the agent tells of, from now on.
fn watch(agent: &Wayside, sender: Sender<Sighting>) {
    let mut events = agent.door.events("/v1/discovery/watch?service=http").expect("the agent lets us watch");
    thread::spawn(move || {
        while let Some((name, data)) = events.next_event() {
            let at = Instant::now();
            let id = data["id"].as_str().unwrap_or_default();
            let instance = id.split('.').next().unwrap_or_default().to_owned();
            let whole = name != "departed" && data["address"].is_string();
            if whole && sender.send((at, Seen::Agent, instance)).is_err() {
                return;
            }
        }
    });
}

/// Every line that avahi-browse prints, from now on.
fn browse(avahi: &Avahi, sender: Sender<Sighting>) -> Child {
    let mut command = avahi.tool("stdbuf");
    command.args(["-oL", "avahi-browse", "-p", "-r", "_http._tcp"]).stdout(Stdio::piped());
    let mut child = command.spawn().expect("avahi-browse starts");
    let lines = BufReader::new(child.stdout.take().expect("its output is a pipe")).lines();
    thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let at = Instant::now();
            let fields: Vec<&str> = line.split(';').collect();
            let (seen, instance) = match fields[..] {
                ["+", _, _, instance, ..] => (Seen::Listed, instance),
                ["=", _, _, instance, ..] => (Seen::Resolved, instance),
                _ => continue,
            };
            if sender.send((at, seen, instance.to_owned())).is_err() {
                return;
            }
        }
    });
    child
}

const ROUNDS: u16 = 20;
const PATIENCE: Duration = Duration::from_secs(10);
