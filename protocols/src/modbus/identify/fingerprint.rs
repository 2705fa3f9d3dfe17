//! Which profile fits what stands in a unit's registers.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::super::identity::{Identity, cleaned};
use super::super::profile::{Expected, Format, Profile, Profiles, Register, Wanted};
use super::super::reading::{raw, value};
use super::super::reply::{Exception, Reply};
use super::super::request::{Request, Table};
use crate::service::Value;

/// Table, address and width of a read.
type Place = (Table, u16, u16);

/// Reads a few registers, those that say most first, and keeps the score of each profile.
#[derive(Clone, Debug)]
pub(super) struct Fingerprints {
    candidates: Vec<Arc<Profile>>,
    /// What was answered to each read: table, address and width.
    heard: BTreeMap<Place, Option<Reply>>,
    next: Option<Place>,
    silent: u8,
    /// Tables whose function the device does not know.
    unknown: Vec<Table>,
}

/// What the registers say.
pub(super) struct Found {
    /// The profile, how sure that is, and the register that says it best.
    pub(super) best: Option<(Arc<Profile>, f32, Register)>,
    pub(super) explain: Vec<Box<str>>,
}

impl Fingerprints {
    /// `identity` rules out every profile that it contradicts.
    pub(super) fn new(profiles: &Profiles, identity: &Identity) -> Self {
        let possible =
            |profile: &&Arc<Profile>| !profile.rules.registers.is_empty() && !profile.rules.contradicted(identity);
        let candidates = profiles.iter().filter(possible).cloned().collect();
        let mut fingerprints = Self { candidates, heard: BTreeMap::new(), next: None, silent: 0, unknown: Vec::new() };
        fingerprints.next = fingerprints.choose();
        fingerprints
    }

    pub(super) fn request(&self) -> Option<Request> {
        let (table, address, count) = self.next?;
        Request::read(table, address, count).ok()
    }

    pub(super) fn handle(&mut self, reply: Option<&Reply>) {
        let Some(next) = self.next.take() else { return };
        self.silent = if reply.is_some() { 0 } else { self.silent + 1 };
        if matches!(reply, Some(Reply::Exception(Exception::ILLEGAL_FUNCTION))) {
            self.unknown.push(next.0);
        }
        self.heard.insert(next, reply.cloned());
        self.next = self.choose();
    }

    /// The register to read next: of the profile that can come out best, the rule that weighs most. Where several can,
    /// the one whose answer serves most of them.
    fn choose(&self) -> Option<Place> {
        if self.heard.len() >= MOST_PROBES || self.silent >= MOST_SILENCE {
            return None;
        }
        let leader = self.candidates.iter().map(|profile| self.score(profile)).fold(Score::default(), Score::better);
        let open = self.candidates.iter().filter_map(|profile| {
            let score = self.score(profile);
            let open = score.open > 0.0;
            let can = score.now + score.open;
            (open && can >= ENOUGH && (can + MARGIN > leader.now || score.now >= leader.now))
                .then_some((profile, score))
        });
        let open: Vec<_> = open.collect();
        // Whoever leads is asked to the end; before anybody does, the question that most can use is asked.
        let place = |rule: &Register| (rule.point.table, rule.point.address, rule.point.width());
        let asked_by = |place_wanted: Place| {
            let asking =
                |profile: &&&Arc<Profile>| profile.rules.registers.iter().any(|rule| place(rule) == place_wanted);
            open.iter().map(|(profile, _)| profile).filter(asking).count()
        };
        let mut best: Option<((f32, usize, f32), Place)> = None;
        for (profile, score) in &open {
            for rule in profile.rules.registers.iter().filter(|rule| self.outcome(rule).is_none()) {
                let rank = (score.now, asked_by(place(rule)), rule.weight);
                if best.is_none_or(|(most, _)| rank > most) {
                    best = Some((rank, place(rule)));
                }
            }
        }
        best.map(|(_, place)| place)
    }

    pub(super) fn finish(self) -> Found {
        let mut scores: Vec<(Score, &Arc<Profile>)> =
            self.candidates.iter().map(|profile| (self.score(profile), profile)).collect();
        scores.sort_by(|(one, _), (other, _)| other.now.total_cmp(&one.now));
        let mut explain = Vec::new();
        let asked = self.heard.len();
        let mut first = scores.iter();
        let best = match (first.next(), first.next()) {
            (Some((one, profile)), other) if one.now >= ENOUGH => {
                self.explained(profile, &mut explain);
                match other.filter(|(other, _)| other.now + MARGIN > one.now) {
                    Some((_, rival)) => {
                        self.explained(rival, &mut explain);
                        explain.push(format!("{} and {} fit alike: neither is taken", profile.id, rival.id).into());
                        None
                    }
                    None => self.strongest(profile).map(|rule| (Arc::clone(profile), one.now.min(MOST_SURE), rule)),
                }
            }
            _ => {
                explain.push(format!("no profile fits; {asked} registers of profiles looked at").into());
                None
            }
        };
        Found { best, explain }
    }

    fn score(&self, profile: &Profile) -> Score {
        profile.rules.registers.iter().fold(Score::default(), |mut score, rule| {
            match self.outcome(rule) {
                None => score.open += rule.weight,
                Some(true) => score.now += rule.weight,
                Some(false) => score.now -= rule.weight,
            }
            score
        })
    }

    /// Whether the rule holds; `None` before its register is read. A device that does not know a table's function has
    /// none of its registers.
    fn outcome(&self, rule: &Register) -> Option<bool> {
        if self.unknown.contains(&rule.point.table) {
            return Some(false);
        }
        let heard = self.heard.get(&(rule.point.table, rule.point.address, rule.point.width()))?;
        Some(heard.as_ref().and_then(|reply| fits(rule, reply)) == Some(true))
    }

    /// The rule that holds and weighs most.
    fn strongest(&self, profile: &Profile) -> Option<Register> {
        let held = profile.rules.registers.iter().filter(|rule| self.outcome(rule) == Some(true));
        held.max_by(|one, other| one.weight.total_cmp(&other.weight)).cloned()
    }

    fn explained(&self, profile: &Profile, lines: &mut Vec<Box<str>>) {
        for rule in &profile.rules.registers {
            let Some(held) = self.outcome(rule) else { continue };
            let heard = self.heard.get(&(rule.point.table, rule.point.address, rule.point.width()));
            let shown = match heard.and_then(Option::as_ref) {
                Some(Reply::Registers(words)) => shown(rule, words),
                Some(Reply::Exception(exception)) => format!("{exception}"),
                Some(_) => "bits".into(),
                None => "no answer".into(),
            };
            let (sign, not) = if held { ('+', "") } else { ('-', "not ") };
            let table = if rule.point.table == Table::InputRegisters { "input" } else { "holding" };
            lines.push(
                format!(
                    "{}: {table} register {} holds {shown}, {not}{}: {sign}{:.2}",
                    profile.id,
                    rule.point.address,
                    Wanted(&rule.expected),
                    rule.weight
                )
                .into(),
            );
        }
    }
}

/// How well a profile fits.
#[derive(Clone, Copy, Default)]
struct Score {
    /// What its rules weigh that were looked at: for it less against it.
    now: f32,
    /// What those weigh that were not.
    open: f32,
}

impl Score {
    fn better(self, other: Self) -> Self {
        if other.now > self.now { other } else { self }
    }
}

/// Whether `reply`, to the read of the rule's register, is as the rule expects; `None` if it is no reply to it.
pub(super) fn fits(rule: &Register, reply: &Reply) -> Option<bool> {
    let words = match reply {
        Reply::Registers(words) if words.len() == usize::from(rule.point.width()) => &words[..],
        Reply::Registers(_) | Reply::Bits(_) | Reply::Identification(_) => return None,
        Reply::Exception(_) => return Some(false),
    };
    Some(match &rule.expected {
        Expected::Within(low, high) => {
            matches!(value(&rule.point, words, None), Ok(Value::Number(number)) if (*low..=*high).contains(&number))
        }
        Expected::Bits { mask, any } => any.contains(&(raw(words, rule.point.order) & mask)),
        Expected::Text(patterns) => match value(&rule.point, words, None) {
            Ok(Value::Text(text)) => patterns.iter().any(|pattern| pattern.fits(&text)),
            _ => false,
        },
    })
}

fn shown(rule: &Register, words: &[u16]) -> alloc::string::String {
    match (&rule.expected, rule.point.format) {
        (Expected::Bits { .. }, _) => format!("{}", raw(words, rule.point.order)),
        (_, Format::Text(_)) => {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
            format!("{:?}", cleaned(&bytes, 32).unwrap_or_default())
        }
        _ => match value(&rule.point, words, None) {
            Ok(value) => format!("{value}"),
            Err(missing) => format!("{missing}"),
        },
    }
}

/// The most registers one inquiry looks at: about one for each family that is recognised by registers alone, since one
/// wrong answer is enough to drop most of them.
pub(super) const MOST_PROBES: usize = 32;
/// The most requests in a row that are not answered before it is left alone.
const MOST_SILENCE: u8 = 2;
/// Less than this is no match.
const ENOUGH: f32 = 0.5;
/// So much better than the next a match must be.
const MARGIN: f32 = 0.1;
/// Registers never make it quite sure.
const MOST_SURE: f32 = 0.95;
