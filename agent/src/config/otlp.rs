//! `[otlp]`: where metrics and traces are sent.

use std::path::PathBuf;

use hyper::Uri;
use wayside_protocols::time::Duration;

use super::mqtt::pem;
use super::section::{Section, text};
use super::upstream::{Urls, token, url};

/// The collector, and what it gets.
#[derive(Clone, Debug, PartialEq)]
pub struct Otlp {
    /// Where it is; `/v1/metrics` and `/v1/traces` are below it.
    pub endpoint: Uri,
    /// How often it gets the metrics.
    pub interval: Duration,
    /// Which part of the questions that bring no trace of their own it gets, 0 to 1.
    pub sample_ratio: f64,
    /// How long one request may take.
    pub timeout: Duration,
    /// PEM with the authorities its certificate may come from; those of the system if none.
    pub ca_file: Option<PathBuf>,
    /// The file with what it is shown as `Authorization: Bearer`, read at the start.
    pub token_file: Option<PathBuf>,
}

/// Reads `[otlp]`; without it nothing is sent.
pub(super) fn read(root: &mut Section<'_, '_>) -> Option<Otlp> {
    let written = root.has("otlp");
    root.table("otlp", |section| {
        let endpoint = section.take("endpoint", |node| url(text(node)?, &Urls::web("")));
        let interval = section.duration("interval", Duration::from_secs(1), HOUR).unwrap_or(INTERVAL);
        let sample_ratio = section.number("sample_ratio", 0.0, 1.0).unwrap_or(1.0);
        let timeout = section.duration("timeout", Duration::from_millis(10), Duration::from_secs(60));
        let ca_file = pem(section, "ca_file");
        let token_file = token(section, endpoint.as_slice());
        if written && !cfg!(feature = "otlp") {
            let what = "is set, but OTLP is not in this build: it is made with --features otlp";
            section.complain("endpoint", what, "leave [otlp] out; GET /metrics has the same numbers");
        } else if written && !section.has("endpoint") {
            section.complain("endpoint", "is missing", "like \"http://127.0.0.1:4318\"");
        }
        let timeout = timeout.unwrap_or(TIMEOUT);
        Some(Otlp { endpoint: endpoint?, interval, sample_ratio, timeout, ca_file, token_file })
    })
}

const HOUR: Duration = Duration::from_secs(3_600);
const INTERVAL: Duration = Duration::from_secs(15);
const TIMEOUT: Duration = Duration::from_secs(5);
