//! Who is meant behind one connection.

use core::fmt;
use core::str::FromStr;

/// The address of a device behind one connection ("unit identifier"). 1 to 247 are devices on a line; 0 is a broadcast
/// there and often the device itself on TCP, as is 255 (Messaging on TCP/IP V1.0b, 4.4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Unit(pub u8);

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A set of units, as `1-247` or `1,5,9-12` writes it.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Units([u64; 4]);

impl Units {
    /// Every address a device on a line can have: 1 to 247.
    pub fn devices() -> Self {
        (1..=247).map(Unit).collect()
    }

    /// Whether `unit` is one of them.
    pub fn contains(&self, unit: Unit) -> bool {
        self.0[usize::from(unit.0 / 64)] & (1 << (unit.0 % 64)) != 0
    }

    /// Adds `unit`.
    pub fn insert(&mut self, unit: Unit) {
        self.0[usize::from(unit.0 / 64)] |= 1 << (unit.0 % 64);
    }

    /// Takes `unit` out.
    pub fn remove(&mut self, unit: Unit) {
        self.0[usize::from(unit.0 / 64)] &= !(1 << (unit.0 % 64));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }

    /// All of them, in rising order.
    pub fn iter(&self) -> impl Iterator<Item = Unit> + '_ {
        (0..=u8::MAX).map(Unit).filter(|unit| self.contains(*unit))
    }
}

impl FromIterator<Unit> for Units {
    fn from_iter<I: IntoIterator<Item = Unit>>(units: I) -> Self {
        units.into_iter().fold(Self::default(), |mut set, unit| {
            set.insert(unit);
            set
        })
    }
}

impl fmt::Display for Units {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut units = self.iter().peekable();
        let mut comma = "";
        while let Some(first) = units.next() {
            let mut last = first;
            while let Some(next) = units.next_if(|next| next.0 == last.0.saturating_add(1)) {
                last = next;
            }
            match last == first {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
            comma = ",";
        }
        Ok(())
    }
}

impl fmt::Debug for Units {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Units({self})")
    }
}

impl FromStr for Units {
    type Err = UnitsError;

    fn from_str(text: &str) -> Result<Self, UnitsError> {
        let unit = |text: &str| text.trim().parse::<u8>().map_err(|_| UnitsError);
        text.split(',').try_fold(Self::default(), |mut set, part| {
            let (low, high) = match part.split_once('-') {
                Some((low, high)) => (unit(low)?, unit(high)?),
                None => (unit(part)?, unit(part)?),
            };
            if low > high {
                return Err(UnitsError);
            }
            (low..=high).for_each(|unit| set.insert(Unit(unit)));
            Ok(set)
        })
    }
}

/// Not a set of units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("units are written like \"1-247\" or \"1,5,9-12\", each 0 to 255")]
pub struct UnitsError;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_set_of_units_is_written_as_it_is_read() {
        for text in ["1-247", "1,5,9-12", "0-255", "255", "63-64,128"] {
            let units: Units = text.parse().unwrap();
            assert_eq!(units.to_string(), text);
            assert_eq!(units.len(), units.iter().count());
        }
        assert_eq!("3, 1-2".parse::<Units>().unwrap().to_string(), "1-3");
    }

    #[test]
    fn what_is_no_set_of_units_is_refused() {
        for bad in ["", "a", "256", "5-3", "1-", "-1", "1,,2", "1-2-3"] {
            assert_eq!(bad.parse::<Units>(), Err(UnitsError), "{bad}");
        }
    }
}
