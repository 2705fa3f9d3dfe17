//! `[registry]`: this node keeps records for others.

use std::path::PathBuf;

use hyper::Uri;

use super::mqtt::{login, pem};
use super::section::{Section, text};
use super::upstream::{Urls, urls};

/// What makes this node a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    /// What keeps the records.
    pub engine: Engine,
    /// Under which all its keys are; two registries may share an engine under different ones.
    pub prefix: Box<str>,
    /// PEM with the authorities its certificates may come from; those of the system if none.
    pub ca_file: Option<PathBuf>,
    /// PEM with this node's own certificate and with its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Who this node is, where its engine is NATS and asks for a password: a name, and the file with the password.
    pub login: Option<(String, PathBuf)>,
}

/// What keeps the records of a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Engine {
    /// This node alone, for demonstrations: its records end with it.
    Memory,
    /// An etcd v3 cluster, through its JSON gateway.
    Etcd {
        /// Its client URLs.
        endpoints: Vec<Uri>,
    },
    /// A bucket of NATS JetStream.
    #[cfg(feature = "nats")]
    Nats {
        /// The URLs of its servers.
        endpoints: Vec<Uri>,
    },
}

pub(super) fn read(root: &mut Section<'_, '_>) -> Option<Registry> {
    let written = root.has("registry");
    root.table("registry", |section| {
        let engine = section.take("engine", |node| match text(node)? {
            word @ ("etcd" | "memory") => Ok(word),
            "nats" if cfg!(feature = "nats") => Ok("nats"),
            "nats" => {
                let what = "is \"nats\", which is not in this build: it is made with --features nats".to_owned();
                Err((what, "etcd, memory".to_owned()))
            }
            other => Err((format!("is {other:?}"), "etcd, nats, memory".to_owned())),
        });
        if written && !section.has("engine") {
            section.complain("engine", "is missing", "etcd, or memory for a demonstration");
        }
        let endpoints = match engine {
            Some("etcd") => urls(section, "endpoints", &Urls::web("like [\"http://127.0.0.1:2379\"]")),
            Some("nats") => urls(section, "endpoints", &NATS),
            Some(_) | None => {
                if section.has("endpoints") && engine.is_some() {
                    section.complain("endpoints", "are set, but this engine has none", "engine = \"etcd\" has");
                }
                section.texts("endpoints");
                Vec::new()
            }
        };
        let [ca_file, cert_file, key_file] = ["ca_file", "cert_file", "key_file"].map(|key| pem(section, key));
        for (given, missing) in [("cert_file", "key_file"), ("key_file", "cert_file")] {
            if section.has(given) && !section.has(missing) {
                section.complain(given, format!("is set without {missing}"), "a certificate and its key come together");
            }
        }
        let (username, password_file) = login(section);
        if username.is_some() && password_file.is_none() {
            section.complain("username", "is set without password_file", "a server wants both");
        }
        if username.is_some() && engine.is_some_and(|engine| engine != "nats") {
            section.complain(
                "username",
                "is set, but this engine is spoken to without one",
                "engine = \"nats\" has one",
            );
        }
        let plain = endpoints.iter().any(|url| matches!(url.scheme_str(), Some("http" | "nats")));
        if (plain || engine == Some("memory")) && (section.has("ca_file") || section.has("cert_file")) {
            section.complain(
                "ca_file",
                "would not be used: an endpoint is spoken to without TLS",
                "write https://, or tls:// for nats",
            );
        }
        let prefix = section.take("prefix", |node| {
            let given = text(node)?;
            let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
            let right = given.starts_with('/') && (2..=128).contains(&given.len()) && given.bytes().all(safe);
            let hint = "a path such as /wayside, of at most 128 of A-Z a-z 0-9 / . _ -".to_owned();
            if right { Ok(Box::from(given.trim_end_matches('/'))) } else { Err((format!("is {given:?}"), hint)) }
        });
        let engine = match engine? {
            "memory" => Engine::Memory,
            #[cfg(feature = "nats")]
            "nats" => Engine::Nats { endpoints },
            _ => Engine::Etcd { endpoints },
        };
        let prefix = prefix.unwrap_or_else(|| PREFIX.into());
        let (identity, login) = (cert_file.zip(key_file), username.zip(password_file));
        Some(Registry { engine, prefix, ca_file, identity, login })
    })
}

const PREFIX: &str = "/wayside";
const NATS: Urls<'_> = Urls { plain: "nats", secure: "tls", hint: "like [\"nats://127.0.0.1:4222\"]" };
