//! Several regions and a cloud at once, and what becomes of them when links are cut, nodes are killed, a whole city goes dark,
//! or agents speak MQTT only.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wayside_tests::broker::Broker;
use wayside_tests::etcd::{Etcd, free_at};
use wayside_tests::net::{Family, Net};
use wayside_tests::wait::eventually;
use wayside_tests::wayside::Wayside;

#[test]
fn a_cut_link_is_a_line_in_the_answer_and_costs_no_local_one() {
    let mut net = Net::new();
    let host = net.host(Family::V4);
    let [region, cloud] = [1, 2].map(|n| Ipv4Addr::new(127, 0, 3, n));
    let registry = |id: &str, at: Ipv4Addr, more: &str| {
        let config = format!("id = \"{id}\"\n{QUIET}{MEMORY}{more}");
        Wayside::start_within(&host, SocketAddr::from((at, 7878)), &config)
    };
    let up = |tier: &str, at: Ipv4Addr| {
        format!(
            "[[upstream]]\ntier = \"{tier}\"\nurls = [\"http://{at}:7878\"]\nrefresh = \"1s\"\ntimeout = \"400ms\"\n\
             cache_ttl = \"1s\"\ncache_negative = \"1s\"\n"
        )
    };
    // The region tells the cloud what it offers itself.
    let mast = "[[service]]\nname = \"mast\"\nid = \"m\"\nport = 80\n";
    let _nodes = [registry("region", region, &format!("{mast}{}", up("cloud", cloud))), registry("cloud", cloud, "")];
    let edge = |id: &str, ups: &str| Wayside::start(Some(&host), &format!("id = \"{id}\"\n{QUIET}{ups}"));
    let near = edge("near", &up("region", region));
    let far = edge("far", &up("cloud", cloud));
    let asks = edge("asks", &format!("{}{}", up("region", region), up("cloud", cloud)));
    near.register(service("charging", "cp"));
    far.register(service("render", "gpu"));
    asks.register(service("mine", "own"));
    let ask = |name: &str| {
        let started = Instant::now();
        let answer = asks.answer(&json!({"service_name": name, "deadline": "1500ms"}));
        assert!(started.elapsed() < Duration::from_millis(1_500 + SLACK), "{name}: {:?}", started.elapsed());
        answer
    };
    let comes_from = |name: &str, tier: &str, stale: bool| {
        eventually(LONG, &format!("{name} from {tier}, stale: {stale}"), || {
            let answer = ask(name);
            (answer["tier"] == tier && answer["instances"][0]["stale"] == stale).then_some(answer)
        })
    };
    comes_from("charging", "region", false);
    comes_from("render", "cloud", false);
    let seen_by_cloud = |stale: bool| {
        eventually(LONG, &format!("the mast of the region, by the cloud, stale: {stale}"), || {
            let answer = far.answer(&json!({"service_name": "mast", "deadline": "1500ms"}));
            (answer["instances"][0]["stale"] == stale).then_some(())
        });
    };
    seen_by_cloud(false);

    host.cut(region);
    let answer = comes_from("charging", "region", true);
    assert!(answer["unreached"].to_string().contains("region"), "{answer}");
    comes_from("render", "cloud", false);
    assert_eq!(ask("mine")["unreached"], json!([]));
    host.mend();
    comes_from("charging", "region", false);

    host.cut(cloud);
    let answer = comes_from("render", "cloud", true);
    assert!(answer["unreached"].to_string().contains("cloud"), "{answer}");
    // The region has lost the cloud as well, and answers as before.
    comes_from("charging", "region", false);
    seen_by_cloud(true);
    host.cut(region);
    comes_from("charging", "region", true);
    assert_eq!(ask("mine")["instances"][0]["stale"], json!(false));
    host.mend();
    comes_from("charging", "region", false);
    comes_from("render", "cloud", false);
    seen_by_cloud(false);
}

#[test]
fn each_node_of_two_regions_is_killed_in_turn_and_nothing_that_was_acknowledged_is_lost() {
    let mut engines = [Etcd::start(1), Etcd::start(1)];
    let mut nodes: Vec<Wayside> = (0..4).map(|n| node(&engines[n / 2], n)).collect();
    let cloud = registry(9, MEMORY);
    let edges: Vec<Wayside> = (0..5)
        .map(|n| {
            let region = n % 2;
            let ups = format!(
                "{}{}",
                upstream("region", &[&nodes[2 * region], &nodes[2 * region + 1]]),
                upstream("cloud", &[&cloud])
            );
            Wayside::start(None, &format!("id = \"e{n}\"\n{QUIET}{ups}"))
        })
        .collect();
    edges.iter().for_each(|edge| drop(edge.register(service("mine", "own"))));
    let over = AtomicBool::new(false);
    let acknowledged: Vec<Vec<String>> = thread::scope(|scope| {
        let told: Vec<_> = edges
            .iter()
            .enumerate()
            .map(|(n, edge)| {
                scope.spawn({
                    let over = &over;
                    move || {
                        let mut ids = Vec::new();
                        // As many as one message tells, at the most.
                        while !over.load(Ordering::Relaxed) && ids.len() < 400 {
                            ids.push(edge.register(service(&format!("load{}", n % 2), &format!("s{}", ids.len()))));
                            let local = edge.answer(&json!({"service_name": "mine"}));
                            assert_eq!((&local["tier"], &local["unreached"]), (&json!("local"), &json!([])), "{local}");
                            thread::park_timeout(Duration::from_millis(50));
                        }
                        ids
                    }
                })
            })
            .collect();
        for node in &mut nodes {
            node.daemon.kill();
            let asked = Instant::now();
            let region = edges
                .iter()
                .all(|edge| edge.answer(&json!({"service_name": "nothing", "deadline": "1s"}))["tier"].is_null());
            assert!(region && asked.elapsed() < Duration::from_secs(5 + SLACK / 1_000), "{:?}", asked.elapsed());
            node.begin_again();
            follows(node);
        }
        engines[0].kill(0);
        engines[0].revive(0);
        over.store(true, Ordering::Relaxed);
        told.into_iter().map(|told| told.join().expect("no edge has failed")).collect()
    });
    for (n, ids) in acknowledged.iter().enumerate() {
        assert!(!ids.is_empty());
        let name = format!("load{}", n % 2);
        for node in &nodes[2 * (n % 2)..][..2] {
            eventually(LONG, &format!("all {} of edge {n} are there", ids.len()), || {
                let known: Vec<String> =
                    node.instances(&name).iter().filter_map(|row| row["id"].as_str().map(str::to_owned)).collect();
                ids.iter().all(|id| known.contains(id)).then_some(())
            });
        }
    }
}

#[test]
fn a_city_of_ten_thousand_that_goes_dark_is_forgotten_and_its_region_answers_all_the_while() {
    let mut etcd = Etcd::start(1);
    let limits = "[limits]\nservices = 50000\nservices_per_source = 50000\n";
    let engine = format!("{limits}[registry]\nengine = \"etcd\"\nendpoints = {}\n", etcd.endpoints());
    let region = registry(1, &engine);
    thread::scope(|scope| {
        // As many at once as the engine puts on disk together.
        for part in 0..32_u32 {
            let region = &region;
            scope.spawn(move || {
                for n in 0..313 {
                    let body = json!({"agent": format!("v{part}-{n}"), "kind": "vehicle", "epoch": 1, "lease_s": 90,
                        "whole": true, "rows": [{"id": "s", "name": "parking"}]});
                    // Where the engine has too much to do, an agent says it again.
                    eventually(LONG, "the engine takes it", || {
                        let reply = region.ask("POST", "/v1/registry/announcement", Some(&body));
                        (reply.status == 200).then_some(())
                    });
                }
            });
        }
    });
    let known = || region.metric(&["wayside_services"]);
    eventually(LONG, "all are there", || (known() >= 20_000.0).then_some(()));
    // An engine that starts again gives each lease its whole life anew: all of them end at the same moment.
    etcd.kill(0);
    etcd.revive(0);
    let alive = json!({"agent": "here", "kind": "gateway", "epoch": 1, "lease_s": 3_600, "whole": true,
        "rows": [{"id": "s", "name": "charging"}]});
    eventually(LONG, "one who is awake says so", || {
        (region.ask("POST", "/v1/registry/announcement", Some(&alive)).status == 200).then_some(())
    });
    region.finds("charging", "s@here", LONG);
    let mut slowest = Duration::ZERO;
    eventually(Duration::from_secs(180), "those in the dark are forgotten", || {
        let asked = Instant::now();
        let answer = region.answer(&json!({"service_name": "charging"}));
        slowest = slowest.max(asked.elapsed());
        assert_eq!(answer["instances"][0]["id"], "s@here", "{answer}");
        (region.instances("parking").is_empty() && known() < 10.0).then_some(())
    });
    println!("the slowest answer meanwhile took {} ms", slowest.as_millis());
    assert_eq!(etcd.keys("/wayside/s/"), ["/wayside/s/here/s"]);
}

#[test]
fn what_is_announced_over_mqtt_is_in_the_engine_and_so_at_every_node() {
    let (etcd, broker) = (Etcd::start(1), Broker::start());
    let engine = format!("[registry]\nengine = \"etcd\"\nendpoints = {}\n", etcd.endpoints());
    let mqtt = format!("[mqtt]\nurl = \"{}\"\n", broker.url());
    let (_hears, other) = (registry(1, &format!("{mqtt}{engine}")), registry(2, &engine));
    let mut edge = Wayside::start(None, &format!("id = \"gw-a\"\n{QUIET}{mqtt}"));
    edge.register(service("charging", "cp1"));
    other.finds("charging", "cp1@gw-a", LONG);
    assert_eq!(etcd.keys("/wayside/s/gw-a/"), ["/wayside/s/gw-a/cp1"]);
    // A shell script announces as well as an agent does.
    broker.retain("wayside/1/a/-/-/charging/script/cp9", r#"{"address":"10.0.0.9","port":80,"ttl_s":600}"#);
    other.finds("charging", "cp9@script", LONG);

    // What is withdrawn is gone, and so is all of one who says goodbye.
    assert_eq!(edge.ask("DELETE", "/v1/discovery/registration/cp1", None).status, 204);
    other.loses("charging", "cp1@gw-a", LONG);
    edge.register(service("charging", "cp2"));
    other.finds("charging", "cp2@gw-a", LONG);
    assert!(edge.daemon.stop().success());
    other.loses("charging", "cp2@gw-a", LONG);
    broker.publish(&["-V", "5", "-r", "-n", "-t", "wayside/1/a/-/-/charging/script/cp9"]);
    other.loses("charging", "cp9@script", LONG);
}

fn node(etcd: &Etcd, n: usize) -> Wayside {
    let engine = format!("[registry]\nengine = \"etcd\"\nendpoints = {}\n", etcd.endpoints());
    registry(u8::try_from(n + 1).unwrap_or(u8::MAX), &engine)
}

fn registry(n: u8, more: &str) -> Wayside {
    let at = free_at(IpAddr::V4(Ipv4Addr::new(127, 0, 7, n)));
    let agent = Wayside::start_at(at, &format!("id = \"r{n}\"\nkind = \"software\"\n{QUIET}{more}"));
    follows(&agent);
    agent
}

fn follows(agent: &Wayside) {
    eventually(LONG, "the node has caught up", || {
        let health = agent.door.ask("GET", "/v1/discovery/health", None).ok()?;
        (health.json()["registry"]["footing"] == "following").then_some(())
    });
}

fn upstream(tier: &str, nodes: &[&Wayside]) -> String {
    let urls: Vec<String> = nodes.iter().map(|node| node.door.to_string()).collect();
    format!("[[upstream]]\ntier = \"{tier}\"\nurls = {urls:?}\nrefresh = \"2s\"\n")
}

fn service(name: &str, id: &str) -> Value {
    json!({"name": name, "id": id, "address": "10.0.0.5", "port": 8080, "ttl_s": 600})
}

const QUIET: &str = "[mdns]\nenabled = false\n";
const MEMORY: &str = "[registry]\nengine = \"memory\"\n";
const LONG: Duration = Duration::from_secs(40);
/// Milliseconds over a deadline that are this machine's, which may have much else to do.
const SLACK: u64 = 1_000;
