//! Sends metrics and traces to a collector: OTLP over HTTP, as JSON.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value as Json, json};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};
use wayside_protocols::service::AgentId;
use wayside_protocols::time::Duration;

use super::web::{Connector, Web};
use crate::api::{Api, otlp};
use crate::clock::Clock;
use crate::config::Otlp;
use crate::driver::{Inbox, Tally};
use crate::trace::{Record, text};

/// Sends what is recorded every second, and the metrics every `interval`, until the agent stops. One request is made at a
/// time; what a collector does not take within `timeout` is dropped and counted, and not sent again.
pub async fn run(wanted: Otlp, api: Api, mut records: mpsc::Receiver<Record>, inbox: Inbox, clock: Clock) {
    let web = match web(&wanted) {
        Ok(web) => web,
        Err(trouble) => return warn!("nothing is sent to {}: {trouble}", wanted.endpoint),
    };
    let began = clock.wall().0;
    let mut line = Line { web, wanted, agent: api.agent().clone(), tally: Arc::clone(inbox.tally()), well: None };
    let (mut due, mut batch) = (clock.now() + line.wanted.interval, Vec::new());
    loop {
        let full = batch.len() >= BATCH;
        tokio::select! {
            () = inbox.closed() => return,
            record = records.recv(), if !full => match record {
                Some(record) => {
                    batch.push(record);
                    continue;
                }
                None => return,
            },
            () = sleep(if full { Duration::ZERO } else { SOON }) => {}
        }
        if !batch.is_empty() {
            line.traces(std::mem::take(&mut batch)).await;
        }
        if clock.now() >= due {
            due = clock.now() + line.wanted.interval;
            // It fails only while the agent is stopping, or has too much to do.
            if let Ok(metrics) = otlp::metrics(&api, (began, clock.wall().0)).await {
                line.metrics(metrics).await;
            }
        }
    }
}

struct Line {
    web: Web,
    wanted: Otlp,
    agent: AgentId,
    tally: Arc<Tally>,
    /// Whether the last request was taken; `None` before the first.
    well: Option<bool>,
}

impl Line {
    async fn traces(&mut self, batch: Vec<Record>) {
        let spans: Vec<Json> = batch.iter().flat_map(Record::json).collect();
        let count = spans.len() as u64;
        let scope = json!({ "scope": self.scope(), "spans": spans });
        let body = json!({ "resourceSpans": [{ "resource": self.resource(), "scopeSpans": [scope] }] });
        let counter = if self.post("/v1/traces", &body).await {
            &self.tally.otlp_spans_sent
        } else {
            &self.tally.otlp_spans_dropped
        };
        counter.fetch_add(count, Ordering::Relaxed);
    }

    async fn metrics(&mut self, metrics: Vec<Json>) {
        let scope = json!({ "scope": self.scope(), "metrics": metrics });
        let body = json!({ "resourceMetrics": [{ "resource": self.resource(), "scopeMetrics": [scope] }] });
        self.post("/v1/metrics", &body).await;
    }

    async fn post(&mut self, path: &str, body: &Json) -> bool {
        let to = &self.wanted.endpoint;
        let answer = timeout(self.wanted.timeout, self.web.post(to, path, body.to_string().into_bytes(), ANSWER)).await;
        let trouble = match answer {
            Ok(Ok(reply)) if reply.status.is_success() => None,
            Ok(Ok(reply)) => Some(format!("status {}", reply.status.as_u16())),
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer within {} ms", self.wanted.timeout.as_millis())),
        };
        match (&trouble, self.well) {
            (Some(trouble), None | Some(true)) => warn!(%to, path, trouble, "the collector does not take what is sent"),
            (None, None | Some(false)) => info!(%to, "the collector takes what is sent"),
            (Some(_), Some(false)) | (None, Some(true)) => {}
        }
        self.well = Some(trouble.is_none());
        if trouble.is_some() {
            Tally::add(&self.tally.otlp_failures);
        }
        trouble.is_none()
    }

    fn resource(&self) -> Json {
        json!({ "attributes": [
            text("service.name", "wayside"),
            text("service.version", env!("CARGO_PKG_VERSION")),
            text("service.instance.id", self.agent.as_str()),
        ] })
    }

    fn scope(&self) -> Json {
        json!({ "name": "wayside", "version": env!("CARGO_PKG_VERSION") })
    }
}

fn web(wanted: &Otlp) -> Result<Web, String> {
    let token = match &wanted.token_file {
        None => None,
        Some(path) => Some(fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?),
    };
    Ok(Web::new(connector(wanted)?, token.as_deref().map(str::trim)))
}

#[cfg(feature = "tls")]
fn connector(wanted: &Otlp) -> Result<Connector, String> {
    if wanted.endpoint.scheme_str() != Some("https") {
        return Ok(Connector::default());
    }
    let files = super::tls::Files { ca: wanted.ca_file.clone(), identity: None };
    files.load().map(Connector::secure).map_err(|error| error.to_string())
}

#[cfg(not(feature = "tls"))]
fn connector(_: &Otlp) -> Result<Connector, String> {
    Ok(Connector::default())
}

/// Questions whose records wait at the most; a further record is dropped and counted.
pub const RECORDS: usize = 256;
/// Questions whose records go out in one request at the most.
const BATCH: usize = 256;
/// How long records are gathered.
const SOON: Duration = Duration::from_secs(1);
/// Bytes of a collector's answer.
const ANSWER: usize = 64 * 1_024;
