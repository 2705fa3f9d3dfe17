//! What a question takes that ends at one tier or another.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use wayside_core::agent::Agent;
use wayside_core::agent::io::{Input, Output, Settings, Ticket};
use wayside_core::limits::Limits;
use wayside_core::query::{Centre, Near, Query, Tier};
use wayside_core::upstream::{self, Keeping, Line};
use wayside_protocols::place::{Distance, Position};
use wayside_protocols::service::Kind;
use wayside_protocols::time::Timestamp;
use wayside_tests::figure::{millis, quantile, tell};
use wayside_tests::http::Door;
use wayside_tests::wayside::Wayside;

use crate::{MEMORY, PLACE, QUIET, SERVICES, SOON, registry, service, tell_both, upstream, upstream_at};

/// One edge, one region and one cloud, both in memory.
pub(crate) fn run() {
    let (region, cloud) = (registry(1, "", MEMORY), registry(2, "", MEMORY));
    let up = format!("{}{}", upstream("region", &[&region], ""), upstream("cloud", &[&cloud], ""));
    let edge = Wayside::start(None, &format!("id = \"edge\"\n{QUIET}{PLACE}{up}"));
    let far = Wayside::start(None, &format!("id = \"far\"\n{QUIET}{PLACE}{}", upstream("cloud", &[&cloud], "")));
    let near = Wayside::start(None, &format!("id = \"near\"\n{QUIET}{PLACE}{}", upstream("region", &[&region], "")));
    edge.register(service("mine", "mine"));
    near.register(service("theirs", "theirs"));
    far.register(service("remote", "remote"));
    region.finds("theirs", "theirs@near", SOON);
    cloud.finds("remote", "remote@far", SOON);
    for (name, what) in [("local", "mine"), ("region", "theirs"), ("cloud", "remote")] {
        let took: Vec<f64> = (0..N).map(|n| asked(&edge, what, 1_000 + n, name)).collect();
        tell_both(&format!("tiers_{name}"), &took);
    }
    let took: Vec<f64> = (0..N).map(|_| asked(&edge, "theirs", 999, "region")).collect();
    tell_both("tiers_region_cached", &took);
    cache_get(&region);
    coalesced(&edge);
    hit_ratio(&edge);
    written(&edge);

    let urls = [&region, &cloud].map(|node| {
        let Door::Tcp(address) = node.door else { panic!("a registry listens on TCP") };
        vec![format!("http://{}", relay(address))]
    });
    let [region, cloud] = urls;
    let up = format!("{}{}", upstream_at("region", &region, ""), upstream_at("cloud", &cloud, ""));
    let edge = Wayside::start(None, &format!("id = \"remote-edge\"\n{QUIET}{PLACE}{up}"));
    for (name, what) in [("region", "theirs"), ("cloud", "remote")] {
        let took: Vec<f64> = (0..N / 5).map(|n| asked(&edge, what, 1_000 + n, name)).collect();
        tell_both(&format!("tiers_far_{name}"), &took);
    }
    tarpit();
}

fn coalesced(edge: &Wayside) {
    let before = edge.metric(&["upstream_questions_total"]);
    thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| {
                for _ in 0..5 {
                    asked(edge, "theirs", 998, "region");
                }
            });
        }
    });
    tell("tiers_coalesced", edge.metric(&["upstream_questions_total"]) - before, "questions");
}

fn hit_ratio(edge: &Wayside) {
    let counted = || [edge.metric(&["cache_hits"]), edge.metric(&["cache_misses"])];
    let before = counted();
    let mut state = 7_u64;
    for _ in 0..5_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Inverse of the harmonic sum, near enough: rank = 1000^u.
        let rank = 1_000_f64.powf((state >> 11) as f64 / (1_u64 << 53) as f64) as u32;
        asked(edge, "theirs", 5_000 + rank, "region");
    }
    let after = counted();
    let (hits, misses) = (after[0] - before[0], after[1] - before[1]);
    tell("tiers_hit_ratio", 100.0 * hits / (hits + misses), "percent");
}

fn written(edge: &Wayside) {
    let bytes = || edge.metric(&["state_bytes_written"]);
    (0..500).for_each(|n| drop(edge.register(service("churn", &format!("c{n}")))));
    let before = bytes();
    for n in 0..250 {
        let mut changed = service("churn", &format!("c{n}"));
        changed["priority"] = json!(n % 7 + 1);
        edge.register(changed);
    }
    let change = (bytes() - before) / 250.0;
    tell("tiers_state_bytes_per_day", change * 25.0 * 1_440.0 + 48.0 * f64::from(64 << 10), "bytes");
}

/// What a region that never answers costs those who do not need it.
fn tarpit() {
    let pit = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = pit.local_addr().expect("an address");
    thread::spawn(move || {
        let held: Vec<TcpStream> = pit.incoming().flatten().collect();
        drop(held);
    });
    let up = format!("[[upstream]]\ntier = \"region\"\nurls = [\"http://{address}\"]\nannounce = false\n");
    let edge = Wayside::start(None, &format!("id = \"edge\"\n{QUIET}{PLACE}{up}"));
    edge.register(service("mine", "mine"));
    let calm: Vec<f64> = (0..N).map(|n| asked(&edge, "mine", 1_000 + n, "local")).collect();
    tell("tiers_local_calm_p99", quantile(&calm, 0.99), "ms");
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for caller in 0..16 {
            let (edge, over) = (&edge, &over);
            scope.spawn(move || {
                let mut n = 0_u32;
                while !over.load(Ordering::Relaxed) {
                    n += 1;
                    let question = json!({"service_name": format!("x{caller}-{n}"), "deadline": "200ms"});
                    drop(edge.door.ask("POST", SERVICES, Some(&question)));
                    // Ten a second each: what is measured is the agent, not who gets a core.
                    thread::park_timeout(Duration::from_millis(100));
                }
            });
        }
        let busy: Vec<f64> = (0..N).map(|n| asked(&edge, "mine", 1_000 + n, "local")).collect();
        over.store(true, Ordering::Relaxed);
        tell("tiers_local_tarpit_p99", quantile(&busy, 0.99), "ms");
    });
}

/// The core alone, with what the region said.
fn cache_get(region: &Wayside) {
    let line = Line {
        tier: Tier::Region,
        nodes: vec!["region".into()],
        timeout: Duration::from_secs(1),
        refresh: None,
        keeping: Keeping::default(),
        shard: None,
    };
    let now = Timestamp::START;
    let mut agent = Agent::new(settings(upstream::Settings(vec![line])), now);
    let mut query = Query::new("theirs".parse().ok());
    let centre = Position::new(48.85, 2.35).expect("a place");
    query.near = Some(Near { centre: Centre::At(centre), radius: Distance::metres(997) });
    agent.handle(Input::Ask(Ticket(0), query.clone()), now);
    while let Some(output) = agent.poll_output() {
        if let Output::Upstream(exchange) = output {
            let reply = region.door.ask_raw("POST", SERVICES, &[], &exchange.body).expect("an answer");
            agent.handle(Input::Told(exchange.id, Ok(reply.body.as_bytes())), now);
        }
    }
    let started = Instant::now();
    for n in 1..=GETS {
        agent.handle(Input::Ask(Ticket(n), query.clone()), now);
        let Some(Output::Answer(_, answer)) = agent.poll_output() else { panic!("it is answered at once") };
        assert_eq!((answer.tier, answer.matches.len()), (Some(Tier::Region), 1));
    }
    tell("tiers_cache_get", started.elapsed().as_secs_f64() * 1e6 / GETS as f64, "us");
}

fn settings(upstream: upstream::Settings) -> Settings {
    Settings {
        id: "edge".parse().expect("an id"),
        kind: Kind::Gateway,
        version: "bench",
        epoch: 1,
        seed: 1,
        position: None,
        services: Vec::new(),
        restored: Vec::new(),
        mdns: false,
        browse: Vec::new(),
        announce_devices: false,
        things: None,
        api_port: None,
        rotate: None,
        events: false,
        upstream,
        kept: Vec::new(),
        limits: Limits::default(),
    }
}

/// A question for `name` around the edge; another radius is another question.
fn asked(edge: &Wayside, name: &str, radius: u32, tier: &str) -> f64 {
    let question =
        json!({"service_name": name, "constraints": {"location": {"lat": 48.85, "lon": 2.35, "radius_m": radius}}});
    let started = Instant::now();
    let reply = edge.ask("POST", SERVICES, Some(&question));
    let took = millis(started.elapsed());
    assert_eq!(reply.json()["tier"], tier, "{}", reply.body);
    took
}

/// Where `to` is reached 10 ms later each way.
fn relay(to: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let Ok(far) = TcpStream::connect(to) else { continue };
            for (from, into) in [(&near, &far), (&far, &near)] {
                let (from, into) = (from.try_clone().expect("a stream"), into.try_clone().expect("a stream"));
                into.set_nodelay(true).expect("an option");
                held(from, into);
            }
        }
    });
    address
}

/// Carries what `from` says to `into`, 10 ms later.
fn held(mut from: TcpStream, mut into: TcpStream) {
    let (sender, waiting) = mpsc::sync_channel::<(Instant, Vec<u8>)>(64);
    thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            if sender.send((Instant::now() + WAY, buffer[..length].to_vec())).is_err() {
                return;
            }
        }
    });
    thread::spawn(move || {
        for (due, bytes) in waiting {
            while let Some(left) = due.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                thread::park_timeout(left);
            }
            if into.write_all(&bytes).is_err() {
                return;
            }
        }
        drop(into.shutdown(std::net::Shutdown::Write));
    });
}

/// Questions of one kind.
const N: u32 = 500;
const GETS: u64 = 100_000;
/// How long a byte takes from the edge to a far registry, or back.
const WAY: Duration = Duration::from_millis(10);
