//! Where output goes, and in which shape.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, BufWriter, IsTerminal as _, StdoutLock, Write};

use clap::ValueEnum;
use wayside_protocols::text::escaped;

/// The shape of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Shape {
    /// Columns for people; coloured on a terminal, plain off it
    Table,
    /// The same with every column
    Wide,
    /// What the agent's API says
    Json,
    /// One JSON object a line
    Jsonl,
    /// A GeoJSON feature collection (RFC 7946)
    Geojson,
}

/// Standard output, locked and buffered.
#[derive(Debug)]
pub(super) struct Screen {
    out: BufWriter<StdoutLock<'static>>,
    /// Whether a person looks at it who wants colours.
    pub(super) colour: bool,
}

impl Screen {
    pub(super) fn open() -> Self {
        let out = io::stdout().lock();
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let colour = out.is_terminal() && wanted && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self { out: BufWriter::new(out), colour }
    }

    /// Shows `text`, which ends its own lines, at once.
    pub(super) fn show(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

/// `json`, which is JSON text, with every character that could steer a terminal spelled as JSON does. Outside its
/// strings JSON has none but white space.
pub(super) fn tame(json: &str) -> Cow<'_, str> {
    let wild = |c: char| !c.is_ascii_whitespace() && matches!(escaped(c.encode_utf8(&mut [0; 4])), Cow::Owned(_));
    if !json.contains(wild) {
        return Cow::Borrowed(json);
    }
    let mut safe = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if wild(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_from_elsewhere_cannot_steer_the_terminal_and_stays_the_same_json() {
        let json = "{\"a\":\"x\u{202e}y\u{9b}2J\",\n\"b\":1}";
        let safe = tame(json);
        assert_eq!(safe, "{\"a\":\"x\\u202ey\\u009b2J\",\n\"b\":1}");
        let (one, two): (serde_json::Value, serde_json::Value) =
            (serde_json::from_str(json).unwrap(), serde_json::from_str(&safe).unwrap());
        assert_eq!(one, two);
    }
}
