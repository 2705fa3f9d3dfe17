//! Tagged values (clause 20.2), as many as we ask for.

use alloc::boxed::Box;
use alloc::string::String;

use super::NoAnswer;
use crate::text::plain;

/// Bytes yet to be read.
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], NoAnswer> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(NoAnswer::Short(self.0.len()))?;
        self.0 = rest;
        Ok(taken)
    }

    /// The number of a device object, under a context tag.
    pub(super) fn object(&mut self, tag: u8) -> Result<u32, NoAnswer> {
        if self.take(1)? != [tag << 4 | 0x0C] {
            return Err(NoAnswer::Value);
        }
        self.instance()
    }

    /// The number of a device object, as a value.
    pub(super) fn device(&mut self) -> Result<u32, NoAnswer> {
        if self.take(1)? != [0xC4] {
            return Err(NoAnswer::Value);
        }
        self.instance()
    }

    fn instance(&mut self) -> Result<u32, NoAnswer> {
        let number = self.take(4)?.iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
        if number >> 22 != DEVICE {
            return Err(NoAnswer::Value);
        }
        Ok(number & 0x003F_FFFF)
    }

    /// A number of at most four bytes: unsigned (tag 2) or enumerated (9).
    pub(super) fn unsigned(&mut self, tag: u8) -> Result<u32, NoAnswer> {
        let head = self.take(1)?[0];
        let length = head & 0x0F;
        if head >> 4 != tag || !(1..=4).contains(&length) {
            return Err(NoAnswer::Value);
        }
        Ok(self.take(usize::from(length))?.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    /// A character string, made safe to keep.
    pub(super) fn text(&mut self) -> Result<Box<str>, NoAnswer> {
        let head = self.take(1)?[0];
        if head >> 4 != 7 || head & 0x08 != 0 {
            return Err(NoAnswer::Value);
        }
        let length = match head & 0x07 {
            5 => match self.take(1)?[0] {
                254 => self.take(2)?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)),
                255 => return Err(NoAnswer::Value),
                length => usize::from(length),
            },
            length => usize::from(length),
        };
        let (set, text) = self.take(length)?.split_first().ok_or(NoAnswer::Value)?;
        match set {
            0 => Ok(plain(text, TEXT)),
            4 => {
                let units = text.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
                let text: String = char::decode_utf16(units.take(TEXT)).filter_map(Result::ok).collect();
                Ok(plain(text.as_bytes(), TEXT))
            }
            5 => {
                let text: String = text.iter().take(TEXT).map(|byte| char::from(*byte)).collect();
                Ok(plain(text.as_bytes(), TEXT))
            }
            _ => Err(NoAnswer::Value),
        }
    }
}

/// Object type "device".
pub(super) const DEVICE: u32 = 8;
/// Bytes of a text that are kept.
const TEXT: usize = 64;
