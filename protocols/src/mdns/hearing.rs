//! What a response says, record by record (RFC 6762 sections 10 and 11).

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::belief::Belief;
use super::browser::{Browser, BrowserOutput, Leaving};
use super::cache::{Address, Ask, Instance, Srv, Txt};
use super::message::{Data, Message, Record};
use super::name::Name;
use super::service_type::ServiceType;
use crate::time::{Duration, Timestamp};

/// A response being read: who sent it when, and what it touched, to be settled once when all of it is read.
struct Reading {
    sender: IpAddr,
    now: Timestamp,
    instances: BTreeSet<u64>,
    hosts: BTreeSet<Name>,
}

impl Browser {
    /// Reads a response: pointers first, then what they point to, whatever order they stand in.
    pub(super) fn hear(&mut self, message: &Message<'_>, sender: IpAddr, now: Timestamp) {
        self.counters.responses += 1;
        let mut reading = Reading { sender, now, instances: BTreeSet::new(), hosts: BTreeSet::new() };
        let mut later = Vec::new();
        for record in message.records() {
            match record {
                Ok(Record { name, ttl, data: Data::Pointer(target), .. }) => {
                    self.hear_pointer(&name, target, ttl, &mut reading);
                }
                Ok(record) => later.push(record),
                Err(_) => self.counters.malformed_record += 1,
            }
        }
        let (addresses, instances): (Vec<_>, Vec<_>) =
            later.into_iter().partition(|record| matches!(record.data, Data::Address(_)));
        for record in instances {
            self.hear_of_instance(record, &mut reading);
        }
        for record in addresses {
            self.hear_of_host(record, &mut reading);
        }
        reading.hosts.iter().for_each(|host| self.settle_host(host, now));
        reading.instances.into_iter().for_each(|serial| self.settle(serial, now));
    }

    fn hear_pointer(&mut self, owner: &Name, target: Name, ttl: u32, reading: &mut Reading) {
        let now = reading.now;
        let Some(service_type) = self.owners.get(owner).cloned() else { return };
        if service_type.is_all() {
            return self.hear_type(&target, ttl, now);
        }
        if !target.is_child_of(owner) {
            self.counters.malformed_record += 1;
            return;
        }
        let ptr = Belief::new(ttl, now, &mut self.dice);
        let serial = match (self.cache.find(&target), ttl) {
            (None, 0) => return,
            (None, _) => self.meet(target, service_type, ptr, reading),
            (Some(serial), _) => {
                if let Some(instance) = self.cache.instance_mut(serial) {
                    if ttl == 0 { instance.ptr.part(now) } else { instance.ptr = ptr }
                }
                serial
            }
        };
        reading.instances.insert(serial);
    }

    /// An instance nobody named before. Whoever is in its way goes.
    fn meet(&mut self, name: Name, kin: ServiceType, ptr: Belief, reading: &Reading) -> u64 {
        while let Some(serial) = self.cache.in_the_way(&kin, reading.sender, &self.caps) {
            self.counters.evicted += 1;
            self.forget(serial, Leaving::Silently);
        }
        self.cache.insert(Instance {
            name,
            service_type: kin,
            sender: reading.sender,
            ptr,
            srv: None,
            txt: None,
            ask: Ask { at: reading.now + self.dice.pause(), count: 0 },
            waived: false,
            parting: false,
            told: None,
        })
    }

    fn hear_type(&mut self, target: &Name, ttl: u32, now: Timestamp) {
        let Some(service_type) = ServiceType::read(target) else {
            self.counters.malformed_record += 1;
            return;
        };
        if ttl == 0 {
            self.types.remove(&service_type);
            return;
        }
        let known = self.types.contains_key(&service_type);
        if !known && self.types.len() >= self.caps.types {
            self.counters.refused_types += 1;
            return;
        }
        self.types.insert(service_type.clone(), Belief::new(ttl, now, &mut self.dice));
        if !known {
            self.outputs.push_back(BrowserOutput::Type(service_type));
        }
    }

    /// SRV and TXT of an instance that a pointer named; others are orphans.
    fn hear_of_instance(&mut self, record: Record, reading: &mut Reading) {
        let now = reading.now;
        let Some(serial) = self.cache.find(&record.name) else {
            self.counters.orphans += 1;
            return;
        };
        reading.instances.insert(serial);
        if record.ttl == 0 {
            return self.part(serial, &record.data, now);
        }
        let belief = Belief::new(record.ttl, now, &mut self.dice);
        match record.data {
            Data::Server { target, .. } if target == Name::root() => self.counters.malformed_record += 1,
            Data::Server { port, target } => {
                if let Some(host) = self.cache.attach(serial, Srv { belief, port, target }) {
                    self.forget_host(host);
                }
            }
            Data::Text(bytes) => {
                let bytes = self.cut(bytes);
                let changed = self.cache.describe(serial, Some(Txt { belief, bytes }));
                if let Some(told) = self.cache.instance_mut(serial).and_then(|instance| instance.told.as_mut()) {
                    told.outdated |= changed;
                }
            }
            Data::Pointer(_) | Data::Address(_) => {}
        }
    }

    fn part(&mut self, serial: u64, data: &Data, now: Timestamp) {
        let Some(instance) = self.cache.instance_mut(serial) else { return };
        let belief = match data {
            Data::Server { .. } => instance.srv.as_mut().map(|srv| &mut srv.belief),
            Data::Text(_) => instance.txt.as_mut().map(|txt| &mut txt.belief),
            Data::Pointer(_) | Data::Address(_) => None,
        };
        if let Some(belief) = belief {
            belief.part(now);
        }
    }

    /// A TXT record, cut behind the last pair that the limit leaves whole.
    fn cut(&mut self, bytes: Box<[u8]>) -> Box<[u8]> {
        if bytes.len() <= self.caps.txt_bytes {
            return bytes;
        }
        self.counters.oversized_txt += 1;
        let mut end = 0;
        while let Some(next) = bytes.get(end).map(|length| end + 1 + usize::from(*length)) {
            if next > self.caps.txt_bytes {
                break;
            }
            end = next;
        }
        bytes[..end].into()
    }

    /// An address of a host that some SRV named; others are orphans.
    fn hear_of_host(&mut self, record: Record, reading: &mut Reading) {
        let now = reading.now;
        let Data::Address(ip) = record.data else { return };
        if !reachable(ip, &self.addresses) {
            self.counters.malformed_record += 1;
            return;
        }
        let belief = Belief::new(record.ttl, now, &mut self.dice);
        let Some(host) = self.cache.host_mut(&record.name) else {
            self.counters.orphans += 1;
            return;
        };
        if record.flush {
            // What was heard in the same second belongs to the same announcement (RFC 6762 section 10.2).
            let older = |address: &&mut Address| {
                address.ip != ip && address.ip.is_ipv4() == ip.is_ipv4() && address.belief.heard() + SECOND < now
            };
            host.addresses.iter_mut().filter(older).for_each(|address| address.belief.part(now));
        }
        match host.addresses.iter_mut().find(|address| address.ip == ip) {
            Some(address) if record.ttl == 0 => address.belief.part(now),
            Some(address) => address.belief = belief,
            None if record.ttl == 0 => {}
            None => {
                if host.addresses.len() >= self.caps.addresses_per_host {
                    self.counters.evicted += 1;
                    let oldest = (0..host.addresses.len()).min_by_key(|at| host.addresses[*at].belief.heard());
                    oldest.map(|at| host.addresses.swap_remove(at));
                }
                host.addresses.push(Address { ip, belief });
            }
        }
        reading.hosts.insert(record.name);
    }
}

/// Whether a neighbour can be reached there: multicast and the like are nobody's address on a link, and loopback only
/// where the link with these `addresses` is loopback itself.
fn reachable(ip: IpAddr, addresses: &[(IpAddr, u8)]) -> bool {
    let elsewhere = ip.is_loopback() && !addresses.iter().any(|(own, _)| own.is_loopback());
    let nobody = elsewhere || ip.is_multicast() || ip.is_unspecified();
    !nobody && !matches!(ip, IpAddr::V4(v4) if v4.is_broadcast())
}

const SECOND: Duration = Duration::from_secs(1);
