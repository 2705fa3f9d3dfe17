//! What most questions look at, side by side in memory: of two hundred services within 500 m ten are answered, and the
//! others need not be looked at whole.

use wayside_protocols::service::{Health, Kind, Latency, Service, Trust};

use super::groups::Number;
use crate::neighbourhood::is_presence;

/// The part of a service as shown that decides whether it fits and how it ranks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gist {
    /// [`super::Catalog::number_of_name`] of its name.
    pub name: Number,
    /// [`super::Catalog::number_of_agent`] of who offers it; 0 if nobody says.
    pub agent: Number,
    /// How long it takes to answer, where anybody knows.
    pub latency: Option<Latency>,
    /// What offers it.
    pub kind: Kind,
    /// Whether lives may depend on it.
    pub critical: bool,
    /// Higher is preferred.
    pub priority: u8,
    /// Whether it answers.
    pub health: Health,
    /// How far the word for it can be believed.
    pub trust: Trust,
    /// Whether this agent itself vouches for it.
    pub own: bool,
    /// Whether it is an agent's own presence.
    pub presence: bool,
}

impl Gist {
    pub(super) fn of(service: &Service, own: bool, (name, agent): (Number, Number)) -> Self {
        Self {
            name,
            agent,
            latency: service.latency,
            kind: service.kind,
            critical: service.critical,
            priority: service.priority,
            health: service.health,
            trust: service.trust,
            own,
            presence: is_presence(service),
        }
    }
}
