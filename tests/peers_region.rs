//! Region and cloud with a real etcd behind them: what one edge offers another finds, whatever is killed on the way.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use wayside_tests::etcd::{Etcd, free_at};
use wayside_tests::wait::eventually;
use wayside_tests::wayside::Wayside;

#[test]
fn what_one_edge_offers_another_finds_through_any_node() {
    let mut etcd = Etcd::start(1);
    let (one, two) = (Node::start(&etcd, 1), Node::start(&etcd, 2));
    let (offers, asks) = (edge("gw-a", &[&one, &two], ""), edge("gw-b", &[&one, &two], ""));
    let id = offers.register(charger("cp1"));
    for node in [&one, &two] {
        node.agent.finds("charging", &id, SOON);
    }
    assert_eq!(etcd.keys("/wayside/s/"), ["/wayside/s/gw-a/cp1"]);
    let answer = found(&asks, "charging");
    assert_eq!((&answer["tier"], &answer["instances"][0]["id"]), (&json!("region"), &json!("cp1@gw-a")));
    assert_eq!(answer["unreached"], json!([]));

    // Any node may die. The question is another one, so that it is no answer from before.
    let mut one = one;
    one.agent.daemon.kill();
    let answer = eventually(SOON, "the other node answers", || {
        let answer = asks.answer(&json!({"service_name": "charging", "limit": 7}));
        (answer["tier"] == "region").then_some(answer)
    });
    assert_eq!(answer["instances"][0]["stale"], json!(false), "{answer}");

    // The engine may die: what is known is answered, what is new is taken once it is back, and nothing is lost.
    etcd.kill(0);
    eventually(SOON, "the node notices", || (two.health()["registry"]["footing"] == "lost").then_some(()));
    offers.register(charger("cp2"));
    two.agent.finds("charging", &id, SOON);
    etcd.revive(0);
    two.agent.finds("charging", "cp2@gw-a", Duration::from_secs(20));
    two.agent.finds("charging", &id, SOON);

    // A goodbye is heard at once, and a silence with the lease.
    let gone = offers.ask("DELETE", "/v1/discovery/registration/cp1", None);
    assert_eq!(gone.status, 204);
    two.agent.loses("charging", "cp1@gw-a", SOON);
    let mut offers = offers;
    offers.daemon.kill();
    two.agent.loses("charging", "cp2@gw-a", Duration::from_secs(15));
}

#[test]
fn a_region_that_is_gone_is_named_and_what_it_told_is_served_stale_after_a_reboot_offline() {
    let etcd = Etcd::start(1);
    let mut node = Node::start(&etcd, 1);
    let offers = edge("gw-a", &[&node], "");
    offers.register(charger("cp1"));
    node.agent.finds("charging", "cp1@gw-a", SOON);
    let mut asks = edge("gw-b", &[&node], "cache_ttl = \"1s\"\ncache_refresh = \"1s\"\n");
    assert_eq!(found(&asks, "charging")["tier"], "region");

    node.agent.daemon.kill();
    let answer = eventually(SOON, "the answer is stale", || {
        let answer = found(&asks, "charging");
        (answer["instances"][0]["stale"] == true).then_some(answer)
    });
    assert_eq!(answer["unreached"][0]["tier"], "region");
    let reason = answer["unreached"][0]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains(&node.address.to_string()) && reason.contains("refused"), "{reason}");
    assert_eq!(asks.cli(&["find", "charging"]).code, 3);
    assert_eq!(asks.cli(&["find", "parking"]).code, 3, "there is none, as far as anybody can know here");

    assert!(asks.daemon.stop().success());
    let asleep = answer["instances"][0]["age_ms"].as_u64().unwrap_or(0);
    let started = Instant::now();
    asks.begin_again();
    let answer = eventually(SOON, "it answers again", || {
        let question = json!({"service_name": "charging"});
        let reply = asks.door.ask("POST", "/v1/discovery/services", Some(&question)).ok()?;
        (reply.status == 200).then(|| reply.json())
    });
    let took = started.elapsed();
    let row = &answer["instances"][0];
    assert_eq!((&row["id"], &row["stale"], &row["tier"]), (&json!("cp1@gw-a"), &json!(true), &json!("region")));
    assert!(row["age_ms"].as_u64().unwrap_or(0) >= asleep, "it is older than before: {row}");
    assert!(
        took < Duration::from_millis(300 + 200),
        "{took:?}; the fixture looks every 20 ms, and builds are not release"
    );
}

#[test]
fn killing_the_leader_loses_nothing_that_was_acknowledged() {
    let mut etcd = Etcd::start(3);
    let node = Node::start(&etcd, 1);
    let offers = edge("gw-a", &[&node], "");
    offers.register(charger("before"));
    node.agent.finds("charging", "before@gw-a", SOON);
    let leader = etcd.leader();
    etcd.kill(leader);
    let killed = Instant::now();
    offers.register(charger("during"));
    node.agent.finds("charging", "during@gw-a", Duration::from_secs(20));
    println!("a write got through {} ms after the leader was killed", killed.elapsed().as_millis());
    node.agent.finds("charging", "before@gw-a", SOON);
    etcd.revive(leader);
    offers.register(charger("after"));
    node.agent.finds("charging", "after@gw-a", Duration::from_secs(20));
}

#[test]
fn a_node_that_slept_through_a_compaction_lists_everything_anew() {
    let mut etcd = Etcd::start(1);
    let (sleeper, awake) = (Node::start(&etcd, 1), Node::start(&etcd, 2));
    let offers = edge("gw-a", &[&awake], "");
    let ids = ["cp1", "cp2", "cp3"];
    ids.iter().for_each(|id| drop(offers.register(charger(id))));
    ids.iter().for_each(|id| drop(sleeper.agent.finds("charging", &format!("{id}@gw-a"), SOON)));
    sleeper.agent.daemon.signal(Signal::STOP);
    // Its watch breaks with the engine, and what happens then it can only learn by listing.
    etcd.kill(0);
    etcd.revive(0);
    offers.ask("DELETE", "/v1/discovery/registration/cp2", None);
    offers.register(charger("cp4"));
    awake.agent.finds("charging", "cp4@gw-a", Duration::from_secs(20));
    awake.agent.loses("charging", "cp2@gw-a", SOON);
    let revision = etcd.revision();
    etcd.command(&["compact", &revision.to_string()]);
    sleeper.agent.daemon.signal(Signal::CONT);
    sleeper.agent.finds("charging", "cp4@gw-a", Duration::from_secs(20));
    sleeper.agent.loses("charging", "cp2@gw-a", SOON);
    sleeper.agent.finds("charging", "cp1@gw-a", SOON);
    assert!(!sleeper.agent.daemon.lines("has forgotten the revision").is_empty());
}

#[test]
fn an_engine_restored_from_an_older_snapshot_is_told_what_it_lost() {
    let mut etcd = Etcd::start(1);
    let node = Node::start(&etcd, 1);
    let offers = edge("gw-a", &[&node], "");
    offers.register(charger("old"));
    node.agent.finds("charging", "old@gw-a", SOON);
    let snapshot = etcd.file("snapshot.db");
    etcd.command(&["snapshot", "save", &snapshot.display().to_string()]);
    offers.register(charger("new"));
    node.agent.finds("charging", "new@gw-a", SOON);
    etcd.restore(&snapshot);
    // Nobody is asked to do anything: the next sign of life shows that the engine holds less than is on offer.
    eventually(Duration::from_secs(30), "the engine has both again", || {
        (etcd.keys("/wayside/s/gw-a/").len() == 2).then_some(())
    });
    node.agent.finds("charging", "new@gw-a", SOON);
    assert!(offers.metric(&["upstream_resaid_total"]) >= 1.0);
}

#[test]
fn a_node_answers_nobody_before_it_has_caught_up_and_an_agent_of_a_former_life_is_refused() {
    let mut etcd = Etcd::start(1);
    etcd.kill(0);
    let at = free_at(IpAddr::V4(Ipv4Addr::new(127, 0, 3, 1)));
    let agent = Wayside::start_at(at, &Node::config(&etcd, 1));
    let question = json!({"service_name": "charging"});
    let refused = agent.ask("POST", "/v1/discovery/services", Some(&question));
    assert_eq!((refused.status, &refused.json()["type"]), (503, &json!("urn:wayside:problem:not-ready")));
    assert_eq!(agent.ask("GET", "/v1/discovery/health", None).json()["status"], "starting");
    etcd.revive(0);
    eventually(Duration::from_secs(20), "it has caught up", || {
        (agent.ask("POST", "/v1/discovery/services", Some(&question)).status == 200).then_some(())
    });

    let message = |epoch: u32, whole: bool| {
        json!({"agent": "gw-z", "kind": "gateway", "epoch": epoch, "lease_s": 60, "whole": whole,
            "rows": [{"id": "cp1", "name": "charging"}]})
    };
    let tell = |body: Value| agent.ask("POST", "/v1/registry/announcement", Some(&body));
    let unknown = tell(message(7, false)).json();
    assert_eq!((&unknown["whole"], &unknown["held"]), (&json!(true), &json!(0)), "a stranger says everything first");
    assert_eq!(tell(message(7, true)).json()["held"], 1);
    let former = tell(message(6, true));
    assert_eq!((former.status, &former.json()["type"]), (409, &json!("urn:wayside:problem:former-life")));
    let other = json!({"agent": "gw-z", "kind": "gateway", "epoch": 7, "lease_s": 60,
        "rows": [{"id": "cp1", "name": "charging", "agent": "gw-y"}]});
    let other = tell(other);
    assert_eq!(other.status, 400);
    assert!(other.body.contains("rows[0]: agent gw-y is not gw-z"), "{}", other.body);
}

#[test]
fn a_cloud_answers_where_the_region_has_nothing() {
    let registry = |n: u8, id: &str| {
        let at = free_at(IpAddr::V4(Ipv4Addr::new(127, 0, 3, n)));
        Node {
            address: at,
            agent: Wayside::start_at(at, &format!("id = \"{id}\"\n{QUIET}[registry]\nengine = \"memory\"\n")),
        }
    };
    let (region, cloud) = (registry(1, "region"), registry(2, "cloud"));
    let up = |tier: &str, node: &Node| upstream(tier, &[node], "");
    let offers = Wayside::start(None, &format!("id = \"far\"\n{QUIET}{}", up("cloud", &cloud)));
    let render = |id: &str, memory: &str| {
        json!({"name": "render", "id": id, "address": "10.0.0.9", "port": 80, "ttl_s": 600,
            "resources": {"cpu": 4, "memory": memory, "gpu": true, "price": 0.1}})
    };
    offers.register(render("big", "1GiB"));
    offers.register(render("small", "256MiB"));
    cloud.agent.finds("render", "small@far", SOON);
    let asks = Wayside::start(None, &format!("id = \"near\"\n{QUIET}{}{}", up("region", &region), up("cloud", &cloud)));
    let question = json!({"service_name": "render", "constraints": {"resources":
        {"cpu": ">=2", "memory": ">=512MiB", "gpu": true, "price": "<=0.2"}}});
    let answer = asks.answer(&question);
    let ids: Vec<&Value> = answer["instances"].as_array().into_iter().flatten().map(|row| &row["id"]).collect();
    assert_eq!((&answer["tier"], ids), (&json!("cloud"), vec![&json!("big@far")]), "{answer}");
    let outcomes: Vec<&Value> =
        answer["explain"].as_array().into_iter().flatten().map(|tier| &tier["outcome"]).collect();
    assert_eq!(outcomes, ["empty", "empty", "empty", "answered"]);
    let unknown = asks.answer(&json!({"service_name": "render", "constraints": {"resources": {"fpga": true}}}));
    assert!(unknown.to_string().contains("not stating a resource asked for"), "{unknown}");
}

/// A registry node with etcd behind it.
#[test]
fn a_service_without_an_address_is_reached_where_its_registry_was_reached_from() {
    let etcd = Etcd::start(1);
    let node = Node::start(&etcd, 1);
    let (offers, asks) = (edge("gw-a", &[&node], ""), edge("gw-b", &[&node], ""));
    let id = offers.register(json!({"name": "charging", "id": "cp1", "port": 8080, "ttl_s": 600}));
    node.agent.finds("charging", &id, SOON);
    let answer = found(&asks, "charging");
    let first = &answer["instances"][0];
    assert_eq!((&first["address"], &first["port"]), (&json!("127.0.0.1"), &json!(8080)), "{answer}");
}

struct Node {
    address: SocketAddr,
    agent: Wayside,
}

impl Node {
    fn start(etcd: &Etcd, n: u8) -> Self {
        let address = free_at(IpAddr::V4(Ipv4Addr::new(127, 0, 3, n)));
        let node = Self { address, agent: Wayside::start_at(address, &Self::config(etcd, n)) };
        eventually(SOON, "the node has caught up", || {
            (node.health()["registry"]["footing"] == "following").then_some(())
        });
        node
    }

    fn config(etcd: &Etcd, n: u8) -> String {
        format!(
            "id = \"r{n}\"\nkind = \"software\"\n{QUIET}[registry]\nengine = \"etcd\"\nendpoints = {}\n",
            etcd.endpoints()
        )
    }

    fn health(&self) -> Value {
        self.agent.ask("GET", "/v1/discovery/health", None).json()
    }
}

/// An edge that asks `nodes`, and tells them every two seconds that it is there.
fn edge(id: &str, nodes: &[&Node], more: &str) -> Wayside {
    Wayside::start(None, &format!("id = \"{id}\"\n{QUIET}{}", upstream("region", nodes, more)))
}

fn upstream(tier: &str, nodes: &[&Node], more: &str) -> String {
    let urls: Vec<String> = nodes.iter().map(|node| format!("\"http://{}\"", node.address)).collect();
    format!("[[upstream]]\ntier = \"{tier}\"\nurls = [{}]\nrefresh = \"2s\"\n{more}", urls.join(", "))
}

fn charger(id: &str) -> Value {
    json!({"name": "charging", "id": id, "address": "10.0.0.5", "port": 8080, "ttl_s": 600,
        "location": {"lat": 48.8566, "lon": 2.3522}})
}

fn found(agent: &Wayside, service: &str) -> Value {
    agent.answer(&json!({ "service_name": service }))
}

/// Nothing but what the test is about.
const QUIET: &str = "[mdns]\nenabled = false\n";
const SOON: Duration = Duration::from_secs(10);
