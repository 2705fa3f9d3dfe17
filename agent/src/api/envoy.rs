//! Endpoint assignment for Envoy: where a service is, in tiers that Envoy falls back through by itself.
//!
//! "xDS REST and gRPC protocol" and `config.endpoint.v3.ClusterLoadAssignment` of Envoy's API reference rule the
//! words. A cluster is called as the service is. Tiers that have any endpoint become priorities, the nearest 0 and none
//! left out between; within one the rank becomes the weight. What fails its health check stays in and is told as such.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher as _};
use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};

use wayside_core::query::{Answer, Match, Query, Tier};
use wayside_protocols::service::{Health, Host, ServiceName};
use wayside_protocols::time::Duration;

use crate::api::problem::{MALFORMED, Problem};
use crate::api::query::NAME;
use crate::api::routes::{as_json, body_up_to};
use crate::api::{Api, registry, text};
use crate::driver::{Busy, Handle};

/// `POST /v3/discovery:endpoints`: a `DiscoveryRequest` for clusters, answered with their assignments.
pub(super) async fn endpoints(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    registry::ready(&api)?;
    let body = body_up_to(REQUEST, &api, request).await?;
    let asked: Asked = serde_json::from_slice(&body)
        .map_err(|error| Problem::new(&MALFORMED, format!("is no DiscoveryRequest: {error}")))?;
    if !asked.type_url.is_empty() && asked.type_url != TYPE {
        return Err(Problem::field("type_url", &asked.type_url.into(), TYPE));
    }
    if asked.resource_names.len() > CLUSTERS {
        return Err(Problem::field("resource_names", &asked.resource_names.len().into(), "64 clusters at the most"));
    }
    let mut resources = Vec::new();
    for name in asked.resource_names {
        let service: ServiceName =
            name.parse().map_err(|_| Problem::field("resource_names", &name.as_str().into(), NAME))?;
        resources.push(Assignment::of(&service, &ask(&api.handle, &service).await?));
    }
    Ok(as_json(response(&resources)))
}

/// What a file that Envoy watches holds: the assignment of the one cluster `service`.
///
/// # Errors
/// [`Busy`] if too many requests wait, or the agent is stopping.
pub async fn file(handle: &Handle, service: &ServiceName) -> Result<Vec<u8>, Busy> {
    Ok(response(&[Assignment::of(service, &ask(handle, service).await?)]))
}

async fn ask(handle: &Handle, service: &ServiceName) -> Result<Answer, Busy> {
    let all = Query::new(Some(service.clone()));
    handle.ask(Query { all_tiers: true, limit: ENDPOINTS, deadline: Some(DEADLINE), ..all }).await
}

/// A `DiscoveryResponse`. Its version is a hash of what it says, so that the same is never news.
fn response(resources: &[Assignment]) -> Vec<u8> {
    let mut hasher = DefaultHasher::new();
    hasher.write(&text::json(&resources));
    let version = format!("{:016x}", hasher.finish());
    text::json(&Told { version_info: &version, type_url: TYPE, nonce: &version, resources })
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default, alias = "resourceNames")]
    resource_names: Vec<String>,
    #[serde(default, alias = "typeUrl")]
    type_url: String,
}

#[derive(Serialize)]
struct Told<'a> {
    version_info: &'a str,
    type_url: &'static str,
    nonce: &'a str,
    resources: &'a [Assignment],
}

/// One cluster.
#[derive(Serialize)]
struct Assignment {
    #[serde(rename = "@type")]
    kind: &'static str,
    cluster_name: String,
    endpoints: Vec<Locality>,
}

#[derive(Serialize)]
struct Locality {
    locality: Zone,
    priority: usize,
    lb_endpoints: Vec<Endpoint>,
}

#[derive(Serialize)]
struct Zone {
    zone: &'static str,
}

#[derive(Serialize)]
struct Endpoint {
    endpoint: Addressed,
    health_status: &'static str,
    load_balancing_weight: usize,
    metadata: Metadata,
}

#[derive(Serialize)]
struct Addressed {
    address: Address,
}

#[derive(Serialize)]
struct Address {
    socket_address: Socket,
}

#[derive(Serialize)]
struct Socket {
    address: IpAddr,
    port_value: u16,
}

#[derive(Serialize)]
struct Metadata {
    filter_metadata: BTreeMap<&'static str, BTreeMap<&'static str, String>>,
}

impl Assignment {
    fn of(service: &ServiceName, answer: &Answer) -> Self {
        let mut endpoints: Vec<Locality> = Vec::new();
        for tier in [Tier::Local, Tier::Neighbour, Tier::Region, Tier::Cloud] {
            let ranked: Vec<_> = answer
                .matches
                .iter()
                .filter(|found| found.tier == tier)
                .filter_map(|found| Some((found, socket(found)?)))
                .collect();
            let count = ranked.len();
            let lb_endpoints: Vec<Endpoint> = (ranked.into_iter().enumerate())
                .map(|(rank, (found, socket))| Endpoint::of(found, socket, count - rank))
                .collect();
            if !lb_endpoints.is_empty() {
                let (locality, priority) = (Zone { zone: tier.as_str() }, endpoints.len());
                endpoints.push(Locality { locality, priority, lb_endpoints });
            }
        }
        Self { kind: TYPE, cluster_name: service.to_string(), endpoints }
    }
}

impl Endpoint {
    fn of(found: &Match, socket_address: Socket, weight: usize) -> Self {
        let said = BTreeMap::from([
            ("id", found.service.id.to_string()),
            ("trust", found.service.trust.as_str().to_owned()),
            ("stale", found.stale.to_string()),
        ]);
        Self {
            endpoint: Addressed { address: Address { socket_address } },
            health_status: match found.service.health {
                Health::Passing => "HEALTHY",
                Health::Unknown => "UNKNOWN",
                Health::Failing => "UNHEALTHY",
            },
            load_balancing_weight: weight,
            metadata: Metadata { filter_metadata: BTreeMap::from([("wayside", said)]) },
        }
    }
}

/// Where it is reached; `None` for a name, which endpoint assignment does not take, and for what has no port.
fn socket(found: &Match) -> Option<Socket> {
    let endpoint = found.service.endpoint.as_ref().filter(|endpoint| endpoint.port != 0)?;
    let Host::Ip(address) = endpoint.host else { return None };
    Some(Socket { address, port_value: endpoint.port })
}

const TYPE: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
/// Bytes of a request: Envoy lists every extension it was built with in each.
const REQUEST: usize = 1 << 20;
/// Clusters in one request.
const CLUSTERS: usize = 64;
/// Endpoints of one cluster.
const ENDPOINTS: u16 = 128;
/// How long registries may take; what is known by then is the answer.
const DEADLINE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_content() {
        let one = Assignment { kind: TYPE, cluster_name: "a".into(), endpoints: Vec::new() };
        let other = Assignment { kind: TYPE, cluster_name: "b".into(), endpoints: Vec::new() };
        let version = |of: &Assignment| {
            let told: serde_json::Value = serde_json::from_slice(&response(std::slice::from_ref(of))).unwrap();
            told["version_info"].as_str().unwrap().to_owned()
        };
        assert_eq!(version(&one), version(&one));
        assert_ne!(version(&one), version(&other));
    }

    #[test]
    fn a_request_of_envoy_is_read_in_both_spellings() {
        for text in [r#"{"node":{"id":"x"},"resource_names":["a"]}"#, r#"{"resourceNames":["a"],"versionInfo":"1"}"#] {
            let asked: Asked = serde_json::from_str(text).unwrap();
            assert_eq!(asked.resource_names, ["a"], "{text}");
        }
    }
}
