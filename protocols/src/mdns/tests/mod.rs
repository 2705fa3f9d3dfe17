//! The browser as a whole, on packets as they were seen on a link.

mod bounds;
mod hearing;
mod schedule;

use alloc::string::ToString;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use std::string::String;

use simple_dns::rdata::{A, PTR, RData, SRV, TXT};
use simple_dns::{CLASS, Name, Packet, Question, ResourceRecord, TYPE};

use super::*;
use crate::service::Service;
use crate::sighting::{Claim, LinkId};
use crate::time::{Duration, Timestamp};

/// A browser on 10.99.7.1/24 with a clock of its own.
struct Link {
    browser: Browser,
    now: Timestamp,
}

/// What came out, with its moment.
#[derive(Default)]
struct Heard {
    sent: Vec<(Timestamp, Vec<u8>)>,
    alive: Vec<(Timestamp, Service, Duration)>,
    gone: Vec<(Timestamp, String)>,
    types: Vec<String>,
}

impl Link {
    fn browsing(service_type: &str) -> Self {
        Self::with(service_type, Caps::default())
    }

    fn with(service_type: &str, caps: Caps) -> Self {
        let mut browser = Browser::new(LinkId(3), 7, caps);
        browser.set_addresses(std::vec![(IpAddr::from([10, 99, 7, 1]), 24)]);
        browser.browse(service_type.parse().unwrap(), Timestamp::START);
        Self { browser, now: Timestamp::START }
    }

    /// A neighbour multicasts `bytes`.
    fn hears(&mut self, bytes: &[u8]) -> Heard {
        self.hears_from("10.99.7.2:5353", true, bytes)
    }

    fn hears_from(&mut self, from: &str, multicast: bool, bytes: &[u8]) -> Heard {
        let from: SocketAddr = from.parse().unwrap();
        self.browser.handle(Datagram { from, multicast, bytes }, self.now);
        self.drained()
    }

    /// Time goes on, with everything done when it is due.
    fn passes(&mut self, duration: Duration) -> Heard {
        let end = self.now + duration;
        let mut heard = self.drained();
        while let Some(due) = self.browser.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.browser.handle_timeout(self.now);
            heard.append(self.drained());
        }
        self.now = end;
        heard
    }

    fn drained(&mut self) -> Heard {
        let mut heard = Heard::default();
        while let Some(output) = self.browser.poll_output() {
            match output {
                BrowserOutput::Send(bytes) => heard.sent.push((self.now, bytes)),
                BrowserOutput::Type(service_type) => heard.types.push(service_type.to_string()),
                BrowserOutput::Sighting(sighting) => match sighting.claim {
                    Claim::Alive { service, ttl } => heard.alive.push((self.now, *service, ttl)),
                    Claim::Gone(id) => heard.gone.push((self.now, id.as_str().into())),
                },
            }
        }
        heard
    }
}

impl Heard {
    fn append(&mut self, mut later: Self) {
        self.sent.append(&mut later.sent);
        self.alive.append(&mut later.alive);
        self.gone.append(&mut later.gone);
        self.types.append(&mut later.types);
    }

    /// What was asked, as `NAME TYPE`, by moment.
    fn questions(&self) -> Vec<(Timestamp, String)> {
        let mut questions = Vec::new();
        for (at, bytes) in &self.sent {
            for question in Packet::parse(bytes).unwrap().questions {
                questions.push((*at, std::format!("{} {:?}", question.qname, question.qtype)));
            }
        }
        questions
    }
}

/// A response made by somebody else's writer.
#[derive(Default)]
struct Response(Vec<ResourceRecord<'static>>);

impl Response {
    fn pointer(self, owner: &'static str, target: &str, ttl: u32) -> Self {
        self.record(owner, ttl, false, RData::PTR(PTR(name(target))))
    }

    fn server(self, owner: &str, target: &str, port: u16, ttl: u32) -> Self {
        self.record(owner, ttl, true, RData::SRV(SRV { priority: 0, weight: 0, port, target: name(target) }))
    }

    fn text(self, owner: &str, pairs: &[&str], ttl: u32) -> Self {
        let mut txt = TXT::new();
        for pair in pairs {
            txt.add_char_string(simple_dns::CharacterString::new(pair.as_bytes()).unwrap().into_owned());
        }
        self.record(owner, ttl, true, RData::TXT(txt))
    }

    fn address(self, owner: &str, ip: [u8; 4], ttl: u32) -> Self {
        self.record(owner, ttl, true, RData::A(A { address: u32::from_be_bytes(ip) }))
    }

    /// Everything about `_http._tcp` instance `label`, on the host of the same name.
    fn instance(self, label: &str, ttl: u32) -> Self {
        let (full, host) = (std::format!("{label}._http._tcp.local"), std::format!("{label}.local"));
        self.pointer("_http._tcp.local", &full, ttl)
            .server(&full, &host, 80, ttl)
            .text(&full, &["path=/"], ttl)
            .address(&host, [10, 99, 7, 9], ttl)
    }

    fn record(mut self, owner: &str, ttl: u32, flush: bool, data: RData<'static>) -> Self {
        self.0.push(ResourceRecord::new(name(owner), CLASS::IN, ttl, data).with_cache_flush(flush));
        self
    }

    fn bytes(self) -> Vec<u8> {
        let mut packet = Packet::new_reply(0);
        packet.answers = self.0;
        packet.build_bytes_vec_compressed().unwrap()
    }
}

fn name(text: &str) -> Name<'static> {
    Name::new(text).unwrap().into_owned()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
