//! How this agent is called on the air.
//!
//! Normally by its own id. An agent that does not want to be followed takes a new name from time to time: drawn at
//! random, with its numbers begun anew, after everything said under the old one has been withdrawn and before anything
//! is said under the new. Callers on its own host know it by its own id throughout.
//!
//! What this does not hide: the place where one name ends and the next begins, the address on a link, and what services
//! say of themselves.

use wayside_protocols::service::{AgentId, Service, ServiceId};
use wayside_protocols::time::{Duration, Timestamp};

use super::io::Settings;
use crate::dice::Dice;

/// The name of this agent.
#[derive(Debug)]
pub(super) struct Alias {
    own: AgentId,
    name: AgentId,
    /// What it was called before: the echo of that is our own too.
    former: Option<AgentId>,
    epoch: u32,
    period: Option<Duration>,
    due: Timestamp,
    dice: Dice,
}

impl Alias {
    pub(super) fn new(settings: &Settings, now: Timestamp) -> Self {
        let own = settings.id.clone();
        let (name, epoch, period) = (own.clone(), settings.epoch, settings.rotate);
        // How often it has started is as good a name as any, so lives of passing names are all the first.
        let dice = Dice::new(settings.seed, "names");
        let mut alias = Self { own, name, former: None, epoch, period, due: Timestamp::NEVER, dice };
        if period.is_some() {
            alias.change(now);
            (alias.former, alias.epoch) = (None, 1);
        }
        alias
    }

    /// What it is called.
    pub(super) fn name(&self) -> &AgentId {
        &self.name
    }

    /// Which life it says it is in.
    pub(super) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Whether that is this agent, by whatever name.
    pub(super) fn is_me(&self, agent: &str) -> bool {
        let former = self.former.as_ref().is_some_and(|former| former.as_str() == agent);
        self.name.as_str() == agent || self.own.as_str() == agent || former
    }

    /// Takes a new name.
    pub(super) fn change(&mut self, now: Timestamp) {
        let Some(period) = self.period else { return };
        // Twelve letters and digits keep a beacon within 48 bytes; 44 bits of them are drawn.
        if let Ok(name) = format!("v{:011x}", self.dice.next() >> 20).parse() {
            self.former = Some(std::mem::replace(&mut self.name, name));
        }
        // A tenth more or less, so that those who began together do not change together.
        let tenth = u64::try_from(period.as_millis() / 10).unwrap_or(u64::MAX);
        let spread = Duration::from_millis(self.dice.below(2 * tenth + 1));
        self.due = now + (period - period / 10) + spread;
    }

    /// When the next change is due.
    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        (self.due != Timestamp::NEVER).then_some(self.due)
    }

    /// An own service as it is shown to others.
    pub(super) fn show(&self, mut service: Service) -> Service {
        if self.name != self.own {
            let label = service.id.parts().and_then(|(id, _)| id.parse().ok());
            if let Some(label) = label {
                service.id = ServiceId::of(&label, &self.name);
            }
            service.agent = Some(self.name.clone());
        }
        service
    }
}
