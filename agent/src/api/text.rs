//! JSON that is safe to show on a terminal.

use std::borrow::Cow;
use std::io;

use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};

use wayside_protocols::text::escaped;

/// `value` as JSON. Characters that could steer a terminal or turn the reading direction are written as `\uXXXX`:
/// a program reads the same text, a person sees that something is odd.
pub(crate) fn json(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512);
    // Our own wire types have string keys and finite numbers, and a Vec takes every byte: this cannot fail.
    let _ = value.serialize(&mut Serializer::with_formatter(&mut bytes, Plain));
    bytes
}

struct Plain;

impl Formatter for Plain {
    fn write_string_fragment<W: io::Write + ?Sized>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if matches!(escaped(fragment), Cow::Borrowed(_)) {
            return CompactFormatter.write_string_fragment(writer, fragment);
        }
        for c in fragment.chars() {
            let (mut utf8, mut utf16) = ([0; 4], [0; 2]);
            let text: &str = c.encode_utf8(&mut utf8);
            match escaped(text) {
                Cow::Borrowed(plain) => writer.write_all(plain.as_bytes())?,
                Cow::Owned(_) => {
                    for unit in c.encode_utf16(&mut utf16) {
                        write!(writer, "\\u{unit:04x}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_turns_the_reading_direction_is_spelled_out_and_still_the_same_text() {
        let odd = "a\u{202e}b\u{7f}\n\"ü";
        let bytes = json(&odd);
        assert_eq!(std::str::from_utf8(&bytes).unwrap(), "\"a\\u202eb\\u007f\\n\\\"ü\"");
        assert_eq!(serde_json::from_slice::<String>(&bytes).unwrap(), odd);
    }
}
