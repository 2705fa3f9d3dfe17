//! Own service in, TXT pairs out.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{MAX_PAIRS, MAX_STRING, MAX_TXT, MEANT, key_allowed, usual_accuracy};
use crate::mdns::service_type::ServiceType;
use crate::place::Position;
use crate::service::{AgentId, Kind, Service};

/// The pairs that announce `service`, something that an agent offers; [`service`](super::service) reads them back. Metadata that does
/// not fit (32 pairs, 255 bytes a pair, 1,300 bytes in all), has a key that DNS-SD does not allow or one that means
/// something here is left out. Altitude and motion are not told.
pub fn pairs(service: &Service) -> Vec<(Box<str>, Box<str>)> {
    let mut txt = Writer::default();
    if let Some((id, agent)) = service.id.parts() {
        txt.push("id", id);
        txt.push("agent", agent);
        txt.push("name", service.name.as_str());
    }
    txt.push("kind", service.kind.as_str());
    if let Some(fix) = &service.fix {
        txt.place(&fix.position, fix.accuracy, service.kind);
    }
    if service.priority != 0 {
        txt.push("prio", &service.priority.to_string());
    }
    if service.critical {
        txt.push("crit", "1");
    }
    for (name, value) in &service.resources {
        txt.push(&format!("r.{name}"), &value.to_string());
    }
    let plain = |key: &str| !MEANT.contains(&key) && !key.starts_with("r.");
    service.metadata.iter().filter(|(key, _)| plain(key)).for_each(|(key, value)| txt.push(key, value));
    txt.pairs
}

/// What an agent says of itself on `_wayside._tcp`.
#[derive(Clone, Debug, PartialEq)]
pub struct Presence {
    /// Its id.
    pub id: AgentId,
    /// What it is.
    pub kind: Kind,
    /// Program version.
    pub version: Box<str>,
    /// How often it has started.
    pub epoch: u32,
    /// Port of its API, where neighbours can reach it.
    pub api: Option<u16>,
    /// Where it stands, and one sigma in metres.
    pub position: Option<(Position, f32)>,
    /// The types of what it offers; as many as fit into one pair of 255 bytes are told.
    pub offers: Vec<ServiceType>,
}

impl Presence {
    /// The pairs that say so.
    pub fn pairs(&self) -> Vec<(Box<str>, Box<str>)> {
        let mut txt = Writer::default();
        txt.push("v", &self.version);
        txt.push("id", self.id.as_str());
        txt.push("kind", self.kind.as_str());
        txt.push("epoch", &self.epoch.to_string());
        if let Some(port) = self.api {
            txt.push("api", &port.to_string());
        }
        if let Some((position, accuracy)) = &self.position {
            txt.place(position, *accuracy, self.kind);
        }
        let mut offers = String::new();
        for offer in &self.offers {
            if "offers=".len() + offers.len() + 1 + offer.as_str().len() <= MAX_STRING {
                offers.extend([if offers.is_empty() { "" } else { "," }, offer.as_str()]);
            }
        }
        if !offers.is_empty() {
            txt.push("offers", &offers);
        }
        txt.pairs
    }
}

#[derive(Default)]
struct Writer {
    pairs: Vec<(Box<str>, Box<str>)>,
    bytes: usize,
}

impl Writer {
    fn push(&mut self, key: &str, value: &str) {
        let length = key.len() + 1 + value.len();
        let fits = length <= MAX_STRING && self.bytes + length <= MAX_TXT && self.pairs.len() < MAX_PAIRS;
        if fits && key_allowed(key) {
            self.bytes += length;
            self.pairs.push((key.into(), value.to_owned().into()));
        }
    }

    fn place(&mut self, position: &Position, accuracy: f32, kind: Kind) {
        // Seven places are a centimetre.
        self.push("lat", &format!("{:.7}", position.latitude()));
        self.push("lon", &format!("{:.7}", position.longitude()));
        if accuracy != usual_accuracy(kind) {
            self.push("acc", &accuracy.to_string());
        }
    }
}
