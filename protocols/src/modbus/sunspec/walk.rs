//! The walk along a chain of models: a few registers at a time, and only where the specification says that they are.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use super::super::identity::{Identity, MOST, cleaned};
use super::super::reply::Reply;
use super::super::request::{Request, Span, Table};
use super::{Block, Layout, MOST_BLOCKS};

/// Looks for SunSpec, then walks its chain. At most [`Walk::MOST_REQUESTS`] requests.
#[derive(Clone, Debug)]
pub struct Walk {
    step: Step,
    asked: u8,
    blocks: Vec<Block>,
    base: u16,
    devices: u8,
    identity: Identity,
    /// The common model as it was read, and where.
    common: Option<(Span, Vec<u16>)>,
    remarks: Vec<Box<str>>,
}

/// What a walk found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The models.
    pub layout: Layout,
    /// What the first common model says.
    pub identity: Identity,
    /// Where that was read, and its words.
    pub common: Option<(Span, Vec<u16>)>,
    /// What was wrong with the chain.
    pub remarks: Vec<Box<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The marker at this one of [`BASES`], with the number and length of the first model.
    Marker(usize),
    /// The texts of a common model.
    Common {
        at: u16,
        length: u16,
    },
    /// Number and length of the model that should stand there.
    Head {
        at: u16,
    },
    /// The number alone: some devices end their chain without a length.
    Tail {
        at: u16,
    },
    /// Number and length where the model after a common model of wrong length may stand.
    Guess {
        common: u16,
        length: u16,
        tried: usize,
    },
    Done,
}

impl Walk {
    /// The most requests of one walk.
    pub const MOST_REQUESTS: u8 = 64;

    /// Begins at the usual base.
    pub fn new() -> Self {
        Self {
            step: Step::Marker(0),
            asked: 0,
            blocks: Vec::new(),
            base: 0,
            devices: 0,
            identity: Identity::default(),
            common: None,
            remarks: Vec::new(),
        }
    }

    /// What to ask next; `None` at the end.
    pub fn request(&self) -> Option<Request> {
        let (at, count) = match self.step {
            Step::Marker(index) => (*BASES.get(index)?, 4),
            Step::Common { at, length } => (at.checked_add(2)?, length),
            Step::Head { at } => (at, 2),
            Step::Tail { at } => (at, 1),
            Step::Guess { common, length, tried } => (guessed(common, length, tried)?, 2),
            Step::Done => return None,
        };
        Request::read(Table::HoldingRegisters, at, count).ok()
    }

    /// Takes the reply to the request; `None` if none came.
    pub fn handle(&mut self, reply: Option<&Reply>) {
        self.asked += 1;
        let words = if let Some(Reply::Registers(words)) = reply { Some(&words[..]) } else { None };
        self.step = match (self.step, words) {
            (Step::Marker(index), Some([SU, NS, model, length])) => {
                self.base = BASES.get(index).copied().unwrap_or_default();
                self.model(self.base.saturating_add(2), *model, *length)
            }
            (Step::Marker(index), _) => Step::Marker(index + 1),
            (Step::Common { at, length: read }, words) => {
                let length = self.blocks.last().map_or(read, |block| block.length);
                if let Some(words) = words {
                    self.texts(at, words);
                } else {
                    self.remark(format!("the common model at {at} cannot be read"));
                }
                self.after_common(at, length)
            }
            (Step::Head { at }, Some([model, length])) => self.model(at, *model, *length),
            (Step::Head { at }, _) if reply.is_some() => Step::Tail { at },
            (Step::Tail { .. }, Some([END])) => Step::Done,
            (Step::Head { at } | Step::Tail { at }, _) => {
                self.remark(format!("the chain of models breaks off at {at}"));
                Step::Done
            }
            (Step::Guess { common, length, tried }, Some([model, long]))
                if *model == END || plausible(*model, *long) =>
            {
                match guessed(common, length, tried) {
                    Some(at) => {
                        self.remark(format!(
                            "the common model says it has {length} registers; the next stands at {at}"
                        ));
                        self.model(at, *model, *long)
                    }
                    None => Step::Done,
                }
            }
            (Step::Guess { common, length, tried }, _) => Step::Guess { common, length, tried: tried + 1 },
            (Step::Done, _) => Step::Done,
        };
        if self.asked >= Self::MOST_REQUESTS || self.request().is_none() {
            self.step = Step::Done;
        }
    }

    /// Whether the marker was found.
    pub fn found(&self) -> bool {
        !self.blocks.is_empty()
    }

    /// What was found; `None` if there is no SunSpec.
    pub fn finish(self) -> Option<Found> {
        let (identity, common, remarks) = (self.identity, self.common, self.remarks);
        (!self.blocks.is_empty()).then_some(Found {
            layout: Layout { base: self.base, blocks: self.blocks },
            identity,
            common,
            remarks,
        })
    }

    /// A model whose number and length stand at `at`.
    fn model(&mut self, at: u16, model: u16, length: u16) -> Step {
        let end = u32::from(at) + 2 + u32::from(length);
        if model == END {
            return Step::Done;
        }
        if model == 0 || length == 0 || end > 0x1_0000 || self.blocks.len() >= MOST_BLOCKS {
            self.remark(format!("the chain of models breaks off at {at}: model {model} of {length} registers"));
            return Step::Done;
        }
        self.devices = self.devices.saturating_add(u8::from(model == COMMON));
        self.blocks.push(Block { model, address: at, length, device: self.devices });
        if model == COMMON && self.common.is_none() {
            let whole = if (TEXTS..=LONG_COMMON).contains(&length) { length } else { TEXTS };
            return Step::Common { at, length: whole };
        }
        if model == COMMON { self.after_common(at, length) } else { next(at, length) }
    }

    fn after_common(&mut self, at: u16, length: u16) -> Step {
        match length {
            TEXTS..=LONG_COMMON => next(at, length),
            _ => Step::Guess { common: at, length, tried: 0 },
        }
    }

    fn texts(&mut self, at: u16, words: &[u16]) {
        let text = |from: usize, count: usize| {
            let bytes: Vec<u8> = words.get(from..from + count)?.iter().flat_map(|word| word.to_be_bytes()).collect();
            cleaned(&bytes, MOST)
        };
        self.identity = Identity {
            manufacturer: text(0, 16),
            model: text(16, 16),
            version: text(40, 8),
            serial: text(48, 16),
            name: None,
        };
        let span = Span::new(Table::HoldingRegisters, at.saturating_add(2), words.len() as u16).ok();
        self.common = span.map(|span| (span, words.to_vec()));
    }

    fn remark(&mut self, remark: alloc::string::String) {
        self.remarks.push(remark.into());
    }
}

impl Default for Walk {
    fn default() -> Self {
        Self::new()
    }
}

/// The model after one at `at`.
fn next(at: u16, length: u16) -> Step {
    match at.checked_add(2).and_then(|at| at.checked_add(length)) {
        Some(at) => Step::Head { at },
        None => Step::Done,
    }
}

/// Where the model after a common model may stand: after the length it claims, or after a right one.
fn guessed(common: u16, length: u16, tried: usize) -> Option<u16> {
    common.checked_add(2)?.checked_add(*[length, LONG_COMMON, SHORT_COMMON].get(tried)?)
}

/// Whether this can be a model: one of the standard's or a vendor's numbers, and no longer than any of them is.
fn plausible(model: u16, length: u16) -> bool {
    matches!(model, 1..=899 | 64_001..=65_534) && (1..=2_000).contains(&length)
}

/// Where a chain may begin, in the order of likelihood.
const BASES: [u16; 3] = [40_000, 0, 50_000];
/// "SunS".
const SU: u16 = 0x5375;
const NS: u16 = 0x6E53;
/// The number of the model that ends a chain.
const END: u16 = 0xFFFF;
/// The number of the model that begins a device.
const COMMON: u16 = 1;
/// The length of a common model, with its pad, without it, and with the texts alone.
const LONG_COMMON: u16 = 66;
const SHORT_COMMON: u16 = 65;
const TEXTS: u16 = 64;
