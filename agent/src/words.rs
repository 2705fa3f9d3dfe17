//! What people write and read: durations with their unit, conditions, and words that are nearly right.

use std::fmt;

use wayside_core::query::{Comparison, Requirement};
use wayside_protocols::time::Duration;

/// Reads `200ms`, `5s`, `2m` or `1h`; a fraction such as `1.5s` too.
///
/// # Errors
/// [`NotADuration`] without a unit, or for what is negative, no number, or more than a hundred years.
pub fn duration(text: &str) -> Result<Duration, NotADuration> {
    let wrong = || NotADuration(text.chars().take(40).collect());
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let scale = match text.get(digits.len()..).unwrap_or_default() {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return Err(wrong()),
    };
    let number: f64 = digits.trim().parse().map_err(|_| wrong())?;
    if !(0.0..=CENTURY).contains(&(number * scale)) {
        return Err(wrong());
    }
    Duration::try_from_secs_f64(number * scale).map_err(|_| wrong())
}

const CENTURY: f64 = 3_155_760_000.0;

/// A text that is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a duration; write it like 200ms, 5s or 2m")]
pub struct NotADuration(String);

/// A duration as people write it: the largest unit that shows it in whole numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0.as_secs(), self.0.subsec_millis());
        match (seconds, millis) {
            (_, 1..) => write!(f, "{}ms", self.0.as_millis()),
            (0, 0) if !self.0.is_zero() => write!(f, "{}us", self.0.as_micros()),
            (s, 0) if s >= 3_600 && s % 3_600 == 0 => write!(f, "{}h", s / 3_600),
            (s, 0) if s >= 60 && s % 60 == 0 => write!(f, "{}m", s / 60),
            (s, 0) => write!(f, "{s}s"),
        }
    }
}

/// Reads `k=v`, `k>=n` or `k<=n`.
///
/// # Errors
/// [`NotARequirement`] for anything else, and for `>=` or `<=` with what is not a finite number.
pub fn requirement(text: &str) -> Result<Requirement, NotARequirement> {
    let wrong = || NotARequirement(text.chars().take(80).collect());
    let at = text.find(['=', '<', '>']).ok_or_else(wrong)?;
    let (key, rest) = text.split_at(at);
    let (comparison, value) = if let Some(value) = rest.strip_prefix(">=") {
        (Comparison::AtLeast, value)
    } else if let Some(value) = rest.strip_prefix("<=") {
        (Comparison::AtMost, value)
    } else {
        (Comparison::Equal, rest.strip_prefix('=').ok_or_else(wrong)?)
    };
    let (resource, value) = (key.trim(), value.trim());
    let Ok(written) = value.parse::<wayside_protocols::service::Value>();
    // `refresh<=1s`: what is measured in time counts in seconds.
    let parsed = match duration(value) {
        Ok(span) => wayside_protocols::service::Value::Number(span.as_secs_f64()),
        Err(_) => written,
    };
    let number = matches!(parsed, wayside_protocols::service::Value::Number(_));
    if resource.is_empty() || value.is_empty() || (comparison != Comparison::Equal && !number) {
        return Err(wrong());
    }
    Ok(Requirement { resource: resource.into(), comparison, value: parsed })
}

/// A text that is no condition on a resource.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a requirement; write it like connector=ccs2, power_kw>=22 or queue<=3")]
pub struct NotARequirement(String);

/// The one of `known` that `given` was probably meant to be: at most two letters changed, added, left out or swapped,
/// and less than half of the word.
pub fn nearest<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
    let flat = |word: &str| word.replace(['-', '_'], "").to_lowercase();
    let best = known.iter().map(|word| (edits(&flat(given), &flat(word)), *word)).min()?;
    (best.0 <= 2 && best.0 * 2 < given.chars().count()).then_some(best.1)
}

/// Levenshtein distance; 64 letters of each are looked at.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use wayside_protocols::service::Value;

    #[test]
    fn durations_read_as_people_write_them() {
        assert_eq!(duration("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1_500)));
        assert_eq!(duration(" 2m "), Ok(Duration::from_secs(120)));
        assert_eq!(duration("1h"), Ok(Duration::from_secs(3_600)));
        for bad in ["5", "", "s", "-1s", "nans", "infs", "1e30h", "5 parsecs", "5µs"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_span_is_written_so_that_it_reads_back() {
        for text in ["200ms", "5s", "90s", "2m", "1h", "250us"] {
            assert_eq!(Span(duration(text).unwrap()).to_string(), text);
        }
    }

    #[test]
    fn requirements_compare_numbers_and_match_words() {
        let at_least = requirement("power_kw>=22").unwrap();
        assert_eq!((at_least.comparison, at_least.value), (Comparison::AtLeast, Value::Number(22.0)));
        assert_eq!(requirement("plug = ccs2").unwrap().value, Value::Text("ccs2".into()));
        assert_eq!(requirement("queue<=3").unwrap().comparison, Comparison::AtMost);
        assert_eq!(requirement("refresh<=500ms").unwrap().value, Value::Number(0.5));
        assert_eq!(requirement("loss<=0.01").unwrap().value, Value::Number(0.01));
        for bad in ["power_kw", "=3", "k>", "k>=many", "k>3", "k=", "k>=nan"] {
            assert!(requirement(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_slip_of_the_pen_is_recognised_and_another_word_is_not() {
        assert_eq!(nearest("keepalive", &["url", "keep_alive"]), Some("keep_alive"));
        assert_eq!(nearest("intefaces", &["interfaces", "browse"]), Some("interfaces"));
        assert_eq!(nearest("colour", &["url", "browse"]), None);
        assert_eq!(nearest("x", &["id"]), None);
    }
}
