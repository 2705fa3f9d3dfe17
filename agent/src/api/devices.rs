//! Devices as JSON. The names are contracts: programs and our own command line rely on them.

use serde::Serialize;
use serde_json::{Value as Json, json};

use wayside_protocols::device::{SAYS_ITSELF, Told};
use wayside_protocols::modbus::segment::Segment;
use wayside_protocols::modbus::survey::Device;
use wayside_protocols::modbus::translate::Placement;
use wayside_protocols::time::Duration;

use crate::io::bus::findings::Findings;
use crate::io::bus::keeper::Known;
use crate::io::inquire::{Found, Tally};

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
    shaped(&report)
}

/// One device.
pub fn device(device: &Device) -> Json {
    shaped(&DeviceJson::from(device))
}

/// One device that is kept, with the service it is and how well it answers.
pub fn known(known: &Known) -> Json {
    let mut row = device(&known.device);
    row["id"] = known.id.as_str().into();
    placed(&mut row, &known.placement);
    row["quality"] = known.quality.as_ref().map_or(Json::Null, |quality| {
        let millis = |time: Duration| time.as_micros() as f64 / 1_000.0;
        json!({
            "rtt_p50_ms": millis(quality.rtt_p50),
            "rtt_p95_ms": millis(quality.rtt_p95),
            "loss": (f64::from(quality.loss) * 10_000.0).round() / 10_000.0,
            "refresh_ms": millis(quality.refresh),
        })
    });
    row
}

/// One device that answered by datagram.
pub fn answered(found: &Found) -> Json {
    let told = &found.told;
    let mut row = json!({
        "address": found.address.to_string(), "unit": null,
        "manufacturer": told.manufacturer(), "model": told.model(), "version": told.version(), "serial": told.serial(),
        "profile": null, "confidence": SAYS_ITSELF, "identified_by": told.identified_by(),
        "rtt_ms": found.round_trip.as_micros() as f64 / 1_000.0, "service": told.name(),
    });
    if let Told::Bacnet(told) = told {
        row["name"] = told.name.as_deref().into();
        row["instance"] = told.instance.into();
    }
    row
}

/// What an inquiry by datagram found, in the same shape as a survey.
pub fn inquired(found: &[Found], tally: Tally, segment: &Segment, elapsed: Duration) -> Json {
    json!({
        "devices": found.iter().map(answered).collect::<Vec<_>>(),
        "refused": denied(segment),
        "counts": {
            "addresses": segment.targets().len(),
            "denied": segment.denied().len(),
            "connections": 0,
            "requests": tally.sent,
            "strange": tally.strange,
            "devices": found.len(),
            "elapsed_ms": u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        },
    })
}

/// What the configuration says of a device.
pub fn placed(row: &mut Json, placement: &Placement) {
    row["segment"] = Some(&*placement.segment).filter(|name| !name.is_empty()).into();
    row["priority"] = placement.priority.into();
}

fn denied(segment: &Segment) -> Vec<Json> {
    let denied = segment.denied().iter().take(DENIED);
    denied.map(|target| json!({ "address": target.to_string(), "reason": "denied" })).collect()
}

fn shaped(value: &impl Serialize) -> Json {
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
