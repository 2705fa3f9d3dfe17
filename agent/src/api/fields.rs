//! Reading an object field by field, so that every mistake can be named by its path.

use std::fmt::Display;
use std::str::FromStr;

use serde_json::{Map, Value};

use wayside_protocols::time::Duration;

use crate::api::problem::{MALFORMED, Problem};

/// The fields of one JSON object that were not read yet. [`Fields::finish`] refuses what nobody asked for.
#[derive(Debug)]
pub(crate) struct Fields {
    path: String,
    map: Map<String, Value>,
    known: Vec<&'static str>,
}

impl Fields {
    /// The fields of the outermost object.
    pub(crate) fn new(map: Map<String, Value>) -> Self {
        Self { path: String::new(), map, known: Vec::new() }
    }

    /// A body as an object. An empty body is an empty object.
    pub(crate) fn body(bytes: &[u8]) -> Result<Self, Problem> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::new(Map::new()));
        }
        let value = serde_json::from_slice(bytes).map_err(|error| Problem::new(&MALFORMED, error.to_string()))?;
        Self::object(String::new(), value)
    }

    fn object(path: String, value: Value) -> Result<Self, Problem> {
        if let Value::Object(map) = value {
            return Ok(Self { path, map, known: Vec::new() });
        }
        let path = if path.is_empty() { "(body)" } else { &path };
        Err(Problem::field(path, &value, "an object"))
    }

    /// The object in `name`.
    pub(crate) fn within(&mut self, name: &'static str) -> Result<Option<Self>, Problem> {
        self.take(name).map(|value| Self::object(self.at(name), value)).transpose()
    }

    /// The value in `name`; `null` counts as not there.
    pub(crate) fn take(&mut self, name: &'static str) -> Option<Value> {
        self.known.push(name);
        self.map.remove(name).filter(|value| !value.is_null())
    }

    /// Everything left, for objects whose keys are the caller's own.
    pub(crate) fn rest(&mut self) -> Map<String, Value> {
        std::mem::take(&mut self.map)
    }

    /// A finite number from `low` to `high`.
    pub(crate) fn number(&mut self, name: &'static str, low: f64, high: f64) -> Result<Option<f64>, Problem> {
        let Some(value) = self.take(name) else { return Ok(None) };
        match value.as_f64() {
            Some(number) if number >= low && number <= high => Ok(Some(number)),
            _ => Err(Problem::field(&self.at(name), &value, &format!("a number from {low} to {high}"))),
        }
    }

    /// A whole number from `low` to `high`.
    pub(crate) fn whole(&mut self, name: &'static str, low: u64, high: u64) -> Result<Option<u64>, Problem> {
        let Some(value) = self.take(name) else { return Ok(None) };
        // 60.0 is a whole number too; the cast saturates, and the range is checked after it.
        let integral =
            || value.as_f64().filter(|number| number.fract() == 0.0 && *number >= 0.0).map(|number| number as u64);
        match value.as_u64().or_else(integral) {
            Some(number) if number >= low && number <= high => Ok(Some(number)),
            _ => Err(Problem::field(&self.at(name), &value, &format!("a whole number from {low} to {high}"))),
        }
    }

    /// Yes or no; no if it is not there.
    pub(crate) fn flag(&mut self, name: &'static str) -> Result<bool, Problem> {
        match self.take(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(other) => Err(Problem::field(&self.at(name), &other, "true or false")),
        }
    }

    /// A text.
    pub(crate) fn text(&mut self, name: &'static str) -> Result<Option<String>, Problem> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(Problem::field(&self.at(name), &other, "a text")),
        }
    }

    /// A text that means something; what it may be is told by its own error.
    pub(crate) fn parsed<T: FromStr<Err: Display>>(&mut self, name: &'static str) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        text.parse().map(Some).map_err(|error| Problem::field(&self.at(name), &Value::from(text), &told(&error)))
    }

    /// A duration such as `20ms`, from 1 ms to `longest`.
    pub(crate) fn duration(&mut self, name: &'static str, longest: Duration) -> Result<Option<Duration>, Problem> {
        let Some(value) = self.take(name) else { return Ok(None) };
        value
            .as_str()
            .and_then(duration)
            .filter(|duration| *duration >= Duration::from_millis(1) && *duration <= longest)
            .map(Some)
            .ok_or_else(|| {
                let limit = format!("a duration such as 20ms, 5s or 2m, from 1ms to {}s", longest.as_secs());
                Problem::field(&self.at(name), &value, &limit)
            })
    }

    /// The path of `name` from the body down.
    pub(crate) fn at(&self, name: &str) -> String {
        if self.path.is_empty() { name.into() } else { format!("{}.{name}", self.path) }
    }

    /// Refuses whatever is left.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        match self.map.keys().next() {
            None => Ok(()),
            Some(key) => {
                let shown: String = key.chars().take(80).collect();
                Err(Problem::unknown_field(&self.at(&shown), &self.known.join(", ")))
            }
        }
    }
}

/// Reads `200ms`, `5s`, `2m` or `1h`; a fraction such as `0.5s` is fine.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(split);
    let seconds = number.parse::<f64>().ok()?
        * match unit.trim() {
            "us" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            _ => return None,
        };
    Duration::try_from_secs_f64(seconds).ok()
}

/// The part of a name's error after the value: the limit.
fn told(error: &impl Display) -> String {
    let text = error.to_string();
    text.split_once("not allowed: ").map_or(text.as_str(), |(_, limit)| limit).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_they_are_written() {
        assert_eq!(duration("200ms"), Some(Duration::from_millis(200)));
        assert_eq!(duration("0.5s"), Some(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Some(Duration::from_secs(120)));
        for bad in ["", "5", "s", "-1s", "1e9s", "5 parsecs", "1.2.3s", "9999999999999999999999h"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_field_nobody_asked_for_is_refused_by_its_path() {
        let mut body = Fields::body(br#"{"constraints":{"locaton":{}}}"#).unwrap();
        let mut inner = body.within("constraints").unwrap().unwrap();
        inner.within("location").unwrap();
        let problem = inner.finish().unwrap_err();
        assert_eq!(problem, Problem::unknown_field("constraints.locaton", "location"));
    }
}
