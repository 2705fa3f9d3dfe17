//! Reading DNS messages (RFC 1035 section 4, RFC 6762 section 18).
//!
//! The framing of a record (owner, type, class, life, length) is walked apart from what is in it: a record that makes
//! no sense is skipped alone, and its neighbours are read.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::name::Name;

/// A message whose header and questions make sense.
pub(super) struct Message<'a> {
    bytes: &'a [u8],
    /// Whether it answers rather than asks.
    pub(super) response: bool,
    /// Whether more known answers follow (RFC 6762 section 7.2).
    pub(super) truncated: bool,
    /// What it asks.
    pub(super) questions: Vec<Question>,
    records_at: usize,
    /// How many records it says it has.
    pub(super) records: usize,
}

/// One question.
pub(super) struct Question {
    pub(super) name: Name,
    pub(super) kind: u16,
    /// Whether a unicast answer would do (RFC 6762 section 5.4).
    pub(super) unicast: bool,
}

/// One record of a type that is of interest here.
#[derive(Debug, PartialEq)]
pub(super) struct Record {
    pub(super) name: Name,
    /// Seconds; 0 is a goodbye.
    pub(super) ttl: u32,
    /// Whether older records of the name and type are out of date (RFC 6762 section 10.2).
    pub(super) flush: bool,
    pub(super) data: Data,
}

#[derive(Debug, PartialEq)]
pub(super) enum Data {
    Pointer(Name),
    Server { port: u16, target: Name },
    Text(Box<[u8]>),
    Address(IpAddr),
}

/// What cannot be read.
#[derive(Debug, PartialEq)]
pub(super) struct Malformed;

impl<'a> Message<'a> {
    /// # Errors
    /// [`Malformed`] if the header or a question cannot be read, the message is longer than 9,000 bytes (RFC 6762
    /// section 17), or it has an opcode or response code, which section 18 says to ignore.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if bytes.len() > MAX_MESSAGE {
            return Err(Malformed);
        }
        let word = |at| u16_at(bytes, at).ok_or(Malformed);
        let flags = word(2)?;
        if flags & (OPCODE | RESPONSE_CODE) != 0 {
            return Err(Malformed);
        }
        let (mut questions, mut at) = (Vec::new(), HEADER);
        let asked = word(4)?;
        let records = usize::from(word(6)?) + usize::from(word(8)?) + usize::from(word(10)?);
        for _ in 0..asked {
            let end = Name::end(bytes, at).ok_or(Malformed)?;
            let (kind, class) = (word(end)?, word(end + 2)?);
            if let Some(name) = Name::read(bytes, at) {
                questions.push(Question { name, kind, unicast: class & TOP_BIT != 0 });
            }
            at = end + 4;
        }
        Ok(Self {
            bytes,
            response: flags & RESPONSE != 0,
            truncated: flags & TRUNCATED != 0,
            questions,
            records_at: at,
            records,
        })
    }

    /// Whether `bytes` claim to be a response, as far as the first bytes tell.
    pub(super) fn claims_response(bytes: &[u8]) -> bool {
        bytes.get(2).is_some_and(|flags| flags & 0x80 != 0)
    }

    /// The records of interest, in the order they stand. A record that cannot be read is an error alone; where even
    /// its end cannot be found, it is the last.
    pub(super) fn records(&self) -> impl Iterator<Item = Result<Record, Malformed>> + use<'a> {
        let (bytes, mut at, mut left) = (self.bytes, self.records_at, self.records);
        core::iter::from_fn(move || {
            while left > 0 {
                left -= 1;
                let Some(frame) = Frame::at(bytes, at) else {
                    left = 0;
                    return Some(Err(Malformed));
                };
                at = frame.end;
                if frame.class == CLASS_IN && KINDS.contains(&frame.kind) {
                    return Some(frame.record(bytes).ok_or(Malformed));
                }
            }
            None
        })
    }
}

/// Where a record begins and ends.
struct Frame {
    owner: usize,
    kind: u16,
    class: u16,
    flush: bool,
    ttl: u32,
    data: usize,
    end: usize,
}

impl Frame {
    fn at(bytes: &[u8], owner: usize) -> Option<Self> {
        let fixed = Name::end(bytes, owner)?;
        let (kind, class) = (u16_at(bytes, fixed)?, u16_at(bytes, fixed + 2)?);
        let ttl = u32::from(u16_at(bytes, fixed + 4)?) << 16 | u32::from(u16_at(bytes, fixed + 6)?);
        let data = fixed + 10;
        let end = data + usize::from(u16_at(bytes, fixed + 8)?);
        let flush = class & TOP_BIT != 0;
        (end <= bytes.len()).then_some(Self { owner, kind, class: class & !TOP_BIT, flush, ttl, data, end })
    }

    fn record(&self, bytes: &[u8]) -> Option<Record> {
        let data = match self.kind {
            POINTER => Data::Pointer(self.name_until_end(bytes, self.data)?),
            SERVER => {
                Data::Server { port: u16_at(bytes, self.data + 4)?, target: self.name_until_end(bytes, self.data + 6)? }
            }
            TEXT => Data::Text(bytes.get(self.data..self.end)?.into()),
            ADDRESS_4 => {
                Data::Address(Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(self.data..self.end)?).ok()?).into())
            }
            _ => Data::Address(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.get(self.data..self.end)?).ok()?).into()),
        };
        Some(Record { name: Name::read(bytes, self.owner)?, ttl: self.ttl, flush: self.flush, data })
    }

    /// A name at `at` that fills the record exactly.
    fn name_until_end(&self, bytes: &[u8], at: usize) -> Option<Name> {
        (Name::end(bytes, at)? == self.end).then(|| Name::read(bytes, at))?
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
}

pub(super) const POINTER: u16 = 12;
pub(super) const SERVER: u16 = 33;
pub(super) const TEXT: u16 = 16;
pub(super) const ADDRESS_4: u16 = 1;
pub(super) const ADDRESS_6: u16 = 28;
pub(super) const CLASS_IN: u16 = 1;
const KINDS: [u16; 5] = [POINTER, SERVER, TEXT, ADDRESS_4, ADDRESS_6];
pub(super) const HEADER: usize = 12;
pub(super) const TRUNCATED: u16 = 0x0200;
const RESPONSE: u16 = 0x8000;
const OPCODE: u16 = 0x7800;
const RESPONSE_CODE: u16 = 0x000f;
const TOP_BIT: u16 = 0x8000;
const MAX_MESSAGE: usize = 9_000;
