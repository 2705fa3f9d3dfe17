//! Which call does what.

use std::iter::once;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use tokio::time::timeout;

use wayside_protocols::service::ServiceId;
use wayside_protocols::time::Timestamp;

use crate::api::host::Hosts;
#[cfg(feature = "otlp")]
use crate::api::otlp;
use crate::api::problem::{
    BODY_LARGE, BODY_SLOW, MALFORMED, NO_METHOD, NO_ROUTE, Problem, UNAUTHORIZED, UNKNOWN_SERVICE, URI_LONG,
};
use crate::api::registration::{LeaseJson, Registrar, RegistrationJson};
use crate::api::{
    Api, Listen, answer, envoy, export, health, json, metrics, page, position, query, registration, registry, surveys,
    text, things, watch,
};

/// Every route of the API as it is served on `listen`.
pub(super) fn router(api: &Api, listen: &Listen) -> Router {
    let mut router = Router::new();
    for (path, methods) in PATHS {
        router = router.route(path, methods());
    }
    router
        .fallback(async || Problem::new(&NO_ROUTE, "see GET /openapi.json for what is here"))
        .method_not_allowed_fallback(async || Problem::new(&NO_METHOD, "see GET /openapi.json for what it takes"))
        .layer(from_fn_with_state((api.clone(), Hosts::of(listen)), door))
        .with_state(api.clone())
}

/// The paths, and what each takes. `openapi.json` lists the same.
pub(super) const PATHS: [(&str, Methods); 21] = [
    ("/v1/discovery/services", || post(find)),
    ("/v1/discovery/services/{id}", || get(show)),
    ("/v1/discovery/registration", || post(register)),
    ("/v1/discovery/registration/{id}", || get(registered).put(renew).delete(withdraw)),
    ("/v1/discovery/health", || get(health::report)),
    ("/v1/discovery/rejected", || get(rejected)),
    ("/v1/discovery/watch", || get(watch::open)),
    ("/v1/discovery/devices", || get(surveys::list).post(surveys::begin)),
    ("/v1/discovery/devices/{id}", || get(surveys::look).delete(surveys::end)),
    ("/v1/discovery/devices/{id}/events", || get(surveys::follow)),
    ("/things", || get(things::list)),
    ("/things/{id}", || get(things::show)),
    ("/things/{id}/properties/{name}", || get(things::read)),
    ("/.well-known/wot", || get(things::directory)),
    ("/v1/registry/announcement", || post(registry::announce)),
    ("/v1/export/prometheus-sd", || get(export::prometheus)),
    ("/v3/discovery:endpoints", || post(envoy::endpoints)),
    ("/v1/position", || get(position::get).put(position::put)),
    ("/metrics", || get(metrics::show)),
    ("/openapi.json", || get(async || as_json(OPENAPI.into()))),
    ("/", || get(page::show)),
];

/// What one path takes, by method.
type Methods = fn() -> MethodRouter<Api>;

/// A body that is JSON.
pub(super) fn as_json(bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], bytes).into_response()
}

/// What every request passes before it is read any further.
async fn door(State((api, hosts)): State<(Api, Hosts)>, request: Request, next: Next) -> Response {
    api.tally.requests.fetch_add(1, Ordering::Relaxed);
    let mut response = match admit(&api, &hosts, &request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        api.tally.refused.fetch_add(1, Ordering::Relaxed);
    }
    if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT) {
        // Whoever is turned away gives the place back; what is left of a body is not read.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let nosniff = HeaderValue::from_static("nosniff");
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}

fn admit(api: &Api, hosts: &Hosts, request: &Request) -> Result<(), Problem> {
    hosts.check(request.uri(), request.headers())?;
    let (length, limit) = (request.uri().to_string().len(), api.options.caps.target_bytes);
    if length > limit {
        let detail = format!("the request target has {length} bytes; allowed are {limit}");
        return Err(Problem::new(&URI_LONG, detail).limit(limit.to_string()));
    }
    let Some(token) = &api.options.token else { return Ok(()) };
    let given =
        request.headers().get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    if given.is_some_and(|given| same(given, token.as_bytes())) {
        return Ok(());
    }
    Err(Problem::new(&UNAUTHORIZED, "send Authorization: Bearer with the token of api.token_file"))
}

/// Compares without telling by the time it takes how much of it was right.
fn same(given: &[u8], token: &[u8]) -> bool {
    given.len() == token.len() && given.iter().zip(token).fold(0, |odd, (a, b)| odd | (a ^ b)) == 0
}

async fn find(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    registry::ready(&api)?;
    #[cfg(feature = "otlp")]
    let traceparent = request.headers().get("traceparent").cloned();
    let body = body(&api, request).await?;
    let began = api.options.clock.now();
    let query = query::read(&body);
    #[cfg(feature = "otlp")]
    let (traced, query) = otlp::begin(&api, traceparent.as_ref(), query);
    let answered = match query {
        Ok(query) => answer(&api.handle, query).await,
        Err(problem) => Err(problem),
    };
    let bytes = answered.as_ref().map(json::answer).unwrap_or_default();
    api.tally.took.add(api.options.clock.now().since(began));
    #[cfg(feature = "otlp")]
    otlp::end(&api, traced, answered.as_ref());
    answered.map(|_| as_json(bytes))
}

async fn show(State(api): State<Api>, id: Result<Path<String>, PathError>) -> Result<Response, Problem> {
    let id = path(id)?;
    let own = registration::id(&id, &api.options.agent).ok();
    let named: ServiceId = id.parse().map_err(|_| Problem::field("id", &id.as_str().into(), SERVICE_ID))?;
    let look = move |agent: &wayside_core::agent::Agent, now: Timestamp| {
        once(named).chain(own).find_map(|id| {
            let entry = agent.entry(&id)?;
            Some(json::entry(entry, agent.standing(&id, now), now))
        })
    };
    api.handle.read(look).await?.map(as_json).ok_or_else(|| unknown(&id))
}

async fn register(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let body = body(&api, request).await?;
    let serial = api.tally.made.fetch_add(1, Ordering::Relaxed);
    let registrar =
        Registrar { agent: &api.options.agent, kind: api.options.kind, unique: (api.options.epoch, serial) };
    let registration = registration::read(&body, registrar, api.options.clock.now())?;
    let lease = api.handle.register(registration).await?;
    let lease = LeaseJson::from(&lease);
    let location = HeaderValue::try_from(format!("/v1/discovery/registration/{}", lease.id.replace('%', "%25")));
    let mut response = (StatusCode::CREATED, as_json(text::json(&lease))).into_response();
    // An own id is a label, `@` and a label: always a legal header.
    if let Ok(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

async fn registered(State(api): State<Api>, id: Result<Path<String>, PathError>) -> Result<Response, Problem> {
    let given = path(id)?;
    let id = registration::id(&given, &api.options.agent)?;
    let look = move |agent: &wayside_core::agent::Agent, now: Timestamp| {
        let found = agent.registrations(now).find(|(registration, ..)| registration.service.id == id);
        found.map(|(registration, source, left)| text::json(&RegistrationJson::new(registration, source, left)))
    };
    api.handle.read(look).await?.map(as_json).ok_or_else(|| unknown(&given))
}

async fn renew(State(api): State<Api>, id: Result<Path<String>, PathError>) -> Result<Response, Problem> {
    let id = registration::id(&path(id)?, &api.options.agent)?;
    let lease = api.handle.renew(id).await?;
    Ok(as_json(text::json(&LeaseJson::from(&lease))))
}

async fn withdraw(State(api): State<Api>, id: Result<Path<String>, PathError>) -> Result<StatusCode, Problem> {
    let id = registration::id(&path(id)?, &api.options.agent)?;
    api.handle.withdraw(id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn rejected(State(api): State<Api>) -> Result<Response, Problem> {
    Ok(as_json(api.handle.read(|agent, now| json::rejected(&agent.rejections(), now)).await?))
}

/// The whole body, if it is short enough and comes soon enough.
pub(super) async fn body(api: &Api, request: Request) -> Result<Vec<u8>, Problem> {
    body_up_to(api.options.caps.body_bytes, api, request).await
}

/// The same, of at most `limit` bytes.
pub(super) async fn body_up_to(limit: usize, api: &Api, request: Request) -> Result<Vec<u8>, Problem> {
    let time = api.options.caps.body_time;
    let large = || {
        let detail = format!("the body has more than {limit} bytes");
        Problem::new(&BODY_LARGE, detail).limit(format!("{limit} bytes"))
    };
    let said = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if said.is_some_and(|length: u64| length > limit as u64) {
        return Err(large());
    }
    let read = timeout(time, to_bytes(Body::new(request.into_body()), limit)).await;
    let read = read.map_err(|_| {
        let detail = format!("the body took longer than {} s", time.as_secs());
        Problem::new(&BODY_SLOW, detail).limit(format!("{} s", time.as_secs()))
    })?;
    read.map(Into::into).map_err(|error| match too_long(&error) {
        true => large(),
        false => Problem::new(&MALFORMED, "the body broke off"),
    })
}

fn too_long(error: &axum::Error) -> bool {
    std::error::Error::source(error).is_some_and(|cause| cause.is::<http_body_util::LengthLimitError>())
}

pub(super) type PathError = axum::extract::rejection::PathRejection;

pub(super) fn path(id: Result<Path<String>, PathError>) -> Result<String, Problem> {
    match id {
        Ok(Path(id)) => Ok(id),
        Err(_) => Err(Problem::new(&MALFORMED, "the id in the path is not percent-encoded UTF-8")),
    }
}

fn unknown(id: &str) -> Problem {
    Problem::new(&UNKNOWN_SERVICE, "nobody vouches for that id here").about("id", id)
}

const SERVICE_ID: &str = "1 to 255 bytes without control characters";
const OPENAPI: &[u8] = include_bytes!("openapi.json");

#[cfg(test)]
mod tests;
