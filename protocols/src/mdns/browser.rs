//! The browser's doorway.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use super::agenda::Agenda;
use super::belief::Belief;
use super::cache::Cache;
use super::caps::Caps;
use super::counters::Counters;
use super::message::Message;
use super::name::Name;
use super::question::Browse;
use super::service_type::ServiceType;
use crate::dice::Dice;
use crate::service::ServiceId;
use crate::sighting::{LinkId, Sighting};
use crate::time::{Duration, Timestamp};

/// Finds what others announce on one link (RFC 6762 section 5.2, "continuous querying"; RFC 6763 section 4).
///
/// It believes only what was multicast from port 5353 by a sender on the link, asks for what is missing or about to run
/// out, and says [`Sighting`]s: alive with what is left of the life of the weakest record needed, again when
/// something changed or was refreshed; gone only after a goodbye. What falls silent is not called gone: it runs out where
/// it is believed.
///
/// Work for a datagram grows with the datagram, not with what is known. Outputs are bounded by what one input can
/// cause, at most one a known instance, if they are drained after every input.
#[derive(Debug)]
pub struct Browser {
    pub(super) link: LinkId,
    pub(super) caps: Caps,
    pub(super) dice: Dice,
    pub(super) addresses: Vec<(IpAddr, u8)>,
    /// Whether the link changed, so that all is asked anew.
    pub(super) restart: bool,
    pub(super) browses: BTreeMap<ServiceType, Browse>,
    /// Which type has PTR records of which name.
    pub(super) owners: BTreeMap<Name, ServiceType>,
    /// Types that are advertised (RFC 6763 section 9).
    pub(super) types: BTreeMap<ServiceType, Belief>,
    pub(super) cache: Cache,
    /// Which instance said last that it is this service.
    pub(super) tellers: BTreeMap<ServiceId, u64>,
    pub(super) agenda: Agenda<Subject>,
    /// What is to be asked in the next packets, from `asking_from` on.
    pub(super) pending: BTreeSet<Subject>,
    pub(super) asking_from: Timestamp,
    /// Packets to be sent one by one, from `sending_from` on.
    pub(super) outbox: VecDeque<Vec<u8>>,
    pub(super) sending_from: Timestamp,
    pub(super) outputs: VecDeque<BrowserOutput>,
    pub(super) counters: Counters,
}

/// A datagram that arrived at port 5353.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Who sent it.
    pub from: SocketAddr,
    /// Whether it was sent to the multicast group.
    pub multicast: bool,
    /// The DNS message.
    pub bytes: &'a [u8],
}

/// Something the browser wants done, or found.
#[derive(Clone, Debug, PartialEq)]
pub enum BrowserOutput {
    /// Multicast this query from port 5353, at most 1,440 bytes.
    Send(Vec<u8>),
    /// A service was seen, or said goodbye.
    Sighting(Sighting),
    /// Somebody advertises instances of this type. Said once while it lasts; whoever wants them browses it.
    Type(ServiceType),
}

/// What something is due for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    Browse(ServiceType),
    Host(Name),
    Instance(u64),
}

impl Browser {
    /// A browser for `link` that knows nothing and looks for nothing. The same `seed` gives the same jitter.
    pub fn new(link: LinkId, seed: u64, caps: Caps) -> Self {
        Self {
            link,
            caps,
            dice: Dice::new(seed),
            addresses: Vec::new(),
            restart: false,
            browses: BTreeMap::new(),
            owners: BTreeMap::new(),
            types: BTreeMap::new(),
            cache: Cache::default(),
            tellers: BTreeMap::new(),
            agenda: Agenda::new(),
            pending: BTreeSet::new(),
            asking_from: Timestamp::NEVER,
            outbox: VecDeque::new(),
            sending_from: Timestamp::START,
            outputs: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// This host's addresses on the link with their prefix lengths: who is in none of them is not on the link (RFC
    /// 6762 section 11). Link-local senders (fe80::/10, 169.254/16) always are. After a change everything is asked anew,
    /// as after joining a link.
    pub fn set_addresses(&mut self, addresses: Vec<(IpAddr, u8)>) {
        self.restart |= addresses != self.addresses && !addresses.is_empty();
        self.addresses = addresses;
    }

    /// Looks for instances of a type from here on; for [`ServiceType::all`], for types. Beyond [`Caps::types`] it is
    /// refused and counted.
    pub fn browse(&mut self, service_type: ServiceType, now: Timestamp) {
        if self.browses.contains_key(&service_type) {
            return;
        }
        if self.browses.len() >= self.caps.types {
            self.counters.refused_types += 1;
            return;
        }
        let owner = service_type.owner();
        self.owners.insert(owner.clone(), service_type.clone());
        self.browses.insert(service_type.clone(), Browse::new(owner));
        self.agenda.set(&Subject::Browse(service_type), now + self.dice.pause());
    }

    /// Looks for a type no longer, and says of its instances that they are gone, since nobody asks for them any more.
    pub fn stop(&mut self, service_type: &ServiceType) {
        let Some(browse) = self.browses.remove(service_type) else { return };
        self.owners.remove(&browse.owner);
        self.agenda.clear(&Subject::Browse(service_type.clone()));
        if service_type.is_all() {
            self.types.clear();
        }
        let serials: Vec<u64> = self.cache.of_type(service_type).map(|(serial, _)| serial).collect();
        serials.into_iter().for_each(|serial| self.forget(serial, Leaving::Gone));
    }

    /// A datagram arrived. Nothing in it can fail: what is not believed or not understood is counted.
    pub fn handle(&mut self, datagram: Datagram<'_>, now: Timestamp) {
        if !self.believes(&datagram) {
            return;
        }
        match Message::read(datagram.bytes) {
            Err(_) => self.counters.malformed_packet += 1,
            Ok(message) if message.response => self.hear(&message, datagram.from.ip(), now),
            Ok(message) => self.overhear(&message, datagram.from.ip(), now),
        }
    }

    /// The link went away: every service seen on it is gone, and its addresses are unknown. Types stay browsed, and are
    /// asked for when addresses are set again.
    pub fn flush(&mut self, _now: Timestamp) {
        self.cache.serials().into_iter().for_each(|serial| self.forget(serial, Leaving::Gone));
        self.types.clear();
        self.addresses.clear();
        self.restart = false;
        self.agenda = Agenda::new();
        self.pending.clear();
        self.outbox.clear();
    }

    /// Does what is due. If it is long past, the host slept, and everything is asked anew as after joining a link.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        // One question after hours of sleep may be lost, and the next would be an hour away.
        let overslept = self.agenda.first().is_some_and(|due| now - due > OVERSLEPT);
        if core::mem::take(&mut self.restart) || overslept {
            self.start_over(now);
        }
        while let Some(subject) = self.agenda.pop(now) {
            match subject {
                Subject::Browse(service_type) => self.browse_due(&service_type, now),
                Subject::Instance(serial) => self.instance_due(serial, now),
                Subject::Host(name) => self.host_due(&name, now),
            }
        }
        self.send_next(now);
    }

    /// The next thing to do or to know. Drain before asking for the timeout.
    pub fn poll_output(&mut self) -> Option<BrowserOutput> {
        self.outputs.pop_front()
    }

    /// When to call [`Browser::handle_timeout`] next.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        if self.restart {
            return Some(Timestamp::START);
        }
        [self.agenda.first(), self.next_packet()].into_iter().flatten().min()
    }

    /// What was counted so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How many instances are known, resolved or not.
    pub fn instances(&self) -> usize {
        self.cache.len()
    }

    /// Whether `ip` is one of the link's neighbours, or one of its own addresses.
    pub(super) fn on_link(&self, ip: IpAddr) -> bool {
        on_link(&self.addresses, ip)
    }

    /// Only responses that are refused are counted; a query of somebody who is not a full neighbour is not for us.
    fn believes(&mut self, datagram: &Datagram<'_>) -> bool {
        let refused = if datagram.from.port() != MDNS_PORT {
            &mut self.counters.refused_port
        } else if !datagram.multicast {
            &mut self.counters.refused_unicast
        } else if !on_link(&self.addresses, datagram.from.ip()) {
            &mut self.counters.refused_off_link
        } else {
            return true;
        };
        *refused += u64::from(Message::claims_response(datagram.bytes));
        false
    }
}

/// How an instance is forgotten.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Leaving {
    /// It is said to be gone.
    Gone,
    /// It runs out by itself where it is believed.
    Silently,
}

/// Whether `ip` shares a prefix with one of `addresses`, or is link-local and so cannot have come from elsewhere.
pub(super) fn on_link(addresses: &[(IpAddr, u8)], ip: IpAddr) -> bool {
    let shares = |own: u128, other: u128, width: u32, prefix: u8| {
        let host_bits = width.saturating_sub(u32::from(prefix));
        // A prefix of 0 shifts everything out: a link without a prefix has every sender on it.
        own.checked_shr(host_bits) == other.checked_shr(host_bits)
    };
    let link_local = match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let neighbour = |(own, prefix): &(IpAddr, u8)| match (own, ip) {
        (IpAddr::V4(own), IpAddr::V4(ip)) => shares(own.to_bits().into(), ip.to_bits().into(), 32, *prefix),
        (IpAddr::V6(own), IpAddr::V6(ip)) => shares(own.to_bits(), ip.to_bits(), 128, *prefix),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    };
    link_local || addresses.iter().any(neighbour)
}

const MDNS_PORT: u16 = 5353;
/// Nobody is this late who was awake.
const OVERSLEPT: Duration = Duration::from_secs(10);
