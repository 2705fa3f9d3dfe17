//! What one host is asked, one request after the other, and what its answers mean.

mod mishaps;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::alias::{Alias, Told};
use super::order::unlikely;
use super::pace::{Pace, Rhythm};
use super::stage::{Excuse, Finding, Found, Inquiring, Misses, Stage};
use super::verdict::Verdict;
use crate::modbus::identify::{Heard, Identified, Inquiry};
use crate::modbus::profile::Profiles;
use crate::modbus::reply::{Exception, Reply};
use crate::modbus::request::{Objects, Request, Table};
use crate::modbus::unit::{Unit, Units};
use crate::time::Duration;

/// One host while it is asked: which unit comes next, and what is known about it so far.
pub(super) struct Interview {
    order: Arc<[Unit]>,
    profiles: Arc<Profiles>,
    /// Units that may be asked and were not yet.
    left: Units,
    allowed: usize,
    stage: Stage,
    /// Whether device identification tells who is there; if not, a register is read.
    identification: bool,
    /// How this host says that a unit is not there, beside the two ways of the specification.
    absent: Option<Exception>,
    /// Whether units that are not there are passed over in silence, as on a serial line.
    silence: bool,
    /// Whether some unit was said not to be there: then not all units are the same.
    distinct: bool,
    /// A question that was answered: asked again, it tells whether the host still does.
    known: Option<(Unit, Request)>,
    canary: bool,
    found: Vec<Found>,
    /// Who told its name and held nothing: told of if nobody else is found.
    doubted: Option<Found>,
    fresh: Option<Finding>,
    misses: Misses,
    rhythm: Rhythm,
    rested: bool,
    rest: bool,
    requests: u32,
    most: u32,
    silent_most: u32,
    verdict: Option<Verdict>,
}

/// What to do next.
pub(super) enum Next {
    Ask(Unit, Request),
    End(Verdict),
}

impl Interview {
    pub(super) fn new(order: Arc<[Unit]>, profiles: Arc<Profiles>, units: Units, pace: &Pace, serial: bool) -> Self {
        Self {
            order,
            profiles,
            left: units,
            allowed: units.len(),
            stage: Stage::Between,
            identification: true,
            absent: None,
            silence: serial,
            distinct: false,
            known: None,
            canary: false,
            found: Vec::new(),
            doubted: None,
            fresh: None,
            misses: Misses::default(),
            rhythm: Rhythm::default(),
            rested: false,
            rest: false,
            requests: 0,
            most: pace.most_requests(units.len()),
            silent_most: if serial { u32::MAX } else { pace.silent },
            verdict: None,
        }
    }

    /// What to ask; the same until something came of it.
    pub(super) fn next(&mut self) -> Next {
        if let Some(verdict) = &self.verdict {
            return Next::End(verdict.clone());
        }
        if self.requests >= self.most {
            return self.end(Verdict::Budget);
        }
        if self.canary
            && let Some((unit, request)) = self.known
        {
            return Next::Ask(unit, request);
        }
        if matches!(self.stage, Stage::Between) {
            // Who numbers a bus counts on: beside a unit that is there the next one is likelier than any other.
            let beside = self.found.iter().rev().filter_map(|found| found.unit.0.checked_add(1).map(Unit));
            match beside.chain(self.order.iter().copied()).find(|unit| self.left.contains(*unit)) {
                None => return self.end(Verdict::Surveyed),
                Some(unit) => {
                    self.left.remove(unit);
                    self.stage = Stage::Presence(unit);
                }
            }
        }
        match &self.stage {
            Stage::Between => self.end(Verdict::Surveyed),
            Stage::Presence(unit) => Next::Ask(*unit, self.probe()),
            Stage::Again(unit, _) => Next::Ask(*unit, REGISTER.unwrap_or(IDENTIFY)),
            Stage::Inquiry(asking) => match asking.inquiry.request() {
                Some(request) => Next::Ask(asking.unit, request),
                None => self.end(Verdict::Surveyed),
            },
            Stage::Alias(alias) => {
                let (unit, request) = alias.request();
                Next::Ask(unit, request)
            }
        }
    }

    /// How pressing its next question is: smaller is sooner. Who is there comes before who else answers for it.
    pub(super) fn urgency(&self) -> u8 {
        match &self.stage {
            Stage::Inquiry(_) | Stage::Again(..) => 0,
            Stage::Between | Stage::Presence(_) if self.allowed - self.left.len() < 16 => 1,
            Stage::Alias(_) => 2,
            Stage::Between | Stage::Presence(_) => 3,
        }
    }

    pub(super) fn asked(&mut self) {
        self.requests += 1;
        if let Stage::Inquiry(asking) = &mut self.stage {
            asking.asked = asking.asked.saturating_add(1);
        }
    }

    /// Units that were not asked.
    pub(super) fn unasked(&self) -> usize {
        self.left.len()
    }

    /// What there is to tell.
    pub(super) fn tell(&mut self) -> Option<Finding> {
        self.fresh.take()
    }

    /// Whether the host should be left in peace for a while.
    pub(super) fn wants_rest(&mut self) -> bool {
        core::mem::take(&mut self.rest)
    }

    /// It answered, `rtt` after it was asked.
    pub(super) fn heard(&mut self, reply: Reply, rtt: Duration) {
        let (lost, garbled) = (0, self.misses.garbled);
        if let Reply::Exception(Exception::ACKNOWLEDGE | Exception::BUSY) = reply {
            return self.busy(&reply);
        }
        self.misses = Misses { silent: self.misses.silent, lost, garbled, in_row: 0, busy: 0 };
        if core::mem::take(&mut self.canary) {
            // It answers whom it knows; so it is silent about the others because they are not there.
            self.silence = true;
            return;
        }
        if let Next::Ask(unit, request) = self.next() {
            self.known.get_or_insert((unit, request));
        }
        match core::mem::replace(&mut self.stage, Stage::Between) {
            Stage::Between => {}
            Stage::Presence(unit) => self.present(unit, reply, rtt),
            Stage::Again(unit, said) => match reply {
                Reply::Exception(again) if again == said || is_absence(again) => {
                    self.absent = Some(said);
                    self.gone(Some(rtt));
                }
                Reply::Exception(_) | Reply::Registers(_) | Reply::Bits(_) | Reply::Identification(_) => {
                    let data = !matches!(reply, Reply::Exception(_));
                    self.inquire(unit, Heard::Reply(Reply::Exception(said)), Reply::Exception(said), data, rtt);
                }
            },
            Stage::Inquiry(asking) => self.answered(asking, reply, rtt),
            Stage::Alias(alias) => {
                let told = alias.heard(reply, |exception| self.says_absent(exception));
                self.told(told);
            }
        }
    }

    fn present(&mut self, unit: Unit, reply: Reply, rtt: Duration) {
        match reply {
            Reply::Exception(exception) if self.says_absent(exception) => self.gone(Some(rtt)),
            Reply::Exception(Exception::ILLEGAL_FUNCTION | Exception::ILLEGAL_ADDRESS | Exception::ILLEGAL_VALUE)
            | Reply::Registers(_)
            | Reply::Bits(_)
            | Reply::Identification(_) => {
                let data = !matches!(reply, Reply::Exception(_));
                if self.identification {
                    self.inquire(unit, Heard::Reply(reply.clone()), reply, data, rtt);
                } else {
                    // The inquiry opens with identification, which was not asked for here.
                    self.stage = Stage::Inquiry(Box::new(Inquiring {
                        unit,
                        inquiry: Inquiry::new(Arc::clone(&self.profiles)),
                        excuse: Excuse::Unasked.after(&reply),
                        opening: reply,
                        data,
                        rtts: [rtt].into(),
                        asked: 0,
                    }));
                }
            }
            Reply::Exception(exception) => self.stage = Stage::Again(unit, exception),
        }
    }

    fn inquire(&mut self, unit: Unit, first: Heard, opening: Reply, data: bool, rtt: Duration) {
        let mut inquiry = Inquiry::new(Arc::clone(&self.profiles));
        inquiry.handle(first);
        let excuse = Excuse::Unasked;
        let asking = Box::new(Inquiring { unit, inquiry, opening, data, excuse, rtts: [rtt].into(), asked: 0 });
        self.go_on(asking);
    }

    fn answered(&mut self, mut asking: Box<Inquiring>, reply: Reply, rtt: Duration) {
        let data = !matches!(reply, Reply::Exception(_));
        if let Reply::Exception(exception) = reply
            && !asking.data
            && self.says_absent(exception)
        {
            // A gateway that itself knows no identification says so for every unit, there or not.
            self.identification = false;
            return self.gone(Some(rtt));
        }
        asking.data |= data;
        if let Some(Request::Read(..)) = asking.inquiry.request() {
            asking.excuse = asking.excuse.after(&reply);
        }
        if asking.rtts.len() < RTTS {
            asking.rtts.push(rtt);
        }
        asking.inquiry.handle(Heard::Reply(reply));
        self.go_on(asking);
    }

    fn passed_over(&mut self, mut asking: Box<Inquiring>) {
        asking.inquiry.handle(Heard::Silent);
        self.go_on(asking);
    }

    fn go_on(&mut self, asking: Box<Inquiring>) {
        if asking.asked < MOST_A_UNIT && asking.inquiry.request().is_some() {
            self.stage = Stage::Inquiry(asking);
            return;
        }
        let Inquiring { unit, inquiry, opening, data, excuse, mut rtts, .. } = *asking;
        let identified = inquiry.finish();
        if !data && matches!(opening, Reply::Exception(_)) && self.misses.garbled > 0 {
            // Garbage, and nothing but exceptions after it, is nobody.
            return;
        }
        rtts.sort_unstable();
        let rtt = rtts.get(rtts.len() / 2).copied().unwrap_or_default();
        let found = Found { unit, opening, identified, rtt, aliases: Units::default() };
        if let (Excuse::Only(excuse), Reply::Identification(_)) = (excuse, &found.opening) {
            // Whoever answers for units that are not there can tell who it is, but not what they hold.
            (self.identification, self.absent) = (false, Some(excuse));
            self.doubted.get_or_insert(found);
            return self.gone(None);
        }
        if let Some((same, merge)) = self.twin(&found) {
            self.stage = Stage::Alias(Box::new(Alias::pair(same.unit, found.unit, sample(&same.identified), merge)));
            self.found.push(found);
            return;
        }
        self.settle(found);
    }

    /// A device is found; whether the host answers alike for all units is asked after the first.
    fn settle(&mut self, found: Found) {
        self.fresh = Some(Finding::Device(found.unit, found.identified.clone(), found.rtt));
        if self.found.is_empty()
            && !self.distinct
            && let Some(three) = unlikely(&self.left)
        {
            let (opening, sample) = (found.opening.clone(), sample(&found.identified));
            self.stage = Stage::Alias(Box::new(Alias::all(found.unit, three, self.probe(), opening, sample)));
        }
        self.found.push(found);
    }

    fn told(&mut self, told: Told) {
        match told {
            Told::NotYet(alias) => self.stage = Stage::Alias(alias),
            Told::Same { unit, asked } => {
                // Pairs are asked about one by one; all three unlikely units stand for every other.
                let aliases = match asked {
                    Some(other) => {
                        self.found.retain(|found| found.unit != other);
                        [other].into_iter().collect()
                    }
                    None => core::mem::take(&mut self.left),
                };
                if let Some(found) = self.found.iter_mut().find(|found| found.unit == unit) {
                    aliases.iter().for_each(|alias| found.aliases.insert(alias));
                    self.fresh = Some(Finding::Aliases(unit, found.identified.clone(), found.rtt, found.aliases));
                }
                if asked.is_none() {
                    self.verdict = Some(Verdict::Agnostic);
                }
            }
            Told::Other { pair, absent, excuse } => {
                self.distinct = true;
                if let Some(excuse) = excuse {
                    self.identification = false;
                    self.absent = Some(excuse);
                }
                if let Some(unit) = absent {
                    self.left.remove(unit);
                    self.found.retain(|found| found.unit != unit);
                }
                if let Some(found) = pair.and_then(|unit| self.found.iter().find(|found| found.unit == unit)) {
                    self.fresh = Some(Finding::Device(found.unit, found.identified.clone(), found.rtt));
                }
            }
        }
    }

    /// Whoever said the same before, and whether the same content would make them one.
    ///
    /// One serial number is one device, and at 0 and above 247 devices on TCP answer for themselves. As long as no unit
    /// was said not to be there, even an identity may be the server's own, said for whatever unit is asked.
    fn twin(&self, found: &Found) -> Option<(&Found, bool)> {
        let own = |unit: Unit| unit.0 == 0 || unit.0 > 247;
        let same = self
            .found
            .iter()
            .find(|known| known.identified.identity == found.identified.identity && known.opening == found.opening)?;
        let merge = found.identified.identity.serial.is_some() || own(found.unit) || own(same.unit);
        (merge || !self.distinct).then_some((same, merge))
    }

    /// Nobody is at the unit that was asked for.
    fn gone(&mut self, rtt: Option<Duration>) {
        self.distinct = true;
        if rtt.is_some_and(|rtt| self.rhythm.falters(rtt)) {
            self.rest = true;
            if core::mem::replace(&mut self.rested, true) {
                self.verdict = Some(Verdict::Slow(self.rhythm.baseline()));
            }
        }
    }

    fn says_absent(&self, exception: Exception) -> bool {
        is_absence(exception) || self.absent == Some(exception)
    }

    fn probe(&self) -> Request {
        if self.identification { IDENTIFY } else { REGISTER.unwrap_or(IDENTIFY) }
    }

    fn end(&mut self, verdict: Verdict) -> Next {
        if let Some(doubted) = self.doubted.take().filter(|_| self.found.is_empty()) {
            self.fresh = Some(Finding::Device(doubted.unit, doubted.identified, doubted.rtt));
        }
        self.verdict = Some(verdict.clone());
        Next::End(verdict)
    }
}

/// What is read at both units to tell whether they are one device.
fn sample(identified: &Identified) -> Request {
    match identified.proof() {
        proof @ Request::Read(..) => proof,
        Request::Identify(..) => SAMPLE.unwrap_or(IDENTIFY),
    }
}

fn is_absence(exception: Exception) -> bool {
    matches!(exception, Exception::NO_PATH | Exception::NO_ANSWER)
}

/// Is anybody there, and who?
const IDENTIFY: Request = Request::Identify(Objects::Regular, 0);
/// Is anybody there, if identification does not tell?
const REGISTER: Option<Request> = Request::first(Table::HoldingRegisters, 1);
/// Some content to compare.
const SAMPLE: Option<Request> = Request::first(Table::HoldingRegisters, 4);
/// Requests that one unit's inquiry may take; one that is not done by then is finished as it is.
const MOST_A_UNIT: u8 = 48;
/// Times that are kept of one unit's replies.
const RTTS: usize = 16;
