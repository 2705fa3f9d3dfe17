//! What is offered, by what, and where it is reached.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use core::borrow::Borrow;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;

use crate::place::{Area, Fix};
use crate::time::Duration;

/// One thing on offer, as one source knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// Its lasting name; the same from every source that means the same thing.
    pub id: ServiceId,
    /// What callers ask for.
    pub name: ServiceName,
    /// What offers it.
    pub kind: Kind,
    /// The agent that offers it. A service without a position of its own stands where its agent stands.
    pub agent: Option<AgentId>,
    /// Where it is reached, where known.
    pub endpoint: Option<Endpoint>,
    /// Where it stands, where known.
    pub fix: Option<Fix>,
    /// Where it holds, if not just where it stands.
    pub area: Option<Area>,
    /// Higher is preferred; 0 to 255.
    pub priority: u8,
    /// Whether lives may depend on it (DESIGN 3: safety-critical queries ask for these first).
    pub critical: bool,
    /// What it has to give, for constraints such as `power_kw >= 22`.
    pub resources: BTreeMap<Box<str>, Value>,
    /// Whatever else it says of itself.
    pub metadata: BTreeMap<Box<str>, Box<str>>,
    /// Whether it answers.
    pub health: Health,
    /// How long it takes to answer, where anybody knows.
    pub latency: Option<Latency>,
    /// How far the word for it can be believed.
    pub trust: Trust,
}

impl Service {
    /// A service of which nothing is known but what it is.
    pub fn new(id: ServiceId, name: ServiceName, kind: Kind) -> Self {
        Self {
            id,
            name,
            kind,
            agent: None,
            endpoint: None,
            fix: None,
            area: None,
            priority: 0,
            critical: false,
            resources: BTreeMap::new(),
            metadata: BTreeMap::new(),
            health: Health::Unknown,
            latency: None,
            trust: Trust::Unsigned,
        }
    }

    /// Bytes of text and values it carries: what the caps on one entry count.
    pub fn weight(&self) -> usize {
        let resources: usize = self.resources.iter().map(|(key, value)| key.len() + value.weight()).sum();
        let metadata: usize = self.metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
        self.id.as_str().len() + self.name.as_str().len() + resources + metadata
    }
}

/// The lasting name of a service: `{id}@{agent}` for what an agent offers, the agent's id itself for the agent's own
/// presence (service `wayside`), and the DNS-SD instance name in lower case for what somebody else announces by mDNS.
///
/// 1 to 255 bytes, no control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId(Box<str>);

impl ServiceId {
    /// What `agent` calls `id`.
    pub fn of(id: &Label, agent: &AgentId) -> Self {
        Self(format!("{id}@{agent}").into())
    }

    /// The presence of `agent` itself.
    pub fn agent(agent: &AgentId) -> Self {
        Self(agent.as_str().into())
    }

    /// A DNS-SD instance by its full name, e.g. `printer._http._tcp.local`. An `@` in it is spelled `\064` as DNS
    /// master files do, so that nobody on the link can pose as `id@agent`.
    ///
    /// # Errors
    /// [`NameError`] if it is empty, longer than 255 bytes or holds control characters.
    pub fn dns(full_name: &str) -> Result<Self, NameError> {
        full_name.to_lowercase().replace('@', "\\064").parse()
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The two halves of `{id}@{agent}`, where it has two.
    pub fn parts(&self) -> Option<(&str, &str)> {
        self.0.split_once('@')
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ServiceId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let length = text.len();
        if length == 0 || length > 255 || text.chars().any(char::is_control) {
            return Err(NameError::new("service id", text, "1 to 255 bytes without control characters"));
        }
        Ok(Self(text.into()))
    }
}

/// A word that is safe in a topic level, a path and a file name: 1 to 64 of `A-Z a-z 0-9 . _ - :`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(Box<str>);

impl Label {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Label {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b':');
        if text.is_empty() || text.len() > 64 || !text.bytes().all(safe) {
            return Err(NameError::new("id", text, "1 to 64 of A-Z a-z 0-9 . _ - :"));
        }
        Ok(Self(text.into()))
    }
}

/// The id of an agent, alone on its broker and its link; a [`Label`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentId(Label);

impl AgentId {
    /// As text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl Borrow<str> for AgentId {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for AgentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for AgentId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        text.parse().map(Self).map_err(|error: NameError| NameError { what: "agent id", ..error })
    }
}

/// What callers ask for: lower case letters, digits, dots and dashes, e.g. `charging`, `traffic-light`,
/// `modbus.inverter`. 1 to 64 bytes, beginning and ending with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName(Box<str>);

impl ServiceName {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name under which agents themselves are found: `wayside`, on DNS-SD `_wayside._tcp`.
    pub fn wayside() -> Self {
        Self("wayside".into())
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ServiceName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = text.as_bytes();
        let ends = bytes.first().is_some_and(plain) && bytes.last().is_some_and(plain);
        if !ends || bytes.len() > 64 || !bytes.iter().all(|byte| plain(byte) || matches!(byte, b'.' | b'-')) {
            return Err(NameError::new(
                "service name",
                text,
                "1 to 64 of a-z 0-9 . - with a letter or digit at both ends",
            ));
        }
        Ok(Self(text.into()))
    }
}

/// A name that is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {given:?} is not allowed: {limit}")]
pub struct NameError {
    what: &'static str,
    given: String,
    limit: &'static str,
}

impl NameError {
    fn new(what: &'static str, given: &str, limit: &'static str) -> Self {
        Self { what, given: given.chars().take(80).collect(), limit }
    }
}

/// What offers a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An edge gateway.
    Gateway,
    /// A vehicle: it moves, and what it offers moves along.
    Vehicle,
    /// A roadside unit.
    Roadside,
    /// A device behind a gateway, or on the link by itself.
    Device,
    /// A program without a body.
    Software,
}

impl Kind {
    /// Every kind, in the order of the words in the configuration.
    pub const ALL: [Self; 5] = [Self::Gateway, Self::Vehicle, Self::Roadside, Self::Device, Self::Software];

    /// The word for it in configuration, TXT records and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Vehicle => "vehicle",
            Self::Roadside => "roadside",
            Self::Device => "device",
            Self::Software => "software",
        }
    }

    /// How sure a position of such a thing is if it does not say: one sigma, metres. What stands still is surveyed
    /// once; what moves has a receiver.
    pub const fn usual_accuracy(self) -> f32 {
        match self {
            Self::Vehicle => 5.0,
            Self::Gateway | Self::Roadside | Self::Device | Self::Software => 1.0,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| NameError::new("kind", text, "gateway, vehicle, roadside, device or software"))
    }
}

/// Where a service is reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// Address or host name.
    pub host: Host,
    /// TCP or UDP port; 0 where the service has none.
    pub port: u16,
}

impl Endpoint {
    /// The socket address, if the host is one.
    pub fn socket(&self) -> Option<SocketAddr> {
        match self.host {
            Host::Ip(ip) => Some(SocketAddr::new(ip, self.port)),
            Host::Name(_) => None,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]:{}", self.port),
            host @ (Host::Ip(IpAddr::V4(_)) | Host::Name(_)) => write!(f, "{host}:{}", self.port),
        }
    }
}

/// An address, or a name for one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// IPv4 or IPv6.
    Ip(IpAddr),
    /// A DNS name, at most 253 bytes of letters, digits, dots, dashes and underscores; may carry a zone (`%eth0`).
    Name(Box<str>),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl FromStr for Host {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if let Ok(ip) = text.parse() {
            return Ok(Self::Ip(ip));
        }
        let safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'%');
        if text.is_empty() || text.len() > 253 || !text.bytes().all(safe) {
            return Err(NameError::new("address", text, "an IP address or a host name of at most 253 bytes"));
        }
        Ok(Self::Name(text.into()))
    }
}

/// What a resource amounts to.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A finite number.
    Number(f64),
    /// Yes or no.
    Flag(bool),
    /// A word.
    Text(Box<str>),
}

impl Value {
    fn weight(&self) -> usize {
        match self {
            Self::Number(_) | Self::Flag(_) => 8,
            Self::Text(text) => text.len(),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Flag(flag) => flag.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl FromStr for Value {
    type Err = core::convert::Infallible;

    /// Reads `22` as a number, `true` as a flag and anything else as a word.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match (text.parse::<f64>(), text) {
            (Ok(number), _) if number.is_finite() => Self::Number(number),
            (_, "true") => Self::Flag(true),
            (_, "false") => Self::Flag(false),
            _ => Self::Text(text.to_owned().into()),
        })
    }
}

/// Whether a service answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Health {
    /// The last check succeeded, or the announcer says so.
    Passing,
    /// Nobody has checked.
    Unknown,
    /// The last checks failed.
    Failing,
}

impl Health {
    /// The word for it in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Unknown => "unknown",
            Self::Failing => "failing",
        }
    }
}

/// How long a service takes to answer, and how we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// Round trip.
    pub round_trip: Duration,
    /// Measured by this agent, reported by the instance, or what its tier usually takes.
    pub basis: Basis,
}

/// How a figure came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Basis {
    /// This agent took the time itself.
    Measured,
    /// The instance says so.
    Reported,
    /// Its tier is usually like that.
    Estimated,
}

impl Basis {
    /// The word for it in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Reported => "reported",
            Self::Estimated => "estimated",
        }
    }
}

/// How far the word for a service can be believed, from least to most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trust {
    /// Anybody on the link or the broker could have said it.
    Unsigned,
    /// Signed with a key that is known.
    Signed,
    /// This agent vouches for it itself.
    Own,
}

impl Trust {
    /// The word for it in JSON and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::Signed => "signed",
            Self::Own => "own",
        }
    }
}

impl FromStr for Trust {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        [Self::Unsigned, Self::Signed, Self::Own]
            .into_iter()
            .find(|trust| trust.as_str() == text)
            .ok_or_else(|| NameError::new("trust", text, "unsigned, signed or own"))
    }
}

#[cfg(test)]
mod tests;
