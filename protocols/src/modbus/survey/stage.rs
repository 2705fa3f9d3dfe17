//! Where the interview of a host stands.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::alias::{Alias, excuses};
use crate::modbus::identify::{Identified, Inquiry};
use crate::modbus::reply::{Exception, Reply};
use crate::modbus::unit::{Unit, Units};
use crate::time::Duration;

/// What went wrong so far: in all, and in a row since the last reply.
#[derive(Default)]
pub(super) struct Misses {
    pub(super) silent: u32,
    pub(super) in_row: u8,
    pub(super) lost: u8,
    pub(super) garbled: u8,
    pub(super) busy: u8,
}

pub(super) struct Found {
    pub(super) unit: Unit,
    pub(super) opening: Reply,
    pub(super) identified: Identified,
    pub(super) rtt: Duration,
    pub(super) aliases: Units,
}

/// Something to tell about a unit.
pub(super) enum Finding {
    /// A device, with the time its replies took in the middle.
    Device(Unit, Identified, Duration),
    /// The device at the first unit answers at these others as well.
    Aliases(Unit, Identified, Duration, Units),
}

pub(super) enum Stage {
    /// Nobody is being asked: the next unit, please.
    Between,
    /// Is this one there?
    Presence(Unit),
    /// It said something that may mean both; another question tells.
    Again(Unit, Exception),
    /// Who is it?
    Inquiry(Box<Inquiring>),
    /// Is it the same one at another unit?
    Alias(Box<Alias>),
}

pub(super) struct Inquiring {
    pub(super) unit: Unit,
    pub(super) inquiry: Inquiry,
    pub(super) opening: Reply,
    /// Whether it ever said more than an exception.
    pub(super) data: bool,
    /// How it excused itself when it was asked what it holds, as long as it did nothing else.
    pub(super) excuse: Excuse,
    pub(super) rtts: Vec<Duration>,
    pub(super) asked: u8,
}

/// What came of asking a unit what it holds.
#[derive(Clone, Copy)]
pub(super) enum Excuse {
    /// It was not asked.
    Unasked,
    /// Nothing but this, which may mean that nobody is there.
    Only(Exception),
    /// It holds something, or knows what it does not hold.
    None,
}

impl Excuse {
    /// What it is after `reply` to a request to read.
    pub(super) fn after(self, reply: &Reply) -> Self {
        match (self, reply) {
            (Self::Unasked | Self::Only(_), Reply::Exception(exception)) if excuses(*exception) => {
                Self::Only(*exception)
            }
            (Self::Unasked | Self::Only(_) | Self::None, _) => Self::None,
        }
    }
}
