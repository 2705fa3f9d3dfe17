//! How a command ends.

use std::io;
use std::process::ExitCode;

use crate::config::problem::Problems;

/// How a command ended that did what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Done, or something was found.
    Found,
    /// Nothing was found.
    Nothing,
    /// Only what nobody vouches for at this moment was found; or nothing, and who may know more could not be asked.
    Stale,
    /// Nothing was found in time, and who may know more had not answered.
    Late,
    /// What another program ended with.
    Passed(u8),
}

impl Outcome {
    pub(super) fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Found => 0,
            Self::Nothing => 1,
            Self::Stale => 3,
            Self::Late => 5,
            Self::Passed(code) => code,
        })
    }
}

/// Why a command could not do what it should.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Whoever read our output has enough.
    #[error("output closed")]
    Closed,
    /// It was asked wrongly.
    #[error("{0}")]
    Usage(String),
    /// The configuration is wrong.
    #[error("the configuration is not used, because\n{0}")]
    Config(#[from] Problems),
    /// The agent refuses, and says why.
    #[error("{0}")]
    Refused(String),
    /// Nobody answers there.
    #[error("no agent at {agent}: {reason}\n  hint: start one with `wayside run`, or name another with --agent")]
    Unreachable {
        /// Where.
        agent: String,
        /// Why not.
        reason: String,
    },
    /// The agent did not answer in time.
    #[error("no answer from {agent} within {limit}")]
    Deadline {
        /// Who was asked.
        agent: String,
        /// How long was waited.
        limit: crate::words::Span,
    },
    /// The agent answers something else than an agent does.
    #[error("{agent} does not answer like an agent: {what}")]
    Gibberish {
        /// Who was asked.
        agent: String,
        /// What is wrong with the answer.
        what: String,
    },
    /// The system does not let us.
    #[error("{0}")]
    System(#[source] io::Error),
    /// The agent could not start.
    #[error("{0}")]
    Start(String),
}

impl Failure {
    pub(super) fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Closed => 0,
            Self::Usage(_) | Self::Config(_) | Self::Refused(_) | Self::System(_) | Self::Start(_) => 2,
            Self::Unreachable { .. } | Self::Gibberish { .. } => 4,
            Self::Deadline { .. } => 5,
        })
    }
}

/// Writing fails only when nobody reads any more, or when the system does not let us.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe { Self::Closed } else { Self::System(error) }
    }
}
