//! One record: marker, length, checksum, payload.

/// `payload` as it stands in the file.
pub(super) fn seal(payload: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(HEAD + payload.len());
    record.extend_from_slice(&MARKER);
    // A payload is one registration: core and API keep it far below 4 GiB.
    record.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    record.extend_from_slice(&crc32(payload).to_le_bytes());
    record.extend_from_slice(payload);
    record
}

/// One stretch of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stretch<'a> {
    /// A whole record's payload.
    Whole(&'a [u8]),
    /// Bytes that are no record, up to where the next one begins.
    Damaged(usize),
    /// Bytes at the end that are no record: a write that was cut off.
    Torn(usize),
}

/// The first stretch of `bytes` and what follows it; `None` at the end.
pub(super) fn next(bytes: &[u8]) -> Option<(Stretch<'_>, &[u8])> {
    if bytes.is_empty() {
        return None;
    }
    if let Some(found) = whole(bytes) {
        return Some(found);
    }
    let start = (1..bytes.len()).find(|&at| whole(&bytes[at..]).is_some());
    Some(match start {
        Some(at) => (Stretch::Damaged(at), &bytes[at..]),
        None => (Stretch::Torn(bytes.len()), &[]),
    })
}

fn whole(bytes: &[u8]) -> Option<(Stretch<'_>, &[u8])> {
    let rest = bytes.strip_prefix(&MARKER)?;
    let (length, rest) = rest.split_first_chunk()?;
    let (sum, rest) = rest.split_first_chunk()?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > MAX_PAYLOAD {
        return None;
    }
    let (payload, rest) = rest.split_at_checked(length)?;
    (crc32(payload) == u32::from_le_bytes(*sum)).then_some((Stretch::Whole(payload), rest))
}

/// CRC-32 as in IEEE 802.3 and zip: reflected, polynomial 0xEDB88320.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| (sum >> 8) ^ TABLE[((sum ^ u32::from(*byte)) & 0xff) as usize])
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut n = 0;
    while n < 256 {
        let (mut sum, mut bit) = (n as u32, 0);
        while bit < 8 {
            sum = if sum & 1 == 1 { 0xedb8_8320 ^ (sum >> 1) } else { sum >> 1 };
            bit += 1;
        }
        table[n] = sum;
        n += 1;
    }
    table
};

/// Where a record begins, also after damage: bytes that UTF-8 text does not hold.
const MARKER: [u8; 4] = [0xff, b'w', b'j', 0x01];
const HEAD: usize = 12;
/// Bytes of a payload; a registration is bounded by the API's body limit.
const MAX_PAYLOAD: usize = 256 * 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_one_of_zip() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn damage_costs_only_the_record_it_hits() {
        let mut bytes = [seal(b"one"), seal(b"two"), seal(b"three")].concat();
        bytes[20] ^= 1;
        let mut rest = &bytes[..];
        let mut seen = Vec::new();
        while let Some((stretch, after)) = next(rest) {
            seen.push(stretch);
            rest = after;
        }
        assert_eq!(seen, [Stretch::Whole(b"one"), Stretch::Damaged(15), Stretch::Whole(b"three")]);
    }
}
