//! `[[service]]`: what this agent offers itself.

use std::collections::{BTreeMap, BTreeSet};

use wayside_core::registration::{HealthCheck, Probe};
use wayside_protocols::service::{Host, Label, ServiceName, Value as Amount};
use wayside_protocols::time::Duration;

use super::section::{Complaint, Section, text};
use super::written::Node;
use super::{Standing, point};

/// One own service. It becomes a registration once the agent's id is known.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnService {
    /// What callers ask for.
    pub name: ServiceName,
    /// What tells it from others of this agent; its name unless said otherwise.
    pub id: Label,
    /// Where it is reached; `None` for this host.
    pub address: Option<Host>,
    /// At which port; 0 for none.
    pub port: u16,
    /// Whether lives may depend on it.
    pub critical: bool,
    /// Higher is preferred.
    pub priority: u8,
    /// What it has to give.
    pub resources: BTreeMap<Box<str>, Amount>,
    /// Whatever else it says of itself.
    pub metadata: BTreeMap<Box<str>, Box<str>>,
    /// Where it stands; `None` for where the agent stands.
    pub position: Option<Standing>,
    /// How its health is found out.
    pub check: Option<HealthCheck>,
}

pub(super) fn read(root: &mut Section<'_, '_>) -> Vec<OwnService> {
    let mut taken = BTreeSet::new();
    let services = root.tables("service", |section| {
        let service = service(section)?;
        if !taken.insert(service.id.clone()) {
            let what = format!("{} is taken by another [[service]]", service.id);
            section.complain(if section.has("id") { "id" } else { "name" }, what, "give each its own id = \"…\"");
        }
        Some(service)
    });
    services.into_iter().flatten().collect()
}

fn service(section: &mut Section<'_, '_>) -> Option<OwnService> {
    let name: Option<ServiceName> = section.parsed("name", "like charging or traffic-light");
    if !section.has("name") {
        section.complain("name", "is missing", "what callers ask for, like name = \"charging\"");
    }
    let id: Option<Label> = section.parsed("id", "like cp-1; it is the name unless said otherwise");
    let address = section.parsed("address", "an IP address or a host name; leave it out for this host");
    let port = section.whole("port", 0, 65_535).and_then(|port| u16::try_from(port).ok()).unwrap_or(0);
    let critical = section.flag("critical").unwrap_or(false);
    let priority = section.whole("priority", 0, 255).and_then(|priority| u8::try_from(priority).ok()).unwrap_or(0);
    let resources = pairs(section, "resources", amount);
    let metadata = pairs(section, "metadata", |node| text(node).map(Box::from));
    let position = point(section, 1.0);
    let check = section.has("health_check");
    let check = section.table("health_check", |section| check.then(|| health_check(section)).flatten());
    if matches!(&check, Some(HealthCheck { probe: Probe::Tcp | Probe::Http { .. }, .. })) && port == 0 {
        section.complain("health_check", "needs a port to connect to", "set port, or leave health_check out");
    }
    let name = name?;
    let id = id.or_else(|| name.as_str().parse().ok())?;
    Some(OwnService { name, id, address, port, critical, priority, resources, metadata, position, check })
}

fn pairs<T>(
    section: &mut Section<'_, '_>,
    key: &'static str,
    read: impl Fn(&Node) -> Result<T, Complaint>,
) -> BTreeMap<Box<str>, T> {
    let mut found = BTreeMap::new();
    for (name, node) in section.pairs(key) {
        match read(node) {
            Ok(value) => drop(found.insert(Box::from(name), value)),
            Err((what, hint)) => section.complain(key, format!("{name} {what}"), hint),
        }
    }
    found
}

fn amount(node: &Node) -> Result<Amount, Complaint> {
    let number = node.value.number().filter(|number| number.is_finite()).map(Amount::Number);
    let flag = || node.value.flag().map(Amount::Flag);
    let word = || node.value.text().map(|text| Amount::Text(text.into()));
    let wrong = || (format!("is {}", node.value.sort()), "a finite number, true or false, or a word".to_owned());
    number.or_else(flag).or_else(word).ok_or_else(wrong)
}

fn health_check(section: &mut Section<'_, '_>) -> Option<HealthCheck> {
    let kind = section.text("kind");
    let interval = section.whole("interval_s", 1, 3_600).unwrap_or(10);
    let timeout = section.whole("timeout_ms", 10, 60_000).unwrap_or(2_000);
    let path = section.take("path", |node| match text(node)? {
        path if path.starts_with('/') && path.len() <= 1_024 && path.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Ok(path)
        }
        path => Err((format!("is {path:?}"), "a path begins with / and has at most 1024 bytes".to_owned())),
    });
    if timeout > interval * 1_000 {
        let key = if section.has("timeout_ms") { "timeout_ms" } else { "interval_s" };
        section.complain(key, format!("allows {timeout} ms for what is due every {interval} s"), "check less often");
    }
    let probe = match kind.as_deref() {
        Some("tcp") => Some(Probe::Tcp),
        Some("http") => Some(Probe::Http { path: path.unwrap_or("/").into() }),
        Some("ttl") => Some(Probe::Ttl),
        Some(other) => {
            section.complain("kind", format!("is {other:?}"), "tcp, http or ttl");
            None
        }
        None => {
            section.complain("kind", "is missing", "tcp, http or ttl");
            None
        }
    };
    Some(HealthCheck {
        probe: probe?,
        interval: Duration::from_secs(interval),
        timeout: Duration::from_millis(timeout),
    })
}
