use axum::http::Method;
use http_body_util::BodyExt;
use serde_json::{Value as Json, json};
use tower::ServiceExt;

use super::*;
use crate::api::stage;

struct Told {
    status: u16,
    kind: String,
    headers: axum::http::HeaderMap,
    json: Json,
    text: String,
}

async fn call_with(router: &Router, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Told {
    let mut request = Request::builder().method(method).uri(path).header("host", "localhost:7878");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let kind = headers.get("content-type").map_or("", |kind| kind.to_str().unwrap()).to_owned();
    if kind == "text/event-stream" {
        return Told { status, kind, headers, json: Json::Null, text: String::new() };
    }
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let json = serde_json::from_slice(&bytes).unwrap_or(Json::Null);
    Told { status, kind, headers, json, text: String::from_utf8_lossy(&bytes).into() }
}

async fn call(router: &Router, method: &str, path: &str, body: impl Into<Body>) -> Told {
    call_with(router, method, path, &[], body).await
}

fn local() -> Listen {
    "127.0.0.1:7878".parse().unwrap()
}

fn routed() -> Router {
    router(&stage::api(), &local())
}

fn charger() -> String {
    json!({"service_info": {"id": "cp1", "name": "charging", "address": "10.0.0.5", "port": 8080, "ttl_s": 60,
        "location": {"lat": 48.8566, "lon": 2.3530}, "resources": {"power_kw": 22}}})
    .to_string()
}

#[tokio::test]
async fn what_is_registered_is_found_renewed_and_withdrawn() {
    let router = routed();
    let made = call(&router, "POST", "/v1/discovery/registration", charger()).await;
    assert_eq!((made.status, made.json), (201, json!({"id": "cp1@gw-7", "lease_s": 60.0})));
    assert_eq!(made.headers["location"], "/v1/discovery/registration/cp1@gw-7");

    let question = json!({"service_name": "charging",
        "constraints": {"location": {"lat": 48.8566, "lon": 2.3522, "radius_m": 100}, "resources": {"power_kw": ">=11"}}});
    let found = call(&router, "POST", "/v1/discovery/services", question.to_string()).await;
    assert_eq!((found.status, found.kind.as_str()), (200, "application/json"));
    let instance = &found.json["instances"][0];
    assert_eq!(
        (&instance["id"], &instance["address"], &instance["port"]),
        (&json!("cp1@gw-7"), &json!("10.0.0.5"), &json!(8080))
    );
    let distance = instance["distance_m"].as_f64().unwrap();
    assert!((distance - 58.7).abs() < 0.2, "{distance}");
    assert_eq!((&instance["trust"], &instance["sources"]), (&json!("own"), &json!(["api"])));

    for id in ["cp1", "cp1@gw-7", "cp1%40gw-7"] {
        let read = call(&router, "GET", &format!("/v1/discovery/registration/{id}"), Body::empty()).await;
        assert_eq!((read.status, &read.json["service_info"]["name"]), (200, &json!("charging")), "{id}");
        let shown = call(&router, "GET", &format!("/v1/discovery/services/{id}"), Body::empty()).await;
        assert_eq!((shown.status, &shown.json["claims"][0]["source"]), (200, &json!("api")), "{id}");
    }
    let renewed = call(&router, "PUT", "/v1/discovery/registration/cp1", Body::empty()).await;
    assert_eq!((renewed.status, renewed.json), (200, json!({"id": "cp1@gw-7", "lease_s": 60.0})));
    let gone = call(&router, "DELETE", "/v1/discovery/registration/cp1", Body::empty()).await;
    assert_eq!((gone.status, gone.text.as_str()), (204, ""));
    for method in ["GET", "PUT", "DELETE"] {
        let told = call(&router, method, "/v1/discovery/registration/cp1", Body::empty()).await;
        assert_eq!((told.status, told.kind.as_str()), (404, "application/problem+json"), "{method}");
    }
}

#[tokio::test]
async fn two_registrations_without_an_id_are_two() {
    let router = routed();
    let body = r#"{"service_info":{"name":"charging","address":"10.0.0.5","port":1}}"#;
    let first = call(&router, "POST", "/v1/discovery/registration", body).await;
    let second = call(&router, "POST", "/v1/discovery/registration", body).await;
    assert_eq!((&first.json["id"], &second.json["id"]), (&json!("charging-5-0@gw-7"), &json!("charging-5-1@gw-7")));
}

#[tokio::test]
async fn bad_input_is_a_problem_that_names_field_value_and_limit() {
    let router = routed();
    let told = call(&router, "POST", "/v1/discovery/services", r#"{"service_name":"*","limit":0}"#).await;
    assert_eq!((told.status, told.kind.as_str()), (400, "application/problem+json"));
    assert_eq!(
        told.json,
        json!({"type": "urn:wayside:problem:invalid-field", "title": "A field has a value that is not allowed",
            "status": 400, "detail": "limit is 0; allowed is a whole number from 1 to 1000",
            "field": "limit", "value": 0, "limit": "a whole number from 1 to 1000"})
    );
    let wrong_path = call(&router, "GET", "/v1/discovery/registration/%ff", Body::empty()).await;
    assert_eq!((wrong_path.status, wrong_path.kind.as_str()), (400, "application/problem+json"));
}

#[tokio::test]
async fn a_body_of_a_mebibyte_is_refused_whether_or_not_it_says_so() {
    let router = routed();
    let large = " ".repeat(1 << 20);
    let said = [("content-length", "1048576")];
    for headers in [&said[..], &[]] {
        let told = call_with(&router, "POST", "/v1/discovery/services", headers, large.clone()).await;
        assert_eq!((told.status, &told.json["limit"]), (413, &json!("65536 bytes")));
        assert_eq!(told.headers["connection"], "close");
    }
}

#[tokio::test]
async fn a_target_that_is_too_long_is_refused() {
    let told = call(&routed(), "GET", &format!("/?{}", "x".repeat(3_000)), Body::empty()).await;
    assert_eq!((told.status, &told.json["limit"]), (414, &json!("2048")));
}

#[tokio::test]
async fn a_rebound_name_and_a_strange_page_stay_outside() {
    let router = routed();
    let rebound = Request::get("/metrics").header("host", "evil.example:7878").body(Body::empty()).unwrap();
    assert_eq!(router.clone().oneshot(rebound).await.unwrap().status(), 403);
    let page = [("origin", "http://evil.example")];
    let told = call_with(&router, "POST", "/v1/discovery/registration", &page, charger()).await;
    assert_eq!((told.status, &told.json["field"]), (403, &json!("Origin")));
    let unix = super::router(&stage::api(), &"unix:/run/x".parse().unwrap());
    let rebound = Request::get("/metrics").header("host", "anything").body(Body::empty()).unwrap();
    assert_eq!(unix.oneshot(rebound).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_token_is_asked_for_where_one_is_set() {
    let api = stage::api_with(crate::api::Caps::default(), Some("s3cret"));
    let router = router(&api, &local());
    let without = call(&router, "GET", "/metrics", Body::empty()).await;
    assert_eq!((without.status, without.headers["www-authenticate"].to_str().unwrap()), (401, "Bearer"));
    for (token, status) in [("Bearer s3cret", 200), ("Bearer s3creT", 401), ("Bearer ", 401), ("s3cret", 401)] {
        let told = call_with(&router, "GET", "/metrics", &[("authorization", token)], Body::empty()).await;
        assert_eq!(told.status, status, "{token}");
    }
}

#[tokio::test]
async fn a_watch_too_many_is_refused_and_one_that_ends_makes_room() {
    let router = routed();
    let open = || Request::get("/v1/discovery/watch?service=charging").header("host", "localhost").body(Body::empty());
    let first = router.clone().oneshot(open().unwrap()).await.unwrap();
    let second = router.clone().oneshot(open().unwrap()).await.unwrap();
    assert_eq!((first.status().as_u16(), second.status().as_u16()), (200, 200));
    let third = call(&router, "GET", "/v1/discovery/watch", Body::empty()).await;
    assert_eq!((third.status, &third.json["limit"]), (503, &json!("limits.watchers = 2")));
    assert_eq!(third.headers["retry-after"], "1");
    drop(first);
    assert_eq!(call(&router, "GET", "/v1/discovery/watch", Body::empty()).await.status, 200);
}

#[tokio::test]
async fn a_watch_tells_the_whole_picture_and_then_what_changes() {
    let router = routed();
    call(&router, "POST", "/v1/discovery/registration", charger()).await;
    let watch = Request::get("/v1/discovery/watch?service=charging&radius_m=100").header("host", "localhost");
    let mut events = router.clone().oneshot(watch.body(Body::empty()).unwrap()).await.unwrap().into_body();
    assert_eq!(event(&mut events).await, ("reset".into(), json!({})));
    let (name, service) = event(&mut events).await;
    assert_eq!((name.as_str(), &service["id"]), ("appeared", &json!("cp1@gw-7")));
    call(&router, "DELETE", "/v1/discovery/registration/cp1", Body::empty()).await;
    assert_eq!(event(&mut events).await, ("departed".into(), json!({"id": "cp1@gw-7"})));
}

async fn event(events: &mut Body) -> (String, Json) {
    let frame = events.frame().await.unwrap().unwrap().into_data().unwrap();
    let text = std::str::from_utf8(&frame).unwrap();
    let (name, data) = text.trim_end().split_once('\n').unwrap();
    (name.strip_prefix("event: ").unwrap().into(), serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap())
}

#[tokio::test]
async fn a_watch_says_what_is_wrong_with_its_circle() {
    let router = routed();
    for (query, field) in [
        ("lat=91&lon=0", "lat"),
        ("lat=1", "lon"),
        ("lat=nan&lon=0", "lat"),
        ("lat=1&lon=1&radius_m=0", "radius_m"),
        ("radius=5", "radius"),
        ("heading=ahead", "heading"),
        ("sector=90/999", "sector"),
        ("dwell=2m", "dwell"),
        ("kind=truck", "kind"),
        ("relevance_distance=far", "relevance_distance"),
        ("service=A%20b", "service"),
    ] {
        let told = call(&router, "GET", &format!("/v1/discovery/watch?{query}"), Body::empty()).await;
        assert_eq!((told.status, &told.json["field"]), (400, &json!(field)), "{query}");
    }
}

#[tokio::test]
async fn health_says_how_the_agent_is() {
    let router = routed();
    call(&router, "POST", "/v1/discovery/registration", charger()).await;
    let health = call(&router, "GET", "/v1/discovery/health", Body::empty()).await.json;
    assert_eq!((&health["status"], &health["agent"]), (&json!("ok"), &json!("gw-7")));
    assert_eq!(health["metrics"]["registrations"], 1);
    assert_eq!(health["clock_trusted"], health["timestamp"].as_str().unwrap() > "2025-01-01");
    let metrics = call(&router, "GET", "/metrics", Body::empty()).await;
    assert!(metrics.text.contains("# TYPE wayside_registrations gauge\nwayside_registrations 1\n"), "{}", metrics.text);
    assert!(metrics.text.contains("# TYPE wayside_api_requests_total counter\n"), "{}", metrics.text);
    let labels = metrics.text.replace("{le=\"", "");
    assert!(!labels.contains('{'), "a label could come from the network");
}

#[tokio::test]
async fn a_position_is_told_and_asked_where_nothing_else_rules() {
    let put = async |router: &Router, body: &str| call(router, "PUT", "/v1/position", body.to_owned()).await;
    let fixed = routed();
    let ruled = put(&fixed, r#"{"lat":1,"lon":2}"#).await;
    assert_eq!((ruled.status, &ruled.json["type"]), (409, &json!("urn:wayside:problem:position-ruled")));
    assert!(ruled.json["detail"].as_str().unwrap().contains("position.lat"), "{}", ruled.text);
    let asked = call(&fixed, "GET", "/v1/position", Body::empty()).await.json;
    assert_eq!((&asked["known"], &asked["source"], &asked["lat"]), (&json!(true), &json!("config"), &json!(48.8566)));

    let free = router(&stage::placed_by(crate::api::Positioned::Api), &local());
    let unknown = call(&free, "GET", "/v1/position", Body::empty()).await.json;
    assert_eq!((&unknown["known"], &unknown["lat"]), (&json!(false), &Json::Null));
    assert!(unknown["reason"].as_str().unwrap().starts_with("own position unknown"), "{unknown}");
    let told = put(&free, r#"{"lat":48.1,"lon":2.1,"altitude_m":90,"speed_mps":10,"heading_deg":90}"#).await;
    assert_eq!((told.status, &told.json["known"], &told.json["altitude_m"]), (200, &json!(true), &json!(90.0)));
    assert_eq!((&told.json["certain"], &told.json["speed_mps"]), (&json!(true), &json!(10.0)));
    let health = call(&free, "GET", "/v1/discovery/health", Body::empty()).await.json;
    assert_eq!((&health["position"]["source"], &health["metrics"]["position_known"]), (&json!("api"), &json!(1)));
    for (body, field) in [
        (r#"{"lat":91,"lon":2}"#, "lat"),
        (r#"{"lat":1}"#, "lon"),
        ("{}", "lat"),
        (r#"{"lat":1,"lon":2,"speed_mps":900,"heading_deg":1}"#, "speed_mps"),
        (r#"{"lat":1,"lon":2,"speed_mps":9}"#, "heading_deg"),
        (r#"{"lat":1,"lon":2,"altitude":9}"#, "altitude"),
    ] {
        let refused = put(&free, body).await;
        assert_eq!((refused.status, &refused.json["field"]), (400, &json!(field)), "{body}");
    }
}

#[tokio::test]
async fn the_description_and_the_routes_are_the_same() {
    let described: Json = serde_json::from_slice(OPENAPI).unwrap();
    let paths = described["paths"].as_object().unwrap();
    let mut described: Vec<_> = paths.keys().map(String::as_str).collect();
    let mut routed: Vec<_> = PATHS.iter().map(|(path, _)| *path).collect();
    described.sort_unstable();
    routed.sort_unstable();
    assert_eq!(described, routed);
    let router = self::routed();
    for (path, methods) in paths {
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            let told = call(&router, method.as_str(), &path.replace("{id}", "none"), Body::empty()).await;
            let taken = methods.get(method.as_str().to_lowercase()).is_some();
            assert_eq!(told.status != 405, taken, "{method} {path}");
            let statuses = &methods[method.as_str().to_lowercase()]["responses"];
            assert!(!taken || statuses.get(told.status.to_string()).is_some(), "{method} {path}: {}", told.status);
            assert!(taken || told.headers.contains_key("allow"), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn nothing_is_where_nothing_is() {
    let told = call(&routed(), "GET", "/v2", Body::empty()).await;
    assert_eq!((told.status, told.kind.as_str()), (404, "application/problem+json"));
}

#[tokio::test]
async fn a_question_by_other_means_than_http_is_answered_alike() {
    let api = stage::api();
    let answer: Json =
        serde_json::from_slice(&crate::api::answer_bytes(&api.handle, br#"{"service_name":"wayside"}"#).await).unwrap();
    assert!(answer["instances"].is_array(), "{answer}");
    let problem: Json = serde_json::from_slice(&crate::api::answer_bytes(&api.handle, b"{").await).unwrap();
    assert_eq!(problem["type"], "urn:wayside:problem:malformed-json");
}
