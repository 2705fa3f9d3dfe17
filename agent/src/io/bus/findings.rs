//! What a survey has found so far.

use std::collections::BTreeMap;

use wayside_protocols::modbus::survey::verdict::Verdict;
use wayside_protocols::modbus::survey::{Counts, Device};
use wayside_protocols::modbus::target::Target;
use wayside_protocols::modbus::unit::Unit;

use super::round::Event;

/// What a survey has found so far: every device once, and every host that was not asked to the end.
///
/// Holds at most [`MOST_DEVICES`] devices, and as many hosts as the segment has.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    devices: BTreeMap<(Target, Unit), Device>,
    left_alone: BTreeMap<Target, (Verdict, usize)>,
    /// Addresses where nobody listens.
    pub closed: usize,
    /// Addresses where nobody is, or nobody lets us.
    pub unreachable: usize,
    /// Devices beyond the cap, which are not kept.
    pub dropped: usize,
    /// What was done so far.
    pub counts: Counts,
}

/// Devices of one survey at the most.
pub const MOST_DEVICES: usize = 10_000;

impl Findings {
    /// Takes in what a survey tells.
    pub fn note(&mut self, event: Event, counts: Counts) {
        self.counts = counts;
        match event {
            Event::Found(device) => {
                // A device that was taken for one of its own was known as another before.
                for alias in device.aliases.iter() {
                    self.devices.remove(&(device.target.clone(), alias));
                }
                let place = (device.target.clone(), device.unit);
                if self.devices.len() < MOST_DEVICES || self.devices.contains_key(&place) {
                    self.devices.insert(place, *device);
                } else {
                    self.dropped += 1;
                }
            }
            Event::Ended { target, verdict, unasked } => {
                self.closed += usize::from(matches!(verdict, Verdict::Closed));
                self.unreachable += usize::from(matches!(verdict, Verdict::Unreachable(_)));
                // Most addresses of a network are vacant; of one that was named it is worth saying.
                if !verdict.complete() && (!verdict.vacant() || counts.addresses <= NAMED) {
                    self.left_alone.insert(target, (verdict, unasked));
                }
            }
        }
    }

    /// Every device, by its address and unit.
    pub fn devices(&self) -> impl Iterator<Item = &Device> {
        self.devices.values()
    }

    /// Every host that was not asked to the end, why, and how many of its units were not asked.
    pub fn left_alone(&self) -> impl Iterator<Item = (&Target, &Verdict, usize)> {
        self.left_alone.iter().map(|(target, (verdict, unasked))| (target, verdict, *unasked))
    }
}

/// So few addresses are named one by one.
const NAMED: usize = 16;
