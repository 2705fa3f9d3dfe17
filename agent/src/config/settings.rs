//! From the configuration to what the core is told. The only place where that happens.

use std::net::Ipv4Addr;

use wayside_core::agent::io::Settings;
use wayside_core::registration::{DEFAULT_LEASE, Registration};
use wayside_core::upstream::{Kept, Line};
use wayside_protocols::place::Fix;
use wayside_protocols::service::{AgentId, Endpoint, Host, Service, ServiceId, Trust};
use wayside_protocols::time::Timestamp;

use super::{Config, OwnService, Upstream};

/// What the shell knows beside the configuration when it starts.
#[derive(Clone, Debug)]
pub struct Start {
    /// The agent's id, configured or derived.
    pub id: AgentId,
    /// How often this agent has started.
    pub epoch: u32,
    /// The one source of randomness.
    pub seed: u64,
    /// Registrations from the journal.
    pub restored: Vec<Registration>,
    /// What an earlier run kept of what upstreams told.
    pub kept: Vec<Kept>,
    /// The port the API really listens on, if it listens on TCP.
    pub api_port: Option<u16>,
}

impl Config {
    /// What the core is told.
    pub fn settings(&self, start: Start) -> Settings {
        Settings {
            kind: self.kind,
            version: env!("CARGO_PKG_VERSION"),
            epoch: start.epoch,
            seed: start.seed,
            position: self.position.map(|standing| (standing.position, standing.accuracy)),
            services: self.registrations(&start.id),
            restored: start.restored,
            mdns: self.mdns.enabled,
            browse: self.mdns.browse.clone(),
            announce_devices: self.modbus.announce,
            things: self.api.scheme().filter(|_| !self.modbus.segments.is_empty()),
            api_port: start.api_port.filter(|_| !self.api.listen.local()),
            rotate: self.rotate,
            events: self.mqtt.as_ref().is_some_and(|mqtt| mqtt.events),
            upstream: self.upstream(),
            kept: start.kept,
            limits: self.limits.core.clone(),
            id: start.id,
        }
    }

    fn upstream(&self) -> wayside_core::upstream::Settings {
        let line = |upstream: &Upstream| Line {
            tier: upstream.tier,
            nodes: upstream.urls.iter().filter_map(|url| Some(url.authority()?.as_str().into())).collect(),
            timeout: upstream.timeout,
            refresh: upstream.refresh,
            keeping: upstream.keeping.clone(),
            shard: upstream.shard.clone(),
        };
        wayside_core::upstream::Settings(self.upstreams.iter().map(line).collect())
    }

    /// Own services, as `agent` vouches for them.
    pub fn registrations(&self, agent: &AgentId) -> Vec<Registration> {
        self.services.iter().map(|own| self.registration(own, agent)).collect()
    }

    fn registration(&self, own: &OwnService, agent: &AgentId) -> Registration {
        let mut service = Service::new(ServiceId::of(&own.id, agent), own.name.clone(), self.kind);
        service.agent = Some(agent.clone());
        service.trust = Trust::Own;
        // The unspecified address stands for this host; the core puts in the one that neighbours reach.
        let host = own.address.clone().unwrap_or_else(|| Host::Ip(Ipv4Addr::UNSPECIFIED.into()));
        service.endpoint = (own.port > 0 || own.address.is_some()).then_some(Endpoint { host, port: own.port });
        service.fix = own.position.map(|at| Fix::fixed(at.position, at.accuracy, Timestamp::START));
        service.priority = own.priority;
        service.critical = own.critical;
        service.resources = own.resources.clone();
        service.metadata = own.metadata.clone();
        Registration { service, ttl: DEFAULT_LEASE, check: own.check.clone() }
    }
}
