//! From a device to the one thing everybody here understands: a service.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::ToString;

use super::identify::Identified;
use super::unit::Unit;
use crate::place::Fix;
use crate::service::{
    AgentId, Basis, Endpoint, Health, Kind, Label, Latency, Service, ServiceId, ServiceName, Trust, Value,
};
use crate::time::Duration;

/// By which way a device is reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// Modbus TCP.
    Tcp(Endpoint),
    /// Modbus RTU carried over TCP.
    RtuOverTcp(Endpoint),
    /// Modbus RTU on a serial line, by the name of its device file.
    Rtu(Box<str>),
}

impl Way {
    /// The word for it in metadata.
    pub const fn protocol(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "modbus-tcp",
            Self::RtuOverTcp(_) => "modbus-rtu-tcp",
            Self::Rtu(_) => "modbus-rtu",
        }
    }

    /// Where that is on the network, if it is there.
    pub const fn endpoint(&self) -> Option<&Endpoint> {
        match self {
            Self::Tcp(endpoint) | Self::RtuOverTcp(endpoint) => Some(endpoint),
            Self::Rtu(_) => None,
        }
    }
}

/// What the segment's configuration says of the devices on it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Placement {
    /// The segment's name; empty for none.
    pub segment: Box<str>,
    /// Higher is preferred.
    pub priority: u8,
    /// Where it stands; `None` for where the agent stands.
    pub fix: Option<Fix>,
}

/// How well a device answers, measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quality {
    /// Half of the requests are answered within this.
    pub rtt_p50: Duration,
    /// Of a hundred, 95.
    pub rtt_p95: Duration,
    /// Which part of the requests is not answered, 0 to 1.
    pub loss: f32,
    /// How often its points can be had.
    pub refresh: Duration,
}

/// The service that a device becomes.
pub fn service(
    identified: &Identified,
    agent: &AgentId,
    way: &Way,
    unit: Unit,
    place: &Placement,
    quality: Option<&Quality>,
) -> Service {
    let class = identified.class();
    // A class is a word, and eight hexadecimal digits behind it make a label; "modbus." and a word make a name.
    let label: Label = format!("{class}-{:08x}", digest(identified, way, unit))
        .parse()
        .unwrap_or_else(|_| unreachable!("{class} is a word"));
    let name: ServiceName = format!("modbus.{class}").parse().unwrap_or_else(|_| unreachable!("{class} is a word"));
    let mut service = Service::new(ServiceId::of(&label, agent), name, Kind::Device);
    service.agent = Some(agent.clone());
    service.endpoint = way.endpoint().cloned();
    service.fix = place.fix;
    service.priority = place.priority;
    service.trust = Trust::Own;
    service.metadata = metadata(identified, way, unit, place);
    if let Some(quality) = quality {
        service.health = if quality.loss < 1.0 { Health::Passing } else { Health::Failing };
        service.latency = Some(Latency { round_trip: quality.rtt_p50, basis: Basis::Measured });
        service.resources = resources(quality);
    }
    service
}

fn metadata(identified: &Identified, way: &Way, unit: Unit, place: &Placement) -> BTreeMap<Box<str>, Box<str>> {
    let identity = &identified.identity;
    let by: alloc::vec::Vec<&str> = identified.by.iter().map(|method| method.as_str()).collect();
    let texts: [(&str, Option<Box<str>>); 11] = [
        ("manufacturer", identity.manufacturer.clone()),
        ("model", identity.model.clone()),
        ("version", identity.version.clone()),
        ("serial", identity.serial.clone()),
        ("unit", Some(unit.to_string().into())),
        ("profile", identified.profile.as_ref().map(|profile| profile.id.clone())),
        ("confidence", Some(format!("{:.2}", identified.confidence).into())),
        ("identified_by", (!by.is_empty()).then(|| by.join(",").into())),
        ("segment", Some(place.segment.clone())),
        ("protocol", Some(way.protocol().into())),
        ("line", if let Way::Rtu(line) = way { Some(line.clone()) } else { None }),
    ];
    let written = texts.into_iter().filter_map(|(key, text)| Some((key, text.filter(|text| !text.is_empty())?)));
    written.map(|(key, text)| (key.into(), text)).collect()
}

fn resources(quality: &Quality) -> BTreeMap<Box<str>, Value> {
    let numbers = [
        // Rounded, so that a third does not become 0.3333333432674408.
        ("loss", libm::round(f64::from(quality.loss) * 10_000.0) / 10_000.0),
        ("refresh", quality.refresh.as_secs_f64()),
        ("rtt_p50", quality.rtt_p50.as_secs_f64()),
        ("rtt_p95", quality.rtt_p95.as_secs_f64()),
    ];
    numbers.into_iter().map(|(key, number)| (key.into(), Value::Number(number))).collect()
}

/// 32 bits that stay with a device: of its maker, model and serial number, or, without the last, of where it is.
fn digest(identified: &Identified, way: &Way, unit: Unit) -> u32 {
    let identity = &identified.identity;
    let text = match &identity.serial {
        Some(serial) => format!(
            "{}\0{}\0{serial}",
            identity.manufacturer.as_deref().unwrap_or_default(),
            identity.model.as_deref().unwrap_or_default(),
        ),
        None => match way {
            Way::Tcp(endpoint) | Way::RtuOverTcp(endpoint) => format!("{endpoint}\0{unit}"),
            Way::Rtu(line) => format!("{line}\0{unit}"),
        },
    };
    // FNV-1a.
    text.bytes().fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
