//! `wayside check`.

use std::env;
use std::path::PathBuf;

use clap::Args;

use super::exit::{Failure, Outcome};
use super::output::Screen;
use crate::config::problem::Problems;
use crate::config::{ConfigFile, DEFAULTS};
use crate::profiles;

/// Check the configuration: every problem at once, with hints.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// The configuration file [default: /etc/wayside/wayside.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the whole configuration with its defaults and comments instead
    #[arg(long, conflicts_with = "config")]
    defaults: bool,
    /// Check these device profiles instead: files, or directories of them
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["config", "defaults"])]
    profile: Vec<PathBuf>,
}

impl Check {
    pub(super) fn perform(self) -> Result<Outcome, Failure> {
        let mut screen = Screen::open();
        if self.defaults {
            screen.show(DEFAULTS)?;
            return Ok(Outcome::Found);
        }
        if !self.profile.is_empty() {
            let (looked, problems) = profiles::check(&self.profile);
            if !problems.is_empty() {
                return Err(Problems(problems).into());
            }
            screen.show(&format!("{looked} profiles are right\n"))?;
            return Ok(Outcome::Found);
        }
        let (config, warnings) = ConfigFile::load(self.config.as_deref(), env::vars_os()).check()?;
        if config.modbus.profiles.is_dir() {
            let (_, problems) = profiles::check(&[config.modbus.profiles]);
            if !problems.is_empty() {
                return Err(Problems(problems).into());
            }
        }
        for warning in &warnings {
            eprintln!("warning: {warning}");
        }
        screen.show(&match warnings.len() {
            0 => "the configuration is right\n".to_owned(),
            some => format!("the configuration is right; {some} to know about\n"),
        })?;
        Ok(Outcome::Found)
    }
}
