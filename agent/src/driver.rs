//! The one loop that owns the agent.
//!
//! Requests come first, then what the edges heard, then what is due; orders go out after each turn. No order waits for
//! room and nothing here holds a lock, so neither a slow edge nor a slow caller can stop the loop.

mod edges;
mod handle;
mod routes;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::{task, time};
use wayside_core::agent::Agent;
use wayside_core::agent::io::Input;
use wayside_protocols::time::{Duration, Timestamp, UnixMillis};

pub use edges::{BrokerOrder, Datagram, Edges, Inbox, Message, ResponderOrder, Tally};
use handle::Command;
pub use handle::{Busy, Handle, RegisterError, WatchError, Watching};
use routes::Routes;

use crate::pulse::Beat;

/// The loop, and everything it holds.
pub struct Driver<N, W> {
    agent: Agent,
    now: N,
    wall: W,
    commands: mpsc::Receiver<Command>,
    inbox: mpsc::Receiver<Message>,
    routes: Routes,
    /// When the house was last kept, and how far ahead of our clock the wall clock was when the agent was last told.
    kept: Timestamp,
    told: (Timestamp, u64),
    beat: Beat,
    /// When the loop ends whether or not all goodbyes are said.
    leaving: Option<Timestamp>,
}

/// Opens the two doors of an agent that does not exist yet: edges are started with the inbox, the API with the handle,
/// and the loop last, with both.
pub fn doors() -> (Handle, Inbox, Doors) {
    let tally = Arc::new(Tally::default());
    let (commands, requests) = mpsc::channel(Handle::CAPACITY);
    let (sender, inbox) = mpsc::channel(Inbox::CAPACITY);
    let handle = Handle::new(commands, Arc::clone(&tally));
    (handle, Inbox::new(sender, Arc::clone(&tally)), Doors { commands: requests, inbox, tally })
}

/// The inner side of both doors.
#[derive(Debug)]
pub struct Doors {
    commands: mpsc::Receiver<Command>,
    inbox: mpsc::Receiver<Message>,
    tally: Arc<Tally>,
}

impl<N: Fn() -> Timestamp, W: Fn() -> UnixMillis> Driver<N, W> {
    /// A loop around `agent`. `now` and `wall` read the clock the agent was made with.
    pub fn new(agent: Agent, doors: Doors, edges: Edges, now: N, wall: W) -> Self {
        let Doors { commands, inbox, tally } = doors;
        let routes = Routes::new(edges, tally);
        let kept = now();
        Self { agent, now, wall, commands, inbox, routes, kept, told: (kept, 0), beat: Beat::default(), leaving: None }
    }

    /// The same, marking each turn, of which there is one a second at least.
    #[must_use]
    pub fn beating(mut self, beat: Beat) -> Self {
        self.beat = beat;
        self
    }

    /// Runs until [`Handle::leave`] is called, or the last handle is dropped; then until all goodbyes are said, at most
    /// 2 s. When it returns, the queues to the edges are closed.
    pub async fn run(mut self) {
        self.tell_wall((self.now)());
        self.routes.drain(&mut self.agent, (self.now)());
        while !self.over() {
            let woken = self.wait().await;
            self.turn(woken);
            // A turn takes up to 2 ms: sockets and callers share this thread.
            task::yield_now().await;
        }
    }

    async fn wait(&mut self) -> Woken {
        let now = (self.now)();
        let due = self.agent.poll_timeout().map_or(RECHECK, |at| at.since(now));
        tokio::select! {
            biased;
            command = self.commands.recv(), if self.leaving.is_none() => Woken::Command(command.unwrap_or(Command::Leave)),
            Some(message) = self.inbox.recv() => Woken::Message(message),
            // Tokio's timers stand still while the vehicle sleeps, so a long wait is cut into short ones.
            () = time::sleep(due.min(RECHECK)) => Woken::Due,
        }
    }

    fn turn(&mut self, woken: Woken) {
        self.beat.tick();
        match woken {
            Woken::Command(command) => self.serve(command),
            Woken::Message(message) => self.hear(message),
            Woken::Due => {}
        }
        let stop = (self.now)() + TURN;
        for _ in 0..BATCH {
            self.serve_waiting();
            let Ok(message) = self.inbox.try_recv() else { break };
            self.hear(message);
            if (self.now)() >= stop {
                break;
            }
        }
        self.serve_waiting();
        self.keep_house();
        self.routes.drain(&mut self.agent, (self.now)());
    }

    /// Serves what waits, but no more than a queue full: callers must not starve the edges.
    fn serve_waiting(&mut self) {
        for _ in 0..Handle::CAPACITY {
            let Ok(command) = self.commands.try_recv() else { return };
            self.serve(command);
        }
    }

    fn serve(&mut self, command: Command) {
        let now = (self.now)();
        if let ControlFlow::Break(()) = self.routes.serve(command, &mut self.agent, now) {
            self.leaving.get_or_insert(now + FAREWELL);
        }
    }

    fn hear(&mut self, message: Message) {
        let now = (self.now)();
        message.lend(|input| self.agent.handle(input, now));
    }

    fn keep_house(&mut self) {
        let now = (self.now)();
        if self.agent.poll_timeout().is_some_and(|at| at <= now) {
            self.agent.handle_timeout(now);
        }
        if now.since(self.kept) >= RECHECK {
            self.kept = now;
            self.routes.keep(&mut self.agent, now);
            self.tell_wall(now);
        }
    }

    /// Tells the agent what the wall clock shows, once a minute and when it was set.
    fn tell_wall(&mut self, now: Timestamp) {
        let wall = (self.wall)();
        let ahead = wall.0.saturating_sub(now.as_micros() / 1_000);
        let (last, before) = self.told;
        if now.since(last) >= WALL || ahead.abs_diff(before) >= STEP {
            self.told = (now, ahead);
            self.agent.handle(Input::Wall(wall), now);
        }
    }

    fn over(&self) -> bool {
        self.leaving.is_some_and(|deadline| self.routes.left() || (self.now)() >= deadline)
    }
}

enum Woken {
    Command(Command),
    Message(Message),
    Due,
}

/// Requests that wait for an answer at the most; further ones are turned away as busy.
const WAITING: usize = 1_024;
/// The longest wait, and how often the house is kept.
const RECHECK: Duration = Duration::from_secs(1);
/// Messages heard in one turn at the most.
const BATCH: usize = 256;
/// How long a turn may go on hearing messages.
const TURN: Duration = Duration::from_millis(2);
/// How long saying goodbye may take.
const FAREWELL: Duration = Duration::from_secs(2);
/// How often the agent is told what the wall clock shows.
const WALL: Duration = Duration::from_secs(60);
/// A wall clock that moved against ours by more than this, milliseconds, was set.
const STEP: u64 = 500;
