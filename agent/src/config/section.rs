//! One table of the configuration while it is read: keys are taken out, what is wrong is noted, what is left is unknown.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

use wayside_protocols::time::Duration;

use super::problem::{Findings, Origin, Problem};
use super::written::{Node, Table, Value};
use crate::words;

/// A table that may be written or not; either way its keys can be asked for.
pub(crate) struct Section<'t, 'f> {
    table: Option<&'t Table>,
    origin: Origin,
    path: String,
    asked: Vec<&'static str>,
    notes: &'f mut Notes,
}

/// What was found, and every key that was asked for (lists without their index), so that a test can hold
/// `defaults.toml` against it.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) findings: Findings,
    pub(crate) known: BTreeSet<String>,
}

/// What is wrong with one value: what, and a hint.
pub(crate) type Complaint = (String, String);

impl<'t, 'f> Section<'t, 'f> {
    /// The whole configuration.
    pub(crate) fn root(table: &'t Table, notes: &'f mut Notes) -> Self {
        Self { table: Some(table), origin: Origin::Nowhere, path: String::new(), asked: Vec::new(), notes }
    }

    /// Whether `key` is written.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.node(key).is_some()
    }

    /// Takes `key` and reads its value; a complaint is noted at its place.
    pub(crate) fn take<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&'t Node) -> Result<T, Complaint>,
    ) -> Option<T> {
        self.ask(key);
        match read(self.node(key)?) {
            Ok(value) => Some(value),
            Err((what, hint)) => {
                self.complain(key, what, hint);
                None
            }
        }
    }

    /// A text.
    pub(crate) fn text(&mut self, key: &'static str) -> Option<String> {
        self.take(key, |node| text(node).map(str::to_owned))
    }

    /// A text that stands for something else.
    pub(crate) fn parsed<T: FromStr<Err: Display>>(&mut self, key: &'static str, hint: &str) -> Option<T> {
        self.take(key, |node| {
            text(node)?.parse().map_err(|error: T::Err| (format!("is wrong: {error}"), hint.to_owned()))
        })
    }

    /// A path, taken from the directory of the file it is written in.
    pub(crate) fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        self.take(key, |node| {
            let written = text(node)?;
            if written.is_empty() {
                return Err(("is empty".to_owned(), "leave the key out for none".to_owned()));
            }
            Ok(match &node.origin {
                Origin::File(file, _) => file.with_file_name(written),
                Origin::Environment(_) | Origin::Nowhere => PathBuf::from(written),
            })
        })
    }

    /// A number in `low..=high`.
    pub(crate) fn number(&mut self, key: &'static str, low: f64, high: f64) -> Option<f64> {
        self.take(key, |node| {
            let given = read(node, "a number", Value::number)?;
            // A NaN compares false with everything, so it is refused here too.
            if given >= low && given <= high { Ok(given) } else { Err(outside(given, low, high)) }
        })
    }

    /// A whole number in `low..=high`.
    pub(crate) fn whole(&mut self, key: &'static str, low: u64, high: u64) -> Option<u64> {
        self.take(key, |node| {
            let given = read(node, "a whole number", Value::whole)?;
            let whole = u64::try_from(given).ok().filter(|whole| (low..=high).contains(whole));
            whole.ok_or_else(|| outside(given, low, high))
        })
    }

    /// Yes or no.
    pub(crate) fn flag(&mut self, key: &'static str) -> Option<bool> {
        self.take(key, |node| read(node, "true or false", Value::flag))
    }

    /// A duration with its unit, in `low..=high`.
    pub(crate) fn duration(&mut self, key: &'static str, low: Duration, high: Duration) -> Option<Duration> {
        self.take(key, |node| {
            if node.value.number().is_some() {
                return Err(("has no unit".to_owned(), "write it as text, like \"30s\"".to_owned()));
            }
            let given = words::duration(text(node)?).map_err(|error| (format!("is wrong: {error}"), String::new()))?;
            if (low..=high).contains(&given) {
                return Ok(given);
            }
            let (given, low, high) = (words::Span(given), words::Span(low), words::Span(high));
            Err(outside(given, low, high))
        })
    }

    /// A list of texts; in the environment, separated by commas.
    pub(crate) fn texts(&mut self, key: &'static str) -> Option<Vec<String>> {
        self.take(key, |node| match (node.value.list(), from_environment(node)) {
            (Some(list), _) => list.iter().map(|item| text(item).map(str::to_owned)).collect(),
            (None, Some(text)) => {
                Ok(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
            }
            (None, None) => Err(wrong_sort(&node.value, "a list of strings")),
        })
    }

    /// The table at `key`, read by `read` and then searched for keys that nobody asked for.
    pub(crate) fn table<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Section<'t, '_>) -> T) -> T {
        let table = self.take(key, table);
        let origin = self.node(key).map_or(Origin::Nowhere, |node| node.origin.clone());
        let path = self.full(key);
        self.below(table, origin, path, read)
    }

    /// Each table of the list at `key`, likewise.
    pub(crate) fn tables<T>(&mut self, key: &'static str, mut read: impl FnMut(&mut Section<'t, '_>) -> T) -> Vec<T> {
        let list = self.take(key, |node| {
            let hint = || format!("write [[{key}]], with two brackets");
            node.value.list().ok_or_else(|| (wrong_sort(&node.value, "a list of tables").0, hint()))
        });
        let mut found = Vec::new();
        for (index, node) in list.into_iter().flatten().enumerate() {
            let path = format!("{}[{index}]", self.full(key));
            match table(node) {
                Ok(table) => found.push(self.below(Some(table), node.origin.clone(), path, &mut read)),
                Err((what, hint)) => self.note(Problem { origin: node.origin.clone(), key: path, what, hint }),
            }
        }
        found
    }

    /// Every pair of the table at `key`, whose keys are free.
    pub(crate) fn pairs(&mut self, key: &'static str) -> Vec<(&'t str, &'t Node)> {
        let pairs = self.take(key, table);
        pairs.into_iter().flat_map(|table| &table.0).map(|(key, node)| (key.as_str(), node)).collect()
    }

    /// Notes what is wrong with `key`, at its own place or, if it is missing, at this table's.
    pub(crate) fn complain(&mut self, key: &str, what: impl Into<String>, hint: impl Into<String>) {
        let problem = self.finding(key, what.into(), hint.into());
        self.note(problem);
    }

    /// Notes what a person should know about `key`.
    pub(crate) fn warn(&mut self, key: &str, what: impl Into<String>, hint: impl Into<String>) {
        let problem = self.finding(key, what.into(), hint.into());
        self.notes.findings.warnings.push(problem);
    }

    fn below<T>(
        &mut self,
        table: Option<&'t Table>,
        origin: Origin,
        path: String,
        read: impl FnOnce(&mut Section<'t, '_>) -> T,
    ) -> T {
        let mut section = Section { table, origin, path, asked: Vec::new(), notes: self.notes };
        let value = read(&mut section);
        section.finish();
        value
    }

    /// Notes every key that nobody asked for. One from the environment is only a warning: others, such as a
    /// container platform, set variables that begin like ours.
    pub(crate) fn finish(&mut self) {
        let written = self.table.into_iter().flat_map(|table| table.0.keys());
        let unknown: Vec<&str> = written.map(String::as_str).filter(|key| !self.asked.contains(key)).collect();
        for key in unknown {
            let hint = words::nearest(key, &self.asked).map_or_else(
                || format!("known here: {}", self.asked.join(", ")),
                |near| format!("did you mean {near}?"),
            );
            if self.node(key).and_then(from_environment).is_some() {
                self.warn(key, "is not a known key; ignored", hint);
            } else {
                self.complain(key, "is not a known key", hint);
            }
        }
    }

    fn node(&self, key: &str) -> Option<&'t Node> {
        self.table?.0.get(key)
    }

    fn ask(&mut self, key: &'static str) {
        self.asked.push(key);
        let mut full = self.full(key);
        while let (Some(open), Some(close)) = (full.find('['), full.find(']')) {
            full.replace_range(open..=close, "");
        }
        self.notes.known.insert(full);
    }

    fn full(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn finding(&self, key: &str, what: String, hint: String) -> Problem {
        let origin = self.node(key).map_or(&self.origin, |node| &node.origin).clone();
        Problem { origin, key: self.full(key), what, hint }
    }

    fn note(&mut self, problem: Problem) {
        self.notes.findings.problems.push(problem);
    }
}

/// The text of a node.
pub(crate) fn text(node: &Node) -> Result<&str, Complaint> {
    node.value.text().ok_or_else(|| wrong_sort(&node.value, "a string"))
}

fn table(node: &Node) -> Result<&Table, Complaint> {
    node.value.table().ok_or_else(|| wrong_sort(&node.value, "a table"))
}

/// A value of one sort; in the environment everything is text and is read as that sort.
fn read<T: FromStr>(node: &Node, sort: &str, value: fn(&Value) -> Option<T>) -> Result<T, Complaint> {
    if let Some(given) = value(&node.value) {
        return Ok(given);
    }
    let text = from_environment(node).ok_or_else(|| wrong_sort(&node.value, sort))?;
    text.trim().parse().map_err(|_| (format!("is {text:?}, but must be {sort}"), String::new()))
}

/// The text of an environment variable.
fn from_environment(node: &Node) -> Option<&str> {
    if matches!(node.origin, Origin::Environment(_)) { node.value.text() } else { None }
}

fn wrong_sort(given: &Value, wanted: &str) -> Complaint {
    let hint = if wanted == "a string" { "put it in \"quotes\"" } else { "" };
    (format!("is {}, but must be {wanted}", given.sort()), hint.to_owned())
}

fn outside(given: impl Display, low: impl Display, high: impl Display) -> Complaint {
    (format!("is {given}, outside {low} to {high}"), String::new())
}
