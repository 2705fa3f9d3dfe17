//! Frames as the standards write them, spelled out here once more: what tests our codec must not use it.

/// How frames are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Modbus TCP.
    Tcp,
    /// Modbus RTU, over TCP or on a line.
    Rtu,
}

/// One request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Transaction number; 0 on a line.
    pub transaction: u16,
    /// Unit asked.
    pub unit: u8,
    /// Function and data.
    pub pdu: Vec<u8>,
}

impl Frame {
    /// Takes the first whole frame out of `bytes`. `Err` holds what can be no frame.
    pub(crate) fn take(framing: Framing, bytes: &mut Vec<u8>) -> Result<Option<Self>, Vec<u8>> {
        let wanted = match framing {
            Framing::Tcp => match bytes[..] {
                [_, _, 0, 0, high, low, ..] => 6 + usize::from(high) * 256 + usize::from(low),
                [_, _, _, _, ..] if bytes[2] != 0 || bytes[3] != 0 => return Err(std::mem::take(bytes)),
                _ => return Ok(None),
            },
            Framing::Rtu => match bytes[..] {
                [_, 1..=6, ..] => 8,
                [_, 7 | 11 | 12 | 17, ..] => 4,
                [_, 15 | 16, _, _, _, _, count, ..] => 9 + usize::from(count),
                [_, 43, 14, ..] => 7,
                [_, 15 | 16, ..] | [_] | [_, 43] | [] => return Ok(None),
                _ => return Err(std::mem::take(bytes)),
            },
        };
        if !(4..=260).contains(&wanted) || (framing == Framing::Tcp && wanted < 8) {
            return Err(std::mem::take(bytes));
        }
        if bytes.len() < wanted {
            return Ok(None);
        }
        let rest = bytes.split_off(wanted);
        let frame = std::mem::replace(bytes, rest);
        match framing {
            Framing::Tcp => Ok(Some(Self {
                transaction: u16::from_be_bytes([frame[0], frame[1]]),
                unit: frame[6],
                pdu: frame[7..].to_vec(),
            })),
            Framing::Rtu => {
                let (body, sum) = frame.split_at(wanted - 2);
                if checksum(body) != [sum[0], sum[1]] {
                    return Err(frame);
                }
                Ok(Some(Self { transaction: 0, unit: body[0], pdu: body[1..].to_vec() }))
            }
        }
    }

    /// The bytes of the frame.
    pub(crate) fn bytes(&self, framing: Framing) -> Vec<u8> {
        match framing {
            Framing::Tcp => {
                let [t1, t2] = self.transaction.to_be_bytes();
                let length = self.pdu.len() + 1;
                let mut bytes = vec![t1, t2, 0, 0, (length >> 8) as u8, (length & 0xFF) as u8, self.unit];
                bytes.extend(&self.pdu);
                bytes
            }
            Framing::Rtu => {
                let mut bytes = vec![self.unit];
                bytes.extend(&self.pdu);
                let sum = checksum(&bytes);
                bytes.extend(sum);
                bytes
            }
        }
    }
}

/// CRC-16 with the polynomial 0xA001, low byte first; by table, where ours goes bit by bit.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    const TABLE: [u16; 256] = {
        let mut table = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            let mut sum = byte as u16;
            let mut bit = 0;
            while bit < 8 {
                sum = if sum % 2 == 1 { (sum / 2) ^ 0xA001 } else { sum / 2 };
                bit += 1;
            }
            table[byte] = sum;
            byte += 1;
        }
        table
    };
    let mut sum = 0xFFFF_u16;
    for byte in bytes {
        sum = (sum >> 8) ^ TABLE[usize::from(sum as u8 ^ byte)];
    }
    [(sum & 0xFF) as u8, (sum >> 8) as u8]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_the_bytes_of_the_standards() {
        let frame = Frame { transaction: 7, unit: 17, pdu: vec![3, 0, 107, 0, 2] };
        assert_eq!(frame.bytes(Framing::Tcp), [0, 7, 0, 0, 0, 6, 17, 3, 0, 107, 0, 2]);
        assert_eq!(frame.bytes(Framing::Rtu), [17, 3, 0, 107, 0, 2, 0xB7, 0x47]);
        for framing in [Framing::Tcp, Framing::Rtu] {
            let mut bytes = [frame.bytes(framing), vec![1]].concat();
            let taken = Frame::take(framing, &mut bytes).unwrap().unwrap();
            assert_eq!((taken.unit, taken.pdu, bytes), (17, frame.pdu.clone(), vec![1]));
        }
    }

    #[test]
    fn what_is_no_frame_is_not_taken_for_one() {
        assert!(Frame::take(Framing::Tcp, &mut b"GET / HTTP/1.1\r\n".to_vec()).is_err());
        assert!(Frame::take(Framing::Rtu, &mut vec![17, 3, 0, 107, 0, 2, 0, 0]).is_err());
        assert_eq!(Frame::take(Framing::Rtu, &mut vec![17, 3, 0]), Ok(None));
    }
}
