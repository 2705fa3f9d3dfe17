//! What people already run finds what is near: Prometheus scrapes a neighbour nobody wrote down.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use wayside_tests::daemon::{Daemon, output};
use wayside_tests::http::Door;
use wayside_tests::place::{Scratch, repository};
use wayside_tests::wait::eventually;
use wayside_tests::wayside::binary;

#[test]
fn prometheus_finds_and_scrapes_what_is_registered_and_drops_it_when_it_is_withdrawn() {
    let scratch = Scratch::new();
    let (agent, port) = agent(&scratch);
    // The agent's own page of metrics is as good a target as any: it is really scraped.
    let info = json!({"service_info": {
        "id": "press", "name": "metrics", "address": "127.0.0.1", "port": port, "metadata": {"Hall No": "2"},
    }});
    assert_eq!(agent.ask("POST", "/v1/discovery/registration", Some(&info)).expect("an answer").status, 201);

    let (prometheus, _running) = prometheus(&scratch, port);

    let found =
        eventually(PATIENCE, "prometheus scrapes it", || target(&prometheus).filter(|target| target["health"] == "up"));
    assert_eq!(found["scrapePool"], "near");
    let labels = &found["discoveredLabels"];
    assert_eq!(labels["__address__"], format!("127.0.0.1:{port}"));
    assert_eq!(labels["__meta_wayside_id"], "press@here");
    assert_eq!(labels["__meta_wayside_trust"], "own");
    assert_eq!(found["labels"]["hall"], "2", "{found}");
    let counted = "/api/v1/query?query=wayside_services%7Bjob%3D%22near%22%7D";
    eventually(PATIENCE, "a figure of it is stored", || {
        let told = prometheus.ask("GET", counted, None).ok()?.json();
        told["data"]["result"][0]["value"][1]
            .as_str()
            .filter(|value| value.parse::<f64>().is_ok_and(|n| n >= 1.0))
            .map(drop)
    });

    assert_eq!(agent.ask("DELETE", "/v1/discovery/registration/press", None).expect("an answer").status, 204);
    eventually(PATIENCE, "prometheus lets it go", || target(&prometheus).is_none().then_some(()));
}

#[test]
fn what_prometheus_is_told_is_a_list_whatever_is_near_and_a_mistake_is_named() {
    let scratch = Scratch::new();
    let (agent, _) = agent(&scratch);
    let nothing = agent.ask("GET", "/v1/export/prometheus-sd?service=nothing", None).expect("an answer");
    assert_eq!((nothing.status, nothing.json()), (200, json!([])));
    assert!(nothing.head.to_lowercase().contains("content-type: application/json\r\n"), "{}", nothing.head);
    for (path, field) in [("", "service"), ("?service=A%20B", "service"), ("?service=*&min_trust=full", "min_trust")] {
        let refused = agent.ask("GET", &format!("/v1/export/prometheus-sd{path}"), None).expect("an answer");
        assert_eq!((refused.status, refused.json()["field"].as_str()), (400, Some(field)), "{path}");
    }
}

#[test]
fn the_alert_rules_fire_when_they_should_and_name_what_the_agent_tells() {
    let directory = repository().join("examples/prometheus");
    for what in [["check", "rules", "wayside.rules.yml"], ["test", "rules", "wayside.rules.test.yml"]] {
        output(Command::new("promtool").current_dir(&directory).args(what));
    }
    let scratch = Scratch::new();
    let (agent, _) = agent(&scratch);
    let page = agent.ask("GET", "/metrics", None).expect("an answer").body;
    let rules = std::fs::read_to_string(directory.join("wayside.rules.yml")).expect("the rules are there");
    for name in named(&rules) {
        assert!(page.contains(&format!("\n{name} ")), "{name} is not on the page: {page}");
    }
}

#[test]
fn what_an_agent_tells_of_itself_is_what_the_documentation_says() {
    let scratch = Scratch::new();
    let (agent, _) = agent(&scratch);
    let question = json!({"service_name": "nothing"});
    assert_eq!(agent.ask("POST", "/v1/discovery/services", Some(&question)).expect("an answer").status, 200);
    let page = agent.ask("GET", "/metrics", None).expect("an answer").body;
    let told: BTreeMap<&str, &str> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let documented = std::fs::read_to_string(repository().join("docs/METRICS.md")).expect("the page is there");
    let rows = documented.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let known: BTreeMap<&str, &str> = rows.filter_map(|(name, rest)| Some((name, rest.split_once(" | ")?.0))).collect();
    assert_eq!(told, known);
    assert!(page.contains("\nwayside_query_seconds_count 1\n"), "the question was timed: {page}");
    assert!(page.contains("\nwayside_queries_total 1\n"), "and counted: {page}");
    // What is counted anywhere is told under that name.
    let health = agent.ask("GET", "/v1/discovery/health", None).expect("an answer").json();
    for name in health["metrics"].as_object().expect("names").keys() {
        assert!(known.contains_key(format!("wayside_{name}").as_str()), "{name} is not documented");
    }
    // Prometheus' own linter reads it.
    let mut promtool = Command::new("promtool");
    let linted = fed(promtool.args(["check", "metrics"]), page.as_bytes());
    assert!(!linted.contains("error"), "{linted}");
}

#[test]
fn every_count_in_the_code_is_documented() {
    let documented = std::fs::read_to_string(repository().join("docs/METRICS.md")).expect("the page is there");
    let mut seen = 0;
    for part in ["agent/core/src", "agent/src"] {
        let listed = output(Command::new("grep").args(["-rhoE", "\"[a-z0-9_]+_total\""]).arg(repository().join(part)));
        for name in listed.lines().map(|line| line.trim_matches('"')).filter(|name| *name != "energy_total") {
            assert!(documented.contains(&format!("| `wayside_{name}` | counter |")), "{name} is not documented");
            seen += 1;
        }
    }
    assert!(seen > 50, "only {seen} were found: the search is wrong");
}

#[test]
fn the_dashboard_asks_for_what_agents_tell_in_words_prometheus_reads() {
    let scratch = Scratch::new();
    let file = repository().join("examples/grafana/wayside.json");
    let dashboard: Value =
        serde_json::from_str(&std::fs::read_to_string(file).expect("the dashboard is there")).expect("it is JSON");
    let documented = std::fs::read_to_string(repository().join("docs/METRICS.md")).expect("the page is there");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().expect("targets"));
    let queries: Vec<&str> = targets.filter_map(|target| target["expr"].as_str()).collect();
    assert!(queries.len() > 30, "{queries:?}");
    let mut rules = "groups:\n- name: dashboard\n  rules:\n".to_owned();
    for (number, query) in queries.iter().enumerate() {
        for name in named(query).filter(|name| *name != "wayside_") {
            let whole = name.trim_end_matches("_bucket");
            assert!(documented.contains(&format!("| `{whole}` |")), "{name} is not documented: {query}");
        }
        let query = query.replace("$__rate_interval", "5m").replace("$instance", ".+");
        rules.push_str(&format!("  - record: panel:query:{number}\n    expr: {}\n", json!(query)));
    }
    let checked = output(Command::new("promtool").args(["check", "rules"]).arg(scratch.write("panels.yml", &rules)));
    assert!(checked.contains(&format!("{} rules found", queries.len())), "{checked}");
}

/// The names of ours in a text.
fn named(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("wayside_"))
}

/// What `command` says, fed with `bytes`; it may find fault.
fn fed(command: &mut Command, bytes: &[u8]) -> String {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    child.stdin.take().expect("it is piped").write_all(bytes).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// An agent on a port that the system chose.
fn agent(scratch: &Scratch) -> (Held, u16) {
    let state = scratch.file("state");
    let config = format!(
        "id = \"here\"\n[mdns]\nenabled = false\n[api]\nlisten = \"127.0.0.1:0\"\n[state]\ndir = \"{}\"\n",
        state.display()
    );
    let file = scratch.write("wayside.toml", &config);
    let mut command = Command::new(binary());
    command.arg("run").arg("--config").arg(file);
    let mut daemon = Daemon::start("wayside", command, scratch.path());
    let line = daemon.says("127.0.0.1:", PATIENCE);
    let port = port_in(&line);
    (Held { door: Door::Tcp(([127, 0, 0, 1], port).into()), _daemon: daemon }, port)
}

/// A Prometheus that is told of the agent, and of nobody else, and asks it every second.
fn prometheus(scratch: &Scratch, port: u16) -> (Door, Daemon) {
    let config = format!(
        "global: {{scrape_interval: 1s}}\n\
         scrape_configs:\n\
         - job_name: near\n\
         \x20 http_sd_configs: [{{url: 'http://127.0.0.1:{port}/v1/export/prometheus-sd?service=metrics', refresh_interval: 1s}}]\n\
         \x20 relabel_configs: [{{source_labels: [__meta_wayside_metadata_hall_no], target_label: hall}}]\n"
    );
    let file = scratch.write("prometheus.yml", &config);
    let mut command = Command::new("prometheus");
    command.arg(format!("--config.file={}", file.display()));
    command.arg(format!("--storage.tsdb.path={}", scratch.file("tsdb").display()));
    command.args(["--web.listen-address=127.0.0.1:0", "--log.level=info"]);
    let mut daemon = Daemon::start("prometheus", command, scratch.path());
    let line = daemon.says("Listening on", PATIENCE);
    (Door::Tcp(([127, 0, 0, 1], port_in(&line)).into()), daemon)
}

/// The one target Prometheus has, if it has one.
fn target(prometheus: &Door) -> Option<Value> {
    let told = prometheus.ask("GET", "/api/v1/targets?state=active", None).ok()?.json();
    told["data"]["activeTargets"].as_array()?.first().cloned()
}

fn port_in(line: &str) -> u16 {
    let digits =
        line.split("127.0.0.1:").nth(1).map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or_else(|| panic!("no port in {line:?}"))
}

struct Held {
    door: Door,
    _daemon: Daemon,
}

impl Held {
    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> std::io::Result<wayside_tests::http::Reply> {
        self.door.ask(method, path, body)
    }
}

const PATIENCE: Duration = Duration::from_secs(20);
