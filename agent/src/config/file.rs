//! Where the configuration is found: one file, the drop-ins beside it, and the environment over both.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::problem::{Origin, Problem};
use super::written::{self, Table};

/// The configuration as written.
#[derive(Clone, Debug, Default)]
pub struct ConfigFile {
    pub(super) table: Table,
    /// Files that cannot be read, and text that is not TOML.
    pub(super) unreadable: Vec<Problem>,
}

impl ConfigFile {
    /// Where it is looked for unless the caller names a file.
    pub const DEFAULT_PATH: &str = "/etc/wayside/wayside.toml";

    /// Reads `path` (the packaged one if `None`, and then only if it exists), the `*.toml` in `wayside.d` beside it in
    /// the order of their names, and the variables of `environment` that begin with `WAYSIDE_`. Tables merge,
    /// `[[service]]` and other lists of tables are appended, and a later value replaces an earlier one.
    ///
    /// A variable is named like its key: `WAYSIDE_ID` is `id`, `WAYSIDE_API_LISTEN` is `api.listen`,
    /// `WAYSIDE_API_TLS_CERT_FILE` is `api.tls.cert_file`. Lists are separated by commas. `WAYSIDE_AGENT` and
    /// `WAYSIDE_LOG` belong to the command line and the log.
    pub fn load(path: Option<&Path>, environment: impl Iterator<Item = (OsString, OsString)>) -> Self {
        let mut file = Self::default();
        let default = Path::new(Self::DEFAULT_PATH);
        if path.is_some() || default.exists() {
            file.add(path.unwrap_or(default));
        }
        for drop_in in drop_ins(path.unwrap_or(default)) {
            file.add(&drop_in);
        }
        let pairs = environment.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let mut pairs: Vec<_> = pairs.collect();
        pairs.sort();
        for (name, value) in pairs {
            file.set(&name, &value);
        }
        file
    }

    /// Reads `text` as if it stood in a file called `path`.
    pub fn parse(path: &Path, text: &str) -> Self {
        let mut file = Self::default();
        let table = written::parse(path, text, &mut file.unreadable);
        file.table.lay(table);
        file
    }

    fn add(&mut self, path: &Path) {
        match read(path) {
            Ok(text) => {
                let table = written::parse(path, &text, &mut self.unreadable);
                self.table.lay(table);
            }
            Err(what) => self.unreadable.push(Problem {
                origin: Origin::File(Arc::from(path), 1),
                key: String::new(),
                what,
                hint: "check the path and its permissions; without --config an agent needs no file".to_owned(),
            }),
        }
    }

    fn set(&mut self, name: &str, value: &str) {
        let Some(rest) = name.strip_prefix("WAYSIDE_") else { return };
        if matches!(rest, "AGENT" | "LOG") {
            return;
        }
        let key = rest.to_lowercase();
        let path: Vec<&str> = match SECTIONS.iter().find_map(|section| Some((*section, within(&key, section)?))) {
            Some((section, below)) => section.split('.').chain([below]).collect(),
            None => vec![&key],
        };
        self.table.put(&path, name, value);
    }
}

/// Tables that a variable may reach into; the longer first.
const SECTIONS: [&str; 9] = ["api.tls", "api", "position", "state", "mdns", "mqtt", "modbus", "registry", "limits"];

fn within<'a>(key: &'a str, section: &str) -> Option<&'a str> {
    key.strip_prefix(&section.replace('.', "_"))?.strip_prefix('_')
}

fn read(path: &Path) -> Result<String, String> {
    let length = fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?.len();
    if length > MAX_BYTES {
        return Err(format!("is {length} bytes long, more than {MAX_BYTES}"));
    }
    fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))
}

/// More is no configuration.
const MAX_BYTES: u64 = 1 << 20;

fn drop_ins(path: &Path) -> Vec<PathBuf> {
    let directory = path.with_file_name("wayside.d");
    let listed = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = listed.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    files.sort();
    files
}
