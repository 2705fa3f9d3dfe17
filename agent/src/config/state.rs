//! The state directory: where registrations and the epoch survive a restart.

use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Where state is kept unless the configuration says otherwise.
pub const DEFAULT_DIR: &str = "/var/lib/wayside";

/// A directory that exists and takes files: `configured`, or, if that is the default and this user may not write
/// there, `$XDG_STATE_HOME/wayside` or `~/.local/state/wayside`.
///
/// # Errors
/// [`Unwritable`] if no such directory can be made.
pub fn directory(configured: &Path) -> Result<PathBuf, Unwritable> {
    let refused = match usable(configured) {
        Ok(()) => return Ok(configured.to_owned()),
        Err(error) => Unwritable { dir: configured.to_owned(), error },
    };
    if configured != Path::new(DEFAULT_DIR) {
        return Err(refused);
    }
    let home = own_directory().ok_or(refused)?;
    usable(&home).map_err(|error| Unwritable { dir: home.clone(), error })?;
    tracing::info!(dir = %home.display(), "{DEFAULT_DIR} is not for this user; state is kept here");
    Ok(home)
}

/// A directory that takes no files.
#[derive(Debug, thiserror::Error)]
#[error("state.dir {} cannot be written: {error}", dir.display())]
pub struct Unwritable {
    dir: PathBuf,
    #[source]
    error: io::Error,
}

/// A file in `dir` that belongs to somebody else than `dir` does, and whose the directory is, as `UID:GID`. An agent that
/// root once started leaves such files; they stay closed to the user it runs as later.
pub fn stray(dir: &Path) -> Option<(PathBuf, String)> {
    let owner = fs::metadata(dir).ok()?;
    let files = fs::read_dir(dir).ok()?.flatten();
    let stray =
        files.map(|file| file.path()).find(|file| fs::metadata(file).is_ok_and(|is| is.uid() != owner.uid()))?;
    Some((stray, format!("{}:{}", owner.uid(), owner.gid())))
}

fn own_directory() -> Option<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    // XDG base directories: a relative path there is to be ignored.
    let base = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")))?;
    Some(base.join("wayside"))
}

fn usable(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let probe = dir.join(".writable");
    fs::write(&probe, b"")?;
    fs::remove_file(&probe)
}
