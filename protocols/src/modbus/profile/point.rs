//! One value of a device: where it stands and how it is spelled.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::str::FromStr;

use super::super::request::Table;

/// One value in a device's tables.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// What it is called; the same word for the same thing in every profile, like `power`.
    pub name: Box<str>,
    /// In which table it stands.
    pub table: Table,
    /// Where it begins, counted from 0 as on the wire.
    pub address: u16,
    /// How its bits are to be taken.
    pub format: Format,
    /// In which order its bytes come.
    pub order: Order,
    /// What the number is multiplied with.
    pub scale: Scale,
    /// What is added after that.
    pub offset: f64,
    /// Where the power of ten stands that the number is multiplied with beside `scale`: a signed register of the same
    /// table, -10 to 10, 0x8000 for none.
    pub exponent: Option<u16>,
    /// The unit of the result; empty for none.
    pub unit: Box<str>,
    /// Bits that say "not there". A float that is no number says so too.
    pub absent: Vec<u64>,
    /// What the result lies within; anything else is an error, not a value.
    pub range: Option<(f64, f64)>,
    /// What the bits mean beyond a number.
    pub meaning: Meaning,
    /// What it is to the device.
    pub sort: Sort,
    /// With which points it is read: those of the same number.
    pub group: u16,
}

impl Point {
    /// A number without scale, unit or anything else.
    pub fn new(name: &str, table: Table, address: u16, format: Format) -> Self {
        Self {
            name: name.into(),
            table,
            address,
            format,
            order: Order::Abcd,
            scale: Scale::ONE,
            offset: 0.0,
            exponent: None,
            unit: Box::default(),
            absent: Vec::new(),
            range: None,
            meaning: Meaning::Number,
            sort: Sort::Measure,
            group: 0,
        }
    }

    /// How many addresses it takes.
    pub fn width(&self) -> u16 {
        self.format.width()
    }

    /// The first address after it; beyond 65,535 for one that ends there.
    pub fn end(&self) -> u32 {
        u32::from(self.address) + u32::from(self.width())
    }
}

/// How the bits of a point are to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// A coil or a discrete input, or one bit of a register, 0 to 15 from the lowest.
    Flag(u8),
    /// One register, not negative.
    U16,
    /// One register, two's complement.
    I16,
    /// Two registers, not negative.
    U32,
    /// Two registers, two's complement.
    I32,
    /// Four registers, not negative.
    U64,
    /// Four registers, two's complement.
    I64,
    /// Two registers, IEEE 754.
    F32,
    /// Four registers, IEEE 754.
    F64,
    /// Text, two bytes a register, in so many registers.
    Text(u16),
}

impl Format {
    /// How many addresses it takes.
    pub const fn width(self) -> u16 {
        match self {
            Self::Flag(_) | Self::U16 | Self::I16 => 1,
            Self::U32 | Self::I32 | Self::F32 => 2,
            Self::U64 | Self::I64 | Self::F64 => 4,
            Self::Text(registers) => registers,
        }
    }

    /// The word for it in profiles.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Flag(_) => "bool",
            Self::U16 => "u16",
            Self::I16 => "i16",
            Self::U32 => "u32",
            Self::I32 => "i32",
            Self::U64 => "u64",
            Self::I64 => "i64",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::Text(_) => "string",
        }
    }
}

/// The order of bytes; A is the most significant byte, and each letter pair a register as it comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Order {
    /// Most significant first, as the specification has it.
    #[default]
    Abcd,
    /// The least significant register first.
    Cdab,
    /// The bytes of each register swapped.
    Badc,
    /// Both: the least significant byte first.
    Dcba,
}

impl Order {
    /// Every order.
    pub const ALL: [Self; 4] = [Self::Abcd, Self::Cdab, Self::Badc, Self::Dcba];

    /// The word for it in profiles.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Abcd => "ABCD",
            Self::Cdab => "CDAB",
            Self::Badc => "BADC",
            Self::Dcba => "DCBA",
        }
    }

    /// Whether the least significant register comes first.
    pub const fn registers_reversed(self) -> bool {
        matches!(self, Self::Cdab | Self::Dcba)
    }

    /// Whether the low byte of each register comes first.
    pub const fn bytes_swapped(self) -> bool {
        matches!(self, Self::Badc | Self::Dcba)
    }
}

impl FromStr for Order {
    type Err = UnknownOrder;

    fn from_str(text: &str) -> Result<Self, UnknownOrder> {
        Self::ALL.into_iter().find(|order| order.as_str() == text).ok_or(UnknownOrder)
    }
}

/// Not an order of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an order of bytes is ABCD, CDAB, BADC or DCBA")]
pub struct UnknownOrder;

/// What a number is multiplied with. Kept so that 0.1 divides by ten: 2301 becomes 230.1, and not 230.10000000000002.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// Multiplies.
    Times(f64),
    /// Divides.
    Over(f64),
}

impl Scale {
    /// Leaves the number as it is.
    pub const ONE: Self = Self::Times(1.0);

    /// Multiplies with `factor`, which is finite and not 0.
    pub fn new(factor: f64) -> Self {
        let over = 1.0 / factor;
        let whole = libm::round(over);
        if libm::fabs(factor) < 1.0 && libm::fabs(over - whole) <= 1e-9 * libm::fabs(over) {
            Self::Over(whole)
        } else {
            Self::Times(factor)
        }
    }

    /// `raw` scaled, then `offset` added.
    pub fn apply(self, raw: f64, offset: f64) -> f64 {
        match self {
            Self::Times(factor) => raw * factor + offset,
            Self::Over(divisor) => (raw + offset * divisor) / divisor,
        }
    }

    /// The factor.
    pub fn factor(self) -> f64 {
        match self {
            Self::Times(factor) => factor,
            Self::Over(divisor) => 1.0 / divisor,
        }
    }
}

/// What the bits of a point mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// A number, a text, or yes and no: what the format says.
    Number,
    /// One of several states, each a number with its word.
    States(Vec<(u64, Box<str>)>),
    /// Any of several flags, each a bit, counted from the lowest, with its word.
    Flags(Vec<(u8, Box<str>)>),
}

/// What a point is to its device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sort {
    /// Goes up and down.
    #[default]
    Measure,
    /// Only ever grows.
    Total,
    /// Says in which state something is.
    State,
    /// Was set by somebody.
    Setting,
    /// Says which device it is.
    Identity,
}

impl Sort {
    /// Every sort.
    pub const ALL: [Self; 5] = [Self::Measure, Self::Total, Self::State, Self::Setting, Self::Identity];

    /// The word for it in profiles.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Measure => "measure",
            Self::Total => "total",
            Self::State => "state",
            Self::Setting => "setting",
            Self::Identity => "identity",
        }
    }
}

impl FromStr for Sort {
    type Err = UnknownSort;

    fn from_str(text: &str) -> Result<Self, UnknownSort> {
        Self::ALL.into_iter().find(|sort| sort.as_str() == text).ok_or(UnknownSort)
    }
}

/// Not a sort of point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a class of point is measure, total, state, setting or identity")]
pub struct UnknownSort;
