//! `[modbus]`: which segments may be asked, and how fast.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use wayside_protocols::modbus::segment::{Segment, SegmentError};
use wayside_protocols::modbus::survey::pace::Pace;
use wayside_protocols::modbus::unit::Units;
use wayside_protocols::time::Duration;

use super::section::{Section, text};
use super::{Standing, point};
use crate::io::inquire;
use crate::profiles;
use crate::surveys::Protocol;

/// Modbus: nothing is asked unless a segment says so.
#[derive(Clone, Debug, PartialEq)]
pub struct Modbus {
    /// What may be asked. Surveys over the API stay within these.
    pub segments: Vec<ModbusSegment>,
    /// Where every request is recorded.
    pub audit: Option<PathBuf>,
    /// The budgets.
    pub pace: Pace,
    /// How often a known device is asked whether it is still the same.
    pub interval: Duration,
    /// Where the owner's own device profiles are.
    pub profiles: PathBuf,
    /// Whether devices are announced by mDNS as `_modbus._tcp`, at most [`MOST_ANNOUNCED`] of them.
    ///
    /// [`MOST_ANNOUNCED`]: wayside_core::agent::io::MOST_ANNOUNCED
    pub announce: bool,
}

impl Default for Modbus {
    fn default() -> Self {
        Self {
            segments: Vec::new(),
            audit: None,
            pace: Pace::default(),
            interval: Duration::from_secs(10),
            profiles: profiles::DEFAULT_DIR.into(),
            announce: false,
        }
    }
}

/// One segment.
#[derive(Clone, Debug, PartialEq)]
pub struct ModbusSegment {
    /// Its name, alone among the segments.
    pub name: Box<str>,
    /// What may be asked there.
    pub segment: Segment,
    /// Whether its targets may be asked by Modbus.
    pub modbus: bool,
    /// By which datagrams its addresses may be asked.
    pub datagrams: Vec<inquire::Protocol>,
    /// Whether it is surveyed by itself, and its devices asked for ever.
    pub scan: bool,
    /// Priority of its devices.
    pub priority: u8,
    /// Where its devices stand; `None` for where the agent stands.
    pub position: Option<Standing>,
}

/// Reads `[modbus]`.
pub(super) fn read(root: &mut Section<'_, '_>) -> Modbus {
    root.table("modbus", |section| {
        let mut modbus = Modbus { audit: section.path("audit"), ..Modbus::default() };
        modbus.announce = section.flag("announce").unwrap_or(false);
        if let Some(dir) = section.path("profiles") {
            modbus.profiles = dir;
        }
        let pace = &mut modbus.pace;
        for (key, budget, high) in [
            ("requests_per_s", &mut pace.requests, 10_000),
            ("host_requests_per_s", &mut pace.host_requests, 1_000),
            ("connections_per_s", &mut pace.connections, 1_000),
            ("attempts_per_s", &mut pace.attempts, 10_000),
            ("silent_units", &mut pace.silent, 255),
        ] {
            if let Some(given) = section.whole(key, 1, high).and_then(|given| u32::try_from(given).ok()) {
                *budget = given;
            }
        }
        pace.reply = section.duration("timeout", Duration::from_millis(10), Duration::from_secs(60));
        let day = Duration::from_secs(86_400);
        if let Some(interval) = section.duration("interval", Duration::from_secs(1), day) {
            modbus.interval = interval;
        }
        let mut taken = BTreeSet::new();
        let segments = section.tables("segment", |section| {
            let segment = segment(section)?;
            if !taken.insert(segment.name.clone()) {
                let what = format!("is {:?}, the name of another segment", segment.name);
                section.complain("name", what, "give each its own");
            }
            Some(segment)
        });
        modbus.segments = segments.into_iter().flatten().collect();
        modbus
    })
}

fn segment(section: &mut Section<'_, '_>) -> Option<ModbusSegment> {
    let name = section.take("name", |node| match text(node)? {
        name if (1..=64).contains(&name.len()) && !name.contains(char::is_control) => Ok(Box::from(name)),
        name => Err((format!("is {name:?}"), "1 to 64 bytes, like hall-2".to_owned())),
    });
    if !section.has("name") {
        section.complain("name", "is missing", "like name = \"hall-2\"");
    }
    let targets = section.texts("targets");
    let deny = section.texts("deny").unwrap_or_default();
    let units: Option<Units> = section.parsed("units", "like units = \"1-247\"");
    let (modbus, datagrams) = protocols(section);
    let scan = section.flag("scan").unwrap_or(false);
    let priority = section.whole("priority", 0, 255).and_then(|priority| u8::try_from(priority).ok()).unwrap_or(0);
    let position = section.table("position", |position| point(position, 1.0));
    if targets.is_none() && section.has("targets") {
        return None;
    }
    let segment = Segment::new(&targets.unwrap_or_default(), &deny, units, PORT);
    let segment = segment.map_err(|wrong| wrong.iter().for_each(|error| complain(section, error))).ok();
    let segment = ModbusSegment { name: name?, segment: segment?, modbus, datagrams, scan, priority, position };
    let odd = segment.segment.targets().iter().find(|target| !matches!(target.address(), Some(SocketAddr::V4(_))));
    if let Some(odd) = odd.filter(|_| !segment.datagrams.is_empty()) {
        section.complain("protocols", format!("has enip or bacnet, and {odd} is no IPv4 address"), "make two segments");
        return None;
    }
    Some(segment)
}

/// By which protocols its addresses may be asked; by Modbus alone unless it is written.
fn protocols(section: &mut Section<'_, '_>) -> (bool, Vec<inquire::Protocol>) {
    let Some(written) = section.texts("protocols") else { return (true, Vec::new()) };
    let (mut modbus, mut datagrams) = (false, Vec::new());
    for word in &written {
        match word.parse() {
            Ok(Protocol::Modbus) => modbus = true,
            Ok(Protocol::Datagram(datagram)) if !datagrams.contains(&datagram) => datagrams.push(datagram),
            Ok(Protocol::Datagram(_)) => {}
            Err(known) => section.complain("protocols", format!("names {word:?}"), known.to_string()),
        }
    }
    if written.is_empty() {
        section.complain("protocols", "is empty", "like protocols = [\"modbus\"]");
    }
    (modbus, datagrams)
}

fn complain(section: &mut Section<'_, '_>, error: &SegmentError) {
    let (key, hint) = match error {
        SegmentError::Target(..) => ("targets", "nothing is asked beyond private networks of this size"),
        SegmentError::Deny(..) => ("deny", "an address, a network or a serial line"),
        SegmentError::Denied(..) => ("deny", "what is denied wins; leave the target out, or deny less"),
        SegmentError::Many(_) => ("targets", "make several segments of it"),
        SegmentError::Nothing => ("targets", "like targets = [\"10.3.0.0/24:502\"]"),
        SegmentError::NoUnit => ("units", "like units = \"1-247\""),
    };
    section.complain(key, error.to_string(), hint);
}

/// Where Modbus TCP listens.
const PORT: u16 = 502;
