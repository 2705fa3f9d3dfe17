//! What OTLP is told of the API: what `/metrics` shows, in its JSON, and each question.

use axum::http::HeaderValue;
use serde_json::{Value as Json, json};
use wayside_core::query::{Answer, Query};

use crate::api::Api;
use crate::api::health::Vitals;
use crate::api::metrics::{COUNTERS, GAUGES, QUERY, QUERY_HELP};
use crate::api::problem::Problem;
use crate::trace::Asked;

/// Every metric at this moment. Times are milliseconds since 1970: of the start, from which all is counted, and of now.
pub(crate) async fn metrics(api: &Api, (start, now): (u64, u64)) -> Result<Vec<Json>, Problem> {
    let values = Vitals::read(api).await?.named();
    let (start, now) = (nanos(start), nanos(now));
    let point = |name: &str| {
        let value = values.get(name).copied().unwrap_or_default().to_string();
        json!({ "startTimeUnixNano": start, "timeUnixNano": now, "asInt": value })
    };
    let gauges = GAUGES.iter().map(|(name, help)| {
        json!({ "name": format!("wayside_{name}"), "description": help, "gauge": { "dataPoints": [point(name)] } })
    });
    let counters = COUNTERS.iter().map(|(name, help)| {
        let sum = json!({ "dataPoints": [point(name)], "aggregationTemporality": CUMULATIVE, "isMonotonic": true });
        json!({ "name": format!("wayside_{name}"), "description": help, "sum": sum })
    });
    let (bounds, buckets, seconds) = api.tally.took.read();
    let took = json!({
        "startTimeUnixNano": start, "timeUnixNano": now, "sum": seconds,
        "count": buckets.iter().sum::<u64>().to_string(),
        "explicitBounds": bounds,
        "bucketCounts": buckets.iter().map(u64::to_string).collect::<Vec<_>>(),
    });
    let histogram = json!({
        "name": format!("wayside_{QUERY}"), "description": QUERY_HELP, "unit": "s",
        "histogram": { "dataPoints": [took], "aggregationTemporality": CUMULATIVE },
    });
    Ok(gauges.chain(counters).chain([histogram]).collect())
}

/// A question that is being recorded, and the service it asks for.
pub(super) struct Traced {
    asked: Asked,
    service: Box<str>,
}

/// A question was read, or could not be; it is asked in the name of `traceparent`, or in its own.
pub(super) fn begin(
    api: &Api,
    traceparent: Option<&HeaderValue>,
    query: Result<Query, Problem>,
) -> (Option<Traced>, Result<Query, Problem>) {
    let Some(recorder) = &api.options.recorder else { return (None, query) };
    let asked = recorder.begin(traceparent.and_then(|header| header.to_str().ok()));
    let service = match &query {
        Ok(query) => query.name.as_ref().map_or_else(|| "*".into(), |name| name.as_str().into()),
        Err(_) => Box::default(),
    };
    let query = query.map(|query| Query { trace: Some(asked.trace), ..query });
    (Some(Traced { asked, service }), query)
}

/// It was answered, or refused.
pub(super) fn end(api: &Api, traced: Option<Traced>, answered: Result<&Answer, &Problem>) {
    if let (Some(recorder), Some(Traced { asked, service })) = (&api.options.recorder, traced) {
        recorder.end(asked, &service, answered.map_err(|problem| problem.status().as_u16()));
    }
}

fn nanos(millis: u64) -> String {
    format!("{millis}000000")
}

/// Counted from the start, not from the last time.
const CUMULATIVE: u8 = 2;
