//! What this agent vouches for itself: leases, health, and the journal that makes them last.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use wayside_protocols::service::{AgentId, Basis, Endpoint, Health, Host, Latency, Service, ServiceId};
use wayside_protocols::sighting::{Sighting, Source};
use wayside_protocols::time::{Duration, Timestamp};

use super::io::{Entry, Lease, Output, Refusal, Ticket};
use crate::limits::Limits;
use crate::registration::{DueProbe, MAX_LEASE, MIN_LEASE, Probe, Registration};

/// Failed checks in a row before a service that did answer counts as failing; the first check decides at once.
const PATIENCE: u8 = 2;

/// Own services and how they are.
#[derive(Debug)]
pub(super) struct Vouch {
    me: AgentId,
    limits: Limits,
    address: Option<IpAddr>,
    held: BTreeMap<ServiceId, Held>,
    /// Registrations on their way to the disk.
    pending: BTreeMap<Ticket, Pending>,
    /// Sightings for the catalog, in order.
    said: VecDeque<Sighting>,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
struct Held {
    registration: Registration,
    source: Source,
    /// When the lease runs out; [`Timestamp::NEVER`] for what the configuration says.
    until: Timestamp,
    health: Health,
    latency: Option<Duration>,
    failures: u8,
    probing: bool,
    next_probe: Timestamp,
}

#[derive(Debug)]
enum Pending {
    Register(Box<Registration>),
    Withdraw(ServiceId),
}

impl Vouch {
    pub(super) fn new(me: AgentId, limits: Limits) -> Self {
        let (held, pending) = (BTreeMap::new(), BTreeMap::new());
        Self { me, limits, address: None, held, pending, said: VecDeque::new(), outputs: VecDeque::new() }
    }

    /// Takes up a service of which the configuration or the journal says that it holds.
    pub(super) fn resume(&mut self, registration: Registration, source: Source, now: Timestamp) {
        self.install(registration, source, now);
    }

    /// The services of the configuration are now these: what is no longer among them goes.
    pub(super) fn configured(&mut self, services: Vec<Registration>, now: Timestamp) {
        let gone: Vec<ServiceId> = self
            .held
            .iter()
            .filter(|(id, held)| held.source == Source::File && !services.iter().any(|new| new.service.id == **id))
            .map(|(id, _)| id.clone())
            .collect();
        for id in gone {
            self.drop_held(&id);
        }
        for registration in services {
            self.install(registration, Source::File, now);
        }
    }

    /// The address under which neighbours reach this host; stands in where a service names none.
    pub(super) fn reached_at(&mut self, address: Option<IpAddr>, now: Timestamp) {
        if address == self.address {
            return;
        }
        self.address = address;
        let ids: Vec<ServiceId> = self.held.keys().cloned().collect();
        ids.iter().for_each(|id| self.say(id, now));
    }

    pub(super) fn register(&mut self, ticket: Ticket, registration: Box<Registration>) {
        match self.admissible(&registration) {
            Ok(()) => {
                self.outputs.push_back(Output::Store(ticket, Entry::Registered(registration.clone())));
                self.pending.insert(ticket, Pending::Register(registration));
            }
            Err(refusal) => self.outputs.push_back(Output::Registered(ticket, Err(refusal))),
        }
    }

    pub(super) fn renew(&mut self, ticket: Ticket, id: &ServiceId, now: Timestamp) {
        let renewed = match self.held.get_mut(id) {
            Some(held) if held.source == Source::Api => {
                held.until = now + held.registration.ttl;
                if held.registration.check.as_ref().is_some_and(|check| check.probe == Probe::Ttl) {
                    held.answered(None, now);
                }
                Ok(())
            }
            Some(_) => Err(Refusal::Configured(id.clone())),
            None => Err(Refusal::Unknown(id.clone())),
        };
        let lease = renewed.map(|()| {
            self.say(id, now);
            self.lease(id)
        });
        let answer = lease.and_then(|lease| lease.ok_or_else(|| Refusal::Unknown(id.clone())));
        self.outputs.push_back(Output::Registered(ticket, answer));
    }

    pub(super) fn withdraw(&mut self, ticket: Ticket, id: ServiceId) {
        match self.held.get(&id) {
            Some(held) if held.source == Source::Api => {
                self.outputs.push_back(Output::Store(ticket, Entry::Withdrawn(id.clone())));
                self.pending.insert(ticket, Pending::Withdraw(id));
            }
            Some(_) => self.outputs.push_back(Output::Registered(ticket, Err(Refusal::Configured(id)))),
            None => self.outputs.push_back(Output::Registered(ticket, Err(Refusal::Unknown(id)))),
        }
    }

    /// The journal has it, or could not take it: only now is it true, and acknowledged.
    pub(super) fn stored(&mut self, ticket: Ticket, result: Result<(), Box<str>>, now: Timestamp) {
        let Some(pending) = self.pending.remove(&ticket) else { return };
        let answer = match (result, pending) {
            (Err(reason), _) => Err(Refusal::Disk(reason)),
            (Ok(()), Pending::Register(registration)) => {
                let id = registration.service.id.clone();
                self.install(*registration, Source::Api, now);
                self.lease(&id).ok_or(Refusal::Unknown(id))
            }
            (Ok(()), Pending::Withdraw(id)) => {
                let lease = self.lease(&id);
                self.drop_held(&id);
                lease.ok_or(Refusal::Unknown(id))
            }
        };
        self.outputs.push_back(Output::Registered(ticket, answer));
    }

    pub(super) fn probed(&mut self, id: &ServiceId, result: Result<Duration, Box<str>>, now: Timestamp) {
        let Some(held) = self.held.get_mut(id) else { return };
        held.probing = false;
        match result {
            Ok(round_trip) => held.answered(Some(round_trip), now),
            Err(_) => held.failed(),
        }
        self.say(id, now);
    }

    pub(super) fn handle_timeout(&mut self, now: Timestamp) {
        let over: Vec<ServiceId> =
            self.held.iter().filter(|(_, held)| held.until <= now).map(|(id, _)| id.clone()).collect();
        for id in over {
            self.outputs.push_back(Output::Store(Ticket::OWN, Entry::Withdrawn(id.clone())));
            self.drop_held(&id);
        }
        let due: Vec<ServiceId> =
            self.held.iter().filter(|(_, held)| held.probe_due() <= now).map(|(id, _)| id.clone()).collect();
        for id in due {
            self.probe(&id, now);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        let due = self.held.values().map(|held| held.until.min(held.probe_due())).min();
        due.filter(|due| *due != Timestamp::NEVER)
    }

    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The next thing the catalog has to be told.
    pub(super) fn poll_sighting(&mut self) -> Option<Sighting> {
        self.said.pop_front()
    }

    /// What is announced to others: everything that is not failing, and whose health has been found out if it can be.
    pub(super) fn announced(&self) -> impl Iterator<Item = (Service, Duration)> {
        self.held.values().filter(|held| held.announced()).map(|held| (self.dressed(held), held.registration.ttl))
    }

    /// Whether this agent vouches for `id`.
    pub(super) fn holds(&self, id: &ServiceId) -> bool {
        self.held.contains_key(id)
    }

    /// Every own service with its lease's end ([`Timestamp::NEVER`] for what the configuration says).
    pub(super) fn registrations(&self) -> impl Iterator<Item = (&Registration, Source, Timestamp)> {
        self.held.values().map(|held| (&held.registration, held.source, held.until))
    }

    fn admissible(&self, registration: &Registration) -> Result<(), Refusal> {
        let id = &registration.service.id;
        if self.held.get(id).is_some_and(|held| held.source == Source::File) {
            return Err(Refusal::Configured(id.clone()));
        }
        if !(MIN_LEASE..=MAX_LEASE).contains(&registration.ttl) {
            return Err(Refusal::Lease { given: registration.ttl.as_secs() });
        }
        let (given, limit) = (registration.service.weight(), self.limits.service_bytes);
        if given > limit {
            return Err(Refusal::TooLarge { given, limit });
        }
        let probed = registration.check.as_ref().is_some_and(|check| check.probe != Probe::Ttl);
        if probed && registration.service.endpoint.as_ref().and_then(probed_at).is_none() {
            return Err(Refusal::Unprobeable(id.clone()));
        }
        let limit = self.limits.registrations;
        let new = self.pending.values().filter(|pending| matches!(pending, Pending::Register(_))).count();
        if !self.held.contains_key(id) && self.held.len() + new >= limit {
            return Err(Refusal::Full { limit });
        }
        Ok(())
    }

    fn install(&mut self, mut registration: Registration, source: Source, now: Timestamp) {
        registration.service.agent = Some(self.me.clone());
        if let Some(fix) = &mut registration.service.fix {
            fix.time = now;
        }
        let until = if source == Source::File { Timestamp::NEVER } else { now + registration.ttl };
        let id = registration.service.id.clone();
        let checked = registration.check.is_some();
        let health = if checked { Health::Unknown } else { registration.service.health };
        let ttl_check = registration.check.as_ref().filter(|check| check.probe == Probe::Ttl);
        let next_probe = ttl_check.map_or(now, |check| now + check.interval);
        let health = if ttl_check.is_some() { Health::Passing } else { health };
        let held = Held { registration, source, until, health, latency: None, failures: 0, probing: false, next_probe };
        self.held.insert(id.clone(), held);
        self.say(&id, now);
    }

    fn drop_held(&mut self, id: &ServiceId) {
        if let Some(held) = self.held.remove(id) {
            self.said.push_back(Sighting::gone(held.source, id.clone()));
        }
    }

    /// Tells the catalog how a service of ours is.
    fn say(&mut self, id: &ServiceId, now: Timestamp) {
        let Some(held) = self.held.get(id) else { return };
        let ttl = if held.until == Timestamp::NEVER { Duration::MAX } else { held.until - now };
        let sighting = Sighting::alive(held.source, self.dressed(held), ttl);
        self.said.push_back(sighting);
    }

    fn dressed(&self, held: &Held) -> Service {
        let mut service = held.registration.service.clone();
        service.health = held.health;
        let measured = |round_trip| Latency { round_trip, basis: Basis::Measured };
        service.latency = held.latency.map(measured).or(service.latency);
        if let Some(endpoint) = &mut service.endpoint
            && unspecified(endpoint)
        {
            endpoint.host = Host::Ip(self.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        }
        service
    }

    fn lease(&self, id: &ServiceId) -> Option<Lease> {
        let held = self.held.get(id)?;
        Some(Lease { service: Arc::new(self.dressed(held)), ttl: held.registration.ttl })
    }

    fn probe(&mut self, id: &ServiceId, now: Timestamp) {
        let Some(held) = self.held.get_mut(id) else { return };
        let Some(check) = held.registration.check.clone() else { return };
        held.next_probe = now + check.interval;
        if check.probe == Probe::Ttl {
            held.failures = PATIENCE;
            held.health = Health::Failing;
            return self.say(id, now);
        }
        let endpoint = held.registration.service.endpoint.as_ref();
        let Some(target) = endpoint.and_then(probed_at) else { return };
        held.probing = true;
        let due = DueProbe { target, probe: check.probe, timeout: check.timeout };
        self.outputs.push_back(Output::Probe(id.clone(), due));
    }
}

impl Held {
    fn probe_due(&self) -> Timestamp {
        if self.registration.check.is_none() || self.probing { Timestamp::NEVER } else { self.next_probe }
    }

    fn announced(&self) -> bool {
        match self.health {
            Health::Passing => true,
            Health::Unknown => self.registration.check.is_none(),
            Health::Failing => false,
        }
    }

    fn answered(&mut self, round_trip: Option<Duration>, now: Timestamp) {
        self.failures = 0;
        self.health = Health::Passing;
        if let Some(new) = round_trip {
            // RFC 6298 section 2.3 smoothing: an eighth of the new, seven of the old.
            self.latency = Some(self.latency.map_or(new, |old| (old * 7 + new) / 8));
        } else if let Some(check) = &self.registration.check {
            self.next_probe = now + check.interval;
        }
    }

    fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= PATIENCE || self.health == Health::Unknown {
            self.health = Health::Failing;
        }
    }
}

fn unspecified(endpoint: &Endpoint) -> bool {
    matches!(&endpoint.host, Host::Ip(ip) if ip.is_unspecified())
}

/// Where a check goes: the endpoint, or this host if the service names no address.
fn probed_at(endpoint: &Endpoint) -> Option<SocketAddr> {
    if unspecified(endpoint) {
        return Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), endpoint.port));
    }
    endpoint.socket()
}
