//! The API's answers as the command line reads them. What a newer agent says beside is passed over.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value as Json;

/// The answer to a question.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Answer {
    pub(super) instances: Vec<Instance>,
    #[serde(default)]
    pub(super) tier: Option<String>,
    #[serde(default)]
    pub(super) unreached: Vec<Unreached>,
    #[serde(default)]
    pub(super) explain: Vec<Report>,
}

/// One service that fits.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Instance {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) address: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) position: Option<Place>,
    pub(super) priority: u8,
    pub(super) critical: bool,
    pub(super) resources: BTreeMap<String, Json>,
    pub(super) metadata: BTreeMap<String, Json>,
    pub(super) health_status: String,
    pub(super) performance_metrics: Performance,
    pub(super) distance_m: Option<f64>,
    pub(super) bearing_deg: Option<f64>,
    pub(super) age_ms: u64,
    pub(super) sigma_m: Option<f64>,
    pub(super) verdict: String,
    pub(super) tier: String,
    pub(super) sources: Vec<String>,
    pub(super) trust: String,
    pub(super) ttl_s: Option<f64>,
    pub(super) stale: bool,
    pub(super) claims: Vec<Claim>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Place {
    pub(super) lat: f64,
    pub(super) lon: f64,
    #[serde(default)]
    pub(super) alt: Option<f64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Performance {
    pub(super) latency_ms: Option<f64>,
    pub(super) latency_basis: Option<String>,
}

/// A tier that could not be asked.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Unreached {
    pub(super) tier: String,
    pub(super) reason: String,
    pub(super) cause: String,
}

/// What one tier had to say.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Report {
    pub(super) tier: String,
    pub(super) outcome: String,
    pub(super) asked: String,
    pub(super) fitting: usize,
    pub(super) left_out: Vec<LeftOut>,
    pub(super) nearest_m: Option<f64>,
}

/// Why others did not fit.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LeftOut {
    pub(super) reason: String,
    pub(super) count: usize,
}

/// What one source says about a service.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Claim {
    pub(super) source: String,
    pub(super) age_ms: u64,
    pub(super) ttl_s: Option<f64>,
    pub(super) service: Box<Instance>,
}
