//! Writing queries: questions and known answers, with name compression, up to what fits into one frame.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use super::message::{CLASS_IN, HEADER, POINTER, TRUNCATED};
use super::name::Name;

/// A query in the making.
pub(super) struct Packet {
    bytes: Vec<u8>,
    /// Where a suffix of a name was written, letter for letter.
    suffixes: BTreeMap<Box<[u8]>, u16>,
    questions: u16,
    answers: u16,
}

impl Packet {
    /// A query that asks nothing yet.
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; HEADER], suffixes: BTreeMap::new(), questions: 0, answers: 0 }
    }

    /// Whether it asks and knows nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.questions == 0 && self.answers == 0
    }

    /// Asks for the records of `kind` (QM: the answer is for everybody). `false`, and unchanged, if it does not fit.
    pub(super) fn question(&mut self, name: &Name, kind: u16) -> bool {
        let fits = self.all_or_nothing(|packet| {
            packet.name(name);
            packet.word(kind);
            packet.word(CLASS_IN);
        });
        self.questions += u16::from(fits);
        fits
    }

    /// Says that `owner PTR target` is known for another `ttl` seconds (RFC 6762 section 7.1). `false`, and unchanged,
    /// if it does not fit.
    pub(super) fn known_answer(&mut self, owner: &Name, target: &Name, ttl: u32) -> bool {
        let fits = self.all_or_nothing(|packet| {
            packet.name(owner);
            packet.word(POINTER);
            packet.word(CLASS_IN);
            packet.bytes.extend_from_slice(&ttl.to_be_bytes());
            let length_at = packet.bytes.len();
            packet.word(0);
            packet.name(target);
            // A name is at most 255 bytes.
            let length = (packet.bytes.len() - length_at - 2) as u16;
            packet.bytes[length_at..length_at + 2].copy_from_slice(&length.to_be_bytes());
        });
        self.answers += u16::from(fits);
        fits
    }

    /// The message; `more` says that further known answers follow in the next one (RFC 6762 section 7.2).
    pub(super) fn finish(mut self, more: bool) -> Vec<u8> {
        let flags = if more { TRUNCATED } else { 0 };
        for (at, word) in [(2, flags), (4, self.questions), (6, self.answers)] {
            self.bytes[at..at + 2].copy_from_slice(&word.to_be_bytes());
        }
        self.bytes
    }

    fn all_or_nothing(&mut self, write: impl FnOnce(&mut Self)) -> bool {
        let before = self.bytes.len();
        write(self);
        let fits = self.bytes.len() <= MAX_QUERY;
        if !fits {
            self.bytes.truncate(before);
            self.suffixes.retain(|_, at| usize::from(*at) < before);
        }
        fits
    }

    fn word(&mut self, word: u16) {
        self.bytes.extend_from_slice(&word.to_be_bytes());
    }

    fn name(&mut self, name: &Name) {
        let mut rest = name.wire();
        while let Some(length) = rest.first() {
            if let Some(at) = self.suffixes.get(rest) {
                self.word(POINTER_BITS | at);
                return;
            }
            // Queries end far below the 16 KiB that a pointer reaches.
            self.suffixes.insert(rest.into(), self.bytes.len() as u16);
            let (label, tail) = rest.split_at(1 + usize::from(*length));
            self.bytes.extend_from_slice(label);
            rest = tail;
        }
        self.bytes.push(0);
    }
}

/// What fits into an Ethernet frame beside IPv6 and UDP headers, with room for a tunnel's.
pub(super) const MAX_QUERY: usize = 1_440;
const POINTER_BITS: u16 = 0xc000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mdns::message::SERVER;

    #[test]
    fn somebody_elses_reader_reads_our_query() {
        use std::string::ToString;

        let owner = Name::of(&[b"_http", b"_tcp", b"local"]).unwrap();
        let target = Name::of(&[b"Lamp 1", b"_http", b"_tcp", b"local"]).unwrap();
        let mut packet = Packet::new();
        assert!(packet.question(&owner, POINTER));
        assert!(packet.question(&target, SERVER));
        assert!(packet.known_answer(&owner, &target, 4_000));
        let bytes = packet.finish(true);

        let read = simple_dns::Packet::parse(&bytes).unwrap();
        assert!(read.has_flags(simple_dns::PacketFlag::TRUNCATION));
        assert_eq!(read.questions[1].qname.to_string(), "Lamp 1._http._tcp.local");
        assert_eq!((read.answers[0].ttl, read.answers[0].name.to_string()), (4_000, "_http._tcp.local".into()));
        assert!(bytes.len() < 75, "names are compressed: {}", bytes.len());
    }

    #[test]
    fn what_does_not_fit_leaves_the_packet_as_it_was() {
        let owner = Name::of(&[b"_http", b"_tcp", b"local"]).unwrap();
        let mut packet = Packet::new();
        assert!(packet.question(&owner, POINTER));
        let mut written = 0;
        while packet.known_answer(
            &owner,
            &Name::of(&[std::format!("a rather long instance name {written}").as_bytes(), b"_http", b"_tcp", b"local"])
                .unwrap(),
            1,
        ) {
            written += 1;
        }
        let bytes = packet.finish(false);
        assert!(bytes.len() <= MAX_QUERY);
        assert_eq!(simple_dns::Packet::parse(&bytes).unwrap().answers.len(), written);
    }
}
