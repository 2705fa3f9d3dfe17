//! How a device family is recognised: by what it says of itself, or by what stands in its registers.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use super::super::identity::Identity;
use super::point::Point;

/// How a device family is recognised.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    /// The maker's name, in device identification or SunSpec's common model; any of these fits.
    pub manufacturer: Vec<Pattern>,
    /// The model's name likewise.
    pub model: Vec<Pattern>,
    /// Whether the device also speaks SunSpec and what that says belongs to it.
    pub sunspec: bool,
    /// What its registers hold; the weights of all of them make 1 at the most.
    pub registers: Vec<Register>,
}

impl Rules {
    /// How sure the texts make it: `None` if they contradict, or if there is nothing to go by.
    pub fn texts(&self, identity: &Identity) -> Option<f32> {
        let fits = |patterns: &[Pattern], text: &Option<Box<str>>| match (patterns, text) {
            ([], _) => Some(false),
            (_, None) => None,
            (patterns, Some(text)) => patterns.iter().any(|pattern| pattern.fits(text)).then_some(true),
        };
        let name = fits(&self.model, &identity.model).or_else(|| fits(&self.model, &identity.name));
        match (fits(&self.manufacturer, &identity.manufacturer)?, name?) {
            (true, true) => Some(0.95),
            (false, true) => Some(0.7),
            (true, false) => Some(0.6),
            (false, false) => None,
        }
    }

    /// Whether `identity` says that it is something else.
    pub fn contradicted(&self, identity: &Identity) -> bool {
        let differs = |patterns: &[Pattern], text: &Option<Box<str>>| {
            !patterns.is_empty() && text.as_ref().is_some_and(|text| !patterns.iter().any(|pattern| pattern.fits(text)))
        };
        differs(&self.manufacturer, &identity.manufacturer)
            || (differs(&self.model, &identity.model) && differs(&self.model, &identity.name))
    }
}

/// A text with `*` for anything, upper and lower case alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// As written.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `text` is such a text. Takes time in proportion to both lengths at the most.
    pub fn fits(&self, text: &str) -> bool {
        let (pattern, text) = (self.0.as_bytes(), text.as_bytes());
        let (mut at, mut seen) = (0, 0);
        // Where the last star stood, and what it had swallowed when it was last tried.
        let mut star = None;
        while seen < text.len() {
            match pattern.get(at) {
                Some(b'*') => {
                    star = Some((at, seen));
                    at += 1;
                }
                Some(letter) if letter.eq_ignore_ascii_case(&text[seen]) => {
                    at += 1;
                    seen += 1;
                }
                _ => {
                    let Some((stood, swallowed)) = star else { return false };
                    star = Some((stood, swallowed + 1));
                    at = stood + 1;
                    seen = swallowed + 1;
                }
            }
        }
        pattern[at..].iter().all(|letter| *letter == b'*')
    }
}

/// What one point must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Register {
    /// Where it is read and how.
    pub point: Point,
    /// What it must be.
    pub expected: Expected,
    /// How much it says, over 0 to 1. What contradicts counts as much against.
    pub weight: f32,
}

/// What a register must hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    /// A number within these, scaled.
    Within(f64, f64),
    /// One of these numbers, after `mask` is laid over the bits as they come.
    Bits {
        /// Which bits count.
        mask: u64,
        /// What they may be.
        any: Vec<u64>,
    },
    /// A text that fits one of these.
    Text(Vec<Pattern>),
}

/// Shows what is expected, for people.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a>(pub &'a Expected);

impl fmt::Display for Wanted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Expected::Within(low, high) => write!(f, "{low} to {high}"),
            Expected::Bits { mask, any } => {
                for (index, bits) in any.iter().take(4).enumerate() {
                    write!(f, "{}{bits}", if index == 0 { "" } else { ", " })?;
                }
                if any.len() > 4 {
                    write!(f, " or {} more", any.len() - 4)?;
                }
                if *mask == u64::MAX { Ok(()) } else { write!(f, " under {mask:#x}") }
            }
            Expected::Text(patterns) => {
                let mut comma = "";
                for pattern in patterns {
                    write!(f, "{comma}{:?}", pattern.as_str())?;
                    comma = ", ";
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, text) in
            [("sdm*", "SDM630"), ("*meter*", "My Meter 3"), ("a*b*c", "aXXbYbZc"), ("*", ""), ("Acme", "ACME")]
        {
            assert!(Pattern::new(pattern).fits(text), "{pattern} {text}");
        }
        for (pattern, text) in [("sdm", "sdm6"), ("a*b", "ac"), ("", "a"), ("*x", "xy")] {
            assert!(!Pattern::new(pattern).fits(text), "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_do_not_take_forever() {
        let pattern = Pattern::new(&"*a".repeat(32));
        assert!(!pattern.fits(&"a".repeat(31)));
        assert!(!pattern.fits(&("a".repeat(64) + "b")));
    }
}
