//! Devices as JSON. The names are contracts: programs and our own command line rely on them.

use serde::Serialize;
use serde_json::Value as Json;

use wayside_protocols::modbus::segment::Segment;
use wayside_protocols::modbus::survey::Device;
use wayside_protocols::time::Duration;

use crate::io::bus::findings::Findings;

/// What a survey found, as `{devices, refused, counts}`.
pub fn report(findings: &Findings, segment: &Segment, elapsed: Duration) -> Json {
    let stopped = findings.left_alone().map(|(target, verdict, unasked)| RefusedJson {
        address: target.to_string(),
        reason: verdict.to_string(),
        units_not_asked: unasked,
    });
    let denied = segment.denied().iter().take(DENIED).map(|target| RefusedJson {
        address: target.to_string(),
        reason: "denied".to_owned(),
        units_not_asked: segment.units(target).len(),
    });
    let counts = findings.counts;
    let report = ReportJson {
        devices: findings.devices().map(DeviceJson::from).collect(),
        refused: stopped.chain(denied).collect(),
        counts: CountsJson {
            addresses: counts.addresses,
            asked: counts.ended,
            denied: segment.denied().len(),
            closed: findings.closed,
            unreachable: findings.unreachable,
            attempts: counts.attempts,
            connections: counts.connections,
            requests: counts.requests,
            devices: findings.devices().count(),
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        },
    };
    json(&report)
}

/// One device.
pub fn device(device: &Device) -> Json {
    json(&DeviceJson::from(device))
}

fn json(value: &impl Serialize) -> Json {
    // Numbers here are finite and keys are texts: nothing can fail.
    serde_json::to_value(value).unwrap_or(Json::Null)
}

#[derive(Serialize)]
struct ReportJson<'a> {
    devices: Vec<DeviceJson<'a>>,
    refused: Vec<RefusedJson>,
    counts: CountsJson,
}

#[derive(Serialize)]
struct DeviceJson<'a> {
    address: String,
    unit: u8,
    manufacturer: Option<&'a str>,
    model: Option<&'a str>,
    version: Option<&'a str>,
    serial: Option<&'a str>,
    profile: Option<&'a str>,
    confidence: f64,
    identified_by: Option<String>,
    rtt_ms: f64,
    service: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    aliases: Option<String>,
    explain: &'a [Box<str>],
}

impl<'a> From<&'a Device> for DeviceJson<'a> {
    fn from(device: &'a Device) -> Self {
        let identified = &device.identified;
        let identity = &identified.identity;
        let by: Vec<&str> = identified.by.iter().map(|method| method.as_str()).collect();
        Self {
            address: device.target.to_string(),
            unit: device.unit.0,
            manufacturer: identity.manufacturer.as_deref(),
            model: identity.model.as_deref(),
            version: identity.version.as_deref(),
            serial: identity.serial.as_deref(),
            profile: identified.profile.as_ref().map(|profile| &*profile.id),
            confidence: (f64::from(identified.confidence) * 100.0).round() / 100.0,
            identified_by: (!by.is_empty()).then(|| by.join(",")),
            rtt_ms: device.rtt.as_micros() as f64 / 1_000.0,
            service: format!("modbus.{}", identified.class()),
            aliases: (!device.aliases.is_empty()).then(|| device.aliases.to_string()),
            explain: &identified.explain,
        }
    }
}

#[derive(Serialize)]
struct RefusedJson {
    address: String,
    reason: String,
    units_not_asked: usize,
}

#[derive(Serialize)]
struct CountsJson {
    addresses: usize,
    asked: usize,
    denied: usize,
    closed: usize,
    unreachable: usize,
    attempts: u32,
    connections: u32,
    requests: u32,
    devices: usize,
    elapsed_ms: u64,
}

/// Denied addresses that are listed one by one at the most; all are counted.
const DENIED: usize = 256;
