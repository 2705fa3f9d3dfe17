//! DNS messages as the responder reads and writes them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use simple_dns::rdata::{A, AAAA, PTR, RData, SRV, TXT};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, ResourceRecord, TYPE};
use wayside_core::agent::io::Advert;

/// What a query asks, and what its sender knows already.
#[derive(Debug, Default)]
pub(super) struct Query {
    questions: Vec<(String, QTYPE)>,
    /// Targets of PTR records: instances, and types.
    known: BTreeSet<String>,
    pub(super) truncated: bool,
}

/// What an advert is called.
#[derive(Debug)]
pub(super) struct Names {
    service_type: String,
    instance: String,
}

/// What is asked about one instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pointer: bool,
    server: bool,
    text: bool,
    address: bool,
    types: bool,
}

impl Asked {
    /// Everything, as in an announcement.
    pub(super) const ALL: Self = Self { pointer: true, server: true, text: true, address: true, types: false };

    /// Both.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            pointer: self.pointer | other.pointer,
            server: self.server | other.server,
            text: self.text | other.text,
            address: self.address | other.address,
            types: self.types | other.types,
        }
    }
}

impl Query {
    /// Reads a message; `None` if it is a response, or nothing at all.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let packet = Packet::parse(bytes).ok()?;
        if packet.has_flags(PacketFlag::RESPONSE) {
            return None;
        }
        let questions = packet.questions.iter().map(|asked| (lower(&asked.qname), asked.qtype)).collect();
        let pointers = packet.answers.iter().filter_map(|record| {
            let RData::PTR(target) = &record.rdata else { return None };
            Some(lower(&target.0))
        });
        Some(Self { questions, known: pointers.collect(), truncated: packet.has_flags(PacketFlag::TRUNCATION) })
    }

    /// What is asked about an instance; `None` if nothing, or the asker knows it.
    pub(super) fn asks(&self, names: &Names, host: &str) -> Option<Asked> {
        let Names { service_type, instance } = names;
        let mut asked = Asked::default();
        for (name, kind) in &self.questions {
            let of = |wanted: TYPE| *kind == QTYPE::ANY || *kind == QTYPE::TYPE(wanted);
            if name == service_type && of(TYPE::PTR) && !self.knows(names) {
                asked = asked.and(Asked::ALL);
            } else if name == instance {
                asked.server |= of(TYPE::SRV);
                asked.text |= of(TYPE::TXT);
            } else if *name == host {
                asked.address |= of(TYPE::A) || of(TYPE::AAAA);
            } else if *name == ALL_TYPES && of(TYPE::PTR) {
                asked.types |= !self.known.contains(service_type);
            }
        }
        (asked != Asked::default()).then_some(asked)
    }

    /// Whether the asker knows that an instance is there.
    pub(super) fn knows(&self, names: &Names) -> bool {
        self.known.contains(&names.instance)
    }
}

/// Answers, cut into packets that fit a link.
pub(super) struct Response<'a> {
    host: &'a str,
    address: IpAddr,
    packet: Packet<'static>,
    instances: usize,
}

impl<'a> Response<'a> {
    pub(super) fn new(host: &'a str, address: IpAddr) -> Self {
        Self { host, address, packet: fresh(), instances: 0 }
    }

    /// Answers what was asked about `advert`; gives a packet back when it is full.
    pub(super) fn add(&mut self, advert: &Advert, asked: Asked) -> Option<Vec<u8>> {
        let Names { service_type, instance } = Names::of(advert);
        let full = if self.instances == INSTANCES { std::mem::take(&mut self.instances) > 0 } else { false };
        let before = full.then(|| written(&std::mem::replace(&mut self.packet, fresh())));
        self.instances += 1;
        if asked.types {
            self.answer(ALL_TYPES, false, LONG, RData::PTR(PTR(name(&service_type))));
        }
        if asked.pointer {
            self.answer(&service_type, false, LONG, RData::PTR(PTR(name(&instance))));
        }
        if asked.server {
            self.answer(&instance, true, SHORT, server(advert, self.host));
        }
        if asked.text {
            self.answer(&instance, true, LONG, text(advert));
        }
        if asked.server || asked.address {
            let (host, address) = (self.host, self.address);
            self.answer(host, true, SHORT, at(address));
        }
        before
    }

    /// The last packet, if there is anything in it.
    pub(super) fn finish(self) -> Option<Vec<u8>> {
        (!self.packet.answers.is_empty()).then(|| written(&self.packet))
    }

    fn answer(&mut self, owner: &str, flush: bool, life: u32, data: RData<'static>) {
        let record = ResourceRecord::new(name(owner), CLASS::IN, life, data).with_cache_flush(flush);
        if !self.packet.answers.contains(&record) {
            self.packet.answers.push(record);
        }
    }
}

/// The goodbye for `advert`.
pub(super) fn goodbye(advert: &Advert, host: &str) -> Vec<u8> {
    let Names { service_type, instance } = Names::of(advert);
    let mut packet = fresh();
    let mut part = |owner: &str, data| packet.answers.push(ResourceRecord::new(name(owner), CLASS::IN, 0, data));
    part(&service_type, RData::PTR(PTR(name(&instance))));
    part(&instance, server(advert, host));
    part(&instance, text(advert));
    written(&packet)
}

impl Names {
    pub(super) fn of(advert: &Advert) -> Self {
        let service_type = format!("{}.local", advert.service_type);
        let instance = format!("{}.{service_type}", advert.instance);
        Self { service_type, instance }
    }
}

fn server(advert: &Advert, host: &str) -> RData<'static> {
    RData::SRV(SRV { priority: 0, weight: 0, port: advert.port, target: name(host) })
}

fn text(advert: &Advert) -> RData<'static> {
    let pairs = advert.txt.iter().map(|(key, value)| format!("{key}={value}"));
    let written =
        pairs.fold(TXT::new(), |txt, pair| txt.with_string(&pair).map(TXT::into_owned).expect("a short pair"));
    RData::TXT(written)
}

fn at(address: IpAddr) -> RData<'static> {
    match address {
        IpAddr::V4(v4) => RData::A(A { address: v4.to_bits() }),
        IpAddr::V6(v6) => RData::AAAA(AAAA { address: v6.to_bits() }),
    }
}

fn name(text: &str) -> Name<'static> {
    Name::new(text).expect("a name this world made").into_owned()
}

fn lower(name: &Name<'_>) -> String {
    name.to_string().to_lowercase()
}

fn fresh() -> Packet<'static> {
    let mut packet = Packet::new_reply(0);
    packet.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
    packet
}

fn written(packet: &Packet<'_>) -> Vec<u8> {
    packet.build_bytes_vec_compressed().expect("names this world made")
}

/// Where advertised types are asked for (RFC 6763 section 9).
const ALL_TYPES: &str = "_services._dns-sd._udp.local";
/// The life of records with a host name in them, and of the others, seconds (RFC 6762 section 10).
const SHORT: u32 = 120;
const LONG: u32 = 4_500;
/// Instances in one packet: about 300 bytes each.
const INSTANCES: usize = 4;
