//! `wayside show`.

use std::fmt::Write as _;

use clap::Args;
use hyper::Method;
use wayside_protocols::text::escaped;

use super::answer::Instance;
use super::client::{Client, Reply};
use super::exit::{Failure, Outcome};
use super::find::{Told, geojson};
use super::output::{Screen, Shape, tame};
use super::table::{age, endpoint, pairs, position};

/// Show everything about one service, and who says so.
#[derive(Debug, Args)]
pub(super) struct Show {
    /// The id, as `wayside services` shows it
    id: String,
    #[command(flatten)]
    told: Told,
}

impl Show {
    pub(super) async fn perform(self) -> Result<Outcome, Failure> {
        let client = Client::new(&self.told.asking);
        let path = format!("/v1/discovery/services/{}", percent(&self.id));
        let Reply::Body(text) = client.call(Method::GET, &path, String::new()).await? else {
            eprintln!("wayside: no service {}", escaped(&self.id));
            return Ok(Outcome::Nothing);
        };
        let raw: serde_json::Value = serde_json::from_str(&text).map_err(|error| client.gibberish(error))?;
        let shown = match self.told.output {
            Shape::Table | Shape::Wide => page(&serde_json::from_value(raw).map_err(|error| client.gibberish(error))?),
            Shape::Json | Shape::Jsonl => format!("{}\n", tame(text.trim_end())),
            Shape::Geojson => format!("{}\n", tame(&geojson(&[raw]).to_string())),
        };
        Screen::open().show(&shown)?;
        Ok(Outcome::Found)
    }
}

fn page(service: &Instance) -> String {
    let mut text = format!("{}\n", escaped(&service.id));
    for (label, value) in facts(service) {
        line(&mut text, label, &value);
    }
    for claim in &service.claims {
        let mut said = format!("{} ago", age(claim.age_ms));
        if let Some(ttl) = claim.ttl_s {
            said += &format!(", holds {}", age((ttl * 1e3) as u64));
        }
        for (label, value) in facts(&claim.service).into_iter().filter(|(label, _)| *label == "address") {
            said += &format!(", {label} {value}");
        }
        line(&mut text, &format!("said by {}", claim.source), &said);
    }
    text
}

fn facts(service: &Instance) -> Vec<(&'static str, String)> {
    let metrics = &service.performance_metrics;
    let latency = metrics
        .latency_ms
        .map(|millis| format!("{millis:.1} ms, {}", metrics.latency_basis.as_deref().unwrap_or("estimated")));
    let facts = [
        ("name", service.name.clone()),
        ("kind", service.kind.clone()),
        ("address", endpoint(service)),
        ("position", position(service)),
        ("health", service.health_status.clone()),
        ("latency", latency.unwrap_or_default()),
        ("trust", service.trust.clone()),
        ("priority", service.priority.to_string()),
        ("critical", if service.critical { "yes" } else { "no" }.to_owned()),
        ("resources", pairs(&service.resources)),
        ("metadata", pairs(&service.metadata)),
        ("heard", format!("{} ago", age(service.age_ms))),
    ];
    facts.into_iter().filter(|(_, value)| !value.is_empty() && value != "-").collect()
}

fn line(text: &mut String, label: &str, value: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "  {:<14} {}", escaped(label), escaped(value));
}

/// `id` as one segment of a path (RFC 3986 section 2.1).
pub(super) fn percent(id: &str) -> String {
    let mut path = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'@' | b':') {
            path.push(char::from(byte));
        } else {
            let _ = write!(path, "%{byte:02X}");
        }
    }
    path
}
