//! How a request and its reply are wrapped on TCP and on a serial line.

use alloc::vec::Vec;

use super::reply::{Garbled, Reply, pdu_length};
use super::request::Request;
use super::unit::Unit;

/// How frames are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Framing {
    /// Modbus TCP: a header with a transaction number and a length.
    Tcp,
    /// Modbus RTU, on a serial line or carried over TCP: a checksum, and no number.
    Rtu,
}

/// One request on its way, and the bytes that have come back for it so far.
///
/// Holds at most one frame, 260 bytes: what comes beyond is an error.
#[derive(Clone, Debug)]
pub struct Exchange {
    framing: Framing,
    transaction: u16,
    unit: Unit,
    request: Request,
    heard: Vec<u8>,
}

impl Exchange {
    /// `transaction` must differ from that of the exchange before on the same connection; a line does not carry it.
    pub fn new(framing: Framing, transaction: u16, unit: Unit, request: Request) -> Self {
        Self { framing, transaction, unit, request, heard: Vec::new() }
    }

    /// The bytes to send.
    pub fn bytes(&self) -> Vec<u8> {
        let pdu = self.request.pdu();
        match self.framing {
            Framing::Tcp => {
                let mut frame = Vec::with_capacity(HEADER + pdu.len());
                frame.extend(self.transaction.to_be_bytes());
                frame.extend([0, 0]);
                // The cast cannot cut: a request has 5 bytes at the most.
                frame.extend((pdu.len() as u16 + 1).to_be_bytes());
                frame.push(self.unit.0);
                frame.extend(pdu);
                frame
            }
            Framing::Rtu => {
                let mut frame = Vec::with_capacity(pdu.len() + 3);
                frame.push(self.unit.0);
                frame.extend(pdu);
                frame.extend(crc(&frame).to_le_bytes());
                frame
            }
        }
    }

    /// Takes what has arrived. The reply, once it is whole; `None` while more is due.
    ///
    /// # Errors
    /// [`Garbled`] if it cannot be, or can no longer be, the reply to this request. The exchange is over then.
    pub fn hear(&mut self, bytes: &[u8]) -> Result<Option<Reply>, Garbled> {
        self.heard.extend_from_slice(&bytes[..bytes.len().min(MOST + 1 - self.heard.len().min(MOST))]);
        match self.framing {
            Framing::Tcp => self.tcp(),
            Framing::Rtu => self.rtu(),
        }
    }

    fn tcp(&self) -> Result<Option<Reply>, Garbled> {
        let heard = &self.heard[..];
        let [t1, t2, p1, p2, l1, l2, unit, pdu @ ..] = heard else { return Ok(None) };
        let (transaction, protocol) = (u16::from_be_bytes([*t1, *t2]), u16::from_be_bytes([*p1, *p2]));
        if protocol != 0 {
            return Err(Garbled::Protocol(protocol));
        }
        if transaction != self.transaction {
            return Err(Garbled::Transaction { given: transaction, wanted: self.transaction });
        }
        self.meant(*unit)?;
        let length = usize::from(u16::from_be_bytes([*l1, *l2]));
        if !(3..=MOST - HEADER + 1).contains(&length) {
            return Err(Garbled::Length { given: length, wanted: MOST - HEADER + 1 });
        }
        self.whole(pdu, length - 1, pdu.len())
    }

    fn rtu(&self) -> Result<Option<Reply>, Garbled> {
        let [unit, pdu @ ..] = &self.heard[..] else { return Ok(None) };
        self.meant(*unit)?;
        let wanted = self.request.function();
        if let Some(given) = pdu.first().copied().filter(|given| given & 0x7F != wanted) {
            return Err(Garbled::Function { given, wanted });
        }
        let Some(length) = pdu_length(pdu) else {
            return if self.heard.len() > MOST { Err(Garbled::Unasked(self.heard.len())) } else { Ok(None) };
        };
        if let Some(sum) = pdu.get(length..length + 2) {
            let (given, wanted) = (u16::from_le_bytes([sum[0], sum[1]]), crc(&self.heard[..=length]));
            if given != wanted {
                return Err(Garbled::Checksum { given, wanted });
            }
        } else if length + 3 > MOST {
            return Err(Garbled::Length { given: length, wanted: MOST - 3 });
        } else {
            return Ok(None);
        }
        self.whole(pdu, length, pdu.len() - 2)
    }

    fn whole(&self, pdu: &[u8], length: usize, there: usize) -> Result<Option<Reply>, Garbled> {
        match pdu.get(..length) {
            None => Ok(None),
            Some(_) if there > length => Err(Garbled::Unasked(there - length)),
            Some(pdu) => Reply::read(&self.request, pdu).map(Some),
        }
    }

    fn meant(&self, given: u8) -> Result<(), Garbled> {
        if given == self.unit.0 { Ok(()) } else { Err(Garbled::Unit { given, wanted: self.unit.0 }) }
    }
}

/// CRC-16 of a line (Serial Line V1.02, 6.2.2), sent low byte first.
pub fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |sum, byte| {
        (0..8).fold(sum ^ u16::from(*byte), |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xA001 } else { sum >> 1 })
    })
}

/// Transaction, protocol, length and unit.
const HEADER: usize = 7;
/// The longest frame on TCP; one on a line has 256.
const MOST: usize = 260;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modbus::reply::Exception;
    use crate::modbus::request::{Objects, Table};

    fn read(framing: Framing) -> Exchange {
        Exchange::new(framing, 7, Unit(17), Request::read(Table::HoldingRegisters, 107, 2).unwrap())
    }

    fn framed(framing: Framing, unit: u8, pdu: &[u8]) -> Vec<u8> {
        match framing {
            Framing::Tcp => [&[0, 7, 0, 0, 0, pdu.len() as u8 + 1, unit], pdu].concat(),
            Framing::Rtu => {
                let frame = [&[unit], pdu].concat();
                let sum = crc(&frame).to_le_bytes();
                [frame, sum.into()].concat()
            }
        }
    }

    #[test]
    fn a_line_ends_with_the_checksum_everybody_knows() {
        assert_eq!(crc(b"123456789"), 0x4B37);
        assert_eq!(read(Framing::Rtu).bytes(), [17, 3, 0, 107, 0, 2, 0xB7, 0x47]);
        assert_eq!(read(Framing::Tcp).bytes(), [0, 7, 0, 0, 0, 6, 17, 3, 0, 107, 0, 2]);
    }

    #[test]
    fn a_reply_may_come_byte_by_byte() {
        let identification = [&[0x2B, 0x0E, 1, 1, 0, 0, 1, 0, 4][..], b"Acme"].concat();
        let cases = [
            (Request::read(Table::HoldingRegisters, 0, 2).unwrap(), &[3, 4, 0, 1, 0, 2][..]),
            (Request::read(Table::HoldingRegisters, 0, 2).unwrap(), &[0x83, 2]),
            (Request::Identify(Objects::Basic, 0), &identification),
        ];
        for framing in [Framing::Tcp, Framing::Rtu] {
            for (request, pdu) in cases {
                let mut exchange = Exchange::new(framing, 7, Unit(17), request);
                let frame = framed(framing, 17, pdu);
                let (last, before) = frame.split_last().unwrap();
                for byte in before {
                    assert_eq!(exchange.hear(&[*byte]), Ok(None));
                }
                assert_eq!(exchange.hear(&[*last]), Reply::read(&request, pdu).map(Some));
            }
        }
    }

    #[test]
    fn what_is_not_the_answer_is_an_error() {
        let good = [3, 4, 0, 1, 0, 2];
        for framing in [Framing::Tcp, Framing::Rtu] {
            let hear = |frame: &[u8]| read(framing).hear(frame);
            let frame = framed(framing, 17, &good);
            assert_eq!(hear(&frame), Ok(Some(Reply::Registers([1, 2].into()))));
            assert_eq!(hear(&framed(framing, 18, &good)), Err(Garbled::Unit { given: 18, wanted: 17 }));
            assert!(matches!(hear(&framed(framing, 17, &[3, 2, 0, 1])), Err(Garbled::Length { .. })));
            assert!(matches!(hear(&framed(framing, 17, &[4, 4, 0, 1, 0, 2])), Err(Garbled::Function { .. })));
            assert_eq!(hear(&[&frame[..], &frame].concat()), Err(Garbled::Unasked(frame.len())));
            assert!(hear(&[0xFF; 600]).is_err());
            let exception = hear(&framed(framing, 17, &[0x83, 6]));
            assert_eq!(exception, Ok(Some(Reply::Exception(Exception::BUSY))));
        }
        let mut frame = framed(Framing::Tcp, 17, &good);
        frame[1] = 6;
        assert_eq!(read(Framing::Tcp).hear(&frame), Err(Garbled::Transaction { given: 6, wanted: 7 }));
        let mut frame = framed(Framing::Rtu, 17, &good);
        frame[5] ^= 1;
        assert!(matches!(read(Framing::Rtu).hear(&frame), Err(Garbled::Checksum { .. })));
    }
}
