//! Others' MQTT agrees with ours: mosquitto and its tools, and paho, whatever the broker does meanwhile.

use std::fmt::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wayside_tests::broker::Broker;
use wayside_tests::daemon::output;
use wayside_tests::place::{peer, python};
use wayside_tests::wait::{eventually, throughout};
use wayside_tests::wayside::Wayside;

#[test]
fn a_line_of_shell_announces_a_charger_that_find_prints_with_its_distance_until_its_time_is_up() {
    let broker = Broker::start();
    let agent = agent(&broker, "gw-1");
    let message = r#"{"name":"charging","address":"10.0.0.5","port":8080,"lat":48.8566,"lon":2.3522,"ttl_s":5}"#;
    broker.publish(&["-r", "-q", "1", "-t", "wayside/1/a/-/-/charging/shell/cp1", "-m", message]);

    agent.finds("charging", "cp1@shell", SOON);
    let near = ["find", "charging", "--near", "48.8566,2.3530", "--within"];
    let found = agent.cli(&[&near[..], &["100m"]].concat());
    assert_eq!(found.code, 0, "{found:?}");
    assert!(found.stdout.contains("59 m") || found.stdout.contains("59m"), "{found:?}");
    assert_eq!(agent.cli(&[&near[..], &["50m"]].concat()).code, 1);
    agent.loses("charging", "cp1@shell", Duration::from_secs(8));
    assert_eq!(agent.cli(&[&near[..], &["100m"]].concat()).code, 1);
}

#[test]
fn two_agents_on_one_broker_find_what_the_other_offers_and_see_it_withdrawn() {
    let broker = Broker::start();
    let (a, mut b) = (agent(&broker, "a"), agent(&broker, "b"));

    let id = b.register(charging(8080));
    a.finds("charging", &id, SOON);
    a.finds("wayside", "b", SOON);
    b.ask("DELETE", &format!("/v1/discovery/registration/{id}"), None);
    a.loses("charging", &id, SOON);
    eventually(SOON, "nothing retained is left of it", || broker.retained("wayside/1/a/#").is_empty().then_some(()));
    b.daemon.stop();
    a.loses("wayside", "b", SOON);
}

#[test]
fn an_agent_killed_without_goodbye_is_lost_by_its_will() {
    let broker = Broker::start();
    let (a, mut b) = (agent(&broker, "a"), agent(&broker, "b"));
    a.finds("wayside", "b", SOON);

    b.daemon.kill();

    a.loses("wayside", "b", LATER);
}

#[test]
fn a_broker_that_restarts_is_joined_again() {
    let mut broker = Broker::start();
    let (a, b) = (agent(&broker, "a"), agent(&broker, "b"));
    let first = b.register(charging(8080));
    a.finds("charging", &first, SOON);

    broker.daemon.stop();
    let second = b.register(charging(8081));
    broker.restart();

    a.finds("charging", &second, LATER);
    a.finds("charging", &first, SOON);
}

#[test]
fn a_broker_killed_and_without_memory_is_told_everything_again() {
    let mut broker = Broker::start();
    let (a, b) = (agent(&broker, "a"), agent(&broker, "b"));
    let id = b.register(charging(8080));
    a.finds("charging", &id, SOON);

    broker.daemon.kill();
    broker.forget();
    broker.restart();

    eventually(LATER, "announcement and presence are retained again", || {
        let retained = broker.retained("wayside/1/#");
        let told = |part: &str| retained.iter().any(|line| line.contains(part));
        (told("/charging/b/") && told("wayside/1/p/a ") && told("wayside/1/p/b ")).then_some(())
    });
    throughout(Duration::from_secs(3), "the neighbour is believed", || a.instance("charging", &id).is_some());
}

#[test]
fn fifty_registrations_while_the_broker_is_down_are_quick_and_all_arrive_when_it_is_back() {
    let mut broker = Broker::start();
    let (a, b) = (agent(&broker, "a"), agent(&broker, "b"));
    a.finds("wayside", "b", SOON);
    broker.daemon.kill();

    for number in 0..50 {
        let asked = Instant::now();
        b.register(charging(9000 + number));
        assert!(asked.elapsed() < Duration::from_secs(1), "registration {number} took {:?}", asked.elapsed());
    }
    assert_eq!(b.instances("charging").len(), 50);
    broker.restart();

    eventually(LATER, "the neighbour knows all fifty", || (a.instances("charging").len() == 50).then_some(()));
}

#[test]
fn what_the_same_agent_retained_in_a_previous_life_is_cleared_away() {
    let broker = Broker::start();
    broker.retain("wayside/1/a/-/-/charging/gw-1/old", &announcement(600));
    broker.retain("wayside/1/a/-/-/charging/other/kept", &announcement(600));

    let agent = agent(&broker, "gw-1");

    agent.finds("charging", "kept@other", SOON);
    eventually(SOON, "the old announcement is withdrawn", || {
        let retained = broker.retained("wayside/1/a/#");
        (retained.len() == 1 && retained[0].contains("/other/kept")).then_some(())
    });
    agent.loses("charging", "old@gw-1", SOON);
}

#[test]
fn a_will_from_an_older_life_is_ignored_and_one_from_this_life_believed() {
    let broker = Broker::start();
    let agent = agent(&broker, "gw-1");
    let presence = |state: &str, epoch: u32| {
        broker.retain("wayside/1/p/peer", &json!({"state": state, "epoch": epoch, "version": "0.1.0"}).to_string());
    };

    presence("online", 7);
    agent.finds("wayside", "peer", SOON);
    presence("lost", 6);
    throughout(Duration::from_secs(2), "the older will changes nothing", || {
        agent.instance("wayside", "peer").is_some()
    });
    presence("lost", 7);
    agent.loses("wayside", "peer", SOON);
}

#[test]
fn a_retained_message_of_11_kib_is_counted_and_the_connection_holds() {
    let broker = Broker::start();
    let mut huge = String::from(r#"{"name":"charging","address":"10.0.0.5","port":1,"metadata":{"#);
    for number in 0..550 {
        let _ = write!(huge, r#""key-{number:04}":"0123456","#);
    }
    huge.push_str(r#""z":"z"}}"#);
    assert!(huge.len() > 11 * 1024, "{}", huge.len());
    broker.retain("wayside/1/a/-/-/charging/shell/huge", &huge);
    broker.retain("wayside/1/a/-/-/charging/shell/small", &announcement(600));

    let agent = agent(&broker, "gw-1");

    agent.finds("charging", "small@shell", SOON);
    assert_eq!(agent.instance("charging", "huge@shell"), None);
    let connections =
        || broker.daemon.lines("New client connected").iter().filter(|line| line.contains("gw-1")).count();
    let before = connections();
    throughout(Duration::from_secs(5), "it stays connected", || connections() == before);
    assert_eq!(before, 1);
}

#[test]
fn paho_announces_in_json_and_asks_over_request_and_response() {
    let broker = Broker::start();
    let agent = agent(&broker, "gw-1");
    let port = broker.port().to_string();
    let paho = |args: &[&str]| output(Command::new(python()).arg(peer("paho_peer.py")).arg(&port).args(args));

    paho(&["announce", "wayside/1/a/-/-/charging/paho/cp2", &announcement(600)]);
    agent.finds("charging", "cp2@paho", SOON);
    let question = json!({"service_name": "charging", "constraints": {"location": {"lat": 48.8566, "lon": 2.3530, "radius_m": 100}}});
    let said = paho(&["ask", "gw-1", &question.to_string()]);

    let (correlated, answer) = said.split_once('\n').unwrap_or_default();
    assert_eq!(correlated, "correlated true");
    let answer: Value = serde_json::from_str(answer).expect("the answer is JSON");
    assert_eq!(answer["instances"][0]["id"], "cp2@paho", "{answer}");
    assert_eq!(answer, comparable(&agent, &question, &answer), "MQTT and HTTP answer alike");
}

#[test]
fn a_broker_that_wants_a_password_and_a_client_certificate_gets_both() {
    let broker = Broker::start_secure();
    let plain =
        Wayside::start(None, &format!("id = \"plain\"\n[mdns]\nenabled = false\n[mqtt]\nurl = \"{}\"\n", broker.url()));
    let secure =
        |id: &str| Wayside::start(None, &format!("id = \"{id}\"\n[mdns]\nenabled = false\n{}", broker.mqtt_section()));
    let (a, b) = (secure("a"), secure("b"));

    let id = b.register(charging(8080));
    a.finds("charging", &id, LATER);
    assert_eq!(plain.instance("charging", &id), None, "without a certificate nothing is heard");
}

/// The answer over HTTP, with what may differ between two moments taken from `other`.
fn comparable(agent: &Wayside, question: &Value, other: &Value) -> Value {
    let mut answer = agent.ask("POST", "/v1/discovery/services", Some(question)).json();
    for member in ["age_ms", "ttl_s", "sigma_m"] {
        answer["instances"][0][member] = other["instances"][0][member].clone();
    }
    answer
}

fn agent(broker: &Broker, id: &str) -> Wayside {
    let url = broker.url();
    Wayside::start(
        None,
        &format!("id = \"{id}\"\nkind = \"gateway\"\n[mdns]\nenabled = false\n[mqtt]\nurl = \"{url}\"\n"),
    )
}

fn charging(port: u16) -> Value {
    json!({"name": "charging", "address": "10.0.0.5", "port": port, "ttl_s": 600})
}

fn announcement(ttl_s: u32) -> String {
    json!({"name": "charging", "address": "10.0.0.5", "port": 8080, "lat": 48.8566, "lon": 2.3522, "ttl_s": ttl_s})
        .to_string()
}

const SOON: Duration = Duration::from_secs(10);
const LATER: Duration = Duration::from_secs(30);
