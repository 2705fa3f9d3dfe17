//! The other half of mDNS: a responder that announces, answers and says goodbye as the shell's does.
//!
//! It keeps what RFC 6762 asks of it: announcements twice, a second apart (8.3); answers after 20 to 120 ms, or 400 to
//! 500 ms if the question says that more known answers follow (6, 7.2); no answer that the asker knows already (7.1);
//! no record twice within a second (6); goodbyes with a life of 0 (10.1). It does not probe.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use rand::Rng;
use wayside_core::agent::io::Advert;
use wayside_protocols::service::ServiceId;
use wayside_protocols::sighting::LinkId;
use wayside_protocols::time::{Duration, Timestamp};

use super::dns::{Asked, Names, Query, Response};

/// One host's responder.
#[derive(Debug, Default)]
pub(super) struct Responder {
    shown: BTreeMap<ServiceId, Shown>,
    due: BTreeMap<LinkId, Due>,
    /// When everything about an instance was last said on an interface.
    said: BTreeMap<(LinkId, ServiceId), Timestamp>,
}

#[derive(Debug)]
struct Shown {
    advert: Advert,
    names: Names,
    announce: Timestamp,
    left: u8,
}

/// Answers that wait for their moment on one interface.
#[derive(Debug)]
struct Due {
    at: Timestamp,
    askers: BTreeSet<SocketAddr>,
    wanted: BTreeMap<ServiceId, Asked>,
}

impl Responder {
    /// Announces an instance, or what has changed about it.
    pub(super) fn advertise(&mut self, advert: Advert, rng: &mut impl Rng, now: Timestamp) {
        let announce = now + Duration::from_micros(rng.random_range(0..250_000));
        let names = Names::of(&advert);
        self.shown.insert(advert.id.clone(), Shown { advert, names, announce, left: 2 });
    }

    /// Forgets an instance and says what goodbye to say, if it was ever announced.
    pub(super) fn retract(&mut self, id: &ServiceId) -> Option<Advert> {
        for due in self.due.values_mut() {
            due.wanted.remove(id);
        }
        self.shown.remove(id).map(|shown| shown.advert)
    }

    /// Announces everything anew: an interface came up.
    pub(super) fn again(&mut self, rng: &mut impl Rng, now: Timestamp) {
        for shown in self.shown.values_mut() {
            shown.announce = now + Duration::from_micros(rng.random_range(0..250_000));
            shown.left = 2;
        }
        self.due.clear();
        self.said.clear();
    }

    /// Somebody asks.
    pub(super) fn hear(
        &mut self,
        link: LinkId,
        host: &str,
        from: SocketAddr,
        query: &Query,
        rng: &mut impl Rng,
        now: Timestamp,
    ) {
        let wanted: Vec<(ServiceId, Asked)> = self
            .shown
            .values()
            .filter_map(|shown| Some((shown.advert.id.clone(), query.asks(&shown.names, host)?)))
            .filter(|(id, _)| self.said.get(&(link, id.clone())).is_none_or(|said| now - *said >= SECOND))
            .collect();
        if let Some(due) = self.due.get_mut(&link).filter(|due| due.askers.len() == 1 && due.askers.contains(&from)) {
            let (shown, wanted) = (&self.shown, &mut due.wanted);
            let known = |id: &ServiceId| shown.get(id).is_some_and(|shown| query.knows(&shown.names));
            // Known answers are pointers; what was asked by name is still wanted.
            wanted.retain(|id, asked| *asked != Asked::ALL || !known(id));
        }
        if wanted.is_empty() {
            return;
        }
        let pause = if query.truncated { 400_000..500_000 } else { 20_000..120_000 };
        let at = now + Duration::from_micros(rng.random_range(pause));
        let due = self.due.entry(link).or_insert(Due { at, askers: BTreeSet::new(), wanted: BTreeMap::new() });
        due.askers.insert(from);
        for (id, asked) in wanted {
            let before = due.wanted.entry(id).or_insert(asked);
            *before = before.and(asked);
        }
    }

    /// When [`Responder::speak`] has something to say.
    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        let announcements = self.shown.values().filter(|shown| shown.left > 0).map(|shown| shown.announce);
        announcements.chain(self.due.values().map(|due| due.at)).min()
    }

    /// What is to be said at `now` on these interfaces of `host`.
    pub(super) fn speak(
        &mut self,
        host: &str,
        interfaces: &[(LinkId, IpAddr)],
        now: Timestamp,
    ) -> Vec<(LinkId, Vec<u8>)> {
        let mut fresh = BTreeSet::new();
        for shown in self.shown.values_mut().filter(|shown| shown.left > 0 && shown.announce <= now) {
            (shown.left, shown.announce) = (shown.left - 1, now + SECOND);
            fresh.insert(shown.advert.id.clone());
        }
        let mut packets = Vec::new();
        for (link, address) in interfaces {
            let mut wanted: BTreeMap<ServiceId, Asked> = fresh.iter().map(|id| (id.clone(), Asked::ALL)).collect();
            if self.due.get(link).is_some_and(|due| due.at <= now)
                && let Some(due) = self.due.remove(link)
            {
                for (id, asked) in due.wanted {
                    wanted.entry(id).or_insert(asked);
                }
            }
            let mut response = Response::new(host, *address);
            for (id, asked) in wanted {
                let Some(shown) = self.shown.get(&id) else { continue };
                if asked == Asked::ALL {
                    self.said.insert((*link, id), now);
                }
                packets.extend(response.add(&shown.advert, asked).map(|full| (*link, full)));
            }
            packets.extend(response.finish().map(|rest| (*link, rest)));
        }
        self.due.retain(|_, due| due.at > now);
        packets
    }
}

const SECOND: Duration = Duration::from_secs(1);
