//! What the tiers beyond the neighbourhood cost, and how long they are away when something dies.
//!
//! `./tests/bench tiers` (etcd and redis-server installed: `tests/prepare`). Loopback on both sides of everything, with
//! two cores that carry the agents, the engine and the load. Each line reads `figure NAME VALUE UNIT`:
//!
//! * `tiers_local`, `tiers_region`, `tiers_cloud`, each `_p50` and `_p99`, unit `ms`: one question to the edge over HTTP,
//!   a new connection each; the question differs each time, so that no answer is from before. `tiers_region_cached`: the
//!   same question again.
//! * `tiers_local_tarpit_p99`, unit `ms`: a local question while 16 callers keep asking a region that never answers;
//!   `tiers_local_calm_p99` just before it.
//! * `tiers_coalesced`, unit `questions`: what the region was asked when 200 callers asked the same at once.
//! * `tiers_hit_ratio`, unit `percent`: answers from the cache of 5,000 questions, Zipf (s = 1) over 1,000 different ones.
//! * `tiers_region_qps_1e5` and `tiers_redis_qps_1e5`, unit `1/s`: questions within 500 m to a region of 100,000 services
//!   and GEOSEARCH to a redis-server of as many places, from 8 connections without pipelining each.
//! * `tiers_change_to_region`, `tiers_change_to_edge`, each `_p50` and `_p99`, unit `ms`: from the registration at one edge
//!   until a region's node of two on etcd says so in its watch, and until another edge that asks finds it.
//! * `tiers_node_gap`, `tiers_leader_gap`, unit `ms`: from `kill -9` of the node that is asked until the edge has an answer
//!   that is not from before; from `kill -9` of the leader of three etcds until a new registration is in the region.
//! * `tiers_state_bytes_per_day`, unit `bytes`: what an edge would write to its state directory in a day at the pace of the
//!   churn here: a registration a second, and the answers kept at the end.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wayside_protocols::place::Position;
use wayside_tests::broker::free_port;
use wayside_tests::daemon::Daemon;
use wayside_tests::etcd::{Etcd, free_at};
use wayside_tests::figure::{millis, quantile, tell};
use wayside_tests::http::Door;
use wayside_tests::place::Scratch;
use wayside_tests::wait::eventually;
use wayside_tests::wayside::Wayside;

fn main() {
    latency();
    crowd();
    changes();
    gaps();
}

/// One edge, one region and one cloud, both in memory.
fn latency() {
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
        // Another radius is another question.
        let took: Vec<f64> = (0..N).map(|n| asked(&edge, what, 1_000 + n, name)).collect();
        tell_both(&format!("tiers_{name}"), &took);
    }
    let took: Vec<f64> = (0..N).map(|_| asked(&edge, "theirs", 999, "region")).collect();
    tell_both("tiers_region_cached", &took);

    let before = edge.metric(&["upstream_questions_total"]);
    thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| {
                for _ in 0..5 {
                    asked(&edge, "theirs", 998, "region");
                }
            });
        }
    });
    tell("tiers_coalesced", edge.metric(&["upstream_questions_total"]) - before, "questions");

    let (hits, misses) = (edge.metric(&["cache_hits"]), edge.metric(&["cache_misses"]));
    let mut state = 7_u64;
    for _ in 0..5_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Inverse of the harmonic sum, near enough: rank = 1000^u.
        let rank = 1_000_f64.powf((state >> 11) as f64 / (1_u64 << 53) as f64) as u32;
        asked(&edge, "theirs", 5_000 + rank, "region");
    }
    let hits = edge.metric(&["cache_hits"]) - hits;
    tell("tiers_hit_ratio", 100.0 * hits / (hits + edge.metric(&["cache_misses"]) - misses), "percent");

    let written = edge.metric(&["state_bytes_written"]);
    (0..60).for_each(|n| drop(edge.register(service("churn", &format!("c{n}")))));
    let registered = edge.metric(&["state_bytes_written"]) - written;
    tell("tiers_state_bytes_per_day", registered / 60.0 * 86_400.0 + 48.0 * f64::from(64 << 10), "bytes");
    tarpit();
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
                for n in 0.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let name = format!("x{caller}-{n}");
                    let question = json!({"service_name": name, "deadline": "200ms"});
                    let _ = edge.door.ask("POST", SERVICES, Some(&question));
                }
            });
        }
        let busy: Vec<f64> = (0..N).map(|n| asked(&edge, "mine", 1_000 + n, "local")).collect();
        over.store(true, Ordering::Relaxed);
        tell("tiers_local_tarpit_p99", quantile(&busy, 0.99), "ms");
    });
}

/// A region of 100,000 services against a redis-server of as many places.
fn crowd() {
    let limits = "[limits]\nservices = 200000\nservices_per_source = 200000\nconnections = 64\n";
    let region = registry(3, limits, MEMORY);
    let Door::Tcp(address) = region.door else { panic!("a registry listens on TCP") };
    let redis = Redis::start();
    let mut places = Vec::new();
    for agent in 0..400_u32 {
        let rows: Vec<Value> = (0..250_u32)
            .map(|n| {
                let at = somewhere(agent * 250 + n);
                places.push(at);
                json!({"id": format!("s{n}"), "name": "charging", "lat": at.latitude(), "lon": at.longitude(),
                    "address": "10.0.0.5", "port": 8080, "resources": {"power_kw": 22}})
            })
            .collect();
        let body = json!({"agent": format!("gw-{agent}"), "kind": "gateway", "epoch": 1, "lease_s": 3_600,
            "whole": true, "rows": rows});
        let reply = region.ask("POST", "/v1/registry/announcement", Some(&body));
        assert_eq!(reply.status, 200, "{}", reply.body);
    }
    redis.fill(&places);
    eventually(Duration::from_secs(60), "all are there", || {
        (region.metric(&["wayside_services "]) >= 0.0).then_some(())
    });
    let question = |n: u32| {
        let at = somewhere(n.wrapping_mul(2_654_435_761));
        let body = json!({"service_name": "charging", "farthest_tier": "neighbour", "all_tiers": true,
            "constraints": {"location": {"lat": at.latitude(), "lon": at.longitude(), "radius_m": 500}}});
        let body = body.to_string();
        format!("POST {SERVICES} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    };
    let ours = load(address, &question, &mut |lines| {
        let mut length = 0;
        loop {
            let mut line = String::new();
            lines.read_line(&mut line).expect("a reply");
            if let Some(given) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = given.trim().parse().expect("a length");
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        lines.read_exact(&mut body).expect("a body");
    });
    tell("tiers_region_qps_1e5", ours, "1/s");
    let search = |n: u32| {
        let at = somewhere(n.wrapping_mul(2_654_435_761));
        resp(&[
            "GEOSEARCH",
            "g",
            "FROMLONLAT",
            &at.longitude().to_string(),
            &at.latitude().to_string(),
            "BYRADIUS",
            "500",
            "m",
            "ASC",
            "COUNT",
            "10",
            "WITHDIST",
            "WITHCOORD",
        ])
    };
    let theirs = load(redis.address, &search, &mut |lines| {
        read_resp(lines);
    });
    tell("tiers_redis_qps_1e5", theirs, "1/s");
}

/// From a change to where it is seen.
fn changes() {
    let etcd = Etcd::start(1);
    let on_etcd = format!("[registry]\nengine = \"etcd\"\nendpoints = {}\n", etcd.endpoints());
    let (one, two) = (registry(4, "", &on_etcd), registry(5, "", &on_etcd));
    let offers = Wayside::start(None, &format!("id = \"a\"\n{QUIET}{}", upstream("region", &[&one], "")));
    let asks = Wayside::start(None, &format!("id = \"b\"\n{QUIET}{}", upstream("region", &[&two], "")));
    // What is told by a watch of the other node.
    let mut events = two.door.events("/v1/discovery/watch?service=charging").expect("a watch");
    let (mut region, mut edge) = (Vec::new(), Vec::new());
    for n in 0..100 {
        let id = format!("cp{n}");
        let started = Instant::now();
        offers.register(service("charging", &id));
        loop {
            let (name, data) = events.next_event().expect("an event");
            if name == "appeared" && data["id"] == format!("{id}@a") {
                break;
            }
        }
        region.push(millis(started.elapsed()));
        let name = format!("only-{n}");
        let started = Instant::now();
        offers.register(service(&name, &format!("only-{n}")));
        for attempt in 0.. {
            // Another radius is another question: nothing is from before.
            let question = json!({"service_name": name, "limit": 1 + attempt % 900});
            let reply = asks.ask("POST", SERVICES, Some(&question)).json();
            if reply["tier"] == "region" {
                break;
            }
        }
        edge.push(millis(started.elapsed()));
    }
    tell_both("tiers_change_to_region", &region);
    tell_both("tiers_change_to_edge", &edge);
}

/// How long something is away when somebody dies.
fn gaps() {
    let mut etcd = Etcd::start(3);
    let on_etcd = format!("[registry]\nengine = \"etcd\"\nendpoints = {}\n", etcd.endpoints());
    let (mut one, two) = (registry(6, "", &on_etcd), registry(7, "", &on_etcd));
    let edge = Wayside::start(None, &format!("id = \"edge\"\n{QUIET}{}", upstream("region", &[&one, &two], "")));
    let offers = Wayside::start(None, &format!("id = \"a\"\n{QUIET}{}", upstream("region", &[&two], "")));
    offers.register(service("charging", "before"));
    two.finds("charging", "before@a", SOON);
    let leader = etcd.leader();
    let started = Instant::now();
    etcd.kill(leader);
    offers.register(service("charging", "after"));
    two.finds("charging", "after@a", Duration::from_secs(30));
    tell("tiers_leader_gap", millis(started.elapsed()), "ms");
    let started = Instant::now();
    one.daemon.kill();
    for n in 1.. {
        let reply = edge.ask("POST", SERVICES, Some(&json!({"service_name": "charging", "limit": n}))).json();
        if reply["tier"] == "region" && reply["instances"][0]["stale"] == false {
            break;
        }
    }
    tell("tiers_node_gap", millis(started.elapsed()), "ms");
}

fn asked(edge: &Wayside, name: &str, radius: u32, tier: &str) -> f64 {
    let question =
        json!({"service_name": name, "constraints": {"location": {"lat": 48.85, "lon": 2.35, "radius_m": radius}}});
    let started = Instant::now();
    let reply = edge.ask("POST", SERVICES, Some(&question));
    let took = millis(started.elapsed());
    assert_eq!(reply.json()["tier"], tier, "{}", reply.body);
    took
}

/// Answers a second that eight connections get, each with one question at a time.
fn load(
    address: SocketAddr,
    question: &(impl Fn(u32) -> String + Sync),
    read: &mut (impl FnMut(&mut BufReader<TcpStream>) + Clone + Send),
) -> f64 {
    let answered = AtomicU64::new(0);
    let started = Instant::now();
    thread::scope(|scope| {
        for connection in 0..8_u32 {
            let (answered, mut read) = (&answered, read.clone());
            scope.spawn(move || {
                let stream = TcpStream::connect(address).expect("a connection");
                stream.set_nodelay(true).expect("an option");
                let mut lines = BufReader::new(stream);
                for n in 0.. {
                    if started.elapsed() > SPELL {
                        return;
                    }
                    lines.get_mut().write_all(question(n * 8 + connection).as_bytes()).expect("a question");
                    read(&mut lines);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    answered.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64()
}

struct Redis {
    address: SocketAddr,
    _daemon: Daemon,
    _scratch: Scratch,
}

impl Redis {
    fn start() -> Self {
        let (scratch, port) = (Scratch::new(), free_port());
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        let daemon = Daemon::start("redis-server", command, scratch.path());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        eventually(SOON, "redis-server listens", || TcpStream::connect(address).ok());
        Self { address, _daemon: daemon, _scratch: scratch }
    }

    fn fill(&self, places: &[Position]) {
        let mut lines = BufReader::new(TcpStream::connect(self.address).expect("a connection"));
        for (n, at) in places.iter().enumerate() {
            let (lon, lat) = (at.longitude().to_string(), at.latitude().to_string());
            lines
                .get_mut()
                .write_all(resp(&["GEOADD", "g", &lon, &lat, &format!("s{n}")]).as_bytes())
                .expect("a write");
            read_resp(&mut lines);
        }
    }
}

fn resp(words: &[&str]) -> String {
    let mut text = format!("*{}\r\n", words.len());
    for word in words {
        text += &format!("${}\r\n{word}\r\n", word.len());
    }
    text
}

fn read_resp(lines: &mut BufReader<TcpStream>) -> usize {
    let mut line = String::new();
    lines.read_line(&mut line).expect("a reply");
    let count: i64 = line[1..].trim().parse().unwrap_or(0);
    match line.as_bytes()[0] {
        b'*' => (0..count).map(|_| read_resp(lines)).sum(),
        b'$' if count >= 0 => {
            let mut bytes = vec![0; count as usize + 2];
            lines.read_exact(&mut bytes).expect("a word");
            1
        }
        _ => 1,
    }
}

/// Somewhere in a town of 20 by 20 km.
fn somewhere(n: u32) -> Position {
    let spread = |n: u32| f64::from(n.wrapping_mul(2_246_822_519) ^ (n >> 13)) / f64::from(u32::MAX);
    let (north, east) = (spread(n.wrapping_add(1)), spread(n.wrapping_mul(3_266_489_917).wrapping_add(7)));
    Position::new(48.75 + 0.18 * north, 2.20 + 0.27 * east).expect("a place near Paris")
}

fn registry(n: u8, more: &str, registry: &str) -> Wayside {
    let address = free_at(IpAddr::V4(Ipv4Addr::new(127, 0, 4, n)));
    let agent = Wayside::start_at(address, &format!("id = \"r{n}\"\nkind = \"software\"\n{QUIET}{more}{registry}"));
    let following =
        || (agent.ask("GET", "/v1/discovery/health", None).json()["registry"]["footing"] == "following").then_some(());
    eventually(SOON, "the registry has caught up", following);
    agent
}

fn upstream(tier: &str, nodes: &[&Wayside], more: &str) -> String {
    let urls: Vec<String> = nodes.iter().map(|node| format!("\"{}\"", node.door)).collect();
    format!("[[upstream]]\ntier = \"{tier}\"\nurls = [{}]\nrefresh = \"5s\"\n{more}", urls.join(", "))
}

fn service(name: &str, id: &str) -> Value {
    json!({"name": name, "id": id, "address": "10.0.0.5", "port": 8080, "ttl_s": 600, "location": {"lat": 48.85, "lon": 2.35}})
}

fn tell_both(name: &str, took: &[f64]) {
    tell(&format!("{name}_p50"), quantile(took, 0.5), "ms");
    tell(&format!("{name}_p99"), quantile(took, 0.99), "ms");
}

const QUIET: &str = "[mdns]\nenabled = false\n";
const PLACE: &str = "[position]\nlat = 48.85\nlon = 2.35\n";
const MEMORY: &str = "[registry]\nengine = \"memory\"\n";
const SERVICES: &str = "/v1/discovery/services";
const SOON: Duration = Duration::from_secs(20);
const SPELL: Duration = Duration::from_secs(5);
const N: u32 = 500;
