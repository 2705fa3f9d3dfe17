//! Changes as they happen, as server-sent events.

use std::convert::Infallible;

use axum::extract::{Extension, Query, State};
use axum::http::{HeaderValue, Uri, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use serde_json::Value as Json;

use wayside_core::watch::Filter;
use wayside_protocols::time::Duration;

use crate::api::fields::Fields;
use crate::api::problem::{MALFORMED, NO_POSITION, Problem};
use crate::api::query::{DEFAULT_RADIUS, NAME, kinds, point, reach, sector};
use crate::api::serve::Seat;
use crate::api::{Api, json};

/// `GET /v1/discovery/watch`: `reset`, then the whole picture as `appeared`, then changes; of what only moves,
/// one a second.
///
/// A reader that falls too far behind hears `reset` and the whole picture again. A comment every 15 s tells both sides
/// that the other is still there.
pub(super) async fn open(State(api): State<Api>, seat: Option<Extension<Seat>>, uri: Uri) -> Result<Response, Problem> {
    let filter = filter(&api, &uri).await?;
    let watching = api.handle.watch(filter).await?;
    if let Some(Extension(seat)) = seat {
        // From here on it counts against the watchers: connections that stay for hours must not keep others out.
        seat.leave();
    }
    let events = unfold(watching, async |mut watching| {
        let (name, data) = json::event(&watching.next().await?);
        let event = Event::default().event(name).data(String::from_utf8_lossy(&data));
        Some((Ok::<_, Infallible>(event), watching))
    });
    let mut response = Sse::new(Box::pin(events)).keep_alive(KeepAlive::new().interval(QUIET)).into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    Ok(response)
}

async fn filter(api: &Api, uri: &Uri) -> Result<Filter, Problem> {
    let mut fields = parameters(uri)?;
    let name = match fields.text("service")?.as_deref() {
        None | Some("*") => None,
        Some(given) => Some(given.parse().map_err(|_| Problem::field("service", &given.into(), NAME))?),
    };
    let centre = point(&mut fields)?;
    let radius = reach(&mut fields)?;
    let kinds = kinds(&mut fields)?;
    let (heading, sector) = (sector(&mut fields, "heading")?, sector(&mut fields, "sector")?);
    let dwell = fields.duration("dwell", LONGEST_DWELL)?.unwrap_or_default();
    fields.finish()?;
    for (field, given) in [("heading", heading), ("sector", sector)] {
        if given.is_some_and(|sector| sector.relative) {
            let limit = "degrees from true north: a watch does not turn with the agent";
            return Err(Problem::field(field, &"relative to the agent's heading".into(), limit));
        }
    }
    let filter = Filter { name, circle: None, kinds, heading, sector, dwell };
    let centre = match (centre, radius) {
        (None, None) if sector.is_none() => return Ok(filter),
        (Some(centre), _) => centre,
        (None, _) => {
            let here = api.handle.read(|agent, now| agent.whereabouts(now)).await?;
            here.map_err(|lost| Problem::new(&NO_POSITION, format!("{lost}; or give lat and lon")))?.position
        }
    };
    Ok(Filter { circle: Some((centre, radius.unwrap_or(DEFAULT_RADIUS))), ..filter })
}

/// The parameters of a request target, to be read as the fields of a body are.
pub(super) fn parameters(uri: &Uri) -> Result<Fields, Problem> {
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|_| Problem::new(&MALFORMED, "the query is not percent-encoded UTF-8"))?;
    Ok(Fields::new(
        pairs
            .0
            .into_iter()
            .map(|(key, text)| {
                let value = if TEXTS.contains(&key.as_str()) { Json::String(text) } else { typed(text) };
                (key, value)
            })
            .collect(),
    ))
}

/// A parameter as JSON would have it: the same checks then serve both.
fn typed(text: String) -> Json {
    let number = text.parse::<f64>().ok().and_then(serde_json::Number::from_f64);
    number.map_or(Json::String(text), Json::Number)
}

/// Parameters that are texts even where they look like numbers.
const TEXTS: [&str; 7] = ["service", "min_trust", "kind", "heading", "sector", "dwell", "relevance_distance"];
/// The longest dwell a watch may ask for.
const LONGEST_DWELL: Duration = Duration::from_secs(60);
/// How long a watch is silent at the most.
const QUIET: Duration = Duration::from_secs(15);
