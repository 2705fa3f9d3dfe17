//! The laws of the house that a program can check.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use wayside_tests::daemon::output;
use wayside_tests::place::repository;

#[test]
fn the_core_sees_no_runtime_no_socket_and_no_randomness() {
    let tree = dependencies(&["-p", "wayside-core"]);
    for banned in ["tokio", "mio", "socket2", "getrandom", "rand", "async-std", "rustix", "libc"] {
        assert!(!tree.contains(&banned.to_owned()), "wayside-core depends on {banned}: {tree:?}");
    }
}

#[test]
fn arrows_run_one_way() {
    let ours = |package| -> Vec<String> {
        let tree = dependencies(&["-p", package]);
        tree.into_iter().filter(|name| name.starts_with("wayside") && name != package).collect()
    };
    assert_eq!(ours("wayside-protocols"), Vec::<String>::new());
    assert_eq!(ours("wayside-core"), ["wayside-protocols"]);
}

#[test]
fn protocols_is_no_std_from_its_first_lines() {
    let root = read(&repository().join("protocols/src/lib.rs"));
    assert!(root.lines().any(|line| line == "#![no_std]"), "protocols/src/lib.rs lacks #![no_std]");
    for path in sources(&["protocols/src"]).into_iter().filter(|path| !of_a_test(path)) {
        let text = read(&path);
        let outside_tests = text.split("#[cfg(test)]").next().unwrap_or_default();
        assert!(!outside_tests.contains("std::") || !uses_std(outside_tests), "{} uses std", path.display());
    }
}

#[test]
fn one_file_reads_the_clock() {
    for path in sources(&["agent/src", "agent/core/src", "protocols/src"]) {
        let text = read(&path);
        // Tests read the paused clock of their runtime.
        if path.ends_with("clock.rs") || of_a_test(&path) {
            continue;
        }
        for clock in ["Instant::now(", "SystemTime::now(", "clock_gettime("] {
            assert!(!text.contains(clock), "{} reads a clock: {clock}…)", path.display());
        }
    }
}

#[test]
fn one_file_asks_whether_the_machine_has_atomics_of_64_bits() {
    for path in sources(&["protocols/src", "agent/src", "agent/core/src"]) {
        if path.ends_with("count.rs") {
            continue;
        }
        let text = read(&path);
        let standard = |line: &&str| {
            line.contains("sync::atomic")
                && ["AtomicU64", "AtomicI64", "atomic::*"].iter().any(|name| line.contains(name))
        };
        assert_eq!(text.lines().find(standard), None, "{}: ask crate::count", path.display());
    }
}

#[test]
fn no_file_has_more_than_500_lines() {
    for path in sources(&["protocols", "agent", "tests", "examples"]) {
        let lines = read(&path).lines().count();
        assert!(lines <= 500, "{} has {lines} lines", path.display());
    }
}

#[test]
fn nothing_is_left_for_later_or_left_out() {
    // Written in two halves, so that this file does not find itself.
    let refused =
        [["to", "do!("], ["unimple", "mented!("], ["#[ig", "nore"], ["dbg", "!("]].map(|halves| halves.concat());
    for path in sources(&["protocols", "agent", "tests", "examples"]) {
        let text = read(&path);
        for word in &refused {
            assert!(!text.contains(word.as_str()), "{} has {word}", path.display());
        }
    }
}

#[test]
fn no_test_sleeps() {
    let sleep = ["thread::", "sleep("].concat();
    for path in sources(&["protocols", "agent", "tests"]) {
        // Between two looks at a condition, with a deadline above it, is the one exception.
        if path.ends_with("tests/src/wait.rs") {
            continue;
        }
        assert!(!read(&path).contains(&sleep), "{} sleeps", path.display());
    }
}

#[test]
fn no_name_says_nothing() {
    for path in sources(&["protocols", "agent", "tests", "examples"]) {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        let empty = ["util", "utils", "helper", "helpers", "common", "misc", "types", "models", "manager"];
        assert!(!empty.contains(&stem.as_str()), "{}", path.display());
    }
}

/// Whether a file holds nothing but tests: it is called `tests.rs`, or stands in a folder `tests`.
fn of_a_test(path: &Path) -> bool {
    let inside = path.strip_prefix(repository()).unwrap_or(path);
    inside.ends_with("tests.rs") || inside.components().any(|part| part.as_os_str() == "tests")
}

fn dependencies(which: &[&str]) -> Vec<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .current_dir(repository())
        .args(["tree", "--locked", "-e", "normal", "--prefix", "none", "-f", "{p}"])
        .args(which);
    let mut names: Vec<String> =
        output(&mut cargo).lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

fn uses_std(text: &str) -> bool {
    text.lines().map(str::trim_start).any(|line| line.starts_with("use std::") || line.starts_with("extern crate std"))
}

fn sources(folders: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in folders {
        collect(&repository().join(folder), &mut found);
    }
    assert!(!found.is_empty(), "no source below {folders:?}");
    found
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && !name.starts_with('.') && name != "target" {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
