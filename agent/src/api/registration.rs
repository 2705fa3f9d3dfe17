//! Registrations as they are written in JSON.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::Serialize;
use serde_json::Value as Json;

use wayside_core::agent::io::Lease;
use wayside_core::registration::{DEFAULT_LEASE, HealthCheck, MAX_LEASE, MIN_LEASE, Probe, Registration};
use wayside_protocols::place::Fix;
use wayside_protocols::service::{AgentId, Endpoint, Host, Kind, Label, Service, ServiceId, ServiceName, Trust, Value};
use wayside_protocols::sighting::Source;
use wayside_protocols::time::{Duration, Timestamp};

use crate::api::fields::Fields;
use crate::api::json::{ServiceJson, seconds};
use crate::api::problem::Problem;
use crate::api::query::{point, word};
use crate::io::probe;

/// Who registers, and what an id is made of when none is given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registrar<'a> {
    /// The agent that will vouch for it.
    pub(crate) agent: &'a AgentId,
    /// What that agent is: a registered service is offered by the same kind of thing.
    pub(crate) kind: Kind,
    /// The agent's epoch and a count within it: together alone among all ids this agent ever made.
    pub(crate) unique: (u32, u64),
}

/// Reads the body of `POST /v1/discovery/registration`.
///
/// # Errors
/// The first field that is unknown, missing or out of range, with its path, value and limit.
pub(crate) fn read(bytes: &[u8], registrar: Registrar<'_>, now: Timestamp) -> Result<Registration, Problem> {
    let mut body = Fields::body(bytes)?;
    let info = body.within("service_info")?;
    let mut info = info.ok_or_else(|| Problem::missing("service_info", "an object with name, address and port"))?;
    let service = service(&mut info, registrar, now)?;
    let lease = info.whole("ttl_s", MIN_LEASE.as_secs(), MAX_LEASE.as_secs())?;
    let check = health_check(&mut info, &service)?;
    info.finish()?;
    body.finish()?;
    Ok(Registration { service, ttl: lease.map_or(DEFAULT_LEASE, Duration::from_secs), check })
}

/// The id in a path: `{id}@{agent}`, or `{id}` alone for what this agent registered.
pub(crate) fn id(text: &str, agent: &AgentId) -> Result<ServiceId, Problem> {
    let parsed = if text.contains('@') {
        text.parse().ok()
    } else {
        text.parse().ok().map(|label: Label| ServiceId::of(&label, agent))
    };
    parsed.ok_or_else(|| Problem::field("id", &Json::from(text), ID))
}

/// `201` of a registration, and `200` of a renewal.
#[derive(Debug, Serialize)]
pub(crate) struct LeaseJson {
    /// `{id}@{agent}`.
    pub(crate) id: String,
    /// How long it holds unless renewed, seconds; `null` for ever.
    pub(crate) lease_s: Option<f64>,
}

impl From<&Lease> for LeaseJson {
    fn from(lease: &Lease) -> Self {
        Self { id: lease.service.id.to_string(), lease_s: seconds(lease.ttl) }
    }
}

/// One registration as it was made, with what is left of its lease.
#[derive(Serialize)]
pub(crate) struct RegistrationJson<'a> {
    id: &'a str,
    lease_s: Option<f64>,
    /// `null` for what the configuration says.
    remaining_s: Option<f64>,
    source: &'static str,
    service_info: ServiceJson<'a>,
    health_check: Option<HealthCheckJson<'a>>,
}

#[derive(Serialize)]
struct HealthCheckJson<'a> {
    kind: &'static str,
    interval_s: f64,
    timeout_ms: u128,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
}

impl<'a> RegistrationJson<'a> {
    pub(crate) fn new(registration: &'a Registration, source: Source, left: Option<Duration>) -> Self {
        let health_check = registration.check.as_ref().map(|check| {
            let (kind, path) = match &check.probe {
                Probe::Tcp => ("tcp", None),
                Probe::Http { path } => ("http", Some(&**path)),
                Probe::Ttl => ("ttl", None),
            };
            let (interval_s, timeout_ms) = (check.interval.as_secs_f64(), check.timeout.as_millis());
            HealthCheckJson { kind, interval_s, timeout_ms, path }
        });
        Self {
            id: registration.service.id.as_str(),
            lease_s: seconds(registration.ttl),
            remaining_s: left.and_then(seconds),
            source: source.as_str(),
            service_info: ServiceJson::new(&registration.service, None),
            health_check,
        }
    }
}

fn service(info: &mut Fields, registrar: Registrar<'_>, now: Timestamp) -> Result<Service, Problem> {
    let name: ServiceName =
        info.parsed("name")?.ok_or_else(|| Problem::missing(&info.at("name"), "a service name such as charging"))?;
    let mut service = Service::new(own_id(info, &name, registrar)?, name, registrar.kind);
    service.agent = Some(registrar.agent.clone());
    service.trust = Trust::Own;
    service.endpoint = Some(endpoint(info)?);
    service.fix = location(info, now)?;
    // The cast cannot cut: the number is at most 255.
    service.priority = info.whole("priority", 0, 255)?.unwrap_or(0) as u8;
    service.critical = info.flag("critical")?;
    service.resources = resources(info)?;
    service.metadata = metadata(info)?;
    Ok(service)
}

fn own_id(info: &mut Fields, name: &ServiceName, registrar: Registrar<'_>) -> Result<ServiceId, Problem> {
    let Some(text) = info.text("id")? else {
        let stem: String = name.as_str().chars().take(40).collect();
        let (epoch, serial) = registrar.unique;
        let made = format!("{stem}-{epoch:x}-{serial:x}");
        return id(&made, registrar.agent);
    };
    let refuse = || Problem::field(&info.at("id"), &Json::from(text.as_str()), ID);
    let short = match text.split_once('@') {
        Some((short, agent)) if agent == registrar.agent.as_str() => short,
        Some(_) => return Err(refuse()),
        None => &text,
    };
    short.parse().map(|label: Label| ServiceId::of(&label, registrar.agent)).map_err(|_| refuse())
}

fn endpoint(info: &mut Fields) -> Result<Endpoint, Problem> {
    let given: Option<Host> = info.parsed("address")?;
    // The unspecified address stands for this host; the core puts in the one that neighbours reach.
    let host = given.clone().unwrap_or_else(|| Host::Ip(Ipv4Addr::UNSPECIFIED.into()));
    let port = info.whole("port", 1, 65_535)?.and_then(|port| u16::try_from(port).ok());
    let port = port.ok_or_else(|| Problem::missing(&info.at("port"), "a whole number from 1 to 65535"))?;
    if matches!(given, Some(Host::Ip(ip)) if ip.is_unspecified() || ip.is_multicast()) {
        let given = Json::from(host.to_string());
        return Err(Problem::field(&info.at("address"), &given, "an address of one host, not 0.0.0.0, :: or a group"));
    }
    Ok(Endpoint { host, port })
}

fn location(info: &mut Fields, now: Timestamp) -> Result<Option<Fix>, Problem> {
    let Some(mut location) = info.within("location")? else { return Ok(None) };
    let position = point(&mut location)?;
    let position = position.ok_or_else(|| Problem::missing(&location.at("lat"), "given together with lon"))?;
    let altitude = location.number("alt", -1_000.0, 20_000.0)?;
    let accuracy = location.number("accuracy_m", 0.0, 100_000.0)?.unwrap_or(DEFAULT_ACCURACY);
    location.finish()?;
    // Checked just above against the same range.
    let position = altitude.and_then(|metres| position.at_altitude(metres as f32).ok()).unwrap_or(position);
    Ok(Some(Fix::fixed(position, accuracy as f32, now)))
}

fn resources(info: &mut Fields) -> Result<BTreeMap<Box<str>, Value>, Problem> {
    let limit = "a finite number, true, false or a text of at most 255 bytes";
    pairs(info, "resources", limit, |value| match value {
        Json::Bool(flag) => Some(Value::Flag(*flag)),
        Json::Number(number) => number.as_f64().map(Value::Number),
        Json::String(text) if text.len() <= 255 => Some(word(text)),
        Json::Null | Json::String(_) | Json::Array(_) | Json::Object(_) => None,
    })
}

fn metadata(info: &mut Fields) -> Result<BTreeMap<Box<str>, Box<str>>, Problem> {
    let limit = "a text of at most 1024 bytes, a number, true or false";
    pairs(info, "metadata", limit, |value| match value {
        Json::String(text) if text.len() <= 1_024 => Some(text.as_str().into()),
        Json::Bool(_) | Json::Number(_) => Some(value.to_string().into()),
        Json::Null | Json::String(_) | Json::Array(_) | Json::Object(_) => None,
    })
}

fn pairs<T>(
    info: &mut Fields,
    name: &'static str,
    limit: &str,
    read: impl Fn(&Json) -> Option<T>,
) -> Result<BTreeMap<Box<str>, T>, Problem> {
    let Some(mut object) = info.within(name)? else { return Ok(BTreeMap::new()) };
    let entries = object.rest();
    if entries.len() > MAX_PAIRS {
        return Err(Problem::field(&info.at(name), &entries.len().into(), &format!("at most {MAX_PAIRS} entries")));
    }
    let mut pairs = BTreeMap::new();
    for (key, value) in entries {
        let path = || object.at(&key.chars().take(80).collect::<String>());
        if key.is_empty() || key.len() > 64 || key.chars().any(char::is_control) {
            return Err(Problem::field(&path(), &value, "a name of 1 to 64 bytes without control characters"));
        }
        let read = read(&value).ok_or_else(|| Problem::field(&path(), &value, limit))?;
        pairs.insert(key.into(), read);
    }
    Ok(pairs)
}

fn health_check(info: &mut Fields, service: &Service) -> Result<Option<HealthCheck>, Problem> {
    let Some(mut check) = info.within("health_check")? else { return Ok(None) };
    let kind = check.text("kind")?.ok_or_else(|| Problem::missing(&check.at("kind"), KINDS))?;
    let path = check.text("path")?;
    let probe = match (kind.as_str(), path) {
        ("tcp", None) => Probe::Tcp,
        ("ttl", None) => Probe::Ttl,
        ("http", path) => Probe::Http { path: http_path(&check, path)? },
        ("tcp" | "ttl", Some(path)) => {
            return Err(Problem::field(&check.at("path"), &path.into(), "for kind http only"));
        }
        (other, _) => return Err(Problem::field(&check.at("kind"), &other.into(), KINDS)),
    };
    if probe != Probe::Ttl {
        reachable(info, service)?;
    }
    let interval = Duration::from_secs(check.whole("interval_s", 1, 3_600)?.unwrap_or(10));
    let longest = (interval.as_millis() as u64).min(60_000);
    let timeout = check.whole("timeout_ms", 10, longest)?.unwrap_or_else(|| longest.min(2_000));
    check.finish()?;
    Ok(Some(HealthCheck { probe, interval, timeout: Duration::from_millis(timeout) }))
}

fn http_path(check: &Fields, path: Option<String>) -> Result<Box<str>, Problem> {
    let path = path.unwrap_or_else(|| "/".into());
    let safe = path.starts_with('/') && path.len() <= 1_024 && path.bytes().all(|byte| byte.is_ascii_graphic());
    // A request target is a URI: a fragment or a backslash has no place in one.
    if !safe || axum::http::uri::PathAndQuery::try_from(path.as_str()).is_err() {
        let limit = "an absolute path of at most 1024 printable ASCII characters, such as /health";
        return Err(Problem::field(&check.at("path"), &path.into(), limit));
    }
    Ok(path.into())
}

/// A check that can never be made is refused at once rather than failing for ever.
fn reachable(info: &Fields, service: &Service) -> Result<(), Problem> {
    let Some(endpoint) = &service.endpoint else { return Ok(()) };
    let limit = match endpoint.socket() {
        None => "an IP address, for a health check of kind tcp or http",
        Some(target) if probe::forbidden(target.ip()).is_some() => "an address that health checks may reach",
        Some(_) => return Ok(()),
    };
    Err(Problem::field(&info.at("address"), &endpoint.host.to_string().into(), limit))
}

const ID: &str = "{id} or {id}@{agent} of this agent, where {id} is 1 to 64 of A-Z a-z 0-9 . _ - :";
const KINDS: &str = "tcp, http or ttl";
/// One standard deviation of a position given without its accuracy, metres: somebody measured it on a map.
const DEFAULT_ACCURACY: f64 = 1.0;
/// The core's own cap on pairs of one service is lower and configurable; this one bounds the work of reading.
const MAX_PAIRS: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(info: &str) -> Result<Registration, Problem> {
        let agent = "gw-7".parse().unwrap();
        let registrar = Registrar { agent: &agent, kind: Kind::Gateway, unique: (5, 0x2a) };
        super::read(format!(r#"{{"service_info":{info}}}"#).as_bytes(), registrar, Timestamp::START)
    }

    fn with(extra: &str) -> Result<Registration, Problem> {
        read(&format!(r#"{{"name":"charging","address":"10.0.0.5","port":8080,{extra}}}"#))
    }

    #[test]
    fn the_shortest_registration_gets_an_id_and_two_minutes() {
        let registration = read(r#"{"name":"charging","address":"10.0.0.5","port":8080}"#).unwrap();
        assert_eq!(registration.service.id.as_str(), "charging-5-2a@gw-7");
        assert_eq!(registration.service.kind, Kind::Gateway);
        assert_eq!(registration.service.trust, Trust::Own);
        assert_eq!(registration.ttl, DEFAULT_LEASE);
        assert_eq!(registration.check, None);
    }

    #[test]
    fn everything_a_service_says_of_itself_is_kept() {
        let registration = with(
            r#""id":"cp1@gw-7","metadata":{"plug":"ccs","slots":2},"resources":{"power_kw":22,"ram":"1KiB","free":true},
            "priority":3,"critical":true,"ttl_s":60,"location":{"lat":48.8566,"lon":2.3522,"alt":35,"accuracy_m":2.5},
            "health_check":{"kind":"http","interval_s":5,"timeout_ms":500,"path":"/health?x=1"}"#,
        )
        .unwrap();
        let service = &registration.service;
        assert_eq!(service.id.as_str(), "cp1@gw-7");
        assert_eq!(&*service.metadata["slots"], "2");
        assert_eq!(service.resources["ram"], Value::Number(1_024.0));
        assert_eq!(service.fix.unwrap().accuracy, 2.5);
        assert_eq!(service.fix.unwrap().position.altitude(), Some(35.0));
        let probe = Probe::Http { path: "/health?x=1".into() };
        let check = HealthCheck { probe, interval: Duration::from_secs(5), timeout: Duration::from_millis(500) };
        assert_eq!(registration.check, Some(check));
    }

    #[test]
    fn every_mistake_is_named_by_its_path() {
        let long = format!(r#""metadata":{{"a":"{}"}}"#, "x".repeat(1_025));
        let cases = [
            (r#""ttl_s":0"#, "ttl_s"),
            (r#""ttl_s":86401"#, "ttl_s"),
            (r#""ttl_s":"60""#, "ttl_s"),
            (r#""priority":256"#, "priority"),
            (r#""id":"a b""#, "id"),
            (r#""id":"a@other""#, "id"),
            (r#""location":{"lat":90.1,"lon":0}"#, "location.lat"),
            (r#""location":{}"#, "location.lat"),
            (r#""location":{"lat":9,"lon":0,"accuracy_m":-1}"#, "location.accuracy_m"),
            (r#""location":{"lat":9,"lon":0,"alt":90000}"#, "location.alt"),
            (r#""health_check":{"kind":"script"}"#, "health_check.kind"),
            (r#""health_check":{"kind":"tcp","interval_s":0}"#, "health_check.interval_s"),
            (r#""health_check":{"kind":"tcp","interval_s":1,"timeout_ms":1001}"#, "health_check.timeout_ms"),
            (r#""health_check":{"kind":"tcp","path":"/"}"#, "health_check.path"),
            (r#""health_check":{"kind":"http","path":"http://x/"}"#, "health_check.path"),
            (r#""health_check":{"kind":"http","path":"/\r\nX: y"}"#, "health_check.path"),
            (r#""resources":{"a":null}"#, "resources.a"),
            (r#""metadata":{"":"x"}"#, "metadata."),
            (long.as_str(), "metadata.a"),
            (r#""colour":"red""#, "colour"),
        ];
        for (extra, field) in cases {
            let problem: Json = serde_json::from_slice(&with(extra).unwrap_err().to_json()).unwrap();
            assert_eq!(problem["field"], format!("service_info.{field}"), "{extra}");
        }
    }

    #[test]
    fn an_address_is_one_host_that_may_be_probed() {
        let at = |address: &str, check: &str| {
            read(&format!(r#"{{"name":"a","address":"{address}","port":80,"health_check":{{"kind":"{check}"}}}}"#))
        };
        assert!(at("10.0.0.5", "tcp").is_ok());
        assert!(at("cp1.local", "ttl").is_ok());
        for (address, check) in [
            ("cp1.local", "tcp"),
            ("169.254.169.254", "http"),
            ("::ffff:169.254.169.254", "http"),
            ("fd00:ec2::254", "tcp"),
            ("0.0.0.0", "ttl"),
            ("224.0.0.251", "ttl"),
            ("a b", "ttl"),
        ] {
            let problem: Json = serde_json::from_slice(&at(address, check).unwrap_err().to_json()).unwrap();
            assert_eq!(problem["field"], "service_info.address", "{address}");
        }
    }
}
