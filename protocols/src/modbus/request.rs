//! What this program may ask a device. There is no way to say a write.

use alloc::vec::Vec;

/// A request that changes nothing in any device: function codes 1 to 4, and 43 with MEI type 14.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Request {
    /// Read from a table.
    Read(Table, Span),
    /// Read device identification, from this object on (V1.1b3, 6.21).
    Identify(Objects, u8),
}

/// Where a value stands (V1.1b3, 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Single bits, read with function 1.
    Coils,
    /// Single bits, read with function 2.
    DiscreteInputs,
    /// 16-bit words, read with function 3.
    HoldingRegisters,
    /// 16-bit words, read with function 4.
    InputRegisters,
}

impl Table {
    /// The function code that reads it.
    pub const fn function(self) -> u8 {
        match self {
            Self::Coils => 1,
            Self::DiscreteInputs => 2,
            Self::HoldingRegisters => 3,
            Self::InputRegisters => 4,
        }
    }

    /// How many can be read at once: 2,000 bits or 125 words.
    pub const fn most(self) -> u16 {
        match self {
            Self::Coils | Self::DiscreteInputs => 2_000,
            Self::HoldingRegisters | Self::InputRegisters => 125,
        }
    }

    /// Whether it holds bits, not words.
    pub const fn bits(self) -> bool {
        matches!(self, Self::Coils | Self::DiscreteInputs)
    }
}

/// Neighbouring addresses of one table, counted from 0 as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    start: u16,
    count: u16,
}

impl Span {
    /// `count` addresses from `start` on, as many as one request to `table` may name.
    ///
    /// # Errors
    /// [`SpanError`] if there is none, or more than the table's [`Table::most`], or one beyond 65,535.
    pub fn new(table: Table, start: u16, count: u16) -> Result<Self, SpanError> {
        let beyond = u32::from(start) + u32::from(count) > 0x1_0000;
        if count == 0 || count > table.most() || beyond {
            return Err(SpanError { start, count, most: table.most() });
        }
        Ok(Self { start, count })
    }

    /// The first address.
    pub const fn start(self) -> u16 {
        self.start
    }

    /// How many.
    pub const fn count(self) -> u16 {
        self.count
    }
}

/// Addresses that one request cannot name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{count} addresses from {start} cannot be read at once: 1 to {most}, none beyond 65535")]
pub struct SpanError {
    start: u16,
    count: u16,
    most: u16,
}

/// Which identification objects are wanted (V1.1b3, 6.21: "Read Device ID code").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Objects {
    /// Vendor name, product code, revision: every device that knows function 43 has these.
    Basic,
    /// And vendor URL, product name, model name, application name.
    Regular,
    /// And what the vendor added.
    Extended,
    /// One object by its number.
    Single,
}

impl Objects {
    /// The code on the wire, 1 to 4.
    pub const fn code(self) -> u8 {
        match self {
            Self::Basic => 1,
            Self::Regular => 2,
            Self::Extended => 3,
            Self::Single => 4,
        }
    }
}

/// MEI type of device identification.
pub(crate) const MEI: u8 = 0x0E;
/// Function code "encapsulated interface transport".
pub(crate) const ENCAPSULATED: u8 = 0x2B;

impl Request {
    /// `count` addresses of `table` from `start` on.
    ///
    /// # Errors
    /// [`SpanError`] as [`Span::new`].
    pub fn read(table: Table, start: u16, count: u16) -> Result<Self, SpanError> {
        Span::new(table, start, count).map(|span| Self::Read(table, span))
    }

    /// The first `count` addresses of `table`; `None` if one request cannot name as many.
    pub const fn first(table: Table, count: u16) -> Option<Self> {
        if count == 0 || count > table.most() { None } else { Some(Self::Read(table, Span { start: 0, count })) }
    }

    /// Its function code.
    pub const fn function(&self) -> u8 {
        match self {
            Self::Read(table, _) => table.function(),
            Self::Identify(..) => ENCAPSULATED,
        }
    }

    /// The bytes between the unit and the checksum.
    pub fn pdu(&self) -> Vec<u8> {
        let mut pdu = Vec::with_capacity(5);
        pdu.push(self.function());
        match self {
            Self::Read(_, span) => {
                pdu.extend(span.start.to_be_bytes());
                pdu.extend(span.count.to_be_bytes());
            }
            Self::Identify(objects, first) => pdu.extend([MEI, objects.code(), *first]),
        }
        pdu
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_the_bytes_of_the_specification() {
        // V1.1b3, 6.3: registers 108 to 110.
        assert_eq!(Request::read(Table::HoldingRegisters, 107, 3).unwrap().pdu(), [3, 0, 0x6B, 0, 3]);
        // 6.1: discrete outputs 20 to 38.
        assert_eq!(Request::read(Table::Coils, 0x13, 0x13).unwrap().pdu(), [1, 0, 0x13, 0, 0x13]);
        // 6.21: basic identification.
        assert_eq!(Request::Identify(Objects::Basic, 0).pdu(), [0x2B, 0x0E, 1, 0]);
    }

    #[test]
    fn a_span_beyond_what_one_request_may_name_is_refused() {
        for (table, start, count) in [
            (Table::HoldingRegisters, 0, 0),
            (Table::InputRegisters, 0, 126),
            (Table::Coils, 0, 2_001),
            (Table::HoldingRegisters, 65_535, 2),
        ] {
            assert!(Span::new(table, start, count).is_err());
        }
        assert!(Span::new(Table::HoldingRegisters, 65_535, 1).is_ok());
    }
}
