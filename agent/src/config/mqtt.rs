//! `[mqtt]`: which broker, and as whom.

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use wayside_protocols::time::Duration;

use super::section::{Complaint, Section, text};
use crate::io::broker::{Address, AddressError};

/// The broker, and as whom the agent speaks to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mqtt {
    /// Where it is.
    pub address: Address,
    /// Whom to log in as.
    pub username: Option<String>,
    /// The file with the password, read at each connection.
    pub password_file: Option<PathBuf>,
    /// PEM with the authorities the broker's certificate may come from; those of the system if none.
    pub ca_file: Option<PathBuf>,
    /// PEM with the agent's own certificate and with its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Whether changes of the catalog are published on `wayside/1/e/{agent}`.
    pub events: bool,
    /// How long a silent connection is believed in: a broker that is gone is noticed within twice this.
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
        let address = section.take("url", |node| address(text(node)?));
        let (username, password_file) = login(section);
        let [ca_file, cert_file, key_file] = ["ca_file", "cert_file", "key_file"].map(|key| pem(section, key));
        let events = section.flag("events").unwrap_or(false);
        let keep_alive = section.duration("keep_alive", Duration::from_secs(5), Duration::from_secs(3_600));
        if written && !section.has("url") {
            section.complain("url", "is missing", "write url = \"mqtt://HOST:1883\", or leave [mqtt] out");
        }
        for (given, missing) in [("cert_file", "key_file"), ("key_file", "cert_file")] {
            if section.has(given) && !section.has(missing) {
                section.complain(given, format!("is set without {missing}"), "a certificate and its key come together");
            }
        }
        if address.as_ref().is_some_and(|address| !address.tls) && (section.has("ca_file") || section.has("cert_file"))
        {
            section.complain("url", "says mqtt://, so ca_file and cert_file would not be used", "write mqtts://");
        }
        let keep_alive = keep_alive.unwrap_or(KEEP_ALIVE);
        let identity = cert_file.zip(key_file);
        Some(Mqtt { address: address?, username, password_file, ca_file, identity, events, keep_alive })
    })
}

/// How long a silent connection is believed in unless said otherwise.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

fn address(url: &str) -> Result<Address, Complaint> {
    if url.contains('@') {
        let what = "holds a user name, and maybe a password".to_owned();
        return Err((what, "use username and password_file: a URL ends up in logs".to_owned()));
    }
    let wrong = |error: AddressError| (format!("is wrong: {error}"), String::new());
    let address: Address = url.parse().map_err(wrong)?;
    if address.tls && !cfg!(feature = "tls") {
        let hint = "use mqtt:// on a network you trust".to_owned();
        return Err(("wants TLS, which is not in this build".to_owned(), hint));
    }
    Ok(address)
}

/// A user name, and the file with its password.
pub(super) fn login(section: &mut Section<'_, '_>) -> (Option<String>, Option<PathBuf>) {
    let username = section.text("username").filter(|name| !name.is_empty());
    let password_file = password(section);
    if password_file.is_some() && username.is_none() {
        section.complain("password_file", "is set without username", "a server wants both");
    }
    (username, password_file)
}

fn password(section: &mut Section<'_, '_>) -> Option<PathBuf> {
    let path = section.path("password_file")?;
    if let Err(error) = fs::read_to_string(&path) {
        section.complain("password_file", format!("{} cannot be read: {error}", path.display()), "");
    } else if shared(&path) {
        section.warn(
            "password_file",
            "can be read by everybody on this machine",
            format!("chmod 600 {}", path.display()),
        );
    }
    Some(path)
}

fn shared(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|about| about.permissions().mode() & 0o004 != 0)
}

/// A file in PEM form that can be read.
pub(super) fn pem(section: &mut Section<'_, '_>, key: &'static str) -> Option<PathBuf> {
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
