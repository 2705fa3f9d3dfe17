//! What is said of an instance, and when: as soon as it can be reached, when something changed, when its life was
//! prolonged by a tenth or more, and when it said goodbye.

use alloc::format;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::browser::{Browser, BrowserOutput, Leaving, Subject, on_link};
use super::cache::{Ask, Told};
use super::name::Name;
use super::txt;
use crate::service::{Endpoint, Host, ServiceId};
use crate::sighting::{LinkId, Sighting, Source};
use crate::time::{Duration, Timestamp};

/// An instance that can be reached, for as long as its weakest record holds.
struct Reached {
    endpoint: Endpoint,
    until: Timestamp,
    ttl: Duration,
    /// Whether that record is on its way out; then its end is awaited before anything is said.
    parting: bool,
}

impl Browser {
    /// Says what there is to say of an instance, and when to look at it next.
    pub(super) fn settle(&mut self, serial: u64, now: Timestamp) {
        match self.reached(serial) {
            Some(reached) if reached.parting => {}
            Some(reached) => self.tell(serial, reached, now),
            None => self.lose(serial),
        }
        self.look_again(serial, now);
    }

    /// Tells the instances of a host when its address changed or was refreshed, but not more than once a second.
    pub(super) fn settle_host(&mut self, name: &Name, now: Timestamp) {
        let addresses = &self.addresses;
        let Some(host) = self.cache.host_mut(name) else { return };
        let best = host.best(|ip| on_link(addresses, ip)).map(|best| (best.ip, best.belief.until(), best.belief.ttl()));
        host.stale |= match (host.spread, best) {
            (Some((ip, until)), Some((best, best_until, ttl))) => ip != best || differs(until, best_until, ttl),
            (spread, best) => spread.is_some() || best.is_some(),
        };
        let mut users = Vec::new();
        if host.stale && host.spread_from <= now {
            host.stale = false;
            host.spread = best.map(|(ip, until, _)| (ip, until));
            host.spread_from = now + SPREAD_INTERVAL;
            users.extend(host.users.iter().copied());
        }
        users.into_iter().for_each(|serial| self.settle(serial, now));
        self.look_again_at_host(name, now);
    }

    /// Forgets an instance, and the host that only it needed.
    pub(super) fn forget(&mut self, serial: u64, leaving: Leaving) {
        self.untell(serial, leaving);
        self.agenda.clear(&Subject::Instance(serial));
        self.pending.remove(&Subject::Instance(serial));
        if let Some((_, Some(host))) = self.cache.remove(serial) {
            self.forget_host(host);
        }
    }

    /// Forgets when to look at a host that nobody needs.
    pub(super) fn forget_host(&mut self, name: Name) {
        let subject = Subject::Host(name);
        self.agenda.clear(&subject);
        self.pending.remove(&subject);
    }

    fn reached(&self, serial: u64) -> Option<Reached> {
        let instance = self.cache.instance(serial)?;
        let srv = instance.srv.as_ref()?;
        if instance.txt.is_none() && !instance.waived {
            return None;
        }
        let address = self.cache.host(&srv.target)?.best(|ip| self.on_link(ip))?;
        let needed = [&instance.ptr, &srv.belief, &address.belief];
        let weakest = needed.into_iter().min_by_key(|belief| belief.until())?;
        Some(Reached {
            endpoint: Endpoint { host: host_of(address.ip, self.link), port: srv.port },
            until: weakest.until(),
            ttl: weakest.ttl(),
            parting: weakest.parting(),
        })
    }

    fn tell(&mut self, serial: u64, reached: Reached, now: Timestamp) {
        let Some(instance) = self.cache.instance_mut(serial) else { return };
        instance.parting = false;
        let news = instance.told.as_ref().is_none_or(|told| {
            told.outdated || told.endpoint != reached.endpoint || differs(told.until, reached.until, reached.ttl)
        });
        if !news || reached.until <= now {
            return;
        }
        let described = txt::Instance {
            full_name: &instance.name.text(),
            service_type: &instance.service_type,
            endpoint: &reached.endpoint,
            txt: instance.txt.as_ref().map_or(&[], |txt| &txt.bytes),
            heard: instance.txt.as_ref().map_or(now, |txt| txt.belief.heard()),
        };
        let Ok(service) = txt::service(described, &mut self.counters) else {
            self.counters.malformed_record += 1;
            return;
        };
        let id = service.id.clone();
        let told = Told { id: id.clone(), until: reached.until, endpoint: reached.endpoint, outdated: false };
        if let Some(before) = instance.told.replace(told)
            && before.id != id
        {
            self.release(serial, before.id, Leaving::Gone);
        }
        let before = self.tellers.insert(id, serial);
        self.counters.contested += u64::from(before.is_some_and(|before| before != serial));
        let sighting = Sighting::alive(Source::Mdns(self.link), service, reached.until - now);
        self.outputs.push_back(BrowserOutput::Sighting(sighting));
    }

    /// An instance cannot be reached: by its own word, then it is gone; or because something fell silent, then it runs out
    /// where it is believed, and is told again as soon as it can be.
    fn lose(&mut self, serial: u64) {
        let Some(instance) = self.cache.instance_mut(serial) else { return };
        if instance.parting {
            self.untell(serial, Leaving::Gone);
        } else if let Some(told) = instance.told.as_mut() {
            told.outdated = true;
        }
    }

    fn untell(&mut self, serial: u64, leaving: Leaving) {
        let Some(instance) = self.cache.instance_mut(serial) else { return };
        instance.parting = false;
        if let Some(told) = instance.told.take() {
            self.release(serial, told.id, leaving);
        }
    }

    /// An instance no longer says that it is `id`. Only the one that said so last can take it away.
    fn release(&mut self, serial: u64, id: ServiceId, leaving: Leaving) {
        if self.tellers.get(&id) != Some(&serial) {
            return;
        }
        self.tellers.remove(&id);
        if leaving == Leaving::Gone {
            self.outputs.push_back(BrowserOutput::Sighting(Sighting::gone(Source::Mdns(self.link), id)));
        }
    }

    fn look_again(&mut self, serial: u64, now: Timestamp) {
        let subject = Subject::Instance(serial);
        let pause = self.dice.pause();
        let Some(instance) = self.cache.instance_mut(serial) else { return };
        if instance.srv.is_some() && instance.txt.is_some() {
            instance.ask = Ask::NOTHING;
        } else if instance.ask.at == Timestamp::NEVER && !self.pending.contains(&subject) {
            instance.ask.at = now + pause;
        }
        let srv = instance.srv.as_ref().map(|srv| (srv.belief.next(), srv.target.clone()));
        let txt = instance.txt.as_ref().map_or(Timestamp::NEVER, |txt| txt.belief.next());
        let due = instance.ptr.next().min(instance.ask.at).min(txt);
        let due = srv.as_ref().map_or(due, |(next, _)| due.min(*next));
        self.agenda.set(&subject, due.max(now + TICK));
        if let Some((_, target)) = srv
            && self.cache.host(&target).is_some_and(|host| host.addresses.is_empty() && host.ask.count == 0)
        {
            self.look_again_at_host(&target, now);
        }
    }

    pub(super) fn look_again_at_host(&mut self, name: &Name, now: Timestamp) {
        let subject = Subject::Host(name.clone());
        let pause = self.dice.pause();
        let Some(host) = self.cache.host_mut(name) else { return };
        if !host.addresses.is_empty() {
            host.ask = Ask::NOTHING;
        } else if host.ask.at == Timestamp::NEVER && !self.pending.contains(&subject) {
            host.ask.at = now + pause;
        }
        let spread = if host.stale { host.spread_from } else { Timestamp::NEVER };
        let beliefs = host.addresses.iter().map(|address| address.belief.next());
        let due = beliefs.chain([host.ask.at, spread]).min().unwrap_or(Timestamp::NEVER);
        self.agenda.set(&subject, due.max(now + TICK));
    }
}

/// IPv6 of the link works only with its zone, the interface's number: `fe80::1%3`, as `getaddrinfo` reads it.
fn host_of(ip: IpAddr, link: LinkId) -> Host {
    match ip {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Host::Name(format!("{v6}%{}", link.0).into()),
        IpAddr::V4(_) | IpAddr::V6(_) => Host::Ip(ip),
    }
}

/// Whether two ends are a tenth of a life or more apart: less is not worth saying.
fn differs(one: Timestamp, other: Timestamp, life: Duration) -> bool {
    one.max(other) - one.min(other) >= life / 10
}

const SPREAD_INTERVAL: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(1);
