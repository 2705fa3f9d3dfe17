//! `[limits]`: every cap, of the core and of the API.

use wayside_protocols::place::Distance;
use wayside_protocols::time::Duration;

use super::section::Section;

/// Every cap.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// What the core keeps and accepts.
    pub core: wayside_core::limits::Limits,
    /// What the API accepts.
    pub api: ApiLimits,
}

/// What the API accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiLimits {
    /// Connections at once; a further one is closed without an answer.
    pub connections: usize,
    /// Bytes of a request body; more is answered with 413.
    pub body_bytes: usize,
    /// Bytes of a request's head; more is answered with 431.
    pub header_bytes: usize,
    /// How long a caller may take to send its head; then it is hung up on.
    pub header_timeout: Duration,
}

impl Default for ApiLimits {
    fn default() -> Self {
        Self { connections: 128, body_bytes: 65_536, header_bytes: 16_384, header_timeout: Duration::from_secs(5) }
    }
}

pub(super) fn read(section: &mut Section<'_, '_>) -> Limits {
    let Limits { mut core, mut api } = Limits::default();
    for (key, cap, low, high) in [
        ("services", &mut core.services, 16, 1_000_000),
        ("services_per_source", &mut core.services_per_source, 16, 1_000_000),
        ("services_per_agent", &mut core.services_per_agent, 1, 100_000),
        ("service_bytes", &mut core.service_bytes, 256, 65_536),
        ("service_pairs", &mut core.service_pairs, 1, 1_024),
        ("payload_bytes", &mut core.payload_bytes, 256, 262_144),
        ("registrations", &mut core.registrations, 0, 100_000),
        ("presences", &mut core.presences, 1, 1_000_000),
        ("watchers", &mut core.watchers, 0, 10_000),
        ("questions", &mut core.questions, 1, 10_000),
        ("types", &mut core.types, 1, 4_096),
        ("adverts", &mut core.adverts, 0, 4_096),
        ("connections", &mut api.connections, 1, 10_000),
        ("body_bytes", &mut api.body_bytes, 1_024, 16_777_216),
        ("header_bytes", &mut api.header_bytes, 8_192, 1_048_576),
    ] {
        if let Some(given) = section.whole(key, low, high).and_then(|given| usize::try_from(given).ok()) {
            *cap = given;
        }
    }
    for (key, cap, low, high) in [
        ("min_ttl_s", &mut core.min_ttl, 1, 3_600),
        ("max_ttl_s", &mut core.max_ttl, 1, 604_800),
        ("header_timeout_s", &mut api.header_timeout, 1, 300),
    ] {
        if let Some(given) = section.whole(key, low, high) {
            *cap = Duration::from_secs(given);
        }
    }
    if let Some(metres) = section.number("horizon_m", 100.0, 5_000.0).and_then(|metres| Distance::new(metres).ok()) {
        core.horizon = metres;
    }
    if core.min_ttl > core.max_ttl {
        let (min, max) = (core.min_ttl.as_secs(), core.max_ttl.as_secs());
        let key = if section.has("min_ttl_s") { "min_ttl_s" } else { "max_ttl_s" };
        section.complain(key, format!("makes min_ttl_s {min} more than max_ttl_s {max}"), "");
    }
    if core.services_per_source > core.services {
        core.services_per_source = core.services;
        if section.has("services_per_source") {
            section.complain("services_per_source", format!("is more than services, {}", core.services), "");
        }
    }
    Limits { core, api }
}
