//! What a device says of itself, made safe to show.

use alloc::boxed::Box;
use alloc::string::String;

use crate::text::steers;

/// Who a device says it is. Each text has 1 to 64 bytes and nothing in it steers a terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Who made it.
    pub manufacturer: Option<Box<str>>,
    /// Which of the maker's models it is.
    pub model: Option<Box<str>>,
    /// Its firmware or hardware revision, as the maker counts.
    pub version: Option<Box<str>>,
    /// What tells it from its sisters.
    pub serial: Option<Box<str>>,
    /// What its maker or its owner calls it.
    pub name: Option<Box<str>>,
}

impl Identity {
    /// Whether it says nothing at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Takes from `other` what is missing here.
    pub(super) fn complete(&mut self, other: Self) {
        for (mine, theirs) in [
            (&mut self.manufacturer, other.manufacturer),
            (&mut self.model, other.model),
            (&mut self.version, other.version),
            (&mut self.serial, other.serial),
            (&mut self.name, other.name),
        ] {
            if mine.is_none() {
                *mine = theirs;
            }
        }
    }
}

/// Text as a device holds it: up to the first NUL, in UTF-8 or else in Latin-1, without the characters that steer a
/// terminal and the blanks around it, cut to `most` bytes. `None` where nothing is left: all NUL, all 0xFF, blanks.
pub(super) fn cleaned(bytes: &[u8], most: usize) -> Option<Box<str>> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let bytes = &bytes[..end];
    if bytes.iter().all(|byte| *byte == 0xFF) {
        return None;
    }
    let written: String = match core::str::from_utf8(bytes) {
        Ok(text) => text.chars().filter(|c| !steers(*c)).collect(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).filter(|c| !steers(*c)).collect(),
    };
    let trimmed = written.trim();
    let mut end = trimmed.len().min(most);
    while !trimmed.is_char_boundary(end) {
        end -= 1;
    }
    let kept = trimmed[..end].trim_end();
    (!kept.is_empty()).then(|| kept.into())
}

/// The most bytes of one text of an [`Identity`].
pub(super) const MOST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_device_is_made_safe_and_short() {
        assert_eq!(cleaned(b"  Acme \0garbage", MOST).as_deref(), Some("Acme"));
        assert_eq!(cleaned(b"a\x1b[2Jb\r\n", MOST).as_deref(), Some("a[2Jb"));
        assert_eq!(cleaned(b"Fr\xF6nius", MOST).as_deref(), Some("Fr\u{f6}nius"));
        assert_eq!(cleaned("\u{202e}evil".as_bytes(), MOST).as_deref(), Some("evil"));
        for nothing in [&b""[..], b"\0\0\0", b"   ", b"\xFF\xFF\xFF\xFF", b"\x01\x02"] {
            assert_eq!(cleaned(nothing, MOST), None);
        }
        let long = "\u{e9}".repeat(40);
        assert_eq!(cleaned(long.as_bytes(), 63).as_deref().map(str::len), Some(62));
    }
}
