//! What is wrong with a configuration, and where it is written.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Where something is written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// In a file, on a line counted from 1.
    File(Arc<Path>, usize),
    /// In an environment variable.
    Environment(Arc<str>),
    /// Nowhere: it is missing, or built in.
    Nowhere,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Nowhere => f.write_str("configuration"),
        }
    }
}

/// One thing wrong, or one thing a person should know. Shown as two lines: what, and a hint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where it is written.
    pub origin: Origin,
    /// Which key, from the top, e.g. `service[0].port`; empty for a file that cannot be read at all.
    pub key: String,
    /// What is wrong: the value and the limit.
    pub what: String,
    /// What to do about it.
    pub hint: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if !self.key.is_empty() {
            write!(f, "{} ", self.key)?;
        }
        f.write_str(&self.what)?;
        if !self.hint.is_empty() {
            write!(f, "\n  hint: {}", self.hint)?;
        }
        Ok(())
    }
}

/// Everything found while a configuration was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Each of these alone keeps the configuration from being used.
    pub problems: Vec<Problem>,
    /// Worth knowing, but the configuration holds.
    pub warnings: Vec<Problem>,
}

/// All that is wrong with a configuration, in the order of the files and lines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{problem}")?;
        }
        Ok(())
    }
}
