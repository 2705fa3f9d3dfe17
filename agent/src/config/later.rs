//! Sections that are known and checked, but whose work is not in this build: said as a warning, never passed over in
//! silence.

use super::point;
use super::section::Section;

pub(super) fn read(root: &mut Section<'_, '_>) {
    modbus(root);
    upstream(root);
    registry(root);
}

fn modbus(root: &mut Section<'_, '_>) {
    root.table("modbus", |modbus| {
        let segments = modbus.tables("segment", |segment| {
            segment.text("name");
            let targets = segment.texts("targets");
            if targets.is_none_or(|targets| targets.is_empty()) {
                segment.complain("targets", "names nothing to ask", "like targets = [\"10.3.0.0/24:502\"]");
            }
            segment.texts("deny");
            segment.take("units", |node| units(super::section::text(node)?));
            segment.flag("scan");
            segment.whole("priority", 0, 255);
            segment.table("position", |position| point(position, 1.0));
        });
        if !segments.is_empty() {
            modbus.warn("segment", "is not in this build yet; ignored", "nothing is asked on any bus");
        }
    });
}

/// `1-247`, `3`, or several separated by commas.
fn units(text: &str) -> Result<(), (String, String)> {
    let unit = |text: &str| text.trim().parse::<u8>().ok().filter(|unit| *unit <= 247);
    let right = text.split(',').all(|part| match part.split_once('-') {
        Some((low, high)) => matches!((unit(low), unit(high)), (Some(low), Some(high)) if low <= high),
        None => unit(part).is_some(),
    });
    if right {
        Ok(())
    } else {
        Err((format!("is {text:?}, outside 0 to 247"), "like \"1-247\" or \"1,5,9\"".to_owned()))
    }
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
