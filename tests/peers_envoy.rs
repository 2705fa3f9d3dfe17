//! A real Envoy that is told by an agent where a service is: by a file it watches and by REST. It falls back by itself.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wayside_tests::daemon::Daemon;
use wayside_tests::etcd::free_at;
use wayside_tests::figure::{millis, quantile, tell};
use wayside_tests::http::Door;
use wayside_tests::place::{Scratch, python};
use wayside_tests::wait::eventually;
use wayside_tests::wayside::Wayside;

#[test]
fn envoy_goes_to_the_region_when_the_local_instance_dies_and_comes_back() {
    let (near, far) = (Backend::start("near"), Backend::start("far"));
    let region_at = free();
    let region = Wayside::start_at(region_at, &format!("id = \"r1\"\n{QUIET}[registry]\nengine = \"memory\"\n"));
    let up = format!("[[upstream]]\ntier = \"region\"\nurls = [\"http://{region_at}\"]\nrefresh = \"1s\"\n");
    let elsewhere = Wayside::start(None, &format!("id = \"elsewhere\"\n{QUIET}{up}"));
    elsewhere.register(charging(&far, None));
    region.finds("charging", "", SOON);

    let scratch = Scratch::new();
    let agent = edge(&scratch, &format!("{up}announce = false\n"));
    let id = agent.register(charging(&near, Some(json!({"kind": "tcp", "interval_s": 1, "timeout_ms": 500}))));
    eventually(SOON, "its check has passed", || {
        agent.instance("charging", &id).filter(|row| row["health_status"] == "passing")
    });
    let envoy = Envoy::start(&scratch, &agent);
    for way in ["file", "rest"] {
        eventually(SOON, "Envoy asks the near one", || (envoy.get(way)? == "near").then_some(()));
    }
    let told = envoy.endpoints("file");
    assert_eq!(told[&near.at.to_string()], json!([0, "HEALTHY"]), "{told:?}");
    assert_eq!(told[&far.at.to_string()][0], 1, "the region comes after: {told:?}");

    let (place, died) = (near.at, Instant::now());
    drop(near);
    for way in ["file", "rest"] {
        eventually(SOON, "Envoy asks the far one", || (envoy.get(way)? == "far").then_some(()));
        eprintln!("{way}: the far one answers {:.0} ms after the near one died", millis(died.elapsed()));
    }
    let _again = Backend::at(place, "near");
    for way in ["file", "rest"] {
        eventually(SOON, "Envoy comes back", || (envoy.get(way)? == "near").then_some(()));
    }
}

#[test]
fn a_change_reaches_envoy_by_file_at_once_and_by_rest_with_its_next_question() {
    let scratch = Scratch::new();
    let agent = edge(&scratch, "");
    let backend = Backend::start("here");
    agent.register(charging(&backend, None));
    let envoy = Envoy::start(&scratch, &agent);
    for way in ["file", "rest"] {
        eventually(SOON, "Envoy knows it", || envoy.endpoints(way).get(&backend.at.to_string()).cloned());
        let mut times = Vec::new();
        for port in 1..=CHANGES {
            let at = format!("10.9.8.7:{port}");
            let info = json!({"name": "charging", "id": format!("cp-{way}"), "address": "10.9.8.7", "port": port});
            let began = Instant::now();
            agent.register(info);
            eventually(SOON, "Envoy knows of the change", || envoy.endpoints(way).get(&at).cloned());
            times.push(millis(began.elapsed()));
        }
        tell(&format!("envoy_{way}_p50"), quantile(&times, 0.5), "ms");
        tell(&format!("envoy_{way}_max"), quantile(&times, 1.0), "ms");
    }
}

#[test]
fn what_is_no_request_of_envoys_is_refused_by_name() {
    let scratch = Scratch::new();
    let agent = edge(&scratch, "");
    let ask = |body: Value| agent.ask("POST", "/v3/discovery:endpoints", Some(&body));
    let nothing = ask(json!({"resource_names": ["charging"]}));
    assert_eq!((nothing.status, &nothing.json()["resources"][0]["endpoints"]), (200, &json!([])), "{}", nothing.body);
    for (body, field) in [
        (json!({"resource_names": ["A B"]}), "resource_names"),
        (json!({"type_url": "type.googleapis.com/envoy.config.cluster.v3.Cluster"}), "type_url"),
        (json!({"resource_names": vec!["a"; 65]}), "resource_names"),
    ] {
        let refused = ask(body);
        assert_eq!((refused.status, refused.json()["field"].as_str()), (400, Some(field)), "{}", refused.body);
    }
    assert_eq!(ask(json!([1])).status, 400);
}

/// An agent that keeps a file for Envoy.
fn edge(scratch: &Scratch, more: &str) -> Wayside {
    let dir = scratch.file("envoy");
    let files = format!("[envoy]\ndir = \"{}\"\nservices = [\"charging\"]\n", dir.display());
    Wayside::start_at(free(), &format!("id = \"here\"\n{QUIET}{more}{files}"))
}

fn charging(backend: &Backend, check: Option<Value>) -> Value {
    let (address, port) = (backend.at.ip().to_string(), backend.at.port());
    let mut info = json!({"name": "charging", "address": address, "port": port, "ttl_s": 600});
    if let Some(check) = check {
        info["health_check"] = check;
    }
    info
}

/// Somebody who answers every request with one word.
struct Backend {
    at: SocketAddr,
    over: Arc<AtomicBool>,
    serving: Option<JoinHandle<()>>,
}

impl Backend {
    fn start(word: &'static str) -> Self {
        Self::at(free(), word)
    }

    fn at(at: SocketAddr, word: &'static str) -> Self {
        let listener = TcpListener::bind(at).expect("the address is free");
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        let serving = thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(mut stream) = stream else { continue };
                // A health check only connects; a request of Envoy's fits one segment.
                let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
                if stream.read(&mut [0; 4_096]).is_ok_and(|length| length > 0) {
                    let reply =
                        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{word}", word.len());
                    let _ = stream.write_all(reply.as_bytes());
                }
            }
        });
        Self { at, over, serving: Some(serving) }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.at);
        if let Some(serving) = self.serving.take() {
            let _ = serving.join();
        }
    }
}

/// An Envoy with two clusters for one service: one it reads from a file, one it asks the agent for.
struct Envoy {
    door: Door,
    admin: Door,
    _daemon: Daemon,
}

impl Envoy {
    fn start(scratch: &Scratch, agent: &Wayside) -> Self {
        let (door, admin) = (free(), free());
        let Door::Tcp(api) = agent.door else { panic!("the agent listens at a port") };
        let file = scratch.file("envoy/charging.json");
        eventually(SOON, "the agent has written the file", || file.exists().then_some(()));
        let at = |at: SocketAddr| json!({"socket_address": {"address": at.ip().to_string(), "port_value": at.port()}});
        let cluster = |name: &str, source: Value| {
            json!({
                "name": name, "type": "EDS", "connect_timeout": "0.5s",
                "eds_cluster_config": {"service_name": "charging", "eds_config": source},
            })
        };
        let file = json!({"resource_api_version": "V3", "path_config_source": {"path": file}});
        let rest = json!({"resource_api_version": "V3", "api_config_source": {
            "api_type": "REST", "transport_api_version": "V3", "cluster_names": ["localhost"], "refresh_delay": "1s",
        }});
        let agents =
            json!({"cluster_name": "localhost", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": at(api)}}]}]});
        let route = |way: &str| json!({"match": {"prefix": format!("/{way}")}, "route": {"cluster": way}});
        let manager = json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "in",
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route("file"), route("rest")]}]},
            "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
            }}],
        });
        let bootstrap = json!({
            "node": {"id": "gateway", "cluster": "gateway"},
            "admin": {"address": at(admin)},
            "static_resources": {
                "listeners": [{"address": at(door), "filter_chains": [{"filters": [
                    {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager},
                ]}]}],
                "clusters": [
                    {"name": "localhost", "type": "STATIC", "connect_timeout": "1s", "load_assignment": agents},
                    cluster("file", file),
                    cluster("rest", rest),
                ],
            },
        });
        let config = scratch.write("envoy.json", &bootstrap.to_string());
        let mut command = Command::new(python());
        command.args(["-c", "import glob, os, sys, envoy; at = glob.glob(os.path.dirname(envoy.__file__) + '/_bin/envoy')[0]; os.execv(at, [at, *sys.argv[1:]])"]);
        command.arg("-c").arg(config).args(["--concurrency", "1", "--disable-hot-restart", "-l", "warning"]);
        let daemon = Daemon::start("envoy", command, scratch.path());
        let envoy = Self { door: Door::Tcp(door), admin: Door::Tcp(admin), _daemon: daemon };
        eventually(SOON, "Envoy is up", || {
            envoy.admin.ask("GET", "/ready", None).ok().filter(|reply| reply.status == 200)
        });
        envoy
    }

    /// Who answers a request that goes through it.
    fn get(&self, way: &str) -> Option<String> {
        self.door.ask("GET", &format!("/{way}"), None).ok().filter(|reply| reply.status == 200).map(|reply| reply.body)
    }

    /// What it knows of a cluster: priority and health as it was told them, by address.
    fn endpoints(&self, way: &str) -> serde_json::Map<String, Value> {
        let told = self.admin.ask("GET", "/clusters?format=json", None).map(|reply| reply.json()).unwrap_or_default();
        let clusters = told["cluster_statuses"].as_array().cloned().unwrap_or_default();
        let cluster = clusters.into_iter().find(|cluster| cluster["name"] == *way).unwrap_or_default();
        let hosts = cluster["host_statuses"].as_array().cloned().unwrap_or_default();
        let known = hosts.iter().map(|host| {
            let at = &host["address"]["socket_address"];
            let health = json!([host["priority"].as_u64().unwrap_or(0), host["health_status"]["eds_health_status"]]);
            (format!("{}:{}", at["address"].as_str().unwrap_or_default(), at["port_value"]), health)
        });
        known.collect()
    }
}

fn free() -> SocketAddr {
    free_at(Ipv4Addr::LOCALHOST.into())
}

const QUIET: &str = "[mdns]\nenabled = false\n";
const CHANGES: u16 = 12;
const SOON: Duration = Duration::from_secs(30);
