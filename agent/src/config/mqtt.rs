//! `[mqtt]`: which broker, and as whom.

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use wayside_protocols::time::Duration;

use super::section::{Complaint, Section};

/// The broker, and as whom the agent speaks to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mqtt {
    /// Host name or address.
    pub host: String,
    /// Port; 1883, or 8883 with TLS, unless said otherwise.
    pub port: u16,
    /// Whether the session is encrypted (`mqtts://`).
    pub tls: bool,
    /// Whom to log in as.
    pub username: Option<String>,
    /// With what.
    pub password: Option<Secret>,
    /// PEM with the authorities the broker's certificate may come from; required with TLS.
    pub ca_file: Option<PathBuf>,
    /// PEM with the agent's own certificate.
    pub cert_file: Option<PathBuf>,
    /// PEM with its key.
    pub key_file: Option<PathBuf>,
    /// Whether changes of the catalog are published on `wayside/1/e/{agent}`.
    pub events: bool,
    /// How long a silent connection is believed in.
    pub keep_alive: Duration,
}

/// Something that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub(super) fn inline(text: &str, least: usize) -> Result<Self, Complaint> {
        if text.len() < least {
            let hint = "make one with: head -c 24 /dev/urandom | base64".to_owned();
            return Err((format!("has {} bytes, less than {least}", text.len()), hint));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Reads `[mqtt]`; without it, or without its `url`, MQTT is off.
pub(super) fn read(root: &mut Section<'_, '_>) -> Option<Mqtt> {
    let written = root.has("mqtt");
    root.table("mqtt", |section| {
        let broker = section.take("url", |node| broker(super::section::text(node)?));
        let username = section.text("username").filter(|name| !name.is_empty());
        let password = password(section);
        let (ca_file, cert_file, key_file) =
            (pem(section, "ca_file"), pem(section, "cert_file"), pem(section, "key_file"));
        let events = section.flag("events").unwrap_or(false);
        let keep_alive = section.duration("keep_alive", Duration::from_secs(5), Duration::from_secs(3_600));
        if written && !section.has("url") {
            section.complain("url", "is missing", "write url = \"mqtt://HOST:1883\", or leave [mqtt] out");
        }
        if password.is_some() && username.is_none() {
            section.complain("password_file", "is set without username", "a broker wants both");
        }
        for (given, missing) in [("cert_file", "key_file"), ("key_file", "cert_file")] {
            if section.has(given) && !section.has(missing) {
                section.complain(given, format!("is set without {missing}"), "a certificate and its key come together");
            }
        }
        let broker = broker?;
        if broker.tls {
            if ca_file.is_none() {
                let hint = "name the PEM file of the authority that signed the broker's certificate";
                section.complain("ca_file", "is missing, but url says mqtts", hint);
            }
            if !cfg!(feature = "tls") {
                section.complain("url", "wants TLS, which is not in this build", "use mqtt:// on a network you trust");
            }
        } else if section.has("ca_file") || section.has("cert_file") {
            section.complain("url", "says mqtt://, so ca_file and cert_file would not be used", "write mqtts://");
        }
        let Broker { host, port, tls } = broker;
        let keep_alive = keep_alive.unwrap_or(KEEP_ALIVE);
        Some(Mqtt { host, port, tls, username, password, ca_file, cert_file, key_file, events, keep_alive })
    })
}

/// How long a silent connection is believed in unless said otherwise.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

struct Broker {
    host: String,
    port: u16,
    tls: bool,
}

fn broker(url: &str) -> Result<Broker, Complaint> {
    let wrong = |why: &str| (format!("is {url:?}: {why}"), "write mqtt://HOST:1883 or mqtts://HOST:8883".to_owned());
    let (tls, rest) = match (url.strip_prefix("mqtt://"), url.strip_prefix("mqtts://")) {
        (Some(rest), _) => (false, rest),
        (None, Some(rest)) => (true, rest),
        (None, None) => return Err(wrong("it begins with neither mqtt:// nor mqtts://")),
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    if authority.contains('@') {
        return Err((
            format!("holds a user name: {}", url.split("://").next().unwrap_or_default()) + "://…@…",
            "use username and password_file: a URL ends up in logs".to_owned(),
        ));
    }
    if authority.contains(['/', '?', '#', ' ']) {
        return Err(wrong("there is more than a host and a port in it"));
    }
    // An IPv6 address stands in brackets (RFC 3986 section 3.2.2).
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => authority.rsplit_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    if host.parse::<wayside_protocols::service::Host>().is_err() || (host.contains(':') && !authority.starts_with('['))
    {
        return Err(wrong("its host is no name and no address"));
    }
    let port = match port {
        None => {
            if tls {
                8_883
            } else {
                1_883
            }
        }
        Some(text) => match text.parse() {
            Ok(port) if port > 0 => port,
            _ => return Err(wrong("its port is outside 1 to 65535")),
        },
    };
    Ok(Broker { host: host.to_owned(), port, tls })
}

fn password(section: &mut Section<'_, '_>) -> Option<Secret> {
    let path = section.path("password_file")?;
    match fs::read_to_string(&path) {
        Ok(text) => {
            if shared(&path) {
                let hint = format!("chmod 600 {}", path.display());
                section.warn("password_file", "can be read by everybody on this machine", hint);
            }
            Some(Secret(text.trim_end_matches(['\r', '\n']).to_owned()))
        }
        Err(error) => {
            section.complain("password_file", format!("{} cannot be read: {error}", path.display()), "");
            None
        }
    }
}

fn shared(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|about| about.permissions().mode() & 0o004 != 0)
}

/// A file in PEM form that can be read.
fn pem(section: &mut Section<'_, '_>, key: &'static str) -> Option<PathBuf> {
    let path = section.path(key)?;
    match fs::read(&path) {
        Ok(bytes) if bytes.windows(11).any(|window| window == b"-----BEGIN ") => Some(path),
        Ok(_) => {
            section.complain(key, format!("{} holds no PEM", path.display()), "convert it: openssl x509 -inform der");
            None
        }
        Err(error) => {
            section.complain(key, format!("{} cannot be read: {error}", path.display()), "");
            None
        }
    }
}
