//! What the node knows of the bucket, from what the watch delivers.

use std::collections::BTreeMap;

use wayside_core::registry::Footing;
use wayside_protocols::mqtt::announcement::Announcement;
use wayside_protocols::registry::rows::Rows;
use wayside_protocols::service::{AgentId, Label, Service, ServiceId};
use wayside_protocols::sighting::{Sighting, Source};
use wayside_protocols::time::{Duration, Timestamp};

use super::keys::Keys;
use super::wire::Message;
use super::write::Before;
use crate::driver::Message as Word;
use crate::io::engine::{About, Node};

pub(super) struct Known {
    keys: Keys,
    pub(super) node: Node,
    agents: BTreeMap<AgentId, Held>,
    /// How often everything was listed; what was not met in the last round is gone.
    round: u32,
    listing: bool,
    /// The number up to which everything is known, of which bucket, and when that was so.
    seen: Option<(u64, String, Timestamp)>,
    /// Deliveries of this watch.
    delivered: u64,
    listed: Timestamp,
}

#[derive(Default)]
struct Held {
    before: Before,
    round: u32,
    rows: BTreeMap<Label, Row>,
}

struct Row {
    round: u32,
    /// The row, as long as it is not known whether its agent is there.
    waits: Option<Service>,
}

/// Rows of an agent before this number of the stream, which nobody offers any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Litter {
    pub(super) agent: AgentId,
    pub(super) before: u64,
}

impl Known {
    pub(super) fn new(keys: Keys, node: Node) -> Self {
        let listed = node.clock.now();
        Self { keys, node, agents: BTreeMap::new(), round: 0, listing: false, seen: None, delivered: 0, listed }
    }

    /// What is known of an agent, for whoever writes.
    pub(super) fn before(&self, agent: &AgentId) -> Before {
        self.agents.get(agent).map(|held| held.before.clone()).unwrap_or_default()
    }

    /// Where the watch of the bucket made at `created`, which stands at `last`, begins; `None` if everything has to be
    /// listed. Called before each watch.
    pub(super) fn begin(&mut self, created: &str, last: u64) -> Option<u64> {
        self.delivered = 0;
        let now = self.node.clock.now();
        let goes_on = |(seen, bucket, at): &(u64, String, Timestamp)| {
            *seen <= last && bucket == created && now - *at < AWAY && now - self.listed < RELIST
        };
        if let Some((seen, ..)) = self.seen.as_ref().filter(|seen| goes_on(seen)) {
            return Some(seen + 1);
        }
        (self.round, self.listing) = (self.round + 1, true);
        self.seen = Some((0, created.to_owned(), now));
        None
    }

    /// Why everything has to be listed anew, seen from where the bucket stands.
    pub(super) fn astray(&self, created: &str, last: u64) -> Option<&'static str> {
        let (seen, bucket, _) = self.seen.as_ref()?;
        if bucket != created {
            Some("the bucket is another one than before")
        } else if *seen > last {
            Some("the bucket stands at an earlier number than before")
        } else if self.node.clock.now() - self.listed > RELIST {
            Some("it was last listed long ago")
        } else {
            None
        }
    }

    pub(super) fn ready(&self) -> bool {
        self.seen.is_some() && !self.listing
    }

    /// How the node stands when the connection is lost.
    pub(super) fn lost(&self, why: &str) -> Footing {
        if self.ready() { Footing::Lost(why.into()) } else { Footing::CatchingUp }
    }

    /// The server has nothing to deliver.
    pub(super) async fn nothing_to_list(&mut self) -> Vec<Litter> {
        if self.listing { self.caught_up().await } else { Vec::new() }
    }

    /// Takes in one delivery. What it leaves behind as litter is returned.
    ///
    /// # Errors
    /// What was lost on the way.
    pub(super) async fn take(&mut self, message: &Message) -> Result<Vec<Litter>, String> {
        let Some(place) = message.reply.as_deref().and_then(Place::read) else {
            return Err(format!("a delivery without its number: {:?}", message.reply));
        };
        if place.delivery != self.delivered + 1 {
            return Err(format!("delivery {} came after {}", place.delivery, self.delivered));
        }
        self.delivered = place.delivery;
        let mut litter = self.change(message, place.number).await;
        if let Some((seen, _, at)) = &mut self.seen {
            *seen = place.number.max(*seen);
            *at = self.node.clock.now();
        }
        if self.listing && place.to_come == 0 {
            litter.extend(self.caught_up().await);
        }
        Ok(litter)
    }

    /// What the server says while it has nothing to deliver.
    ///
    /// # Errors
    /// As [`Known::take`].
    pub(super) fn beat(&mut self, message: &Message) -> Result<(), String> {
        if let Some((_, _, at)) = &mut self.seen {
            *at = self.node.clock.now();
        }
        let last = message.header("Nats-Last-Consumer").and_then(|last| last.parse::<u64>().ok());
        match last.filter(|last| *last != self.delivered) {
            Some(last) => Err(format!("{last} were delivered, and {} came", self.delivered)),
            None => Ok(()),
        }
    }

    async fn change(&mut self, message: &Message, number: u64) -> Vec<Litter> {
        let ran_out = message.header("Nats-Marker-Reason").is_some();
        let gone = ran_out || matches!(message.header("KV-Operation"), Some("DEL" | "PURGE"));
        match self.keys.about(&message.subject) {
            Some(About::Agent(agent)) if gone => {
                let offered = self.drop_agent(&agent).await;
                if ran_out && offered { vec![Litter { agent, before: number }] } else { Vec::new() }
            }
            Some(About::Row(agent, id)) if gone => {
                self.drop_row(&agent, &id).await;
                Vec::new()
            }
            Some(About::Agent(agent)) => {
                self.meet(agent, &message.payload, number).await;
                Vec::new()
            }
            Some(About::Row(agent, id)) => {
                self.offer(agent, id, &message.payload).await;
                Vec::new()
            }
            None => {
                tracing::warn!(subject = %message.subject.escape_debug(), "what stands there is no row");
                Vec::new()
            }
        }
    }

    async fn meet(&mut self, agent: AgentId, payload: &[u8], number: u64) {
        let Some(told) = Rows::decode(payload).ok().filter(|told| told.agent == agent) else {
            return tracing::warn!(%agent, "what is said of it is no word of an agent");
        };
        let presence = told.presence(self.node.clock.now());
        let held = self.agents.entry(agent).or_default();
        // Most often it only says again that it is there.
        let news = held.before.presence.as_ref().is_none_or(|(_, known)| known != payload);
        held.before.presence = Some((told.epoch, payload.to_vec()));
        (held.before.number, held.round) = (number, self.round);
        let waited: Vec<Service> = held.rows.values_mut().filter_map(|row| row.waits.take()).collect();
        if news {
            self.tell(presence).await;
        }
        for service in waited {
            self.tell(service).await;
        }
    }

    async fn offer(&mut self, agent: AgentId, id: Label, payload: &[u8]) {
        let (now, wall) = (self.node.clock.now(), self.node.clock.wall());
        let row = Announcement::decode(payload).ok().and_then(|row| row.announcement.offered_by(&agent, wall, now));
        let Some(service) = row.filter(|service| service.id == ServiceId::of(&id, &agent)) else {
            return tracing::warn!(%agent, %id, "what stands there is no row");
        };
        let held = self.agents.entry(agent).or_default();
        let there = held.before.presence.is_some() && held.round == self.round;
        held.before.ids.insert(id.clone());
        let waits = (!there).then(|| service.clone());
        held.rows.insert(id, Row { round: self.round, waits });
        if there {
            self.tell(service).await;
        }
    }

    /// Whether it offered anything.
    async fn drop_agent(&mut self, agent: &AgentId) -> bool {
        let Some(held) = self.agents.remove(agent) else { return false };
        for id in held.rows.keys() {
            self.forget(ServiceId::of(id, agent)).await;
        }
        self.forget(ServiceId::agent(agent)).await;
        !held.rows.is_empty()
    }

    async fn drop_row(&mut self, agent: &AgentId, id: &Label) {
        if let Some(held) = self.agents.get_mut(agent) {
            held.before.ids.remove(id);
            held.rows.remove(id);
        }
        self.forget(ServiceId::of(id, agent)).await;
    }

    /// Everything was listed: what was not met is gone, and rows of whom nobody says that it is there are litter.
    async fn caught_up(&mut self) -> Vec<Litter> {
        self.listing = false;
        self.listed = self.node.clock.now();
        let seen = self.seen.as_ref().map_or(0, |(seen, ..)| *seen);
        let (mut litter, mut gone) = (Vec::new(), Vec::new());
        let round = self.round;
        for (agent, held) in &mut self.agents {
            if held.before.presence.is_none() || held.round != round {
                litter.push(Litter { agent: agent.clone(), before: seen + 1 });
                continue;
            }
            let old = |row: &Row| row.round != round;
            let past: Vec<Label> = held.rows.iter().filter(|(_, row)| old(row)).map(|(id, _)| id.clone()).collect();
            for id in past {
                held.before.ids.remove(&id);
                held.rows.remove(&id);
                gone.push(ServiceId::of(&id, agent));
            }
        }
        for agent in &litter {
            self.drop_agent(&agent.agent).await;
        }
        for id in gone {
            self.forget(id).await;
        }
        tracing::info!(agents = self.agents.len(), number = seen, "the engine is listed");
        litter
    }

    async fn tell(&self, service: Service) {
        // The engine says when it goes.
        self.node.inbox.tell(Word::Heard(Sighting::alive(Source::Region, service, Duration::MAX))).await;
    }

    async fn forget(&self, id: ServiceId) {
        self.node.inbox.tell(Word::Heard(Sighting::gone(Source::Region, id))).await;
    }
}

/// Which delivery a message is: `$JS.ACK.[domain.account.]stream.consumer.times.number.delivery.time.to come[.random]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    number: u64,
    delivery: u64,
    to_come: u64,
}

impl Place {
    fn read(reply: &str) -> Option<Self> {
        let tokens: Vec<&str> = reply.strip_prefix("$JS.ACK.")?.split('.').collect();
        let first = match tokens.len() {
            7 => 3,
            9.. => 5,
            _ => return None,
        };
        let number = |at: usize| tokens.get(first + at)?.parse().ok();
        Some(Self { number: number(0)?, delivery: number(1)?, to_come: number(3)? })
    }
}

/// How long the node may have been away: the word that something is gone stays for an hour.
const AWAY: Duration = Duration::from_secs(1_800);
/// How often everything is listed anew, so that a row lost on the way does not stay lost.
const RELIST: Duration = Duration::from_secs(6 * 3_600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_says_which_it_is() {
        let place = Some(Place { number: 7, delivery: 3, to_come: 2 });
        assert_eq!(Place::read("$JS.ACK.KV_w.gAz.1.7.3.1795411515489081325.2"), place);
        assert_eq!(Place::read("$JS.ACK.eu.hash.KV_w.gAz.1.7.3.1795411515489081325.2.rnd"), place);
        for other in ["", "$JS.ACK.a.b", "$JS.ACK.a.b.1.x.3.4.5", "_INBOX.1.2"] {
            assert_eq!(Place::read(other), None, "{other}");
        }
    }
}
