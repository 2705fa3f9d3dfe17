//! The one thing a source can say.

use alloc::boxed::Box;
use core::fmt;

use crate::service::{Service, ServiceId};
use crate::time::Duration;

/// A network interface by its index, as the kernel numbers it (`if_nametoindex`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u32);

/// Who told us. The order is the order of belief: what an earlier source says about a field wins over a later one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// Registered here through the API.
    Api,
    /// Written in this agent's configuration.
    File,
    /// Translated from a device on a Modbus segment.
    Modbus,
    /// A device that told who it is by EtherNet/IP.
    Enip,
    /// A device that told who it is by BACnet/IP.
    Bacnet,
    /// Heard by multicast DNS on a link; each link keeps its own claim.
    Mdns(LinkId),
    /// Heard through the MQTT broker.
    Mqtt,
    /// Told by the registry of the region.
    Region,
    /// Told by the cloud.
    Cloud,
}

impl Source {
    /// The field's word for it, as it stands in JSON and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::File => "file",
            Self::Modbus => "modbus",
            Self::Enip => "enip",
            Self::Bacnet => "bacnet",
            Self::Mdns(_) => "mdns",
            Self::Mqtt => "mqtt",
            Self::Region => "region",
            Self::Cloud => "cloud",
        }
    }

    /// Whether this agent itself vouches for what the source says.
    pub const fn own(self) -> bool {
        matches!(self, Self::Api | Self::File | Self::Modbus | Self::Enip | Self::Bacnet)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One source's word at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting {
    /// Who says so.
    pub source: Source,
    /// What it says.
    pub claim: Claim,
}

/// What a source says about a service.
#[derive(Clone, Debug, PartialEq)]
pub enum Claim {
    /// It is there, and will be for `ttl` unless told otherwise.
    Alive {
        /// The service as this source knows it.
        service: Box<Service>,
        /// How long the word holds.
        ttl: Duration,
    },
    /// It said goodbye.
    Gone(ServiceId),
}

impl Sighting {
    /// `source` says that `service` is there for `ttl`.
    pub fn alive(source: Source, service: Service, ttl: Duration) -> Self {
        Self { source, claim: Claim::Alive { service: Box::new(service), ttl } }
    }

    /// `source` says that `id` is gone.
    pub fn gone(source: Source, id: ServiceId) -> Self {
        Self { source, claim: Claim::Gone(id) }
    }

    /// Which service it is about.
    pub fn id(&self) -> &ServiceId {
        match &self.claim {
            Claim::Alive { service, .. } => &service.id,
            Claim::Gone(id) => id,
        }
    }
}
