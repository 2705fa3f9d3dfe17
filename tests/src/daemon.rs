//! A real process, from its start to its end.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::wait::eventually;

/// A running process. It is killed with the value; if the test fails, the end of what it wrote is shown.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    log: PathBuf,
    /// Whether what it has started ends with it.
    family: bool,
}

impl Daemon {
    /// Starts `command`. What it writes goes to `{name}.log` in `dir`, behind what an earlier one of that name wrote.
    ///
    /// # Panics
    /// If it cannot be started: a missing daemon fails the test, it never skips it.
    pub fn start(name: &str, mut command: Command, dir: &Path) -> Self {
        let log = dir.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log);
        let file = file.unwrap_or_else(|error| panic!("{}: {error}", log.display()));
        let twin = file.try_clone().unwrap_or_else(|error| panic!("{}: {error}", log.display()));
        command.stdin(Stdio::piped()).stdout(file).stderr(twin);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let stdin = child.stdin.take();
        Self { name: name.to_owned(), child, stdin, log, family: false }
    }

    /// As [`Daemon::start`]; whatever it starts itself is killed with it, unless that leaves its process group.
    ///
    /// # Panics
    /// As [`Daemon::start`].
    pub fn start_family(name: &str, mut command: Command, dir: &Path) -> Self {
        command.process_group(0);
        let mut daemon = Self::start(name, command, dir);
        daemon.family = true;
        daemon
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far, to both outputs.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The whole lines it has written so far that hold `part`.
    pub fn lines(&self, part: &str) -> Vec<String> {
        let log = self.log();
        let whole = log.rsplit_once('\n').map_or("", |(whole, _begun)| whole);
        whole.lines().filter(|line| line.contains(part)).map(str::to_owned).collect()
    }

    /// Waits until a line it wrote holds `part`, and returns that line.
    ///
    /// # Panics
    /// If there is none within `limit`, or the process ends before it wrote one.
    #[track_caller]
    pub fn says(&mut self, part: &str, limit: Duration) -> String {
        let what = format!("{} says {part:?}", self.name);
        eventually(limit, &what, || {
            let ended = self.ended();
            let line = self.lines(part).into_iter().next();
            assert!(line.is_some() || ended.is_none(), "{} ended ({ended:?}) before it said {part:?}", self.name);
            line
        })
    }

    /// Writes a line to its standard input.
    ///
    /// # Panics
    /// If it does not take it.
    pub fn tell(&mut self, line: &str) {
        let Some(stdin) = &mut self.stdin else { panic!("{} has no standard input", self.name) };
        let said = writeln!(stdin, "{line}").and_then(|()| stdin.flush());
        said.unwrap_or_else(|error| panic!("{} does not take {line:?}: {error}", self.name));
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) {
        if let Some(group) = self.id().filter(|_| self.family) {
            // The group outlives its leader; nobody else gets its number while anybody is in it.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends it a signal. One that has ended does not mind.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = self.id() {
            let _ = kill_process(pid, signal);
        }
    }

    fn id(&self) -> Option<Pid> {
        i32::try_from(self.pid()).ok().and_then(Pid::from_raw)
    }

    /// Asks it to end (SIGTERM) and waits for that.
    ///
    /// # Panics
    /// If it takes longer than 10 s.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        let what = format!("{} ends when asked to", self.name);
        eventually(Duration::from_secs(10), &what, || self.ended())
    }

    /// Waits for its end, and tells how.
    ///
    /// # Panics
    /// If it takes longer than `limit`.
    #[track_caller]
    pub fn end(&mut self, limit: Duration) -> ExitStatus {
        eventually(limit, &format!("{} ends", self.name), || self.ended())
    }

    /// Memory it holds (VmRSS), KiB. Of what runs under qemu-user only what is its own: the emulator, and what it has
    /// translated, is in the same process, but above the first terabyte.
    pub fn rss_kib(&self) -> u64 {
        let proc = PathBuf::from(format!("/proc/{}", self.pid()));
        let read = |name| fs::read_to_string(proc.join(name)).unwrap_or_default();
        let program = fs::read_link(proc.join("exe")).unwrap_or_default();
        if !program.file_name().is_some_and(|name| name.to_string_lossy().starts_with("qemu-")) {
            return read("status").lines().find_map(|line| kib(line, "VmRSS:")).unwrap_or(0);
        }
        let (mut own, mut all) = (false, 0);
        for line in read("smaps").lines() {
            if let Some(rss) = kib(line, "Rss:") {
                all += if own { rss } else { 0 };
            } else if let Some(start) = line.split_once('-').and_then(|(start, _)| u64::from_str_radix(start, 16).ok())
            {
                own = start < 1 << 40;
            }
        }
        all
    }
}

/// The number of a line such as `VmRSS:     3948 kB`.
fn kib(line: &str, name: &str) -> Option<u64> {
    line.strip_prefix(name)?.split_whitespace().next()?.parse().ok()
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(SHOWN)..];
            eprintln!("---- last of {} ({} lines in all)\n{}", self.name, lines.len(), tail.join("\n"));
        }
    }
}

/// Runs `command` to its end, with nothing on its standard input.
///
/// # Panics
/// If it cannot be started.
#[track_caller]
pub fn run(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output();
    output.unwrap_or_else(|error| panic!("{:?} does not start: {error}", command.get_program()))
}

/// What `command` writes to its standard output.
///
/// # Panics
/// If it cannot be started or fails.
#[track_caller]
pub fn output(command: &mut Command) -> String {
    let output = run(command);
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Lines shown of a daemon's log when a test fails.
const SHOWN: usize = 40;
