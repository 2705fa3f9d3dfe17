//! Others' mDNS agrees with ours: avahi and python-zeroconf are seen and see, whatever comes, changes and goes.

use std::time::Duration;

use serde_json::json;
use wayside_tests::mdns::{Avahi, zeroconf, zeroconf_with_ttl};
use wayside_tests::net::{Family, Host, Net};
use wayside_tests::place::Scratch;
use wayside_tests::wait::{eventually, throughout};
use wayside_tests::wayside::Wayside;

#[test]
fn avahi_sees_the_agent_with_its_position_and_sees_it_leave() {
    let (_net, left, right) = two_hosts();
    let avahi = Avahi::start(&right, "right");
    let mut browser = avahi.browser("_wayside._tcp");
    let mut agent = agent(&left);

    let line = avahi.resolves("_wayside._tcp", "gw-1", SOON);
    for pair in ["\"id=gw-1\"", "\"lat=48.8566", "\"lon=2.3522", "\"kind=gateway\""] {
        assert!(line.contains(pair), "{pair} is not in {line}");
    }
    agent.daemon.stop();
    browser.says("-;eth0;IPv4;gw-1;_wayside._tcp", SOON);
}

#[test]
fn avahi_sees_a_registered_service_and_sees_it_withdrawn() {
    let (_net, left, right) = two_hosts();
    let avahi = Avahi::start(&right, "right");
    let agent = agent(&left);
    let mut browser = avahi.browser("_charging._tcp");

    let id = agent.register(json!({"name": "charging", "address": left.v4().to_string(), "port": 8080, "ttl_s": 600}));
    let line = browser.says("=;eth0;IPv4;", SOON);
    assert!(line.contains(";8080;") && line.contains(&left.v4().to_string()), "{line}");
    let reply = agent.ask("DELETE", &format!("/v1/discovery/registration/{id}"), None);
    assert!((200..300).contains(&reply.status), "{reply:?}");
    browser.says("-;eth0;IPv4;", SOON);
}

#[test]
fn the_agent_sees_what_avahi_publishes_and_sees_it_leave() {
    let (_net, left, right) = two_hosts();
    let avahi = Avahi::start(&right, "right");
    let agent = agent(&left);
    let mut lamp = avahi.publish("Lamp One", "_http._tcp", 8080, &["lat=48.8566", "lon=2.3530", "colour=red"]);

    let seen = agent.finds("http", "lamp one", SOON);
    assert_eq!((&seen["address"], &seen["port"]), (&json!(right.v4().to_string()), &json!(8080)));
    assert_eq!(seen["metadata"]["colour"], "red");
    let near =
        json!({"service_name": "http", "constraints": {"location": {"lat": 48.8566, "lon": 2.3522, "radius_m": 100}}});
    let answer = agent.ask("POST", "/v1/discovery/services", Some(&near)).json();
    let distance = answer["instances"][0]["distance_m"].as_f64().unwrap_or(-1.0);
    assert!((58.0..60.0).contains(&distance), "{answer}");
    lamp.stop();
    agent.loses("http", "lamp one", SOON);
}

#[test]
fn the_agent_sees_what_zeroconf_says_changes_and_takes_back() {
    let (_net, left, right) = two_hosts();
    let scratch = Scratch::new();
    let agent = agent(&left);
    let mut python = zeroconf(&right, scratch.path());

    python.tell("add _http._tcp door 8081 state=open");
    assert_eq!(agent.finds("http", "door", SOON)["metadata"]["state"], "open");
    python.tell("txt _http._tcp door 8081 state=shut");
    eventually(SOON, "the changed TXT is seen", || {
        agent.instance("http", "door").filter(|row| row["metadata"]["state"] == "shut")
    });
    python.tell("bye _http._tcp door");
    agent.loses("http", "door", SOON);
}

#[test]
fn zeroconf_sees_the_agent_and_what_it_offers_come_and_go() {
    let (_net, left, right) = two_hosts();
    let scratch = Scratch::new();
    let mut python = zeroconf(&right, scratch.path());
    python.tell("browse _wayside._tcp");
    python.tell("browse _charging._tcp");
    let mut agent = agent(&left);

    let line = python.says("seen + gw-1._wayside._tcp.local.", SOON);
    assert!(line.contains(&left.v4().to_string()) && line.contains("\"id\": \"gw-1\""), "{line}");
    agent.register(json!({"name": "charging", "address": left.v4().to_string(), "port": 8080, "ttl_s": 600}));
    python.says("_charging._tcp.local. ", SOON);
    agent.daemon.stop();
    python.says("seen - gw-1._wayside._tcp.local.", SOON);
}

#[test]
fn a_neighbour_killed_without_goodbye_is_believed_until_its_time_is_up_and_no_longer() {
    let (_net, left, right) = two_hosts();
    let scratch = Scratch::new();
    let agent = agent(&left);
    let mut python = zeroconf_with_ttl(&right, scratch.path(), 10);
    python.tell("add _http._tcp door 8081");
    agent.finds("http", "door", SOON);

    python.kill();

    throughout(Duration::from_secs(4), "it is still believed", || agent.instance("http", "door").is_some());
    agent.loses("http", "door", Duration::from_secs(12));
}

#[test]
fn an_agent_whose_name_is_taken_takes_another_and_keeps_its_id() {
    let (_net, left, right) = two_hosts();
    let avahi = Avahi::start(&right, "right");
    let _squatter = avahi.publish("gw-1", "_wayside._tcp", 9, &["id=squatter"]);

    let agent = agent(&left);

    eventually(LATER, "the agent is announced under another name", || {
        let lines = avahi.browse("_wayside._tcp");
        lines.into_iter().find(|line| line.starts_with('=') && line.contains("\"id=gw-1\"") && !line.contains(";gw-1;"))
    });
    assert!(avahi.browse("_wayside._tcp").iter().any(|line| line.contains("\"id=squatter\"")));
    agent.finds("wayside", "squatter", SOON);
}

#[test]
fn a_thousand_instances_of_one_type_are_found_by_a_browser_from_before_and_one_from_after() {
    let mut net = Net::new();
    let (left, middle, right) = (net.host(Family::V4), net.host(Family::V4), net.host(Family::V4));
    let scratch = Scratch::new();
    let before = agent(&left);
    let mut python = zeroconf(&middle, scratch.path());

    python.tell("many _http._tcp lamp 1000");
    python.says("added 1000", Duration::from_secs(60));
    let count = |agent: &Wayside| agent.instances("http").len();
    eventually(LATER, "the one from before knows 1,000", || (count(&before) == 1000).then_some(()));

    let after = Wayside::start(Some(&right), "id = \"gw-2\"\n");
    let reached = eventually(Duration::from_secs(60), "the one from after knows 1,000", || {
        let known = count(&after);
        (known == 1000).then_some(known)
    });
    assert_eq!(reached, 1000);
    throughout(Duration::from_secs(2), "none is lost again", || count(&before) == 1000);
}

fn two_hosts() -> (Net, Host, Host) {
    let mut net = Net::new();
    let (left, right) = (net.host(Family::Both), net.host(Family::Both));
    (net, left, right)
}

fn agent(host: &Host) -> Wayside {
    Wayside::start(Some(host), "id = \"gw-1\"\nkind = \"gateway\"\n[position]\nlat = 48.8566\nlon = 2.3522\n")
}

const SOON: Duration = Duration::from_secs(10);
const LATER: Duration = Duration::from_secs(30);
