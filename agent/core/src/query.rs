//! A question, and the answer to it.

use std::sync::Arc;

use wayside_protocols::place::{Distance, Position};
use wayside_protocols::service::{Kind, Latency, Service, ServiceName, Trust, Value};
use wayside_protocols::sighting::Source;
use wayside_protocols::time::Duration;

/// What a caller wants to know.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// Which service; `None` for any (`*`).
    pub name: Option<ServiceName>,
    /// Around where, how far; `None` for anywhere.
    pub near: Option<Near>,
    /// Slower services are left out. A service nobody has timed counts as its tier usually is.
    pub max_latency: Option<Duration>,
    /// Every one of these must hold.
    pub require: Vec<Requirement>,
    /// The least trust a match may have.
    pub min_trust: Trust,
    /// Whether lives may depend on the answer: the order of tiers is then that of DESIGN 3, left column.
    pub critical: bool,
    /// 0 (any time) to 7 (now).
    pub urgency: u8,
    /// When the caller must have an answer; what is known by then is the answer.
    pub deadline: Option<Duration>,
    /// At most this many matches, 1 to 1,000.
    pub limit: u16,
    /// Merge all tiers instead of stopping at the first that answers.
    pub all_tiers: bool,
    /// The farthest tier that may be asked.
    pub farthest: Tier,
    /// What is left out besides.
    pub sieve: Sieve,
    /// In whose name it is asked, for whoever records that. It decides nothing.
    pub trace: Option<Trace>,
}

/// Where a question belongs in what somebody records of it, in the terms of W3C Trace Context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The whole, through all who are asked.
    pub id: u128,
    /// This part of it.
    pub span: u64,
    /// Whether it is recorded.
    pub sampled: bool,
}

impl Trace {
    /// A part of whose `drawn` number the last bits are left to the tiers below it.
    pub const fn root(drawn: u64) -> u64 {
        drawn & !0xff | 0x100
    }

    /// The part of it that is asked of the `nth` upstream of `tier` that has a say in the answer, counted from 0; all beyond the 16th are one.
    pub const fn at(self, tier: Tier, nth: usize) -> Self {
        let nth = if nth < 16 { nth as u64 } else { 15 };
        Self { span: self.span & !0xff | (tier as u64 + 1) << 4 | nth, ..self }
    }
}

/// Names one request until its answer is out. Made by whoever asks; the agent only hands it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

impl Ticket {
    /// What the agent does of its own accord; nobody waits for it.
    pub const OWN: Self = Self(u64::MAX);
}

impl Query {
    /// Everything that offers `name` (any service if `None`), anywhere, at most ten matches.
    pub fn new(name: Option<ServiceName>) -> Self {
        Self {
            name,
            near: None,
            max_latency: None,
            require: Vec::new(),
            min_trust: Trust::Unsigned,
            critical: false,
            urgency: 0,
            deadline: None,
            limit: DEFAULT_LIMIT,
            all_tiers: false,
            farthest: Tier::Cloud,
            sieve: Sieve::default(),
            trace: None,
        }
    }
}

/// Matches in an answer, unless the caller says otherwise.
pub const DEFAULT_LIMIT: u16 = 10;
/// Matches in an answer at the most.
pub const MAX_LIMIT: u16 = 1_000;

/// A circle to look in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Near {
    /// Its centre.
    pub centre: Centre,
    /// How far around it.
    pub radius: Distance,
}

/// What a caller leaves out, whichever tier answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sieve {
    /// Only what is offered by one of these; empty for any.
    pub kinds: Vec<Kind>,
    /// Only what moves in one of these directions. What stands still moves in none.
    pub heading: Option<Sector>,
    /// Only what lies in one of these directions as seen from the centre.
    pub sector: Option<Sector>,
    /// Only what somebody vouched for no longer ago than this.
    pub max_age: Option<Duration>,
    /// Only what is on the same level as the centre: nothing known to be more than 15 m above or below is in the answer,
    /// and what does not state its altitude is at most possible.
    pub same_level: bool,
}

/// Directions around one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sector {
    /// The middle one, degrees clockwise in [0, 360).
    pub bearing: f64,
    /// How far to either side, degrees in (0, 180].
    pub within: f64,
    /// Whether the bearing counts from the agent's own heading, not from true north.
    pub relative: bool,
}

impl Sector {
    /// How far `degrees` is from the middle one, in [0, 180].
    pub fn off(&self, degrees: f64) -> f64 {
        let turn = (degrees - self.bearing).rem_euclid(360.0);
        turn.min(360.0 - turn)
    }
}

/// Where a question is asked from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Centre {
    /// Where the agent itself stands; its own uncertainty counts.
    Here,
    /// A point, taken as exact.
    At(Position),
}

/// A condition on one of a service's resources, e.g. `power_kw >= 22`.
#[derive(Clone, Debug, PartialEq)]
pub struct Requirement {
    /// Which resource. A service that does not state it does not match.
    pub resource: Box<str>,
    /// How it is compared.
    pub comparison: Comparison,
    /// With what.
    pub value: Value,
}

/// How a resource is held against a required value. Numbers compare as numbers; everything else only by equality.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// The same.
    Equal,
    /// At least.
    AtLeast,
    /// At most.
    AtMost,
}

/// Where an answer comes from, nearest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// This agent's own catalog of what is fixed here: own services, devices, roadside units, programs.
    Local,
    /// Other vehicles and gateways.
    Neighbour,
    /// The registry of the region.
    Region,
    /// The cloud.
    Cloud,
}

impl Tier {
    /// The word for it in JSON and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Neighbour => "neighbour",
            Self::Region => "region",
            Self::Cloud => "cloud",
        }
    }
}

/// Whether a match is in the circle for certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// At two standard deviations it is inside.
    Definite,
    /// It may be: the uncertainty reaches over the rim, or its fix is past its validity.
    Possible,
}

impl Verdict {
    /// The word for it in JSON and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Definite => "definite",
            Self::Possible => "possible",
        }
    }
}

/// One service that fits.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    /// The service as all its sources together show it.
    pub service: Arc<Service>,
    /// How far, how sure; `None` if the question named no place or the service has none.
    pub place: Option<Sighted>,
    /// Where it stands: its own position, or its agent's, dead-reckoned to the moment of asking.
    pub position: Option<Position>,
    /// Whether it is certainly inside; definite where no place was asked for.
    pub verdict: Verdict,
    /// Who answered.
    pub tier: Tier,
    /// Who vouches for it, best first.
    pub sources: Vec<Source>,
    /// How long it takes to answer: measured here, else as the instance reports, else as its tier usually is.
    pub latency: Latency,
    /// Since anybody last vouched for it.
    pub age: Duration,
    /// How long the word for it still holds.
    pub ttl: Duration,
    /// Served from last-known-good: nobody vouches for it at this moment.
    pub stale: bool,
}

/// Where a match stands as seen from the centre of the question.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sighted {
    /// Along the ground, dead-reckoned to the moment of asking.
    pub distance: Distance,
    /// Degrees clockwise from true north in [0, 360).
    pub bearing: f64,
    /// One standard deviation of the distance, metres.
    pub sigma: f64,
}

/// What is known by the deadline.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Answer {
    /// Best first, at most as many as asked for.
    pub matches: Vec<Match>,
    /// Which tier answered; `None` if none did, or all were merged and none had any.
    pub tier: Option<Tier>,
    /// What could not be asked, and why.
    pub unreached: Vec<Unreached>,
    /// What each tier had to say, in the order asked.
    pub explain: Vec<TierReport>,
}

/// A tier that could not be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreached {
    /// Which.
    pub tier: Tier,
    /// Why, in words for people.
    pub reason: Box<str>,
    /// Why, in one word for programs.
    pub cause: Cause,
}

/// What kept a tier from being asked, or from answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The agent does not know where it stands or heads, and the question depends on it.
    Unplaced,
    /// Nobody is there, or whoever is there cannot be trusted.
    Unreachable,
    /// Whoever is there says that it cannot answer.
    Refused,
    /// What it answers is not the contract.
    Contract,
    /// Nothing came in time.
    Late,
}

impl Cause {
    /// The word for it in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unplaced => "unplaced",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::Contract => "contract",
            Self::Late => "late",
        }
    }
}

/// What one tier had to say.
#[derive(Clone, Debug, PartialEq)]
pub struct TierReport {
    /// Which.
    pub tier: Tier,
    /// What it was asked for, in words for people, e.g. `critical roadside and gateway services definitely within 100 m`.
    pub asked: Box<str>,
    /// How many services fit.
    pub fitting: usize,
    /// Why others did not, how many for each reason; reasons that hit none are left out.
    pub left_out: Vec<(Reason, usize)>,
    /// If nothing fits: how far away the nearest of that name stands, where one is known.
    pub nearest: Option<Distance>,
    /// How long it was waited for; zero where nobody else was asked.
    pub took: Duration,
    /// Whether this tier's matches are in the answer; if not, a nearer tier had answered already, or it had none.
    pub outcome: Outcome,
}

/// How it ended for a tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its matches are the answer, or part of it.
    Answered,
    /// It was asked and had nothing that fits.
    Empty,
    /// It was not asked: a nearer tier had answered.
    NotNeeded,
    /// It is not configured.
    NotConfigured,
    /// It could not be asked; see [`Answer::unreached`].
    Unreached,
}

impl Outcome {
    /// The word for it in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Empty => "empty",
            Self::NotNeeded => "not-needed",
            Self::NotConfigured => "not-configured",
            Self::Unreached => "unreached",
        }
    }
}

/// Why a service that was looked at is not in the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Nobody knows where it stands.
    NoPosition,
    /// It is outside the circle. Only those near its rim are counted.
    TooFar,
    /// It may be inside, but the question wants certainty.
    NotCertain,
    /// It is known to be slower than asked.
    TooSlow,
    /// A required resource is too small, too large or something else.
    Resources,
    /// It does not say what it has of a required resource.
    Unstated,
    /// Its last health checks failed.
    Unhealthy,
    /// The word for it is not trusted enough.
    Untrusted,
    /// It is not marked critical.
    NotCritical,
    /// What offers it is of another kind than this tier asks.
    OtherKind,
    /// What offers it is none of the kinds asked for.
    KindNotAsked,
    /// It moves elsewhere, or stands.
    Heading,
    /// It lies in another direction.
    Direction,
    /// It is known to be on another level.
    OtherLevel,
    /// It was vouched for too long ago.
    TooOld,
    /// It fits, but the limit was reached.
    OverLimit,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 16] = [
        Self::NoPosition,
        Self::TooFar,
        Self::NotCertain,
        Self::TooSlow,
        Self::Resources,
        Self::Unstated,
        Self::Unhealthy,
        Self::Untrusted,
        Self::NotCritical,
        Self::OtherKind,
        Self::KindNotAsked,
        Self::Heading,
        Self::Direction,
        Self::OtherLevel,
        Self::TooOld,
        Self::OverLimit,
    ];

    /// Words for people, to follow a count: `3 too far`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoPosition => "without a position",
            Self::TooFar => "too far",
            Self::NotCertain => "not certainly inside",
            Self::TooSlow => "too slow",
            Self::Resources => "without the resources",
            Self::Unstated => "not stating a resource asked for",
            Self::Unhealthy => "failing their health check",
            Self::Untrusted => "not trusted enough",
            Self::NotCritical => "not marked critical",
            Self::OtherKind => "of another kind",
            Self::KindNotAsked => "not of a kind asked for",
            Self::Heading => "not heading that way",
            Self::Direction => "not in that direction",
            Self::OtherLevel => "on another level",
            Self::TooOld => "not heard of lately",
            Self::OverLimit => "over the limit",
        }
    }
}

/// Whether `kind` belongs to the neighbour tier: what moves about or serves others in its own right.
pub fn neighbourly(kind: Kind) -> bool {
    matches!(kind, Kind::Vehicle | Kind::Gateway)
}
