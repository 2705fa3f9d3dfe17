//! What nobody should say by mDNS, said: it is refused, capped and counted, and the agent answers on.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use wayside_tests::daemon::Daemon;
use wayside_tests::net::{Family, Host, Net};
use wayside_tests::place::{Scratch, peer, python};
use wayside_tests::wayside::Wayside;

#[test]
fn answers_from_a_wrong_port_from_off_the_link_and_unasked_are_refused_and_counted() {
    let mut net = Net::new();
    let (left, right) = (net.host(Family::V4), net.host(Family::V4));
    let scratch = Scratch::new();
    right.address("192.0.2.9/24");
    let agent = agent(&left);

    flood(&right, scratch.path(), &["forged", &left.v4().to_string()]).says("done", SOON);

    agent.finds("http", "honest", SOON);
    for forged in ["port.", "offlink.", "unicast."] {
        assert_eq!(agent.instance("http", forged), None);
    }
    // The one that was sent to this host alone may have gone to the responder's socket, which believes nobody.
    for reason in ["refused_port", "refused_off_link"] {
        assert_eq!(agent.metric(&[reason]), 1.0, "{}", agent.ask("GET", "/metrics", None).body);
    }
}

#[test]
fn a_record_cut_short_does_not_take_its_neighbours_in_the_packet_with_it() {
    let mut net = Net::new();
    let (left, right) = (net.host(Family::V4), net.host(Family::V4));
    let scratch = Scratch::new();
    let agent = agent(&left);

    flood(&right, scratch.path(), &["spoilt"]).says("done", SOON);

    assert_eq!(agent.finds("http", "beside", SOON)["address"], right.v4().to_string());
    assert_eq!(agent.instance("http", "broken"), None);
}

#[test]
fn a_txt_of_nearly_nine_thousand_bytes_is_not_kept_and_the_next_instance_is() {
    let mut net = Net::new();
    let (left, right) = (net.host(Family::V4), net.host(Family::V4));
    let scratch = Scratch::new();
    let agent = agent(&left);

    flood(&right, scratch.path(), &["fat", "8700"]).says("done", SOON);

    agent.finds("http", "slim", SOON);
    let kept = agent.instance("http", "fat").map_or(0, |row| row["metadata"].to_string().len());
    assert!(kept < 6_000, "limits.service_bytes is 4096, and {kept} are shown");
}

#[test]
fn records_that_no_pointer_leads_to_cost_little_and_show_nothing() {
    let mut net = Net::new();
    let (left, right) = (net.host(Family::V4), net.host(Family::V4));
    let scratch = Scratch::new();
    let agent = agent(&left);
    let before = agent.daemon.rss_kib();

    flood(&right, scratch.path(), &["orphans", "5000"]).says("done", Duration::from_secs(60));

    assert_eq!(agent.instances("http").len(), 0);
    let grown = agent.daemon.rss_kib().saturating_sub(before);
    assert!(grown < 8 * 1024, "5,000 orphans cost {grown} KiB");
}

#[test]
fn a_storm_of_2500_packets_a_second_is_capped_while_answers_stay_quick() {
    let mut net = Net::new();
    let (left, right) = (net.host(Family::V4), net.host(Family::V4));
    let scratch = Scratch::new();
    let agent = agent(&left);
    agent.register(json!({"name": "charging", "address": "10.0.0.5", "port": 8080, "ttl_s": 600, "critical": true}));
    let mut storm = flood(&right, scratch.path(), &["storm", "2500", "10"]);

    let mut times = Vec::new();
    while storm.ended().is_none() {
        let asked = Instant::now();
        assert_eq!(agent.instances("charging").len(), 1, "own rows are answered throughout");
        times.push(asked.elapsed());
    }

    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    let rss = agent.daemon.rss_kib();
    eprintln!("{} answers: p50 {:?}, p90 {:?}, p99 {:?}; RSS {rss} KiB", times.len(), at(50), at(90), at(99));
    assert!(at(50) < Duration::from_millis(5), "half of the answers took {:?} or more", at(50));
    assert!(at(90) < Duration::from_millis(50), "one answer in ten took {:?} or more", at(90));
    assert!(rss < 64 * 1024, "{rss} KiB");
    let capped = agent.metric(&["_dropped_"]) + agent.metric(&["_refused_"]) + agent.metric(&["_evicted_"]);
    assert!(capped > 0.0, "25,000 instances fit nowhere: {}", agent.ask("GET", "/metrics", None).body);
}

fn agent(host: &Host) -> Wayside {
    Wayside::start(Some(host), "id = \"gw-1\"\n")
}

fn flood(host: &Host, dir: &Path, args: &[&str]) -> Daemon {
    let mut command = host.command(python());
    command.arg("-u").arg(peer("flood.py")).args(args);
    Daemon::start("flood", command, dir)
}

const SOON: Duration = Duration::from_secs(10);
