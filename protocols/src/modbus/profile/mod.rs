//! What is known of a device family beforehand: how to recognise it, and which register means what.

pub mod point;
pub mod rule;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

pub use point::{Format, Meaning, Order, Point, Scale, Sort};
pub use rule::{Expected, Pattern, Register, Rules, Wanted};

use crate::time::Duration;

/// One device family.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Its name among the profiles, like `eastron-sdm630`.
    pub id: Box<str>,
    /// Who makes it.
    pub manufacturer: Box<str>,
    /// The models it is right for, as people write them.
    pub models: Vec<Box<str>>,
    /// What sort of device it is.
    pub class: Class,
    /// How it is recognised.
    pub rules: Rules,
    /// What may be asked of it at once, and how fast.
    pub limits: Limits,
    /// Which points are read together, and how often.
    pub groups: Vec<Group>,
    /// Its values, each with a name of its own.
    pub points: Vec<Point>,
    /// Where these facts are from.
    pub source: Box<str>,
    /// Under which licence the source stands.
    pub licence: Box<str>,
}

impl Profile {
    /// The point called `name`.
    pub fn point(&self, name: &str) -> Option<&Point> {
        self.points.iter().find(|point| *point.name == *name)
    }

    /// The point that holds the serial number, if there is one.
    pub fn serial(&self) -> Option<&Point> {
        self.point("serial").filter(|point| point.sort == Sort::Identity)
    }
}

/// What sort of device it is. A device becomes the service `modbus.` and this word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Turns direct current into alternating current, or both ways.
    Inverter,
    /// Measures electricity, heat, gas or water.
    Meter,
    /// Stores electricity.
    Battery,
    /// Turns a motor.
    Drive,
    /// Switches, or has digital or analogue inputs and outputs.
    Relay,
    /// Heats, cools or ventilates.
    Hvac,
    /// Charges vehicles.
    Charger,
    /// Measures something else.
    Sensor,
    /// Runs programs of its owner.
    Plc,
    /// Whatever else, and what is not known.
    Other,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 10] = [
        Self::Inverter,
        Self::Meter,
        Self::Battery,
        Self::Drive,
        Self::Relay,
        Self::Hvac,
        Self::Charger,
        Self::Sensor,
        Self::Plc,
        Self::Other,
    ];

    /// The word for it in profiles and service names.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inverter => "inverter",
            Self::Meter => "meter",
            Self::Battery => "battery",
            Self::Drive => "drive",
            Self::Relay => "relay",
            Self::Hvac => "hvac",
            Self::Charger => "charger",
            Self::Sensor => "sensor",
            Self::Plc => "plc",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Class {
    type Err = UnknownClass;

    fn from_str(text: &str) -> Result<Self, UnknownClass> {
        Self::ALL.into_iter().find(|class| class.as_str() == text).ok_or(UnknownClass)
    }
}

/// Not a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a class is inverter, meter, battery, drive, relay, hvac, charger, sensor, plc or other")]
pub struct UnknownClass;

/// What a device can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most registers in one request, 1 to 125. With 1, each request asks for one register and no other.
    pub max_registers: u16,
    /// The most coils or discrete inputs in one request, 1 to 2,000.
    pub max_bits: u16,
    /// How many addresses nobody wants may be read between two that somebody wants.
    pub max_gap: u16,
    /// How long it needs after a connection is made.
    pub pause_after_connect: Duration,
    /// The least time from one request to the next.
    pub min_interval: Duration,
}

impl Default for Limits {
    /// What the specification allows, across gaps of up to 8.
    fn default() -> Self {
        Self {
            max_registers: 125,
            max_bits: 2_000,
            max_gap: 8,
            pause_after_connect: Duration::ZERO,
            min_interval: Duration::ZERO,
        }
    }
}

/// Points that are read together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name in the profile.
    pub name: Box<str>,
    /// How often its values are worth reading.
    pub every: Duration,
    /// Instead of the profile's [`Limits::max_registers`].
    pub max_registers: Option<u16>,
    /// Instead of the profile's [`Limits::max_gap`].
    pub max_gap: Option<u16>,
}

/// Every profile that is known, by its id.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profiles(BTreeMap<Box<str>, Arc<Profile>>);

impl Profiles {
    /// The profile called `id`.
    pub fn get(&self, id: &str) -> Option<&Arc<Profile>> {
        self.0.get(id)
    }

    /// All of them, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Profile>> {
        self.0.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds `profile`; gives back the one of the same id that it replaces.
    pub fn insert(&mut self, profile: Profile) -> Option<Arc<Profile>> {
        self.0.insert(profile.id.clone(), Arc::new(profile))
    }
}

impl FromIterator<Profile> for Profiles {
    fn from_iter<I: IntoIterator<Item = Profile>>(profiles: I) -> Self {
        Self(profiles.into_iter().map(|profile| (profile.id.clone(), Arc::new(profile))).collect())
    }
}
