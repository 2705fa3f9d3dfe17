//! The built agent, run as a user runs it.
//!
//! A test package has no `CARGO_BIN_EXE`, so the binary is found by path: `TESTED_AGENT` if set, else
//! `target/release/wayside`, else `target/debug/wayside`. `tests/run` builds the release one; by hand:
//! `cargo build --release -p wayside`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{env, fs};

use serde_json::{Value, json};

use crate::daemon::{Daemon, run};
use crate::http::{Door, Reply};
use crate::net::Host;
use crate::place::{Scratch, repository};
use crate::wait::eventually;

/// A running agent, with a directory and a door of its own.
#[derive(Debug)]
pub struct Wayside {
    /// The process.
    pub daemon: Daemon,
    /// Where it listens: a Unix socket, reachable from outside its host.
    pub door: Door,
    dir: Scratch,
    setting: Setting,
}

/// Where an agent is started, and after what.
#[derive(Debug)]
struct Setting {
    host: Option<Host>,
    prelude: Option<String>,
    /// Where its API listens, if not at a Unix socket.
    at: Option<SocketAddr>,
}

/// What a command line did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Exit code; -1 if a signal ended it.
    pub code: i32,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Wayside {
    /// Starts an agent in `host`, or on this machine, and waits until it answers. `config` is TOML without `[api]` and
    /// `[state]`, which are the fixture's.
    ///
    /// # Panics
    /// If it does not answer within ten seconds.
    #[track_caller]
    pub fn start(host: Option<&Host>, config: &str) -> Self {
        Self::start_as(Setting { host: host.cloned(), prelude: None, at: None }, config)
    }

    /// Starts an agent on this machine in mounts of its own, after a shell has run `prelude` there; `$STATE` is the
    /// state directory, which exists.
    ///
    /// # Panics
    /// As [`Wayside::start`].
    #[track_caller]
    pub fn start_after(prelude: &str, config: &str) -> Self {
        Self::start_as(Setting { host: None, prelude: Some(prelude.to_owned()), at: None }, config)
    }

    /// Starts an agent on this machine whose API listens at `at`, a loopback address, so that other agents reach it.
    ///
    /// # Panics
    /// As [`Wayside::start`].
    #[track_caller]
    pub fn start_at(at: SocketAddr, config: &str) -> Self {
        let mut agent = Self::begin_at(at, config);
        agent.await_answer();
        agent
    }

    /// The same, but does not wait for it: it may have nothing to answer from yet.
    pub fn begin_at(at: SocketAddr, config: &str) -> Self {
        Self::begin(Setting { host: None, prelude: None, at: Some(at) }, config)
    }

    /// Starts an agent in `host` whose API listens at `at`, a loopback address of that host: only agents there reach it.
    ///
    /// # Panics
    /// If it is not up within ten seconds.
    #[track_caller]
    pub fn start_within(host: &Host, at: SocketAddr, config: &str) -> Self {
        let mut agent = Self::begin(Setting { host: Some(host.clone()), prelude: None, at: Some(at) }, config);
        agent.daemon.says("API is up", Duration::from_secs(10));
        agent
    }

    #[track_caller]
    fn start_as(setting: Setting, config: &str) -> Self {
        let mut agent = Self::begin(setting, config);
        agent.await_answer();
        agent
    }

    fn begin(setting: Setting, config: &str) -> Self {
        let dir = Scratch::new();
        let (socket, state) = (dir.file("agent.sock"), dir.file("state"));
        let door = setting.at.map_or(Door::Unix(socket), Door::Tcp);
        let listen = match &door {
            Door::Tcp(address) => address.to_string(),
            Door::Unix(path) => format!("unix:{}", path.display()),
        };
        let own = format!("[api]\nlisten = \"{listen}\"\n[state]\ndir = \"{}\"\n", state.display());
        dir.write("wayside.toml", &format!("{config}\n{own}"));
        let daemon = setting.spawn(&dir);
        Self { daemon, door, dir, setting }
    }

    /// Starts it again on the same configuration and state, after it ended, and waits until it answers.
    ///
    /// # Panics
    /// As [`Wayside::start`].
    #[track_caller]
    pub fn restart(&mut self) {
        self.begin_again();
        self.await_answer();
    }

    /// The same, but does not wait until it answers.
    pub fn begin_again(&mut self) {
        self.daemon.kill();
        self.daemon = self.setting.spawn(&self.dir);
    }

    /// Its directory: `wayside.toml`, `agent.sock`, `state/`, `wayside.log`.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Runs a command line against it.
    ///
    /// # Panics
    /// If the binary is not built.
    pub fn cli(&self, args: &[&str]) -> Ran {
        let mut command = self.setting.command(binary());
        command.args(args).env("WAYSIDE_AGENT", self.door.to_string());
        ran(&mut command)
    }

    /// Runs a reading command line and returns its JSON.
    ///
    /// # Panics
    /// If it writes none.
    #[track_caller]
    pub fn cli_json(&self, args: &[&str]) -> Value {
        let ran = self.cli(&[args, &["-o", "json"]].concat());
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{args:?}: {error}: {ran:?}"))
    }

    /// Asks its API.
    ///
    /// # Panics
    /// If no reply comes.
    #[track_caller]
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        self.door.ask(method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Its answer to a question in the words of `POST /v1/discovery/services`.
    ///
    /// # Panics
    /// If it refuses.
    #[track_caller]
    pub fn answer(&self, question: &Value) -> Value {
        let reply = self.ask("POST", "/v1/discovery/services", Some(question));
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.json()
    }

    /// The instances it knows of `service`, anywhere.
    #[track_caller]
    pub fn instances(&self, service: &str) -> Vec<Value> {
        let question = json!({"service_name": service, "limit": 1000, "all_tiers": true});
        let reply = self.ask("POST", "/v1/discovery/services", Some(&question));
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.json()["instances"].as_array().cloned().unwrap_or_default()
    }

    /// The instance of `service` whose id starts with `id`, if it knows it.
    #[track_caller]
    pub fn instance(&self, service: &str, id: &str) -> Option<Value> {
        self.instances(service).into_iter().find(|row| row["id"].as_str().is_some_and(|known| known.starts_with(id)))
    }

    /// Waits until it knows an instance of `service` whose id starts with `id`.
    ///
    /// # Panics
    /// If it does not within `limit`.
    #[track_caller]
    pub fn finds(&self, service: &str, id: &str, limit: Duration) -> Value {
        eventually(limit, &format!("{service} {id} is found"), || self.instance(service, id))
    }

    /// Waits until it no longer knows an instance of `service` whose id starts with `id`.
    ///
    /// # Panics
    /// If it still does after `limit`.
    #[track_caller]
    pub fn loses(&self, service: &str, id: &str, limit: Duration) {
        eventually(limit, &format!("{service} {id} is gone"), || self.instance(service, id).is_none().then_some(()));
    }

    /// Registers a service, given as `service_info`, and returns its id.
    ///
    /// # Panics
    /// If it is refused.
    #[track_caller]
    pub fn register(&self, service_info: Value) -> String {
        let reply = self.ask("POST", "/v1/discovery/registration", Some(&json!({ "service_info": service_info })));
        assert_eq!(reply.status, 201, "{}", reply.body);
        reply.json()["id"].as_str().unwrap_or_default().to_owned()
    }

    /// The sum of all its metrics whose name holds every one of `parts`; labels count as part of the name.
    #[track_caller]
    pub fn metric(&self, parts: &[&str]) -> f64 {
        let text = self.ask("GET", "/metrics", None).body;
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let named = lines.filter_map(|line| line.rsplit_once(' '));
        let chosen = named.filter(|(name, _)| parts.iter().all(|part| name.contains(part)));
        chosen.filter_map(|(_, value)| value.parse::<f64>().ok()).sum()
    }

    #[track_caller]
    fn await_answer(&mut self) {
        eventually(Duration::from_secs(10), "the agent answers", || {
            let ended = self.daemon.ended();
            assert!(ended.is_none(), "the agent ended: {ended:?}");
            self.door.ask("GET", "/v1/discovery/health", None).ok().filter(|reply| reply.status == 200)
        });
    }
}

impl Setting {
    fn spawn(&self, dir: &Scratch) -> Daemon {
        let mut command = match &self.prelude {
            None => self.command(binary()),
            Some(prelude) => {
                let state = dir.file("state");
                let script = format!("mkdir -p \"$STATE\" && {prelude}\nexec \"$0\" \"$@\"");
                let mut command = self.command("unshare");
                command.args(["-m", "sh", "-c", &script]).arg(binary()).env("STATE", state);
                command
            }
        };
        command.arg("run").arg("--config").arg(dir.file("wayside.toml"));
        Daemon::start("wayside", command, dir.path())
    }

    fn command(&self, program: impl AsRef<Path>) -> Command {
        self.host.as_ref().map_or_else(|| Command::new(program.as_ref()), |host| host.command(program.as_ref()))
    }
}

/// The built binary.
///
/// # Panics
/// If it is nowhere.
pub fn binary() -> PathBuf {
    if let Some(named) = env::var_os("TESTED_AGENT") {
        return named.into();
    }
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from);
    let built = ["release", "debug"].map(|profile| target.join(profile).join("wayside"));
    let found = built.into_iter().find(|path| fs::metadata(path).is_ok());
    found.unwrap_or_else(|| panic!("no wayside below {}: cargo build --release -p wayside", target.display()))
}

/// Runs the binary with `args`, without an agent.
pub fn wayside(args: &[&str]) -> Ran {
    ran(Command::new(binary()).args(args))
}

/// Runs `command` to its end.
pub fn ran(command: &mut Command) -> Ran {
    let output = run(command);
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
