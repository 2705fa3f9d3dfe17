//! `[envoy]`: files with endpoint assignments, for an Envoy on this host.

use std::path::PathBuf;

use wayside_protocols::service::ServiceName;

use super::section::Section;

/// What is written for Envoy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envoy {
    /// Where a file `SERVICE.json` is kept for each service; made if it is not there.
    pub dir: PathBuf,
    /// Whose endpoints, 1 to 16.
    pub services: Vec<ServiceName>,
}

pub(super) fn read(root: &mut Section<'_, '_>) -> Option<Envoy> {
    let written = root.has("envoy");
    root.table("envoy", |section| {
        let dir = section.path("dir");
        let named = section.texts("services").unwrap_or_default();
        let services: Vec<ServiceName> = named.iter().filter_map(|name| name.parse().ok()).collect();
        if services.len() != named.len() || (written && !(1..=MOST).contains(&services.len())) {
            section.complain("services", "must be 1 to 16 names of services", "like [\"charging\", \"signal-phase\"]");
        }
        if written && dir.is_none() {
            section.complain("dir", "is missing", "where Envoy looks for SERVICE.json, like \"/run/wayside/envoy\"");
        }
        Some(Envoy { dir: dir?, services })
    })
}

/// Services with a file; each takes a watcher.
const MOST: usize = 16;
