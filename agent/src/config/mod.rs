//! The configuration: as written ([`ConfigFile`]) and as meant ([`Config`]).
//!
//! Everything has a default, so that an empty file is a working agent. `defaults.toml` says for people what
//! [`Config::default`] says for the program; a test holds them equal. Whatever is wrong is told at once, each with its
//! place and a hint.

mod api;
mod envoy;
mod file;
mod homeassistant;
pub mod identity;
mod limits;
mod masked;
mod modbus;
mod mqtt;
mod otlp;
pub mod problem;
mod registry;
pub(crate) mod section;
mod service;
pub mod settings;
pub mod state;
mod upstream;
pub(crate) mod written;

use std::path::PathBuf;

use wayside_protocols::place::Position;
use wayside_protocols::service::{AgentId, Kind};
use wayside_protocols::time::Duration;

pub use api::{Api, ApiTls, Token};
pub use envoy::Envoy;
pub use file::ConfigFile;
pub use homeassistant::HomeAssistant;
pub use limits::Limits;
pub use modbus::{Modbus, ModbusSegment};
pub use mqtt::{Mqtt, Secret};
pub use otlp::Otlp;
pub use registry::{Engine, Registry};
pub use service::OwnService;
pub use upstream::Upstream;

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
    /// Or the gpsd that knows, as `HOST:PORT`.
    pub gpsd: Option<Box<str>>,
    /// The HTTP API.
    pub api: Api,
    /// Where registrations and the epoch are kept.
    pub state_dir: PathBuf,
    /// Multicast DNS.
    pub mdns: Mdns,
    /// The broker; `None` speaks no MQTT.
    pub mqtt: Option<Mqtt>,
    /// How often it takes a new name on the air; `None` keeps its id.
    pub rotate: Option<Duration>,
    /// Which Modbus devices may be asked.
    pub modbus: Modbus,
    /// Own services, announced as long as the agent runs.
    pub services: Vec<OwnService>,
    /// Whom to ask where nobody near has an answer, and whom to tell what is on offer here.
    pub upstreams: Vec<Upstream>,
    /// What makes this node a registry itself; `None` if it is none.
    pub registry: Option<Registry>,
    /// What is written for an Envoy on this host.
    pub envoy: Option<Envoy>,
    /// How devices are shown to Home Assistant; `None` for not at all.
    pub homeassistant: Option<HomeAssistant>,
    /// Where metrics and traces are sent.
    pub otlp: Option<Otlp>,
    /// Every cap.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            id: None,
            kind: Kind::Gateway,
            position: None,
            gpsd: None,
            api: Api::default(),
            state_dir: PathBuf::from(state::DEFAULT_DIR),
            mdns: Mdns::default(),
            mqtt: None,
            rotate: None,
            modbus: Modbus::default(),
            services: Vec::new(),
            upstreams: Vec::new(),
            registry: None,
            envoy: None,
            homeassistant: None,
            otlp: None,
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
            ("position", self.position != other.position || self.gpsd != other.gpsd),
            ("api", self.api != other.api),
            ("state", self.state_dir != other.state_dir),
            ("mdns", self.mdns != other.mdns),
            ("mqtt", self.mqtt != other.mqtt),
            ("privacy", self.rotate != other.rotate),
            ("modbus", self.modbus != other.modbus),
            ("service", self.services != other.services),
            ("upstream", self.upstreams != other.upstreams),
            ("registry", self.registry != other.registry),
            ("envoy", self.envoy != other.envoy),
            ("homeassistant", self.homeassistant != other.homeassistant),
            ("otlp", self.otlp != other.otlp),
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
        let (position, gpsd) = root.table("position", position);
        let rotate = root.table("privacy", |privacy| privacy.duration("rotate", SHORTEST_NAME, LONGEST_NAME));
        let config = Config {
            id: root.parsed("id", "a host name without spaces does well"),
            kind,
            position,
            gpsd,
            api: root.table("api", api::read),
            state_dir: root.table("state", |state| state.path("dir")).unwrap_or(default.state_dir),
            mdns: root.table("mdns", mdns),
            mqtt: mqtt::read(&mut root),
            rotate,
            modbus: modbus::read(&mut root),
            services: service::read(&mut root),
            upstreams: upstream::read(&mut root),
            registry: registry::read(&mut root),
            envoy: envoy::read(&mut root),
            homeassistant: homeassistant::read(&mut root, rotate.is_some()),
            otlp: otlp::read(&mut root),
            limits: root.table("limits", limits::read),
        };
        root.finish();
        (config, notes)
    }
}

/// How long a passing name is kept.
const SHORTEST_NAME: Duration = Duration::from_secs(30);
const LONGEST_NAME: Duration = Duration::from_secs(86_400);

/// `lat` and `lon`, both or neither, with what else is known about the point.
fn position(section: &mut Section<'_, '_>) -> (Option<Standing>, Option<Box<str>>) {
    let gpsd = section.take("gpsd", |node| gpsd(section::text(node)?));
    let standing = point(section, 1.0);
    if gpsd.is_some() && standing.is_some() {
        section.complain("gpsd", "is set beside lat and lon", "keep one: a receiver, or a fixed place");
    }
    (standing, gpsd)
}

fn gpsd(text: &str) -> Result<Box<str>, section::Complaint> {
    let right = text.rsplit_once(':').is_some_and(|(host, port)| {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let named = bare.map_or_else(|| !host.contains(':'), |host| host.contains(':'));
        !host.is_empty() && named && !host.contains(['/', ' ', '@']) && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    let hint = || "like \"127.0.0.1:2947\" or \"[::1]:2947\"".to_owned();
    if right { Ok(text.into()) } else { Err((format!("is {text:?}, but must be HOST:PORT"), hint())) }
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
