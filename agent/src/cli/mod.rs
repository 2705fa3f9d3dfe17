//! The command line: one file a command.
//!
//! Answers go to standard output, everything else to standard error. A closed pipe is success.

mod announce;
mod answer;
mod bugreport;
mod check;
mod client;
mod doctor;
mod exit;
mod find;
mod health;
mod nearby;
mod output;
mod pages;
mod rejected;
mod run;
mod scan;
mod services;
mod show;
mod signals;
mod table;
mod top;
mod watch;
mod withdraw;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use exit::{Failure, Outcome};

/// Reads the command line, does what it says, and tells how it went as an exit code.
pub fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    match command.perform() {
        Ok(outcome) => outcome.code(),
        Err(Failure::Closed) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("wayside: {failure}");
            failure.code()
        }
    }
}

/// What is near me, what can it do, how do I reach it, and how far may I trust the answer?
#[derive(Debug, Parser)]
#[command(name = "wayside", version, disable_help_subcommand = true, after_help = EXITS)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXITS: &str = "\
Exit codes: 0 found, 1 nothing found, 2 usage or configuration error, 3 answered only from stale data,
4 agent unreachable, 5 deadline passed. A closed pipe is success.

WAYSIDE_AGENT names the agent to ask, WAYSIDE_TOKEN what to show it, WAYSIDE_LOG what `run` logs (info,wayside=debug).";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent
    Run(run::Run),
    /// Check the configuration: every problem at once, with hints
    Check(check::Check),
    /// Find services by name, around a place
    Find(find::Find),
    /// List every service that is known
    Services(services::Services),
    /// Show everything about one service, and who says so
    Show(show::Show),
    /// List everything around here
    Nearby(nearby::Nearby),
    /// Follow changes as they come
    Watch(watch::Watch),
    /// Look for devices on a network or a serial line, reading only
    Scan(scan::Scan),
    /// Announce a service, for a time or for as long as a command runs
    Announce(announce::Announce),
    /// Withdraw a service that was announced here
    Withdraw(withdraw::Withdraw),
    /// Say what works on this host, what does not, and what to do about it
    Doctor(doctor::Doctor),
    /// Print what whoever mends this would ask for, without the secrets
    #[command(name = "bugreport")]
    BugReport(bugreport::BugReport),
    /// Say whether the agent is well; --wait until it is
    Health(health::Health),
    /// Watch services, tiers and rates live
    Top(top::Top),
    /// Print completions for a shell
    Completions(pages::Completions),
    /// Print the manual page
    Man,
}

impl Command {
    fn perform(self) -> Result<Outcome, Failure> {
        match self {
            Self::Run(run) => run.perform(),
            Self::Check(check) => check.perform(),
            Self::Find(find) => wait(find.perform()),
            Self::Services(services) => wait(services.perform()),
            Self::Show(show) => wait(show.perform()),
            Self::Nearby(nearby) => wait(nearby.perform()),
            Self::Watch(watch) => wait(watch.perform()),
            Self::Scan(scan) => wait(scan.perform()),
            Self::Announce(announce) => wait(announce.perform()),
            Self::Withdraw(withdraw) => wait(withdraw.perform()),
            Self::Doctor(doctor) => wait(doctor.perform()),
            Self::BugReport(report) => wait(report.perform()),
            Self::Health(health) => wait(health.perform()),
            Self::Top(top) => wait(top.perform()),
            Self::Completions(completions) => completions.perform(),
            Self::Man => pages::man(),
        }
    }
}

/// Waits for one command on this thread.
fn wait(command: impl Future<Output = Result<Outcome, Failure>>) -> Result<Outcome, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::System)?;
    runtime.block_on(command)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_of_the_contract_is_read() {
        for line in [
            "run --config w.toml",
            "check --config w.toml",
            "check --defaults",
            "check --profile own.toml other.toml",
            "find charging --near 48.8566,2.3530 --within 100m",
            "find charging --here --within 1.5km --max-latency 20ms --require power_kw>=22 --require plug=ccs2",
            "find charging --near -33.9,18.4 --critical --min-trust signed --limit 3 --all-tiers --explain -o json",
            "services -o wide",
            "services --rejected -o json",
            "show cp1@shell",
            "nearby --within lessThan500m --kind vehicle,gateway --heading 90/30 --sector ahead -o geojson",
            "find charging --near 48.8,2.3 --altitude 80 --same-level --max-age 5s",
            "watch charging --within 100m --kind vehicle --heading 90 --dwell 3s",
            "watch",
            "watch charging -o jsonl --agent http://127.0.0.1:1",
            "announce charging --port 8080 --ttl 60s",
            "announce charging --port 8080 --at 48.8,2.3 --resource power_kw=22 -- sleep 3",
            "withdraw cp1",
            "doctor --config w.toml -o json",
            "bugreport --config w.toml",
            "health --wait 60s",
            "top --here --within 500m",
            "completions bash",
            "man",
        ] {
            let words = std::iter::once("wayside").chain(line.split(' '));
            assert!(Cli::try_parse_from(words).is_ok(), "{line}");
        }
    }

    #[test]
    fn what_is_out_of_range_is_a_usage_error() {
        for line in [
            "find",
            "find Charging",
            "find charging --near 91,0",
            "find charging --near 48.8",
            "find charging --within -5m",
            "find charging --within far",
            "find charging --near 1,1 --here",
            "find charging --max-latency 20",
            "find charging --require power",
            "find charging --heading north",
            "find charging --altitude 80",
            "nearby --kind truck",
            "find charging --limit 0",
            "find charging --limit 1001",
            "find charging -o yaml",
            "announce charging",
            "announce charging --port 0",
            "announce charging --port 8080 --ttl 2d",
            "services --agent ftp://somewhere",
        ] {
            let words = std::iter::once("wayside").chain(line.split(' '));
            assert_eq!(Cli::try_parse_from(words).map_err(|error| error.exit_code()).err(), Some(2), "{line}");
        }
    }
}
