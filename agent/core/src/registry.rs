//! How a registry node stands with the engine behind it.
//!
//! The node owns nothing: what it holds it was told by the engine, and what it is told it writes there. Until it has
//! caught up it answers nobody, since "there is none" would be a guess; once the engine is lost it goes on answering from
//! what it holds, and says of all of it that it is stale when the leases it knows must have run out.

use wayside_protocols::time::{Duration, Timestamp};

use crate::query::{Answer, Match};
use wayside_protocols::sighting::Source;

/// How the node stands with its engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Footing {
    /// It does not know yet all that the engine holds.
    CatchingUp,
    /// It knows what the engine knows.
    Following,
    /// The engine cannot be reached; why, in words for people.
    Lost(Box<str>),
}

/// A node's footing, and since when.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registry(Option<(Footing, Timestamp)>);

impl Registry {
    pub(crate) fn stands(&mut self, footing: Footing, now: Timestamp) {
        // Lost is lost since the first time, whatever the reasons after it.
        let lost = matches!((&self.0, &footing), (Some((Footing::Lost(_), _)), Footing::Lost(_)));
        let since = self.0.as_ref().filter(|_| lost).map_or(now, |(_, since)| *since);
        self.0 = Some((footing, since));
    }

    /// The footing, if this is a registry.
    pub(crate) fn footing(&self) -> Option<&Footing> {
        self.0.as_ref().map(|(footing, _)| footing)
    }

    /// Marks what nobody can vouch for any more.
    pub(crate) fn mark(&self, answer: &mut Answer, now: Timestamp) {
        let Some((Footing::Lost(_), since)) = self.0 else { return };
        if now - since > GRACE {
            let told = |found: &&mut Match| found.sources.iter().all(|source| *source == Source::Region);
            answer.matches.iter_mut().filter(told).for_each(|found| found.stale = true);
        }
    }
}

/// How long what the engine said last is as good as new: no lease is shorter in practice, and an engine that elects a new
/// leader is back within it.
const GRACE: Duration = Duration::from_secs(30);
