//! `[api]`: where the HTTP API listens, and who may call it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::mqtt::{Secret, pem};
use super::section::{Section, text};
use crate::api::Listen;

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

impl Api {
    /// `http` or `https` where it listens on TCP.
    pub fn scheme(&self) -> Option<&'static str> {
        match (&self.listen, &self.tls) {
            (Listen::Unix(_), _) => None,
            (Listen::Tcp(_), None) => Some("http"),
            (Listen::Tcp(_), Some(_)) => Some("https"),
        }
    }
}

impl Default for Api {
    fn default() -> Self {
        Self { listen: Listen::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 7_878))), token: None, tls: None }
    }
}

/// What a caller shows as `Authorization: Bearer`; at least 16 bytes. Never printed.
pub type Token = Secret;

/// The certificate of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiTls {
    /// PEM, the leaf first.
    pub cert_file: PathBuf,
    /// PEM.
    pub key_file: PathBuf,
    /// PEM with the authorities a caller's own certificate must come from; `None` asks for none.
    pub client_ca_file: Option<PathBuf>,
}

pub(super) fn read(section: &mut Section<'_, '_>) -> Api {
    let default = Api::default();
    let listen = section.parsed("listen", "\"127.0.0.1:7878\" is the default").unwrap_or(default.listen);
    let token = section.take("token", |node| Secret::inline(text(node)?, 16));
    let written = section.has("tls");
    let tls = section.table("tls", |tls| {
        let [cert_file, key_file, client_ca_file] =
            ["cert_file", "key_file", "client_ca_file"].map(|key| pem(tls, key));
        if written && (!tls.has("cert_file") || !tls.has("key_file")) {
            tls.complain("cert_file", "or key_file is missing", "a certificate and its key come together");
        }
        Some(ApiTls { cert_file: cert_file?, key_file: key_file?, client_ca_file })
    });
    if written && !cfg!(feature = "tls") {
        let hint = "listen on a loopback address or a Unix socket, behind a proxy that speaks TLS";
        section.complain("tls", "is not in this build", hint);
    }
    if written && matches!(listen, Listen::Unix(_)) {
        section.complain(
            "tls",
            "is set, but a Unix socket speaks none",
            "listen on ADDRESS:PORT, or leave [api.tls] out",
        );
    }
    if !listen.local() && (tls.is_none() || token.is_none()) {
        let what = format!("is {listen}, which others can reach, without [api.tls] and api.token");
        section.complain("listen", what, "listen on 127.0.0.1, or set both");
    }
    Api { listen, token, tls }
}
