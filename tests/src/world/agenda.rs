//! What is going to happen, in order.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::rc::Rc;

use wayside_core::agent::io::{Entry, Publication, Ticket};
use wayside_protocols::service::ServiceId;
use wayside_protocols::time::Timestamp;

use super::broker::Kept;
use super::{BrokerNo, HostNo, LinkNo};

/// Something that is going to happen.
#[derive(Debug)]
pub(super) enum Event {
    /// An agent's timeout; void if another one was set since.
    Wake { host: HostNo, serial: u64 },
    /// A responder's timeout.
    Speak { host: HostNo, life: u32 },
    /// A datagram is on the link, for everybody on the sender's side of it.
    Multicast { link: LinkNo, sender: HostNo, from: SocketAddr, bytes: Rc<[u8]> },
    /// Something an agent said arrives at its broker.
    Reach { host: HostNo, connection: u32, said: Said },
    /// A publication arrives at those who subscribed to it.
    Fanout { message: Kept, to: Vec<(HostNo, u32)> },
    /// What the broker kept arrives at somebody who subscribed late, or came back.
    Late { host: HostNo, connection: u32, kept: Vec<Kept>, retained: bool },
    /// An agent tries to reach its broker.
    Connect { host: HostNo, life: u32 },
    /// A connection is dead: the agent notices.
    Hangup { host: HostNo, connection: u32 },
    /// A connection is dead: the broker says so, unless the agent came back.
    Will { broker: BrokerNo, host: HostNo, connection: u32 },
    /// The journal has it.
    Stored { host: HostNo, life: u32, ticket: Ticket, entry: Entry },
    /// A health check comes back well.
    Probed { host: HostNo, life: u32, id: ServiceId },
}

/// What an agent says to its broker.
#[derive(Debug)]
pub(super) enum Said {
    Publish(Publication),
    Subscribe(Vec<Box<str>>),
    Unsubscribe(Vec<Box<str>>),
    Disconnect,
}

/// Events by time; those of the same moment in the order they were planned.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    heap: BinaryHeap<Planned>,
    serial: u64,
}

#[derive(Debug)]
struct Planned {
    at: Timestamp,
    serial: u64,
    event: Event,
}

impl Agenda {
    /// Plans `event`, and says its number.
    pub(super) fn plan(&mut self, at: Timestamp, event: Event) -> u64 {
        self.serial += 1;
        self.heap.push(Planned { at, serial: self.serial, event });
        self.serial
    }

    /// The number the next event gets.
    pub(super) fn next_serial(&self) -> u64 {
        self.serial + 1
    }

    /// The next event up to and including `end`.
    pub(super) fn pop(&mut self, end: Timestamp) -> Option<(Timestamp, Event)> {
        if self.heap.peek()?.at > end {
            return None;
        }
        self.heap.pop().map(|planned| (planned.at, planned.event))
    }
}

impl Ord for Planned {
    fn cmp(&self, other: &Self) -> Ordering {
        // The heap gives out its greatest first.
        (other.at, other.serial).cmp(&(self.at, self.serial))
    }
}

impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Planned {}
