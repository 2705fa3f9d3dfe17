//! What is believed of a link: instances, and the hosts they are on. An instance is here only because a PTR of a
//! browsed type names it, a host only because an SRV names it: there are no orphans.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::IpAddr;

use super::belief::Belief;
use super::caps::Caps;
use super::crowd::Crowd;
use super::name::Name;
use super::service_type::ServiceType;
use crate::service::{Endpoint, ServiceId};
use crate::time::Timestamp;

/// One DNS-SD instance.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) name: Name,
    pub(super) service_type: ServiceType,
    /// Who named it first; room is made at the cost of whoever named most.
    pub(super) sender: IpAddr,
    pub(super) ptr: Belief,
    pub(super) srv: Option<Srv>,
    pub(super) txt: Option<Txt>,
    pub(super) ask: Ask,
    /// Whether it is shown without a TXT record, having been asked twice for it.
    pub(super) waived: bool,
    /// Whether something it needs ended with a goodbye.
    pub(super) parting: bool,
    pub(super) told: Option<Told>,
}

#[derive(Debug)]
pub(super) struct Srv {
    pub(super) belief: Belief,
    pub(super) port: u16,
    pub(super) target: Name,
}

#[derive(Debug)]
pub(super) struct Txt {
    pub(super) belief: Belief,
    pub(super) bytes: Box<[u8]>,
}

/// When to ask for what is missing, and how often that was done.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) at: Timestamp,
    pub(super) count: u8,
}

impl Ask {
    pub(super) const NOTHING: Self = Self { at: Timestamp::NEVER, count: 0 };
}

/// What was said of an instance last.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) id: ServiceId,
    pub(super) until: Timestamp,
    pub(super) endpoint: Endpoint,
    /// Whether the TXT record has changed since.
    pub(super) outdated: bool,
}

/// One host.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) addresses: Vec<Address>,
    /// The instances on it.
    pub(super) users: BTreeSet<u64>,
    pub(super) ask: Ask,
    /// The address its instances were told last, and how long that holds.
    pub(super) spread: Option<(IpAddr, Timestamp)>,
    /// Its instances are told of changes no sooner than this: one host can have thousands.
    pub(super) spread_from: Timestamp,
    /// Whether there is something to tell them.
    pub(super) stale: bool,
}

#[derive(Debug)]
pub(super) struct Address {
    pub(super) ip: IpAddr,
    pub(super) belief: Belief,
}

#[derive(Debug, Default)]
pub(super) struct Cache {
    instances: BTreeMap<u64, Instance>,
    names: BTreeMap<Name, u64>,
    hosts: BTreeMap<Name, Host>,
    all: Crowd,
    by_type: BTreeMap<ServiceType, Crowd>,
    serial: u64,
    /// Names and TXT records, in bytes.
    bytes: usize,
}

impl Cache {
    pub(super) fn find(&self, name: &Name) -> Option<u64> {
        self.names.get(name).copied()
    }

    pub(super) fn instance(&self, serial: u64) -> Option<&Instance> {
        self.instances.get(&serial)
    }

    pub(super) fn instance_mut(&mut self, serial: u64) -> Option<&mut Instance> {
        self.instances.get_mut(&serial)
    }

    pub(super) fn host(&self, name: &Name) -> Option<&Host> {
        self.hosts.get(name)
    }

    pub(super) fn host_mut(&mut self, name: &Name) -> Option<&mut Host> {
        self.hosts.get_mut(name)
    }

    pub(super) fn len(&self) -> usize {
        self.all.total()
    }

    /// The instances of a type.
    pub(super) fn of_type(&self, service_type: &ServiceType) -> impl Iterator<Item = (u64, &Instance)> {
        let serials = self.by_type.get(service_type).into_iter().flat_map(Crowd::iter);
        serials.filter_map(|serial| Some((serial, self.instances.get(&serial)?)))
    }

    /// Every serial number.
    pub(super) fn serials(&self) -> Vec<u64> {
        self.instances.keys().copied().collect()
    }

    /// Which instance has to go before another of `service_type` from `sender` can come.
    pub(super) fn in_the_way(&self, service_type: &ServiceType, sender: IpAddr, caps: &Caps) -> Option<u64> {
        let kin = self.by_type.get(service_type);
        if self.all.of(sender) >= caps.instances_per_sender {
            self.all.oldest_of(sender)
        } else if kin.is_some_and(|kin| kin.total() >= caps.instances_per_type) {
            kin?.oldest_of_heaviest()
        } else if self.all.total() >= caps.instances || self.bytes > caps.bytes {
            self.all.oldest_of_heaviest()
        } else {
            None
        }
    }

    pub(super) fn insert(&mut self, instance: Instance) -> u64 {
        self.serial += 1;
        let serial = self.serial;
        self.all.add(instance.sender, serial);
        self.by_type.entry(instance.service_type.clone()).or_default().add(instance.sender, serial);
        self.names.insert(instance.name.clone(), serial);
        self.bytes += instance.name.wire().len();
        self.instances.insert(serial, instance);
        serial
    }

    /// Takes an instance out, and says which host nobody needs any more.
    pub(super) fn remove(&mut self, serial: u64) -> Option<(Instance, Option<Name>)> {
        let unneeded = self.detach(serial);
        let instance = self.instances.remove(&serial)?;
        self.names.remove(&instance.name);
        self.all.remove(instance.sender, serial);
        if let Some(kin) = self.by_type.get_mut(&instance.service_type) {
            kin.remove(instance.sender, serial);
            if kin.total() == 0 {
                self.by_type.remove(&instance.service_type);
            }
        }
        self.bytes -= instance.name.wire().len() + instance.txt.as_ref().map_or(0, |txt| txt.bytes.len());
        Some((instance, unneeded))
    }

    /// An instance is where `srv` says. Says which host nobody needs any more.
    pub(super) fn attach(&mut self, serial: u64, srv: Srv) -> Option<Name> {
        let moved = self.instances.get(&serial)?.srv.as_ref().is_none_or(|old| old.target != srv.target);
        let unneeded = if moved { self.detach(serial) } else { None };
        self.hosts.entry(srv.target.clone()).or_insert_with(Host::new).users.insert(serial);
        self.instances.get_mut(&serial)?.srv = Some(srv);
        unneeded
    }

    /// An instance is nowhere. Says which host nobody needs any more.
    pub(super) fn detach(&mut self, serial: u64) -> Option<Name> {
        let target = self.instances.get_mut(&serial)?.srv.take()?.target;
        let host = self.hosts.get_mut(&target)?;
        host.users.remove(&serial);
        if !host.users.is_empty() {
            return None;
        }
        self.hosts.remove(&target).map(|_| target)
    }

    /// An instance says `txt` of itself, or nothing any more. Whether that is something else than before.
    pub(super) fn describe(&mut self, serial: u64, txt: Option<Txt>) -> bool {
        let Some(instance) = self.instances.get_mut(&serial) else { return false };
        let before = core::mem::replace(&mut instance.txt, txt);
        let (before, after) = (before.map(|txt| txt.bytes), instance.txt.as_ref().map(|txt| &txt.bytes));
        self.bytes += after.map_or(0, |bytes| bytes.len());
        self.bytes -= before.as_ref().map_or(0, |bytes| bytes.len());
        before.as_ref() != after
    }
}

impl Host {
    fn new() -> Self {
        Self {
            addresses: Vec::new(),
            users: BTreeSet::new(),
            ask: Ask::NOTHING,
            spread: None,
            spread_from: Timestamp::START,
            stale: false,
        }
    }

    /// The address to reach it by: what stays before what is on its way out, then IPv4 of this link, other IPv4, IPv6
    /// with global scope, IPv6 of the link; of equals the lowest.
    pub(super) fn best(&self, on_link: impl Fn(IpAddr) -> bool) -> Option<&Address> {
        self.addresses.iter().min_by_key(|address| {
            let rank = match address.ip {
                ip @ IpAddr::V4(v4) => u8::from(!on_link(ip)) + u8::from(v4.is_link_local()),
                IpAddr::V6(v6) => 3 + u8::from(v6.is_unicast_link_local()),
            };
            (address.belief.parting(), rank, address.ip)
        })
    }
}
