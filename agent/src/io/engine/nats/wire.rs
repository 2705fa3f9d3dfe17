//! The text protocol of NATS, as far as a registry speaks it: bytes in, words out.
//!
//! <https://docs.nats.io/reference/reference-protocols/nats-protocol>; headers are those of ADR-4.

use serde_json::Value as Json;

/// What a server says.
#[derive(Debug)]
pub(super) enum Word {
    /// Who it is.
    Info(Json),
    /// Something that was published.
    Message(Message),
    /// It wants to know whether we are there.
    Ping,
    /// It is there, or took what was said.
    Fine,
    /// It complains.
    Trouble(String),
}

/// Something that was published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) subject: String,
    /// Where an answer would go; of what JetStream delivers, which message it is.
    pub(super) reply: Option<String>,
    /// `100` is a word of the server's own, `503` says that nobody listens there.
    pub(super) status: Option<u16>,
    headers: Vec<(String, String)>,
    pub(super) payload: Vec<u8>,
}

impl Message {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }
}

/// Why what a server says cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum WireError {
    /// A line, or a message, is longer than any may be.
    #[error("{what} of {given} bytes is longer than {limit}")]
    Long {
        /// Which of both.
        what: &'static str,
        /// How long.
        given: usize,
        /// How long it may be.
        limit: usize,
    },
    /// It is no word of the protocol.
    #[error("{0:?} is no word of the protocol")]
    Garbled(String),
}

/// What was read and not understood yet.
#[derive(Debug, Default)]
pub(super) struct Reader {
    bytes: Vec<u8>,
    /// What lies before was understood.
    at: usize,
}

impl Reader {
    pub(super) fn take(&mut self, more: &[u8]) {
        self.bytes.drain(..self.at);
        self.at = 0;
        self.bytes.extend_from_slice(more);
    }

    /// The next word; `None` until more of it was read.
    ///
    /// # Errors
    /// [`WireError`]: the connection is of no use any more.
    pub(super) fn word(&mut self) -> Result<Option<Word>, WireError> {
        let rest = &self.bytes[self.at..];
        let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else {
            let long = WireError::Long { what: "a line", given: rest.len(), limit: MAX_LINE };
            return if rest.len() > MAX_LINE { Err(long) } else { Ok(None) };
        };
        let line = String::from_utf8_lossy(&rest[..end]).into_owned();
        let garbled = || WireError::Garbled(line.chars().take(80).collect());
        let (verb, said) = line.split_once([' ', '\t']).unwrap_or((&line, ""));
        let (word, length) = match verb.to_ascii_uppercase().as_str() {
            "INFO" => (Word::Info(serde_json::from_str(said).map_err(|_| garbled())?), 0),
            "PING" => (Word::Ping, 0),
            "PONG" | "+OK" => (Word::Fine, 0),
            "-ERR" => (Word::Trouble(said.trim_matches(['\'', ' ']).to_owned()), 0),
            verb @ ("MSG" | "HMSG") => {
                let Some((message, length)) =
                    message(verb == "HMSG", said, &rest[end + 2..]).map_err(|why| why.unwrap_or_else(garbled))?
                else {
                    return Ok(None);
                };
                (Word::Message(message), length)
            }
            _ => return Err(garbled()),
        };
        self.at += end + 2 + length;
        Ok(Some(word))
    }
}

/// `subject sid [reply] [header bytes] bytes`, and what follows it; with how many bytes of that it took. `Err(None)` if it
/// is garbled.
fn message(headed: bool, said: &str, rest: &[u8]) -> Result<Option<(Message, usize)>, Option<WireError>> {
    let mut words: Vec<&str> = said.split_ascii_whitespace().collect();
    let mut number = || words.pop().and_then(|word| word.parse::<usize>().ok()).ok_or(None);
    let length = number()?;
    let head = if headed { number()? } else { 0 };
    if length > MAX_MESSAGE {
        return Err(Some(WireError::Long { what: "a message", given: length, limit: MAX_MESSAGE }));
    }
    let (subject, reply) = match words[..] {
        [subject, _] => (subject, None),
        [subject, _, reply] => (subject, Some(reply.to_owned())),
        _ => return Err(None),
    };
    if head > length {
        return Err(None);
    }
    if rest.len() < length + 2 {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&rest[..head]);
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|first| first.split(' ').nth(1)?.parse().ok());
    let pairs = lines.filter_map(|line| line.split_once(':'));
    let headers = pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
    let payload = rest[head..length].to_vec();
    Ok(Some((Message { subject: subject.to_owned(), reply, status, headers, payload }, length + 2)))
}

/// Writes a publication. Subjects and headers are of our own making, and hold no white space.
pub(super) fn publish(out: &mut Vec<u8>, subject: &str, reply: &str, headers: &[(&str, String)], payload: &[u8]) {
    let mut head = String::new();
    if !headers.is_empty() {
        head.push_str("NATS/1.0\r\n");
        headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        head.push_str("\r\n");
    }
    let length = head.len() + payload.len();
    let line = match head.len() {
        0 => format!("PUB {subject} {reply} {length}\r\n"),
        headed => format!("HPUB {subject} {reply} {headed} {length}\r\n"),
    };
    for bytes in [line.as_bytes(), head.as_bytes(), payload, b"\r\n"] {
        out.extend_from_slice(bytes);
    }
}

/// Bytes of a line; INFO is the longest, with the addresses of a whole cluster.
const MAX_LINE: usize = 64 << 10;
/// Bytes of a message; servers allow 1 MiB unless told otherwise.
const MAX_MESSAGE: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], step: usize) -> Vec<String> {
        let (mut reader, mut words) = (Reader::default(), Vec::new());
        for chunk in bytes.chunks(step) {
            reader.take(chunk);
            while let Some(word) = reader.word().unwrap() {
                words.push(format!("{word:?}"));
            }
        }
        words
    }

    /// As nats-server 2.15.1 said it.
    const HEARD: &[u8] = b"PING\r\nMSG r.5 1 25\r\n{\"stream\":\"KV_w\",\"seq\":2}\r\n\
        HMSG $KV.w.g.a 2 $JS.ACK.KV_w.gA.1.3.3.1795411517489832828.0 76 76\r\n\
        NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\nNats-TTL: 1h0m0s\r\nNats-Rollup: sub\r\n\r\n\r\n\
        HMSG d.x 2 28 28\r\nNATS/1.0 100 Idle Heart\r\n\r\n \r\n-ERR 'Stale Connection'\r\n";

    #[test]
    fn words_are_the_same_however_the_bytes_come() {
        let whole = read(HEARD, HEARD.len());
        assert_eq!(whole.len(), 5, "{whole:?}");
        for step in [1, 2, 7, 50] {
            assert_eq!(read(HEARD, step), whole);
        }
        assert!(whole[2].contains("MaxAge") && whole[3].contains("Some(100)") && whole[4].contains("Stale Connection"));
    }

    #[test]
    fn what_is_published_is_read_as_it_was_meant() {
        let mut out = Vec::new();
        publish(&mut out, "$KV.w.g.a", "i.1", &[("Nats-TTL", "90s".to_owned())], b"{}\r\n");
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "HPUB $KV.w.g.a i.1 27 31\r\nNATS/1.0\r\nNats-TTL: 90s\r\n\r\n{}\r\n\r\n");
        let mut out = Vec::new();
        publish(&mut out, "a", "", &[], b"");
        assert_eq!(out, b"PUB a  0\r\n\r\n");
    }

    #[test]
    fn what_is_no_word_or_too_long_is_refused() {
        for bytes in [&b"HELLO\r\n"[..], b"MSG a\r\n", b"MSG a 1 x\r\n", b"HMSG a 1 9 3\r\nabc\r\n", b"INFO {\r\n"] {
            let mut reader = Reader::default();
            reader.take(bytes);
            assert!(matches!(reader.word(), Err(WireError::Garbled(_))), "{}", String::from_utf8_lossy(bytes));
        }
        let mut reader = Reader::default();
        reader.take(b"MSG a 1 99999999\r\n");
        assert!(matches!(reader.word(), Err(WireError::Long { .. })));
    }

    #[test]
    fn no_bytes_panic() {
        for at in 0..HEARD.len() {
            for byte in *b"\r\n 0\x00\xff:M" {
                let mut bytes = HEARD.to_vec();
                bytes[at] = byte;
                let mut reader = Reader::default();
                reader.take(&bytes);
                while let Ok(Some(_)) = reader.word() {}
            }
        }
    }
}
