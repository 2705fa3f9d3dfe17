//! A region with NATS JetStream behind it, three servers of it: what one edge offers another finds, whatever is killed.
//!
//! The agent has to be built with `--features nats`, as `tests/run` does it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wayside_tests::etcd::free_at;
use wayside_tests::nats::Nats;
use wayside_tests::wait::{eventually, throughout};
use wayside_tests::wayside::Wayside;

#[test]
fn what_one_edge_offers_another_finds_through_any_node_and_any_server() {
    let mut nats = Nats::start(3);
    let (mut one, two) = (Node::start(&nats, 1), Node::start(&nats, 2));
    let (offers, asks) = (edge("gw-a", &[&one, &two]), edge("gw-b", &[&one, &two]));
    let id = offers.register(charger("cp:1"));
    for node in [&one, &two] {
        node.agent.finds("charging", &id, SOON);
    }
    let answer = asks.answer(&json!({"service_name": "charging"}));
    assert_eq!((&answer["tier"], &answer["instances"][0]["id"]), (&json!("region"), &json!("cp:1@gw-a")));

    // A node that starts late lists what is there; one that dies is not missed.
    one.agent.daemon.kill();
    let three = Node::start(&nats, 3);
    three.agent.finds("charging", &id, SOON);
    let answer = eventually(SOON, "the other node answers", || {
        let answer = asks.answer(&json!({"service_name": "charging", "limit": 7}));
        (answer["tier"] == "region").then_some(answer)
    });
    assert_eq!(answer["instances"][0]["stale"], json!(false), "{answer}");

    // The server that leads may die: nothing that was acknowledged is lost.
    let leader = nats.leader("KV_wayside");
    nats.kill(leader);
    let killed = Instant::now();
    offers.register(charger("during"));
    two.agent.finds("charging", "during@gw-a", LONG);
    println!("a write got through {} ms after the leader was killed", killed.elapsed().as_millis());
    two.agent.finds("charging", &id, SOON);
    nats.revive(leader);

    // A goodbye is heard at once, and a silence with the lease; the rows go with it.
    assert_eq!(offers.ask("DELETE", "/v1/discovery/registration/cp:1", None).status, 204);
    two.agent.loses("charging", "cp:1@gw-a", LONG);
    let mut offers = offers;
    offers.daemon.kill();
    two.agent.loses("charging", "during@gw-a", LONG);
    three.agent.loses("charging", "during@gw-a", LONG);
}

#[test]
fn an_agent_that_lives_is_not_forgotten_and_one_of_a_former_life_is_refused() {
    let nats = Nats::start(1);
    let (one, two) = (Node::start(&nats, 1), Node::start(&nats, 2));
    let message = |epoch: u32, whole: bool, id: &str| {
        json!({"agent": "gw-z", "kind": "gateway", "epoch": epoch, "lease_s": 3, "whole": whole,
            "rows": [{"id": id, "name": "charging"}]})
    };
    let tell = |node: &Node, body: Value| node.agent.ask("POST", "/v1/registry/announcement", Some(&body));
    let unknown = tell(&one, message(7, false, "a")).json();
    assert_eq!((&unknown["whole"], &unknown["held"]), (&json!(true), &json!(0)), "a stranger says everything first");
    assert_eq!(tell(&one, message(7, true, "a")).json()["held"], 1);
    two.agent.finds("charging", "a@gw-z", SOON);
    let former = tell(&two, message(6, true, "a"));
    assert_eq!((former.status, &former.json()["type"]), (409, &json!("urn:wayside:problem:former-life")));
    // Whichever node hears it renews the lease of the agent, and with it all it offers.
    let (mut turn, alive) =
        ([&one, &two].into_iter().cycle(), json!({"agent": "gw-z", "kind": "gateway", "epoch": 7, "lease_s": 3}));
    throughout(Duration::from_secs(8), "the agent is there", || {
        let reply = turn.next().map(|node| tell(node, alive.clone()));
        reply.is_some_and(|reply| reply.status == 200) && two.agent.instance("charging", "a@gw-z").is_some()
    });
    one.agent.loses("charging", "a@gw-z", SOON);
    two.agent.loses("charging", "a@gw-z", SOON);
    eventually(SOON, "nothing of it is left but the word that it is gone", || {
        nats.messages("KV_wayside").filter(|left| *left <= 1)
    });
    // What was all it offered before is not what it offers in a new life.
    assert_eq!(tell(&two, message(8, true, "b")).json()["held"], 1);
    one.agent.finds("charging", "b@gw-z", SOON);
    assert!(one.agent.instance("charging", "a@gw-z").is_none());
}

#[test]
fn a_server_that_comes_back_is_followed_from_where_it_was_left() {
    let mut nats = Nats::start(1);
    let node = Node::start(&nats, 1);
    let offers = edge("gw-a", &[&node]);
    let id = offers.register(charger("cp1"));
    node.agent.finds("charging", &id, SOON);
    nats.kill(0);
    eventually(LONG, "the node notices", || (node.footing() == "lost").then_some(()));
    offers.register(charger("cp2"));
    node.agent.finds("charging", &id, SOON);
    nats.revive(0);
    node.agent.finds("charging", "cp2@gw-a", LONG);
    node.agent.finds("charging", &id, SOON);
    assert_eq!(node.footing(), "following");
}

struct Node {
    address: SocketAddr,
    agent: Wayside,
}

impl Node {
    fn start(nats: &Nats, n: u8) -> Self {
        let address = free_at(IpAddr::V4(Ipv4Addr::new(127, 0, 6, n)));
        let registry = format!("[registry]\nengine = \"nats\"\nendpoints = {}\n", nats.endpoints());
        let config = format!("id = \"r{n}\"\nkind = \"software\"\n{QUIET}{registry}");
        let node = Self { address, agent: Wayside::start_at(address, &config) };
        eventually(LONG, "the node has caught up", || (node.footing() == "following").then_some(()));
        node
    }

    fn footing(&self) -> Value {
        self.agent.ask("GET", "/v1/discovery/health", None).json()["registry"]["footing"].clone()
    }
}

fn edge(id: &str, nodes: &[&Node]) -> Wayside {
    let urls: Vec<String> = nodes.iter().map(|node| format!("http://{}", node.address)).collect();
    let up = format!("[[upstream]]\ntier = \"region\"\nurls = {urls:?}\nrefresh = \"2s\"\n");
    Wayside::start(None, &format!("id = \"{id}\"\n{QUIET}{up}"))
}

fn charger(id: &str) -> Value {
    json!({"name": "charging", "id": id, "address": "10.0.0.5", "port": 8080, "ttl_s": 600,
        "location": {"lat": 48.8566, "lon": 2.3522}})
}

const QUIET: &str = "[mdns]\nenabled = false\n";
const SOON: Duration = Duration::from_secs(10);
/// An election takes five seconds, and a pause after a failure as much.
const LONG: Duration = Duration::from_secs(40);
