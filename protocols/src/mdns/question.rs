//! When to ask for what (RFC 6762 sections 5.2, 7.1 to 7.3).

use alloc::vec::Vec;
use core::net::IpAddr;

use super::belief::Belief;
use super::browser::{Browser, BrowserOutput, Leaving, Subject};
use super::cache::Ask;
use super::message::{ADDRESS_4, ADDRESS_6, Message, POINTER, SERVER, TEXT};
use super::name::Name;
use super::packet::Packet;
use super::service_type::ServiceType;
use crate::time::{Duration, Timestamp};

/// The questions for one type.
#[derive(Debug)]
pub(super) struct Browse {
    pub(super) owner: Name,
    /// When it is asked next whether or not anything runs out, and the pause after that.
    next: Timestamp,
    interval: Duration,
    last: Option<Timestamp>,
    /// Whether the last question was left to somebody else; then the next is not.
    left_out: bool,
}

impl Browse {
    pub(super) fn new(owner: Name) -> Self {
        Self { owner, next: Timestamp::START, interval: FIRST_INTERVAL, last: None, left_out: false }
    }

    /// Asked at `now`, by us or by somebody else.
    fn asked(&mut self, now: Timestamp) {
        self.last = Some(now);
        if self.next <= now + ALMOST {
            self.next = now + self.interval;
            self.interval = (self.interval * 2).min(LAST_INTERVAL);
        }
    }
}

impl Browser {
    /// Asks everything anew, as after joining a link.
    pub(super) fn start_over(&mut self, now: Timestamp) {
        for (service_type, browse) in &mut self.browses {
            *browse = Browse::new(browse.owner.clone());
            self.agenda.set(&Subject::Browse(service_type.clone()), now + self.dice.pause());
        }
    }

    pub(super) fn browse_due(&mut self, service_type: &ServiceType, now: Timestamp) {
        let congested = self.outbox.len() >= OUTBOX;
        let Some(browse) = self.browses.get_mut(service_type) else { return };
        let mut next = now + FIRST_INTERVAL;
        if !congested {
            browse.asked(now);
            browse.left_out = false;
            next = browse.next;
            let owner = browse.owner.clone();
            self.ask_for_type(service_type, &owner, now);
        }
        self.agenda.set(&Subject::Browse(service_type.clone()), next);
    }

    pub(super) fn instance_due(&mut self, serial: u64, now: Timestamp) {
        let Some(instance) = self.cache.instance_mut(serial) else { return };
        if instance.ptr.over(now) {
            let leaving = if instance.ptr.parting() { Leaving::Gone } else { Leaving::Silently };
            return self.forget(serial, leaving);
        }
        let kin = instance.ptr.take_refresh(now).then(|| instance.service_type.clone());
        let over = |belief: &Belief| belief.over(now);
        let srv_over = instance.srv.as_ref().is_some_and(|srv| over(&srv.belief));
        instance.parting |= srv_over && instance.srv.as_ref().is_some_and(|srv| srv.belief.parting());
        let txt_over = instance.txt.as_ref().is_some_and(|txt| over(&txt.belief));
        let srv_due = instance.srv.as_mut().is_some_and(|srv| srv.belief.take_refresh(now));
        let txt_due = instance.txt.as_mut().is_some_and(|txt| txt.belief.take_refresh(now));
        let missing = instance.ask.at <= now;
        if missing {
            instance.ask.at = Timestamp::NEVER;
            instance.waived |= instance.txt.is_none() && instance.ask.count >= ASKS_FOR_TXT;
        }
        if let Some(told) = instance.told.as_mut() {
            told.outdated |= txt_over;
        }
        if txt_over {
            self.cache.describe(serial, None);
        }
        if srv_over && let Some(host) = self.cache.detach(serial) {
            self.forget_host(host);
        }
        if missing || srv_due || txt_due {
            self.ask_soon(Subject::Instance(serial), if missing { now } else { now + BATCH });
        }
        if let Some(kin) = kin {
            self.ask_again(&kin, now);
        }
        self.settle(serial, now);
    }

    pub(super) fn host_due(&mut self, name: &Name, now: Timestamp) {
        let Some(host) = self.cache.host_mut(name) else { return };
        let parting = host.addresses.iter().any(|address| address.belief.over(now) && address.belief.parting());
        host.addresses.retain(|address| !address.belief.over(now));
        let refreshes = host.addresses.iter_mut().filter_map(|address| address.belief.take_refresh(now).then_some(()));
        let due = refreshes.count() > 0;
        let missing = host.ask.at <= now;
        if missing {
            host.ask.at = Timestamp::NEVER;
        }
        if parting && host.addresses.is_empty() {
            for serial in host.users.clone() {
                if let Some(instance) = self.cache.instance_mut(serial) {
                    instance.parting = true;
                }
            }
        }
        if due || missing {
            self.ask_soon(Subject::Host(name.clone()), if missing { now } else { now + BATCH });
        }
        self.settle_host(name, now);
    }

    /// A query of somebody else: what they ask and know nothing of need not be asked by us too, unless the last time was
    /// left to others already (RFC 6762 section 7.3).
    pub(super) fn overhear(&mut self, message: &Message<'_>, sender: IpAddr, now: Timestamp) {
        let own = self.addresses.iter().any(|(address, _)| *address == sender);
        if own || message.truncated || message.records > 0 {
            return;
        }
        for question in message.questions.iter().filter(|question| !question.unicast) {
            if question.kind != POINTER {
                self.leave_refresh_to_others(&question.name);
                continue;
            }
            let Some(service_type) = self.owners.get(&question.name).cloned() else { continue };
            let Some(browse) = self.browses.get_mut(&service_type) else { continue };
            let planned = browse.last.is_some() && browse.next <= now + FIRST_INTERVAL / 2 && browse.next > now;
            if planned && !browse.left_out {
                browse.next = now;
                browse.asked(now);
                browse.left_out = true;
                self.counters.suppressed_queries += 1;
                let next = browse.next;
                self.agenda.set(&Subject::Browse(service_type), next);
            }
        }
    }

    /// A refresh that waits to be asked is left to whoever just asked for it; if that is not answered, the next turn is
    /// a twentieth of its life away. What is missing altogether is asked for all the same.
    fn leave_refresh_to_others(&mut self, name: &Name) {
        let whole = |serial: &u64| {
            self.cache.instance(*serial).is_some_and(|instance| instance.srv.is_some() && instance.txt.is_some())
        };
        if let Some(serial) = self.cache.find(name).filter(whole) {
            self.counters.suppressed_queries += u64::from(self.pending.remove(&Subject::Instance(serial)));
        }
        if self.cache.host(name).is_some_and(|host| !host.addresses.is_empty()) {
            self.counters.suppressed_queries += u64::from(self.pending.remove(&Subject::Host(name.clone())));
        }
    }

    /// When a packet can go out next.
    pub(super) fn next_packet(&self) -> Option<Timestamp> {
        if !self.outbox.is_empty() {
            Some(self.sending_from)
        } else if !self.pending.is_empty() {
            Some(self.sending_from.max(self.asking_from))
        } else {
            None
        }
    }

    /// Sends one packet, if one may go out: paced, so that neither the link nor the answers come in a burst.
    pub(super) fn send_next(&mut self, now: Timestamp) {
        if self.next_packet().is_none_or(|at| at > now) {
            return;
        }
        let packet = self.outbox.pop_front().or_else(|| self.pending_packet(now));
        if let Some(packet) = packet {
            self.counters.queries += 1;
            self.sending_from = now + PACE;
            self.outputs.push_back(BrowserOutput::Send(packet));
        }
    }

    /// The question for a type with all the answers that are known, in as many packets as that takes.
    fn ask_for_type(&mut self, service_type: &ServiceType, owner: &Name, now: Timestamp) {
        self.types.retain(|_, belief| !belief.over(now));
        let mut packet = Packet::new();
        packet.question(owner, POINTER);
        let instances = self.cache.of_type(service_type).map(|(_, instance)| (instance.name.clone(), &instance.ptr));
        let types = self.types.iter().filter(|_| service_type.is_all()).map(|(known, belief)| (known.owner(), belief));
        for (target, belief) in instances.chain(types) {
            let Some(ttl) = belief.known_answer(now) else { continue };
            if packet.known_answer(owner, &target, ttl) {
                continue;
            }
            if self.outbox.len() + 1 >= OUTBOX {
                break;
            }
            self.outbox.push_back(core::mem::replace(&mut packet, Packet::new()).finish(true));
            packet.known_answer(owner, &target, ttl);
        }
        self.outbox.push_back(packet.finish(false));
    }

    /// A pointer of a type is about to run out: one question serves all that are.
    fn ask_again(&mut self, service_type: &ServiceType, now: Timestamp) {
        let pause = self.dice.pause();
        let Some(browse) = self.browses.get(service_type) else { return };
        let earliest = browse.last.map_or(now, |last| last + FIRST_INTERVAL);
        self.agenda
            .set(&Subject::Browse(service_type.clone()), browse.next.min(earliest.max(now + pause)).max(now + TICK));
    }

    fn ask_soon(&mut self, subject: Subject, at: Timestamp) {
        let earliest = if self.pending.is_empty() { Timestamp::NEVER } else { self.asking_from };
        self.asking_from = earliest.min(at);
        self.pending.insert(subject);
    }

    /// As many of the pending questions as fit into one packet. What was answered meanwhile is not asked.
    fn pending_packet(&mut self, now: Timestamp) -> Option<Vec<u8>> {
        let mut packet = Packet::new();
        while let Some(subject) = self.pending.pop_first() {
            let questions = self.questions_about(&subject, now);
            let fits = questions.iter().all(|(name, kind)| packet.question(name, *kind));
            if !fits {
                self.pending.insert(subject);
                break;
            }
            if !questions.is_empty() {
                self.asked_about(&subject, now);
            }
        }
        (!packet.is_empty()).then(|| packet.finish(false))
    }

    fn questions_about(&self, subject: &Subject, now: Timestamp) -> Vec<(Name, u16)> {
        let wanted = |belief: Option<&Belief>| belief.is_none_or(|belief| belief.aged(now));
        let mut questions = Vec::new();
        match subject {
            Subject::Instance(serial) => {
                let Some(instance) = self.cache.instance(*serial) else { return questions };
                if wanted(instance.srv.as_ref().map(|srv| &srv.belief)) {
                    questions.push((instance.name.clone(), SERVER));
                }
                if wanted(instance.txt.as_ref().map(|txt| &txt.belief)) {
                    questions.push((instance.name.clone(), TEXT));
                }
            }
            Subject::Host(name) => {
                let Some(host) = self.cache.host(name) else { return questions };
                for (kind, v4) in [(ADDRESS_4, true), (ADDRESS_6, false)] {
                    let aged = |ip: IpAddr, belief: &Belief| ip.is_ipv4() == v4 && belief.aged(now);
                    let any_aged = host.addresses.iter().any(|address| aged(address.ip, &address.belief));
                    if host.addresses.is_empty() || any_aged {
                        questions.push((name.clone(), kind));
                    }
                }
            }
            Subject::Browse(_) => {}
        }
        questions
    }

    /// The next time is twice as far away, up to an hour.
    fn asked_about(&mut self, subject: &Subject, now: Timestamp) {
        let again = |ask: &mut Ask| {
            ask.at = now + (FIRST_INTERVAL * (1 << ask.count.min(12))).min(LAST_INTERVAL);
            ask.count = ask.count.saturating_add(1);
        };
        match subject {
            Subject::Instance(serial) => {
                if let Some(instance) = self.cache.instance_mut(*serial)
                    && (instance.srv.is_none() || instance.txt.is_none())
                {
                    again(&mut instance.ask);
                }
                self.settle(*serial, now);
            }
            Subject::Host(name) => {
                if let Some(host) = self.cache.host_mut(name)
                    && host.addresses.is_empty()
                {
                    again(&mut host.ask);
                }
                self.look_again_at_host(name, now);
            }
            Subject::Browse(_) => {}
        }
    }
}

const FIRST_INTERVAL: Duration = Duration::from_secs(1);
const LAST_INTERVAL: Duration = Duration::from_secs(3_600);
/// A planned question this near is asked along with one that is due.
const ALMOST: Duration = Duration::from_millis(20);
/// How long refreshes of single records wait for each other: a record has a twentieth of its life until the next try.
const BATCH: Duration = Duration::from_millis(500);
/// At most a hundred packets a second.
const PACE: Duration = Duration::from_millis(10);
const TICK: Duration = Duration::from_millis(1);
/// Packets waiting to be sent; a question that finds more is postponed, and one that has more known answers names no
/// more of them.
const OUTBOX: usize = 256;
const ASKS_FOR_TXT: u8 = 2;
