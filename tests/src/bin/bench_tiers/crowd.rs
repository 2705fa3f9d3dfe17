//! A region as full as a city, beside a redis-server as full.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wayside_protocols::place::Position;
use wayside_tests::broker::free_port;
use wayside_tests::daemon::{Daemon, output};
use wayside_tests::figure::{cpu_time, tell};
use wayside_tests::http::Door;
use wayside_tests::place::Scratch;
use wayside_tests::wait::eventually;

use crate::{MEMORY, SERVICES, SOON, registry};

/// A region of 100,000 services against a redis-server of as many places.
pub(crate) fn run() {
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
    eventually(SOON, "all are there", || (region.metric(&["wayside_services"]) >= 100_000.0).then_some(()));
    let question = |n: u32| {
        let at = somewhere(n.wrapping_mul(2_654_435_761));
        let body = json!({"service_name": "charging", "farthest_tier": "neighbour", "all_tiers": true,
            "constraints": {"location": {"lat": at.latitude(), "lon": at.longitude(), "radius_m": 500}}});
        let body = body.to_string();
        format!("POST {SERVICES} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    };
    let (ours, cpu) = load(region.daemon.pid(), address, &question, read_http);
    tell("tiers_region_qps_1e5", ours, "1/s");
    tell("tiers_region_cpu", cpu, "us");
    tell("tiers_region_qps_wrk", wrk(address), "1/s");
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
    let (theirs, cpu) = load(redis.daemon.pid(), redis.address, &search, |lines| {
        read_resp(lines);
    });
    tell("tiers_redis_qps_1e5", theirs, "1/s");
    tell("tiers_redis_cpu", cpu, "us");
    tell("tiers_region_vs_redis", ours / theirs, "x");
}

/// As wrk sees it: eight connections, and another place in each question.
fn wrk(address: SocketAddr) -> f64 {
    let scratch = Scratch::new();
    let script = scratch.write("question.lua", QUESTION);
    let mut command = Command::new("wrk");
    command.args(["-t1", "-c8", "-d5s", "-s"]).arg(script).arg(format!("http://{address}{SERVICES}"));
    let said = output(&mut command);
    assert!(!said.contains("Non-2xx"), "{said}");
    let line = said.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    line.and_then(|rate| rate.trim().parse().ok()).unwrap_or_else(|| panic!("wrk says no rate: {said}"))
}

/// Answers a second that eight connections get, each with one question at a time; and the processor time of process
/// `pid` for each of them, in microseconds.
fn load(
    pid: u32,
    address: SocketAddr,
    question: &(impl Fn(u32) -> String + Sync),
    read: impl Fn(&mut BufReader<TcpStream>) + Sync,
) -> (f64, f64) {
    let answered = AtomicU64::new(0);
    let (started, before) = (Instant::now(), cpu_time(pid));
    thread::scope(|scope| {
        for connection in 0..8_u32 {
            let (answered, read) = (&answered, &read);
            scope.spawn(move || {
                let stream = TcpStream::connect(address).expect("a connection");
                stream.set_nodelay(true).expect("an option");
                let mut lines = BufReader::new(stream);
                let mut n = connection;
                while started.elapsed() < SPELL {
                    lines.get_mut().write_all(question(n).as_bytes()).expect("a question");
                    read(&mut lines);
                    answered.fetch_add(1, Ordering::Relaxed);
                    n += 8;
                }
            });
        }
    });
    let answered = answered.load(Ordering::Relaxed) as f64;
    let spent = cpu_time(pid).saturating_sub(before);
    (answered / started.elapsed().as_secs_f64(), spent.as_secs_f64() * 1e6 / answered)
}

fn read_http(lines: &mut BufReader<TcpStream>) {
    let (mut length, mut line) = (0, String::new());
    lines.read_line(&mut line).expect("a reply");
    assert!(line.contains(" 200 "), "{line}");
    while line != "\r\n" {
        line.clear();
        lines.read_line(&mut line).expect("a reply");
        if let Some(given) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = given.trim().parse().expect("a length");
        }
    }
    lines.read_exact(&mut vec![0; length]).expect("a body");
}

struct Redis {
    address: SocketAddr,
    daemon: Daemon,
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
        Self { address, daemon, _scratch: scratch }
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

/// How long one load lasts.
const SPELL: Duration = Duration::from_secs(5);
/// What wrk asks.
const QUESTION: &str = r#"
request = function()
    local lat, lon = 48.75 + 0.18 * math.random(), 2.20 + 0.27 * math.random()
    local body = string.format('{"service_name":"charging","farthest_tier":"neighbour","all_tiers":true,' ..
        '"constraints":{"location":{"lat":%.6f,"lon":%.6f,"radius_m":500}}}', lat, lon)
    return wrk.format("POST", nil, {["content-type"] = "application/json"}, body)
end
"#;
