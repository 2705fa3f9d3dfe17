//! Engines that speak TLS and ask who comes: a real etcd, and a real nats-server with a password and certificates both ways.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::{Value, json};
use wayside_tests::authority::certificates;
use wayside_tests::etcd::{Etcd, free_at};
use wayside_tests::nats::Nats;
use wayside_tests::place::Scratch;
use wayside_tests::wait::eventually;
use wayside_tests::wayside::Wayside;

#[test]
fn etcd_is_spoken_to_by_tls_and_believed_only_if_its_authority_is_known() {
    let dir = Scratch::new();
    certificates(&dir, &[("engine", "IP:127.0.2.1")]);
    let file = |name: &str| dir.file(name);
    let etcd = Etcd::start_secure([file("engine.pem"), file("engine.key"), file("ca.pem")]);
    let registry = format!("engine = \"etcd\"\nendpoints = {}\n", etcd.endpoints());

    let node = begin(&format!("{registry}ca_file = \"{}\"\n", file("ca.pem").display()));
    eventually(SOON, "the node follows", || (footing(&node) == "following").then_some(()));
    tell(&node);
    assert_eq!(etcd.keys("/wayside/s/"), ["/wayside/s/gw-z/a"]);
    node.finds("charging", "a@gw-z", SOON);

    let stranger = Scratch::new();
    certificates(&stranger, &[]);
    let node = begin(&format!("{registry}ca_file = \"{}\"\n", stranger.file("ca.pem").display()));
    refuses(&node, "invalid peer certificate");
}

#[test]
fn nats_is_shown_a_certificate_and_a_password_and_who_has_them_wrong_is_told_so() {
    let dir = Scratch::new();
    certificates(&dir, &[("engine", "IP:127.0.5.1"), ("node", "DNS:node")]);
    dir.write("password", "s3cret\n");
    dir.write("wrong", "guess\n");
    let file = |name: &str| dir.file(name).display().to_string();
    let more = format!(
        "authorization {{ user: wayside, password: s3cret }}\n\
         tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: true }}\n",
        file("engine.pem"),
        file("engine.key"),
        file("ca.pem")
    );
    let nats = Nats::start_with(1, "tls", &more);
    let config = |identity: bool, password: &str| {
        let mut config = format!(
            "engine = \"nats\"\nendpoints = {}\nca_file = \"{}\"\nusername = \"wayside\"\npassword_file = \"{}\"\n",
            nats.endpoints(),
            file("ca.pem"),
            file(password)
        );
        if identity {
            config += &format!("cert_file = \"{}\"\nkey_file = \"{}\"\n", file("node.pem"), file("node.key"));
        }
        config
    };
    let node = begin(&config(true, "password"));
    eventually(SOON, "the node follows", || (footing(&node) == "following").then_some(()));
    tell(&node);
    node.finds("charging", "a@gw-z", SOON);
    assert_eq!(nats.messages("KV_wayside"), Some(2));

    refuses(&begin(&config(true, "wrong")), "Authorization Violation");
    refuses(&begin(&config(false, "password")), "tls://127.0.5.1");
}

/// A node that need not come to follow its engine.
fn begin(registry: &str) -> Wayside {
    let address: SocketAddr = free_at(IpAddr::V4(Ipv4Addr::new(127, 0, 8, 1)));
    Wayside::begin_at(address, &format!("id = \"r1\"\nkind = \"software\"\n{QUIET}[registry]\n{registry}"))
}

fn footing(node: &Wayside) -> Value {
    let reply = node.door.ask("GET", "/v1/discovery/health", None);
    reply.map_or(Value::Null, |reply| reply.json()["registry"]["footing"].clone())
}

fn tell(node: &Wayside) {
    let body = json!({"agent": "gw-z", "kind": "gateway", "epoch": 7, "lease_s": 30, "whole": true,
        "rows": [{"id": "a", "name": "charging"}]});
    assert_eq!(node.ask("POST", "/v1/registry/announcement", Some(&body)).status, 200);
}

#[track_caller]
fn refuses(node: &Wayside, why: &str) {
    eventually(SOON, "the log says why", || node.daemon.log().contains(why).then_some(()));
    assert_eq!(footing(node), "catching-up", "{}", node.daemon.log());
}

const QUIET: &str = "[mdns]\nenabled = false\n";
const SOON: Duration = Duration::from_secs(15);
