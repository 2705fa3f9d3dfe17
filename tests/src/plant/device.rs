//! One simulated device: what it says it is, and what stands in its registers.

use std::collections::BTreeMap;

/// What one unit answers from.
#[derive(Clone, Debug, Default)]
pub struct Device {
    /// Device identification, if it knows function 43.
    pub identity: Option<Identity>,
    /// Holding registers (function 3).
    pub holding: Words,
    /// Input registers (function 4).
    pub input: Words,
    /// Coils (function 1) and discrete inputs (function 2): those that are set, below the count.
    pub bits: Bits,
    /// The most words it gives at once, if fewer than the 125 of the specification.
    pub most: Option<u16>,
}

/// Registers of one table.
#[derive(Clone, Debug, Default)]
pub enum Words {
    /// It has no such table.
    #[default]
    Absent,
    /// These; any other address is refused.
    Held(BTreeMap<u16, u16>),
    /// Every address, with a value that tells the unit, the address and the request: [`proof`].
    Proof,
}

/// Bits of both tables.
#[derive(Clone, Debug, Default)]
pub struct Bits {
    /// How many there are.
    pub count: u16,
    /// Those that are set.
    pub set: Vec<u16>,
}

/// Device identification objects.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Number and bytes of each, in rising order.
    pub objects: Vec<(u8, Vec<u8>)>,
    /// What it claims for a conformity level. By the specification 0x01 to 0x03 or 0x81 to 0x83; in the field 0 as well.
    pub conformity: u8,
    /// Bytes of objects that it puts in one reply.
    pub part: usize,
    /// It says for ever that more follows, from the first object on.
    pub endless: bool,
}

impl Identity {
    /// Vendor, product code and revision.
    pub fn basic(vendor: &str, code: &str, revision: &str) -> Self {
        let objects = [vendor, code, revision].into_iter().zip(0..);
        Self {
            objects: objects.map(|(text, id)| (id, text.as_bytes().to_vec())).collect(),
            conformity: 0x82,
            part: 246,
            endless: false,
        }
    }

    /// And this object.
    #[must_use]
    pub fn with(mut self, id: u8, text: &str) -> Self {
        self.objects.retain(|(given, _)| *given != id);
        self.objects.push((id, text.as_bytes().to_vec()));
        self.objects.sort();
        self
    }
}

/// What a register of [`Words::Proof`] holds when `unit` is asked for `address` by the host's `request`th request.
/// Any mix-up of replies shows: another unit, address or request gives another value, but for one in 65,536.
pub fn proof(unit: u8, address: u16, request: u64) -> u16 {
    let mut mixed = request << 24 | u64::from(unit) << 16 | u64::from(address);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((mixed ^ mixed >> 31) & 0xFFFF) as u16
}

impl Device {
    /// A device that only says what it is.
    pub fn identified(identity: Identity) -> Self {
        Self { identity: Some(identity), ..Self::default() }
    }

    /// A device whose holding and input registers are all [`Words::Proof`].
    pub fn proving() -> Self {
        Self { holding: Words::Proof, input: Words::Proof, ..Self::default() }
    }

    /// And these holding registers, from `address` on.
    #[must_use]
    pub fn holding(mut self, address: u16, words: &[u16]) -> Self {
        self.holding.put(address, words);
        self
    }

    /// And these input registers, from `address` on.
    #[must_use]
    pub fn input(mut self, address: u16, words: &[u16]) -> Self {
        self.input.put(address, words);
        self
    }

    /// What it answers as `unit` to the host's `request`th request.
    pub(crate) fn answer(&self, unit: u8, pdu: &[u8], request: u64) -> Vec<u8> {
        let refuse = |code: u8| vec![pdu.first().copied().unwrap_or(0) | 0x80, code];
        match *pdu {
            [function @ (1 | 2), a1, a2, c1, c2] => {
                let (start, count) = (u16::from_be_bytes([a1, a2]), u16::from_be_bytes([c1, c2]));
                match count {
                    0 | 2_001.. => refuse(3),
                    _ if u32::from(start) + u32::from(count) > u32::from(self.bits.count) => refuse(2),
                    _ => {
                        let mut bytes = vec![0_u8; usize::from(count).div_ceil(8)];
                        for at in self.bits.set.iter().filter_map(|set| set.checked_sub(start)).filter(|at| *at < count)
                        {
                            bytes[usize::from(at) / 8] |= 1 << (at % 8);
                        }
                        [vec![function, bytes.len() as u8], bytes].concat()
                    }
                }
            }
            [function @ (3 | 4), a1, a2, c1, c2] => {
                let (start, count) = (u16::from_be_bytes([a1, a2]), u16::from_be_bytes([c1, c2]));
                let words = if function == 3 { &self.holding } else { &self.input };
                if matches!(words, Words::Absent) {
                    return refuse(1);
                }
                if count == 0 || count > 125 {
                    return refuse(3);
                }
                let end = u32::from(start) + u32::from(count);
                if end > 65_536 || self.most.is_some_and(|most| count > most) {
                    return refuse(2);
                }
                let values: Option<Vec<u16>> =
                    (0..count).map(|at| words.value(unit, start.wrapping_add(at), request)).collect();
                let Some(values) = values else { return refuse(2) };
                let mut reply = vec![function, (count * 2) as u8];
                reply.extend(values.iter().flat_map(|value| value.to_be_bytes()));
                reply
            }
            [43, 14, code, from] => match &self.identity {
                Some(identity) => identity.answer(code, from).unwrap_or_else(refuse),
                None => refuse(1),
            },
            _ => refuse(1),
        }
    }
}

impl Words {
    fn put(&mut self, address: u16, words: &[u16]) {
        let mut held = match std::mem::take(self) {
            Self::Held(held) => held,
            Self::Absent | Self::Proof => BTreeMap::new(),
        };
        held.extend((address..).zip(words.iter().copied()));
        *self = Self::Held(held);
    }

    fn value(&self, unit: u8, address: u16, request: u64) -> Option<u16> {
        match self {
            Self::Absent => None,
            Self::Held(held) => held.get(&address).copied(),
            Self::Proof => Some(proof(unit, address, request)),
        }
    }
}

impl Identity {
    /// The reply, or an exception code.
    fn answer(&self, code: u8, from: u8) -> Result<Vec<u8>, u8> {
        let wanted = match code {
            1 => 0..=2,
            2 => 0..=0x7F,
            3 => 0..=0xFF,
            4 => from..=from,
            _ => return Err(3),
        };
        let objects: Vec<_> = self.objects.iter().filter(|(id, _)| wanted.contains(id)).collect();
        // An object that is not there means "from the first on", unless it is asked for alone (V1.1b3, 6.21).
        let known = objects.iter().position(|(id, _)| *id == from);
        let begin = match known {
            None if code == 4 => return Err(2),
            found => found.unwrap_or(0),
        };
        let (mut body, mut count, mut next) = (Vec::new(), 0, None);
        for (id, bytes) in &objects[begin..] {
            if count > 0 && body.len() + 2 + bytes.len() > self.part {
                next = Some(*id);
                break;
            }
            body.extend([*id, bytes.len() as u8]);
            body.extend(bytes);
            count += 1;
        }
        if self.endless {
            next = Some(0);
        }
        let more = if next.is_some() { 0xFF } else { 0 };
        Ok([vec![43, 14, code, self.conformity, more, next.unwrap_or(0), count], body].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identification_comes_in_as_many_parts_as_it_takes() {
        let mut identity = Identity::basic("Acme", "X-1", "V2").with(0x80, "SN-7");
        identity.part = 10;
        let device = Device::identified(identity);
        let first = device.answer(1, &[43, 14, 3, 0], 1);
        assert_eq!(first, [&[43, 14, 3, 0x82, 0xFF, 1, 1, 0, 4][..], b"Acme"].concat());
        let second = device.answer(1, &[43, 14, 3, 1], 2);
        assert_eq!(second, [&[43, 14, 3, 0x82, 0xFF, 0x80, 2, 1, 3][..], b"X-1", &[2, 2], b"V2"].concat());
        assert_eq!(device.answer(1, &[43, 14, 4, 5], 3), [0xAB, 2]);
    }

    #[test]
    fn registers_that_are_not_there_are_refused() {
        let device = Device::default().holding(10, &[1, 2]);
        assert_eq!(device.answer(1, &[3, 0, 10, 0, 2], 1), [3, 4, 0, 1, 0, 2]);
        assert_eq!(device.answer(1, &[3, 0, 10, 0, 3], 1), [0x83, 2]);
        assert_eq!(device.answer(1, &[3, 0, 10, 0, 126], 1), [0x83, 3]);
        assert_eq!(device.answer(1, &[4, 0, 10, 0, 1], 1), [0x84, 1]);
        assert_eq!(device.answer(1, &[6, 0, 10, 0, 1], 1), [0x86, 1]);
    }

    #[test]
    fn bits_are_packed_from_the_lowest() {
        let device = Device { bits: Bits { count: 20, set: vec![3, 12] }, ..Device::default() };
        assert_eq!(device.answer(1, &[1, 0, 3, 0, 10], 1), [1, 2, 0x01, 0x02]);
        assert_eq!(device.answer(1, &[2, 0, 3, 0, 18], 1), [0x82, 2]);
    }
}
