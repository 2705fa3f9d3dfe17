//! What the agent takes while it has nothing to do, and how soon after its start it answers.
//!
//! `./tests/bench footprint`, as root (build the agent first: `cargo build --release -p wayside`). Each line reads
//! `figure NAME VALUE UNIT`:
//!
//! * `start_to_first_answer_p50`, `_max`, unit `ms`: 11 starts, from the start of the process until it has answered
//!   `POST /v1/discovery/services` with 200; entering the namespace is in it, and a state directory left by the last one.
//! * `rss_empty`, `rss_1000`, `rss_10000`, unit `MiB`: resident memory (VmRSS) with that many services, announced in
//!   JSON with a position by 50 others. The release build carries its symbols; pages of them are not resident.
//! * `rss_empty_private`, unit `MiB`: what of `rss_empty` is its own; the rest is the binary, mapped and shared.
//! * `wakeups_10000`, unit `1/s`: how often a thread of the agent waited and was woken, in the last of the spells below.
//! * `idle_cpu_0`, `idle_cpu_1000`, `idle_cpu_10000`, unit `percent`: of one core over 30 s in which nothing comes but
//!   what mosquitto, avahi and time bring by themselves. The spells follow one another in one life of the agent, and
//!   its mDNS questions become rarer with age: a later figure may be the lower one.
//! * `rss_avahi`, `rss_mosquitto`: theirs at the end, mosquitto with all 10,000 retained; `idle_cpu_avahi` and
//!   `idle_cpu_mosquitto`: theirs in the last of the three spells.
//! * `rss_etcd`, unit `MiB`: an etcd that holds nothing.
//! * `flash_a_day_neighbours`, unit `MB`: what the agent gave the kernel to write while 500 services of others were changed
//!   36,000 times, as often as in a day at 5 % a minute.
//! * `flash_a_day_own`, unit `MB`: the same for 500 services of its own. Each change is synced before it is acknowledged and
//!   comes alone, so that each costs a page of 4 KiB at the least; `flash_a_day_journal`: what of it was the journal's text.
//!
//! `TESTED_AGENT=target/cross/x86_64-unknown-linux-musl/dist/wayside` measures the static binary instead, and
//! `TESTED_AGENT=$PWD/target/cross/run-aarch64 ./tests/bench footprint emulated` that for ARM under qemu-user, as
//! `cross/test aarch64` left it there: the memory is the agent's own without the emulator's, the times are the emulator's,
//! and mDNS is off, since qemu-user lacks an option of its sockets.
//!
//! What is measured: the release build with defaults (mDNS on) and a broker, in a namespace of its own with mosquitto;
//! avahi-daemon in a second one on the same link.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use wayside_protocols::mqtt::cell::Cell;
use wayside_protocols::mqtt::topic::Topic;
use wayside_protocols::place::Position;
use wayside_tests::broker::free_port;
use wayside_tests::daemon::Daemon;
use wayside_tests::figure::{cpu_time, millis, quantile, tell};
use wayside_tests::http::Door;
use wayside_tests::mdns::Avahi;
use wayside_tests::net::{Family, Host, Net};
use wayside_tests::place::Scratch;
use wayside_tests::publisher::Publisher;
use wayside_tests::wait::{eventually, throughout};
use wayside_tests::wayside::{Wayside, binary};

fn main() {
    let mut net = Net::new();
    let (here, there) = (net.host(Family::Both), net.host(Family::Both));
    let scratch = Scratch::new();
    let port = free_port();
    let mosquitto = mosquitto(&here, port, &scratch);
    let avahi = Avahi::start(&there, "there");
    let emulated = std::env::args().any(|argument| argument == "emulated");
    let config = format!("id = \"gw-1\"\n[mdns]\nenabled = {}\n[mqtt]\nurl = \"mqtt://127.0.0.1:{port}\"\n", !emulated);

    let starts: Vec<f64> = (0..STARTS).map(|_| millis(first_answer(&here, &config, &scratch))).collect();
    tell("start_to_first_answer_p50", quantile(&starts, 0.5), "ms");
    tell("start_to_first_answer_max", quantile(&starts, 1.0), "ms");

    let agent = Wayside::start(Some(&here), &config);
    if !emulated {
        avahi.resolves("_wayside._tcp", "gw-1", PATIENCE);
    }
    let connected = || mosquitto.lines("New client connected").iter().any(|line| line.contains("gw-1")).then_some(());
    eventually(PATIENCE, "the agent is connected to mosquitto", connected);
    let mut publisher = Publisher::unix(&scratch.file("mqtt.sock"), "others").expect("mosquitto takes the others");
    let watched = [agent.daemon.pid(), avahi.daemon.pid(), mosquitto.pid()];
    let mut announced = 0;
    let (mut spent, mut woken) = ([0.0; 3], 0.0);
    for (services, name) in [(0, "empty"), (1_000, "1000"), (10_000, "10000")] {
        announce(&mut publisher, &agent, announced..services);
        announced = services;
        let before = (woken_up(agent.daemon.pid()), Instant::now());
        spent = idle(watched, &agent);
        woken = (woken_up(agent.daemon.pid()) - before.0) as f64 / before.1.elapsed().as_secs_f64();
        tell(&format!("rss_{name}"), mebibytes(&agent.daemon), "MiB");
        if services == 0 && !emulated {
            let status = format!("/proc/{}/status", agent.daemon.pid());
            tell("rss_empty_private", field(&status, "RssAnon:") as f64 / 1_024.0, "MiB");
        }
        tell(&format!("idle_cpu_{services}"), spent[0], "percent");
    }
    tell("wakeups_10000", woken, "1/s");
    tell("rss_avahi", mebibytes(&avahi.daemon), "MiB");
    tell("rss_mosquitto", mebibytes(&mosquitto), "MiB");
    tell("idle_cpu_avahi", spent[1], "percent");
    tell("idle_cpu_mosquitto", spent[2], "percent");
    tell("rss_etcd", mebibytes(&etcd(&there, &scratch)), "MiB");
    let before = written(agent.daemon.pid());
    (0..CHANGES).for_each(|change| publish(&mut publisher, change % CHANGED, change / CHANGED));
    let last = (CHANGES / CHANGED - 1).to_string();
    let round = || agent.ask("GET", "/v1/discovery/services/cp-499@post-49", None).json()["metadata"]["round"].clone();
    eventually(PATIENCE, "the agent knows the last change", || (round() == *last).then_some(()));
    tell("flash_a_day_neighbours", (written(agent.daemon.pid()) - before) as f64 / 1e6, "MB");
    drop(agent);
    flash();
}

/// Changes one after another of 500 registrations, a day's worth.
fn flash() {
    let agent = Wayside::start(None, "id = \"gw-1\"\n[mdns]\nenabled = false\n");
    let register = |number: u32| {
        agent.register(json!({
            "name": "charging", "id": format!("cp-{}", number % CHANGED), "address": "10.0.0.5", "port": 8080, "ttl_s": 86_400,
            "priority": number % 256,
            "location": {"lat": 48.8566, "lon": 2.3522}, "metadata": {"operator": "city", "plug": "type2"}
        }))
    };
    (0..CHANGED).for_each(|number| drop(register(number)));
    let before = (written(agent.daemon.pid()), agent.metric(&["state_bytes_written"]));
    (CHANGED..CHANGED + CHANGES).for_each(|number| drop(register(number)));
    tell("flash_a_day_own", (written(agent.daemon.pid()) - before.0) as f64 / 1e6, "MB");
    tell("flash_a_day_journal", (agent.metric(&["state_bytes_written"]) - before.1) / 1e6, "MB");
}

/// What a process has had written to disk so far, bytes: whole pages, as the kernel counts them.
fn written(pid: u32) -> u64 {
    field(&format!("/proc/{pid}/io"), "write_bytes:")
}

/// How often the threads of a process waited so far.
fn woken_up(pid: u32) -> u64 {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads.map(|thread| field(&thread.path().join("status").to_string_lossy(), "voluntary_ctxt_switches:")).sum()
}

fn field(path: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    value.and_then(|value| value.split_whitespace().next()).and_then(|value| value.parse().ok()).unwrap_or(0)
}

/// An etcd inside `host`, alone.
fn etcd(host: &Host, scratch: &Scratch) -> Daemon {
    let mut command = host.command("etcd");
    command.arg("--data-dir").arg(scratch.file("etcd"));
    let mut daemon = Daemon::start("etcd", command, scratch.path());
    daemon.says("ready to serve client requests", PATIENCE);
    daemon
}

/// A mosquitto inside `host`, with a Unix socket `mqtt.sock` for those outside.
fn mosquitto(host: &Host, port: u16, scratch: &Scratch) -> Daemon {
    let socket = scratch.file("mqtt.sock");
    let config = scratch.write(
        "mosquitto.conf",
        &format!(
            "listener {port} 127.0.0.1\nlistener 0 {}\nallow_anonymous true\nuser root\nmax_queued_messages 0\n\
             log_type all\nconnection_messages true\n",
            socket.display()
        ),
    );
    let mut command = host.command("mosquitto");
    command.arg("-c").arg(config);
    let daemon = Daemon::start("mosquitto", command, scratch.path());
    eventually(PATIENCE, "mosquitto accepts connections", || Publisher::unix(&socket, "first").ok());
    daemon
}

/// How long one start takes, until the first answer to a question.
fn first_answer(host: &Host, config: &str, scratch: &Scratch) -> Duration {
    let socket = scratch.file("agent.sock");
    let own = format!(
        "[api]\nlisten = \"unix:{}\"\n[state]\ndir = \"{}\"\n",
        socket.display(),
        scratch.file("state").display()
    );
    let config = scratch.write("wayside.toml", &format!("{config}\n{own}"));
    let door = Door::Unix(socket);
    let question =
        json!({"service_name": "http", "constraints": {"location": {"lat": 48.8566, "lon": 2.3522, "radius_m": 100}}});
    let mut command: Command = host.command(binary());
    command.arg("run").arg("--config").arg(config);

    let start = Instant::now();
    let mut agent = Daemon::start("wayside", command, scratch.path());
    loop {
        let reply = door.ask("POST", "/v1/discovery/services", Some(&question));
        let taken = start.elapsed();
        if reply.is_ok_and(|reply| reply.status == 200) {
            agent.stop();
            return taken;
        }
        assert!(taken < PATIENCE, "no answer within {PATIENCE:?}:\n{}", agent.log());
        thread::park_timeout(Duration::from_millis(1));
    }
}

/// Announces services `numbers`, a hundred at a time, and waits until the agent knows them.
fn announce(publisher: &mut Publisher, agent: &Wayside, numbers: std::ops::Range<u32>) {
    for number in numbers {
        publish(publisher, number, 0);
        if number % 100 == 99 {
            let known = || {
                let health = agent.ask("GET", "/v1/discovery/health", None).json();
                health["metrics"]["services"].as_u64().filter(|known| *known > u64::from(number))
            };
            eventually(PATIENCE, &format!("the agent knows {number} services"), known);
        }
    }
}

/// Says service `number` of another agent, with something of `round` in it.
fn publish(publisher: &mut Publisher, number: u32, round: u32) {
    let centre = Position::new(48.8566, 2.3522).expect("the centre is a place");
    let position = centre.moved(f64::from(number % 360), f64::from(number) / 2.0);
    let topic = Topic::Announcement {
        cell: Cell::at(&position),
        name: "charging".parse().expect("charging is a name"),
        agent: format!("post-{}", number % OTHERS).parse().expect("post-0 is an id"),
        id: format!("cp-{number}").parse().expect("cp-0 is a label"),
    };
    let payload = json!({
        "name": "charging", "address": format!("10.{}.{}.5", number / 250, number % 250), "port": 8080,
        "lat": position.latitude(), "lon": position.longitude(), "ttl_s": 3_600,
        "metadata": {"operator": "city", "plug": "type2", "round": round.to_string()}
    });
    publisher.publish(&topic.to_string(), payload.to_string().as_bytes(), true).expect("mosquitto takes it");
}

/// Processor time of each, percent of one core, after what was begun has been finished.
fn idle(pids: [u32; 3], agent: &Wayside) -> [f64; 3] {
    let alive = || Path::new("/proc").join(agent.daemon.pid().to_string()).exists();
    throughout(SETTLING, "the agent runs", alive);
    let (start, before) = (Instant::now(), pids.map(cpu_time));
    throughout(SPELL, "the agent runs", alive);
    let (time, after) = (start.elapsed(), pids.map(cpu_time));
    let percent = |index: usize| (after[index] - before[index]).as_secs_f64() / time.as_secs_f64() * 100.0;
    [percent(0), percent(1), percent(2)]
}

fn mebibytes(daemon: &Daemon) -> f64 {
    daemon.rss_kib() as f64 / 1_024.0
}

const STARTS: u32 = 11;
/// Services that are changed.
const CHANGED: u32 = 500;
/// 5 % of them a minute, for a day.
const CHANGES: u32 = CHANGED / 20 * 60 * 24;
const OTHERS: u32 = 50;
const SETTLING: Duration = Duration::from_secs(5);
const SPELL: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(20);
