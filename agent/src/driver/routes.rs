//! Which order goes where, and who waits for which answer.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use wayside_core::agent::Agent;
use wayside_core::agent::io::{Entry, Input, Output, Ticket};
use wayside_core::query::{Answer, Cause};
use wayside_core::registration::DueProbe;
use wayside_core::upstream::{Exchange, Failure};
use wayside_core::watch::{Filter, WatchEvent};
use wayside_protocols::registry::rows::Rows;
use wayside_protocols::service::ServiceId;
use wayside_protocols::time::Timestamp;

use super::WAITING;
use super::edges::{BrokerOrder, Edges, ResponderOrder, Tally};
use super::handle::{Command, RegisterReply, WatchError, WatchReply};
use crate::count::AtomicU64;

/// Everybody who waits for something from the agent.
pub(super) struct Routes {
    edges: Edges,
    tally: Arc<Tally>,
    serial: u64,
    questions: BTreeMap<Ticket, oneshot::Sender<Box<Answer>>>,
    registering: BTreeMap<Ticket, RegisterReply>,
    watchers: BTreeMap<Ticket, mpsc::Sender<WatchEvent>>,
    opening: Vec<(Ticket, WatchReply, mpsc::Receiver<WatchEvent>)>,
    /// Watches nobody reads any more, or too slowly; told to the agent after the outputs are drained.
    closing: Vec<Ticket>,
    /// An order the broker must have was dropped.
    resay: bool,
    left: bool,
}

impl Routes {
    pub(super) fn new(edges: Edges, tally: Arc<Tally>) -> Self {
        Self {
            edges,
            tally,
            serial: 0,
            questions: BTreeMap::new(),
            registering: BTreeMap::new(),
            watchers: BTreeMap::new(),
            opening: Vec::new(),
            closing: Vec::new(),
            resay: false,
            left: false,
        }
    }

    /// Whether all goodbyes are said.
    pub(super) fn left(&self) -> bool {
        self.left
    }

    /// Puts a request to the agent. Breaks if it was to leave. A request too many is turned away by dropping its reply.
    pub(super) fn serve(&mut self, command: Command, agent: &mut Agent, now: Timestamp) -> ControlFlow<()> {
        match command {
            Command::Read(look) => look(agent, now),
            Command::Watch(filter, reply) => self.watch(filter, reply, agent, now),
            Command::Stand(fix, reply) => {
                agent.handle(Input::Own(fix), now);
                // Whoever said so may have gone.
                let _ = reply.send(());
            }
            Command::Configure(services) => agent.handle(Input::Configured(services), now),
            Command::Leave => {
                agent.handle(Input::Leave, now);
                return ControlFlow::Break(());
            }
            Command::Ask(..) | Command::Register(..) | Command::Renew(..) | Command::Withdraw(..)
                if self.questions.len() + self.registering.len() >= WAITING => {}
            Command::Ask(query, reply) => {
                let ticket = self.ticket();
                self.questions.insert(ticket, reply);
                agent.handle(Input::Ask(ticket, *query), now);
            }
            Command::Register(registration, reply) => {
                let ticket = self.await_lease(reply);
                agent.handle(Input::Register(ticket, registration), now);
            }
            Command::Renew(id, reply) => {
                let ticket = self.await_lease(reply);
                agent.handle(Input::Renew(ticket, id), now);
            }
            Command::Withdraw(id, reply) => {
                let ticket = self.await_lease(reply);
                agent.handle(Input::Withdraw(ticket, id), now);
            }
        }
        ControlFlow::Continue(())
    }

    /// Hands every output to whom it is for, until the agent has none left.
    pub(super) fn drain(&mut self, agent: &mut Agent, now: Timestamp) {
        loop {
            while let Some(output) = agent.poll_output() {
                self.route(output, agent, now);
            }
            if self.closing.is_empty() {
                break;
            }
            for ticket in self.closing.drain(..) {
                agent.handle(Input::Unwatch(ticket), now);
            }
        }
        for (ticket, reply, events) in self.opening.drain(..) {
            if self.watchers.contains_key(&ticket) {
                // Who gave up meanwhile is found by the next sweep.
                let _ = reply.send(Ok(events));
            } else {
                let _ = reply.send(Err(WatchError::Full { limit: agent.settings().limits.watchers }));
            }
        }
    }

    /// Closes what nobody reads any more, and has everything said again if the broker missed something.
    pub(super) fn keep(&mut self, agent: &mut Agent, now: Timestamp) {
        self.sweep(agent, now);
        if let Some(queue) = &self.edges.broker {
            let waiting = queue.max_capacity() - queue.capacity();
            agent.handle(Input::Backlog { waiting, capacity: BACKLOG }, now);
        }
        let idle = |queue: &mpsc::Sender<BrokerOrder>| queue.capacity() == queue.max_capacity();
        if self.resay && self.edges.broker.as_ref().is_some_and(idle) {
            self.resay = false;
            agent.handle(Input::BrokerUp { session_present: false }, now);
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.serial += 1;
        Ticket(self.serial)
    }

    fn await_lease(&mut self, reply: RegisterReply) -> Ticket {
        let ticket = self.ticket();
        self.registering.insert(ticket, reply);
        ticket
    }

    fn watch(&mut self, filter: Filter, reply: WatchReply, agent: &mut Agent, now: Timestamp) {
        self.sweep(agent, now);
        let (sender, events) = mpsc::channel(agent.status(now).services + CHANGES);
        let ticket = self.ticket();
        self.watchers.insert(ticket, sender);
        self.opening.push((ticket, reply, events));
        agent.handle(Input::Watch(ticket, filter), now);
    }

    fn sweep(&mut self, agent: &mut Agent, now: Timestamp) {
        self.watchers.retain(|ticket, events| {
            let open = !events.is_closed();
            if !open {
                agent.handle(Input::Unwatch(*ticket), now);
            }
            open
        });
    }

    fn route(&mut self, output: Output, agent: &mut Agent, now: Timestamp) {
        match output {
            Output::Multicast { link, bytes } => {
                offer(self.edges.link.as_ref(), (link, bytes), &self.tally.multicasts_dropped);
            }
            Output::Publish(publication) => {
                let owed = publication.retain || publication.assured;
                self.order_broker(BrokerOrder::Publish(publication), owed);
            }
            Output::Subscribe(filters) => self.order_broker(BrokerOrder::Subscribe(filters), true),
            Output::Unsubscribe(filters) => self.order_broker(BrokerOrder::Unsubscribe(filters), false),
            Output::Rename { agent, epoch } => self.order_broker(BrokerOrder::Rename(agent, epoch), true),
            Output::Advertise(advert) => self.order_responder(ResponderOrder::Advertise(advert)),
            Output::Retract(id) => self.order_responder(ResponderOrder::Retract(id)),
            Output::Store(ticket, entry) => self.store(ticket, entry, agent, now),
            Output::Probe(id, probe) => self.probe(id, probe, agent, now),
            Output::Upstream(exchange) => self.exchange(exchange, agent, now),
            Output::TakeIn(rows) => self.take_in(*rows, agent, now),
            Output::Keep(rows) => {
                offer(self.edges.keep.as_ref(), rows, &self.tally.keeps_dropped);
            }
            Output::Answer(ticket, answer) => {
                if let Some(reply) = self.questions.remove(&ticket) {
                    // Whoever asked may have given up.
                    let _ = reply.send(answer);
                }
            }
            Output::Registered(ticket, result) => {
                if let Some(reply) = self.registering.remove(&ticket) {
                    let _ = reply.send(result);
                }
            }
            Output::Watched(ticket, event) => self.tell_watcher(ticket, event),
            Output::WatchRefused(ticket) => {
                self.watchers.remove(&ticket);
            }
            Output::Changed(change) => {
                if self.edges.events {
                    self.order_broker(BrokerOrder::Event(change), false);
                }
            }
            Output::Left => self.left = true,
        }
    }

    fn order_broker(&mut self, order: BrokerOrder, owed: bool) {
        let taken = offer(self.edges.broker.as_ref(), order, &self.tally.broker_orders_dropped);
        self.resay |= owed && !taken;
    }

    fn order_responder(&self, order: ResponderOrder) {
        offer(self.edges.responder.as_ref(), order, &self.tally.adverts_dropped);
    }

    fn store(&self, ticket: Ticket, entry: Entry, agent: &mut Agent, now: Timestamp) {
        let taken = offer(self.edges.journal.as_ref(), (ticket, entry), &self.tally.entries_refused);
        if !taken {
            agent.handle(Input::Stored(ticket, Err("too many registrations wait for the disk".into())), now);
        } else if self.edges.journal.is_none() {
            agent.handle(Input::Stored(ticket, Ok(())), now);
        }
    }

    fn probe(&self, id: ServiceId, probe: DueProbe, agent: &mut Agent, now: Timestamp) {
        if !offer(self.edges.probes.as_ref(), (id.clone(), probe), &self.tally.probes_dropped) {
            agent.handle(Input::Probed(id, Err("too many health checks wait".into())), now);
        }
    }

    fn exchange(&self, exchange: Exchange, agent: &mut Agent, now: Timestamp) {
        let id = exchange.id;
        let there = self.edges.upstream.is_some();
        if !there || !offer(self.edges.upstream.as_ref(), exchange, &self.tally.exchanges_dropped) {
            let why = "too many exchanges wait".into();
            agent.handle(Input::Told(id, Err(Failure { cause: Cause::Unreachable, why })), now);
        }
    }

    fn take_in(&self, rows: Rows, agent: &mut Agent, now: Timestamp) {
        let who = rows.agent.clone();
        let there = self.edges.intake.is_some();
        if !there || !offer(self.edges.intake.as_ref(), rows, &self.tally.intakes_dropped) {
            agent.handle(Input::TakenIn(who, Err("too many messages wait for the engine".into())), now);
        }
    }

    fn tell_watcher(&mut self, ticket: Ticket, event: WatchEvent) {
        let Some(watcher) = self.watchers.get(&ticket) else { return };
        let Err(refused) = watcher.try_send(event) else { return };
        if matches!(refused, mpsc::error::TrySendError::Full(_)) {
            Tally::add(&self.tally.watchers_outrun);
        }
        // The reader finds its queue ended, and opens the watch again.
        self.watchers.remove(&ticket);
        self.closing.push(ticket);
    }
}

/// Puts `order` in the queue of an edge. False, and counted, if it is full or its task has ended.
fn offer<T>(edge: Option<&mpsc::Sender<T>>, order: T, dropped: &AtomicU64) -> bool {
    let taken = edge.is_none_or(|queue| queue.try_send(order).is_ok());
    if !taken {
        Tally::add(dropped);
    }
    taken
}

/// Publications that wait for the broker when beacons are to be at their fewest: what the queue still takes would come
/// too late to be true.
const BACKLOG: usize = 64;
/// Changes a watcher may be behind, beyond the whole picture as it was when the watch was opened.
const CHANGES: usize = 1_024;
