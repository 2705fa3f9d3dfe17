//! One point of a profile as written.

use wayside_protocols::modbus::profile::{Format, Group, Limits, Meaning, Order, Point, Scale, Sort};
use wayside_protocols::modbus::request::Table;

use crate::config::section::{Complaint, Section, text};
use crate::config::written::{Node, Value};

/// What holds for points that do not say otherwise.
pub(super) struct Usual {
    pub(super) table: Table,
    pub(super) format: Option<Box<str>>,
    pub(super) order: Order,
    pub(super) limits: Limits,
}

pub(super) fn read(section: &mut Section<'_, '_>, usual: &Usual, groups: &[Group]) -> Option<Point> {
    let name = section.take("name", name);
    if !section.has("name") {
        section.complain("name", "is missing", "like name = \"power\"");
    }
    let place = place(section, usual);
    let exponent = section.whole("exponent", 0, 65_535).and_then(|at| u16::try_from(at).ok());
    let scale = section.number("scale", -1e12, 1e12);
    if scale == Some(0.0) {
        section.complain("scale", "is 0", "leave it out for 1");
    }
    let offset = section.number("offset", -1e12, 1e12);
    let unit = section.text("unit").unwrap_or_default();
    let range = section.take("range", range);
    let sort: Option<Sort> = section.parsed("class", "");
    let absent = section.take("absent", numbers).unwrap_or_default();
    let meaning = meaning(section);
    let group = section.take("group", |node| {
        let wanted = text(node)?;
        let place = groups.iter().position(|group| *group.name == *wanted);
        place.ok_or_else(|| (format!("names {wanted:?}, which is no [[group]]"), "write the [[group]] too".to_owned()))
    });
    let (table, address, format, order) = place?;
    let numeric = !matches!(format, Format::Text(_) | Format::Flag(_)) && meaning == Meaning::Number;
    for (key, given) in [
        ("scale", scale.is_some()),
        ("offset", offset.is_some()),
        ("range", range.is_some()),
        ("exponent", exponent.is_some()),
    ] {
        if given && !numeric {
            section.complain(key, "is set for what is not a number", "leave it out");
        }
    }
    if meaning != Meaning::Number && matches!(format, Format::Text(_) | Format::Flag(_) | Format::F32 | Format::F64) {
        let key = if section.has("states") { "states" } else { "flags" };
        section.complain(key, format!("is set for a {}", format.as_str()), "states and flags are whole numbers");
    }
    if format.width() > usual.limits.max_registers && !table.bits() {
        let what =
            format!("takes {} registers, but the device gives {} at once", format.width(), usual.limits.max_registers);
        section.complain("type", what, "a value that is read in two may be neither the old nor the new one");
    }
    let sort = sort.unwrap_or(if meaning == Meaning::Number && !matches!(format, Format::Flag(_)) {
        if matches!(format, Format::Text(_)) { Sort::Identity } else { Sort::Measure }
    } else {
        Sort::State
    });
    let mut point = Point::new(&name?, table, address, format);
    point.order = order;
    point.scale = scale.filter(|scale| *scale != 0.0).map_or(Scale::ONE, Scale::new);
    point.offset = offset.unwrap_or(0.0);
    point.exponent = exponent;
    point.unit = unit.into();
    point.absent = absent.into_iter().map(|bits| masked(bits, format)).collect();
    point.range = range;
    point.meaning = meaning;
    point.sort = sort;
    point.group = group.unwrap_or(0) as u16;
    Some(point)
}

/// Where a value stands and how its bits are taken: what points and rules have in common.
pub(super) fn place(section: &mut Section<'_, '_>, usual: &Usual) -> Option<(Table, u16, Format, Order)> {
    let table = if section.has("table") { section.take("table", table)? } else { usual.table };
    let address = section.whole("address", 0, 65_535).and_then(|address| u16::try_from(address).ok());
    if !section.has("address") {
        section.complain("address", "is missing", "counted from 0, as on the wire: 40001 in a manual is often 0");
    }
    let order = section.parsed("order", "").unwrap_or(usual.order);
    let length = section.whole("length", 1, 125).and_then(|length| u16::try_from(length).ok());
    let bit = section.whole("bit", 0, 15).and_then(|bit| u8::try_from(bit).ok());
    let own = section.text("type").map(String::into_boxed_str);
    // What is usual for registers says nothing about bits.
    let written = own.or_else(|| usual.format.clone().filter(|_| !table.bits()));
    let format = match written.as_deref() {
        Some("bool") => Format::Flag(bit.unwrap_or(0)),
        None if table.bits() => Format::Flag(0),
        Some(_) if table.bits() => {
            section.complain(
                "type",
                "is set for a table of bits",
                "a coil or discrete input is a bool; leave type out",
            );
            return None;
        }
        Some("u16") => Format::U16,
        Some("i16") => Format::I16,
        Some("u32") => Format::U32,
        Some("i32") => Format::I32,
        Some("u64") => Format::U64,
        Some("i64") => Format::I64,
        Some("f32") => Format::F32,
        Some("f64") => Format::F64,
        Some("string") => match length {
            Some(registers) => Format::Text(registers),
            None => {
                if !section.has("length") {
                    section.complain("length", "is missing", "how many registers the text takes, two letters in each");
                }
                return None;
            }
        },
        Some(other) => {
            let what = format!("is {other:?}");
            section.complain("type", what, "u16, i16, u32, i32, u64, i64, f32, f64, string or bool");
            return None;
        }
        None => {
            section.complain("type", "is missing", "u16, i16, u32, i32, u64, i64, f32, f64, string or bool");
            return None;
        }
    };
    for (key, given, right) in [
        ("length", length.is_some(), matches!(format, Format::Text(_))),
        ("bit", bit.is_some(), matches!(format, Format::Flag(_)) && !table.bits()),
    ] {
        if given && !right {
            section.complain(key, format!("is set for a {}", format.as_str()), "leave it out");
        }
    }
    let address = address?;
    if u32::from(address) + u32::from(format.width()) > 0x1_0000 {
        let what = format!("is {address}, and {} registers from there end beyond 65535", format.width());
        section.complain("address", what, "a table ends at 65535");
        return None;
    }
    Some((table, address, format, order))
}

/// The name of a table.
pub(super) fn table(node: &Node) -> Result<Table, Complaint> {
    match text(node)? {
        "coil" => Ok(Table::Coils),
        "discrete" => Ok(Table::DiscreteInputs),
        "holding" => Ok(Table::HoldingRegisters),
        "input" => Ok(Table::InputRegisters),
        other => Err((format!("is {other:?}"), "coil, discrete, holding or input".to_owned())),
    }
}

/// One whole number, or a list of them.
pub(super) fn numbers(node: &Node) -> Result<Vec<i64>, Complaint> {
    let wrong =
        |value: &Value| (format!("is {}", value.sort()), "a whole number like 0x8000, or a list of them".to_owned());
    let one = |value: &Value| value.whole().ok_or_else(|| wrong(value));
    match node.value.list() {
        Some(list) => list.iter().map(|node| one(&node.value)).collect(),
        None => one(&node.value).map(|number| vec![number]),
    }
}

/// The bits of `number` as they come in such a point: -1 stands for all ones.
pub(super) fn masked(number: i64, format: Format) -> u64 {
    let bits = 16 * u32::from(format.width().min(4));
    number as u64 & (u64::MAX >> (64 - bits))
}

/// Two numbers, the lower first.
pub(super) fn range(node: &Node) -> Result<(f64, f64), Complaint> {
    let wrong = || ("is no range".to_owned(), "like [0, 500], the lower number first".to_owned());
    match node.value.list() {
        Some([low, high]) => {
            let pair = low.value.number().zip(high.value.number());
            pair.filter(|(low, high)| low <= high).ok_or_else(wrong)
        }
        _ => Err(wrong()),
    }
}

/// 1 to 64 of `a-z 0-9 _`: it stands in paths and on command lines.
fn name(node: &Node) -> Result<String, Complaint> {
    let name = text(node)?;
    let safe = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if name.is_empty() || name.len() > 64 || !name.bytes().all(safe) {
        return Err((format!("is {name:?}"), "1 to 64 of a-z 0-9 _, like energy_import".to_owned()));
    }
    Ok(name.to_owned())
}

fn meaning(section: &mut Section<'_, '_>) -> Meaning {
    let states = words(section, "states", u64::from(u32::MAX));
    let flags = words(section, "flags", 63);
    if section.has("states") && section.has("flags") {
        section.complain("flags", "is set beside states", "keep one: states exclude each other, flags do not");
    }
    if section.has("states") {
        Meaning::States(states)
    } else if section.has("flags") {
        Meaning::Flags(flags.into_iter().filter_map(|(bit, word)| Some((u8::try_from(bit).ok()?, word))).collect())
    } else {
        Meaning::Number
    }
}

/// A table of numbers, each with its word.
fn words(section: &mut Section<'_, '_>, key: &'static str, most: u64) -> Vec<(u64, Box<str>)> {
    let mut words = Vec::new();
    for (number, node) in section.pairs(key) {
        let hex = number.strip_prefix("0x").map(|digits| u64::from_str_radix(digits, 16).ok());
        let parsed = hex.unwrap_or_else(|| number.parse().ok()).filter(|number| *number <= most);
        match (parsed, text(node)) {
            (Some(number), Ok(word)) => words.push((number, word.into())),
            (None, _) => {
                section.complain(key, format!("has {number:?}"), format!("a number from 0 to {most}, like 0 = \"off\""))
            }
            (_, Err((what, hint))) => section.complain(key, format!("{number} {what}"), hint),
        }
    }
    words
}
