//! What the pairs of a TXT record mean (RFC 6763 section 6), both ways.
//!
//! `lat` and `lon` (decimal degrees) place any instance. Where `agent` and `id` name what an agent of ours offers, these
//! too have a meaning: `name`, `kind`, `acc` (one sigma, metres), `prio` (0 to 255), `crit` (`1`), `r.<resource>`. On
//! `_wayside._tcp`, where the instance is the agent itself, `id` is its id and `kind` its kind; `v`, `epoch`, `api` and
//! `offers` stay in the metadata. Everything else becomes metadata, within bounds. A value that makes no sense is left
//! out and counted; the service stays.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::counters::Counters;
use super::service_type::ServiceType;
use crate::place::{Fix, Position};
use crate::service::{AgentId, Endpoint, Kind, Label, NameError, Service, ServiceId, ServiceName, Value};
use crate::time::Timestamp;

/// A resolved DNS-SD instance.
#[derive(Clone, Copy, Debug)]
pub struct Instance<'a> {
    /// Full name as master files write it, e.g. `Printer._http._tcp.local`.
    pub full_name: &'a str,
    /// Its type.
    pub service_type: &'a ServiceType,
    /// Where it is reached.
    pub endpoint: &'a Endpoint,
    /// Its TXT record as it stands in the message; empty if it has none.
    pub txt: &'a [u8],
    /// When that was heard: the time of its fix.
    pub heard: Timestamp,
}

/// The service that an instance is. Pairs that are left out are counted in `counters`.
///
/// # Errors
/// [`NameError`] if the full name or the type is none that a service could have.
pub fn service(instance: Instance<'_>, counters: &mut Counters) -> Result<Service, NameError> {
    let mut pairs = pairs_of(instance.txt, counters);
    let mut said = Said { pairs: &mut pairs, invalid: 0 };
    let mut service = match said.offered() {
        _ if *instance.service_type == ServiceType::wayside() => said.presence(instance)?,
        Some((id, agent)) => said.own(instance, &id, agent)?,
        None => Service::new(ServiceId::dns(instance.full_name)?, instance.service_type.name()?, Kind::Device),
    };
    let accuracy = if service.agent.is_some() { said.parsed::<f32>("acc") } else { None };
    let accuracy = accuracy.filter(|metres| (0.0..=MAX_ACCURACY).contains(metres));
    service.fix = said
        .position()
        .map(|position| Fix::fixed(position, accuracy.unwrap_or_else(|| usual_accuracy(service.kind)), instance.heard));
    service.endpoint = Some(instance.endpoint.clone());
    counters.invalid_values += said.invalid;
    service.metadata = pairs;
    if instance.service_type.udp() {
        service.metadata.insert("proto".into(), "udp".into());
    }
    Ok(service)
}

/// The pairs that announce `service`, something that an agent offers; [`service`] reads them back. Metadata that does
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

/// The types that an agent's presence says it offers; those worth browsing too. At most 32.
pub fn offers(presence: &Service) -> Vec<ServiceType> {
    let offers = presence.metadata.get("offers").map_or("", |offers| &**offers);
    let types = offers.split(',').filter_map(|offer| offer.trim().parse::<ServiceType>().ok());
    types.filter(|offer| !offer.is_all()).take(32).collect()
}

/// The pairs of a TXT record: keys in lower case, of two equal keys the first (RFC 6763 section 6.4), an attribute
/// without `=` with an empty value. At most 32 pairs with keys of 32 bytes, values of 255 and 1,300 bytes in all; others,
/// and values that are not UTF-8, are left out and counted.
fn pairs_of(txt: &[u8], counters: &mut Counters) -> BTreeMap<Box<str>, Box<str>> {
    let mut pairs = BTreeMap::new();
    let (mut rest, mut bytes) = (txt, 0);
    while let Some((length, tail)) = rest.split_first() {
        let Some((string, tail)) = tail.split_at_checked(usize::from(*length)) else {
            counters.dropped_pairs += 1;
            break;
        };
        rest = tail;
        let Some((key, value)) = pair_of(string) else {
            counters.dropped_pairs += u64::from(!string.is_empty());
            continue;
        };
        if pairs.contains_key(&*key) {
            continue;
        }
        bytes += key.len() + value.len();
        if pairs.len() >= MAX_PAIRS || bytes > MAX_TXT {
            counters.dropped_pairs += 1;
            bytes -= key.len() + value.len();
            continue;
        }
        pairs.insert(key.into_boxed_str(), value.into());
    }
    pairs
}

fn pair_of(string: &[u8]) -> Option<(String, &str)> {
    let text = core::str::from_utf8(string).ok()?;
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    key_allowed(key).then(|| (key.to_ascii_lowercase(), value))
}

/// Printable US-ASCII without `=` (RFC 6763 section 6.4), and not longer than we keep.
fn key_allowed(key: &str) -> bool {
    (1..=MAX_KEY).contains(&key.len()) && key.bytes().all(|byte| matches!(byte, 0x20..=0x7e) && byte != b'=')
}

/// What the known keys say; taken out as they are read.
struct Said<'a> {
    pairs: &'a mut BTreeMap<Box<str>, Box<str>>,
    invalid: u64,
}

impl Said<'_> {
    /// `id` and `agent`, if both are there and are labels.
    fn offered(&self) -> Option<(Label, AgentId)> {
        Some((self.pairs.get("id")?.parse().ok()?, self.pairs.get("agent")?.parse().ok()?))
    }

    /// An agent itself. Without an id that is one, it stays what DNS-SD calls it.
    fn presence(&mut self, instance: Instance<'_>) -> Result<Service, NameError> {
        let agent = self.parsed::<AgentId>("id");
        let id = agent.as_ref().map_or_else(|| ServiceId::dns(instance.full_name), |agent| Ok(ServiceId::agent(agent)));
        let kind = self.parsed("kind").unwrap_or(Kind::Device);
        Ok(Service { agent, ..Service::new(id?, ServiceName::wayside(), kind) })
    }

    /// Something an agent offers.
    fn own(&mut self, instance: Instance<'_>, id: &Label, agent: AgentId) -> Result<Service, NameError> {
        self.pairs.remove("id");
        self.pairs.remove("agent");
        let name = self.parsed("name").map_or_else(|| instance.service_type.name(), Ok)?;
        let kind = self.parsed("kind").unwrap_or(Kind::Device);
        let mut service = Service::new(ServiceId::of(id, &agent), name, kind);
        service.agent = Some(agent);
        service.priority = self.parsed("prio").unwrap_or(0);
        service.critical = self.pairs.remove("crit").is_some_and(|word| matches!(&*word, "1" | "true" | ""));
        let resources: Vec<_> = self.pairs.extract_if(.., |key, _| key.len() > 2 && key.starts_with("r.")).collect();
        service.resources = resources.into_iter().map(|(key, value)| (key[2..].into(), value_of(&value))).collect();
        Ok(service)
    }

    /// Where `lat` and `lon` say, if both make sense.
    fn position(&mut self) -> Option<Position> {
        if !self.pairs.contains_key("lat") && !self.pairs.contains_key("lon") {
            return None;
        }
        let before = self.invalid;
        let (latitude, longitude) = (self.parsed::<f64>("lat"), self.parsed::<f64>("lon"));
        let position =
            latitude.zip(longitude).and_then(|(latitude, longitude)| Position::new(latitude, longitude).ok());
        // One of the two alone, or one out of range.
        self.invalid += u64::from(position.is_none() && self.invalid == before);
        position
    }

    /// The value of `key`, taken out; `None`, and counted, if it makes no sense.
    fn parsed<T: core::str::FromStr>(&mut self, key: &str) -> Option<T> {
        let value = self.pairs.remove(key)?;
        let parsed = value.trim().parse().ok();
        self.invalid += u64::from(parsed.is_none());
        parsed
    }
}

fn value_of(text: &str) -> Value {
    match text.parse() {
        Ok(value) => value,
        Err(never) => match never {},
    }
}

/// What an agent's own words say where the accuracy is left out (one sigma, metres).
fn usual_accuracy(kind: Kind) -> f32 {
    if kind == Kind::Vehicle { 5.0 } else { 1.0 }
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

const MEANT: [&str; 10] = ["id", "agent", "name", "kind", "lat", "lon", "acc", "prio", "crit", "proto"];
const MAX_ACCURACY: f32 = 10_000.0;
const MAX_PAIRS: usize = 32;
const MAX_KEY: usize = 32;
const MAX_STRING: usize = 255;
pub(super) const MAX_TXT: usize = 1_300;
