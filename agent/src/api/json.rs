//! Answers and services as JSON. The names are contracts: programs and our own command line rely on them.

use std::collections::BTreeMap;

use serde::Serialize;

use wayside_core::agent::Rejection;
use wayside_core::catalog::{self, Change};
use wayside_core::query::{Answer, Match, TierReport, Unreached};
use wayside_core::watch::WatchEvent;
use wayside_protocols::place::{Area, Motion, Position};
use wayside_protocols::service::{Service, Value};
use wayside_protocols::time::{Duration, Timestamp};

use crate::api::text;

/// An answer as `{instances, tier, unreached, explain}`.
pub fn answer(answer: &Answer) -> Vec<u8> {
    text::json(&AnswerJson {
        instances: answer.matches.iter().map(InstanceJson::from).collect(),
        tier: answer.tier.map(|tier| tier.as_str()),
        unreached: answer.unreached.iter().map(UnreachedJson::from).collect(),
        explain: answer.explain.iter().map(TierJson::from).collect(),
    })
}

/// A change as `{change, service}` or `{change, id}`, as it goes out on `wayside/1/e/{agent}`.
pub fn change(change: &Change) -> Vec<u8> {
    let (change, service) = match change {
        Change::Appeared(service) => ("appeared", service),
        Change::Updated(service) | Change::Moved(service) => ("updated", service),
        Change::Departed(service) => {
            return text::json(&BTreeMap::from([("change", "departed"), ("id", service.id.as_str())]));
        }
    };
    text::json(&ChangeJson { change, service: ServiceJson::new(service, None) })
}

/// A watch event as its name and its data.
pub(crate) fn event(event: &WatchEvent) -> (&'static str, Vec<u8>) {
    match event {
        WatchEvent::Reset => ("reset", b"{}".to_vec()),
        WatchEvent::Appeared(service) => ("appeared", text::json(&ServiceJson::new(service, None))),
        WatchEvent::Updated(service) => ("updated", text::json(&ServiceJson::new(service, None))),
        WatchEvent::Departed(id) => ("departed", text::json(&BTreeMap::from([("id", id.as_str())]))),
    }
}

/// One catalog entry with everybody who vouches for it.
pub(crate) fn entry(entry: &catalog::Entry, standing: Option<Position>, now: Timestamp) -> Vec<u8> {
    let claims = entry.claims().iter().map(|held| ClaimJson {
        source: held.source.as_str(),
        age_ms: millis(now.since(held.heard)),
        ttl_s: seconds(held.until.since(now)),
        service: ServiceJson::new(&held.service, None),
    });
    text::json(&EntryJson {
        service: ServiceJson::new(entry.shown(), standing),
        appeared_ms: millis(now.since(entry.appeared())),
        age_ms: millis(now.since(entry.heard())),
        ttl_s: seconds(entry.until().since(now)),
        sources: sources(entry.claims().iter().map(|held| held.source.as_str())),
        claims: claims.collect(),
    })
}

/// What was refused lately as `{rejected}`.
pub(crate) fn rejected(rejections: &[&Rejection], now: Timestamp) -> Vec<u8> {
    let rejected = rejections.iter().map(|known| RejectionJson {
        what: known.what,
        who: &known.who,
        why: &known.why,
        age_ms: millis(now.since(known.at)),
        times: known.times,
    });
    text::json(&BTreeMap::from([("rejected", rejected.collect::<Vec<_>>())]))
}

/// Whole seconds and milliseconds as a number of seconds; a lease that never ends is `null`.
pub(crate) fn seconds(duration: Duration) -> Option<f64> {
    let endless = duration >= Duration::from_secs(u64::from(u32::MAX));
    (!endless).then(|| duration.as_millis() as f64 / 1_000.0)
}

#[derive(Serialize)]
struct RejectionJson<'a> {
    what: &'static str,
    who: &'a str,
    why: &'a str,
    age_ms: u64,
    times: u64,
}

#[derive(Serialize)]
struct AnswerJson<'a> {
    instances: Vec<InstanceJson<'a>>,
    tier: Option<&'static str>,
    unreached: Vec<UnreachedJson<'a>>,
    explain: Vec<TierJson<'a>>,
}

/// What everybody is told of a service.
#[derive(Serialize)]
pub(crate) struct ServiceJson<'a> {
    id: &'a str,
    name: &'a str,
    kind: &'static str,
    agent: Option<&'a str>,
    address: Option<String>,
    port: Option<u16>,
    position: Option<PositionJson>,
    /// One sigma of the position as it was measured, metres.
    #[serde(skip_serializing_if = "Option::is_none")]
    accuracy_m: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    motion: Option<MotionJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    area: Option<AreaJson>,
    priority: u8,
    critical: bool,
    resources: BTreeMap<&'a str, ValueJson<'a>>,
    metadata: &'a BTreeMap<Box<str>, Box<str>>,
    health_status: &'static str,
    performance_metrics: PerformanceJson,
    trust: &'static str,
}

impl<'a> ServiceJson<'a> {
    /// `standing` is where it stands at this moment, if that is known better than its own word.
    pub(crate) fn new(service: &'a Service, standing: Option<Position>) -> Self {
        let endpoint = service.endpoint.as_ref();
        let position = standing.or_else(|| service.fix.map(|fix| fix.position));
        Self {
            id: service.id.as_str(),
            name: service.name.as_str(),
            kind: service.kind.as_str(),
            agent: service.agent.as_ref().map(|agent| agent.as_str()),
            address: endpoint.map(|endpoint| endpoint.host.to_string()),
            port: endpoint.map(|endpoint| endpoint.port).filter(|port| *port != 0),
            position: position.as_ref().map(PositionJson::from),
            accuracy_m: service.fix.map(|fix| rounded(fix.accuracy.into(), 100.0)),
            motion: service.fix.and_then(|fix| fix.motion).as_ref().map(MotionJson::from),
            area: service.area.as_ref().map(AreaJson::from),
            priority: service.priority,
            critical: service.critical,
            resources: service.resources.iter().map(|(key, value)| (&**key, ValueJson::from(value))).collect(),
            metadata: &service.metadata,
            health_status: service.health.as_str(),
            performance_metrics: PerformanceJson {
                latency_ms: service.latency.map(|latency| micros(latency.round_trip)),
                latency_basis: service.latency.map(|latency| latency.basis.as_str()),
            },
            trust: service.trust.as_str(),
        }
    }
}

#[derive(Serialize)]
struct InstanceJson<'a> {
    #[serde(flatten)]
    service: ServiceJson<'a>,
    distance_m: Option<f64>,
    bearing_deg: Option<f64>,
    age_ms: u64,
    sigma_m: Option<f64>,
    verdict: &'static str,
    tier: &'static str,
    sources: Vec<&'static str>,
    ttl_s: Option<f64>,
    stale: bool,
}

impl<'a> From<&'a Match> for InstanceJson<'a> {
    fn from(found: &'a Match) -> Self {
        let mut service = ServiceJson::new(&found.service, found.position);
        service.performance_metrics = PerformanceJson {
            latency_ms: Some(micros(found.latency.round_trip)),
            latency_basis: Some(found.latency.basis.as_str()),
        };
        Self {
            service,
            distance_m: found.place.map(|place| rounded(place.distance.as_metres(), 100.0)),
            bearing_deg: found.place.map(|place| rounded(place.bearing, 10.0) % 360.0),
            age_ms: millis(found.age),
            sigma_m: found.place.map(|place| rounded(place.sigma, 100.0)).filter(|sigma| sigma.is_finite()),
            verdict: found.verdict.as_str(),
            tier: found.tier.as_str(),
            sources: sources(found.sources.iter().map(|source| source.as_str())),
            ttl_s: seconds(found.ttl),
            stale: found.stale,
        }
    }
}

#[derive(Serialize)]
struct PerformanceJson {
    latency_ms: Option<f64>,
    latency_basis: Option<&'static str>,
}

#[derive(Serialize)]
struct PositionJson {
    lat: f64,
    lon: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    alt: Option<f64>,
}

impl From<&Position> for PositionJson {
    fn from(position: &Position) -> Self {
        Self {
            lat: rounded(position.latitude(), 1e7),
            lon: rounded(position.longitude(), 1e7),
            alt: position.altitude().map(|metres| rounded(f64::from(metres), 100.0)),
        }
    }
}

#[derive(Serialize)]
struct MotionJson {
    speed_mps: f64,
    heading_deg: f64,
}

impl From<&Motion> for MotionJson {
    fn from(motion: &Motion) -> Self {
        Self { speed_mps: rounded(motion.speed.into(), 100.0), heading_deg: rounded(motion.heading.into(), 10.0) }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum AreaJson {
    Circle { centre: PositionJson, radius_m: f64 },
    Polygon { corners: Vec<PositionJson> },
}

impl From<&Area> for AreaJson {
    fn from(area: &Area) -> Self {
        match area {
            Area::Circle { centre, radius } => Self::Circle { centre: centre.into(), radius_m: radius.as_metres() },
            Area::Polygon(corners) => Self::Polygon { corners: corners.iter().map(PositionJson::from).collect() },
        }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum ValueJson<'a> {
    Number(f64),
    Flag(bool),
    Text(&'a str),
}

impl<'a> From<&'a Value> for ValueJson<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Number(number) => Self::Number(*number),
            Value::Flag(flag) => Self::Flag(*flag),
            Value::Text(text) => Self::Text(text),
        }
    }
}

#[derive(Serialize)]
struct UnreachedJson<'a> {
    tier: &'static str,
    reason: &'a str,
    cause: &'static str,
}

impl<'a> From<&'a Unreached> for UnreachedJson<'a> {
    fn from(unreached: &'a Unreached) -> Self {
        Self { tier: unreached.tier.as_str(), reason: &unreached.reason, cause: unreached.cause.as_str() }
    }
}

#[derive(Serialize)]
struct TierJson<'a> {
    tier: &'static str,
    outcome: &'static str,
    asked: &'a str,
    fitting: usize,
    left_out: Vec<LeftOutJson>,
    nearest_m: Option<f64>,
    text: String,
}

#[derive(Serialize)]
struct LeftOutJson {
    reason: &'static str,
    count: usize,
}

impl<'a> From<&'a TierReport> for TierJson<'a> {
    fn from(report: &'a TierReport) -> Self {
        Self {
            tier: report.tier.as_str(),
            outcome: report.outcome.as_str(),
            asked: &report.asked,
            fitting: report.fitting,
            left_out: (report.left_out.iter())
                .map(|(reason, count)| LeftOutJson { reason: reason.as_str(), count: *count })
                .collect(),
            nearest_m: report.nearest.map(|nearest| rounded(nearest.as_metres(), 100.0)),
            text: sentence(report),
        }
    }
}

/// `local: 2 among critical roadside services within 100 m; 3 too far, 1 not marked critical`.
fn sentence(report: &TierReport) -> String {
    use std::fmt::Write as _;
    use wayside_core::query::Outcome;
    let mut text = match report.outcome {
        Outcome::Answered => format!("{}: {} among {}", report.tier.as_str(), report.fitting, report.asked),
        Outcome::Empty => format!("{}: no {}", report.tier.as_str(), report.asked),
        Outcome::NotNeeded => format!("{}: not asked, a nearer tier answered", report.tier.as_str()),
        Outcome::NotConfigured => format!("{}: not configured", report.tier.as_str()),
        Outcome::Unreached => format!("{}: could not be asked", report.tier.as_str()),
    };
    for (n, (reason, count)) in report.left_out.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{} {count} {}", if n == 0 { ";" } else { "," }, reason.as_str());
    }
    if let Some(nearest) = report.nearest {
        let _ = write!(text, "; the nearest is {nearest} away");
    }
    text
}

#[derive(Serialize)]
struct ChangeJson<'a> {
    change: &'static str,
    service: ServiceJson<'a>,
}

#[derive(Serialize)]
struct EntryJson<'a> {
    #[serde(flatten)]
    service: ServiceJson<'a>,
    appeared_ms: u64,
    age_ms: u64,
    ttl_s: Option<f64>,
    sources: Vec<&'static str>,
    claims: Vec<ClaimJson<'a>>,
}

/// One source's own word.
#[derive(Serialize)]
struct ClaimJson<'a> {
    source: &'static str,
    age_ms: u64,
    ttl_s: Option<f64>,
    service: ServiceJson<'a>,
}

/// Each source once: two links of mDNS are one source to a reader.
fn sources(names: impl Iterator<Item = &'static str>) -> Vec<&'static str> {
    let mut sources: Vec<_> = names.collect();
    sources.dedup();
    sources
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn micros(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1_000.0
}

fn rounded(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}

#[cfg(test)]
mod tests;
