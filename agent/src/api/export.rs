//! What is near, in the words of the tools people already run.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use serde::Serialize;

use wayside_core::agent::Agent;
use wayside_protocols::service::{Health, Service, ServiceName, Trust};

use crate::api::problem::Problem;
use crate::api::query::NAME;
use crate::api::routes::as_json;
use crate::api::{Api, text, watch};

/// `GET /v1/export/prometheus-sd?service=..&min_trust=..`: targets for Prometheus' `http_sd_configs`. Always the whole
/// list, `[]` if nothing fits (Prometheus documentation, "HTTP SD endpoint"). What fails its health check stays in: that
/// it cannot be scraped is what its `up` is for.
pub(super) async fn prometheus(State(api): State<Api>, uri: Uri) -> Result<Response, Problem> {
    let mut fields = watch::parameters(&uri)?;
    let name: Option<ServiceName> = match fields.text("service")?.as_deref() {
        None => return Err(Problem::missing("service", "a service name such as node-exporter, or * for any")),
        Some("*") => None,
        Some(given) => Some(given.parse().map_err(|_| Problem::field("service", &given.into(), NAME))?),
    };
    let least = fields.parsed("min_trust")?.unwrap_or(Trust::Unsigned);
    fields.finish()?;
    let look = move |agent: &Agent, _| {
        let fits = |service: &Service| name.as_ref().is_none_or(|name| *name == service.name) && service.trust >= least;
        let entries = agent.entries().map(|entry| entry.shown());
        text::json(
            &entries
                .filter(|service| fits(service))
                .filter_map(|service| Target::of(service))
                .take(MOST)
                .collect::<Vec<_>>(),
        )
    };
    Ok(as_json(api.handle.read(look).await?))
}

/// One target with what is known of it, to be made into labels by the user's own relabelling.
#[derive(Serialize)]
struct Target {
    targets: [String; 1],
    labels: BTreeMap<String, String>,
}

impl Target {
    /// `None` for what has no port to scrape.
    fn of(service: &Service) -> Option<Self> {
        let endpoint = service.endpoint.as_ref().filter(|endpoint| endpoint.port != 0)?;
        let meta = |name: &str| format!("__meta_wayside_{name}");
        let mut labels = BTreeMap::from([
            (meta("id"), service.id.to_string()),
            (meta("name"), service.name.to_string()),
            (meta("kind"), service.kind.to_string()),
            (meta("trust"), service.trust.as_str().to_owned()),
            (meta("health"), service.health.as_str().to_owned()),
            (meta("failing"), (service.health == Health::Failing).to_string()),
        ]);
        labels.extend(service.agent.as_ref().map(|agent| (meta("agent"), agent.to_string())));
        if let Some(fix) = &service.fix {
            labels.insert(meta("lat"), format!("{:.7}", fix.position.latitude()));
            labels.insert(meta("lon"), format!("{:.7}", fix.position.longitude()));
        }
        for (key, value) in service.metadata.iter().take(KEYS) {
            labels.insert(meta(&format!("metadata_{}", label(key))), value.to_string());
        }
        Some(Self { targets: [endpoint.to_string()], labels })
    }
}

/// A key as the name of a label may be: letters, digits and underscores.
fn label(key: &str) -> String {
    key.chars()
        .take(64)
        .map(|mark| if mark.is_ascii_alphanumeric() { mark.to_ascii_lowercase() } else { '_' })
        .collect()
}

/// Targets in one answer.
const MOST: usize = 10_000;
/// Metadata that become labels, for each target.
const KEYS: usize = 32;
