//! `wayside run`.

use std::path::PathBuf;

use clap::Args;

use super::exit::{Failure, Outcome};

/// Run the agent.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// The configuration file [default: /etc/wayside/wayside.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Run {
    pub(super) fn perform(self) -> Result<Outcome, Failure> {
        Err(Failure::Start(format!("not wired: {:?}", self.config)))
    }
}
