//! TXT record in, service out.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::{MAX_ACCURACY, MAX_PAIRS, MAX_TXT, key_allowed, usual_accuracy};
use crate::mdns::counters::Counters;
use crate::mdns::service_type::ServiceType;
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
        self.pairs.retain(|key, value| {
            let resource = key.strip_prefix("r.").filter(|resource| !resource.is_empty());
            resource.map(|resource| service.resources.insert(resource.into(), value_of(value))).is_none()
        });
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
