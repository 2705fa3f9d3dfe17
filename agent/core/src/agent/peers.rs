//! Other agents as the broker shows them: which life they are in, which of their beacons is the newest, and whether
//! there may be two of them.

mod seats;
mod spoken;

use wayside_protocols::mqtt::beacon::Glimpse;
use wayside_protocols::mqtt::presence::{Presence, State};
use wayside_protocols::service::{AgentId, NameError};
use wayside_protocols::time::{Duration, Timestamp};

use crate::catalog::Place;
use crate::dice::keyed;
use seats::Seats;
use spoken::Spoken;
pub(super) use spoken::{Doubt, FASTEST};

/// Agents heard of, at most as many as the limit allows; the ones heard longest ago are forgotten first.
#[derive(Debug)]
pub(super) struct Peers {
    limit: usize,
    seed: u64,
    /// Where each lies, by its keyed id: a beacon costs a look at numbers, not a search among names.
    seats: Seats,
    known: Vec<Option<Peer>>,
    free: Vec<u32>,
    room: Room,
}

#[derive(Debug)]
struct Peer {
    id: AgentId,
    born: Option<u32>,
    /// When it said so.
    since: Timestamp,
    lost: bool,
    /// Where the catalog has it.
    row: Option<Place>,
    spoken: Option<Spoken>,
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

/// What a beacon means.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum News {
    /// It is the newest. Where the catalog had its agent, and whether what it offers has changed.
    Newest { row: Option<Place>, changed: bool },
    /// It is not to be believed.
    Doubted(Doubt),
    /// It is of somebody new, and there are too many of them at once.
    Crowd,
    /// Its id is none.
    Nameless(NameError),
}

impl Peers {
    pub(super) fn new(limit: usize, seed: u64) -> Self {
        let room = Room { left: NEWCOMERS, counted: Timestamp::START };
        Self { limit, seed, seats: Seats::default(), known: Vec::new(), free: Vec::new(), room }
    }

    pub(super) fn presence(&mut self, agent: &AgentId, presence: &Presence, now: Timestamp) -> Word {
        let peer = self.peer(agent, now);
        if !presence.supersedes(peer.born) {
            return Word::Stale;
        }
        if peer.born != Some(presence.epoch) {
            (peer.born, peer.since) = (Some(presence.epoch), now);
        }
        peer.lost = presence.state != State::Online;
        if peer.lost { Word::Gone } else { Word::There }
    }

    /// Takes in a beacon.
    pub(super) fn beacon(&mut self, beacon: &Glimpse<'_>, now: Timestamp) -> News {
        let Some(seat) = self.seat(beacon.agent) else { return self.newcomer(beacon, now) };
        let Some(peer) = self.known.get_mut(seat).and_then(Option::as_mut) else { return News::Crowd };
        peer.heard = now;
        let spoken = peer.spoken.get_or_insert_with(|| Spoken::nothing(now));
        match spoken.take(beacon, now) {
            Ok(changed) => {
                peer.lost = false;
                News::Newest { row: peer.row, changed }
            }
            Err(doubt) => News::Doubted(doubt),
        }
    }

    /// The catalog has `agent` in `row`.
    pub(super) fn lies(&mut self, agent: &AgentId, row: Option<Place>) {
        if let Some(peer) = self.get_mut(agent.as_str()) {
            peer.row = row;
        }
    }

    /// Whether the agent's own beacons tell where it is better than its presence does.
    pub(super) fn beaconing(&self, agent: &AgentId, now: Timestamp) -> bool {
        let spoken = self.get(agent.as_str()).and_then(|peer| peer.spoken.as_ref());
        spoken.is_some_and(|spoken| spoken.until > now)
    }

    /// Whether the broker has said that the agent is gone.
    pub(super) fn lost(&self, agent: &AgentId) -> bool {
        self.get(agent.as_str()).is_some_and(|peer| peer.lost)
    }

    /// Nobody says any longer that `agent` is lost.
    pub(super) fn found(&mut self, agent: &AgentId) {
        if let Some(peer) = self.get_mut(agent.as_str()) {
            peer.lost = false;
        }
    }

    /// The life the broker says `agent` is in, if it is another than `epoch`, heard elsewhere at `now`, and has been for
    /// long enough that the word for an earlier life is no longer on its way.
    pub(super) fn other_life(&self, agent: &AgentId, epoch: u32, now: Timestamp) -> Option<u32> {
        let peer = self.get(agent.as_str()).filter(|peer| !peer.lost && now - peer.since > RESTART)?;
        peer.born.filter(|born| *born != epoch)
    }

    /// The life the broker says `agent` is in.
    pub(super) fn life(&self, agent: &AgentId) -> Option<u32> {
        self.get(agent.as_str())?.born
    }

    pub(super) fn len(&self) -> usize {
        self.seats.len()
    }

    fn seat(&self, agent: &str) -> Option<usize> {
        let seat = self.seats.get(keyed(self.seed, agent))? as usize;
        let peer = self.known.get(seat)?.as_ref()?;
        (peer.id.as_str() == agent).then_some(seat)
    }

    fn get(&self, agent: &str) -> Option<&Peer> {
        self.known.get(self.seat(agent)?)?.as_ref()
    }

    fn get_mut(&mut self, agent: &str) -> Option<&mut Peer> {
        let seat = self.seat(agent)?;
        self.known.get_mut(seat)?.as_mut()
    }

    /// Strangers are let in a thousand a second, so that who makes up names does not push out who is really there.
    fn newcomer(&mut self, beacon: &Glimpse<'_>, now: Timestamp) -> News {
        let id: AgentId = match beacon.agent.parse() {
            Ok(id) => id,
            Err(error) => return News::Nameless(error),
        };
        if !self.room.take(now) {
            return News::Crowd;
        }
        let peer = self.peer(&id, now);
        let mut spoken = Spoken::nothing(now);
        // Nothing was heard before that could be doubted.
        let changed = spoken.take(beacon, now).unwrap_or(true);
        peer.spoken = Some(spoken);
        News::Newest { row: None, changed }
    }

    fn peer(&mut self, agent: &AgentId, now: Timestamp) -> &mut Peer {
        let seat = match self.seat(agent.as_str()) {
            Some(seat) => seat,
            None => self.admit(agent, now),
        };
        let stranger =
            || Peer { id: agent.clone(), born: None, since: now, lost: false, row: None, spoken: None, heard: now };
        let peer = self.known[seat].get_or_insert_with(stranger);
        peer.heard = now;
        peer
    }

    fn admit(&mut self, agent: &AgentId, now: Timestamp) -> usize {
        if self.seats.len() >= self.limit {
            self.forget_an_eighth(now);
        }
        let seat = self.free.pop().unwrap_or_else(|| {
            self.known.push(None);
            self.known.len() as u32 - 1
        });
        // Two names with one number would be found once in 2^64; then the earlier is forgotten.
        if let Some(other) = self.seats.insert(keyed(self.seed, agent.as_str()), seat) {
            self.known[other as usize] = None;
            self.free.push(other);
        }
        seat as usize
    }

    /// Room for several at once, so that a flood of names does not pay for a search with each.
    fn forget_an_eighth(&mut self, now: Timestamp) {
        let mut heard: Vec<Timestamp> = self.known.iter().flatten().map(|peer| peer.heard).collect();
        if heard.is_empty() {
            return;
        }
        let nth = heard.len() / 8;
        let (_, edge, _) = heard.select_nth_unstable(nth);
        let edge = (*edge).min(now);
        let mut room = nth + 1;
        for (seat, known) in self.known.iter_mut().enumerate() {
            if room > 0 && known.as_ref().is_some_and(|peer| peer.heard <= edge) {
                room -= 1;
                *known = None;
                self.free.push(seat as u32);
            }
        }
        let known = &self.known;
        self.seats.retain(|seat| known[seat as usize].is_some());
    }
}

/// How many strangers may still come.
#[derive(Debug)]
struct Room {
    left: u32,
    counted: Timestamp,
}

impl Room {
    fn take(&mut self, now: Timestamp) -> bool {
        let millis = u32::try_from((now - self.counted).as_millis()).unwrap_or(u32::MAX);
        if millis > 0 {
            // One a millisecond.
            self.left = self.left.saturating_add(millis).min(NEWCOMERS);
            self.counted = now;
        }
        let taken = self.left > 0;
        self.left -= u32::from(taken);
        taken
    }
}

/// Strangers that may come at once; then one a millisecond.
const NEWCOMERS: u32 = 4_096;
/// How long the word for an earlier life may still be on its way after an agent has started again.
const RESTART: Duration = Duration::from_secs(10);

#[cfg(test)]
#[path = "peers/tests.rs"]
mod tests;
