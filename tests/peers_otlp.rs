//! A collector that reads what it gets with OpenTelemetry's own types understands our metrics and traces.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wayside_tests::broker::free_port;
use wayside_tests::daemon::Daemon;
use wayside_tests::place::{Scratch, peer, python};
use wayside_tests::wait::{eventually, throughout};
use wayside_tests::wayside::Wayside;

#[test]
fn a_question_is_a_trace_whose_tiers_are_its_spans_and_the_upstream_is_told_its_name() {
    let scratch = Scratch::new();
    let (collector, port) = collector(free_port(), &[], &scratch);
    let agent = Wayside::start(None, &config(port, "interval = \"1h\"\n"));
    let reply = ask(&agent, "parking", &[]);
    assert_eq!(reply, 200);
    let spans = spans(&collector, 4);
    let root = named(&spans, "query");
    assert_eq!((&root["parent"], &root["kind"], &root["status"]), (&json!(""), &json!(2), &json!(0)), "{root}");
    assert_eq!(
        root["attributes"],
        json!({ "wayside.service": "parking", "wayside.tier": "none", "wayside.matches": 0 })
    );
    assert_eq!(
        (&root["resource"]["service.name"], &root["resource"]["service.instance.id"]),
        (&json!("wayside"), &json!("gw-7"))
    );
    for (tier, outcome) in [("local", "empty"), ("neighbour", "empty"), ("region", "empty")] {
        let child = named(&spans, &format!("tier {tier}"));
        assert_eq!((&child["trace"], &child["parent"]), (&root["trace"], &root["span"]), "{child}");
        assert_eq!(
            (&child["attributes"]["wayside.tier"], &child["attributes"]["wayside.outcome"]),
            (&json!(tier), &json!(outcome))
        );
        let time = |span: &Value, key: &str| span[key].as_u64().unwrap();
        assert!(time(root, "start") <= time(child, "start") && time(child, "start") <= time(child, "end"));
        // The wall clock of a span is one of milliseconds, so that a child may seem to end within one after its parent.
        assert!(time(child, "end") <= time(root, "end") + 1_000_000, "{child} {root}");
    }
    let ids: BTreeSet<&str> = spans.iter().map(|span| span["span"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 4);
    let region = named(&spans, "tier region");
    assert!(region["end"].as_u64() > region["start"].as_u64(), "it was waited for");
    let told = collector.lines("traceparent ").remove(0);
    let wanted = format!("00-{}-{}-01", root["trace"].as_str().unwrap(), region["span"].as_str().unwrap());
    assert_eq!(told.trim_start_matches("traceparent "), wanted);
    assert_eq!(collector.lines("refused "), Vec::<String>::new());
}

#[test]
fn a_trace_that_was_begun_elsewhere_goes_on_and_one_that_is_not_sampled_is_not_sent() {
    let scratch = Scratch::new();
    let (collector, port) = collector(free_port(), &[], &scratch);
    // Nothing is sampled unless who asks says so.
    let agent = Wayside::start(None, &config(port, "interval = \"1h\"\nsample_ratio = 0\n"));
    let (quiet, traced) = ("0af7651916cd43dd8448eb211c80319c", "4bf92f3577b34da6a3ce929d0e0e4736");
    ask(&agent, "own", &[]);
    ask(&agent, "quiet", &[("traceparent", &format!("00-{quiet}-b7ad6b7169203331-00"))]);
    ask(&agent, "traced", &[("traceparent", &format!("00-{traced}-00f067aa0ba902b7-01"))]);
    let spans = spans(&collector, 4);
    assert!(spans.iter().all(|span| span["trace"] == traced), "{spans:?}");
    assert_eq!(named(&spans, "query")["parent"], "00f067aa0ba902b7");
    let told = collector.lines("traceparent ");
    assert_eq!(told.len(), 3, "{told:?}");
    // Who is asked hears whether anybody records it.
    assert!(told[0].ends_with("-00") && told[1].contains(quiet) && told[1].ends_with("-00"), "{told:?}");
    assert!(told[2].contains(traced) && told[2].ends_with("-01"), "{told:?}");
    throughout(Duration::from_secs(3), "nothing else is sent", || collector.lines("span {").len() == 4);
}

#[test]
fn the_collector_is_told_the_numbers_that_metrics_shows() {
    let scratch = Scratch::new();
    let (collector, port) = collector(free_port(), &[], &scratch);
    let agent = Wayside::start(None, &config(port, "interval = \"1s\"\n"));
    agent.register(json!({ "name": "charging", "port": 8080 }));
    for _ in 0..7 {
        assert_eq!(ask(&agent, "charging", &[]), 200);
    }
    // These move by being looked at.
    let moving = [
        "wayside_uptime_seconds",
        "wayside_api_requests_total",
        "wayside_api_connections_total",
        "wayside_otlp_spans_sent_total",
    ];
    eventually(Duration::from_secs(20), "both show the same", || {
        let page = agent.ask("GET", "/metrics", None).body;
        let shown: BTreeMap<&str, f64> = page
            .lines()
            .filter(|line| {
                !line.starts_with('#')
                    && !line.contains("_seconds_")
                    && !moving.iter().any(|name| line.starts_with(name))
            })
            .map(|line| line.split_once(' ').unwrap())
            .map(|(name, value)| (name, value.parse().unwrap()))
            .collect();
        let told = metrics(&collector)?;
        let sent: BTreeMap<&str, f64> = told
            .as_object()?
            .iter()
            .filter(|(name, one)| one["kind"] != "histogram" && !moving.contains(&name.as_str()))
            .map(|(name, one)| (name.as_str(), one["value"].as_f64().unwrap()))
            .collect();
        assert_eq!(shown.keys().collect::<Vec<_>>(), sent.keys().collect::<Vec<_>>());
        let took = &told["wayside_query_seconds"];
        let same = page.contains(&format!("wayside_query_seconds_count {}\n", took["count"]))
            && page.contains(&format!("wayside_query_seconds_bucket{{le=\"0.0005\"}} {}\n", took["buckets"][0]))
            && page.contains(&format!("wayside_query_seconds_sum {}\n", took["sum"]));
        (shown == sent && same && took["count"] == 7).then_some(())
    });
    let told = metrics(&collector).unwrap();
    assert_eq!(told["wayside_queries_total"], json!({ "kind": "sum", "value": 7 }));
    assert_eq!(told["wayside_registrations"]["kind"], "gauge");
    assert_eq!(told["wayside_query_seconds"]["bounds"], json!([0.0005, 0.002, 0.01, 0.05, 0.2, 1.0]));
    assert_eq!(collector.lines("refused "), Vec::<String>::new());
}

#[test]
fn a_collector_that_is_away_or_slow_costs_no_question_anything_and_drops_are_counted() {
    let scratch = Scratch::new();
    let away = free_port();
    let (_slow, slow) = collector(free_port(), &["slow"], &scratch);
    for port in [away, slow] {
        let agent = Wayside::start(
            None,
            &format!(
                "id = \"gw-7\"\n[mdns]\nenabled = false\n[otlp]\nendpoint = \"http://127.0.0.1:{port}\"\ntimeout = \"1s\"\ninterval = \"1s\"\n"
            ),
        );
        let began = Instant::now();
        for _ in 0..600 {
            assert_eq!(ask(&agent, "charging", &[]), 200);
        }
        let took = began.elapsed();
        eventually(Duration::from_secs(20), "what is dropped is counted", || {
            (agent.metric(&["wayside_otlp_spans_dropped_total"]) == 1_800.0).then_some(())
        });
        assert!(agent.metric(&["wayside_otlp_failures_total"]) >= 1.0);
        assert_eq!(agent.metric(&["wayside_otlp_spans_sent_total"]), 0.0);
        let within = agent.metric(&["wayside_query_seconds_bucket", "0.05"]);
        assert!(within >= 590.0, "{within} of 600 within 50 ms, {took:?} for all");
    }
}

fn config(port: u16, more: &str) -> String {
    format!(
        "id = \"gw-7\"\n[mdns]\nenabled = false\n[[upstream]]\ntier = \"region\"\nurls = [\"http://127.0.0.1:{port}\"]\n\
         announce = false\n[otlp]\nendpoint = \"http://127.0.0.1:{port}\"\n{more}"
    )
}

fn ask(agent: &Wayside, name: &str, headers: &[(&str, &str)]) -> u16 {
    let body = json!({ "service_name": name }).to_string();
    let headers = [headers, &[("content-type", "application/json")]].concat();
    agent.door.ask_raw("POST", "/v1/discovery/services", &headers, body.as_bytes()).unwrap().status
}

fn collector(port: u16, more: &[&str], scratch: &Scratch) -> (Daemon, u16) {
    let mut command = Command::new(python());
    command.arg(peer("otlp_peer.py")).arg(port.to_string()).args(more);
    let mut daemon = Daemon::start("collector", command, scratch.path());
    daemon.says("port ", Duration::from_secs(30));
    (daemon, port)
}

fn spans(collector: &Daemon, wanted: usize) -> Vec<Value> {
    eventually(Duration::from_secs(20), "the spans arrive", || {
        let lines = collector.lines("span {");
        (lines.len() >= wanted).then(|| lines.iter().map(|line| read(line, "span ")).collect())
    })
}

fn metrics(collector: &Daemon) -> Option<Value> {
    collector.lines("metrics {").last().map(|line| read(line, "metrics "))
}

fn named<'a>(spans: &'a [Value], name: &str) -> &'a Value {
    spans.iter().find(|span| span["name"] == name).unwrap_or_else(|| panic!("{name}: {spans:?}"))
}

fn read(line: &str, word: &str) -> Value {
    serde_json::from_str(line.trim_start_matches(word)).unwrap_or_else(|error| panic!("{error}: {line}"))
}
