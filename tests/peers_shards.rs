//! A region of five shards, each with a part of a real etcd: every service lies with its three owners, and is found through
//! any of them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::json;
use wayside_protocols::registry::placement::{OWNERS, Shard, owners};
use wayside_tests::etcd::{Etcd, free_at};
use wayside_tests::wait::eventually;
use wayside_tests::wayside::Wayside;

#[test]
fn each_service_lies_with_its_owners_and_is_found_while_one_of_them_lives() {
    let etcd = Etcd::start(1);
    let mut nodes: Vec<Node> = (1..=SHARDS).map(|n| Node::start(&etcd, n)).collect();
    let (offers, asks) = (edge("gw-a", &nodes), edge("gw-b", &nodes));
    let shards: Vec<Shard> = (1..=SHARDS).map(|n| Shard { name: name(n).into(), weight: 1.0 }).collect();
    let mut wanted = vec![Vec::new(); nodes.len()];
    for service in services() {
        offers.register(json!({"name": service, "id": service, "address": "10.0.0.5", "port": 80, "ttl_s": 600,
            "location": {"lat": 48.8566, "lon": 2.3522}}));
        for owner in owners(&service, &shards) {
            wanted[owner].push(service.clone());
        }
    }
    for (n, wanted) in (1..).zip(&mut wanted) {
        wanted.sort();
        let held = || {
            let keys = etcd.keys(&format!("/{}/s/gw-a/", name(n)));
            keys.iter().filter_map(|key| key.rsplit('/').next().map(str::to_owned)).collect::<Vec<_>>()
        };
        eventually(SOON, "the shard holds what it owns", || (held() == *wanted).then_some(()));
    }
    assert_eq!(wanted.iter().map(Vec::len).sum::<usize>(), OWNERS * services().count());
    assert_eq!(etcd.keys("/").iter().filter(|key| key.contains("gw-b")).count(), 0, "who offers nothing says nothing");

    // One is asked, and speaks for the other two.
    let found = |service: &str| asks.answer(&json!({"service_name": service, "limit": 3}));
    for service in services() {
        let answer = found(&service);
        assert_eq!(answer["instances"][0]["id"], format!("{service}@gw-a"), "{answer}");
        assert_eq!((regions(&answer), answer["unreached"].as_array().map(Vec::len)), (1, Some(0)), "{answer}");
    }
    assert_eq!(found("nobody-offers-this")["instances"], json!([]));
    assert_eq!(regions(&found("nobody-offers-this-either")), 1, "one owner's word is enough");
    // Who names no service asks everybody.
    let all = asks.answer(
        &json!({"service_name": "*", "constraints": {"location": {"lat": 48.8566, "lon": 2.3522, "radius_m": 100}},
        "limit": 100}),
    );
    assert_eq!(all["instances"].as_array().map(Vec::len), Some(services().count()), "{all}");
    assert_eq!(regions(&all), usize::from(SHARDS));

    // A shard dies, then another: of three owners one is left.
    nodes[0].agent.daemon.kill();
    nodes[1].agent.daemon.kill();
    for service in services() {
        let answer = asks.answer(&json!({"service_name": service, "limit": 4}));
        let first = &answer["instances"][0];
        assert_eq!((&first["id"], &first["stale"]), (&json!(format!("{service}@gw-a")), &json!(false)), "{answer}");
    }
}

struct Node {
    address: SocketAddr,
    agent: Wayside,
}

impl Node {
    fn start(etcd: &Etcd, n: u8) -> Self {
        let address = free_at(IpAddr::V4(Ipv4Addr::new(127, 0, 7, n)));
        let registry =
            format!("[registry]\nengine = \"etcd\"\nprefix = \"/{}\"\nendpoints = {}\n", name(n), etcd.endpoints());
        let config = format!("id = \"r{n}\"\nkind = \"software\"\n{QUIET}{registry}");
        let node = Self { address, agent: Wayside::start_at(address, &config) };
        let health = || node.agent.ask("GET", "/v1/discovery/health", None).json();
        eventually(SOON, "the node has caught up", || (health()["registry"]["footing"] == "following").then_some(()));
        node
    }
}

fn edge(id: &str, nodes: &[Node]) -> Wayside {
    let shards = (1..).zip(nodes).map(|(n, node)| {
        format!(
            "[[upstream]]\ntier = \"region\"\nshard = \"{}\"\nurls = [\"http://{}\"]\nrefresh = \"2s\"\n",
            name(n),
            node.address
        )
    });
    Wayside::start(None, &format!("id = \"{id}\"\n{QUIET}{}", shards.collect::<String>()))
}

fn name(n: u8) -> String {
    format!("north-{n}")
}

fn services() -> impl Iterator<Item = String> {
    (0..20).map(|n| format!("service-{n:02}"))
}

/// How many upstreams had a say in an answer.
fn regions(answer: &serde_json::Value) -> usize {
    let explain = answer["explain"].as_array().into_iter().flatten();
    explain.filter(|report| report["tier"] == "region").count()
}

const SHARDS: u8 = 5;
const QUIET: &str = "[mdns]\nenabled = false\n";
const SOON: Duration = Duration::from_secs(10);
