//! Listening on the links: one browser each.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};

use wayside_protocols::mdns::{Browser, BrowserOutput, Caps, Datagram, ServiceType};
use wayside_protocols::sighting::{LinkId, Sighting};
use wayside_protocols::time::Timestamp;

use super::io::Output;
use crate::counters::Counters;

/// The links and what is browsed for on all of them.
#[derive(Debug)]
pub(super) struct Ears {
    seed: u64,
    limit: usize,
    /// What the configuration names; `*` stands for every advertised type.
    configured: BTreeSet<ServiceType>,
    /// What neighbouring agents say they offer, and what enumeration found.
    learned: BTreeSet<ServiceType>,
    links: BTreeMap<LinkId, Link>,
    /// Links that have gone, at most [`REMEMBERED`]; one of them that comes back is news to its neighbours.
    gone: BTreeSet<LinkId>,
    said: VecDeque<Sighting>,
    refused_types: u64,
}

#[derive(Debug)]
struct Link {
    browser: Browser,
    addresses: Vec<(IpAddr, u8)>,
}

impl Ears {
    pub(super) fn new(seed: u64, browse: &[Box<str>], limit: usize) -> Self {
        Self {
            seed,
            limit,
            configured: browse.iter().filter_map(|name| name.parse().ok()).collect(),
            learned: BTreeSet::new(),
            links: BTreeMap::new(),
            gone: BTreeSet::new(),
            said: VecDeque::new(),
            refused_types: 0,
        }
    }

    /// Says whether the link was there before and has come back.
    pub(super) fn link_up(&mut self, id: LinkId, addresses: Vec<(IpAddr, u8)>, now: Timestamp) -> bool {
        let seed = self.seed ^ u64::from(id.0).rotate_left(32);
        let known = self.links.contains_key(&id);
        let link = self
            .links
            .entry(id)
            .or_insert_with(|| Link { browser: Browser::new(id, seed, Caps::default()), addresses: Vec::new() });
        link.browser.set_addresses(addresses.clone());
        link.addresses = addresses;
        if !known {
            for service_type in self.configured.iter().chain(&self.learned) {
                link.browser.browse(service_type.clone(), now);
            }
        }
        self.gone.remove(&id)
    }

    /// What was heard on a link goes with it.
    pub(super) fn link_down(&mut self, id: LinkId, now: Timestamp) {
        if let Some(mut link) = self.links.remove(&id) {
            if self.gone.len() < REMEMBERED {
                self.gone.insert(id);
            }
            link.browser.flush(now);
            while let Some(output) = link.browser.poll_output() {
                if let BrowserOutput::Sighting(sighting) = output {
                    self.said.push_back(sighting);
                }
            }
        }
    }

    pub(super) fn datagram(&mut self, id: LinkId, from: SocketAddr, multicast: bool, bytes: &[u8], now: Timestamp) {
        if let Some(link) = self.links.get_mut(&id) {
            link.browser.handle(Datagram { from, multicast, bytes }, now);
        }
    }

    /// Browses for one more type on every link, if there is room.
    pub(super) fn learn(&mut self, service_type: ServiceType, now: Timestamp) {
        if self.configured.contains(&service_type) || self.learned.contains(&service_type) {
            return;
        }
        if self.configured.len() + self.learned.len() >= self.limit {
            self.refused_types += 1;
            return;
        }
        for link in self.links.values_mut() {
            link.browser.browse(service_type.clone(), now);
        }
        self.learned.insert(service_type);
    }

    /// The address by which neighbours most likely reach this host: the first IPv4 one, else the first that is not
    /// link-local.
    pub(super) fn address(&self) -> Option<IpAddr> {
        let all = || self.links.values().flat_map(|link| link.addresses.iter().map(|(ip, _)| *ip));
        let routable = |ip: &IpAddr| match ip {
            IpAddr::V4(ip) => !ip.is_loopback(),
            IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
        };
        all().filter(IpAddr::is_ipv4).find(routable).or_else(|| all().find(routable))
    }

    pub(super) fn handle_timeout(&mut self, now: Timestamp) {
        for link in self.links.values_mut() {
            link.browser.handle_timeout(now);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        self.links.values().filter_map(|link| link.browser.poll_timeout()).min()
    }

    /// Sorts what the browsers have to say into datagrams (returned) and sightings; learns types on the way.
    pub(super) fn poll_output(&mut self, now: Timestamp) -> Option<Output> {
        let ids: Vec<LinkId> = self.links.keys().copied().collect();
        for id in ids {
            while let Some(output) = self.links.get_mut(&id).and_then(|link| link.browser.poll_output()) {
                match output {
                    BrowserOutput::Send(bytes) => return Some(Output::Multicast { link: id, bytes }),
                    BrowserOutput::Sighting(sighting) => self.said.push_back(sighting),
                    BrowserOutput::Type(service_type) => self.learn(service_type, now),
                }
            }
        }
        None
    }

    pub(super) fn poll_sighting(&mut self) -> Option<Sighting> {
        self.said.pop_front()
    }

    /// What the browsers counted, summed over the links.
    pub(super) fn count_into(&self, counters: &mut Counters) {
        counters.add("mdns_types_refused_total", self.refused_types);
        for link in self.links.values() {
            for (what, n) in link.browser.counters().iter() {
                counters.add(what, n);
            }
        }
    }
}

/// Links that have gone and are remembered; beyond, a returning one counts as new.
const REMEMBERED: usize = 64;
