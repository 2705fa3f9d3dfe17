//! DNS names as they stand in messages: case is kept for writing and ignored for comparing (RFC 6762 section 16).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt::Write as _;

/// A DNS name: labels with their length bytes, without the root's. At most 254 bytes.
#[derive(Clone, Debug)]
pub(super) struct Name(Box<[u8]>);

impl Name {
    /// The name made of `labels`; `None` if a label is empty or over 63 bytes, or the whole over 254.
    pub(super) fn of(labels: &[&[u8]]) -> Option<Self> {
        let mut wire = Vec::new();
        for label in labels {
            let length = u8::try_from(label.len()).ok().filter(|length| (1..=MAX_LABEL).contains(length))?;
            wire.push(length);
            wire.extend_from_slice(label);
        }
        (wire.len() <= MAX_NAME).then(|| Self(wire.into()))
    }

    /// The name without labels.
    pub(super) fn root() -> Self {
        Self(Box::default())
    }

    /// The name at `at` in `message`, following compression pointers. Each must point before what was read so far, so
    /// a loop cannot be written down. `None` if it is none.
    pub(super) fn read(message: &[u8], mut at: usize) -> Option<Self> {
        let mut wire = Vec::with_capacity(64);
        let mut lowest = at;
        loop {
            let length = *message.get(at)?;
            match length {
                0 => return Some(Self(wire.into())),
                1..=MAX_LABEL => {
                    let end = at + 1 + usize::from(length);
                    wire.extend_from_slice(message.get(at..end)?);
                    if wire.len() > MAX_NAME {
                        return None;
                    }
                    at = end;
                }
                POINTER.. => {
                    let target = usize::from(length & !POINTER) << 8 | usize::from(*message.get(at + 1)?);
                    if target >= lowest {
                        return None;
                    }
                    lowest = target;
                    at = target;
                }
                _ => return None,
            }
        }
    }

    /// Where the name at `at` ends in the message itself, whatever it points to.
    pub(super) fn end(message: &[u8], mut at: usize) -> Option<usize> {
        loop {
            match *message.get(at)? {
                0 => return Some(at + 1),
                length @ 1..=MAX_LABEL => at += 1 + usize::from(length),
                POINTER.. => return (at + 2 <= message.len()).then_some(at + 2),
                _ => return None,
            }
        }
    }

    /// Labels with their length bytes, without the root's.
    pub(super) fn wire(&self) -> &[u8] {
        &self.0
    }

    /// Its labels, from the left.
    pub(super) fn labels(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest: &[u8] = &self.0;
        core::iter::from_fn(move || {
            let (length, tail) = rest.split_first()?;
            let (label, tail) = tail.split_at_checked(usize::from(*length))?;
            rest = tail;
            Some(label)
        })
    }

    /// Whether this is `parent` with exactly one label before it.
    pub(super) fn is_child_of(&self, parent: &Self) -> bool {
        let length = self.0.first().map_or(0, |length| usize::from(*length) + 1);
        length > 0 && self.0.get(length..).is_some_and(|rest| rest.eq_ignore_ascii_case(&parent.0))
    }

    /// As master files write it (RFC 1035 section 5.1): dots and backslashes inside a label are escaped, control
    /// characters and what is no UTF-8 is written `\DDD`. No dot at the end.
    pub(super) fn text(&self) -> String {
        let mut text = String::with_capacity(self.0.len());
        for label in self.labels() {
            if !text.is_empty() {
                text.push('.');
            }
            for chunk in label.utf8_chunks() {
                chunk.valid().chars().for_each(|c| push(&mut text, c));
                chunk.invalid().iter().for_each(|byte| push_spelled(&mut text, *byte));
            }
        }
        text
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Name {}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    // A length byte is below 64 and so never a letter: folding the whole is folding the labels.
    fn cmp(&self, other: &Self) -> Ordering {
        let fold = |byte: &u8| byte.to_ascii_lowercase();
        self.0.iter().map(fold).cmp(other.0.iter().map(fold))
    }
}

fn push(text: &mut String, c: char) {
    match c {
        '.' | '\\' => text.extend(['\\', c]),
        c if c.is_control() => c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| push_spelled(text, byte)),
        c => text.push(c),
    }
}

/// `\DDD` with decimal digits, as RFC 1035 has it.
fn push_spelled(text: &mut String, byte: u8) {
    // Writing to a String cannot fail.
    let _ = write!(text, "\\{byte:03}");
}

const MAX_LABEL: u8 = 63;
const MAX_NAME: usize = 254;
pub(super) const POINTER: u8 = 0b1100_0000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_differ_in_case_only_on_the_wire() {
        let name = |text: &str| Name::of(&[text.as_bytes(), b"local"]).unwrap();
        assert_eq!(name("Printer"), name("pRINTER"));
        assert_eq!(name("Printer").cmp(&name("printer")), Ordering::Equal);
        assert_eq!(name("Printer").text(), "Printer.local");
    }

    #[test]
    fn dots_and_control_characters_in_a_label_are_spelled() {
        let name = Name::of(&[b"a.b\\c\n\xff", b"local"]).unwrap();
        assert_eq!(name.text(), "a\\.b\\\\c\\010\\255.local");
    }

    #[test]
    fn a_pointer_that_does_not_point_back_is_no_name() {
        assert!(Name::read(b"\xc0\x00", 0).is_none());
        assert!(Name::read(b"\x01a\xc0\x02", 0).is_none());
        assert!(Name::read(b"\x01a\xc0\x03\x00", 2).is_none());
        assert_eq!(Name::read(b"\x01a\x00\x01b\xc0\x00", 3).unwrap().text(), "b.a");
    }
}
