//! `[limits]`: every cap, of the core and of the API.

use wayside_protocols::place::Distance;
use wayside_protocols::time::Duration;

use super::section::Section;
use crate::api::Caps;

/// Every cap.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// What the core keeps and accepts.
    pub core: wayside_core::limits::Limits,
    /// What the API accepts.
    pub api: Caps,
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
        ("followed", &mut core.followed, 0, 100_000),
        ("watchers", &mut core.watchers, 0, 10_000),
        ("types", &mut core.types, 1, 4_096),
        ("adverts", &mut core.adverts, 0, 4_096),
        ("connections", &mut api.connections, 1, 10_000),
        ("body_bytes", &mut api.body_bytes, 1_024, 16_777_216),
        ("head_bytes", &mut api.head_bytes, 8_192, 1_048_576),
        ("target_bytes", &mut api.target_bytes, 256, 65_536),
    ] {
        if let Some(given) = section.whole(key, low, high).and_then(|given| usize::try_from(given).ok()) {
            *cap = given;
        }
    }
    for (key, cap, low, high) in [
        ("min_ttl_s", &mut core.min_ttl, 1, 3_600),
        ("max_ttl_s", &mut core.max_ttl, 1, 604_800),
        ("head_time_s", &mut api.head_time, 1, 300),
        ("body_time_s", &mut api.body_time, 1, 300),
        ("stall_time_s", &mut api.stall_time, 1, 3_600),
    ] {
        if let Some(given) = section.whole(key, low, high) {
            *cap = Duration::from_secs(given);
        }
    }
    if let Some(given) = section.whole("beacons_per_s", 10, 1_000_000).and_then(|given| u32::try_from(given).ok()) {
        core.beacons_per_s = given;
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
