//! What is counted and measured, by its documented name, for Prometheus.
//!
//! Names are contracts: `docs/METRICS.md` is this table, and a test holds the two together. Every name is told by every
//! agent, zero where nothing happened, so that a rule never waits for a series to begin.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use wayside_protocols::time::Duration;

use crate::api::Api;
use crate::api::health::Vitals;
use crate::api::problem::Problem;
use crate::count::AtomicU64;

/// `GET /metrics`: Prometheus text format 0.0.4. The only label is the bound of a bucket: none comes from the network.
pub(super) async fn show(State(api): State<Api>) -> Result<Response, Problem> {
    let mut page = page(&Vitals::read(&api).await?.named());
    api.tally.took.write(&mut page);
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page).into_response())
}

fn page(values: &BTreeMap<String, u64>) -> String {
    let mut page = String::with_capacity(16_384);
    for (kind, names) in [("gauge", GAUGES), ("counter", COUNTERS)] {
        for (name, help) in names {
            let value = values.get(*name).copied().unwrap_or_default();
            // Writing to a String cannot fail.
            let _ =
                write!(page, "# HELP wayside_{name} {help}\n# TYPE wayside_{name} {kind}\nwayside_{name} {value}\n");
        }
    }
    page
}

/// How long questions over HTTP took, from their whole body to the answer.
#[derive(Debug, Default)]
pub(super) struct Took {
    /// Questions that took at most as long as each of [`BOUNDS`], and those that took longer.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl Took {
    /// One more.
    pub(super) fn add(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let place = BOUNDS.iter().position(|(bound, _)| micros <= *bound).unwrap_or(BOUNDS.len());
        if let Some(bucket) = self.buckets.get(place) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// The bounds in seconds, how many questions lie in each of the buckets between them, and how long all of them took.
    #[cfg(feature = "otlp")]
    pub(super) fn read(&self) -> (Vec<f64>, Vec<u64>, f64) {
        let bounds = BOUNDS.iter().map(|(micros, _)| *micros as f64 / 1e6).collect();
        let buckets = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        (bounds, buckets, self.micros.load(Ordering::Relaxed) as f64 / 1e6)
    }

    fn write(&self, page: &mut String) {
        let _ = writeln!(page, "# HELP wayside_{QUERY} {QUERY_HELP}\n# TYPE wayside_{QUERY} histogram");
        let mut sum = 0;
        for (bucket, bound) in self.buckets.iter().zip(BOUNDS.iter().map(|(_, text)| *text).chain(["+Inf"])) {
            sum += bucket.load(Ordering::Relaxed);
            let _ = writeln!(page, "wayside_{QUERY}_bucket{{le=\"{bound}\"}} {sum}");
        }
        let seconds = self.micros.load(Ordering::Relaxed) as f64 / 1e6;
        let _ = writeln!(page, "wayside_{QUERY}_sum {seconds}\nwayside_{QUERY}_count {sum}");
    }
}

/// Microseconds, and the same in seconds.
const BOUNDS: [(u64, &str); 6] =
    [(500, "0.0005"), (2_000, "0.002"), (10_000, "0.01"), (50_000, "0.05"), (200_000, "0.2"), (1_000_000, "1")];
pub(super) const QUERY: &str = "query_seconds";
pub(super) const QUERY_HELP: &str = "how long questions over HTTP took";

/// What can go up and down.
pub(super) const GAUGES: &[(&str, &str)] = &[
    ("uptime_seconds", "how long the agent has run"),
    ("epoch", "how often it has started on this state directory"),
    ("services", "services in the catalog"),
    ("services_placed", "of them, how many stand somewhere"),
    ("registrations", "own services: registered and configured"),
    ("peers", "agents known through the broker"),
    ("watchers", "open watches, map pages among them"),
    ("beacon_interval_milliseconds", "least time between two own beacons, as the load allows"),
    ("broker_up", "1 while the broker is connected"),
    ("position_known", "1 while the agent knows where it stands"),
    ("position_certain", "1 while it is sure of that"),
    ("position_age_seconds", "age of the own fix; 0 if there is none"),
    ("position_sigma_centimetres", "one sigma of the own position; 0 if not known"),
    ("clock_trusted", "1 if the wall clock can have been set"),
    ("journal_failing", "1 while the state directory takes nothing"),
    ("upstream_questions_held", "questions whose answers by registries are kept"),
    ("upstream_rows_held", "services that registries told"),
    ("upstream_bytes_held", "bytes of both"),
    ("upstream_nodes", "registry nodes configured"),
    ("upstream_nodes_open", "of them, how many are left alone after failures (back-off)"),
    ("upstream_latency_microseconds", "round trip of the nearest registry node; 0 if none was measured"),
];

/// What only goes up, since the agent started.
pub(super) const COUNTERS: &[(&str, &str)] = &[
    ("adverts_dropped_total", "orders for the mDNS responder dropped, its queue full"),
    ("api_connections_total", "connections to the API"),
    ("api_connections_turned_away_total", "of them, refused at limits.connections"),
    ("api_problems_total", "requests answered with a problem (4xx, 5xx)"),
    ("api_requests_total", "requests"),
    ("appeared_total", "services that came"),
    ("beacons_total", "beacons heard and believed"),
    ("beacons_sent_total", "own beacons"),
    ("broker_connections_total", "connections the broker acknowledged"),
    ("broker_failures_total", "connections to the broker that failed or broke"),
    ("broker_orders_dropped_total", "publications dropped, the broker's queue full"),
    ("broker_queries_refused_total", "questions by MQTT refused: too many, or nowhere to answer to"),
    ("conflicting_epochs_total", "other agents heard under this agent's id"),
    ("datagrams_dropped_total", "mDNS datagrams dropped, the inbox full"),
    ("departed_total", "services that went"),
    ("entries_refused_total", "journal entries refused, its queue full"),
    ("exchanges_dropped_total", "exchanges with registries not made, their queue full"),
    ("gnss_connections_total", "connections gpsd took"),
    ("gnss_failures_total", "connections to gpsd that failed or broke"),
    ("gnss_fixes_total", "fixes taken from the receiver"),
    ("gnss_leaps_doubted_total", "fixes too far from the last, held back for a second one"),
    ("gnss_refused_by_gpsd_total", "errors gpsd answered with"),
    ("gnss_refused_no_class_total", "objects of gpsd without a class"),
    ("gnss_refused_not_json_total", "lines of gpsd that are no JSON"),
    ("gnss_refused_null_island_total", "fixes at exactly 0 N 0 E"),
    ("gnss_refused_out_of_range_total", "fixes with a number that cannot be"),
    ("gnss_refused_too_long_total", "lines of gpsd longer than any it writes"),
    ("gnss_without_fix_total", "reports of the receiver without a fix"),
    ("intakes_dropped_total", "announcements not written to the engine, its queue full"),
    ("journal_refused_total", "registrations refused because they could not be written"),
    ("keeps_dropped_total", "times rows were not kept over a restart, the last still being written"),
    ("mdns_contested_total", "times two instances said they are the same service"),
    ("mdns_dropped_pairs_total", "TXT pairs left out: too many, too long, no UTF-8, no key"),
    ("mdns_evicted_total", "mDNS instances and addresses forgotten to make room"),
    ("mdns_invalid_values_total", "TXT values of known keys that make no sense"),
    ("mdns_malformed_packet_total", "mDNS messages that cannot be read"),
    ("mdns_malformed_record_total", "mDNS records that cannot be read, skipped alone"),
    ("mdns_orphans_total", "mDNS records nothing of interest points to"),
    ("mdns_oversized_txt_total", "TXT records cut at the limit"),
    ("mdns_own_heard_total", "own mDNS announcements heard back"),
    ("mdns_queries_total", "mDNS queries sent"),
    ("mdns_refused_off_link_total", "mDNS responses from senders not on the link"),
    ("mdns_refused_port_total", "mDNS responses not from port 5353"),
    ("mdns_refused_types_total", "service types a browser did not take up, at its limit"),
    ("mdns_refused_unicast_total", "mDNS responses not sent to the group"),
    ("mdns_responses_total", "mDNS responses believed enough to be read"),
    ("mdns_suppressed_queries_total", "mDNS queries not sent: somebody had just asked the same"),
    ("mdns_types_refused_total", "service types not browsed, at limits.types"),
    ("mqtt_connected_total", "connections to the broker as the agent was told of them"),
    ("mqtt_former_life_cleared_total", "retained messages of a former life cleared"),
    ("mqtt_messages_total", "MQTT messages heard"),
    ("mqtt_stale_will_total", "wills of a former life of another agent, not believed"),
    ("mqtt_unknown_members_total", "members of JSON announcements nobody knows"),
    ("multicasts_dropped_total", "own mDNS datagrams dropped, the queue full"),
    ("multicasts_failed_total", "own mDNS datagrams that could not be sent"),
    ("names_changed_total", "times the agent took a new name on the air"),
    ("neighbours_asked_total", "questions put to neighbours"),
    ("neighbours_not_asked_total", "questions not put to neighbours: no place for more"),
    ("otlp_failures_total", "requests that the collector of OTLP did not take"),
    ("otlp_spans_dropped_total", "spans dropped: too many waited, or the collector did not take them"),
    ("otlp_spans_sent_total", "spans that the collector took"),
    ("probes_dropped_total", "health checks not made, their queue full"),
    ("queries_total", "questions answered, over HTTP and MQTT"),
    ("refused_agent_full_total", "services refused: limits.services_per_agent"),
    ("refused_announcement_total", "announcements that cannot be read"),
    ("refused_announcement_of_lost_agent_total", "announcements of agents known to be gone"),
    ("refused_beacon_total", "beacons that cannot be read"),
    ("refused_beacon_jumped_total", "beacons farther from the last than anything drives"),
    ("refused_beacon_of_crowd_total", "beacons of strangers, more than are let in a second"),
    ("refused_beacon_of_other_agent_total", "beacons on the topic of another agent"),
    ("refused_beacon_of_other_cell_total", "beacons on the topic of another cell"),
    ("refused_beacon_of_second_sender_total", "beacons of a second sender under one id"),
    ("refused_beacon_out_of_order_total", "beacons older than one already heard"),
    ("refused_beacon_replayed_total", "beacons whose time is long past"),
    ("refused_beacon_too_fast_total", "beacons claiming more than 90 m/s"),
    ("refused_catalog_full_total", "services refused: the catalog is full"),
    ("refused_payload_too_large_total", "MQTT payloads over limits.payload_bytes"),
    ("refused_presence_total", "presences that cannot be read"),
    ("refused_service_too_large_total", "services over limits.service_bytes"),
    ("refused_too_many_pairs_total", "services over limits.service_pairs"),
    ("refused_topic_total", "MQTT topics that are none of ours"),
    ("registry_intake_failures_total", "announcements heard by MQTT that the engine did not take"),
    ("registry_intake_full_total", "agents at the broker a registry did not take in: as many as allowed are"),
    ("registry_taken_in_total", "announcements heard by MQTT that the engine took"),
    ("responder_rebuilds_total", "times the mDNS responder was made anew"),
    ("state_bytes_written_total", "bytes written to the state directory"),
    ("state_failures_total", "writes to the state directory that failed"),
    ("state_syncs_total", "times it was synced to disk"),
    ("updated_total", "services of which something changed, moves included"),
    ("upstream_announce_failures_total", "times a registry could not be told of own services"),
    ("upstream_announced_total", "times a registry was told what changed"),
    ("upstream_announced_whole_total", "times a registry was told everything"),
    ("upstream_asked_total", "exchanges with registries"),
    ("upstream_breaker_opened_total", "times a node was left alone after failures"),
    ("upstream_busy_total", "questions not put: as many as allowed were on their way"),
    ("upstream_cache_evictions_total", "answers of registries forgotten to make room"),
    ("upstream_cache_hits_total", "questions answered from the cache"),
    ("upstream_cache_misses_total", "questions the cache had no answer to"),
    ("upstream_cache_refreshes_total", "answers asked for anew while in use"),
    ("upstream_cache_stale_served_total", "stale answers given while nobody could be asked"),
    ("upstream_coalesced_total", "questions that joined one already on its way"),
    ("upstream_failures_total", "exchanges with registries that failed"),
    ("upstream_hedged_total", "second nodes asked because the first was late"),
    ("upstream_questions_total", "questions that needed a registry"),
    ("upstream_resaid_total", "times everything was said anew after a wrong count"),
    ("upstream_rows_not_told_total", "own services over what a registry takes"),
    ("watch_refused_total", "watches refused at limits.watchers"),
    ("watchers_outrun_total", "watchers too slow, given the whole picture again"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_is_this_table() {
        let mut table = String::new();
        for (kind, names) in
            [("gauge", GAUGES), ("counter", COUNTERS), ("histogram", &[(QUERY, QUERY_HELP)] as &[(&str, &str)])]
        {
            for (name, help) in names {
                let _ = writeln!(table, "| `wayside_{name}` | {kind} | {help} |");
            }
        }
        let page = include_str!("../../../docs/METRICS.md");
        let rows: String =
            page.lines().filter(|line| line.starts_with("| `wayside_")).map(|line| format!("{line}\n")).collect();
        assert_eq!(rows, table);
    }

    #[test]
    fn a_bucket_holds_all_that_took_no_longer() {
        let took = Took::default();
        for micros in [400, 500, 1_900, 3_000_000] {
            took.add(Duration::from_micros(micros));
        }
        let mut page = String::new();
        took.write(&mut page);
        for line in
            ["_bucket{le=\"0.0005\"} 2", "_bucket{le=\"0.002\"} 3", "_bucket{le=\"+Inf\"} 4", "_count 4", "_sum 3.0028"]
        {
            assert!(page.contains(&format!("wayside_query_seconds{line}\n")), "{line}: {page}");
        }
    }
}
