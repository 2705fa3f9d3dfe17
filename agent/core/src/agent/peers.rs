//! Other agents as the broker shows them: which life they are in, and which of their beacons is the newest.

use std::collections::BTreeMap;

use wayside_protocols::mqtt::presence::{Presence, State};
use wayside_protocols::service::AgentId;
use wayside_protocols::time::Timestamp;

/// Agents heard of, at most as many as the limit allows; the ones heard longest ago are forgotten first.
#[derive(Debug)]
pub(super) struct Peers {
    limit: usize,
    known: BTreeMap<AgentId, Peer>,
}

#[derive(Clone, Copy, Debug)]
struct Peer {
    born: Option<u32>,
    lost: bool,
    beacon: Option<(u32, u16)>,
    beaconing_until: Timestamp,
    heard: Timestamp,
}

/// What a presence means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// It is there.
    There,
    /// It is gone, and so is all it announced.
    Gone,
    /// It speaks of an earlier life.
    Stale,
}

impl Peers {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, known: BTreeMap::new() }
    }

    pub(super) fn presence(&mut self, agent: &AgentId, presence: &Presence, now: Timestamp) -> Word {
        let peer = self.peer(agent, now);
        if !presence.supersedes(peer.born) {
            return Word::Stale;
        }
        peer.born = Some(presence.epoch);
        peer.lost = presence.state != State::Online;
        if peer.lost { Word::Gone } else { Word::There }
    }

    /// Whether a beacon of this life and number is newer than any before (RFC 1982 arithmetic). `until` is how long
    /// it holds.
    pub(super) fn beacon(&mut self, agent: &AgentId, number: (u32, u16), until: Timestamp, now: Timestamp) -> bool {
        let peer = self.peer(agent, now);
        let newer = peer.beacon.is_none_or(|(epoch, sequence)| {
            number.0 > epoch || (number.0 == epoch && number.1 != sequence && number.1.wrapping_sub(sequence) < 0x8000)
                // Nothing for so long that it may have lost its state and begun again.
                || peer.beaconing_until <= now
        });
        if newer {
            peer.beacon = Some(number);
            peer.beaconing_until = until;
            peer.lost = false;
        }
        newer
    }

    /// Whether the agent's own beacons tell where it is better than its presence does.
    pub(super) fn beaconing(&self, agent: &AgentId, now: Timestamp) -> bool {
        self.known.get(agent).is_some_and(|peer| peer.beaconing_until > now)
    }

    /// Whether the broker has said that the agent is gone.
    pub(super) fn lost(&self, agent: &AgentId) -> bool {
        self.known.get(agent).is_some_and(|peer| peer.lost)
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    fn peer(&mut self, agent: &AgentId, now: Timestamp) -> &mut Peer {
        if self.known.len() >= self.limit && !self.known.contains_key(agent) {
            self.forget_an_eighth();
        }
        let unknown = Peer { born: None, lost: false, beacon: None, beaconing_until: Timestamp::START, heard: now };
        let peer = self.known.entry(agent.clone()).or_insert(unknown);
        peer.heard = now;
        peer
    }

    /// Room for several at once, so that a flood of names does not pay for a search with each.
    fn forget_an_eighth(&mut self) {
        let mut heard: Vec<Timestamp> = self.known.values().map(|peer| peer.heard).collect();
        let nth = heard.len() / 8;
        let (_, edge, _) = heard.select_nth_unstable(nth);
        let edge = *edge;
        let mut room = nth + 1;
        self.known.retain(|_, peer| {
            let goes = peer.heard <= edge && room > 0;
            room -= usize::from(goes);
            !goes
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wayside_protocols::time::Duration;

    fn agent(name: &str) -> AgentId {
        name.parse().unwrap()
    }

    #[test]
    fn a_will_of_an_earlier_life_is_not_believed() {
        let mut peers = Peers::new(8);
        let online = |epoch| Presence { state: State::Online, ..Presence::will(epoch) };
        assert_eq!(peers.presence(&agent("a"), &online(7), Timestamp::START), Word::There);
        assert_eq!(peers.presence(&agent("a"), &Presence::will(6), Timestamp::START), Word::Stale);
        assert!(!peers.lost(&agent("a")));
        assert_eq!(peers.presence(&agent("a"), &Presence::will(7), Timestamp::START), Word::Gone);
        assert!(peers.lost(&agent("a")));
    }

    #[test]
    fn replayed_and_reordered_beacons_are_old_even_when_numbers_wrap() {
        let mut peers = Peers::new(8);
        let a = agent("a");
        let until = Timestamp::START + Duration::from_secs(3);
        assert!(peers.beacon(&a, (1, 65_535), until, Timestamp::START));
        assert!(peers.beacon(&a, (1, 0), until, Timestamp::START));
        assert!(!peers.beacon(&a, (1, 65_535), until, Timestamp::START));
        assert!(!peers.beacon(&a, (1, 0), until, Timestamp::START));
        assert!(peers.beacon(&a, (2, 0), until, Timestamp::START));
        assert!(!peers.beacon(&a, (1, 9), until, Timestamp::START));
    }

    #[test]
    fn a_flood_of_names_stays_within_the_cap() {
        let mut peers = Peers::new(64);
        for n in 0..10_000u64 {
            peers.beacon(&agent(&format!("a{n}")), (1, 1), Timestamp::NEVER, Timestamp::from_micros(n));
        }
        assert!(peers.len() <= 64);
        assert!(peers.beaconing(&agent("a9999"), Timestamp::from_micros(10_000)));
    }
}
