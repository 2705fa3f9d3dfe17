//! A directory of a test's own.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, process, thread};

/// A directory that is removed with the value, unless the test fails: then it stays, and says where.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// A new, empty one below the system's directory for temporary files.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn new() -> Self {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("wayside-test-{}-{serial}", process::id()));
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of `name` in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes `name` in it and returns its path.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.file(name);
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("kept for a look: {}", self.0.display());
        } else {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_path_buf()
}

/// A script in `tests/peers`.
pub fn peer(script: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(script)
}

/// The Python that `tests/run` fitted out with the pinned packages.
///
/// # Panics
/// If it is not there.
pub fn python() -> PathBuf {
    python_of(".venv")
}

/// The Python that `tests/run` fitted out with Home Assistant.
///
/// # Panics
/// If it is not there.
pub fn python_of_home_assistant() -> PathBuf {
    python_of(".venv-homeassistant")
}

fn python_of(environment: &str) -> PathBuf {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join(environment).join("bin/python");
    assert!(python.exists(), "{} is missing; ./tests/run makes it", python.display());
    python
}
