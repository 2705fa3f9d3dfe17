//! `[registry]`: this node keeps records for others.

use hyper::Uri;

use super::section::{Section, text};
use super::upstream::urls;

/// What makes this node a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    /// What keeps the records.
    pub engine: Engine,
    /// Under which all its keys are; two registries may share an engine under different ones.
    pub prefix: Box<str>,
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
}

pub(super) fn read(root: &mut Section<'_, '_>) -> Option<Registry> {
    let written = root.has("registry");
    root.table("registry", |section| {
        let engine = section.take("engine", |node| match text(node)? {
            word @ ("etcd" | "memory") => Ok(word),
            "nats" => Err(("is \"nats\", which is not in this build".to_owned(), "etcd, memory".to_owned())),
            other => Err((format!("is {other:?}"), "etcd, memory".to_owned())),
        });
        if written && !section.has("engine") {
            section.complain("engine", "is missing", "etcd, or memory for a demonstration");
        }
        let endpoints = match engine {
            Some("etcd") => urls(section, "endpoints", "like [\"http://127.0.0.1:2379\"]"),
            Some(_) | None => {
                if section.has("endpoints") && engine.is_some() {
                    section.complain("endpoints", "are set, but this engine has none", "engine = \"etcd\" has");
                }
                section.texts("endpoints");
                Vec::new()
            }
        };
        let prefix = section.take("prefix", |node| {
            let given = text(node)?;
            let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
            let right = given.starts_with('/') && (2..=128).contains(&given.len()) && given.bytes().all(safe);
            let hint = "a path such as /wayside, of at most 128 of A-Z a-z 0-9 / . _ -".to_owned();
            if right { Ok(Box::from(given.trim_end_matches('/'))) } else { Err((format!("is {given:?}"), hint)) }
        });
        let engine = match engine? {
            "memory" => Engine::Memory,
            _ => Engine::Etcd { endpoints },
        };
        Some(Registry { engine, prefix: prefix.unwrap_or_else(|| PREFIX.into()) })
    })
}

const PREFIX: &str = "/wayside";
