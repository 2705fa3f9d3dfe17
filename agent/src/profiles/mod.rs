//! Device profiles as files: those that are compiled in, and those that somebody dropped into a directory.
//!
//! `agent/profiles/README.md` says for people how one is written.

mod file;
mod point;
mod rule;
mod shipped;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use wayside_protocols::modbus::profile::{Profile, Profiles};

use crate::config::problem::{Origin, Problem};

/// Where profiles of one's own are looked for unless the configuration says otherwise.
pub const DEFAULT_DIR: &str = "/etc/wayside/profiles.d";

/// The profiles that are compiled in. They are read when they are first asked for.
pub fn shipped() -> Arc<Profiles> {
    static SHIPPED: OnceLock<Arc<Profiles>> = OnceLock::new();
    let read = || {
        let texts = shipped::TEXTS.iter();
        // A test reads each of them, so that none can be wrong here.
        texts.filter_map(|(name, text)| file::read(Path::new(name), text, &mut Vec::new())).collect()
    };
    Arc::clone(SHIPPED.get_or_init(|| Arc::new(read())))
}

/// The profiles that are compiled in and those in `dir`; one there replaces a compiled one of the same id. What is wrong
/// with a file is told, and the others are used all the same. A directory that is not there has no files.
pub fn load(dir: &Path) -> (Arc<Profiles>, Vec<Problem>) {
    let mut problems = Vec::new();
    let paths = listed(dir, &mut problems);
    if paths.is_empty() {
        return (shipped(), problems);
    }
    let mut all = Profiles::clone(&shipped());
    for profile in read(&paths, &mut problems) {
        all.insert(profile);
    }
    (Arc::new(all), problems)
}

/// Everything that is wrong with `paths`, files or directories of them, in the order of the lines; and how many
/// profiles were looked at.
pub fn check(paths: &[PathBuf]) -> (usize, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() { files.extend(listed(path, &mut problems)) } else { files.push(path.clone()) }
    }
    read(&files, &mut problems);
    problems.sort();
    (files.len(), problems)
}

/// The profile in `text`, or everything that is wrong with it; `path` only says where it is from.
///
/// # Errors
/// As said.
pub fn parse(path: &Path, text: &str) -> Result<Profile, Vec<Problem>> {
    let mut problems = Vec::new();
    file::read(path, text, &mut problems).ok_or(problems)
}

fn listed(dir: &Path, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            problems.push(whole(dir, format!("cannot be read: {error}"), ""));
            return Vec::new();
        }
    };
    let toml = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "toml");
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(toml).collect();
    paths.sort();
    if paths.len() > MOST_FILES {
        problems.push(whole(dir, format!("has {} profiles", paths.len()), format!("at most {MOST_FILES} are read")));
        paths.truncate(MOST_FILES);
    }
    paths
}

fn read(paths: &[PathBuf], problems: &mut Vec<Problem>) -> Vec<Profile> {
    let mut taken: BTreeMap<Box<str>, &Path> = BTreeMap::new();
    let mut profiles = Vec::new();
    for path in paths {
        let text = match text(path) {
            Ok(text) => text,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        let Some(profile) = file::read(path, &text, problems) else { continue };
        match taken.get(&profile.id) {
            Some(other) => problems.push(whole(
                path,
                format!("has the id {}, as {} does", profile.id, other.display()),
                "give each profile an id of its own",
            )),
            None => {
                taken.insert(profile.id.clone(), path);
                profiles.push(profile);
            }
        }
    }
    profiles
}

fn text(path: &Path) -> Result<String, Problem> {
    let mut text = String::new();
    let read = fs::File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_string(&mut text));
    match read {
        Ok(length) if length as u64 > MOST_BYTES => {
            Err(whole(path, format!("is longer than {MOST_BYTES} bytes"), "a profile describes one device family"))
        }
        Ok(_) => Ok(text),
        Err(error) => Err(whole(path, format!("cannot be read: {error}"), "")),
    }
}

/// A problem of a file or directory as a whole.
fn whole(path: &Path, what: String, hint: impl Into<String>) -> Problem {
    Problem { origin: Origin::File(Arc::from(path), 1), key: String::new(), what, hint: hint.into() }
}

/// The most files in one directory.
const MOST_FILES: usize = 512;
/// The most bytes of one file.
const MOST_BYTES: u64 = 256 * 1024;
