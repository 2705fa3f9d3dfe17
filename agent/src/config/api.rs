//! `[api]`: where the HTTP API listens, and who may call it.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use super::mqtt::Secret;
use super::section::Section;

/// The HTTP API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Api {
    /// Where it listens.
    pub listen: Listen,
    /// What a caller must show, if anything.
    pub token: Option<Token>,
    /// With what it proves itself.
    pub tls: Option<ApiTls>,
}

impl Default for Api {
    fn default() -> Self {
        Self { listen: Listen::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 7_878))), token: None, tls: None }
    }
}

/// A place to listen: `127.0.0.1:7878`, or `unix:/run/wayside/agent.sock`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// An address and port; port 0 takes any that is free.
    Tcp(SocketAddr),
    /// A socket in the file system, made with mode 0660.
    Unix(PathBuf),
}

impl FromStr for Listen {
    type Err = NotAListener;

    fn from_str(text: &str) -> Result<Self, NotAListener> {
        match text.strip_prefix("unix:") {
            // sockaddr_un holds 108 bytes with the closing zero.
            Some(path) if path.starts_with('/') && path.len() <= 107 => Ok(Self::Unix(path.into())),
            Some(_) => Err(NotAListener(text.to_owned())),
            None => text.parse().map(Self::Tcp).map_err(|_| NotAListener(text.to_owned())),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A text that names no place to listen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither ADDRESS:PORT nor unix:/PATH of at most 107 bytes")]
pub struct NotAListener(String);

/// What a caller shows as `Authorization: Bearer`; at least 16 bytes. Never printed.
pub type Token = Secret;

/// The certificate of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiTls {
    /// PEM, the leaf first.
    pub cert_file: PathBuf,
    /// PEM.
    pub key_file: PathBuf,
}

pub(super) fn read(section: &mut Section<'_, '_>) -> Api {
    let default = Api::default();
    let listen = section.parsed("listen", "\"127.0.0.1:7878\" is the default").unwrap_or(default.listen);
    let token = section.take("token", |node| Secret::inline(super::section::text(node)?, 16));
    let written = section.has("tls");
    let tls = section.table("tls", |tls| {
        let (cert_file, key_file) = (tls.path("cert_file"), tls.path("key_file"));
        if written && (cert_file.is_none() || key_file.is_none()) {
            tls.complain("cert_file", "or key_file is missing", "a certificate and its key come together");
        }
        Some(ApiTls { cert_file: cert_file?, key_file: key_file? })
    });
    if tls.is_some() {
        let hint = "listen on a loopback address or a Unix socket, behind a proxy that speaks TLS";
        section.complain("tls", "is not in this build", hint);
    }
    if let Listen::Tcp(address) = &listen
        && !address.ip().is_loopback()
        && (tls.is_none() || token.is_none())
    {
        let what = format!("is {address}, which others can reach, without [api.tls] and api.token");
        section.complain("listen", what, "listen on 127.0.0.1, or set both");
    }
    Api { listen, token, tls }
}
