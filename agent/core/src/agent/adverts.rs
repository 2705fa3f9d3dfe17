//! What the responder announces on the links: the agent itself, and its services under their DNS-SD types.

use std::collections::{BTreeMap, VecDeque};

use wayside_protocols::mdns::ServiceType;
use wayside_protocols::mdns::txt;
use wayside_protocols::place::Fix;
use wayside_protocols::service::{AgentId, Host, Service, ServiceId};

use super::io::{Advert, Output, Settings};

/// The instances this agent has on its links.
#[derive(Debug)]
pub(super) struct Adverts {
    on: bool,
    limit: usize,
    shown: BTreeMap<ServiceId, Advert>,
    outputs: VecDeque<Output>,
}

impl Adverts {
    pub(super) fn new(on: bool, limit: usize) -> Self {
        Self { on, limit, shown: BTreeMap::new(), outputs: VecDeque::new() }
    }

    /// Brings the links in line with what is vouched for. Services beyond the limit, and those whose name is no
    /// DNS-SD type, are reached by MQTT and HTTP only.
    pub(super) fn show(
        &mut self,
        me: (&AgentId, u32),
        settings: &Settings,
        own: Option<Fix>,
        services: Vec<Service>,
        devices: Vec<Service>,
    ) {
        if !self.on {
            return;
        }
        let mut wanted = BTreeMap::new();
        let mut types: Vec<ServiceType> = Vec::new();
        for service in services {
            if let Some(service_type) = ServiceType::of(&service.name).ok().filter(|_| wanted.len() < self.limit) {
                wanted.insert(service.id.clone(), advert(&service, &service_type, own));
                types.push(service_type);
            }
        }
        types.sort();
        types.dedup();
        // What was measured changes with every round; on the link it would be said anew each time.
        let lasting = devices.into_iter().map(|device| Service { resources: BTreeMap::new(), latency: None, ..device });
        for device in lasting.filter(|device| device.name.as_str().starts_with("modbus.")) {
            if wanted.len() < self.limit {
                wanted.insert(device.id.clone(), advert(&device, &ServiceType::modbus(), own));
            }
        }
        let presence = presence(me, settings, own, types);
        if let Some(things) = settings.api_port.zip(settings.things).and_then(|at| things(me.0, at)) {
            wanted.insert(things.id.clone(), things);
        }
        wanted.insert(presence.id.clone(), presence);
        for (id, advert) in &wanted {
            if self.shown.get(id) != Some(advert) {
                self.outputs.push_back(Output::Advertise(Box::new(advert.clone())));
            }
        }
        for id in self.shown.keys().filter(|id| !wanted.contains_key(*id)) {
            self.outputs.push_back(Output::Retract(id.clone()));
        }
        self.shown = wanted;
    }

    /// A link has come back: whoever is on it may have missed what was said meanwhile, so all is said again.
    pub(super) fn again(&mut self) {
        self.outputs.extend(self.shown.values().map(|advert| Output::Advertise(Box::new(advert.clone()))));
    }

    /// Says goodbye for everything.
    pub(super) fn leave(&mut self) {
        for id in std::mem::take(&mut self.shown).into_keys() {
            self.outputs.push_back(Output::Retract(id));
        }
    }

    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}

fn presence((me, epoch): (&AgentId, u32), settings: &Settings, own: Option<Fix>, offers: Vec<ServiceType>) -> Advert {
    let presence = txt::Presence {
        id: me.clone(),
        kind: settings.kind,
        version: settings.version.into(),
        epoch,
        api: settings.api_port,
        position: own.map(|fix| (fix.position, fix.accuracy)),
        offers,
    };
    Advert {
        id: ServiceId::agent(me),
        instance: instance(me.as_str()),
        service_type: ServiceType::wayside().as_str().into(),
        port: settings.api_port.unwrap_or(DISCARD),
        address: None,
        txt: presence.pairs(),
    }
}

/// The directory of Things (W3C WoT Discovery, section 6.3).
fn things(me: &AgentId, (port, scheme): (u16, &str)) -> Option<Advert> {
    Some(Advert {
        // No label of an own service begins like this.
        id: format!("_wot@{me}").parse().ok()?,
        instance: instance(me.as_str()),
        service_type: "_directory._sub._wot._tcp".into(),
        port,
        address: None,
        txt: [("td", "/.well-known/wot"), ("type", "Directory"), ("scheme", scheme)]
            .map(|(key, value)| (key.into(), value.into()))
            .into(),
    })
}

fn advert(service: &Service, service_type: &ServiceType, own: Option<Fix>) -> Advert {
    let mut placed = service.clone();
    placed.fix = placed.fix.or(own);
    let endpoint = service.endpoint.as_ref();
    let address = endpoint.and_then(|endpoint| match endpoint.host {
        Host::Ip(ip) => Some(ip),
        Host::Name(_) => None,
    });
    let (id, agent) = service.id.parts().unwrap_or((service.id.as_str(), ""));
    Advert {
        id: service.id.clone(),
        instance: instance(&format!("{id}-{agent}")),
        service_type: service_type.to_string().into(),
        port: endpoint.map_or(DISCARD, |endpoint| endpoint.port),
        address,
        txt: txt::pairs(&placed),
    }
}

/// An instance name: lower case, since responders exist that compare letter by letter, and at most 63 bytes
/// (RFC 6763 section 4.1.1).
fn instance(name: &str) -> Box<str> {
    name.to_lowercase().chars().take(63).collect::<String>().into()
}

/// An SRV record needs a port even where nothing can be reached: discard (RFC 863).
const DISCARD: u16 = 9;
