//! What went wrong, for programs and for people (RFC 9457).

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use serde::Serialize;
use serde_json::Value;

use crate::api::text;

/// One problem: what kind, and which field, value and limit it is about where there is one.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Problem(Box<Told>);

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Told {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<String>,
}

impl Problem {
    /// 400: `value` is not allowed in `field` (a path such as `constraints.location.lat`); `limit` says what is.
    pub(crate) fn field(field: &str, value: &Value, limit: &str) -> Self {
        let value = shortened(value);
        let detail = format!("{field} is {value}; allowed is {limit}");
        Self::new(&INVALID_FIELD, detail).about(field, value).limit(limit)
    }

    /// 400: `field` is not there and must be; `limit` says what it may be.
    pub(crate) fn missing(field: &str, limit: &str) -> Self {
        Self::new(&INVALID_FIELD, format!("{field} is missing; it is {limit}")).at(field).limit(limit)
    }

    /// 400: nobody here knows `field`; `known` are those that may stand in its place.
    pub(crate) fn unknown_field(field: &str, known: &str) -> Self {
        let detail = format!("{field} is not known here; known are {known}");
        Self::new(&UNKNOWN_FIELD, detail).at(field).limit(known)
    }

    /// A problem of a `sort` with words of its own.
    pub(crate) fn new(sort: &Sort, detail: impl Into<String>) -> Self {
        let (kind, title, status) = (sort.kind, sort.title, sort.status.as_u16());
        Self(Box::new(Told { kind, title, status, detail: detail.into(), field: None, value: None, limit: None }))
    }

    /// The same, naming the cap that was hit.
    pub(crate) fn limit(mut self, limit: impl Into<String>) -> Self {
        self.0.limit = Some(limit.into());
        self
    }

    /// The same, naming the field and the value it is about.
    pub(crate) fn about(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.0.value = Some(shortened(&value.into()));
        self.at(field)
    }

    fn at(mut self, field: &str) -> Self {
        self.0.field = Some(field.into());
        self
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// As JSON text.
    pub fn to_json(&self) -> Vec<u8> {
        text::json(self)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.to_json()));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match self.status() {
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        response
    }
}

/// A sort of problem: its type, its title, and the status it travels with.
#[derive(Debug)]
pub(crate) struct Sort {
    kind: &'static str,
    title: &'static str,
    status: StatusCode,
}

const fn sort(kind: &'static str, title: &'static str, status: StatusCode) -> Sort {
    Sort { kind, title, status }
}

pub(crate) const MALFORMED: Sort =
    sort("urn:wayside:problem:malformed-json", "The body is not JSON", StatusCode::BAD_REQUEST);
pub(crate) const INVALID_FIELD: Sort =
    sort("urn:wayside:problem:invalid-field", "A field has a value that is not allowed", StatusCode::BAD_REQUEST);
pub(crate) const UNKNOWN_FIELD: Sort =
    sort("urn:wayside:problem:unknown-field", "A field is not known", StatusCode::BAD_REQUEST);
pub(crate) const NO_POSITION: Sort =
    sort("urn:wayside:problem:no-position", "The agent does not know where it stands", StatusCode::CONFLICT);
pub(crate) const POSITIONED: Sort =
    sort("urn:wayside:problem:position-ruled", "Something else says where the agent stands", StatusCode::CONFLICT);
pub(crate) const BODY_SLOW: Sort =
    sort("urn:wayside:problem:slow-body", "The body did not arrive in time", StatusCode::REQUEST_TIMEOUT);
pub(crate) const LATE: Sort =
    sort("urn:wayside:problem:deadline", "The deadline has passed", StatusCode::GATEWAY_TIMEOUT);
pub(crate) const BODY_LARGE: Sort =
    sort("urn:wayside:problem:body-too-large", "The body is too large", StatusCode::PAYLOAD_TOO_LARGE);
pub(crate) const URI_LONG: Sort =
    sort("urn:wayside:problem:uri-too-long", "The request target is too long", StatusCode::URI_TOO_LONG);
pub(crate) const FORBIDDEN_HOST: Sort =
    sort("urn:wayside:problem:forbidden-host", "The request was meant for another host", StatusCode::FORBIDDEN);
pub(crate) const UNAUTHORIZED: Sort =
    sort("urn:wayside:problem:unauthorized", "A token is needed", StatusCode::UNAUTHORIZED);
pub(crate) const NO_ROUTE: Sort = sort("urn:wayside:problem:no-such-path", "Nothing is here", StatusCode::NOT_FOUND);
pub(crate) const NO_METHOD: Sort =
    sort("urn:wayside:problem:method", "This path does not take that method", StatusCode::METHOD_NOT_ALLOWED);
pub(crate) const UNKNOWN_SERVICE: Sort =
    sort("urn:wayside:problem:unknown-service", "No such service", StatusCode::NOT_FOUND);
pub(crate) const UNKNOWN_SURVEY: Sort =
    sort("urn:wayside:problem:unknown-survey", "No such survey", StatusCode::NOT_FOUND);
pub(crate) const UNKNOWN_THING: Sort =
    sort("urn:wayside:problem:unknown-thing", "No such thing, or it has no such property", StatusCode::NOT_FOUND);
pub(crate) const NOT_ALLOWED: Sort =
    sort("urn:wayside:problem:not-allowed", "The configuration does not allow it", StatusCode::FORBIDDEN);
pub(crate) const TAKEN: Sort = sort("urn:wayside:problem:taken", "Another survey asks there", StatusCode::CONFLICT);
pub(crate) const UNREADABLE: Sort =
    sort("urn:wayside:problem:device", "The device does not give it", StatusCode::BAD_GATEWAY);
pub(crate) const CONFIGURED: Sort =
    sort("urn:wayside:problem:configured", "The configuration says so", StatusCode::CONFLICT);
pub(crate) const FULL: Sort =
    sort("urn:wayside:problem:full", "There are as many as allowed", StatusCode::SERVICE_UNAVAILABLE);
pub(crate) const BUSY: Sort =
    sort("urn:wayside:problem:busy", "The agent has too much to do", StatusCode::SERVICE_UNAVAILABLE);
pub(crate) const NO_REGISTRY: Sort =
    sort("urn:wayside:problem:no-registry", "This is no registry", StatusCode::NOT_FOUND);
pub(crate) const NOT_READY: Sort =
    sort("urn:wayside:problem:not-ready", "The registry has not caught up", StatusCode::SERVICE_UNAVAILABLE);
pub(crate) const FORMER: Sort =
    sort("urn:wayside:problem:former-life", "The agent has said something in a later life", StatusCode::CONFLICT);
pub(crate) const DISK: Sort =
    sort("urn:wayside:problem:storage", "The state directory does not take it", StatusCode::INSUFFICIENT_STORAGE);

/// A problem repeats at most 200 characters of what it was given.
fn shortened(value: &Value) -> Value {
    match value {
        Value::String(text) if text.chars().count() > SHOWN => {
            Value::String(text.chars().take(SHOWN).chain("…".chars()).collect())
        }
        Value::Array(_) | Value::Object(_) => {
            let text = value.to_string();
            if text.len() > SHOWN { shortened(&Value::String(text)) } else { value.clone() }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

const SHOWN: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_field_value_and_limit() {
        let problem = Problem::field("limit", &Value::from(0), "a whole number from 1 to 1000");
        let json: Value = serde_json::from_slice(&problem.to_json()).unwrap();
        assert_eq!(json["field"], "limit");
        assert_eq!(json["value"], 0);
        assert_eq!(json["limit"], "a whole number from 1 to 1000");
        assert_eq!(json["status"], 400);
        assert_eq!(json["detail"], "limit is 0; allowed is a whole number from 1 to 1000");
    }

    #[test]
    fn a_problem_does_not_repeat_a_whole_book() {
        let problem = Problem::field("service_name", &Value::from("x".repeat(60_000)), "short");
        assert!(problem.to_json().len() < 1_000);
    }
}
