//! The only place where the pieces meet.
//!
//! Bytes, words and the time go in through [`Agent::handle`]; what is to be sent, stored and answered comes out of
//! [`Agent::poll_output`]. Drain it first; then [`Agent::poll_timeout`] is true.

mod adverts;
mod air;
mod alias;
mod asking;
mod beaconing;
mod board;
mod congestion;
mod ears;
mod intake;
pub mod io;
mod listen;
mod listening;
mod peers;
mod read;
mod receiver;
mod rejected;
mod upward;
mod vouch;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use wayside_protocols::gpsd::Report;
use wayside_protocols::place::Fix;
use wayside_protocols::service::{AgentId, ServiceId, Trust};
use wayside_protocols::sighting::{Claim, Sighting, Source};
use wayside_protocols::time::{Timestamp, UnixMillis};

use crate::catalog::Change;
use crate::counters::Counters;
use crate::neighbourhood::{Neighbourhood, is_presence};
use crate::registry::Registry;
use crate::upstream::Upstreams;
use crate::watch::{Filter, Watch, WatchEvent};
use adverts::Adverts;
use alias::Alias;
use asking::Asking;
use beaconing::Beaconing;
use board::Board;
use congestion::Congestion;
use ears::Ears;
use intake::Intake;
use io::{Input, Output, Settings, Ticket};
use listening::Listening;
use peers::Peers;
use receiver::{Receiver, Word};
use rejected::Rejected;
use vouch::Vouch;

pub use read::Status;
pub use rejected::Rejection;

/// What the agent knows, and what it does about it.
#[derive(Debug)]
pub struct Agent {
    settings: Settings,
    known: Neighbourhood,
    ears: Ears,
    alias: Alias,
    board: Board,
    listening: Listening,
    beaconing: Beaconing,
    asking: Asking,
    peers: Peers,
    rejected: Rejected,
    heard: Heard,
    /// Where the links were last told that the agent stands.
    shown: Option<Fix>,
    /// When it is next looked whether those who are followed are still known.
    sweep: Timestamp,
    vouch: Vouch,
    adverts: Adverts,
    receiver: Receiver,
    /// Whom to ask where nobody near has an answer; `None` if there is nobody.
    upstream: Option<Upstreams>,
    /// From which of its addresses the agent reaches a registry: who asks there reaches it at that one, where the links
    /// say nothing.
    departs: Option<IpAddr>,
    /// What registries are told has to be looked at anew.
    offered: bool,
    registry: Registry,
    intake: Intake,
    watches: BTreeMap<Ticket, Watch>,
    counters: Counters,
    /// What the wall clock showed, and when that was.
    wall: Option<(UnixMillis, Timestamp)>,
    broker_up: bool,
    /// Own services or their state changed since they were last announced.
    vouched: bool,
    outputs: VecDeque<Output>,
}

/// What is counted too often to look its name up each time.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    messages: u64,
    beacons: u64,
    moved: u64,
}

impl Agent {
    /// An agent that has heard nothing yet, but vouches for what its configuration and its journal say.
    pub fn new(settings: Settings, now: Timestamp) -> Self {
        let limits = settings.limits.clone();
        let me = settings.id.clone();
        let alias = Alias::new(&settings, now);
        let mut agent = Self {
            known: Neighbourhood::new(me.clone(), limits.clone()),
            ears: Ears::new(settings.seed, &settings.browse, limits.types),
            board: Board::new(alias.name().clone(), settings.kind, alias.epoch(), settings.version),
            listening: Listening::new(alias.name().clone(), settings.kind, limits.horizon, limits.followed),
            beaconing: Beaconing::new(
                alias.name().clone(),
                alias.epoch(),
                settings.kind,
                settings.seed,
                Congestion::new(limits.beacons_per_s, now),
            ),
            asking: Asking::default(),
            peers: Peers::new(limits.presences, settings.seed),
            rejected: Rejected::default(),
            heard: Heard::default(),
            shown: None,
            sweep: Timestamp::NEVER,
            alias,
            vouch: Vouch::new(me, limits.clone()),
            adverts: Adverts::new(settings.mdns, limits.adverts),
            receiver: Receiver::default(),
            upstream: Upstreams::new(&settings.upstream, &settings.id, &limits, settings.seed),
            departs: None,
            offered: true,
            registry: Registry::default(),
            intake: Intake::new(settings.seed),
            watches: BTreeMap::new(),
            counters: Counters::default(),
            wall: None,
            broker_up: false,
            vouched: true,
            outputs: VecDeque::new(),
            settings,
        };
        if agent.settings.rotate.is_some() {
            agent.board.pass();
            agent.renamed(now);
        }
        if let Some((position, accuracy)) = agent.settings.position {
            agent.stand(Fix::fixed(position, accuracy, now), now);
        }
        let kept = std::mem::take(&mut agent.settings.kept);
        if let Some(upstream) = &mut agent.upstream {
            upstream.restore(kept, now);
        }
        for registration in std::mem::take(&mut agent.settings.restored) {
            agent.vouch.resume(registration, Source::Api, now);
        }
        for registration in std::mem::take(&mut agent.settings.services) {
            agent.vouch.resume(registration, Source::File, now);
        }
        agent.settle(now);
        agent
    }

    /// Takes something in. Nothing that came over a wire can fail here: what is wrong with it is counted by name.
    pub fn handle(&mut self, input: Input<'_>, now: Timestamp) {
        match input {
            Input::LinkUp { link, addresses } => {
                if self.ears.link_up(link, addresses, now) {
                    self.adverts.again();
                }
            }
            Input::LinkDown(link) => self.ears.link_down(link, now),
            Input::Datagram { link, from, multicast, bytes } => self.ears.datagram(link, from, multicast, bytes, now),
            Input::BrokerUp { .. } => self.broker_up(now),
            Input::BrokerDown => self.broker_down(),
            Input::Message { topic, payload, .. } => {
                // Of a beacon that only moves a neighbour nothing follows that would have to be settled.
                if self.message(topic, payload, now).is_break() {
                    return self.known.maintain(now);
                }
            }
            Input::Backlog { waiting, capacity } => self.beaconing.congestion.backlog(waiting, capacity),
            Input::Heard(sighting) => self.observe(sighting, now),
            Input::Own(fix) => self.stand(fix, now),
            Input::Receiver(report) => self.receive(report, now),
            Input::Wall(shown) => self.wall = Some((shown, now)),
            Input::Ask(ticket, query) => self.ask(ticket, query, now),
            Input::Told(exchange, result) => self.told(exchange, result, now),
            Input::Departs(address) => self.departs = Some(address),
            Input::Engine(footing) => self.registry.stands(footing, now),
            Input::TakenIn(agent, result) => self.taken_in(&agent, result, now),
            Input::Register(ticket, registration) => self.vouch.register(ticket, registration),
            Input::Renew(ticket, id) => self.vouch.renew(ticket, &id, now),
            Input::Withdraw(ticket, id) => self.vouch.withdraw(ticket, id),
            Input::Stored(ticket, result) => self.stored(ticket, result, now),
            Input::Probed(id, result) => self.vouch.probed(&id, result, now),
            Input::Watch(ticket, filter) => self.watch(ticket, filter, now),
            Input::Unwatch(ticket) => drop(self.watches.remove(&ticket)),
            Input::Configured(services) => self.vouch.configured(services, now),
            Input::Leave => self.leave(now),
        }
        self.settle(now);
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.ears.handle_timeout(now);
        self.vouch.handle_timeout(now);
        self.board.handle_timeout(now);
        self.air_timeout(now);
        self.upward_timeout(now);
        self.intake_timeout(now);
        while let Some(change) = self.known.expire(now) {
            self.tell(&change, now);
        }
        self.vouched |= self.board.stale(now);
        self.ripen(now);
        self.settle(now);
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Agent::handle_timeout`] is due, once all outputs are drained.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let due = [
            self.ears.poll_timeout(),
            self.vouch.poll_timeout(),
            self.board.poll_timeout(),
            self.air_due(),
            self.upward_due(),
            self.intake.poll_timeout(),
            self.known.catalog().next_expiry(),
            self.watches.values().filter_map(Watch::next_due).min(),
        ];
        due.into_iter().flatten().min()
    }

    /// Carries what the pieces have to say to where it belongs, until nobody has anything to say.
    fn settle(&mut self, now: Timestamp) {
        self.known.maintain(now);
        self.speak(now);
        self.vouch.reached_at(self.ears.address().or(self.departs), now);
        loop {
            if let Some(output) = self.ears.poll_output(now) {
                self.outputs.push_back(output);
            } else if let Some(sighting) = self.ears.poll_sighting() {
                self.overheard(sighting, now);
            } else if let Some(output) = self.vouch.poll_output() {
                self.outputs.push_back(output);
            } else if let Some(sighting) = self.vouch.poll_sighting() {
                self.observe(sighting, now);
                self.vouched = true;
            } else if std::mem::take(&mut self.vouched) {
                self.announce(now);
            } else if std::mem::take(&mut self.offered) {
                self.offer_upward(now);
            } else if let Some(output) = self.said() {
                self.outputs.push_back(output);
            } else {
                return;
            }
        }
    }

    fn said(&mut self) -> Option<Output> {
        let listening = self.listening.poll_output();
        let said = listening.or_else(|| self.board.poll_output()).or_else(|| self.adverts.poll_output());
        said.or_else(|| self.upward()).or_else(|| self.intake.poll_output())
    }

    /// Believes a sighting, or counts why not.
    fn observe(&mut self, sighting: Sighting, now: Timestamp) {
        self.offered |= self.upstream.is_some() && sighting.source == Source::Modbus;
        let who = sighting.id().to_string();
        match self.known.observe(sighting, now) {
            Ok(changes) => changes.iter().for_each(|change| self.tell(change, now)),
            Err(disbelief) => self.refuse(disbelief.counted(), &who, &disbelief, now),
        }
    }

    /// Counts a refusal, and keeps it for a person to look at.
    fn refuse(&mut self, what: &'static str, who: &str, why: &dyn std::fmt::Display, now: Timestamp) {
        self.counters.count(what);
        self.rejected.note(what, who, why, now);
    }

    /// Tells the watchers, and everybody if that is wanted.
    fn tell(&mut self, change: &Change, now: Timestamp) {
        self.counters.count(match change {
            Change::Appeared(_) => "appeared_total",
            Change::Updated(_) | Change::Moved(_) => "updated_total",
            Change::Departed(_) => "departed_total",
        });
        let devices = self.settings.announce_devices && change.service().trust == Trust::Own;
        self.vouched |= devices && !matches!(change, Change::Updated(_));
        if !self.watches.is_empty() {
            self.tell_watchers(change, now);
        }
        if self.settings.events {
            self.outputs.push_back(Output::Changed(change.clone()));
        }
    }

    fn tell_watchers(&mut self, change: &Change, now: Timestamp) {
        let service = change.service();
        let mut changes = vec![change.clone()];
        if is_presence(service)
            && let Some(slot) = self.known.catalog().slot(&service.id)
        {
            changes.extend(self.known.riders(slot).map(|(_, entry)| Change::Moved(entry.shown().clone())));
        }
        for change in &changes {
            let stance = self.known.stance(&change.service().id, now);
            for (ticket, watch) in &mut self.watches {
                if let Some(event) = watch.step(change, stance.as_ref(), now) {
                    self.outputs.push_back(Output::Watched(*ticket, event));
                }
            }
        }
    }

    fn watch(&mut self, ticket: Ticket, filter: Filter, now: Timestamp) {
        if self.watches.len() >= self.settings.limits.watchers && !self.watches.contains_key(&ticket) {
            self.counters.count("watch_refused_total");
            return self.outputs.push_back(Output::WatchRefused(ticket));
        }
        let mut watch = Watch::new(filter);
        self.outputs.push_back(Output::Watched(ticket, WatchEvent::Reset));
        for (_, entry) in self.known.catalog().entries() {
            let stance = self.known.stance(&entry.shown().id, now);
            if let Some(event) = watch.picture(entry.shown(), stance.as_ref(), now) {
                self.outputs.push_back(Output::Watched(ticket, event));
            }
        }
        self.watches.insert(ticket, watch);
    }

    /// Tells watchers of what has stayed on the other side of their rim for as long as they wanted, and of moves that
    /// had to wait.
    fn ripen(&mut self, now: Timestamp) {
        for (ticket, watch) in &mut self.watches {
            while let Some(id) = watch.ripe(now) {
                // What has departed meanwhile was told.
                let Some(entry) = self.known.catalog().get(&id) else { continue };
                let stance = self.known.stance(&id, now);
                if let Some(event) = watch.ripen(entry.shown(), stance.as_ref(), now) {
                    self.outputs.push_back(Output::Watched(*ticket, event));
                }
            }
        }
    }

    fn stored(&mut self, ticket: Ticket, result: Result<(), Box<str>>, now: Timestamp) {
        if result.is_err() {
            self.counters.count("journal_refused_total");
        }
        self.vouch.stored(ticket, result, now);
    }

    fn receive(&mut self, report: Report, now: Timestamp) {
        match self.receiver.hear(report, now) {
            Word::Believed(fix) => {
                self.counters.count("gnss_fixes_total");
                self.stand(fix, now);
            }
            Word::Doubted => self.counters.count("gnss_leaps_doubted_total"),
            Word::Without => self.counters.count("gnss_without_fix_total"),
            Word::Nothing => {}
        }
    }

    /// Withdraws what MQTT says of an agent that is gone.
    fn bury(&mut self, agent: &AgentId, now: Timestamp) {
        let offered: Vec<ServiceId> = self
            .known
            .catalog()
            .offered_by(agent)
            .filter(|(_, entry)| entry.claims().iter().any(|held| held.source == Source::Mqtt))
            .map(|(_, entry)| entry.shown().id.clone())
            .collect();
        for id in offered {
            self.observe(Sighting { source: Source::Mqtt, claim: Claim::Gone(id) }, now);
        }
    }

    fn leave(&mut self, now: Timestamp) {
        self.settle(now);
        self.board.leave(now);
        self.adverts.leave();
        self.leave_upward(now);
        while let Some(output) = self.said() {
            self.outputs.push_back(output);
        }
        self.outputs.push_back(Output::Left);
    }
}

#[cfg(test)]
mod tests;
