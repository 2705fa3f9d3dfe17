//! What only a kernel shows: agents on real interfaces find each other, lose each other and find each other again.

use std::time::Duration;

use serde_json::json;
use wayside_tests::mdns::{Avahi, zeroconf};
use wayside_tests::net::{Family, Host, LAN, Net};
use wayside_tests::place::Scratch;
use wayside_tests::wait::throughout;
use wayside_tests::wayside::Wayside;

#[test]
fn the_link_carries_the_multicast_of_others_both_ways() {
    let mut net = Net::new();
    let scratch = Scratch::new();
    let (left, right) = (net.host(Family::Both), net.host(Family::Both));
    let avahi = Avahi::start(&left, "left");
    let mut python = zeroconf(&right, scratch.path());

    python.tell("browse _http._tcp");
    let _published = avahi.publish("lamp", "_http._tcp", 8080, &["colour=red"]);
    python.says("seen + lamp._http._tcp.local.", SOON);
    python.tell("add _http._tcp door 8081 state=open");
    avahi.resolves("_http._tcp", "door", SOON);
}

#[test]
fn two_agents_find_each_other_over_ipv4_only() {
    let mut net = Net::new();
    let (left, right) = (net.host(Family::V4), net.host(Family::V4));
    let (a, b) = (agent(&left, "a"), agent(&right, "b"));

    assert_eq!(a.finds("wayside", "b", SOON)["address"], right.v4().to_string());
    assert_eq!(b.finds("wayside", "a", SOON)["address"], left.v4().to_string());
}

#[test]
fn two_agents_find_each_other_over_ipv6_link_local_only() {
    let mut net = Net::new();
    let (left, right) = (net.host(Family::V6), net.host(Family::V6));
    let (a, b) = (agent(&left, "a"), agent(&right, "b"));

    for (reader, id, host) in [(&a, "b", &right), (&b, "a", &left)] {
        let found = reader.finds("wayside", id, SOON);
        let address = found["address"].as_str().unwrap_or_default();
        let local = host.link_local().expect("a link-local address").to_string();
        assert!(address.starts_with(&local), "{address} is not {local}");
    }
}

#[test]
fn five_agents_find_each_other_and_what_each_offers() {
    let mut net = Net::new();
    let hosts: Vec<Host> = NAMES.iter().map(|_| net.host(Family::Both)).collect();
    let agents: Vec<Wayside> = hosts.iter().zip(NAMES).map(|(host, name)| agent(host, name)).collect();
    for agent in &agents {
        agent.register(json!({"name": "charging", "address": "10.77.0.200", "port": 8080, "ttl_s": 600}));
    }

    all_find_all(&agents);
    for agent in &agents {
        for other in NAMES {
            let offered = wayside_tests::wait::eventually(SOON, &format!("charging of {other}"), || {
                agent.instances("charging").into_iter().find(|row| offered_by(row, other))
            });
            assert_eq!(offered["port"], 8080);
        }
    }
}

#[test]
fn five_agents_find_each_other_though_one_packet_in_twenty_is_lost() {
    let mut net = Net::new();
    let hosts: Vec<Host> = NAMES.iter().map(|_| net.host(Family::Both)).collect();
    hosts.iter().for_each(|host| host.lose(5));
    let agents: Vec<Wayside> = hosts.iter().zip(NAMES).map(|(host, name)| agent(host, name)).collect();

    all_find_all(&agents);
    eprintln!("{} packets were lost", hosts.iter().map(Host::lost).sum::<u64>());
}

#[test]
fn an_agent_that_stops_is_gone_from_its_neighbours_at_once() {
    let mut net = Net::new();
    let (left, right) = (net.host(Family::Both), net.host(Family::Both));
    let (a, mut b) = (agent(&left, "a"), agent(&right, "b"));
    a.finds("wayside", "b", SOON);

    let end = b.daemon.stop();

    assert!(end.success(), "{end}");
    a.loses("wayside", "b", Duration::from_secs(5));
}

#[test]
fn an_interface_that_goes_down_and_comes_back_brings_the_neighbours_back() {
    let mut net = Net::new();
    let (left, right) = (net.host(Family::Both), net.host(Family::Both));
    let (a, b) = (agent(&left, "a"), agent(&right, "b"));
    a.finds("wayside", "b", SOON);
    b.finds("wayside", "a", SOON);

    right.down();
    b.register(json!({"name": "charging", "address": "10.77.0.200", "port": 8080, "ttl_s": 600}));
    throughout(Duration::from_secs(2), "the cut-off agent answers for itself", || b.instances("charging").len() == 1);
    right.up();

    a.finds("charging", "", LATER);
    b.finds("wayside", "a", LATER);
    a.finds("wayside", "b", SOON);
}

#[test]
fn a_host_whose_cable_moves_to_another_bridge_finds_the_neighbours_there() {
    let mut net = Net::new();
    net.bridge("yard");
    let (left, rover, far) = (net.host(Family::Both), net.host(Family::Both), net.host(Family::Both));
    far.plug("yard");
    let (home, away) = (agent(&left, "home"), agent(&far, "away"));
    let roaming = agent(&rover, "roaming");
    home.finds("wayside", "roaming", SOON);
    assert!(roaming.instance("wayside", "away").is_none());

    rover.unplug();
    rover.plug("yard");

    roaming.finds("wayside", "away", LATER);
    away.finds("wayside", "roaming", LATER);
    rover.unplug();
    rover.plug(LAN);
    roaming.register(json!({"name": "charging", "address": "10.77.0.200", "port": 8080, "ttl_s": 600}));
    home.finds("charging", "", LATER);
}

fn agent(host: &Host, id: &str) -> Wayside {
    Wayside::start(Some(host), &format!("id = \"{id}\"\nkind = \"gateway\"\n"))
}

fn all_find_all(agents: &[Wayside]) {
    for (agent, own) in agents.iter().zip(NAMES) {
        for other in NAMES.into_iter().filter(|name| *name != own) {
            agent.finds("wayside", other, LATER);
        }
    }
}

fn offered_by(row: &serde_json::Value, agent: &str) -> bool {
    row["id"].as_str().is_some_and(|id| id.ends_with(&format!("@{agent}")))
}

const NAMES: [&str; 5] = ["ada", "bob", "cyd", "dan", "eve"];
const SOON: Duration = Duration::from_secs(10);
const LATER: Duration = Duration::from_secs(30);
