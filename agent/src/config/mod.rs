//! The configuration: as written ([`ConfigFile`]) and as meant ([`Config`]).
//!
//! Everything has a default, so that an empty file is a working agent. `defaults.toml` says for people what
//! [`Config::default`] says for the program; a test holds them equal. Whatever is wrong is told at once, each with its
//! place and a hint.

mod api;
mod file;
pub mod identity;
mod later;
mod limits;
mod modbus;
mod mqtt;
pub mod problem;
pub(crate) mod section;
mod service;
pub mod settings;
pub mod state;
pub(crate) mod written;

use std::path::PathBuf;

use wayside_protocols::place::Position;
use wayside_protocols::service::{AgentId, Kind};

pub use api::{Api, ApiTls, Token};
pub use file::ConfigFile;
pub use limits::Limits;
pub use modbus::{Modbus, ModbusSegment};
pub use mqtt::{Mqtt, Secret};
pub use service::OwnService;

use problem::{Problem, Problems};
use section::{Notes, Section};

/// The configuration as meant.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The agent's id; `None` derives one from this machine ([`identity::agent_id`]).
    pub id: Option<AgentId>,
    /// What this agent is.
    pub kind: Kind,
    /// Where it stands, if that is written down.
    pub position: Option<Standing>,
    /// The HTTP API.
    pub api: Api,
    /// Where registrations and the epoch are kept.
    pub state_dir: PathBuf,
    /// Multicast DNS.
    pub mdns: Mdns,
    /// The broker; `None` speaks no MQTT.
    pub mqtt: Option<Mqtt>,
    /// Which Modbus devices may be asked.
    pub modbus: Modbus,
    /// Own services, announced as long as the agent runs.
    pub services: Vec<OwnService>,
    /// Every cap.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            id: None,
            kind: Kind::Gateway,
            position: None,
            api: Api::default(),
            state_dir: PathBuf::from(state::DEFAULT_DIR),
            mdns: Mdns::default(),
            mqtt: None,
            modbus: Modbus::default(),
            services: Vec::new(),
            limits: Limits::default(),
        }
    }
}

impl Config {
    /// The sections in which `other` says something else.
    pub fn differs(&self, other: &Self) -> Vec<&'static str> {
        let sections = [
            ("id", self.id != other.id),
            ("kind", self.kind != other.kind),
            ("position", self.position != other.position),
            ("api", self.api != other.api),
            ("state", self.state_dir != other.state_dir),
            ("mdns", self.mdns != other.mdns),
            ("mqtt", self.mqtt != other.mqtt),
            ("modbus", self.modbus != other.modbus),
            ("service", self.services != other.services),
            ("limits", self.limits != other.limits),
        ];
        sections.into_iter().filter(|(_, differs)| *differs).map(|(section, _)| section).collect()
    }
}

/// A point that does not move, and how well it is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// Where.
    pub position: Position,
    /// One standard deviation, metres.
    pub accuracy: f32,
}

/// Whether and where multicast DNS is spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mdns {
    /// Whether at all.
    pub enabled: bool,
    /// Interfaces by name; empty for all that are up and multicast.
    pub interfaces: Vec<Box<str>>,
    /// DNS-SD types to browse; `*` for all that are advertised.
    pub browse: Vec<Box<str>>,
}

impl Default for Mdns {
    fn default() -> Self {
        let types = ["_wayside._tcp", "_http._tcp", "_mqtt._tcp", "_modbus._tcp", "_opcua-tcp._tcp", "_wot._tcp"];
        Self { enabled: true, interfaces: Vec::new(), browse: types.map(Box::from).to_vec() }
    }
}

/// Every setting with its default, commented for people. What `wayside check --defaults` prints.
pub const DEFAULTS: &str = include_str!("defaults.toml");

impl ConfigFile {
    /// What is meant, with warnings; or everything that is wrong.
    ///
    /// # Errors
    /// [`Problems`], at least one, in the order of the files and lines.
    pub fn check(&self) -> Result<(Config, Vec<Problem>), Problems> {
        let (config, mut notes) = self.read();
        notes.findings.problems.extend(self.unreadable.iter().cloned());
        notes.findings.problems.sort();
        notes.findings.problems.dedup();
        notes.findings.warnings.sort();
        if notes.findings.problems.is_empty() {
            Ok((config, notes.findings.warnings))
        } else {
            Err(Problems(notes.findings.problems))
        }
    }

    fn read(&self) -> (Config, Notes) {
        let mut notes = Notes::default();
        let mut root = Section::root(&self.table, &mut notes);
        let default = Config::default();
        let kind = root.parsed("kind", "").unwrap_or(default.kind);
        let config = Config {
            id: root.parsed("id", "a host name without spaces does well"),
            kind,
            position: root.table("position", position),
            api: root.table("api", api::read),
            state_dir: root.table("state", |state| state.path("dir")).unwrap_or(default.state_dir),
            mdns: root.table("mdns", mdns),
            mqtt: mqtt::read(&mut root),
            modbus: modbus::read(&mut root),
            services: service::read(&mut root),
            limits: root.table("limits", limits::read),
        };
        later::read(&mut root);
        root.finish();
        (config, notes)
    }
}

/// `lat` and `lon`, both or neither, with what else is known about the point.
fn position(section: &mut Section<'_, '_>) -> Option<Standing> {
    let gpsd = later::gpsd(section);
    let standing = point(section, 1.0);
    if gpsd && standing.is_some() {
        section.complain("gpsd", "is set beside lat and lon", "keep one: a receiver, or a fixed place");
    }
    standing
}

/// A point written as `lat`, `lon`, `alt` and `accuracy_m` in a table.
fn point(section: &mut Section<'_, '_>, accuracy: f64) -> Option<Standing> {
    let (lat, lon) = (section.number("lat", -90.0, 90.0), section.number("lon", -180.0, 180.0));
    let alt = section.number("alt", -1_000.0, 20_000.0);
    let accuracy = section.number("accuracy_m", 0.0, 100_000.0).unwrap_or(accuracy);
    for (given, missing) in [("lat", "lon"), ("lon", "lat"), ("alt", "lat"), ("accuracy_m", "lat")] {
        if section.has(given) && !section.has(missing) {
            section.complain(
                given,
                format!("is set without {missing}"),
                "a position takes both lat and lon, in degrees",
            );
            break;
        }
    }
    let flat = Position::new(lat?, lon?).ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "metres within the ranges above")]
    let (position, accuracy) = (alt.map_or(Ok(flat), |metres| flat.at_altitude(metres as f32)).ok()?, accuracy as f32);
    Some(Standing { position, accuracy })
}

fn mdns(section: &mut Section<'_, '_>) -> Mdns {
    let default = Mdns::default();
    let enabled = section.flag("enabled").unwrap_or(default.enabled);
    let interfaces = section.texts("interfaces");
    for name in interfaces.iter().flatten().filter(|name| name.is_empty() || name.len() > 15) {
        section.complain("interfaces", format!("names {name:?}"), "an interface has 1 to 15 letters, like eth0");
    }
    let browse = section.texts("browse");
    for name in browse.iter().flatten().filter(|name| !dns_sd_type(name)) {
        section.complain("browse", format!("names {name:?}"), "a type is written like _http._tcp; \"*\" browses all");
    }
    let boxed = |list: Vec<String>| list.into_iter().map(String::into_boxed_str).collect();
    Mdns {
        enabled,
        interfaces: interfaces.map_or(default.interfaces, boxed),
        browse: browse.map_or(default.browse, boxed),
    }
}

/// RFC 6763 section 7: an underscore, 1 to 15 letters, digits and dashes, and the protocol.
fn dns_sd_type(text: &str) -> bool {
    let name =
        text.strip_suffix("._tcp").or_else(|| text.strip_suffix("._udp")).and_then(|name| name.strip_prefix('_'));
    let legal = |name: &str| {
        (1..=15).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text == "*" || name.is_some_and(legal)
}

#[cfg(test)]
mod tests;
