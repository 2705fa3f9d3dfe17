//! Asks addresses by datagram who they are: EtherNet/IP and BACnet/IP.
//!
//! One question at a time to an address, none faster than the pace, each asked again once at the most, and nothing but
//! questions that change nothing. What comes from an address that was not asked, or answers another question, is counted
//! and forgotten.

pub mod census;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use tokio::net::UdpSocket;
use tokio::time;
use wayside_protocols::device::Told;
use wayside_protocols::time::{Duration, Timestamp};
use wayside_protocols::{bacnet, enip};

use crate::clock::Clock;

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// EtherNet/IP, ListIdentity.
    Enip,
    /// BACnet/IP, Who-Is and ReadProperty.
    Bacnet,
}

impl Protocol {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enip => "enip",
            Self::Bacnet => "bacnet",
        }
    }

    /// The port devices listen at.
    pub const fn port(self) -> u16 {
        match self {
            Self::Enip => enip::PORT,
            Self::Bacnet => bacnet::PORT,
        }
    }

    /// Datagrams that a silent address and a device that answers everything are sent at the most.
    pub const fn questions(self) -> (usize, usize) {
        match self {
            Self::Enip => (2, 2),
            Self::Bacnet => (2, 6),
        }
    }
}

/// Whom to ask, and how.
#[derive(Clone, Debug)]
pub struct Inquiry {
    /// What is spoken.
    pub protocol: Protocol,
    /// Every address that may answer, checked by the caller; asked one by one unless there is a broadcast address.
    pub targets: Vec<SocketAddrV4>,
    /// Where the first question goes instead, once. Only `targets` are listened to all the same.
    pub broadcast: Option<SocketAddrV4>,
    /// How long an answer may take.
    pub patience: Duration,
    /// Time between two datagrams.
    pub pace: Duration,
    /// Whether to ask only who is there, and none of those that answer for their names.
    pub brief: bool,
}

impl Inquiry {
    /// To each of `targets`, 50 datagrams a second, half a second for an answer.
    pub fn new(protocol: Protocol, targets: Vec<SocketAddrV4>) -> Self {
        let (patience, pace) = (Duration::from_millis(500), Duration::from_millis(20));
        Self { protocol, targets, broadcast: None, patience, pace, brief: false }
    }
}

/// A device that answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Where it answers.
    pub address: SocketAddrV4,
    /// What it says of itself.
    pub told: Told,
    /// How long its first answer took.
    pub round_trip: Duration,
}

/// What an inquiry took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Datagrams sent.
    pub sent: u64,
    /// Datagrams that answered no question: garbled, late, or from who was not asked.
    pub strange: u64,
}

/// An inquiry that is being carried out. Dropping it ends it: there is nothing to close.
#[derive(Debug)]
pub struct Asking {
    socket: UdpSocket,
    round: Round,
    clock: Clock,
}

impl Asking {
    /// Begins to ask.
    ///
    /// # Errors
    /// If there is no socket.
    pub async fn begin(inquiry: Inquiry, clock: Clock) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
        if inquiry.broadcast.is_some() {
            socket.set_broadcast(true)?;
        }
        Ok(Self { socket, round: Round::new(inquiry, clock.now()), clock })
    }

    /// What was sent so far.
    pub fn tally(&self) -> Tally {
        self.round.tally
    }

    /// Addresses that have not ended yet.
    pub fn left(&self) -> usize {
        self.round.fresh.len() + self.round.talks.len()
    }

    /// The next device, as soon as it has said all; `None` once everybody has answered or been silent. An address that
    /// cannot be sent to counts as silent. If the future is dropped before it is done, a datagram may be lost.
    pub async fn next(&mut self) -> Option<Found> {
        let mut buffer = [0; LONGEST];
        loop {
            if let Some(found) = self.round.found.pop_front() {
                return Some(found);
            }
            let wait = self.round.due()?.since(self.clock.now());
            tokio::select! {
                received = self.socket.recv_from(&mut buffer) => {
                    // An address that refused an earlier datagram says so here; it stays silent.
                    if let Ok((length, SocketAddr::V4(from))) = received {
                        self.round.hear(from, &buffer[..length], self.clock.now());
                    }
                }
                () = time::sleep(wait) => {
                    if let Some((to, bytes)) = self.round.next(self.clock.now()) {
                        let _ = self.socket.send_to(&bytes, to).await;
                    }
                }
            }
        }
    }
}

/// Who has been asked what. It holds one talk for each address that was asked and has not done.
#[derive(Debug)]
struct Round {
    inquiry: Inquiry,
    mark: [u8; 6],
    /// Not asked yet, in the order they will be.
    fresh: VecDeque<SocketAddrV4>,
    talks: BTreeMap<SocketAddrV4, Conversation>,
    /// Those of `talks` whose next question is due.
    ready: VecDeque<SocketAddrV4>,
    /// When the next datagram may go.
    next: Timestamp,
    /// Until when answers to a broadcast are waited for.
    open: Option<Timestamp>,
    found: VecDeque<Found>,
    tally: Tally,
}

#[derive(Debug)]
struct Conversation {
    talk: Talk,
    asked: Timestamp,
    waiting: bool,
    round_trip: Option<Duration>,
}

#[derive(Clone, Debug)]
enum Talk {
    Enip(enip::Talk),
    Bacnet(bacnet::Talk),
}

impl Round {
    fn new(inquiry: Inquiry, now: Timestamp) -> Self {
        let [_, _, a, b, c, d, e, f] = now.as_micros().to_be_bytes();
        let fresh =
            if inquiry.broadcast.is_some() { VecDeque::new() } else { inquiry.targets.iter().copied().collect() };
        Self {
            mark: [a, b, c, d, e, f],
            fresh,
            talks: BTreeMap::new(),
            ready: VecDeque::new(),
            next: now,
            open: inquiry.broadcast.map(|_| now),
            found: VecDeque::new(),
            tally: Tally::default(),
            inquiry,
        }
    }

    /// When something is to be done; `None` when all is.
    fn due(&self) -> Option<Timestamp> {
        let room = self.talks.len() < MOST_OPEN && !self.fresh.is_empty();
        let asks = (room || !self.ready.is_empty()).then_some(self.next);
        let waits =
            self.talks.values().filter(|talk| talk.waiting).map(|talk| talk.asked + self.inquiry.patience).min();
        [asks, waits, self.open].into_iter().flatten().min()
    }

    /// Gives up on who was silent too long, and says what to send now, if anything.
    fn next(&mut self, now: Timestamp) -> Option<(SocketAddrV4, Vec<u8>)> {
        let late = |talk: &Conversation| talk.waiting && talk.asked + self.inquiry.patience <= now;
        let silent: Vec<_> = self.talks.iter().filter(|(_, talk)| late(talk)).map(|(from, _)| *from).collect();
        for from in silent {
            if let Some(conversation) = self.talks.get_mut(&from) {
                conversation.talk.silent();
            }
            self.go_on(from);
        }
        if self.open.is_some_and(|until| until <= now) {
            self.open = None;
            if let Some(everybody) = self.inquiry.broadcast.take() {
                self.open = Some(now + self.inquiry.patience);
                self.tally.sent += 1;
                return self.talk().question().map(|bytes| (everybody, bytes));
            }
        }
        if now < self.next {
            return None;
        }
        let to = self.ready.pop_front().or_else(|| self.begin())?;
        let conversation = self.talks.get_mut(&to)?;
        let bytes = conversation.talk.question()?;
        (conversation.asked, conversation.waiting) = (now, true);
        self.next = now + self.inquiry.pace;
        self.tally.sent += 1;
        Some((to, bytes))
    }

    fn begin(&mut self) -> Option<SocketAddrV4> {
        if self.talks.len() >= MOST_OPEN {
            return None;
        }
        let to = self.fresh.pop_front()?;
        let talk = self.talk();
        self.talks.insert(to, Conversation { talk, asked: self.next, waiting: false, round_trip: None });
        Some(to)
    }

    fn hear(&mut self, from: SocketAddrV4, bytes: &[u8], now: Timestamp) {
        let called = self.open.is_some() && self.inquiry.broadcast.is_none();
        if called && !self.talks.contains_key(&from) && self.inquiry.targets.contains(&from) {
            let (talk, asked) = (self.talk(), self.next);
            self.talks.insert(from, Conversation { talk, asked, waiting: true, round_trip: None });
        }
        let heard = self.talks.get_mut(&from).filter(|conversation| conversation.waiting);
        let Some(conversation) = heard else { return self.tally.strange += 1 };
        if !conversation.talk.hear(bytes) {
            return self.tally.strange += 1;
        }
        let took = now.since(conversation.asked);
        conversation.round_trip.get_or_insert(took);
        self.go_on(from);
    }

    /// The next question of a talk, or its end.
    fn go_on(&mut self, from: SocketAddrV4) {
        let Some(conversation) = self.talks.get_mut(&from) else { return };
        conversation.waiting = false;
        if conversation.talk.question().is_some() {
            return self.ready.push_back(from);
        }
        let Some(Conversation { talk, round_trip, .. }) = self.talks.remove(&from) else { return };
        // Asked once and for all: what it says later is strange.
        self.inquiry.targets.retain(|target| *target != from);
        if let (Some(told), Some(round_trip)) = (talk.finish(), round_trip) {
            self.found.push_back(Found { address: from, told, round_trip });
        }
    }

    fn talk(&self) -> Talk {
        match self.inquiry.protocol {
            Protocol::Enip => Talk::Enip(enip::Talk::new(self.mark)),
            Protocol::Bacnet if self.inquiry.brief => Talk::Bacnet(bacnet::Talk::brief()),
            Protocol::Bacnet => Talk::Bacnet(bacnet::Talk::new()),
        }
    }
}

impl Talk {
    fn question(&self) -> Option<Vec<u8>> {
        match self {
            Self::Enip(talk) => talk.question(),
            Self::Bacnet(talk) => talk.question(),
        }
    }

    fn hear(&mut self, bytes: &[u8]) -> bool {
        match self {
            Self::Enip(talk) => talk.hear(bytes).is_ok(),
            Self::Bacnet(talk) => talk.hear(bytes).is_ok(),
        }
    }

    fn silent(&mut self) {
        match self {
            Self::Enip(talk) => talk.silent(),
            Self::Bacnet(talk) => talk.silent(),
        }
    }

    fn finish(self) -> Option<Told> {
        match self {
            Self::Enip(talk) => talk.finish().map(Told::Enip),
            Self::Bacnet(talk) => talk.finish().map(Told::Bacnet),
        }
    }
}

/// Addresses that are being asked at once; the others wait.
const MOST_OPEN: usize = 64;
/// The longest datagram that is read whole: a frame on Ethernet.
const LONGEST: usize = 1_500;

#[cfg(test)]
mod tests;
