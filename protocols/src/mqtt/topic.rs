//! The topics under `wayside/1/`, and the filters that listen to them.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use super::cell::{Cell, CellError};
use crate::service::{AgentId, Label, NameError, ServiceName};

/// Where something is published.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// `wayside/1/a/{q10}/{q5}/{name}/{agent}/{id}`: a service, retained; an empty payload withdraws it.
    Announcement {
        /// Where it stands; `None` (`-/-`) if nowhere, beyond the map, or untold.
        cell: Option<Cell>,
        /// What callers ask for.
        name: ServiceName,
        /// Who offers it.
        agent: AgentId,
        /// What that agent calls it.
        id: Label,
    },
    /// `wayside/1/p/{agent}`: whether an agent is there, retained; its will goes here too.
    Presence(AgentId),
    /// `wayside/1/b/{q10}/{q5}/{agent}`: where an agent is, never retained.
    Beacon {
        /// Where it is; `None` (`-/-`) beyond the map.
        cell: Option<Cell>,
        /// Who.
        agent: AgentId,
    },
    /// `wayside/1/q/{agent}`: a question to an agent.
    Query(AgentId),
    /// `wayside/1/e/{agent}`: changes of an agent's catalog.
    Event(AgentId),
    /// `wayside/1/v/{agent}/{id}`: what a device of an agent measures, retained for a few rounds.
    Values {
        /// Whose device.
        agent: AgentId,
        /// What that agent calls it.
        id: Label,
    },
}

impl Topic {
    /// Reads a topic name.
    ///
    /// # Errors
    /// [`TopicError`] if it is none of ours, of another version, or a level of it is not what belongs there.
    pub fn parse(topic: &str) -> Result<Self, TopicError> {
        let rest = topic.strip_prefix("wayside/").ok_or_else(|| TopicError::unknown(topic))?;
        let (version, rest) = rest.split_once('/').ok_or_else(|| TopicError::unknown(topic))?;
        if version != VERSION {
            return Err(TopicError::Version { given: version.chars().take(16).collect() });
        }
        let mut levels = [""; 6];
        let mut count = 0;
        for level in rest.split('/') {
            *levels.get_mut(count).ok_or_else(|| TopicError::unknown(topic))? = level;
            count += 1;
        }
        match (levels, count) {
            (["a", q10, q5, name, agent, id], 6) => Ok(Self::Announcement {
                cell: cell(q10, q5)?,
                name: name.parse()?,
                agent: agent.parse()?,
                id: id.parse()?,
            }),
            (["b", q10, q5, agent, ..], 4) => Ok(Self::Beacon { cell: cell(q10, q5)?, agent: agent.parse()? }),
            (["p", agent, ..], 2) => Ok(Self::Presence(agent.parse()?)),
            (["q", agent, ..], 2) => Ok(Self::Query(agent.parse()?)),
            (["e", agent, ..], 2) => Ok(Self::Event(agent.parse()?)),
            (["v", agent, id, ..], 3) => Ok(Self::Values { agent: agent.parse()?, id: id.parse()? }),
            _ => Err(TopicError::unknown(topic)),
        }
    }
}

/// The topic of a beacon as it lies in its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BeaconTopic<'a> {
    /// Where it is; `None` (`-/-`) beyond the map.
    pub cell: Option<Cell>,
    /// Who; whether that is an id at all has not been looked at.
    pub agent: &'a str,
}

impl<'a> BeaconTopic<'a> {
    /// Reads a topic without copying anything. `None` for every other topic; [`Topic::parse`] says what it is, or what
    /// is wrong with it.
    pub fn read(topic: &'a str) -> Option<Self> {
        let rest = topic.strip_prefix("wayside/1/b/")?;
        let (cell, agent) = match rest.strip_prefix("-/-/") {
            Some(agent) => (None, agent),
            None => {
                // Ten digits and five: a cell is always as long.
                let (q10, rest) = rest.split_at_checked(10)?;
                let (q5, rest) = rest.strip_prefix('/')?.split_at_checked(5)?;
                (Some(Cell::from_levels(q10, q5).ok()?), rest.strip_prefix('/')?)
            }
        };
        let alone = !agent.bytes().any(|byte| byte == b'/');
        alone.then_some(Self { cell, agent })
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Announcement { cell, name, agent, id } => {
                write!(f, "wayside/1/a/{}/{name}/{agent}/{id}", CellLevels(*cell))
            }
            Self::Presence(agent) => write!(f, "wayside/1/p/{agent}"),
            Self::Beacon { cell, agent } => write!(f, "wayside/1/b/{}/{agent}", CellLevels(*cell)),
            Self::Query(agent) => write!(f, "wayside/1/q/{agent}"),
            Self::Event(agent) => write!(f, "wayside/1/e/{agent}"),
            Self::Values { agent, id } => write!(f, "wayside/1/v/{agent}/{id}"),
        }
    }
}

/// Why a topic is not one of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// Nothing in `wayside/1/` looks like this.
    #[error("topic {given:?} is none of wayside/1/a, b, p, q, e, v with their levels")]
    Unknown {
        /// Its beginning.
        given: String,
    },
    /// It is of another version.
    #[error("topic version {given:?} is not {VERSION}")]
    Version {
        /// Which.
        given: String,
    },
    /// The cell is none.
    #[error(transparent)]
    Cell(#[from] CellError),
    /// A name in it is none.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl TopicError {
    fn unknown(topic: &str) -> Self {
        Self::Unknown { given: topic.chars().take(80).collect() }
    }
}

/// What to subscribe to.
pub mod filter {
    use super::{AgentId, Box, Cell, CellLevels};
    use crate::mqtt::cell::{Block, HYSTERESIS};
    use crate::place::{Distance, Position};
    use alloc::format;
    use alloc::vec::Vec;

    /// Announcements of everything that stands in a block; of everything without a place for `None`.
    pub fn announcements(block: Option<Block>) -> Box<str> {
        match block {
            Some(block) => format!("wayside/1/a/{block}/+/+/+/+").into(),
            None => unplaced_announcements(),
        }
    }

    /// Announcements of what has no place.
    pub fn unplaced_announcements() -> Box<str> {
        "wayside/1/a/-/-/+/+/+".into()
    }

    /// Announcements of everything everywhere.
    pub fn all_announcements() -> Box<str> {
        "wayside/1/a/+/+/+/+/+".into()
    }

    /// Announcements of what may stand in the circle of `radius` around `centre`, and of what has no place: by block,
    /// or of everything if those are too many. Room for [`HYSTERESIS`] is added.
    pub fn announcements_around(centre: &Position, radius: Distance) -> Vec<Box<str>> {
        match Block::cover(centre, widened(radius)) {
            Some(blocks) => {
                blocks.into_iter().map(|block| announcements(Some(block))).chain([unplaced_announcements()]).collect()
            }
            None => [all_announcements()].into(),
        }
    }

    /// Beacons from a cell.
    pub fn beacons(cell: Cell) -> Box<str> {
        format!("wayside/1/b/{cell}/+").into()
    }

    /// Beacons from a block of cells.
    pub fn beacons_in(block: Block) -> Box<str> {
        format!("wayside/1/b/{block}/+/+").into()
    }

    /// Beacons from everywhere.
    pub fn all_beacons() -> Box<str> {
        "wayside/1/b/+/+/+".into()
    }

    /// Beacons from beyond the map.
    pub fn unplaced_beacons() -> Box<str> {
        format!("wayside/1/b/{}/+", CellLevels(None)).into()
    }

    /// Beacons that may come from the circle of `radius` around `centre`: by cell, by block if those are too many, or
    /// all. Those from beyond the map are always among them. Room for [`HYSTERESIS`] is added.
    pub fn beacons_around(centre: &Position, radius: Distance) -> Vec<Box<str>> {
        let radius = widened(radius);
        if let Some(cells) = Cell::cover(centre, radius) {
            return cells.into_iter().map(beacons).chain([unplaced_beacons()]).collect();
        }
        match Block::cover(centre, radius) {
            Some(blocks) => blocks.into_iter().map(beacons_in).chain([unplaced_beacons()]).collect(),
            None => [all_beacons()].into(),
        }
    }

    /// Announcements from a cell.
    pub fn announcements_in(cell: Cell) -> Box<str> {
        format!("wayside/1/a/{cell}/+/+/+").into()
    }

    /// Announcements of what may stand in the circle of `radius` around `centre`, and of what has no place: by cell,
    /// by block if those are too many, or of everything. Room for [`HYSTERESIS`] is added.
    pub fn announcements_near(centre: &Position, radius: Distance) -> Vec<Box<str>> {
        match Cell::cover(centre, widened(radius)) {
            Some(cells) => cells.into_iter().map(announcements_in).chain([unplaced_announcements()]).collect(),
            None => announcements_around(centre, radius),
        }
    }

    /// Everything one other agent announces.
    pub fn announcements_of(agent: &AgentId) -> Box<str> {
        own_announcements(agent)
    }

    /// Whether one other agent is there.
    pub fn presence_of(agent: &AgentId) -> Box<str> {
        format!("wayside/1/p/{agent}").into()
    }

    /// Who is there.
    pub fn presences() -> Box<str> {
        "wayside/1/p/+".into()
    }

    /// Questions to an agent.
    pub fn queries(agent: &AgentId) -> Box<str> {
        format!("wayside/1/q/{agent}").into()
    }

    /// Everything an agent has announced, also in a former life.
    pub fn own_announcements(agent: &AgentId) -> Box<str> {
        format!("wayside/1/a/+/+/+/{agent}/+").into()
    }

    fn widened(radius: Distance) -> Distance {
        Distance::new(radius.as_metres() + HYSTERESIS.as_metres()).unwrap_or(Distance::FARTHEST)
    }
}

/// The two levels that name a cell, `-/-` for none.
struct CellLevels(Option<Cell>);

impl fmt::Display for CellLevels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(cell) => cell.fmt(f),
            None => f.write_str("-/-"),
        }
    }
}

fn cell(q10: &str, q5: &str) -> Result<Option<Cell>, CellError> {
    if (q10, q5) == ("-", "-") { Ok(None) } else { Cell::from_levels(q10, q5).map(Some) }
}

/// The version of everything under `wayside/`.
const VERSION: &str = "1";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mqtt::cell::Block;
    use crate::place::{Distance, Position};
    use alloc::string::ToString;

    #[test]
    fn a_topic_reads_as_it_is_written() {
        for text in [
            "wayside/1/a/-/-/charging/shell/cp1",
            "wayside/1/a/1202200110/12112/modbus.inverter/gw-7/inv-1",
            "wayside/1/b/1202200110/12112/car-17",
            "wayside/1/b/-/-/car-17",
            "wayside/1/p/gw-7",
            "wayside/1/q/gw-7",
            "wayside/1/e/gw-7",
            "wayside/1/v/gw-7/inverter-1a2b3c4d",
        ] {
            assert_eq!(Topic::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_beacons_topic_reads_the_same_without_a_copy() {
        for text in ["wayside/1/b/1202200110/12112/car-17", "wayside/1/b/-/-/car-17"] {
            let read = BeaconTopic::read(text).unwrap();
            let agent = read.agent.parse().unwrap();
            assert_eq!(Topic::parse(text), Ok(Topic::Beacon { cell: read.cell, agent }));
        }
        for other in [
            "wayside/1/b/1202200110/12112/car/x",
            "wayside/1/b/1202200110/1211/car",
            "wayside/1/p/car",
            "wayside/1/b/-/-",
        ] {
            assert_eq!(BeaconTopic::read(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_no_topic_of_ours_says_why() {
        let said = |text: &str| Topic::parse(text).unwrap_err().to_string();
        assert_eq!(
            said("home/1/p/gw"),
            "topic \"home/1/p/gw\" is none of wayside/1/a, b, p, q, e, v with their levels"
        );
        assert_eq!(said("wayside/2/p/gw"), "topic version \"2\" is not 1");
        for bad in [
            "",
            "wayside",
            "wayside/1",
            "wayside/1/",
            "wayside/1/p",
            "wayside/1/p/",
            "wayside/1/p/a/b",
            "wayside/1/p/a b",
            "wayside/1/p/+",
            "wayside/1/x/a",
            "wayside/1/a/-/-/Charging/shell/cp1",
            "wayside/1/a/-/-/charging/shell",
            "wayside/1/a/-/-/charging/shell/cp1/x",
            "wayside/1/a/-/12310/charging/shell/cp1",
            "wayside/1/b/1202200110/12314/car",
            "wayside/1/b/-/-/car/x",
        ] {
            assert!(Topic::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn filters_name_what_they_listen_to() {
        let block: Block = "1202200110".parse().unwrap();
        let cell: Cell = "1202200110/12112".parse().unwrap();
        let agent: AgentId = "gw-7".parse().unwrap();
        assert_eq!(&*filter::announcements(Some(block)), "wayside/1/a/1202200110/+/+/+/+");
        assert_eq!(&*filter::announcements(None), "wayside/1/a/-/-/+/+/+");
        assert_eq!(&*filter::beacons(cell), "wayside/1/b/1202200110/12112/+");
        assert_eq!(&*filter::unplaced_beacons(), "wayside/1/b/-/-/+");
        assert_eq!(&*filter::own_announcements(&agent), "wayside/1/a/+/+/+/gw-7/+");
        assert_eq!(&*filter::queries(&agent), "wayside/1/q/gw-7");
    }

    #[test]
    fn the_wider_the_circle_the_coarser_the_filters() {
        let paris = Position::new(48.8566, 2.3522).unwrap();
        let street = filter::beacons_around(&paris, Distance::metres(500));
        assert!(street.len() <= 10 && street.iter().any(|f| &**f == "wayside/1/b/1202200110/12112/+"));
        let county = filter::beacons_around(&paris, Distance::metres(20_000));
        assert!(county.iter().any(|f| &**f == "wayside/1/b/1202200110/+/+"));
        assert_eq!(filter::beacons_around(&paris, Distance::FARTHEST), [filter::all_beacons()]);
        let offers = filter::announcements_around(&paris, Distance::metres(500));
        assert!(offers.contains(&filter::unplaced_announcements()) && offers.len() <= 5);
        assert_eq!(filter::announcements_around(&paris, Distance::FARTHEST), [filter::all_announcements()]);
    }
}
