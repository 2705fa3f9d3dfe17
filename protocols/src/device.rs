//! Devices that tell by a datagram who they are, as services.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use core::net::SocketAddrV4;

use crate::modbus::translate::Placement;
use crate::service::{AgentId, Basis, Endpoint, Health, Host, Kind, Label, Latency, Service, ServiceId, Trust};
use crate::sighting::Source;
use crate::time::Duration;
use crate::{bacnet, enip};

/// What a device says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// By EtherNet/IP.
    Enip(enip::Identity),
    /// By BACnet/IP.
    Bacnet(bacnet::Device),
}

impl Told {
    /// Whose word it is.
    pub const fn source(&self) -> Source {
        match self {
            Self::Enip(_) => Source::Enip,
            Self::Bacnet(_) => Source::Bacnet,
        }
    }

    /// The name of its service: `enip.plc`, `bacnet.device`.
    pub fn name(&self) -> String {
        match self {
            Self::Enip(told) => format!("enip.{}", told.product_type),
            Self::Bacnet(_) => "bacnet.device".to_string(),
        }
    }

    /// Its maker: the name it says or the one its number stands for, else `vendor` and the number.
    pub fn manufacturer(&self) -> Option<Box<str>> {
        match self {
            Self::Enip(told) => {
                Some(told.vendor_name().map_or_else(|| format!("vendor {}", told.vendor).into(), Box::from))
            }
            Self::Bacnet(told) => {
                told.vendor_name.clone().or_else(|| told.vendor.map(|vendor| format!("vendor {vendor}").into()))
            }
        }
    }

    /// Its model.
    pub fn model(&self) -> Option<&str> {
        match self {
            Self::Enip(told) => Some(&told.name),
            Self::Bacnet(told) => told.model.as_deref(),
        }
    }

    /// The version of its firmware.
    pub fn version(&self) -> Option<Box<str>> {
        match self {
            Self::Enip(told) => Some(told.version().into()),
            Self::Bacnet(told) => told.firmware.clone(),
        }
    }

    /// Its serial number.
    pub fn serial(&self) -> Option<Box<str>> {
        match self {
            Self::Enip(told) => Some(told.serial_number().into()),
            Self::Bacnet(_) => None,
        }
    }

    /// By which question it told this.
    pub const fn identified_by(&self) -> &'static str {
        match self {
            Self::Enip(_) => "list-identity",
            Self::Bacnet(_) => "i-am",
        }
    }

    /// Whether `other` is the same device: one vendor's serial number, or one number of a device object.
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Enip(one), Self::Enip(other)) => (one.vendor, one.serial) == (other.vendor, other.serial),
            (Self::Bacnet(one), Self::Bacnet(other)) => one.instance == other.instance,
            (Self::Enip(_), Self::Bacnet(_)) | (Self::Bacnet(_), Self::Enip(_)) => false,
        }
    }

    /// The service it is. Its id stays with the device wherever it is plugged in; `rtt` is how long its answer took.
    pub fn service(&self, agent: &AgentId, address: SocketAddrV4, place: &Placement, rtt: Duration) -> Service {
        let label: Label = match self {
            Self::Enip(told) => format!("enip-{:x}-{:08x}", told.vendor, told.serial),
            Self::Bacnet(told) => format!("bacnet-{}", told.instance),
        }
        .parse()
        .unwrap_or_else(|_| unreachable!("a word and hexadecimal digits are a label"));
        let name = self.name();
        let name = name.parse().unwrap_or_else(|_| unreachable!("{name} is a name"));
        let mut service = Service::new(ServiceId::of(&label, agent), name, Kind::Device);
        service.agent = Some(agent.clone());
        service.endpoint = Some(Endpoint { host: Host::Ip((*address.ip()).into()), port: address.port() });
        service.fix = place.fix;
        service.priority = place.priority;
        service.trust = Trust::Own;
        service.health = Health::Passing;
        service.latency = Some(Latency { round_trip: rtt, basis: Basis::Measured });
        service.metadata = self.metadata(place);
        service
    }

    fn metadata(&self, place: &Placement) -> BTreeMap<Box<str>, Box<str>> {
        let (protocol, name, number) = match self {
            Self::Enip(_) => ("enip", None, None),
            Self::Bacnet(told) => ("bacnet", told.name.clone(), Some(told.instance.to_string().into())),
        };
        let texts: [(&str, Option<Box<str>>); 9] = [
            ("manufacturer", self.manufacturer()),
            ("model", self.model().map(Box::from)),
            ("version", self.version()),
            ("serial", self.serial()),
            ("name", name),
            ("instance", number),
            ("identified_by", Some(self.identified_by().into())),
            ("segment", Some(place.segment.clone())),
            ("protocol", Some(protocol.into())),
        ];
        let written = texts.into_iter().filter_map(|(key, text)| Some((key, text.filter(|text| !text.is_empty())?)));
        written.map(|(key, text)| (key.into(), text)).collect()
    }
}

/// How sure it is who a device is that says so itself, where nobody else does.
pub const SAYS_ITSELF: f64 = 0.9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_stays_the_same_service_wherever_it_is_plugged_in() {
        let told = Told::Bacnet(bacnet::Device {
            instance: 4_194_302,
            vendor: Some(999),
            name: Some("AH-1".into()),
            ..bacnet::Device::default()
        });
        let agent: AgentId = "gw-7".parse().unwrap();
        let place = Placement { segment: "roof".into(), priority: 5, fix: None };
        let one = told.service(&agent, "10.0.0.5:47808".parse().unwrap(), &place, Duration::from_millis(3));
        let other = told.service(&agent, "10.0.0.6:47808".parse().unwrap(), &place, Duration::from_millis(3));
        assert_eq!((one.id.as_str(), one.name.as_str()), ("bacnet-4194302@gw-7", "bacnet.device"));
        assert_eq!((&one.id, one.endpoint == other.endpoint, one.priority), (&other.id, false, 5));
        assert_eq!(one.metadata.get("manufacturer").map(|text| &**text), Some("vendor 999"));
        assert_eq!(one.metadata.get("segment").map(|text| &**text), Some("roof"));
    }
}
