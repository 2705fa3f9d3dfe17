//! The configuration as written: files and environment laid over each other, each value with its place.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::problem::{Origin, Problem};

/// A value, and where it is written.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// A value of any of TOML's sorts.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(String),
    Whole(i64),
    Number(f64),
    Flag(bool),
    Date,
    List(Vec<Node>),
    Table(Table),
}

impl Value {
    pub(crate) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub(crate) fn whole(&self) -> Option<i64> {
        if let Self::Whole(whole) = self { Some(*whole) } else { None }
    }

    /// A number, whole or not; no range in a configuration reaches 2^53, where whole ones begin to lose digits.
    pub(crate) fn number(&self) -> Option<f64> {
        if let Self::Number(number) = self { Some(*number) } else { self.whole().map(|whole| whole as f64) }
    }

    pub(crate) fn flag(&self) -> Option<bool> {
        if let Self::Flag(flag) = self { Some(*flag) } else { None }
    }

    pub(crate) fn list(&self) -> Option<&[Node]> {
        if let Self::List(list) = self { Some(list) } else { None }
    }

    pub(crate) fn table(&self) -> Option<&Table> {
        if let Self::Table(table) = self { Some(table) } else { None }
    }

    /// The sort, with its article, for `is a string, but must be a number`.
    pub(crate) fn sort(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Whole(_) => "a whole number",
            Self::Number(_) => "a number",
            Self::Flag(_) => "true or false",
            Self::Date => "a date",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// Keys with their values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table(pub(crate) BTreeMap<String, Node>);

impl Table {
    /// Lays `over` over this table: tables merge, lists of tables are appended (so that each file in `wayside.d` can
    /// bring a service of its own), everything else is replaced.
    pub(crate) fn lay(&mut self, over: Self) {
        for (key, node) in over.0 {
            match (self.0.get_mut(&key).map(|under| &mut under.value), node.value) {
                (Some(Value::Table(under)), Value::Table(table)) => under.lay(table),
                (Some(Value::List(under)), Value::List(list)) if all_tables(under) && all_tables(&list) => {
                    under.extend(list);
                }
                (_, value) => drop(self.0.insert(key, Node { value, origin: node.origin })),
            }
        }
    }

    /// Puts the value of environment variable `name` at `path`, replacing what is there.
    pub(crate) fn put(&mut self, path: &[&str], name: &str, value: &str) {
        let origin = Origin::Environment(Arc::from(name));
        let Some((last, above)) = path.split_last() else { return };
        let mut table = self;
        for key in above {
            let node = table
                .0
                .entry((*key).to_owned())
                .or_insert_with(|| Node { value: Value::Table(Self::default()), origin: origin.clone() });
            let Value::Table(below) = &mut node.value else { return };
            table = below;
        }
        table.0.insert((*last).to_owned(), Node { value: Value::Text(value.to_owned()), origin });
    }
}

/// Reads one TOML text. What cannot be parsed is a problem, and what can is used all the same, so that one missing
/// quote does not hide the other mistakes.
pub(crate) fn parse(path: &Path, text: &str, problems: &mut Vec<Problem>) -> Table {
    let place = Place { path: Arc::from(path), text };
    let (table, errors) = DeTable::parse_recoverable(text);
    problems.extend(errors.iter().map(|error| {
        let at = error.span().map_or(0, |span| span.start);
        Problem {
            origin: place.of(at),
            key: String::new(),
            what: error.message().lines().collect::<Vec<_>>().join(", "),
            hint: "this is not TOML; text needs \"quotes\", a table its [brackets]".to_owned(),
        }
    }));
    place.table(table.get_ref())
}

struct Place<'a> {
    path: Arc<Path>,
    text: &'a str,
}

impl Place<'_> {
    fn of(&self, at: usize) -> Origin {
        let line = 1 + self.text.bytes().take(at).filter(|byte| *byte == b'\n').count();
        Origin::File(Arc::clone(&self.path), line)
    }

    fn table(&self, table: &DeTable<'_>) -> Table {
        let entries = table.iter().map(|(key, value)| {
            let origin = self.of(key.span().start);
            (key.get_ref().to_string(), Node { value: self.value(value.get_ref()), origin })
        });
        Table(entries.collect())
    }

    fn value(&self, value: &DeValue<'_>) -> Value {
        match value {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(digits) => match i64::from_str_radix(digits.as_str(), digits.radix()) {
                Ok(whole) => Value::Whole(whole),
                Err(_) => Value::Number(digits.as_str().parse().unwrap_or(f64::INFINITY)),
            },
            DeValue::Float(digits) => Value::Number(digits.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(flag) => Value::Flag(*flag),
            DeValue::Datetime(_) => Value::Date,
            DeValue::Array(list) => Value::List(
                list.iter()
                    .map(|item| Node { value: self.value(item.get_ref()), origin: self.of(item.span().start) })
                    .collect(),
            ),
            DeValue::Table(table) => Value::Table(self.table(table)),
        }
    }
}

fn all_tables(list: &[Node]) -> bool {
    list.iter().all(|node| matches!(node.value, Value::Table(_)))
}
