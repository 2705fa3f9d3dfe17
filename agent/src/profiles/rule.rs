//! How a device family is recognised, as written.

use wayside_protocols::modbus::profile::{Expected, Format, Pattern, Point, Register, Rules, Scale};

use super::point::{Usual, masked, numbers, place, range};
use crate::config::section::{Section, text};

pub(super) fn read(section: &mut Section<'_, '_>, usual: &Usual) -> Rules {
    let patterns = |texts: Option<Vec<String>>| {
        texts.unwrap_or_default().iter().map(|text| Pattern::new(text)).collect::<Vec<_>>()
    };
    let rules = Rules {
        manufacturer: patterns(section.texts("manufacturer")),
        model: patterns(section.texts("model")),
        sunspec: section.flag("sunspec").unwrap_or(false),
        registers: section.tables("registers", |section| register(section, usual)).into_iter().flatten().collect(),
    };
    let weight: f32 = rules.registers.iter().map(|rule| rule.weight).sum();
    if weight > 1.001 {
        section.complain("registers", format!("weigh {weight:.2} together"), "1 at the most: that is quite sure");
    }
    rules
}

fn register(section: &mut Section<'_, '_>, usual: &Usual) -> Option<Register> {
    let place = place(section, usual);
    let scale = section.number("scale", -1e12, 1e12).filter(|scale| *scale != 0.0);
    let weight = section.number("weight", 0.01, 1.0);
    if !section.has("weight") {
        section.complain("weight", "is missing", "how much it says, over 0 to 1");
    }
    let within = section.take("within", range);
    let equals = section.take("equals", numbers);
    let mask = section.take("mask", |node| Ok(numbers(node)?.first().copied().unwrap_or(-1)));
    let texts = section.take("text", |node| match node.value.list() {
        Some(list) => list.iter().map(|node| text(node).map(Pattern::new)).collect(),
        None => text(node).map(|text| vec![Pattern::new(text)]),
    });
    let (table, address, format, order) = place?;
    let named = [section.has("within"), section.has("equals"), section.has("text")];
    if named.iter().filter(|named| **named).count() != 1 {
        section.complain("address", "does not say what to expect there", "one of within, equals and text");
        return None;
    }
    if table.bits() {
        section.complain("table", "is a table of bits", "a fingerprint is taken of registers");
        return None;
    }
    if texts.is_some() != matches!(format, Format::Text(_)) {
        section.complain(
            "type",
            format!("is {}", format.as_str()),
            "text is expected of a string, and numbers of the rest",
        );
        return None;
    }
    let expected = match (within, equals, texts) {
        (Some((low, high)), ..) => Expected::Within(low, high),
        (_, Some(any), _) => Expected::Bits {
            mask: mask.map_or(u64::MAX, |mask| masked(mask, format)),
            any: any.into_iter().map(|number| masked(number, format)).collect(),
        },
        (.., Some(texts)) => Expected::Text(texts),
        (None, None, None) => return None,
    };
    let mut point = Point::new("", table, address, format);
    point.order = order;
    point.scale = scale.map_or(Scale::ONE, Scale::new);
    // The cast only rounds.
    Some(Register { point, expected, weight: weight? as f32 })
}
