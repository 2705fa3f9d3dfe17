//! What a survey tells.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use wayside_protocols::modbus::target::Target;
use wayside_protocols::modbus::translate::Placement;
use wayside_protocols::modbus::unit::Unit;
use wayside_protocols::time::Duration;

use super::wanted::Wanted;
use crate::io::bus::findings::Findings;
use crate::io::bus::keeper::Known;
use crate::io::inquire::{Found, Tally};

/// How far a survey is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It goes on.
    Running,
    /// Everybody was asked.
    Finished,
    /// It was stopped before that.
    Stopped,
}

impl State {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Stopped => "stopped",
        }
    }
}

/// Names a survey; alone in the lives of this agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SurveyId {
    /// How often the agent had started.
    pub epoch: u32,
    /// Which survey since then, from 1.
    pub serial: u32,
}

impl fmt::Display for SurveyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.serial)
    }
}

impl FromStr for SurveyId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (epoch, serial) = text.split_once('-').unwrap_or((text, ""));
        Ok(Self { epoch: epoch.parse()?, serial: serial.parse()? })
    }
}

/// What a survey has brought so far.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Which survey.
    pub id: SurveyId,
    /// What was wanted.
    pub wanted: Wanted,
    /// How far it is.
    pub state: State,
    /// How long it has taken.
    pub elapsed: Duration,
    /// Whom it found.
    pub haul: Haul,
}

/// Whom a survey found.
#[derive(Clone, Debug)]
pub enum Haul {
    /// By Modbus; `known` says under which service each is kept, and how well it answers.
    Modbus {
        /// Devices and hosts.
        findings: Findings,
        /// What the keeper knows of them.
        known: BTreeMap<(Target, Unit), Known>,
    },
    /// By datagram.
    Datagrams {
        /// Devices, with what the configuration says of them.
        found: Vec<(Found, Placement)>,
        /// What was sent.
        tally: Tally,
        /// Addresses that were not asked to the end yet.
        left: usize,
    },
}

/// What whoever follows a survey is told.
#[derive(Clone, Debug)]
pub enum Event {
    /// A Modbus device; said again of the same unit, it replaces what was said before.
    Device(Box<Known>),
    /// A device found by datagram.
    Answered(Box<(Found, Placement)>),
    /// How far it is; at most four times a second.
    Progress(Box<Picture>),
    /// It is over. Nothing comes after this.
    Ended(Box<Picture>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_they_are_written() {
        let id = SurveyId { epoch: 5, serial: 12 };
        assert_eq!((id.to_string().parse(), "5-12"), (Ok(id), &*id.to_string()));
        for bad in ["", "5", "5-", "-", "a-b", "5-12-1"] {
            assert!(bad.parse::<SurveyId>().is_err(), "{bad}");
        }
    }
}
