//! From registers to values: right, or an error, never a guess.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write as _;

use super::identity::cleaned;
use super::profile::{Format, Meaning, Order, Point, Scale};
use super::reply::Exception;
use crate::service::Value;

/// What a device said of one point.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Which point.
    pub point: Box<str>,
    /// Its value, scaled; or why there is none.
    pub value: Result<Value, Missing>,
    /// The unit of the value; empty for none.
    pub unit: Box<str>,
}

/// Why a point has no value.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Missing {
    /// The device says that it does not have it.
    #[error("the device does not have it")]
    NotImplemented,
    /// The device refuses.
    #[error("the device refuses: {0}")]
    Refused(Exception),
    /// No answer in time, or one that was no answer.
    #[error("no answer")]
    Unanswered,
    /// What came lies outside what the profile says it can be.
    #[error("{value} lies outside {low} to {high}")]
    Outside {
        /// What came, scaled.
        value: f64,
        /// The least that is believed.
        low: f64,
        /// The most.
        high: f64,
    },
    /// A number so large that it cannot be shown without losing digits.
    #[error("{0} is too large to be kept exactly")]
    TooLarge(i128),
    /// A float that is infinite.
    #[error("the value is infinite")]
    Infinite,
    /// A state without a name.
    #[error("{0} is none of the states in the profile")]
    NoSuchState(u64),
    /// A power of ten beyond -10 to 10.
    #[error("{0} is no power of ten from -10 to 10")]
    Exponent(i16),
    /// There is no such point.
    #[error("there is no such point")]
    NoSuchPoint,
}

/// The value of `point` from its registers, and from the register its power of ten stands in.
///
/// # Errors
/// [`Missing`] if there is none, or it cannot be told without guessing.
pub fn value(point: &Point, words: &[u16], exponent: Option<u16>) -> Result<Value, Missing> {
    if words.len() != usize::from(point.width()) {
        return Err(Missing::Unanswered);
    }
    if let Format::Text(_) = point.format {
        // Letters stand in the order they are read, whichever register of a number comes first.
        let swapped = if point.order.bytes_swapped() { Order::Badc } else { Order::Abcd };
        let text = cleaned(&bytes(words, swapped), MOST_TEXT).ok_or(Missing::NotImplemented)?;
        return Ok(Value::Text(text));
    }
    let raw = raw(words, point.order);
    if point.absent.contains(&raw) {
        return Err(Missing::NotImplemented);
    }
    match &point.meaning {
        Meaning::States(states) => {
            let word = states.iter().find(|(number, _)| *number == raw).map(|(_, word)| word.clone());
            return word.map(Value::Text).ok_or(Missing::NoSuchState(raw));
        }
        Meaning::Flags(flags) => return Ok(Value::Text(raised(raw, point.width(), flags))),
        Meaning::Number => {}
    }
    let number = match point.format {
        Format::Flag(bit) => return Ok(Value::Flag(raw >> (bit & 15) & 1 == 1)),
        // The casts keep the bits: that is two's complement.
        Format::U16 | Format::U32 | Format::U64 => whole(i128::from(raw))?,
        Format::I16 => whole(i128::from(raw as u16 as i16))?,
        Format::I32 => whole(i128::from(raw as u32 as i32))?,
        Format::I64 => whole(i128::from(raw as i64))?,
        Format::F32 => finite(shortest(f32::from_bits(raw as u32)))?,
        Format::F64 => finite(f64::from_bits(raw))?,
        Format::Text(_) => return Err(Missing::NotImplemented),
    };
    let mut number = match exponent {
        Some(word) => ten_to(word as i16)?.apply(number, 0.0),
        None => number,
    };
    if point.scale != Scale::ONE || point.offset != 0.0 {
        number = point.scale.apply(number, point.offset);
    }
    let number = finite(number)?;
    match point.range {
        Some((low, high)) if !(low..=high).contains(&number) => Err(Missing::Outside { value: number, low, high }),
        _ => Ok(Value::Number(number)),
    }
}

/// The bits of up to four registers, the most significant first.
pub(super) fn raw(words: &[u16], order: Order) -> u64 {
    bytes(words, order).iter().fold(0, |bits, byte| bits << 8 | u64::from(*byte))
}

fn bytes(words: &[u16], order: Order) -> Vec<u8> {
    let one = |word: &u16| if order.bytes_swapped() { word.to_le_bytes() } else { word.to_be_bytes() };
    if order.registers_reversed() {
        words.iter().rev().flat_map(one).collect()
    } else {
        words.iter().flat_map(one).collect()
    }
}

/// Beyond 2^53 a double no longer holds every whole number.
fn whole(number: i128) -> Result<f64, Missing> {
    if number.unsigned_abs() <= 1 << 53 { Ok(number as f64) } else { Err(Missing::TooLarge(number)) }
}

/// A float is not a number where the device has none.
fn finite(number: f64) -> Result<f64, Missing> {
    match number {
        _ if number.is_nan() => Err(Missing::NotImplemented),
        _ if number.is_infinite() => Err(Missing::Infinite),
        _ => Ok(number),
    }
}

/// The double that reads like the float: 230.1, and not 230.10000610351562.
fn shortest(float: f32) -> f64 {
    float.to_string().parse().unwrap_or_else(|_| f64::from(float))
}

fn ten_to(exponent: i16) -> Result<Scale, Missing> {
    let power = |exponent: i16| (0..exponent).fold(1.0, |power, _| power * 10.0);
    match exponent {
        i16::MIN => Err(Missing::NotImplemented),
        0..=10 => Ok(Scale::Times(power(exponent))),
        -10..0 => Ok(Scale::Over(power(-exponent))),
        _ => Err(Missing::Exponent(exponent)),
    }
}

/// The words of the flags that are up, and the number of each bit that has no word.
fn raised(raw: u64, registers: u16, flags: &[(u8, Box<str>)]) -> Box<str> {
    let mut text = String::new();
    for bit in 0..16 * registers.min(4) {
        if raw >> bit & 1 == 1 {
            if !text.is_empty() {
                text.push_str(", ");
            }
            // Writing to a String cannot fail.
            let _ = match flags.iter().find(|(number, _)| u16::from(*number) == bit) {
                Some((_, word)) => text.write_str(word),
                None => write!(text, "bit {bit}"),
            };
        }
    }
    if text.is_empty() { "none".into() } else { text.into() }
}

/// The most bytes of a text: as many as 125 registers hold.
const MOST_TEXT: usize = 250;
