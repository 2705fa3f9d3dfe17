//! One profile as written.

use std::path::Path;

use wayside_protocols::modbus::profile::{Class, Group, Limits, Order, Point, Profile};
use wayside_protocols::modbus::request::Table;
use wayside_protocols::service::Label;
use wayside_protocols::time::Duration;

use super::{point, rule};
use crate::config::problem::Problem;
use crate::config::section::{Notes, Section};
use crate::config::written;

/// The profile in `text`; `None` and everything that is wrong with it otherwise.
pub(super) fn read(path: &Path, text: &str, problems: &mut Vec<Problem>) -> Option<Profile> {
    let mut wrong = Vec::new();
    let table = written::parse(path, text, &mut wrong);
    let mut notes = Notes::default();
    let mut root = Section::root(&table, &mut notes);
    let profile = profile(&mut root);
    root.finish();
    wrong.append(&mut notes.findings.problems);
    for problem in &mut wrong {
        // A key that is missing from the top of the file has no line of its own.
        if problem.origin == crate::config::problem::Origin::Nowhere {
            problem.origin = crate::config::problem::Origin::File(path.into(), 1);
        }
    }
    if wrong.is_empty() {
        return profile;
    }
    problems.append(&mut wrong);
    None
}

fn profile(root: &mut Section<'_, '_>) -> Option<Profile> {
    let id = required(root, "id", "like id = \"eastron-sdm630\"");
    if let Some(wrong) = id.as_ref().and_then(|id| id.parse::<Label>().err()) {
        root.complain("id", format!("is wrong: {wrong}"), "like eastron-sdm630");
    }
    let manufacturer = required(root, "manufacturer", "who makes it");
    let models = root.texts("models").unwrap_or_default();
    let class: Option<Class> = root.parsed("class", "what sort of device it is");
    if !root.has("class") {
        root.complain(
            "class",
            "is missing",
            "inverter, meter, battery, drive, relay, hvac, charger, sensor, plc or other",
        );
    }
    let source = required(root, "source", "where these addresses are from, and whether that counts from 0 or 1");
    let licence = required(root, "licence", "under which licence the source stands, or \"own\"");
    let limits = root.table("limits", limits);
    let groups = root.tables("group", group);
    let groups: Vec<Group> = groups.into_iter().flatten().collect();
    let usual = point::Usual {
        table: root.take("table", point::table).unwrap_or(Table::HoldingRegisters),
        format: root.text("type").map(String::into_boxed_str),
        order: root.parsed("order", "").unwrap_or(Order::Abcd),
        limits,
    };
    let rules = root.table("match", |section| rule::read(section, &usual));
    let points = points(root, &usual, &groups);
    let boxed = |texts: Vec<String>| texts.into_iter().map(String::into_boxed_str).collect();
    Some(Profile {
        id: id?.into(),
        manufacturer: manufacturer?.into(),
        models: boxed(models),
        class: class?,
        rules,
        limits,
        groups,
        points,
        source: source?.into(),
        licence: licence?.into(),
    })
}

fn required(root: &mut Section<'_, '_>, key: &'static str, hint: &str) -> Option<String> {
    if !root.has(key) {
        root.complain(key, "is missing", hint);
    }
    root.text(key)
}

fn points(root: &mut Section<'_, '_>, usual: &point::Usual, groups: &[Group]) -> Vec<Point> {
    let mut points: Vec<Point> = Vec::new();
    if !root.has("point") {
        root.complain("point", "is missing", "a profile has at least one [[point]]");
    }
    let read = root.tables("point", |section| {
        let point = point::read(section, usual, groups)?;
        if let Some(other) = points.iter().find(|other| other.name == point.name) {
            section.complain(
                "name",
                format!("{} is taken by another point", other.name),
                "give each point its own name",
            );
        }
        if let Some(other) = points.iter().find(|other| overlaps(other, &point)) {
            let what = format!(
                "{} to {} overlaps {} at {} to {}",
                point.address,
                point.end() - 1,
                other.name,
                other.address,
                other.end() - 1
            );
            section.complain("address", what, "only views of the very same registers may share them");
        }
        points.push(point);
        Some(())
    });
    if read.len() > MOST_POINTS {
        root.complain("point", format!("has {} entries", read.len()), format!("at most {MOST_POINTS}"));
    }
    points
}

/// Whether two points share registers without being views of the same ones.
fn overlaps(one: &Point, other: &Point) -> bool {
    let apart =
        one.table != other.table || one.end() <= u32::from(other.address) || other.end() <= u32::from(one.address);
    !apart && (one.address, one.width()) != (other.address, other.width())
}

fn limits(section: &mut Section<'_, '_>) -> Limits {
    let usual = Limits::default();
    let number = |given: Option<u64>| given.and_then(|number| u16::try_from(number).ok());
    let single = section.flag("single_register_reads").unwrap_or(false);
    let registers = number(section.whole("max_registers", 1, 125));
    if single && registers.is_some_and(|registers| registers > 1) {
        section.complain("max_registers", "is set beside single_register_reads", "keep one of them");
    }
    Limits {
        max_registers: if single { 1 } else { registers.unwrap_or(usual.max_registers) },
        max_bits: number(section.whole("max_bits", 1, 2_000)).unwrap_or(usual.max_bits),
        max_gap: if single { 0 } else { number(section.whole("max_gap", 0, 124)).unwrap_or(usual.max_gap) },
        pause_after_connect: section.duration("pause_after_connect", Duration::ZERO, LONGEST).unwrap_or_default(),
        min_interval: section.duration("min_interval", Duration::ZERO, LONGEST).unwrap_or_default(),
    }
}

fn group(section: &mut Section<'_, '_>) -> Option<Group> {
    let name = required(section, "name", "points say group = \"name\"");
    let every = section.duration("every", Duration::from_millis(100), Duration::from_secs(86_400));
    let number = |given: Option<u64>| given.and_then(|number| u16::try_from(number).ok());
    Some(Group {
        max_registers: number(section.whole("max_registers", 1, 125)),
        max_gap: number(section.whole("max_gap", 0, 124)),
        name: name?.into(),
        every: every.unwrap_or(USUAL_PERIOD),
    })
}

/// The longest pause a device may need.
const LONGEST: Duration = Duration::from_secs(30);
/// How often values are worth reading where nobody says.
const USUAL_PERIOD: Duration = Duration::from_secs(10);
/// The most points of one profile.
const MOST_POINTS: usize = 256;
