//! Every cap of the core, in one place. What happens at each is said beside it.

use wayside_protocols::place::Distance;
use wayside_protocols::time::Duration;

/// How much the agent keeps and accepts.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Services in the catalog. A full catalog forgets, in this order: what is stale, what only one network source
    /// says (farthest first, then oldest); never own rows, and critical ones only when nothing else is left.
    pub services: usize,
    /// Services one source may have in a full catalog before its rows make room ahead of all others.
    pub services_per_source: usize,
    /// Services one agent may announce by MQTT; beyond, further ones are refused and counted.
    pub services_per_agent: usize,
    /// Bytes of names, resources and metadata in one service; more is refused and counted.
    pub service_bytes: usize,
    /// Pairs of resources and metadata in one service; more is refused and counted.
    pub service_pairs: usize,
    /// Bytes of an MQTT payload; more is refused and counted.
    pub payload_bytes: usize,
    /// Services this agent vouches for itself; a further registration is refused.
    pub registrations: usize,
    /// Agents whose presence is remembered; the one heard longest ago is forgotten first.
    pub presences: usize,
    /// Agents whose presence is listened to one by one, where the agent knows its own place; further ones are believed
    /// for as long as their announcements hold.
    pub followed: usize,
    /// Beacons heard a second that are as much as this agent is to take: as they come near, it sends fewer of its own,
    /// and so does everybody there.
    pub beacons_per_s: u32,
    /// Open watches; a further one is refused.
    pub watchers: usize,
    /// DNS-SD types browsed at once; further ones are refused and counted.
    pub types: usize,
    /// Instances this agent announces by mDNS beside itself; further ones are reached by MQTT and HTTP only.
    pub adverts: usize,
    /// The shortest life a network source can give a service; less is raised to it.
    pub min_ttl: Duration,
    /// The longest life a network source can give a service; more is cut to it.
    pub max_ttl: Duration,
    /// How far around itself the agent listens for beacons.
    pub horizon: Distance,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            services: 20_000,
            services_per_source: 15_000,
            services_per_agent: 256,
            service_bytes: 4_096,
            service_pairs: 64,
            payload_bytes: 8_192,
            registrations: 1_024,
            presences: 16_384,
            followed: 1_024,
            beacons_per_s: 1_000,
            watchers: 64,
            types: 128,
            adverts: 64,
            min_ttl: Duration::from_secs(1),
            max_ttl: Duration::from_secs(86_400),
            horizon: Distance::metres(500),
        }
    }
}
