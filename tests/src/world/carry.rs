//! What an agent wants done, carried out; and the laws, checked after each step.

use std::rc::Rc;

use wayside_core::agent::io::{Input, Output};
use wayside_core::catalog::Change;
use wayside_protocols::sighting::LinkId;
use wayside_protocols::time::Duration;

use super::agenda::{Event, Said};
use super::deliver::DELAY;
use super::dns::goodbye;
use super::{HostNo, World};

impl World {
    /// Hands `input` to the agent on `host`, if one runs and is awake.
    pub(super) fn tell(&mut self, host: HostNo, what: &str, input: Input<'_>) {
        if !self.hosts[host.0].awake() {
            return;
        }
        if !what.is_empty() {
            self.trace.note(self.now, host.0, what, &[]);
        }
        if let Some(agent) = &mut self.hosts[host.0].agent {
            agent.handle(input, self.now);
        }
        self.settle(host);
    }

    /// Lets the agent on `host` notice the time, if anything is due.
    pub(super) fn time_passes(&mut self, host: HostNo) {
        let now = self.now;
        let here = &mut self.hosts[host.0];
        let Some(agent) = here.agent.as_mut().filter(|_| !here.asleep) else { return };
        if agent.poll_timeout().is_some_and(|due| due <= now) {
            agent.handle_timeout(now);
            here.spins = if here.spins.0 == now { (now, here.spins.1 + 1) } else { (now, 1) };
            assert!(here.spins.1 < SPINS, "seed {}: {} spins at {now}", self.seed, here.settings.id);
        }
        self.settle(host);
    }

    /// Drains the agent on `host`, sets its timeout, and looks whether all is as it should be.
    pub(super) fn settle(&mut self, host: HostNo) {
        self.tally.steps += 1;
        while let Some(output) = self.hosts[host.0].agent.as_mut().and_then(|agent| agent.poll_output()) {
            self.carry(host, output);
        }
        self.arm(host);
        self.check(host);
    }

    /// Plans when the responder of `host` speaks next.
    pub(super) fn speak_later(&mut self, host: HostNo) {
        let here = &mut self.hosts[host.0];
        let Some(due) = here.responder.poll_timeout() else { return };
        if here.speaks.is_none_or(|planned| due < planned) {
            here.speaks = Some(due);
            let life = here.life;
            self.agenda.plan(due.max(self.now), Event::Speak { host, life });
        }
    }

    /// Multicasts from the interface `id` of `host`.
    pub(super) fn send(&mut self, host: HostNo, id: LinkId, bytes: Vec<u8>) {
        let Some(interface) = self.hosts[host.0].interfaces.iter().copied().find(|other| other.id == id) else {
            return;
        };
        let (link, from) = (interface.link, interface.source());
        let at = self.now + self.links[link.0].delay;
        self.agenda.plan(at, Event::Multicast { link, sender: host, from, bytes: Rc::from(bytes) });
    }

    fn carry(&mut self, host: HostNo, output: Output) {
        let life = self.hosts[host.0].life;
        match output {
            Output::Multicast { link, bytes } => {
                self.tally.queries += 1;
                self.send(host, link, bytes);
            }
            Output::Publish(publication) => self.say(host, Said::Publish(publication)),
            Output::Subscribe(filters) => self.say(host, Said::Subscribe(filters)),
            Output::Unsubscribe(filters) => self.say(host, Said::Unsubscribe(filters)),
            Output::Rename { agent, epoch } => {
                self.say(host, Said::Disconnect);
                (self.hosts[host.0].on_air, self.hosts[host.0].connected) = (Some((agent, epoch)), false);
                self.reconnect(host);
            }
            Output::Left => self.say(host, Said::Disconnect),
            Output::Advertise(advert) => {
                self.hosts[host.0].responder.advertise(*advert, &mut self.rng, self.now);
                self.speak_later(host);
            }
            Output::Retract(id) => {
                let (name, retracted) =
                    (self.hosts[host.0].name().to_owned(), self.hosts[host.0].responder.retract(&id));
                let Some(advert) = retracted else { return };
                for (link, _) in self.hosts[host.0].addresses() {
                    self.tally.responses += 1;
                    self.send(host, link, goodbye(&advert, &name));
                }
            }
            Output::Store(ticket, entry) => {
                self.agenda.plan(self.now + DISK, Event::Stored { host, life, ticket, entry });
            }
            Output::Probe(id, _) => {
                self.agenda.plan(self.now + Duration::from_millis(2), Event::Probed { host, life, id });
            }
            Output::Answer(ticket, answer) => drop(self.hosts[host.0].answers.insert(ticket, *answer)),
            Output::Registered(ticket, result) => drop(self.hosts[host.0].leases.insert(ticket, result)),
            // No registry stands in this world.
            Output::Upstream(_)
            | Output::TakeIn(_)
            | Output::Keep(_)
            | Output::Watched(..)
            | Output::WatchRefused(_) => {}
            Output::Changed(change) => self.believe(host, &change),
        }
    }

    fn say(&mut self, host: HostNo, said: Said) {
        let connection = self.hosts[host.0].connection;
        if self.hosts[host.0].connected {
            self.agenda.plan(self.now + DELAY, Event::Reach { host, connection, said });
        }
    }

    /// A change must fit what the agent said before: nothing appears twice, nothing departs that was not there.
    fn believe(&mut self, host: HostNo, change: &Change) {
        let id = change.service().id.clone();
        self.trace.note(self.now, host.0, "changed", id.as_str().as_bytes());
        let here = &mut self.hosts[host.0];
        let fits = match change {
            Change::Appeared(_) => here.told.insert(id),
            Change::Updated(_) | Change::Moved(_) => here.told.contains(&id),
            Change::Departed(_) => here.told.remove(&id),
        };
        assert!(fits, "seed {}: {} at {}: {change:?} out of turn", self.seed, here.settings.id, self.now);
    }

    fn arm(&mut self, host: HostNo) {
        let here = &mut self.hosts[host.0];
        let Some(due) = here.agent.as_ref().and_then(|agent| agent.poll_timeout()) else { return };
        if !here.asleep && here.armed.is_none_or(|(armed, _)| due < armed) {
            let serial = self.agenda.next_serial();
            here.armed = Some((due, serial));
            self.agenda.plan(due.max(self.now), Event::Wake { host, serial });
        }
    }
}

/// How long the disk takes.
const DISK: Duration = Duration::from_millis(8);
/// Timeouts that one agent may have at one moment; more is a loop.
const SPINS: u32 = 64;
