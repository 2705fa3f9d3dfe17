//! What the agent believes, and until when.
//!
//! Each source keeps its own claim; a service as shown is a pure function of the claims held for it, never the last
//! writer's word. Nothing else in the program forgets: a source passes its time to live on and is done.

mod eviction;
mod gist;
mod groups;
mod merge;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use smallvec::{SmallVec, smallvec};
use wayside_protocols::place::Fix;
use wayside_protocols::service::{AgentId, Kind, Service, ServiceId, ServiceName};
use wayside_protocols::sighting::{Claim, Sighting, Source};
use wayside_protocols::time::{Duration, Timestamp};

use crate::limits::Limits;
pub use gist::Gist;
use groups::{Groups, Number};

/// What believing differently means.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A service nobody vouched for before.
    Appeared(Arc<Service>),
    /// A service that shows itself differently.
    Updated(Arc<Service>),
    /// A service of which nothing is different but its fix.
    Moved(Arc<Service>),
    /// A service nobody vouches for any more.
    Departed(Arc<Service>),
}

impl Change {
    /// The service it is about.
    pub fn service(&self) -> &Arc<Service> {
        match self {
            Self::Appeared(service) | Self::Updated(service) | Self::Moved(service) | Self::Departed(service) => {
                service
            }
        }
    }
}

/// Why a sighting is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Disbelief {
    /// The catalog is full and nothing in it may make room.
    #[error("the catalog holds {limit} services and none of them may make room")]
    Full {
        /// How many it holds.
        limit: usize,
    },
    /// It carries too much text.
    #[error("service carries {given} bytes of text, more than {limit}")]
    TooLarge {
        /// What it carries.
        given: usize,
        /// What it may carry.
        limit: usize,
    },
    /// It carries too many pairs.
    #[error("service carries {given} resources and metadata pairs, more than {limit}")]
    TooManyPairs {
        /// What it carries.
        given: usize,
        /// What it may carry.
        limit: usize,
    },
    /// Its agent has as many as it may.
    #[error("its agent announces {limit} services already")]
    AgentFull {
        /// How many one agent may announce.
        limit: usize,
    },
}

impl Disbelief {
    /// The name under which it is counted.
    pub const fn counted(self) -> &'static str {
        match self {
            Self::Full { .. } => "refused_catalog_full_total",
            Self::TooLarge { .. } => "refused_service_too_large_total",
            Self::TooManyPairs { .. } => "refused_too_many_pairs_total",
            Self::AgentFull { .. } => "refused_agent_full_total",
        }
    }
}

/// Where an entry lies in the catalog for as long as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

/// Where an entry lies, and which one it was: a slot is given to another once it is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where.
    pub slot: Slot,
    /// The number of the entry; no two have the same.
    serial: u64,
}

/// One service, with everybody who vouches for it.
#[derive(Clone, Debug)]
pub struct Entry {
    serial: u64,
    /// Never empty while it lies in the catalog.
    claims: SmallVec<[Held; 1]>,
    /// What the claims together show; `None` if that is what the first of them says.
    merged: Option<Arc<Service>>,
    gist: Gist,
    appeared: Timestamp,
    timer: Timestamp,
}

/// One source's word that still holds.
#[derive(Clone, Debug)]
pub struct Held {
    /// Who says so.
    pub source: Source,
    /// The service as this source knows it.
    pub service: Arc<Service>,
    /// When it last said so.
    pub heard: Timestamp,
    /// Until when the word holds.
    pub until: Timestamp,
}

impl Entry {
    /// The service as all its sources together show it.
    pub fn shown(&self) -> &Arc<Service> {
        self.merged.as_ref().unwrap_or_else(|| &self.claims[0].service)
    }

    /// What of that decides whether it fits a question.
    pub fn gist(&self) -> &Gist {
        &self.gist
    }

    /// Who vouches for it, the most believed first.
    pub fn claims(&self) -> &[Held] {
        &self.claims
    }

    /// When anybody last vouched for it.
    pub fn heard(&self) -> Timestamp {
        self.claims.iter().map(|held| held.heard).max().unwrap_or(self.appeared)
    }

    /// When the last word for it runs out.
    pub fn until(&self) -> Timestamp {
        self.claims.iter().map(|held| held.until).max().unwrap_or(self.appeared)
    }

    /// When it was first heard of.
    pub fn appeared(&self) -> Timestamp {
        self.appeared
    }

    /// Whether this agent itself vouches for it.
    pub fn own(&self) -> bool {
        self.gist.own
    }
}

/// Everything that somebody vouches for.
#[derive(Debug)]
pub struct Catalog {
    limits: Limits,
    slots: Vec<Option<Entry>>,
    free: Vec<u32>,
    /// How many entries there have been.
    appeared: u64,
    by_id: BTreeMap<ServiceId, Slot>,
    by_name: Groups<ServiceName>,
    by_agent: Groups<AgentId>,
    /// One alarm an entry, never later than its first claim to run out; a refreshed claim leaves it to ring early and
    /// be set anew, so that a beacon ten times a second costs no reordering.
    alarms: BinaryHeap<Reverse<(Timestamp, Slot)>>,
}

impl Catalog {
    /// An empty catalog.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            slots: Vec::new(),
            free: Vec::new(),
            appeared: 0,
            by_id: BTreeMap::new(),
            by_name: Groups::new(),
            by_agent: Groups::new(),
            alarms: BinaryHeap::new(),
        }
    }

    /// Takes in one source's word. Times to live from the network are held to the limits.
    ///
    /// # Errors
    /// [`Disbelief`] if it carries too much, or there is no room for it; [`Catalog::evict`] makes some.
    pub fn observe(&mut self, sighting: Sighting, now: Timestamp) -> Result<Option<Change>, Disbelief> {
        match sighting.claim {
            Claim::Alive { service, ttl } => self.vouch(sighting.source, *service, ttl, now),
            Claim::Gone(id) => Ok(self.withdraw(sighting.source, &id)),
        }
    }

    /// Moves a service, if it is still at `place`, that `source` alone vouches for, and that is nothing but somebody's whereabouts, to a newer fix.
    /// Says how it shows itself then; `None` if this would not be the whole news, and [`Catalog::observe`] has to be told.
    ///
    /// As long as nobody else holds the service nothing is copied: this is what most beacons come to.
    pub fn advance(
        &mut self,
        place: Place,
        source: Source,
        (kind, fix): (Kind, Fix),
        ttl: Duration,
        now: Timestamp,
    ) -> Option<&Arc<Service>> {
        let until = now + ttl.clamp(self.limits.min_ttl, self.limits.max_ttl);
        let slot = place.slot;
        let entry = self.entry_mut(slot).filter(|entry| entry.serial == place.serial)?;
        let [held] = &mut entry.claims[..] else { return None };
        let known = &held.service;
        let moves = known.fix.is_some() && known.metadata.is_empty() && known.kind == kind;
        if held.source != source || !moves || entry.merged.is_some() {
            return None;
        }
        Arc::make_mut(&mut held.service).fix = Some(fix);
        (held.heard, held.until) = (now, until);
        if until < entry.timer {
            self.arm(slot);
        }
        self.at(slot).map(Entry::shown)
    }

    /// Forgets one service whose last word has run out by `now`, or shows it as its other sources do. Said again
    /// until it says `None`.
    pub fn expire(&mut self, now: Timestamp) -> Option<(Slot, Change)> {
        while let Some(Reverse((due, slot))) = self.alarms.peek().copied() {
            if due > now {
                return None;
            }
            self.alarms.pop();
            let Some(entry) = self.entry_mut(slot).filter(|entry| entry.timer == due) else { continue };
            let (words, before) = (entry.claims.len(), Arc::clone(entry.shown()));
            entry.claims.retain(|held| held.until > now);
            let change = if entry.claims.len() == words { None } else { self.reshow(slot, &before) };
            self.arm(slot);
            if let Some(change) = change {
                return Some((slot, change));
            }
        }
        None
    }

    /// When [`Catalog::expire`] should next be called, at the latest; it may then find nothing to do.
    pub fn next_expiry(&self) -> Option<Timestamp> {
        self.alarms.peek().map(|Reverse((due, _))| *due).filter(|due| *due != Timestamp::NEVER)
    }

    /// Where `id` lies.
    pub fn slot(&self, id: &ServiceId) -> Option<Slot> {
        self.by_id.get(id).copied()
    }

    /// Where `id` lies, for [`Catalog::advance`].
    pub fn place(&self, id: &ServiceId) -> Option<Place> {
        let slot = self.slot(id)?;
        Some(Place { slot, serial: self.at(slot)?.serial })
    }

    /// What lies in `slot`.
    pub fn at(&self, slot: Slot) -> Option<&Entry> {
        self.slots.get(slot.0 as usize)?.as_ref()
    }

    /// The entry of `id`.
    pub fn get(&self, id: &ServiceId) -> Option<&Entry> {
        self.at(self.slot(id)?)
    }

    /// Every entry, by id.
    pub fn entries(&self) -> impl Iterator<Item = (Slot, &Entry)> {
        self.by_id.values().filter_map(|slot| Some((*slot, self.at(*slot)?)))
    }

    /// The entries that offer `name`.
    pub fn named(&self, name: &ServiceName) -> impl Iterator<Item = (Slot, &Entry)> {
        self.by_name.slots(name).filter_map(|slot| Some((slot, self.at(slot)?)))
    }

    /// How many entries offer `name`.
    pub fn offering(&self, name: &ServiceName) -> usize {
        self.by_name.len(name)
    }

    /// What stands for `name` in a [`Gist`]; `None` if nobody offers it.
    pub fn number_of_name(&self, name: &ServiceName) -> Option<Number> {
        self.by_name.number(name)
    }

    /// What stands for `agent` in a [`Gist`]; `None` if it offers nothing.
    pub fn number_of_agent(&self, agent: &AgentId) -> Option<Number> {
        self.by_agent.number(agent)
    }

    /// The entries that `agent` offers, its own presence among them.
    pub fn offered_by(&self, agent: &AgentId) -> impl Iterator<Item = (Slot, &Entry)> {
        self.by_agent.slots(agent).filter_map(|slot| Some((slot, self.at(slot)?)))
    }

    /// How many services there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is room for no more.
    pub fn full(&self) -> bool {
        self.len() >= self.limits.services
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    fn vouch(
        &mut self,
        source: Source,
        service: Service,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<Option<Change>, Disbelief> {
        self.fits(source, &service)?;
        let ttl = if source.own() { ttl } else { ttl.clamp(self.limits.min_ttl, self.limits.max_ttl) };
        let held = Held { source, heard: now, until: now + ttl, service: Arc::new(service) };
        let Some(slot) = self.slot(&held.service.id) else { return self.appear(held, now).map(Some) };
        let Some(entry) = self.entry_mut(slot) else { return Ok(None) };
        let (until, before) = (held.until, Arc::clone(entry.shown()));
        match entry.claims.binary_search_by_key(&source, |held| held.source) {
            Ok(place) => entry.claims[place] = held,
            Err(place) => entry.claims.insert(place, held),
        }
        if until < entry.timer {
            self.arm(slot);
        }
        Ok(self.reshow(slot, &before))
    }

    fn fits(&self, source: Source, service: &Service) -> Result<(), Disbelief> {
        let (given, limit) = (service.weight(), self.limits.service_bytes);
        if given > limit {
            return Err(Disbelief::TooLarge { given, limit });
        }
        let (given, limit) = (service.resources.len() + service.metadata.len(), self.limits.service_pairs);
        if given > limit {
            return Err(Disbelief::TooManyPairs { given, limit });
        }
        let limit = self.limits.services_per_agent;
        let full = |agent| self.by_agent.len(agent) >= limit;
        if !source.own() && self.slot(&service.id).is_none() && service.agent.as_ref().is_some_and(full) {
            return Err(Disbelief::AgentFull { limit });
        }
        Ok(())
    }

    fn appear(&mut self, held: Held, now: Timestamp) -> Result<Change, Disbelief> {
        let limit = self.limits.services;
        if self.full() && !held.source.own() {
            return Err(Disbelief::Full { limit });
        }
        let shown = Arc::clone(&held.service);
        let claims: SmallVec<[Held; 1]> = smallvec![held];
        // One word of a stranger is shown as it is; the own agent's is dressed up.
        let merged = merge::shown(&claims).filter(|merged| !Arc::ptr_eq(merged, &shown));
        let shown = merged.clone().unwrap_or(shown);
        self.appeared += 1;
        // The cap on services is far below 2^32.
        let slot = Slot(self.free.pop().unwrap_or(self.slots.len() as u32));
        if slot.0 as usize == self.slots.len() {
            self.slots.push(None);
        }
        let gist = Gist::of(&shown, claims[0].source.own(), self.index(&shown, slot));
        let serial = self.appeared;
        self.slots[slot.0 as usize] =
            Some(Entry { serial, claims, merged, gist, appeared: now, timer: Timestamp::NEVER });
        self.by_id.insert(shown.id.clone(), slot);
        self.arm(slot);
        Ok(Change::Appeared(shown))
    }

    fn withdraw(&mut self, source: Source, id: &ServiceId) -> Option<Change> {
        let slot = self.slot(id)?;
        let entry = self.entry_mut(slot)?;
        let place = entry.claims.binary_search_by_key(&source, |held| held.source).ok()?;
        let before = Arc::clone(entry.shown());
        entry.claims.remove(place);
        self.reshow(slot, &before)
    }

    /// Brings what is shown in line with the claims; it was `before` they changed.
    fn reshow(&mut self, slot: Slot, before: &Arc<Service>) -> Option<Change> {
        let entry = self.entry_mut(slot)?;
        let Some(shown) = merge::shown(&entry.claims) else { return self.remove(slot, before).map(Change::Departed) };
        entry.merged = (!Arc::ptr_eq(&shown, &entry.claims[0].service)).then(|| Arc::clone(&shown));
        let own = entry.claims[0].source.own();
        let mut numbers = (entry.gist.name, entry.gist.agent);
        if before.name != shown.name || before.agent != shown.agent {
            self.unindex(before, slot);
            numbers = self.index(&shown, slot);
        }
        self.entry_mut(slot)?.gist = Gist::of(&shown, own, numbers);
        merge::difference(before, shown)
    }

    fn remove(&mut self, slot: Slot, shown: &Arc<Service>) -> Option<Arc<Service>> {
        self.slots.get_mut(slot.0 as usize)?.take()?;
        self.by_id.remove(&shown.id);
        self.unindex(shown, slot);
        self.free.push(slot.0);
        Some(Arc::clone(shown))
    }

    fn arm(&mut self, slot: Slot) {
        let Some(entry) = self.entry_mut(slot) else { return };
        let Some(due) = entry.claims.iter().map(|held| held.until).min() else { return };
        entry.timer = due;
        self.alarms.push(Reverse((due, slot)));
        // Alarms of the departed stay until they ring; this keeps them from outnumbering the living.
        if self.alarms.len() > 64 + 4 * self.by_id.len() {
            let slots = &self.slots;
            self.alarms.retain(|Reverse((due, slot))| {
                slots.get(slot.0 as usize).and_then(Option::as_ref).is_some_and(|entry| entry.timer == *due)
            });
        }
    }

    /// The numbers of its name and its agent.
    fn index(&mut self, service: &Service, slot: Slot) -> (Number, Number) {
        let agent = service.agent.as_ref().map_or(0, |agent| self.by_agent.insert(agent, slot));
        (self.by_name.insert(&service.name, slot), agent)
    }

    fn unindex(&mut self, service: &Service, slot: Slot) {
        self.by_name.remove(&service.name, slot);
        if let Some(agent) = &service.agent {
            self.by_agent.remove(agent, slot);
        }
    }

    fn entry_mut(&mut self, slot: Slot) -> Option<&mut Entry> {
        self.slots.get_mut(slot.0 as usize)?.as_mut()
    }
}

#[cfg(test)]
mod tests;
