//! Which requests read the points that are wanted, and what the replies to them say.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::identify::Identified;
use super::profile::{Limits, Point, Profile};
use super::reading::{Missing, Reading, value};
use super::reply::{Exception, Reply};
use super::request::{Request, Span, Table};
use super::sunspec::FIRST_GROUP;

/// Requests that read certain points, grouped as far as the device can take it. A value is never cut in two.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    requests: Vec<Request>,
    wants: Vec<Want>,
}

/// Plans to read `points` of a device by their names, or all that are known of it if none is named.
///
/// Points of one group are read at once across gaps, as far as the profile allows. SunSpec points are only read with
/// others of their model, from the beginning of one to the end of another.
pub fn plan(identified: &Identified, points: &[&str]) -> Plan {
    let known = identified.points();
    let wanted: Vec<Result<Point, Box<str>>> = if points.is_empty() {
        known.into_iter().map(Ok).collect()
    } else {
        let find =
            |name: &&str| known.iter().find(|point| *point.name == **name).cloned().ok_or_else(|| (*name).into());
        points.iter().map(find).collect()
    };
    Plan::of(wanted, identified.profile.as_deref(), Reach::Grouped)
}

impl Plan {
    /// What to ask, in this order.
    pub fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// One reading a point, in the order of the points. `replies` are those to [`Plan::requests`] in their order, `None`
    /// where none came.
    pub fn readings(&self, replies: &[Option<Reply>]) -> Vec<Reading> {
        self.wants.iter().map(|want| want.reading(&self.requests, replies)).collect()
    }

    /// What to ask of a device that refused to be asked for several points at once: each point of such a request by
    /// itself. Its readings are those points' alone. `None` if nothing was refused that could be asked apart.
    pub fn apart(&self, replies: &[Option<Reply>]) -> Option<Self> {
        let shared = |at: usize| self.wants.iter().filter(|want| want.at == Some(at)).nth(1).is_some();
        let refused = |at: usize| {
            let reply = replies.get(at).and_then(Option::as_ref);
            matches!(reply, Some(Reply::Exception(Exception::ILLEGAL_ADDRESS | Exception::ILLEGAL_VALUE))) && shared(at)
        };
        let again = self.wants.iter().filter(|want| want.at.is_some_and(refused));
        let points: Vec<_> = again.filter_map(|want| want.point.clone()).map(Ok).collect();
        (!points.is_empty()).then(|| Self::of(points, None, Reach::Single))
    }

    fn of(wanted: Vec<Result<Point, Box<str>>>, profile: Option<&Profile>, reach: Reach) -> Self {
        let mut parts: Vec<Part> = wanted.iter().flatten().flat_map(Part::of).collect();
        parts.sort();
        parts.dedup();
        let mut spans: Vec<Part> = Vec::new();
        for part in parts {
            let (most, gap) = reach.of(profile, part.table, part.group);
            match spans.last_mut() {
                Some(last) if last.takes(&part, most, gap) => last.end = last.end.max(part.end),
                _ => spans.push(part),
            }
        }
        // A point wider than a request may be cannot be asked; its reading says so.
        spans.retain(|span| span.request().is_some());
        let wants = wanted.into_iter().map(|wanted| Want::of(wanted, &spans)).collect();
        Self { requests: spans.iter().filter_map(Part::request).collect(), wants }
    }
}

/// How far points may stand apart and be read at once.
#[derive(Clone, Copy)]
enum Reach {
    Grouped,
    Single,
}

impl Reach {
    /// The most addresses of one request, and of a gap; `None` for a gap joins nothing but what is the same.
    fn of(self, profile: Option<&Profile>, table: Table, group: u16) -> (u16, Option<u16>) {
        let profile = profile.filter(|_| group < FIRST_GROUP);
        let limits = profile.map_or_else(Limits::default, |profile| profile.limits);
        let group = profile.and_then(|profile| profile.groups.get(usize::from(group)));
        let words = group.and_then(|group| group.max_registers).unwrap_or(limits.max_registers);
        let gap = group.and_then(|group| group.max_gap).unwrap_or(limits.max_gap);
        let most = if table.bits() { limits.max_bits } else { words };
        match self {
            Self::Grouped => (most.min(table.most()), Some(gap)),
            Self::Single => (table.most(), None),
        }
    }
}

/// Addresses that must be in one request.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Part {
    table: Table,
    group: u16,
    start: u16,
    end: u32,
}

impl Part {
    fn of(point: &Point) -> impl Iterator<Item = Self> {
        let part = |start, end| Self { table: point.table, group: point.group, start, end };
        let exponent = point.exponent.map(|at| part(at, u32::from(at) + 1));
        [Some(part(point.address, point.end())), exponent].into_iter().flatten()
    }

    fn takes(&self, next: &Self, most: u16, gap: Option<u16>) -> bool {
        let end = self.end.max(next.end);
        let near = gap.is_some_and(|gap| u32::from(next.start) <= self.end + u32::from(gap)) || next.end <= self.end;
        (self.table, self.group) == (next.table, next.group) && near && end - u32::from(self.start) <= u32::from(most)
    }

    fn request(&self) -> Option<Request> {
        let count = u16::try_from(self.end - u32::from(self.start)).ok()?;
        Span::new(self.table, self.start, count).ok().map(|span| Request::Read(self.table, span))
    }

    fn holds(&self, part: &Self) -> bool {
        (self.table, self.group) == (part.table, part.group) && self.start <= part.start && part.end <= self.end
    }
}

/// One point, and which requests bring it.
#[derive(Clone, Debug, PartialEq)]
struct Want {
    name: Box<str>,
    /// `None` for a name that nothing has.
    point: Option<Point>,
    at: Option<usize>,
    exponent: Option<usize>,
}

impl Want {
    fn of(wanted: Result<Point, Box<str>>, spans: &[Part]) -> Self {
        let point = match wanted {
            Ok(point) => point,
            Err(name) => return Self { name, point: None, at: None, exponent: None },
        };
        let place = |part: Part| spans.iter().position(|span| span.holds(&part));
        let places: Vec<_> = Part::of(&point).map(place).collect();
        let (at, exponent) = (places.first().copied().flatten(), places.get(1).copied().flatten());
        Self { name: point.name.clone(), point: Some(point), at, exponent }
    }

    fn reading(&self, requests: &[Request], replies: &[Option<Reply>]) -> Reading {
        let value = self.point.as_ref().ok_or(Missing::NoSuchPoint).and_then(|point| {
            let words = words(self.at, point.address, point.width(), requests, replies)?;
            let exponent = match point.exponent {
                Some(address) => words_one(self.exponent, address, requests, replies).map(Some)?,
                None => None,
            };
            value(point, &words, exponent)
        });
        let unit = self.point.as_ref().map(|point| point.unit.clone()).unwrap_or_default();
        Reading { point: self.name.clone(), value, unit }
    }
}

fn words_one(
    request: Option<usize>,
    address: u16,
    requests: &[Request],
    replies: &[Option<Reply>],
) -> Result<u16, Missing> {
    words(request, address, 1, requests, replies)?.first().copied().ok_or(Missing::Unanswered)
}

/// `count` words from `address` on, out of the reply to the request numbered `request`; a bit is a word of 0 or 1.
fn words(
    request: Option<usize>,
    address: u16,
    count: u16,
    requests: &[Request],
    replies: &[Option<Reply>],
) -> Result<Vec<u16>, Missing> {
    let request = request.ok_or(Missing::Unanswered)?;
    let Some(Request::Read(_, span)) = requests.get(request) else { return Err(Missing::Unanswered) };
    let from = usize::from(address.checked_sub(span.start()).ok_or(Missing::Unanswered)?);
    let range = from..from + usize::from(count);
    // A reply of another length is the reply to something else.
    let right = |length: usize| if length == usize::from(span.count()) { Ok(()) } else { Err(Missing::Unanswered) };
    match replies.get(request).and_then(Option::as_ref) {
        Some(Reply::Registers(words)) => {
            right(words.len())?;
            words.get(range).map(<[u16]>::to_vec).ok_or(Missing::Unanswered)
        }
        Some(Reply::Bits(bits)) => {
            right(bits.len())?;
            bits.get(range).map(|bits| bits.iter().map(|bit| u16::from(*bit)).collect()).ok_or(Missing::Unanswered)
        }
        Some(Reply::Exception(exception)) => Err(Missing::Refused(*exception)),
        Some(Reply::Identification(_)) | None => Err(Missing::Unanswered),
    }
}
