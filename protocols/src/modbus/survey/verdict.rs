//! How the interview of one host ended.

use alloc::boxed::Box;
use core::fmt;

use crate::modbus::reply::Exception;
use crate::time::Duration;

/// How the interview of one host ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every unit was asked.
    Surveyed,
    /// It answers alike for every unit: it is one device.
    Agnostic,
    /// Nobody listens there.
    Closed,
    /// Nobody is there, or nobody lets us.
    Unreachable(Box<str>),
    /// It listened at first, and refuses now: others want it too.
    RefusesNow,
    /// It takes connections and never answers.
    NeverAnswers,
    /// It answered at first, and no longer does.
    Unanswering,
    /// It passes over in silence whoever is not there; it was not asked on, to spare it.
    Silent,
    /// It said twice that it is busy.
    Busy(Exception),
    /// It took more than twice as long as at first, and did so after a rest too.
    Slow(Duration),
    /// It hangs up.
    HangsUp,
    /// What it says is not Modbus.
    Garbage,
    /// Somebody else asks on this line; two must not.
    OtherMaster,
    /// It had as many requests or connections as one host may have.
    Budget,
    /// The survey was stopped.
    Stopped,
}

impl Verdict {
    /// The word for it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Surveyed => "surveyed",
            Self::Agnostic => "one device",
            Self::Closed => "closed",
            Self::Unreachable(_) => "unreachable",
            Self::RefusesNow | Self::Busy(_) | Self::Slow(_) => "stopped: busy",
            Self::NeverAnswers => "never answers",
            Self::Unanswering => "stopped: no longer answers",
            Self::Silent => "stopped: silent",
            Self::HangsUp => "stopped: hangs up",
            Self::Garbage => "stopped: garbage",
            Self::OtherMaster => "stopped: another master",
            Self::Budget => "stopped: budget",
            Self::Stopped => "stopped",
        }
    }

    /// Whether it was asked all that was to be asked.
    pub const fn complete(&self) -> bool {
        matches!(self, Self::Surveyed | Self::Agnostic)
    }

    /// Whether nobody is there at all, which is what most addresses of a network are.
    pub const fn vacant(&self) -> bool {
        matches!(self, Self::Closed | Self::Unreachable(_))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.as_str();
        match self {
            Self::Unreachable(why) => write!(f, "{word}: {why}"),
            Self::RefusesNow => write!(f, "{word}: it refuses a second connection"),
            Self::Busy(exception) => write!(f, "{word}: {exception}"),
            Self::Slow(baseline) => {
                write!(f, "{word}: it takes more than twice the {} ms it took at first", baseline.as_millis())
            }
            Self::Surveyed
            | Self::Agnostic
            | Self::Closed
            | Self::NeverAnswers
            | Self::Unanswering
            | Self::Silent
            | Self::HangsUp
            | Self::Garbage
            | Self::OtherMaster
            | Self::Budget
            | Self::Stopped => f.write_str(word),
        }
    }
}
