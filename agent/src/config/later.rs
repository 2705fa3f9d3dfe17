//! Sections that are known and checked, but whose work is not in this build: said as a warning, never passed over in
//! silence.

use std::net::SocketAddr;

use super::section::Section;

pub(super) fn read(root: &mut Section<'_, '_>) {
    upstream(root);
    registry(root);
}

/// Whether a GNSS receiver is asked for.
pub(super) fn gpsd(section: &mut Section<'_, '_>) -> bool {
    let gpsd: Option<SocketAddr> = section.parsed("gpsd", "like \"127.0.0.1:2947\"");
    if gpsd.is_some() {
        section.warn("gpsd", "is not in this build yet; ignored", "set lat and lon for now");
    }
    gpsd.is_some()
}

fn upstream(root: &mut Section<'_, '_>) {
    let upstreams = root.tables("upstream", |upstream| {
        upstream.take("tier", |node| one_of(super::section::text(node)?, &["region", "cloud"]));
        urls(upstream, "urls");
    });
    if !upstreams.is_empty() {
        root.warn("upstream", "is not in this build yet; ignored", "questions are answered from what is heard here");
    }
}

fn registry(root: &mut Section<'_, '_>) {
    let written = root.has("registry");
    root.table("registry", |registry| {
        registry.take("engine", |node| one_of(super::section::text(node)?, &["etcd", "nats", "memory"]));
        if registry.has("endpoints") {
            urls(registry, "endpoints");
        } else {
            registry.texts("endpoints");
        }
    });
    if written {
        root.warn("registry", "is not in this build yet; ignored", "this agent keeps no records for others");
    }
}

fn one_of(text: &str, words: &[&str]) -> Result<(), (String, String)> {
    if words.contains(&text) { Ok(()) } else { Err((format!("is {text:?}"), words.join(", "))) }
}

fn urls(section: &mut Section<'_, '_>, key: &'static str) {
    let urls = section.texts(key);
    if urls.as_ref().is_none_or(Vec::is_empty) && !section.has(key) {
        section.complain(key, "is missing", "like [\"https://r1:7878\"]");
    }
    for url in urls.iter().flatten().filter(|url| !web(url)) {
        section.complain(key, format!("names {url:?}"), "a URL begins with http:// or https:// and has a host");
    }
}

fn web(url: &str) -> bool {
    url.strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"))
        .is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && !rest.contains(char::is_whitespace))
}
