//! SunSpec: devices that describe themselves in registers.
//!
//! Heads up: "SunSpec Device Information Model Specification" 1.1 rules the chain of models, and the models
//! (github.com/sunspec/models, Apache-2.0) say what stands in each.

mod layouts;
#[cfg(test)]
mod tests;
mod walk;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::profile::{Class, Format, Meaning, Point, Sort};
use super::request::Table;
pub use layouts::Model;
pub use walk::{Found, Walk};

/// The models a device has, and where each stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Where the marker stands: 40000, 0 or 50000.
    pub base: u16,
    /// At most [`MOST_BLOCKS`], in the order of the chain.
    pub blocks: Vec<Block>,
}

/// One model in a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block {
    /// Which model.
    pub model: u16,
    /// Where its number stands; its length stands after that.
    pub address: u16,
    /// How many registers follow.
    pub length: u16,
    /// Of which device in the chain, counted from 1: each common model begins another.
    pub device: u8,
}

impl Layout {
    /// What sort of device it is, as far as its models say.
    pub fn class(&self) -> Class {
        // Models before the first common model, where there are such, are of device 0.
        let first = self.blocks.iter().map(|block| block.device).min().unwrap_or(0);
        self.class_of(first)
    }

    fn class_of(&self, device: u8) -> Class {
        let has = |wanted: Class| {
            let own = self.blocks.iter().filter(|block| block.device == device);
            own.filter_map(|block| layouts::known(block.model)).any(|model| model.class == Some(wanted))
        };
        // What stores or measures behind an inverter is part of it.
        [Class::Inverter, Class::Battery, Class::Meter].into_iter().find(|class| has(*class)).unwrap_or(Class::Other)
    }

    /// Every point that its models have. What the inverter of a chain says is `power`, what a meter or a battery beside
    /// it says `meter_power` and `battery_power`, and what a second device in the chain says `device2_power`. Two of the
    /// same name in one device are the first.
    pub fn points(&self) -> Vec<Point> {
        let mut points: Vec<Point> = Vec::new();
        for (index, block) in self.blocks.iter().enumerate() {
            let Some(model) = layouts::known(block.model) else { continue };
            let device = if block.device > 1 { format!("device{}_", block.device) } else { String::new() };
            let beside = model.class.filter(|class| *class != self.class_of(block.device));
            let before = beside.map_or_else(|| device.clone(), |class| format!("{device}{class}_"));
            for point in model.points(block, FIRST_GROUP + index as u16, &before) {
                if !points.iter().any(|known| known.name == point.name) {
                    points.push(point);
                }
            }
        }
        points
    }
}

impl Model {
    fn points<'a>(&'a self, block: &'a Block, group: u16, before: &'a str) -> impl Iterator<Item = Point> + 'a {
        let single = self.rows.iter().filter_map(move |row| row.point(block, group, 0, before));
        let (first, stride, rows) = self.repeated;
        let count =
            block.length.saturating_add(2).saturating_sub(first).checked_div(stride).unwrap_or(0).min(MOST_REPEATED);
        let each = move |index: u16| {
            let word = format!("{before}{}{}_", self.word, index + 1);
            rows.iter().filter_map(move |row| row.point(block, group, index * stride, &word)).collect::<Vec<_>>()
        };
        single.chain((0..count).flat_map(each))
    }
}

/// One point of a model, as in the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    name: &'static str,
    /// From the model's number on.
    offset: u16,
    kind: Kind,
    /// Where its scale factor stands, likewise; 0 for none.
    factor: u16,
    unit: &'static str,
    states: &'static [(u16, &'static str)],
}

/// A type of the models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Int16,
    Uint16,
    Acc32,
    Uint32,
    Uint64,
    Float32,
    Enum16,
    Bits16,
    Bits32,
    Text(u16),
}

impl Row {
    /// As a point of `block`, `shift` registers further on; `None` if the block ends before.
    fn point(&self, block: &Block, group: u16, shift: u16, word: &str) -> Option<Point> {
        let (format, absent) = match self.kind {
            Kind::Int16 => (Format::I16, &[0x8000_u64][..]),
            Kind::Uint16 => (Format::U16, &[0xFFFF][..]),
            Kind::Acc32 => (Format::U32, &[0][..]),
            Kind::Uint32 => (Format::U32, &[0xFFFF_FFFF][..]),
            Kind::Uint64 => (Format::U64, &[u64::MAX][..]),
            Kind::Float32 => (Format::F32, &[][..]),
            Kind::Enum16 | Kind::Bits16 => (Format::U16, &[0xFFFF][..]),
            Kind::Bits32 => (Format::U32, &[0xFFFF_FFFF][..]),
            Kind::Text(registers) => (Format::Text(registers), &[][..]),
        };
        let offset = self.offset + shift;
        if u32::from(offset) + u32::from(format.width()) > u32::from(block.length) + 2 {
            return None;
        }
        let name = format!("{word}{}", self.name);
        let mut point = Point::new(&name, Table::HoldingRegisters, block.address.checked_add(offset)?, format);
        point.absent = absent.into();
        point.exponent = if self.factor == 0 { None } else { Some(block.address.checked_add(self.factor)?) };
        point.unit = self.unit.into();
        point.group = group;
        let states = || self.states.iter().map(|(number, word)| (*number, Box::from(*word)));
        (point.meaning, point.sort) = match self.kind {
            // A number the model has no word for is shown as a number.
            Kind::Enum16 if self.states.is_empty() => (Meaning::Number, Sort::State),
            Kind::Enum16 => {
                (Meaning::States(states().map(|(number, word)| (number.into(), word)).collect()), Sort::State)
            }
            Kind::Bits16 | Kind::Bits32 => {
                (Meaning::Flags(states().map(|(bit, word)| (bit as u8, word)).collect()), Sort::State)
            }
            Kind::Acc32 => (Meaning::Number, Sort::Total),
            Kind::Text(_) => (Meaning::Number, Sort::Identity),
            _ if self.name.starts_with("energy_") => (Meaning::Number, Sort::Total),
            _ if self.name.ends_with("_rating") => (Meaning::Number, Sort::Setting),
            Kind::Int16 | Kind::Uint16 | Kind::Uint32 | Kind::Uint64 | Kind::Float32 => {
                (Meaning::Number, Sort::Measure)
            }
        };
        Some(point)
    }
}

/// The most models of one chain that are kept.
pub const MOST_BLOCKS: usize = 48;
/// Groups of points from here on are models, not those of a profile.
pub(super) const FIRST_GROUP: u16 = 1_000;
/// The most inputs, strings or modules of one model.
const MOST_REPEATED: u16 = 32;
