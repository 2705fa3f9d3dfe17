//! What is at the other end of one connection, and how it is written.

use alloc::borrow::ToOwned as _;
use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;

use super::frame::Framing;
use crate::time::Duration;

/// One connection: a socket, or a serial line. Everything behind it is asked one request at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// Modbus TCP: `10.3.0.9:502`.
    Tcp(SocketAddr),
    /// A line's frames carried over TCP by a serial server: `10.3.0.9:4001?framing=rtu`.
    RtuOverTcp(SocketAddr),
    /// A serial line of this host: `/dev/ttyUSB0?baud=9600&parity=even`.
    Serial(Serial),
}

impl Target {
    /// How its frames are told apart.
    pub const fn framing(&self) -> Framing {
        match self {
            Self::Tcp(_) => Framing::Tcp,
            Self::RtuOverTcp(_) | Self::Serial(_) => Framing::Rtu,
        }
    }

    /// The address, unless it is a serial line.
    pub const fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) | Self::RtuOverTcp(address) => Some(*address),
            Self::Serial(_) => None,
        }
    }

    /// The serial line, if it is one.
    pub const fn serial(&self) -> Option<&Serial> {
        match self {
            Self::Serial(serial) => Some(serial),
            Self::Tcp(_) | Self::RtuOverTcp(_) => None,
        }
    }

    /// What is spoken there: `modbus-tcp`, `modbus-rtu-tcp` or `modbus-rtu`.
    pub const fn protocol(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "modbus-tcp",
            Self::RtuOverTcp(_) => "modbus-rtu-tcp",
            Self::Serial(_) => "modbus-rtu",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::RtuOverTcp(address) => write!(f, "{address}?framing=rtu"),
            Self::Serial(serial) => f.write_str(&serial.path),
        }
    }
}

/// A serial line and how it is set. The defaults are those of the specification (Serial Line V1.02, 3.2).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Serial {
    /// Its device file.
    pub path: Box<str>,
    /// Bits a second.
    pub baud: u32,
    /// The bit that is added to each byte.
    pub parity: Parity,
    /// Stop bits, 1 or 2.
    pub stop: u8,
}

impl Serial {
    /// How long one byte takes: a start bit, eight of data, parity, and what ends it.
    pub fn byte(&self) -> Duration {
        let bits = 9 + u64::from(self.stop) + u64::from(self.parity != Parity::None);
        Duration::from_nanos(bits * 1_000_000_000 / u64::from(self.baud.max(1)))
    }

    /// The silence that ends a frame: 3.5 characters, and 1.75 ms above 19,200 baud (V1.02, 2.5.1.1).
    pub fn silence(&self) -> Duration {
        if self.baud > 19_200 { Duration::from_micros(1_750) } else { self.byte() * 7 / 2 }
    }
}

/// The bit that is added to each byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Parity {
    /// None.
    None,
    /// It makes the ones even.
    Even,
    /// It makes the ones odd.
    Odd,
}

/// What is written as a target: one connection, or every address of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Written {
    Net(Net, u16, Framing),
    Serial(Serial),
}

impl Written {
    /// Reads `10.3.0.0/24:502`, `10.3.0.9`, `[fd00::9]:502?framing=rtu` or `/dev/ttyUSB0?baud=9600`. `port` is meant
    /// where none is written.
    pub(super) fn read(text: &str, port: u16) -> Result<Self, TargetError> {
        let (place, options) = text.trim().split_once('?').unwrap_or_else(|| (text.trim(), ""));
        if place.starts_with('/') && !place.contains(char::is_control) && place.len() <= 255 {
            return serial(place, options).map(Self::Serial);
        }
        let wrong = || TargetError::Form(shortened(text));
        let (net, port) = match place.rsplit_once(':') {
            // What follows the last colon of a bare IPv6 address is not a port.
            Some((net, given)) if !net.contains(':') || net.contains(']') => {
                (net, given.parse().ok().filter(|port| *port != 0).ok_or_else(|| TargetError::Port(shortened(given)))?)
            }
            _ => (place, port),
        };
        let net: Net = net.parse().map_err(|()| wrong())?;
        net.check()?;
        let mut framing = Framing::Tcp;
        for (key, value) in pairs(options) {
            framing = match (key, value) {
                ("framing", "rtu") => Framing::Rtu,
                ("framing", "tcp") => Framing::Tcp,
                _ => return Err(TargetError::Option(shortened(key), shortened(value), "framing=tcp or framing=rtu")),
            };
        }
        Ok(Self::Net(net, port, framing))
    }
}

fn serial(path: &str, options: &str) -> Result<Serial, TargetError> {
    let mut serial = Serial { path: path.into(), baud: 19_200, parity: Parity::Even, stop: 1 };
    for (key, value) in pairs(options) {
        let wrong = |allowed| Err(TargetError::Option(shortened(key), shortened(value), allowed));
        match (key, value) {
            ("baud", _) => match value.parse() {
                Ok(baud) if (1_200..=1_000_000).contains(&baud) => serial.baud = baud,
                _ => return wrong("baud=1200 to baud=1000000"),
            },
            ("parity", "none") => serial.parity = Parity::None,
            ("parity", "even") => serial.parity = Parity::Even,
            ("parity", "odd") => serial.parity = Parity::Odd,
            ("parity", _) => return wrong("parity=none, even or odd"),
            ("stop", "1") => serial.stop = 1,
            ("stop", "2") => serial.stop = 2,
            ("stop", _) => return wrong("stop=1 or stop=2"),
            ("framing", "rtu") => {}
            _ => return wrong("baud, parity, stop and framing=rtu"),
        }
    }
    Ok(serial)
}

fn pairs(options: &str) -> impl Iterator<Item = (&str, &str)> {
    options.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Addresses that begin alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Net {
    base: u128,
    prefix: u8,
    four: bool,
}

impl Net {
    fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        let (bits, four) = match address.to_canonical() {
            IpAddr::V4(address) => (u128::from(address.to_bits()), true),
            IpAddr::V6(address) => (address.to_bits(), false),
        };
        let width = if four { 32 } else { 128 };
        (prefix <= width).then(|| {
            let low = (width - prefix).into();
            Self { base: bits.checked_shr(low).and_then(|high| high.checked_shl(low)).unwrap_or(0), prefix, four }
        })
    }

    fn low_bits(self) -> u8 {
        if self.four { 32 - self.prefix } else { 128 - self.prefix }
    }

    fn check(self) -> Result<(), TargetError> {
        if self.low_bits() > MOST_LOW_BITS {
            return Err(TargetError::Large(self));
        }
        // A network of at most 1,024 addresses lies wholly inside a private range, or wholly outside.
        let first = self.at(self.base);
        if private(first) { Ok(()) } else { Err(TargetError::Public(first)) }
    }

    fn at(self, bits: u128) -> IpAddr {
        // The cast cannot cut: four says that there are 32 bits.
        if self.four { IpAddr::V4((bits as u32).into()) } else { IpAddr::V6(bits.into()) }
    }

    pub(super) fn contains(self, address: IpAddr) -> bool {
        Self::new(address, self.prefix).is_some_and(|net| net == self)
    }

    /// Its hosts: without the network's own and the broadcast address where IPv4 has such.
    pub(super) fn hosts(self) -> impl Iterator<Item = IpAddr> {
        let last = self.base + ((1_u128 << self.low_bits().min(MOST_LOW_BITS)) - 1);
        let edge = u128::from(self.four && self.low_bits() > 1);
        (self.base + edge..=last - edge).map(move |bits| self.at(bits))
    }
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.at(self.base), self.prefix)
    }
}

impl FromStr for Net {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let bare = |text: &str| text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text).parse();
        let (address, prefix) = match text.split_once('/') {
            // `[fd00::/120]` and `[fd00::]/120` are the same.
            Some((address, prefix)) => (
                bare(address.strip_prefix('[').unwrap_or(address).trim_end_matches(']')),
                Some(prefix.trim_end_matches(']').parse::<u8>().map_err(|_| ())?),
            ),
            None => (bare(text), None),
        };
        let address: IpAddr = address.map_err(|_| ())?;
        Self::new(address, prefix.unwrap_or_else(|| if address.to_canonical().is_ipv4() { 32 } else { 128 })).ok_or(())
    }
}

/// Whether an address is of this host or of a network that nobody reaches from outside: RFC 1918, link-local, loopback
/// and unique local addresses.
pub fn private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_private() || address.is_link_local() || address.is_loopback(),
        IpAddr::V6(address) => address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local(),
    }
}

/// Why a text is no target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It is of no known form.
    #[error("{0:?} is no target; write 10.3.0.0/24:502, 10.3.0.9:502 or /dev/ttyUSB0?baud=9600&parity=even")]
    Form(String),
    /// Its port is none.
    #[error("port {0:?} is outside 1 to 65535")]
    Port(String),
    /// An option that is not known, or has a value that is not allowed.
    #[error("option {0}={1} is not allowed: {2}")]
    Option(String, String, &'static str),
    /// Too many addresses.
    #[error("{0} has more than 1024 addresses; a network is at most a /22 (IPv6: /118)")]
    Large(Net),
    /// An address that is not private.
    #[error("{0} is a public address; allowed are private, link-local and loopback ones")]
    Public(IpAddr),
}

fn shortened(text: &str) -> String {
    text.char_indices().nth(80).map_or(text, |(at, _)| &text[..at]).to_owned()
}

/// 1,024 addresses: a /22, or a /118.
const MOST_LOW_BITS: u8 = 10;
