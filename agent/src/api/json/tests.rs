use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::*;
use wayside_core::query::{Outcome, Reason, Sighted, Tier, Verdict};
use wayside_protocols::place::{Distance, Fix};
use wayside_protocols::service::{Basis, Endpoint, Health, Host, Kind, Latency};
use wayside_protocols::sighting::Source;

fn charger() -> Service {
    let mut service = Service::new("cp1@gw-7".parse().unwrap(), "charging".parse().unwrap(), Kind::Gateway);
    service.agent = "gw-7".parse().ok();
    service.endpoint = Some(Endpoint { host: Host::Ip([10, 0, 0, 5].into()), port: 8080 });
    service.fix = Some(Fix::fixed(Position::new(48.8566, 2.3522).unwrap(), 1.0, Timestamp::START));
    service.resources.insert("power_kw".into(), Value::Number(22.0));
    service.metadata.insert("plug".into(), "c\u{202e}cs".into());
    service.health = Health::Passing;
    service
}

fn found() -> Answer {
    let latency = Latency { round_trip: Duration::from_micros(1_250), basis: Basis::Measured };
    Answer {
        matches: vec![Match {
            service: Arc::new(charger()),
            place: Some(Sighted { distance: Distance::new(58.716).unwrap(), bearing: 359.97, sigma: 1.004 }),
            position: Some(Position::new(48.8566, 2.3522).unwrap()),
            verdict: Verdict::Definite,
            tier: Tier::Local,
            sources: vec![Source::Api, Source::Mqtt],
            latency,
            age: Duration::from_millis(1_500),
            ttl: Duration::from_millis(58_500),
            stale: false,
        }],
        tier: Some(Tier::Local),
        unreached: vec![],
        explain: vec![TierReport {
            tier: Tier::Local,
            asked: "charging within 100 m".into(),
            fitting: 1,
            left_out: vec![(Reason::TooFar, 3), (Reason::Unhealthy, 1)],
            nearest: None,
            took: Duration::ZERO,
            outcome: Outcome::Answered,
        }],
    }
}

#[test]
fn an_answer_has_exactly_these_names() {
    let json: Json = serde_json::from_slice(&answer(&found())).unwrap();
    assert_eq!(
        json,
        json!({
            "instances": [{
                "id": "cp1@gw-7", "name": "charging", "kind": "gateway", "agent": "gw-7",
                "address": "10.0.0.5", "port": 8080, "position": {"lat": 48.8566, "lon": 2.3522}, "accuracy_m": 1.0,
                "priority": 0, "critical": false,
                "resources": {"power_kw": 22.0}, "metadata": {"plug": "c\u{202e}cs"},
                "health_status": "passing",
                "performance_metrics": {"latency_ms": 1.25, "latency_basis": "measured"},
                "trust": "unsigned", "distance_m": 58.72, "bearing_deg": 0.0, "age_ms": 1500, "sigma_m": 1.0,
                "verdict": "definite", "tier": "local", "sources": ["api", "mqtt"], "ttl_s": 58.5, "stale": false,
            }],
            "tier": "local",
            "unreached": [],
            "explain": [{
                "tier": "local", "outcome": "answered", "asked": "charging within 100 m", "fitting": 1,
                "left_out": [{"reason": "too far", "count": 3}, {"reason": "failing their health check", "count": 1}],
                "nearest_m": null,
                "text": "local: 1 among charging within 100 m; 3 too far, 1 failing their health check",
            }],
        })
    );
}

#[test]
fn text_from_the_air_cannot_turn_the_terminal() {
    let text = String::from_utf8(answer(&found())).unwrap();
    assert!(!text.contains('\u{202e}') && text.contains("c\\u202ecs"));
}

#[test]
fn an_answer_that_has_nothing_still_has_every_name() {
    let json: Json = serde_json::from_slice(&answer(&Answer::default())).unwrap();
    assert_eq!(json, json!({"instances": [], "tier": null, "unreached": [], "explain": []}));
}

#[test]
fn a_change_names_what_changed() {
    let departed: Json = serde_json::from_slice(&change(&Change::Departed(Arc::new(charger())))).unwrap();
    assert_eq!(departed, json!({"change": "departed", "id": "cp1@gw-7"}));
    let appeared: Json = serde_json::from_slice(&change(&Change::Appeared(Arc::new(charger())))).unwrap();
    assert_eq!(appeared["change"], "appeared");
    assert_eq!(appeared["service"]["id"], "cp1@gw-7");
}
