//! `wayside scan modbus`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::Value as Json;
use tokio::net::lookup_host;
use wayside_protocols::modbus::profile::Profiles;
use wayside_protocols::modbus::segment::{Segment, SegmentError};
use wayside_protocols::modbus::survey::pace::Pace;
use wayside_protocols::modbus::survey::{Device, Survey};
use wayside_protocols::modbus::translate::{Placement, service};
use wayside_protocols::modbus::unit::Units;
use wayside_protocols::time::{Duration, Timestamp};

use super::by_agent::ByAgent;
use super::progress::{Bar, Progress};
use super::{Shape, show};
use crate::api::devices;
use crate::cli::exit::{Failure, Outcome};
use crate::cli::output::Screen;
use crate::cli::signals::Signals;
use crate::clock::Clock;
use crate::io::bus::findings::Findings;
use crate::io::bus::keeper::way;
use crate::io::bus::{Audit, desk, round};
use crate::things::{Door, Thing};
use crate::{profiles, words};

/// Ask every unit behind every target who it is. Nothing is ever written to a device.
#[derive(Debug, Args)]
pub(super) struct Modbus {
    /// 10.3.0.0/24:502, 10.3.0.9, HOST:PORT, 10.3.0.9:4001?framing=rtu or /dev/ttyUSB0?baud=9600&parity=even;
    /// private and loopback addresses only, at most a /22 each
    #[arg(required_unless_present = "by_agent", value_name = "TARGET")]
    targets: Vec<String>,
    /// Units to ask, like 1-247 or 1,5,9-12 [default: 1-247, and 255 on TCP]
    #[arg(long, value_name = "UNITS")]
    units: Option<Units>,
    /// The port where a target names none
    #[arg(long, default_value_t = 502, value_parser = clap::value_parser!(u16).range(1..), conflicts_with = "by_agent")]
    port: u16,
    /// An address, a network or a serial line that is not asked; may be given again
    #[arg(long, value_name = "TARGET", conflicts_with = "by_agent")]
    deny: Vec<String>,
    /// Say what would be sent at the most, and send nothing
    #[arg(long, conflicts_with = "by_agent")]
    dry_run: bool,
    /// How long a reply may take [default: 1500ms; 500ms and two frames on a serial line]
    #[arg(long, value_name = "DURATION", value_parser = reply_time, conflicts_with = "by_agent")]
    timeout: Option<Duration>,
    /// Requests a second, to all hosts together
    #[arg(long, value_name = "N", default_value_t = Pace::default().requests, value_parser = clap::value_parser!(u32).range(1..=10_000), conflicts_with = "by_agent")]
    rate: u32,
    /// Requests a second, to one host
    #[arg(long, value_name = "N", default_value_t = Pace::default().host_requests, value_parser = clap::value_parser!(u32).range(1..=1_000), conflicts_with = "by_agent")]
    host_rate: u32,
    /// Connections that come about a second
    #[arg(long, value_name = "N", default_value_t = Pace::default().connections, value_parser = clap::value_parser!(u32).range(1..=1_000), conflicts_with = "by_agent")]
    connect_rate: u32,
    /// Units of one host that may stay silent before it is left alone
    #[arg(long, value_name = "N", default_value_t = Pace::default().silent, value_parser = clap::value_parser!(u32).range(1..=255), conflicts_with = "by_agent")]
    silent: u32,
    /// Write down every request in this file before it is sent
    #[arg(long, value_name = "FILE", conflicts_with = "by_agent")]
    audit: Option<PathBuf>,
    /// In which shape the devices are shown
    #[arg(short, long, value_name = "SHAPE", default_value = "table")]
    output: Shape,
    /// Where the owner's own device profiles are
    #[arg(long, value_name = "DIR", default_value = profiles::DEFAULT_DIR, conflicts_with = "by_agent")]
    profiles: PathBuf,
    #[command(flatten)]
    by: ByAgent,
}

impl Modbus {
    pub(super) async fn perform(self) -> Result<Outcome, Failure> {
        if self.by.by_agent {
            let units = self.units.as_ref().map(ToString::to_string);
            return self.by.perform("modbus", &self.targets, units, self.output).await;
        }
        let segment = self.segment().await?;
        let pace = self.pace();
        let mut screen = Screen::open();
        if self.dry_run {
            let forecast = show::forecast(&segment, &pace, self.output);
            screen.show(&forecast)?;
            return Ok(Outcome::Found);
        }
        let (findings, elapsed) = self.survey(&segment, pace).await?;
        let shown = match self.output {
            Shape::Td => show::things(&findings.devices().map(thing).collect::<Vec<_>>()),
            Shape::Table | Shape::Wide | Shape::Json | Shape::Jsonl => {
                show::report(&devices::report(&findings, &segment, elapsed), self.output, screen.colour)
            }
        };
        screen.show(&shown)?;
        Ok(if findings.devices().next().is_some() { Outcome::Found } else { Outcome::Nothing })
    }

    /// Surveys in this process, until all is asked or a person has enough.
    async fn survey(&self, segment: &Segment, pace: Pace) -> Result<(Findings, Duration), Failure> {
        let clock = Clock::start();
        let (audit, keep_audit) = match &self.audit {
            None => (Audit::default(), None),
            Some(path) => {
                let (audit, keep) = Audit::open(path, clock).map_err(|error| unwritable(path, &error))?;
                (audit, Some(keep))
            }
        };
        let (bus, keep_bus) = desk(audit, clock);
        let survey = Survey::new(segment.clone(), self.known(), pace, seed(), clock.now());
        let mut findings = Findings::default();
        let mut progress = Progress::open(clock);
        let work = async {
            let mut round = round::Round::new(survey, bus, clock);
            let mut signals = Signals::open()?;
            let mut stopped = false;
            loop {
                tokio::select! {
                    _ = signals.next(), if !stopped => {
                        stopped = true;
                        round.stop();
                    }
                    event = round.next() => match event {
                        None => return Ok::<_, Failure>(()),
                        Some(event) => {
                            findings.note(event, round.counts());
                            progress.draw(|| Bar::of(&findings));
                        }
                    },
                }
            }
        };
        let auditing = async {
            if let Some(keep) = keep_audit {
                keep.await;
            }
        };
        // The bus ends when the survey drops it, and with the bus the audit log.
        let (done, (), ()) = tokio::join!(work, keep_bus, auditing);
        progress.clear();
        done?;
        Ok((findings, clock.now().since(Timestamp::START)))
    }

    async fn segment(&self) -> Result<Segment, Failure> {
        let mut targets = Vec::with_capacity(self.targets.len());
        for target in &self.targets {
            targets.push(named(target, self.port).await?);
        }
        Segment::new(&targets, &self.deny, self.units, self.port).map_err(|wrong| self.refusal(&wrong))
    }

    fn refusal(&self, wrong: &[SegmentError]) -> Failure {
        let lines = wrong.iter().map(|error| match error {
            SegmentError::Deny(..) => format!("--deny: {error}"),
            SegmentError::Target(..)
            | SegmentError::Denied(..)
            | SegmentError::Many(_)
            | SegmentError::Nothing
            | SegmentError::NoUnit => error.to_string(),
        });
        Failure::Usage(lines.collect::<Vec<_>>().join("\n"))
    }

    /// The profiles that are compiled in, and those of this host's owner; what is wrong with one is told.
    fn known(&self) -> Arc<Profiles> {
        let (profiles, problems) = profiles::load(&self.profiles);
        for problem in problems {
            eprintln!("warning: {problem}");
        }
        profiles
    }

    fn pace(&self) -> Pace {
        Pace {
            reply: self.timeout,
            requests: self.rate,
            host_requests: self.host_rate,
            connections: self.connect_rate,
            silent: self.silent,
            ..Pace::default()
        }
    }
}

/// What a device is as a Thing; nobody keeps it, so its id says where it is.
fn thing(device: &Device) -> Json {
    let way = way(&device.target);
    let nobody = "scan".parse().unwrap_or_else(|_| unreachable!("a word is an id"));
    let id = service(&device.identified, &nobody, &way, device.unit, &Placement::default(), None).id;
    let door = Door::default();
    Thing { id: &id, identified: &device.identified, way: &way, unit: device.unit, door: &door }.describe()
}

/// A host's name becomes its address; whatever else is written stays as it is.
async fn named(target: &str, port: u16) -> Result<String, Failure> {
    let (place, options) =
        target.split_once('?').map_or((target, String::new()), |(place, rest)| (place, format!("?{rest}")));
    let (host, port) = match place.rsplit_once(':') {
        Some((host, given)) => (host, given.parse().unwrap_or(port)),
        None => (place, port),
    };
    let a_name = host.contains(|c: char| c.is_ascii_alphabetic())
        && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'));
    if !a_name {
        return Ok(target.to_owned());
    }
    let found = lookup_host((host, port)).await.map_err(|error| Failure::Usage(format!("{host}: {error}")))?;
    let mut addresses: Vec<_> = found.collect();
    addresses.sort_by_key(std::net::SocketAddr::is_ipv6);
    let address = addresses.first().ok_or_else(|| Failure::Usage(format!("{host} has no address")))?;
    Ok(format!("{address}{options}"))
}

/// Nobody needs to foresee in which order hosts are asked; a restart should not repeat it.
fn seed() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::Usage(format!("--audit {}: {error}", path.display()))
}

fn reply_time(text: &str) -> Result<Duration, String> {
    let given = words::duration(text).map_err(|error| error.to_string())?;
    if (Duration::from_millis(10)..=Duration::from_secs(60)).contains(&given) {
        Ok(given)
    } else {
        Err(format!("{} is outside 10ms to 1m", words::Span(given)))
    }
}
