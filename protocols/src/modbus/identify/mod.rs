//! Who one unit is, found out in as few requests as possible: what it says of itself, then SunSpec, then what its
//! registers look like.

mod fingerprint;
mod identified;
#[cfg(test)]
pub(crate) mod tests;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

pub use identified::{Identified, Method};

use self::fingerprint::{Fingerprints, MOST_PROBES};
use self::identified::Proof;
use super::identity::{Identity, MOST, cleaned};
use super::profile::{Profile, Profiles};
use super::reading::value;
use super::reply::{Exception, Part, Reply};
use super::request::{Objects, Request};
use super::sunspec::{Found, Layout, Walk};

/// What became of one request.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// It was answered.
    Reply(Reply),
    /// The deadline passed, or what came was no reply to it.
    Silent,
}

impl Heard {
    fn reply(&self) -> Option<&Reply> {
        if let Self::Reply(reply) = self { Some(reply) } else { None }
    }
}

/// The round of questions that finds out who one unit is.
///
/// The first request asks for device identification and shows by the way whether anybody is there: any reply but a
/// gateway's excuse does. To silence it asks once more, since some devices ignore functions they do not know; whoever
/// asks for 247 units may stop before that.
#[derive(Clone, Debug)]
pub struct Inquiry {
    profiles: Arc<Profiles>,
    step: Step,
    /// The texts of device identification, by object number.
    objects: BTreeMap<u8, Box<str>>,
    identity: Identity,
    by: Vec<Method>,
    profile: Option<Arc<Profile>>,
    sunspec: Option<Layout>,
    confidence: f32,
    explain: Vec<Box<str>>,
    proof: Proof,
    /// Whether anything came that only the unit itself can have said.
    answered: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Identify { objects: Objects, from: u8, parts: u8 },
    Walk(Walk),
    Fingerprint(Fingerprints),
    Serial(Request),
    Done,
}

impl Inquiry {
    /// The most requests of one inquiry.
    pub const MOST_REQUESTS: usize = MOST_PARTS as usize + 1 + Walk::MOST_REQUESTS as usize + MOST_PROBES + 1;

    /// Knows nothing of the unit yet.
    pub fn new(profiles: Arc<Profiles>) -> Self {
        Self {
            profiles,
            step: Step::Identify { objects: Objects::Regular, from: 0, parts: 0 },
            objects: BTreeMap::new(),
            identity: Identity::default(),
            by: Vec::new(),
            profile: None,
            sunspec: None,
            confidence: 0.0,
            explain: Vec::new(),
            proof: Proof::Answers,
            answered: false,
        }
    }

    /// What to ask next; `None` when it is done.
    pub fn request(&self) -> Option<Request> {
        match &self.step {
            Step::Identify { objects, from, .. } => Some(Request::Identify(*objects, *from)),
            Step::Walk(walk) => walk.request(),
            Step::Fingerprint(fingerprints) => fingerprints.request(),
            Step::Serial(request) => Some(*request),
            Step::Done => None,
        }
    }

    /// Takes what became of the request.
    pub fn handle(&mut self, heard: Heard) {
        let first = !self.answered;
        self.answered |= heard.reply().is_some_and(told);
        self.step = match core::mem::replace(&mut self.step, Step::Done) {
            Step::Identify { objects, from, parts } => self.identification(objects, from, parts, &heard),
            // Asked twice, and nothing but silence or a gateway's excuses: nobody is there.
            Step::Walk(_) if first && !self.answered => Step::Done,
            Step::Walk(mut walk) => {
                walk.handle(heard.reply());
                if walk.request().is_some() { Step::Walk(walk) } else { self.walked(walk) }
            }
            Step::Fingerprint(mut fingerprints) => {
                fingerprints.handle(heard.reply());
                if fingerprints.request().is_some() {
                    Step::Fingerprint(fingerprints)
                } else {
                    self.compared(fingerprints)
                }
            }
            Step::Serial(request) => self.numbered(request, heard.reply()),
            Step::Done => Step::Done,
        };
    }

    /// What was found out.
    pub fn finish(mut self) -> Identified {
        // Whoever stops early keeps what was heard until then.
        match core::mem::replace(&mut self.step, Step::Done) {
            Step::Identify { objects, parts, .. } if parts > 0 => drop(self.identified(objects)),
            Step::Walk(walk) if walk.found() => drop(self.walked(walk)),
            Step::Identify { .. } | Step::Walk(_) | Step::Fingerprint(_) | Step::Serial(_) | Step::Done => {}
        }
        self.explain.truncate(MOST_LINES);
        Identified {
            identity: self.identity,
            by: self.by,
            profile: self.profile,
            sunspec: self.sunspec,
            confidence: self.confidence,
            explain: self.explain,
            answered: self.answered,
            proof: self.proof,
        }
    }

    fn identification(&mut self, objects: Objects, from: u8, parts: u8, heard: &Heard) -> Step {
        match heard.reply() {
            Some(Reply::Identification(part)) => {
                let new = self.keep(part);
                // A next object that was there before is a device that goes round in circles.
                match part.next.filter(|next| new && *next > from && parts + 1 < MOST_PARTS) {
                    Some(next) => Step::Identify { objects, from: next, parts: parts + 1 },
                    None => self.identified(objects),
                }
            }
            _ if parts > 0 => self.identified(objects),
            Some(Reply::Exception(Exception::ILLEGAL_ADDRESS | Exception::ILLEGAL_VALUE))
                if objects == Objects::Regular =>
            {
                Step::Identify { objects: Objects::Basic, from: 0, parts: 0 }
            }
            Some(Reply::Exception(exception)) => {
                self.say(format!("device identification: {exception}"));
                Step::Walk(Walk::new())
            }
            _ => {
                self.say("device identification: no answer".to_string());
                Step::Walk(Walk::new())
            }
        }
    }

    /// Keeps the standard's texts. Whether there was anything new in `part`.
    fn keep(&mut self, part: &Part) -> bool {
        let mut new = false;
        for (number, bytes) in part.objects.iter().filter(|(number, _)| *number <= LAST_REGULAR) {
            if !self.objects.contains_key(number) {
                new = true;
                self.objects.insert(*number, cleaned(bytes, MOST).unwrap_or_default());
            }
        }
        new
    }

    fn identified(&mut self, objects: Objects) -> Step {
        let text = |number: u8| self.objects.get(&number).filter(|text| !text.is_empty()).cloned();
        self.identity = Identity {
            manufacturer: text(0),
            model: text(5).or_else(|| text(1)).or_else(|| text(4)),
            version: text(2),
            serial: None,
            name: text(4).or_else(|| text(6)),
        };
        if self.identity.is_empty() {
            self.say("device identification: no texts".to_string());
            return Step::Walk(Walk::new());
        }
        self.by.push(Method::DeviceIdentification);
        self.confidence = BY_TEXT_ALONE;
        self.proof = Proof::Texts { objects, texts: self.objects.clone() };
        let said = format!("device identification says {}", spoken(&self.identity));
        self.say(said);
        match self.matched() {
            Some(profile) if !profile.rules.sunspec => Step::Done,
            Some(_) | None => Step::Walk(Walk::new()),
        }
    }

    /// The profile that the texts name, if there is just one that they name best.
    fn matched(&mut self) -> Option<Arc<Profile>> {
        // A model is also looked for among the product codes and names.
        let mut spoken_of = self.identity.clone();
        let codes = [1, 4, 5].into_iter().filter_map(|number| self.objects.get(&number));
        let models: Vec<Box<str>> = self.identity.model.iter().chain(codes).cloned().collect();
        let mut best: Option<(f32, &Arc<Profile>)> = None;
        let mut rivals = Vec::new();
        for profile in self.profiles.iter() {
            let of = |model: Option<Box<str>>| {
                spoken_of.model = model;
                profile.rules.texts(&spoken_of)
            };
            let sure = if models.is_empty() {
                core::iter::once(None).filter_map(of).fold(None, larger)
            } else {
                models.iter().cloned().map(Some).filter_map(of).fold(None, larger)
            };
            let Some(sure) = sure else { continue };
            match best {
                Some((most, _)) if sure < most => {}
                Some((most, known)) if sure <= most => rivals.push((most, known.id.clone(), profile.id.clone())),
                _ => best = Some((sure, profile)),
            }
        }
        let (sure, profile) = best.map(|(sure, profile)| (sure, Arc::clone(profile)))?;
        if let Some((_, one, other)) = rivals.into_iter().find(|(most, ..)| *most >= sure) {
            self.say(format!("the texts fit {one} and {other} alike: neither is taken"));
            return None;
        }
        self.say(format!("its texts fit profile {}", profile.id));
        self.confidence = self.confidence.max(sure);
        self.profile = Some(Arc::clone(&profile));
        Some(profile)
    }

    fn walked(&mut self, walk: Walk) -> Step {
        let Some(Found { layout, identity, common, remarks }) = walk.finish() else {
            return if self.profile.is_some() { Step::Done } else { self.fingerprint() };
        };
        let models: Vec<String> = layout.blocks.iter().map(|block| block.model.to_string()).collect();
        self.say(format!("SunSpec at {}: models {}", layout.base, models.join(", ")));
        if !identity.is_empty() {
            self.say(format!("SunSpec says {}", spoken(&identity)));
        }
        remarks.into_iter().for_each(|remark| self.explain.push(remark));
        self.by.push(Method::SunSpec);
        self.confidence = self.confidence.max(BY_SUNSPEC);
        // The maker's word in function 43 is often that of the communication card; SunSpec's is that of the device.
        let card = core::mem::replace(&mut self.identity, identity);
        self.identity.complete(card);
        if let Some((span, words)) = common {
            self.proof = Proof::Common { span, words };
        }
        self.sunspec = Some(layout);
        if self.profile.is_none() {
            self.matched();
        }
        Step::Done
    }

    fn fingerprint(&mut self) -> Step {
        let fingerprints = Fingerprints::new(&self.profiles, &self.identity);
        if fingerprints.request().is_some() { Step::Fingerprint(fingerprints) } else { self.compared(fingerprints) }
    }

    fn compared(&mut self, fingerprints: Fingerprints) -> Step {
        let found = fingerprints.finish();
        found.explain.into_iter().for_each(|line| self.explain.push(line));
        let Some((profile, sure, proof)) = found.best else { return Step::Done };
        self.by.push(Method::Fingerprint);
        self.confidence = sure;
        if self.by.len() == 1 {
            self.proof = Proof::Register(Box::new(proof));
        }
        let next = profile.serial().filter(|_| self.identity.serial.is_none());
        let next = next.and_then(|serial| Request::read(serial.table, serial.address, serial.width()).ok());
        self.identity.complete(Identity {
            manufacturer: Some(profile.manufacturer.clone()),
            // Of several models it is not known which.
            model: profile.models.first().filter(|_| profile.models.len() == 1).cloned(),
            ..Identity::default()
        });
        self.profile = Some(profile);
        next.map_or(Step::Done, Step::Serial)
    }

    fn numbered(&mut self, request: Request, reply: Option<&Reply>) -> Step {
        let serial = self.profile.as_ref().and_then(|profile| profile.serial());
        if let (Some(serial), Some(Reply::Registers(words)), Request::Read(_, span)) = (serial, reply, request)
            && let Ok(text) = value(serial, words, None)
        {
            let text = text.to_string();
            let mut end = text.len().min(MOST);
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            self.identity.serial = Some(text[..end].into());
            self.proof = Proof::Same { table: serial.table, span, words: words.clone() };
        }
        Step::Done
    }

    fn say(&mut self, line: String) {
        self.explain.push(line.into());
    }
}

/// Whether only the unit itself can have said that: a gateway speaks of units that are not there, and so do servers
/// with an exception that means failure.
fn told(reply: &Reply) -> bool {
    !matches!(reply, Reply::Exception(Exception::NO_PATH | Exception::NO_ANSWER | Exception::DEVICE_FAILURE))
}

fn larger(most: Option<f32>, sure: f32) -> Option<f32> {
    Some(most.map_or(sure, |most| most.max(sure)))
}

/// Maker, model and version, as far as they are known.
fn spoken(identity: &Identity) -> String {
    let texts = [&identity.manufacturer, &identity.model, &identity.version];
    let known: Vec<String> = texts.into_iter().flatten().map(|text| format!("{text:?}")).collect();
    if known.is_empty() { "nothing".to_string() } else { known.join(" ") }
}

/// The most parts of one identification.
const MOST_PARTS: u8 = 16;
/// The last object that the standard names; beyond are vendors' own.
const LAST_REGULAR: u8 = 6;
/// The most lines of an explanation.
const MOST_LINES: usize = 24;
/// How sure its own word makes it who a device is, without a profile.
const BY_TEXT_ALONE: f32 = 0.5;
/// How sure a chain of models makes it what a device is.
const BY_SUNSPEC: f32 = 0.9;
