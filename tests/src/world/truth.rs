//! What is true, held against what the agents believe.

use wayside_core::agent::Agent;
use wayside_core::catalog::Entry;
use wayside_protocols::place::Distance;
use wayside_protocols::service::{AgentId, Kind, ServiceId};

use super::host::Host;
use super::{HostNo, World};

/// That an agent believes something, or does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Believes {
    /// Who.
    pub agent: AgentId,
    /// In what.
    pub service: ServiceId,
}

impl World {
    /// Whether the agent on `host` knows `id`.
    pub fn knows(&self, host: HostNo, id: &str) -> bool {
        id.parse().is_ok_and(|id| self.agent(host).entry(&id).is_some())
    }

    /// What awake agents believe of agents of this world though it is no longer so: they do not run, or do not vouch
    /// for it.
    pub fn ghosts(&self) -> Vec<Believes> {
        let mut ghosts = Vec::new();
        for (here, agent) in self.awake() {
            for entry in agent.entries().filter(|entry| !entry.own()) {
                let Some(offered_by) = self.host_of(entry) else { continue };
                if offered_by != here && !self.vouched(offered_by, &entry.shown().id) {
                    let (agent, service) = (agent.settings().id.clone(), entry.shown().id.clone());
                    ghosts.push(Believes { agent, service });
                }
            }
        }
        ghosts
    }

    /// What awake agents do not know though they could: what those offer who share a side of a link with them, and
    /// the presence of those who share a broker.
    pub fn missing(&self) -> Vec<Believes> {
        let mut missing = Vec::new();
        for (here, agent) in self.awake() {
            for (there, other) in self.awake().filter(|(there, _)| *there != here) {
                let id = &other.settings().id;
                let mut wanted = Vec::new();
                if self.linked(here, there) {
                    wanted.extend(
                        other.registrations(self.now).map(|(registration, ..)| registration.service.id.clone()),
                    );
                }
                if !wanted.is_empty() || self.linked(here, there) || self.brokered(here, there) {
                    wanted.push(ServiceId::agent(id));
                }
                let unknown = wanted.into_iter().filter(|id| agent.entry(id).is_none());
                missing.extend(unknown.map(|service| Believes { agent: agent.settings().id.clone(), service }));
            }
        }
        missing
    }

    /// The laws that are cheap enough to check after each step.
    pub(super) fn check(&self, host: HostNo) {
        let here = &self.hosts[host.0];
        let Some(agent) = &here.agent else { return };
        let (status, limits) = (agent.status(self.now), &here.settings.limits);
        let at = || format!("seed {}: {} at {}", self.seed, here.settings.id, self.now);
        // Only the catalog forgets, and it says so.
        if here.settings.events {
            assert_eq!(status.services, here.told.len(), "{}: holds something else than it said", at());
        }
        assert!(status.services <= limits.services.max(status.placed), "{}: {} services", at(), status.services);
        assert!(status.peers <= limits.presences, "{}: {} peers", at(), status.peers);
        for (registration, source, _) in agent.registrations(self.now) {
            let id = &registration.service.id;
            let held = agent.entry(id).is_some_and(|entry| entry.claims().iter().any(|held| held.source == source));
            assert!(held, "{}: lost its own {id}", at());
        }
    }

    fn awake(&self) -> impl Iterator<Item = (HostNo, &Agent)> {
        let awake = self.hosts.iter().enumerate().filter(|(_, here)| here.awake());
        awake.filter_map(|(number, here)| Some((HostNo(number), here.agent.as_ref()?)))
    }

    fn host_of(&self, entry: &Entry) -> Option<HostNo> {
        let agent = entry.shown().agent.as_ref()?;
        self.hosts().find(|host| self.hosts[host.0].settings.id == *agent)
    }

    fn vouched(&self, host: HostNo, id: &ServiceId) -> bool {
        self.hosts[host.0].agent.as_ref().is_some_and(|agent| {
            *id == ServiceId::agent(&agent.settings().id)
                || agent.registrations(self.now).any(|(registration, ..)| registration.service.id == *id)
        })
    }

    fn linked(&self, here: HostNo, there: HostNo) -> bool {
        self.links.iter().any(|link| link.members.get(&here).is_some_and(|side| link.members.get(&there) == Some(side)))
    }

    fn brokered(&self, here: HostNo, there: HostNo) -> bool {
        let (here, there) = (&self.hosts[here.0], &self.hosts[there.0]);
        here.broker.is_some()
            && here.broker == there.broker
            && [here, there].iter().all(|host| host.connected && !host.cut)
            && earshot(here, there)
    }
}

/// Whether one has to know another around the same broker: who moves looks no farther than its own circle. (Nobody
/// here has so many around him that he would stop listening to everybody's presence.)
fn earshot(here: &Host, there: &Host) -> bool {
    if here.settings.kind != Kind::Vehicle {
        return true;
    }
    let fix = |host: &Host| host.agent.as_ref().and_then(Agent::own_fix);
    let (Some(here), Some(there)) = (fix(here), fix(there)) else { return false };
    here.position.distance(&there.position) <= Distance::metres(500)
}
