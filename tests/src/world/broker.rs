//! A broker: retained topics with expiry, subscriptions with wildcards, sessions, wills.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::rc::Rc;

use wayside_core::agent::io::Publication;
use wayside_protocols::time::{Duration, Timestamp};

use super::HostNo;

/// What the broker keeps, retained or for somebody who is away.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub(super) topic: Rc<str>,
    pub(super) payload: Rc<[u8]>,
    until: Timestamp,
    /// At least once: kept for those who are away.
    assured: bool,
}

/// One client's session; it outlives the connection if the broker keeps sessions.
#[derive(Debug)]
struct Session {
    /// The connection it has, or had.
    connection: u32,
    connected: bool,
    will: Publication,
    /// What was published while it was away, at most [`MISSED`]; later messages are dropped.
    missed: Vec<Kept>,
}

/// A broker that does what MQTT 5 says, without the bytes.
#[derive(Debug, Default)]
pub(super) struct Broker {
    pub(super) up: bool,
    /// The share of messages sent at most once that one client does not get, 0 to 1.
    pub(super) loss: f64,
    retained: BTreeMap<Rc<str>, Kept>,
    cleaned: Timestamp,
    subscriptions: Subscriptions,
    sessions: BTreeMap<HostNo, Session>,
}

impl Broker {
    pub(super) fn running() -> Self {
        Self { up: true, ..Self::default() }
    }

    /// Takes a client in, and says whether its session was still there and what it missed.
    pub(super) fn connect(
        &mut self,
        host: HostNo,
        connection: u32,
        will: Publication,
        now: Timestamp,
    ) -> (bool, Vec<Kept>) {
        let before = self.sessions.remove(&host);
        let present = before.is_some();
        let missed = before.into_iter().flat_map(|session| session.missed).filter(|kept| kept.until > now).collect();
        self.sessions.insert(host, Session { connection, connected: true, will, missed: Vec::new() });
        (present, missed)
    }

    /// Whether this is a client's living connection.
    pub(super) fn serves(&self, host: HostNo, connection: u32) -> bool {
        self.up && self.sessions.get(&host).is_some_and(|known| known.connected && known.connection == connection)
    }

    /// A client said goodbye: its will is void.
    pub(super) fn disconnect(&mut self, host: HostNo) {
        self.forget(host);
    }

    /// A connection broke. Its will is to be said unless the client comes back.
    pub(super) fn lose(&mut self, host: HostNo, connection: u32) {
        if let Some(session) = self.sessions.get_mut(&host).filter(|session| session.connection == connection) {
            session.connected = false;
        }
    }

    /// The will of a connection that did not come back.
    pub(super) fn will(&self, host: HostNo, connection: u32) -> Option<Publication> {
        let session = self.sessions.get(&host)?;
        (session.connection == connection && !session.connected).then(|| session.will.clone())
    }

    /// Keeps what is retained, and says who hears it.
    pub(super) fn publish(&mut self, kept: &Kept, retain: bool) -> Vec<(HostNo, u32)> {
        if retain && kept.payload.is_empty() {
            self.retained.remove(&kept.topic);
        } else if retain {
            self.retained.insert(Rc::clone(&kept.topic), kept.clone());
        }
        let hosts = self.subscriptions.to(&kept.topic);
        let mut there = Vec::new();
        for host in hosts {
            let Some(session) = self.sessions.get_mut(&host) else { continue };
            if session.connected {
                there.push((host, session.connection));
            } else {
                session.miss(kept);
            }
        }
        there
    }

    /// A message did not get through to `host`.
    pub(super) fn undelivered(&mut self, host: HostNo, kept: &Kept) {
        if let Some(session) = self.sessions.get_mut(&host) {
            session.miss(kept);
        }
    }

    /// Adds filters, and says what is retained under them.
    pub(super) fn subscribe(&mut self, host: HostNo, filters: Vec<Box<str>>, now: Timestamp) -> Vec<Kept> {
        self.clean(now);
        let mut found = Vec::new();
        for filter in filters {
            let literal = filter.split(['+', '#']).next().unwrap_or_default();
            let from = self.retained.range(Rc::from(literal)..);
            let near = from.take_while(|(topic, _)| topic.starts_with(literal));
            let wanted = near.filter(|(topic, kept)| kept.until > now && fits(&filter, topic));
            found.extend(wanted.map(|(_, kept)| kept.clone()));
            self.subscriptions.add(&filter, host);
        }
        found
    }

    pub(super) fn unsubscribe(&mut self, host: HostNo, filters: &[Box<str>]) {
        filters.iter().for_each(|filter| self.subscriptions.remove(filter, host));
    }

    /// Stops, and forgets what it does not keep on disk. Nobody's will is said: a broker that stops says nothing.
    pub(super) fn stop(&mut self, keeps: Memory) {
        self.up = false;
        self.sessions.values_mut().for_each(|session| session.connected = false);
        if keeps != Memory::All {
            self.sessions.clear();
            self.subscriptions = Subscriptions::default();
        }
        if keeps == Memory::Nothing {
            self.retained.clear();
        }
    }

    /// How many topics are retained at `now`.
    pub(super) fn retained(&self, now: Timestamp) -> impl Iterator<Item = &str> {
        self.retained.values().filter(move |kept| kept.until > now).map(|kept| &*kept.topic)
    }

    /// Forgets what has run out, once a second: there may be ten thousand topics and as many who subscribe.
    fn clean(&mut self, now: Timestamp) {
        if now - self.cleaned >= Duration::from_secs(1) {
            self.cleaned = now;
            self.retained.retain(|_, kept| kept.until > now);
        }
    }

    fn forget(&mut self, host: HostNo) {
        self.sessions.remove(&host);
        self.subscriptions.forget(host);
    }
}

impl Session {
    fn miss(&mut self, kept: &Kept) {
        if kept.assured && self.missed.len() < MISSED {
            self.missed.push(kept.clone());
        }
    }
}

/// What a broker remembers over a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Everything: persistence is on.
    All,
    /// What is retained, but nobody's session.
    Retained,
    /// Nothing.
    Nothing,
}

/// Who listens to what: a tree of topic levels, so that a message finds its readers among ten thousand.
#[derive(Debug, Default)]
struct Subscriptions {
    root: Level,
    by_host: BTreeMap<HostNo, BTreeSet<Box<str>>>,
}

#[derive(Debug, Default)]
struct Level {
    /// Only ever looked up by name, so that its order, which is no order, decides nothing.
    below: HashMap<Box<str>, Self, BuildHasherDefault<DefaultHasher>>,
    hosts: BTreeSet<HostNo>,
}

impl Subscriptions {
    fn add(&mut self, filter: &str, host: HostNo) {
        let mut level = &mut self.root;
        for word in filter.split('/') {
            level = level.below.entry(word.into()).or_default();
        }
        level.hosts.insert(host);
        self.by_host.entry(host).or_default().insert(filter.into());
    }

    fn remove(&mut self, filter: &str, host: HostNo) {
        self.root.remove(filter.split('/'), host);
        if let Some(filters) = self.by_host.get_mut(&host) {
            filters.remove(filter);
        }
    }

    fn forget(&mut self, host: HostNo) {
        for filter in self.by_host.remove(&host).unwrap_or_default() {
            self.root.remove(filter.split('/'), host);
        }
    }

    fn to(&self, topic: &str) -> BTreeSet<HostNo> {
        let mut found = BTreeSet::new();
        let levels: Vec<&str> = topic.split('/').collect();
        self.root.to(&levels, &mut found);
        found
    }
}

impl Level {
    fn remove<'a>(&mut self, mut words: impl Iterator<Item = &'a str>, host: HostNo) {
        let Some(word) = words.next() else {
            self.hosts.remove(&host);
            return;
        };
        if let Some(level) = self.below.get_mut(word) {
            // A recursion as deep as a filter has levels.
            level.remove(&mut words as &mut dyn Iterator<Item = &'a str>, host);
            if level.below.is_empty() && level.hosts.is_empty() {
                self.below.remove(word);
            }
        }
    }

    fn to(&self, words: &[&str], found: &mut BTreeSet<HostNo>) {
        if let Some(all) = self.below.get("#") {
            found.extend(&all.hosts);
        }
        let Some((word, rest)) = words.split_first() else { return found.extend(&self.hosts) };
        for level in ["+", word].iter().filter_map(|word| self.below.get(*word)) {
            level.to(rest, found);
        }
    }
}

impl Kept {
    /// Whether it is sent at least once.
    pub(super) fn assured(&self) -> bool {
        self.assured
    }

    pub(super) fn of(said: Publication, now: Timestamp) -> Self {
        let until = said.expiry.map_or(Timestamp::NEVER, |expiry| now + expiry);
        Self { topic: said.topic.into(), payload: said.payload.into(), until, assured: said.assured }
    }
}

/// Whether `filter` matches `topic` (MQTT 5 section 4.7).
fn fits(filter: &str, topic: &str) -> bool {
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        if wanted == "#" {
            return true;
        }
        match levels.next() {
            Some(level) if wanted == "+" || wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

/// Messages kept for somebody who is away.
const MISSED: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plus_stands_for_one_level_and_a_hash_for_the_rest() {
        assert!(fits("wayside/1/p/+", "wayside/1/p/a"));
        assert!(!fits("wayside/1/p/+", "wayside/1/p/a/b"));
        assert!(!fits("wayside/1/p/+/+", "wayside/1/p/a"));
        assert!(fits("wayside/#", "wayside/1/p/a"));
        assert!(fits("wayside/1/a/+/+/x/a/b", "wayside/1/a/1/2/x/a/b"));
    }

    #[test]
    fn the_tree_finds_whoever_has_a_filter_that_fits() {
        let filters =
            ["wayside/1/p/+", "wayside/1/p/a", "wayside/#", "wayside/1/p/+/+", "wayside/1/a/+/+/x/a/b", "+/1/p/b"];
        let mut tree = Subscriptions::default();
        filters.iter().enumerate().for_each(|(n, filter)| tree.add(filter, HostNo(n)));
        for topic in
            ["wayside/1/p/a", "wayside/1/p/b", "wayside/1/p/a/b", "wayside/1/a/1/2/x/a/b", "wayside", "x/1/p/b"]
        {
            let wanted = (0..filters.len()).filter(|n| fits(filters[*n], topic)).map(HostNo);
            assert_eq!(tree.to(topic), wanted.collect(), "{topic}");
        }
        (0..filters.len()).for_each(|n| tree.forget(HostNo(n)));
        assert!(tree.root.below.is_empty());
    }
}
