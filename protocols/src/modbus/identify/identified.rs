//! What is known of one unit once it has been asked.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::super::identity::{Identity, MOST, cleaned};
use super::super::profile::{Class, Point, Profile, Register};
use super::super::reply::{Exception, Reply};
use super::super::request::{Objects, Request, Span, Table};
use super::super::sunspec::Layout;
use super::fingerprint::fits;

/// How a unit was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// By function 43, MEI type 14.
    DeviceIdentification,
    /// By its chain of SunSpec models.
    SunSpec,
    /// By what stands in its registers.
    Fingerprint,
}

impl Method {
    /// The word for it in metadata and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DeviceIdentification => "device-identification",
            Self::SunSpec => "sunspec",
            Self::Fingerprint => "fingerprint",
        }
    }
}

/// Who a unit is, and how that is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Identified {
    /// What it says of itself.
    pub identity: Identity,
    /// How it was recognised; empty for a unit that answers and says nothing.
    pub by: Vec<Method>,
    /// The profile whose points it has.
    pub profile: Option<Arc<Profile>>,
    /// Its SunSpec models.
    pub sunspec: Option<Layout>,
    /// How sure that is, 0 to 1.
    pub confidence: f32,
    /// Why, in lines for people. May hold what the device said; nothing in it steers a terminal.
    pub explain: Vec<Box<str>>,
    /// Whether the unit itself has answered anything at all.
    pub answered: bool,
    pub(super) proof: Proof,
}

/// By what a unit is known again.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Proof {
    /// The same texts.
    Texts { objects: Objects, texts: BTreeMap<u8, Box<str>> },
    /// The same maker, model and serial number in its common model.
    Common { span: Span, words: Vec<u16> },
    /// The same words.
    Same { table: Table, span: Span, words: Vec<u16> },
    /// A register that is still as the profile expects.
    Register(Box<Register>),
    /// It answers, and still says nothing of itself.
    Answers,
}

impl Identified {
    /// What sort of device it is.
    pub fn class(&self) -> Class {
        let spec = || self.sunspec.as_ref().map(Layout::class);
        self.profile.as_ref().map(|profile| profile.class).or_else(spec).unwrap_or(Class::Other)
    }

    /// Every point that is known of it: those of its profile, then those of its models, each name once.
    pub fn points(&self) -> Vec<Point> {
        let mut points: Vec<Point> = self.profile.iter().flat_map(|profile| profile.points.iter().cloned()).collect();
        let more = self.sunspec.iter().flat_map(Layout::points);
        let more: Vec<Point> = more.filter(|point| !points.iter().any(|known| known.name == point.name)).collect();
        points.extend(more);
        points
    }

    /// The one request that shows whether it is still the same.
    pub fn proof(&self) -> Request {
        match &self.proof {
            Proof::Texts { objects, .. } => Request::Identify(*objects, 0),
            Proof::Common { span, .. } => Request::Read(Table::HoldingRegisters, *span),
            Proof::Same { table, span, .. } => Request::Read(*table, *span),
            Proof::Register(rule) => Request::read(rule.point.table, rule.point.address, rule.point.width())
                .unwrap_or(Request::Identify(Objects::Regular, 0)),
            Proof::Answers => Request::Identify(Objects::Regular, 0),
        }
    }

    /// Whether `reply`, to [`Identified::proof`], is what the same unit would say. One that is busy is not another.
    pub fn still(&self, reply: &Reply) -> bool {
        if matches!(reply, Reply::Exception(Exception::BUSY | Exception::ACKNOWLEDGE)) {
            return true;
        }
        match (&self.proof, reply) {
            (Proof::Texts { texts, .. }, Reply::Identification(part)) => {
                let regular = part.objects.iter().filter(|(number, _)| texts.contains_key(number));
                let mut same = regular.map(|(number, bytes)| {
                    texts.get(number).map(|text| &**text) == Some(&*cleaned(bytes, MOST).unwrap_or_default())
                });
                // The first part of a longer identification is enough, but nothing at all is not.
                same.next().is_some_and(|first| first && same.all(|same| same))
            }
            (Proof::Common { words, .. }, Reply::Registers(now)) => {
                // A new version is the same device.
                let kept =
                    |words: &[u16]| [words.get(..32).map(<[u16]>::to_vec), words.get(48..64).map(<[u16]>::to_vec)];
                kept(words) == kept(now)
            }
            (Proof::Same { words, .. }, Reply::Registers(now)) => words == now,
            (Proof::Register(rule), reply) => fits(rule, reply) == Some(true),
            (Proof::Answers, Reply::Identification(part)) => {
                part.objects.iter().all(|(_, bytes)| cleaned(bytes, MOST).is_none())
            }
            (Proof::Answers, _) => true,
            (Proof::Texts { .. } | Proof::Common { .. } | Proof::Same { .. }, _) => false,
        }
    }
}
