//! What is known and where it stands, kept in step.

use std::sync::Arc;

use wayside_protocols::place::{Fix, Position};
use wayside_protocols::service::{AgentId, Kind, Service, ServiceId};
use wayside_protocols::sighting::{Claim, Sighting, Source};
use wayside_protocols::time::{Duration, Timestamp};

use crate::catalog::{Catalog, Change, Disbelief, Entry, Place, Slot};
use crate::geo::{GeoIndex, Key, Population};
use crate::limits::Limits;
use crate::watch::Stance;
use crate::whereabouts::{Lost, Whereabouts, whereabouts};

/// The catalog and the geo index over it.
///
/// The index holds every service that has a fix of its own, and this agent's own services where the agent stands.
/// What another agent offers without a fix rides along: it is found through its agent's presence.
#[derive(Debug)]
pub struct Neighbourhood {
    me: AgentId,
    own: Option<Fix>,
    catalog: Catalog,
    geo: GeoIndex,
    /// How many placements the index had seen when it was last kept, and when that was.
    moved: u64,
    maintained: Timestamp,
}

impl Neighbourhood {
    /// Nothing known yet, seen by `me`.
    pub fn new(me: AgentId, limits: Limits) -> Self {
        let (catalog, geo) = (Catalog::new(limits), GeoIndex::new());
        Self { me, own: None, catalog, geo, moved: 0, maintained: Timestamp::START }
    }

    /// What is believed.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Where things stand.
    pub fn geo(&self) -> &GeoIndex {
        &self.geo
    }

    /// This agent.
    pub fn me(&self) -> &AgentId {
        &self.me
    }

    /// Where this agent stands, as far as it knows.
    pub fn own(&self) -> Option<Fix> {
        self.own
    }

    /// Where this agent stands at `now`.
    ///
    /// # Errors
    /// [`Lost`] if nobody has said, or too long ago.
    pub fn here(&self, now: Timestamp) -> Result<Whereabouts, Lost> {
        whereabouts(self.own.as_ref(), now)
    }

    /// This agent now stands at `fix`, and so does what it offers without a place of its own.
    pub fn stand(&mut self, fix: Fix) {
        self.own = Some(fix);
        let riders: Vec<Slot> = self.catalog.offered_by(&self.me).map(|(slot, _)| slot).collect();
        for slot in riders {
            self.place(slot);
        }
    }

    /// Takes in a sighting, making room if there is none, and says what is believed differently: the service itself
    /// last, after what had to go for it.
    ///
    /// # Errors
    /// [`Disbelief`] if it is not believed.
    pub fn observe(&mut self, sighting: Sighting, now: Timestamp) -> Result<Vec<Change>, Disbelief> {
        let mut changes = Vec::new();
        let id = sighting.id().clone();
        let slot = self.catalog.slot(&id);
        if let Claim::Alive { service, .. } = &sighting.claim
            && slot.is_none()
            && self.catalog.full()
        {
            changes = self.make_room(sighting.source, service.critical, now);
        }
        let change = self.catalog.observe(sighting, now)?;
        match (slot, self.catalog.slot(&id)) {
            // A refresh may carry a newer fix without being news.
            (_, Some(slot)) => self.place(slot),
            (Some(slot), None) => self.unplace(slot),
            (None, None) => {}
        }
        changes.extend(change);
        Ok(changes)
    }

    /// Moves the agent that [`Catalog::advance`] finds at `place`, and says how it shows itself then; `None` if there is
    /// more to it, and [`Neighbourhood::observe`] has to be told.
    pub fn advance(
        &mut self,
        place: Place,
        (kind, fix): (Kind, Fix),
        ttl: Duration,
        now: Timestamp,
    ) -> Option<&Arc<Service>> {
        let shown = self.catalog.advance(place, Source::Mqtt, (kind, fix), ttl, now)?;
        // As in `place`: nothing is refused here.
        let key = Key(place.slot.0);
        if self.geo.place_among(key, &fix, population(kind)).is_err() {
            self.geo.remove(key);
        }
        Some(shown)
    }

    /// Forgets one service whose last word has run out. Said again until it says `None`.
    pub fn expire(&mut self, now: Timestamp) -> Option<Change> {
        let (slot, change) = self.catalog.expire(now)?;
        match &change {
            Change::Departed(_) => self.unplace(slot),
            Change::Appeared(_) | Change::Updated(_) | Change::Moved(_) => self.place(slot),
        }
        Some(change)
    }

    /// Where `id` stands at `now`, dead-reckoned: by itself, or with its agent.
    pub fn standing(&self, id: &ServiceId, now: Timestamp) -> Option<Position> {
        let slot = self.catalog.slot(id)?;
        self.body(slot).and_then(|key| self.geo.position(key, now)).map(|standing| standing.position())
    }

    /// [`Neighbourhood::standing`], with how sure that is and how it moves.
    pub fn stance(&self, id: &ServiceId, now: Timestamp) -> Option<Stance> {
        let key = self.body(self.catalog.slot(id)?)?;
        let position = self.geo.position(key, now)?.position();
        let sigma = self.geo.estimate(key, &position, now)?.sigma;
        let carrier = self.catalog.at(Slot(key.0))?.shown();
        let mine = carrier.agent.as_ref() == Some(&self.me);
        let fix = carrier.fix.or(if mine { self.own } else { None });
        Some(Stance { position, sigma, motion: fix.and_then(|fix| fix.motion) })
    }

    /// The indexed body that carries what lies in `slot`: itself, or its agent's presence.
    pub fn body(&self, slot: Slot) -> Option<Key> {
        if self.geo.population(Key(slot.0)).is_some() {
            return Some(Key(slot.0));
        }
        let agent = self.catalog.at(slot)?.shown().agent.as_ref()?;
        let presence = Key(self.catalog.slot(&ServiceId::agent(agent))?.0);
        self.geo.population(presence).map(|_| presence)
    }

    /// What rides on the body in `slot`: the services of the agent whose presence it is that have no fix themselves.
    pub fn riders(&self, slot: Slot) -> impl Iterator<Item = (Slot, &Entry)> {
        let presence = self.catalog.at(slot).filter(|entry| entry.gist().presence);
        let agent = presence.and_then(|entry| entry.shown().agent.as_ref());
        agent
            .into_iter()
            .flat_map(|agent| self.catalog.offered_by(agent))
            .filter(move |(rider, entry)| *rider != slot && entry.shown().fix.is_none())
    }

    fn place(&mut self, slot: Slot) {
        let Some(entry) = self.catalog.at(slot) else { return };
        let shown = entry.shown();
        let mine = shown.agent.as_ref() == Some(&self.me);
        match shown.fix.or(if mine { self.own } else { None }) {
            // A fix holds no number that cannot be, and the catalog's cap is below the index's: nothing is refused
            // here. Were it, the service would stand nowhere, and answers would say so.
            Some(fix) => {
                if self.geo.place_among(Key(slot.0), &fix, population(shown.kind)).is_err() {
                    self.unplace(slot);
                }
            }
            None => self.unplace(slot),
        }
    }

    fn unplace(&mut self, slot: Slot) {
        self.geo.remove(Key(slot.0));
    }

    fn make_room(&mut self, source: Source, critical: bool, now: Timestamp) -> Vec<Change> {
        let (geo, own) = (&self.geo, self.own);
        let metres = |slot: Slot| {
            let position = geo.position(Key(slot.0), now);
            own.zip(position)
                .map_or(f64::MAX, |(own, position)| own.position.distance(&position.position()).as_metres())
        };
        let gone = self.catalog.evict(source, critical, now, metres);
        gone.iter().for_each(|(slot, _)| self.unplace(*slot));
        gone.into_iter().map(|(_, change)| change).collect()
    }

    /// Keeps the index quick where churn has worn it: forty times a second at most, and only after a sixteenth of what
    /// is placed has moved, or 256 things.
    pub fn maintain(&mut self, now: Timestamp) {
        let stats = self.geo.stats();
        let moved = stats.moved + stats.quiet;
        let enough = (stats.placed as u64 / 16).clamp(1, 256);
        if moved - self.moved >= enough && now - self.maintained >= MAINTAIN_EVERY {
            (self.moved, self.maintained) = (moved, now);
            self.geo.maintain(now);
        }
    }
}

/// Which population of the index a thing belongs to: roadside units and gateways stay apart from all traffic, however
/// they move, so that what a critical question asks first never waits for vehicles.
fn population(kind: Kind) -> Population {
    match kind {
        Kind::Roadside | Kind::Gateway => Population::Static,
        Kind::Vehicle => Population::Mobile,
        Kind::Device | Kind::Software => Population::All,
    }
}

/// Whether `service` is an agent's own presence.
pub fn is_presence(service: &Service) -> bool {
    service.agent.as_ref().is_some_and(|agent| agent.as_str() == service.id.as_str())
}

/// From one upkeep of the index to the next.
const MAINTAIN_EVERY: Duration = Duration::from_millis(25);
