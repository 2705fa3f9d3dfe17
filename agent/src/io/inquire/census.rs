//! Asks the addresses of a segment by datagram for as long as the agent runs: all of them now and once an hour, and in
//! between those that answered, by one datagram each.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;

use tokio::time::sleep;
use tracing::{info, warn};
use wayside_protocols::device::Told;
use wayside_protocols::modbus::translate::Placement;
use wayside_protocols::service::AgentId;
use wayside_protocols::sighting::Sighting;
use wayside_protocols::time::{Duration, Timestamp};

use super::{Asking, Found, Inquiry, Protocol};
use crate::clock::Clock;
use crate::driver::{Inbox, Message};

/// Whom to ask, and what becomes of those that answer.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whose devices they become.
    pub agent: AgentId,
    /// What is spoken.
    pub protocol: Protocol,
    /// Every address that may be asked.
    pub targets: Vec<SocketAddrV4>,
    /// What is said of their devices.
    pub placement: Placement,
    /// How often a device is asked.
    pub interval: Duration,
}

/// Asks until the agent stops.
pub async fn run(settings: Settings, inbox: Inbox, clock: Clock) {
    let census = Census { settings, inbox: inbox.clone(), known: BTreeMap::new() };
    tokio::select! {
        () = inbox.closed() => {}
        () = census.keep(clock) => {}
    }
}

/// Waits until `then`: tokio's timers stand still while the host sleeps.
async fn wait(then: Timestamp, clock: Clock) {
    while clock.now() < then {
        sleep(then.since(clock.now()).min(RECHECK)).await;
    }
}

struct Census {
    settings: Settings,
    inbox: Inbox,
    /// Those that answered, and how often in a row they have not since then. As many as there are targets at the most.
    known: BTreeMap<SocketAddrV4, (Told, u8)>,
}

impl Census {
    async fn keep(mut self, clock: Clock) {
        let mut anew = clock.now();
        loop {
            let now = clock.now();
            let all = now >= anew;
            if all {
                anew = now + ANEW;
            }
            self.ask(all, clock).await;
            let next = if self.known.is_empty() { anew } else { anew.min(now + self.settings.interval) };
            wait(next, clock).await;
        }
    }

    /// One round: of `all` addresses, or of those that have answered before.
    async fn ask(&mut self, all: bool, clock: Clock) {
        let Settings { protocol, targets, .. } = &self.settings;
        let asked = if all { targets.clone() } else { self.known.keys().copied().collect() };
        let inquiry = Inquiry { brief: !all, ..Inquiry::new(*protocol, asked.clone()) };
        let mut asking = match Asking::begin(inquiry, clock).await {
            Ok(asking) => asking,
            Err(error) => {
                warn!(%error, "no socket to ask devices by");
                return;
            }
        };
        let mut silent: Vec<SocketAddrV4> = asked;
        while let Some(found) = asking.next().await {
            silent.retain(|address| *address != found.address);
            self.found(found).await;
        }
        for address in silent {
            self.missed(address).await;
        }
    }

    async fn found(&mut self, found: Found) {
        let Settings { agent, placement, interval, .. } = &self.settings;
        // Who is only asked whether it is there does not say again what it is called.
        let told = match self.known.remove(&found.address) {
            Some((known, _)) if known.same(&found.told) && known.model().is_some() => known,
            Some((known, _)) if !known.same(&found.told) => {
                info!(address = %found.address, "another device answers in its place");
                let gone = known.service(agent, found.address, placement, found.round_trip).id;
                self.inbox.tell(Message::Heard(Sighting::gone(known.source(), gone))).await;
                found.told
            }
            Some(_) | None => found.told,
        };
        let service = told.service(agent, found.address, placement, found.round_trip);
        let ttl = (*interval * 6).max(Duration::from_secs(60));
        let source = told.source();
        self.known.insert(found.address, (told, 0));
        self.inbox.tell(Message::Heard(Sighting::alive(source, service, ttl))).await;
    }

    async fn missed(&mut self, address: SocketAddrV4) {
        let Settings { agent, placement, .. } = &self.settings;
        let Some((told, misses)) = self.known.get_mut(&address) else { return };
        *misses += 1;
        if *misses < MISSES {
            return;
        }
        info!(%address, "a device is gone");
        let (source, id) = (told.source(), told.service(agent, address, placement, Duration::ZERO).id);
        self.known.remove(&address);
        self.inbox.tell(Message::Heard(Sighting::gone(source, id))).await;
    }
}

/// How often every address is asked.
const ANEW: Duration = Duration::from_secs(3_600);
/// Rounds in a row without an answer after which a device is gone.
const MISSES: u8 = 3;
/// The longest wait.
const RECHECK: Duration = Duration::from_secs(1);
