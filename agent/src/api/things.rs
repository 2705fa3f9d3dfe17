//! Devices as Things of the Web of Things: the directory, each description, and the values.
//!
//! Heads up: "Web of Things (WoT) Discovery" (W3C Recommendation, 2023-12-05) rules the paths, section 7.3 the directory;
//! here it can be read and not written.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Uri, header, uri::Authority};
use axum::response::{IntoResponse, Response};
use serde_json::{Value as Json, json};

use wayside_protocols::service::{ServiceId, Value};

use crate::api::problem::{Problem, UNKNOWN_THING, UNREADABLE};
use crate::api::routes::{PathError, as_json, path};
use crate::api::{Api, text, watch};
use crate::io::bus::keeper::{Devices, Known, ReadError, way};
use crate::things::{Door, Thing};

/// `GET /things?offset=..&limit=..`: the descriptions, by their ids; `Link` leads to those that follow.
pub(super) async fn list(State(api): State<Api>, uri: Uri, headers: HeaderMap) -> Result<Response, Problem> {
    let mut fields = watch::parameters(&uri)?;
    let offset = fields.whole("offset", 0, u64::from(u32::MAX))?.unwrap_or(0);
    let limit = fields.whole("limit", 1, MOST)?.unwrap_or(MOST / 10);
    fields.finish()?;
    let known = match devices(&api) {
        Some(devices) => devices.list().await,
        None => Vec::new(),
    };
    let (skip, take) = (usize::try_from(offset).unwrap_or(usize::MAX), usize::try_from(limit).unwrap_or(usize::MAX));
    let base = base(&api, &headers);
    let page: Vec<Json> = known.iter().skip(skip).take(take).map(|known| thing(&api, known, &base)).collect();
    let mut response = typed("application/ld+json", text::json(&page));
    if known.len() > skip.saturating_add(take) {
        let next = format!("</things?offset={}&limit={limit}>; rel=\"next\"", offset + limit);
        if let Ok(next) = HeaderValue::try_from(next) {
            response.headers_mut().insert(header::LINK, next);
        }
    }
    Ok(response)
}

/// `GET /things/{id}`: one description.
pub(super) async fn show(
    State(api): State<Api>,
    id: Result<Path<String>, PathError>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (_, known) = find(&api, &path(id)?).await?;
    Ok(typed("application/td+json", text::json(&thing(&api, &known, &base(&api, &headers)))))
}

/// `GET /things/{id}/properties/{name}`: the value as the device has it now.
pub(super) async fn read(
    State(api): State<Api>,
    names: Result<Path<(String, String)>, PathError>,
) -> Result<Response, Problem> {
    let Ok(Path((id, name))) = names else { return Err(unknown("", "")) };
    let (devices, known) = find(&api, &id).await?;
    if !known.device.identified.points().iter().any(|point| *point.name == *name) {
        return Err(unknown(&id, &name));
    }
    let refused = |why: String| Problem::new(&UNREADABLE, why).about("name", name.as_str());
    let readings = devices.read(&known.id, &[&name]).await.map_err(|error| match error {
        ReadError::Unknown(_) => unknown(&id, &name),
        ReadError::Ask(error) => refused(error.to_string()),
    })?;
    let reading = readings.into_iter().find(|reading| *reading.point == *name).ok_or_else(|| unknown(&id, &name))?;
    let value = reading.value.map_err(|missing| refused(missing.to_string()))?;
    Ok(as_json(text::json(&match value {
        Value::Number(number) => Json::from(number),
        Value::Flag(flag) => flag.into(),
        Value::Text(text) => Json::from(&*text),
    })))
}

/// `GET /.well-known/wot`: the directory describes itself.
pub(super) async fn directory(State(api): State<Api>, headers: HeaderMap) -> Response {
    let door = base(&api, &headers);
    let thing = json!({
        "@context": ["https://www.w3.org/2022/wot/td/v1.1", "https://www.w3.org/2022/wot/discovery"],
        "@type": "ThingDirectory",
        "id": format!("urn:wayside:directory:{}", api.options.agent),
        "title": format!("Devices of {}", api.options.agent),
        "securityDefinitions": door.definitions(),
        "security": door.security(),
        "properties": { "things": {
            "description": "Descriptions of the devices this agent keeps",
            "type": "array",
            "readOnly": true,
            "uriVariables": {
                "offset": { "type": "integer", "minimum": 0, "default": 0 },
                "limit": { "type": "integer", "minimum": 1, "maximum": MOST },
            },
            "forms": [{
                "href": format!("{}/things{{?offset,limit}}", door.base),
                "op": "readproperty",
                "contentType": "application/ld+json",
                "htv:methodName": "GET",
            }],
        } },
    });
    typed("application/td+json", text::json(&thing))
}

fn thing(api: &Api, known: &Known, door: &Door) -> Json {
    let way = way(&known.device.target);
    let mut thing =
        Thing { id: &known.id, identified: &known.device.identified, way: &way, unit: known.device.unit, door }
            .describe();
    thing["wayside:agent"] = api.options.agent.as_str().into();
    thing
}

fn devices(api: &Api) -> Option<&Devices> {
    api.options.field.as_ref().map(|field| &field.devices)
}

async fn find<'a>(api: &'a Api, id: &str) -> Result<(&'a Devices, Known), Problem> {
    let devices = devices(api).ok_or_else(|| unknown(id, ""))?;
    let named: ServiceId = id.parse().map_err(|_| unknown(id, ""))?;
    let known = devices.find(&named).await.ok_or_else(|| unknown(id, ""))?;
    Ok((devices, known))
}

/// Where whoever asks has reached this agent, and whether a token is needed there.
fn base(api: &Api, headers: &HeaderMap) -> Door {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    let base = host.zip(api.options.scheme).map_or_else(String::new, |(host, scheme)| format!("{scheme}://{host}"));
    Door { base, token: api.options.token.is_some() }
}

fn typed(media: &'static str, bytes: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, media)], bytes).into_response()
}

fn unknown(id: &str, name: &str) -> Problem {
    if name.is_empty() {
        return Problem::new(&UNKNOWN_THING, "no device of that id is known here").about("id", id);
    }
    Problem::new(&UNKNOWN_THING, "the device has no property of that name").about("name", name)
}

/// Descriptions of one answer at the most; a tenth of it unless more are wanted.
const MOST: u64 = 1_000;
