//! DNS-SD service types and the names callers ask for.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use super::name::Name;
use crate::service::{NameError, ServiceName};

/// A DNS-SD service type on the link: `_http._tcp`, `_coap._udp`; or [`ServiceType::all`], every type that anybody
/// advertises (RFC 6763 section 9). Lower case.
///
/// RFC 6335 says 1 to 15 letters, digits and dashes. Longer ones are in the field, so up to 63 are read;
/// [`ServiceType::of`] makes none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceType(Box<str>);

impl ServiceType {
    /// The type that agents themselves are, `_wayside._tcp`.
    pub fn wayside() -> Self {
        Self("_wayside._tcp".into())
    }

    /// Every type that is advertised, written `*`. Browsing it yields types, not instances.
    pub fn all() -> Self {
        Self(ALL.into())
    }

    /// What Modbus servers are, `_modbus._tcp`.
    pub fn modbus() -> Self {
        Self("_modbus._tcp".into())
    }

    /// Whether this is [`ServiceType::all`].
    pub fn is_all(&self) -> bool {
        &*self.0 == ALL
    }

    /// The type under which a service called `name` is announced, `_{name}._tcp`.
    ///
    /// # Errors
    /// [`ServiceTypeError`] if `name` is no legal label of a DNS-SD type: RFC 6335 section 5.1 allows 1 to 15 letters,
    /// digits and single dashes inside, with at least one letter.
    pub fn of(name: &ServiceName) -> Result<Self, ServiceTypeError> {
        let label = name.as_str();
        if label.len() > 15 || label.contains("--") {
            return Err(ServiceTypeError::new(label));
        }
        format!("_{label}._tcp").parse()
    }

    /// What callers ask for when they mean this type: `_http._tcp` is `http`. `_udp` types have the same name (the
    /// instance then says `proto=udp` in its metadata), since a caller seldom knows the transport.
    ///
    /// # Errors
    /// [`NameError`] for `*`, which is no name.
    pub fn name(&self) -> Result<ServiceName, NameError> {
        self.label().parse()
    }

    /// Whether its instances are reached by UDP.
    pub fn udp(&self) -> bool {
        self.0.ends_with("._udp")
    }

    /// As text, e.g. `_http._tcp`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads `_http._tcp.local` in any case.
    pub(super) fn read(name: &Name) -> Option<Self> {
        let mut labels = name.labels();
        let (label, proto) = (labels.next()?, labels.next()?);
        if !labels.next()?.eq_ignore_ascii_case(b"local") || labels.next().is_some() {
            return None;
        }
        format!("{}.{}", core::str::from_utf8(label).ok()?, core::str::from_utf8(proto).ok()?).parse().ok()
    }

    /// The name of its PTR records.
    pub(super) fn owner(&self) -> Name {
        let (label, proto) = self.0.split_once('.').unwrap_or(("_services", "_dns-sd"));
        let owner = if self.is_all() {
            Name::of(&[b"_services", b"_dns-sd", b"_udp", b"local"])
        } else {
            Name::of(&[label.as_bytes(), proto.as_bytes(), b"local"])
        };
        owner.unwrap_or_else(Name::root)
    }

    fn label(&self) -> &str {
        self.0.split_once('.').map_or(&*self.0, |(label, _)| label.strip_prefix('_').unwrap_or(label))
    }
}

impl fmt::Display for ServiceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ServiceType {
    type Err = ServiceTypeError;

    /// Reads `_http._tcp` in any case, with or without `.local` and a dot at the end; or `*`.
    fn from_str(text: &str) -> Result<Self, ServiceTypeError> {
        if text == ALL {
            return Ok(Self::all());
        }
        let wrong = || ServiceTypeError::new(text);
        let lower = text.to_ascii_lowercase();
        let bare = lower.strip_suffix('.').unwrap_or(&lower);
        let bare = bare.strip_suffix(".local").unwrap_or(bare);
        let (label, proto) = bare.strip_prefix('_').and_then(|bare| bare.split_once('.')).ok_or_else(wrong)?;
        let inner = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
        let ends = !label.starts_with('-') && !label.ends_with('-');
        let lettered = label.bytes().any(|byte| byte.is_ascii_alphabetic());
        if !matches!(proto, "_tcp" | "_udp") || label.len() > 62 || !ends || !lettered {
            return Err(wrong());
        }
        if label.as_bytes().iter().all(inner) { Ok(Self(bare.into())) } else { Err(wrong()) }
    }
}

/// A DNS-SD type that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "DNS-SD type {given:?} is not allowed: write _name._tcp or _name._udp, name of letters, digits and dashes, or *"
)]
pub struct ServiceTypeError {
    given: String,
}

impl ServiceTypeError {
    fn new(given: &str) -> Self {
        Self { given: given.chars().take(80).collect() }
    }
}

const ALL: &str = "*";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_read_however_people_write_it() {
        for text in ["_http._tcp", "_HTTP._TCP.local", "_http._tcp.local."] {
            assert_eq!(text.parse::<ServiceType>().unwrap().as_str(), "_http._tcp", "{text}");
        }
        for bad in ["", "http", "_http", "_http._sctp", "_._tcp", "_-a._tcp", "_a b._tcp", "_42._tcp", "_x.y._tcp"] {
            assert!(bad.parse::<ServiceType>().is_err(), "{bad}");
        }
    }

    #[test]
    fn types_and_names_map_both_ways() {
        let name: ServiceName = "opcua-tcp".parse().unwrap();
        let made = ServiceType::of(&name).unwrap();
        assert_eq!((made.as_str(), made.name().unwrap()), ("_opcua-tcp._tcp", name));
        assert!(ServiceType::of(&"modbus.inverter".parse().unwrap()).is_err());
        assert!(ServiceType::of(&"sixteen-letters-".trim_end_matches('-').parse().unwrap()).is_ok());
        assert!(ServiceType::of(&"sixteen-letters-x".parse().unwrap()).is_err());
        assert!(ServiceType::all().name().is_err());
    }
}
