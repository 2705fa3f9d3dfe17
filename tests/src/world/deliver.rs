//! Events, as they reach hosts and brokers.

use std::net::SocketAddr;
use std::rc::Rc;

use rand::Rng;
use wayside_core::agent::io::{Entry, Input, Publication, Ticket};
use wayside_protocols::time::Duration;

use super::agenda::{Event, Said};
use super::broker::Kept;
use super::dns::Query;
use super::{BrokerNo, HostNo, LinkNo, World};

impl World {
    pub(super) fn happen(&mut self, event: Event) {
        match event {
            Event::Wake { host, serial } => self.woken(host, serial),
            Event::Speak { host, life } => self.speak(host, life),
            Event::Multicast { link, sender, from, bytes } => self.multicast(link, sender, from, &bytes),
            Event::Reach { host, connection, said } => self.reach(host, connection, said),
            Event::Fanout { message, to } => self.fan_out(&message, &to),
            Event::Late { host, connection, kept, retained } => self.late(host, connection, kept, retained),
            Event::Connect { host, life } => self.connect(host, life),
            Event::Hangup { host, connection } => {
                if self.hosts[host.0].connection == connection && self.hosts[host.0].awake() {
                    self.hang_up(host);
                }
            }
            Event::Will { broker, host, connection } => self.will(broker, host, connection),
            Event::Stored { host, life, ticket, entry } => self.stored(host, life, ticket, entry),
            Event::Probed { host, life, id } => {
                if self.hosts[host.0].life == life {
                    self.tell(host, "probed", Input::Probed(id, Ok(Duration::from_millis(2))));
                }
            }
        }
    }

    fn woken(&mut self, host: HostNo, serial: u64) {
        if self.hosts[host.0].armed.is_none_or(|(_, armed)| armed != serial) {
            return;
        }
        self.hosts[host.0].armed = None;
        self.time_passes(host);
    }

    fn speak(&mut self, host: HostNo, life: u32) {
        let now = self.now;
        let here = &mut self.hosts[host.0];
        if here.life != life || !here.awake() || here.speaks.is_none_or(|at| at > now) {
            return;
        }
        here.speaks = None;
        let (name, addresses) = (here.name().to_owned(), here.addresses());
        for (link, bytes) in here.responder.speak(&name, &addresses, now) {
            self.tally.responses += 1;
            self.send(host, link, bytes);
        }
        self.speak_later(host);
    }

    fn multicast(&mut self, link: LinkNo, sender: HostNo, from: SocketAddr, bytes: &Rc<[u8]>) {
        self.trace.note(self.now, sender.0, "multicast", bytes);
        let query = Query::read(bytes);
        let (loss, members) = (self.links[link.0].loss, &self.links[link.0].members);
        let Some(side) = members.get(&sender) else { return };
        let hearers: Vec<HostNo> = members.iter().filter(|(_, other)| *other == side).map(|(host, _)| *host).collect();
        for host in hearers {
            // A host hears itself over the loopback of its kernel, which loses nothing.
            let lost = host != sender && loss > 0.0 && self.rng.random_bool(loss);
            let Some(interface) = self.hosts[host.0].interface_on(link) else { continue };
            if lost || !self.hosts[host.0].awake() {
                continue;
            }
            self.tally.heard += 1;
            if let Some(query) = &query {
                let here = &mut self.hosts[host.0];
                let name = here.name().to_owned();
                here.responder.hear(interface.id, &name, from, query, &mut self.rng, self.now);
                self.speak_later(host);
            }
            self.tell(host, "", Input::Datagram { link: interface.id, from, multicast: true, bytes });
        }
    }

    fn reach(&mut self, host: HostNo, connection: u32, said: Said) {
        let Some(broker) = self.hosts[host.0].broker else { return };
        if self.hosts[host.0].cut || !self.brokers[broker.0].serves(host, connection) {
            return;
        }
        match said {
            Said::Publish(publication) => self.publish(broker, publication),
            Said::Subscribe(filters) => {
                let kept = self.brokers[broker.0].subscribe(host, filters, self.now);
                let at = self.now + DELAY;
                self.agenda.plan(at, Event::Late { host, connection, kept, retained: true });
            }
            Said::Unsubscribe(filters) => self.brokers[broker.0].unsubscribe(host, &filters),
            Said::Disconnect => self.brokers[broker.0].disconnect(host),
        }
    }

    fn publish(&mut self, broker: BrokerNo, publication: Publication) {
        self.tally.published += 1;
        self.trace.note(self.now, broker.0, &publication.topic, &publication.payload);
        let retain = publication.retain;
        let message = Kept::of(publication, self.now);
        let to = self.brokers[broker.0].publish(&message, retain);
        self.agenda.plan(self.now + DELAY, Event::Fanout { message, to });
    }

    fn fan_out(&mut self, message: &Kept, to: &[(HostNo, u32)]) {
        for (host, connection) in to {
            let loss = self.hosts[host.0].broker.map_or(0.0, |broker| self.brokers[broker.0].loss);
            if !message.assured() && loss > 0.0 && self.rng.random_bool(loss) {
                continue;
            }
            if self.hosts[host.0].online(*connection) {
                self.deliver(*host, message, false);
            } else if let Some(broker) = self.hosts[host.0].broker {
                self.brokers[broker.0].undelivered(*host, message);
            }
        }
    }

    fn late(&mut self, host: HostNo, connection: u32, kept: Vec<Kept>, retained: bool) {
        for message in kept {
            if self.hosts[host.0].online(connection) {
                self.deliver(host, &message, retained);
            }
        }
    }

    fn deliver(&mut self, host: HostNo, message: &Kept, retained: bool) {
        self.tally.delivered += 1;
        self.tell(host, "", Input::Message { topic: &message.topic, payload: &message.payload, retained });
    }

    fn connect(&mut self, host: HostNo, life: u32) {
        let here = &mut self.hosts[host.0];
        let Some(broker) = here.broker.filter(|_| here.awake() && here.life == life && !here.connected) else {
            return;
        };
        if here.cut || !self.brokers[broker.0].up {
            return self.reconnect(host);
        }
        here.connection += 1;
        here.connected = true;
        let (connection, will) = (here.connection, here.will());
        let (session_present, missed) = self.brokers[broker.0].connect(host, connection, will, self.now);
        self.agenda.plan(self.now + DELAY, Event::Late { host, connection, kept: missed, retained: false });
        self.tell(host, "broker-up", Input::BrokerUp { session_present });
    }

    fn will(&mut self, broker: BrokerNo, host: HostNo, connection: u32) {
        if !self.brokers[broker.0].up {
            return;
        }
        let here = &self.hosts[host.0];
        if here.connection == connection && !(here.awake() && here.connected && !here.cut) {
            self.brokers[broker.0].lose(host, connection);
        }
        if let Some(will) = self.brokers[broker.0].will(host, connection) {
            self.publish(broker, will);
        }
    }

    fn stored(&mut self, host: HostNo, life: u32, ticket: Ticket, entry: Entry) {
        let here = &mut self.hosts[host.0];
        if here.life != life || here.agent.is_none() {
            return;
        }
        match entry {
            Entry::Registered(registration) => {
                drop(here.journal.insert(registration.service.id.clone(), *registration));
            }
            Entry::Withdrawn(id) => drop(here.journal.remove(&id)),
        }
        self.tell(host, "stored", Input::Stored(ticket, Ok(())));
    }
}

/// From an agent to its broker, and from there to an agent: always the same, so that order is kept.
pub(super) const DELAY: Duration = Duration::from_millis(5);
