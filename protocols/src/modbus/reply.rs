//! What a device said.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use super::request::{ENCAPSULATED, MEI, Objects, Request, Table};

/// The reply to one [`Request`], exactly as long as was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// As many words as were asked for.
    Registers(Vec<u16>),
    /// As many bits as were asked for.
    Bits(Vec<bool>),
    /// One part of a device's identification.
    Identification(Part),
    /// The device, or a gateway before it, refuses.
    Exception(Exception),
}

/// Some of a device's identification objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Number and bytes of each object; text by the specification, anything in the field.
    pub objects: Vec<(u8, Box<[u8]>)>,
    /// The object to ask for next, if the device says that more follow.
    pub next: Option<u8>,
}

/// An exception code (V1.1b3, 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Exception(pub u8);

impl Exception {
    /// It does not know the function.
    pub const ILLEGAL_FUNCTION: Self = Self(1);
    /// It has no such address.
    pub const ILLEGAL_ADDRESS: Self = Self(2);
    /// It does not like a value in the request.
    pub const ILLEGAL_VALUE: Self = Self(3);
    /// It failed; many gateways and servers say so of a unit that is not there.
    pub const DEVICE_FAILURE: Self = Self(4);
    /// It needs long.
    pub const ACKNOWLEDGE: Self = Self(5);
    /// It is busy.
    pub const BUSY: Self = Self(6);
    /// A gateway has no path to the unit.
    pub const NO_PATH: Self = Self(0x0A);
    /// The unit behind a gateway does not answer.
    pub const NO_ANSWER: Self = Self(0x0B);
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let meaning = match *self {
            Self::ILLEGAL_FUNCTION => "illegal function",
            Self::ILLEGAL_ADDRESS => "illegal data address",
            Self::ILLEGAL_VALUE => "illegal data value",
            Self::DEVICE_FAILURE => "server device failure",
            Self::ACKNOWLEDGE => "acknowledge",
            Self::BUSY => "server device busy",
            Self::NO_PATH => "gateway path unavailable",
            Self::NO_ANSWER => "gateway target device failed to respond",
            _ => return write!(f, "exception {:#04x}", self.0),
        };
        write!(f, "exception {:#04x} ({meaning})", self.0)
    }
}

/// Bytes that are no reply to what was asked. Whoever sees one can no longer tell which reply belongs to which
/// request: the connection goes, or the line is drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Garbled {
    /// Another function answers.
    #[error("function {given:#04x} answers a request for {wanted:#04x}")]
    Function {
        /// What came.
        given: u8,
        /// What was asked.
        wanted: u8,
    },
    /// Another unit answers.
    #[error("unit {given} answers for unit {wanted}")]
    Unit {
        /// Who answered.
        given: u8,
        /// Who was asked.
        wanted: u8,
    },
    /// It answers another request (TCP only: a line has no such number).
    #[error("transaction {given} answers for transaction {wanted}")]
    Transaction {
        /// What came.
        given: u16,
        /// What was asked.
        wanted: u16,
    },
    /// It is longer or shorter than what was asked for.
    #[error("{given} bytes where {wanted} were due")]
    Length {
        /// What came.
        given: usize,
        /// What the request implies.
        wanted: usize,
    },
    /// It is not Modbus.
    #[error("protocol {0:#06x} is not Modbus")]
    Protocol(u16),
    /// The bytes were changed on the way.
    #[error("checksum {given:#06x} over bytes that make {wanted:#06x}")]
    Checksum {
        /// What came.
        given: u16,
        /// What the bytes make.
        wanted: u16,
    },
    /// Device identification that contradicts itself.
    #[error("identification whose objects do not fit its {0} bytes")]
    Objects(usize),
    /// Bytes that nobody asked for.
    #[error("{0} bytes that nobody asked for")]
    Unasked(usize),
}

impl Reply {
    /// Reads what `request` was answered: the bytes between the unit and the checksum.
    ///
    /// # Errors
    /// [`Garbled`] if it is not the answer to just this request, to the byte.
    pub fn read(request: &Request, pdu: &[u8]) -> Result<Self, Garbled> {
        let wanted = request.function();
        match *pdu {
            [function, code] if function == wanted | 0x80 => Ok(Self::Exception(Exception(code))),
            [function, ref data @ ..] if function == wanted => match request {
                Request::Read(table, span) => values(*table, span.count(), data),
                Request::Identify(objects, _) => identification(*objects, data),
            },
            [given, ..] if given == wanted | 0x80 => Err(Garbled::Length { given: pdu.len(), wanted: 2 }),
            [given, ..] => Err(Garbled::Function { given, wanted }),
            [] => Err(Garbled::Length { given: 0, wanted: 2 }),
        }
    }
}

fn values(table: Table, count: u16, data: &[u8]) -> Result<Reply, Garbled> {
    let count = usize::from(count);
    let wanted = if table.bits() { count.div_ceil(8) } else { count * 2 };
    let length = |given: usize| Garbled::Length { given, wanted };
    let (said, bytes) = data.split_first().ok_or_else(|| length(0))?;
    if usize::from(*said) != wanted || bytes.len() != wanted {
        return Err(length(bytes.len().min(usize::from(*said))));
    }
    Ok(match table.bits() {
        true => Reply::Bits((0..count).map(|at| bytes[at / 8] >> (at % 8) & 1 == 1).collect()),
        false => Reply::Registers(bytes.chunks_exact(2).map(|word| u16::from_be_bytes([word[0], word[1]])).collect()),
    })
}

/// The conformity level is not looked at: devices say 0 and other things there, and nothing depends on it.
fn identification(asked: Objects, data: &[u8]) -> Result<Reply, Garbled> {
    let broken = Garbled::Objects(data.len());
    let [MEI, code, _conformity, more, next, count, rest @ ..] = data else { return Err(broken) };
    if *code != asked.code() {
        return Err(broken);
    }
    let mut objects = Vec::with_capacity(usize::from(*count).min(MOST_OBJECTS));
    let mut rest = rest;
    for _ in 0..*count {
        let [id, length, after @ ..] = rest else { return Err(broken) };
        let (value, after) = after.split_at_checked(usize::from(*length)).ok_or(broken)?;
        objects.push((*id, value.into()));
        rest = after;
    }
    if !rest.is_empty() {
        return Err(broken);
    }
    // 0xFF by the specification; any other number but 0 in the field.
    let next = (*more != 0 && asked != Objects::Single).then_some(*next);
    Ok(Reply::Identification(Part { objects, next }))
}

/// Two bytes an object at the least, in a PDU of 253.
const MOST_OBJECTS: usize = 123;

/// How long the PDU of a reply is, as far as its first bytes tell: what a line needs to know, where no header says it.
/// `None` while too few have come.
pub(crate) fn pdu_length(pdu: &[u8]) -> Option<usize> {
    match *pdu {
        [function, ..] if function & 0x80 != 0 => Some(2),
        [1..=4, bytes, ..] => Some(2 + usize::from(bytes)),
        [ENCAPSULATED, _mei, _code, _conformity, _more, _next, count, ref objects @ ..] => {
            let mut at = 0;
            for _ in 0..count {
                at += 2 + usize::from(*objects.get(at + 1)?);
            }
            Some(7 + at)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registers(count: u16) -> Request {
        Request::read(Table::HoldingRegisters, 0, count).unwrap()
    }

    #[test]
    fn replies_are_the_bytes_of_the_specification() {
        let reply = Reply::read(&registers(3), &[3, 6, 0x02, 0x2B, 0, 0, 0, 0x64]).unwrap();
        assert_eq!(reply, Reply::Registers([0x022B, 0, 0x64].into()));
        let coils = Request::read(Table::Coils, 0x13, 0x13).unwrap();
        let Ok(Reply::Bits(bits)) = Reply::read(&coils, &[1, 3, 0xCD, 0x6B, 0x05]) else { panic!() };
        assert_eq!(bits.len(), 19);
        assert_eq!(bits[..8], [true, false, true, true, false, false, true, true]);
        assert_eq!(Reply::read(&registers(1), &[0x83, 2]), Ok(Reply::Exception(Exception::ILLEGAL_ADDRESS)));
    }

    #[test]
    fn a_reply_of_another_length_is_never_read() {
        for pdu in [&[3, 2, 0, 1][..], &[3, 4, 0, 1], &[3, 4, 0, 1, 0, 2, 0], &[3, 5, 0, 1, 0, 2, 0], &[3], &[]] {
            assert!(matches!(Reply::read(&registers(2), pdu), Err(Garbled::Length { .. })), "{pdu:?}");
        }
        assert_eq!(Reply::read(&registers(2), &[4, 4, 0, 1, 0, 2]), Err(Garbled::Function { given: 4, wanted: 3 }));
        assert!(Reply::read(&registers(2), &[0x83, 2, 0]).is_err());
    }

    #[test]
    fn identification_is_read_whatever_conformity_it_claims() {
        let ask = Request::Identify(Objects::Basic, 0);
        let pdu = [&[0x2B, 0x0E, 1, 0, 0xFF, 2, 2, 0, 4][..], b"Acme", &[1, 2], b"X1"].concat();
        let Ok(Reply::Identification(part)) = Reply::read(&ask, &pdu) else { panic!() };
        assert_eq!(part.next, Some(2));
        assert_eq!(part.objects, [(0, b"Acme"[..].into()), (1, b"X1"[..].into())]);
        for cut in 0..pdu.len() {
            assert!(Reply::read(&ask, &pdu[..cut]).is_err(), "{cut}");
        }
        assert!(Reply::read(&ask, &[&pdu[..], &[0]].concat()).is_err());
        assert!(Reply::read(&Request::Identify(Objects::Regular, 0), &pdu).is_err());
    }

    #[test]
    fn the_length_of_a_reply_on_a_line_is_known_once_its_head_is_there() {
        let identification = [&[0x2B, 0x0E, 1, 1, 0, 0, 2, 0, 4][..], b"Acme", &[1, 2], b"X1"].concat();
        let whole: [&[u8]; 3] = [&[0x83, 2], &[3, 4, 0, 1, 0, 2], &identification];
        for pdu in whole {
            assert_eq!(pdu_length(pdu), Some(pdu.len()));
            for cut in 0..pdu.len() {
                assert!(pdu_length(&pdu[..cut]).is_none_or(|length| length == pdu.len()), "{cut}");
            }
        }
    }
}
