//! Text from the air, made safe to show.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use core::fmt::Write as _;

/// `text` with every character that could steer a terminal, break a line or turn the reading direction written as
/// `\u{..}`. Borrowed where there is none.
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.chars().any(steers) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if steers(c) {
            // Writing to a String cannot fail.
            let _ = write!(safe, "\\u{{{:x}}}", u32::from(c));
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

/// Text that a device sent, as it can be kept: without what steers a terminal, without blanks at its ends, cut at `most`
/// bytes between two characters. Bytes that are not UTF-8 are left out.
pub fn plain(bytes: &[u8], most: usize) -> Box<str> {
    let mut kept = String::with_capacity(bytes.len().min(most));
    for c in bytes.utf8_chunks().flat_map(|chunk| chunk.valid().chars()).filter(|c| !steers(*c)) {
        if kept.len() + c.len_utf8() > most {
            break;
        }
        kept.push(c);
    }
    kept.trim().into()
}

/// Control characters, line and paragraph separators, bidirectional controls (UAX #9), zero-width and byte-order marks.
pub(crate) fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_stays_as_it_is() {
        assert!(matches!(escaped("Küche 1"), Cow::Borrowed("Küche 1")));
    }

    #[test]
    fn what_steers_a_terminal_is_spelled_out() {
        assert_eq!(escaped("a\u{1b}[2Jb\nc\u{202e}d"), "a\\u{1b}[2Jb\\u{a}c\\u{202e}d");
    }
    #[test]
    fn what_a_device_sent_is_kept_without_what_steers_and_never_longer_than_allowed() {
        assert_eq!(&*plain(b" 1756\0-L61\x1b[2J\xff \n", 64), "1756-L61[2J");
        assert_eq!(&*plain("Küche".as_bytes(), 2), "K");
        assert_eq!(&*plain(b"", 4), "");
    }
}
