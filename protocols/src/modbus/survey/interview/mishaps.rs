//! What it means when a host does not answer, hangs up, says it is busy, or says what is no answer.

use super::Interview;
use crate::modbus::identify::Heard;
use crate::modbus::reply::{Exception, Reply};
use crate::modbus::survey::stage::Stage;
use crate::modbus::survey::verdict::Verdict;
use crate::time::Duration;

impl Interview {
    /// It did not answer in time.
    pub(in crate::modbus::survey) fn silent(&mut self) {
        self.misses.silent += 1;
        self.misses.in_row = self.misses.in_row.saturating_add(1);
        self.missed();
        if self.canary {
            self.verdict = Some(Verdict::Unanswering);
            return;
        }
        let serial = self.silent_most == u32::MAX;
        if serial {
            return;
        }
        let patience = if self.silence { PATIENCE_KNOWING } else { PATIENCE };
        match self.known {
            Some(_) if self.misses.in_row >= patience => self.canary = true,
            None if self.misses.in_row >= PATIENCE_AT_FIRST => self.verdict = Some(Verdict::NeverAnswers),
            _ => {}
        }
        if self.misses.silent >= self.silent_most && !self.left.is_empty() {
            self.verdict.get_or_insert(Verdict::Silent);
        }
    }

    /// It hung up.
    pub(in crate::modbus::survey) fn lost(&mut self) {
        self.misses.lost += 1;
        self.misses.silent += 1;
        if self.canary || (self.known.is_none() && self.misses.lost >= 3) {
            self.verdict = Some(Verdict::HangsUp);
        } else if self.known.is_some() {
            // Some hang up on whoever asks for a unit that is not there.
            self.missed();
            self.canary = self.misses.lost >= 3;
        }
    }

    /// What it said was no answer.
    pub(in crate::modbus::survey) fn garbled(&mut self) {
        self.misses.garbled += 1;
        if self.misses.garbled >= 6 || self.canary {
            self.verdict = Some(Verdict::Garbage);
            return;
        }
        match core::mem::replace(&mut self.stage, Stage::Between) {
            // Somebody is there; who, another question may tell.
            Stage::Presence(unit) if self.misses.garbled > 1 => {
                let opening = Reply::Exception(Exception::ILLEGAL_FUNCTION);
                self.inquire(unit, Heard::Silent, opening, false, Duration::ZERO);
            }
            Stage::Inquiry(asking) => self.passed_over(asking),
            stage @ (Stage::Between | Stage::Presence(_) | Stage::Again(..) | Stage::Alias(_)) => self.stage = stage,
        }
    }

    /// Neither a reply nor a mistake: whoever is being asked stays silent.
    fn missed(&mut self) {
        if self.canary {
            return;
        }
        match core::mem::replace(&mut self.stage, Stage::Between) {
            Stage::Between | Stage::Presence(_) | Stage::Again(..) => {}
            Stage::Inquiry(asking) => self.passed_over(asking),
            Stage::Alias(alias) => {
                let told = alias.silent();
                self.told(told);
            }
        }
        self.distinct |= !self.found.is_empty();
    }

    pub(super) fn busy(&mut self, reply: &Reply) {
        self.misses.busy += 1;
        self.rest = true;
        if self.misses.busy > 1
            && let Reply::Exception(exception) = reply
        {
            self.verdict = Some(Verdict::Busy(*exception));
        }
    }

    /// It has cost as many connections as one host may.
    pub(in crate::modbus::survey) fn give_up(&mut self) {
        let verdict = if self.known.is_some() { Verdict::Silent } else { Verdict::Budget };
        self.verdict.get_or_insert(verdict);
    }
}

/// Silent units in a row after which a known one is asked again.
const PATIENCE: u8 = 3;
/// The same, of a host that is known to pass over in silence whoever is not there.
const PATIENCE_KNOWING: u8 = 8;
/// Silent units in a row after which a host that never answered is left alone.
const PATIENCE_AT_FIRST: u8 = 8;
