//! Secrets that lie in files.

use std::fs;
use std::io;
use std::path::Path;

/// What is in the file at `path`; a line end at its end does not belong to it.
///
/// # Errors
/// The file cannot be read.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut secret = fs::read(path)?;
    while secret.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        secret.pop();
    }
    Ok(secret)
}
