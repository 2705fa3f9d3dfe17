//! `wayside run`.

use std::env;
use std::io;
use std::panic;
use std::path::PathBuf;
use std::process;

use clap::Args;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::{error, info, warn};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::exit::{Failure, Outcome};
use super::signals::Signals;
use crate::clock::Clock;
use crate::config::{Config, ConfigFile};
use crate::pulse;
use crate::running::Running;

/// Run the agent.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// The configuration file [default: /etc/wayside/wayside.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Run {
    pub(super) fn perform(self) -> Result<Outcome, Failure> {
        let clock = Clock::start();
        log()?;
        die_aloud();
        let config = self.load()?;
        // One thread: the agent has one owner, and one core of a gateway is plenty.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::System)?;
        runtime.block_on(self.serve(config, clock))?;
        // A blocking look-up of a broker's name may hang for minutes: nobody waits for it.
        runtime.shutdown_background();
        Ok(Outcome::Found)
    }

    fn load(&self) -> Result<Config, Failure> {
        let (config, warnings) = ConfigFile::load(self.config.as_deref(), env::vars_os()).check()?;
        for warning in warnings {
            warn!("{warning}");
        }
        Ok(config)
    }

    async fn serve(&self, mut config: Config, clock: Clock) -> Result<(), Failure> {
        let mut signals = Signals::open()?;
        let mut reload = signal(SignalKind::hangup()).map_err(Failure::System)?;
        let mut running = Running::start(&config, clock).await.map_err(|error| Failure::Start(error.to_string()))?;
        tell_systemd(&[NotifyState::Ready]);
        let mut watchdog = watchdog();
        loop {
            tokio::select! {
                () = running.stopped() => return Err(Failure::Start("the agent has stopped by itself".to_owned())),
                _ = signals.next() => break,
                _ = reload.recv() => self.reload(&mut config, &running).await,
                () = next(&mut watchdog) => {
                    // Only an agent whose every loop came round keeps the supervisor waiting.
                    match &*running.missing() {
                        [] => tell_systemd(&[NotifyState::Watchdog]),
                        still => warn!(loops = still.join(", "), "not heard of since the watchdog was fed last"),
                    }
                }
            }
        }
        info!("leaving");
        tell_systemd(&[NotifyState::Stopping]);
        running.leave().await;
        Ok(())
    }

    /// Takes over what can change while the agent runs: its `[[service]]`s. A configuration with a mistake changes
    /// nothing.
    async fn reload(&self, config: &mut Config, running: &Running) {
        let new = match self.load() {
            Ok(new) => new,
            Err(failure) => return error!("the old configuration stays: {failure}"),
        };
        let services = new.registrations(running.id());
        let count = services.len();
        // It fails only while the agent is stopping.
        if running.handle().configure(services).await.is_ok() {
            info!(services = count, "configuration read anew");
        }
        for section in config.differs(&new).into_iter().filter(|section| *section != "service") {
            warn!("{section} has changed, which holds only after a restart");
        }
        config.services = new.services;
    }
}

/// Twice as often as systemd wants to hear from us, if it does. The first time comes late: nothing has come round yet when
/// the agent has just started.
fn watchdog() -> Option<Interval> {
    let limit = sd_notify::watchdog_enabled()?;
    let wait = (limit / 2).max(pulse::ROUND * 2);
    if wait >= limit {
        warn!(?limit, least = ?wait, "WatchdogSec is shorter than a loop takes to come round");
    }
    let mut ticks = interval(wait);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.reset();
    Some(ticks)
}

async fn next(ticks: &mut Option<Interval>) {
    match ticks {
        Some(ticks) => drop(ticks.tick().await),
        None => std::future::pending().await,
    }
}

fn tell_systemd(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "the supervisor cannot be told");
    }
}

/// Logs to standard error what `WAYSIDE_LOG` lets through, like `info,wayside=debug`. Under systemd the journal sets
/// the time.
fn log() -> Result<(), Failure> {
    let wanted = env::var("WAYSIDE_LOG").unwrap_or_else(|_| "info".to_owned());
    let targets: Targets = wanted.parse().map_err(|error| {
        Failure::Usage(format!("WAYSIDE_LOG {wanted:?} is wrong: {error}; write it like info,wayside=debug"))
    })?;
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false);
    if env::var_os("JOURNAL_STREAM").is_some() {
        tracing_subscriber::registry().with(targets).with(lines.without_time()).init();
    } else {
        tracing_subscriber::registry().with(targets).with(lines).init();
    }
    Ok(())
}

/// A panic anywhere, in a library's thread too, ends the program, so that the supervisor starts it anew: an agent that
/// lives but hears nothing is the worst outcome.
fn die_aloud() {
    panic::set_hook(Box::new(|panic| {
        error!("{panic}");
        process::abort();
    }));
}
