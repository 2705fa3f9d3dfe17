//! The command line against an agent that runs: what it prints, and with which code it ends.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

const WAYSIDE: &str = env!("CARGO_BIN_EXE_wayside");

#[test]
fn what_is_near_is_found_and_what_is_not_is_not() {
    let agent = Agent::start("near", "");
    let cp1 = ["announce", "charging", "--port", "8080", "--address", "10.0.0.5", "--id", "cp1"];
    let announced = agent.wayside(&[&cp1[..], &["--at", "48.8566,2.3522", "--resource", "power_kw=22"]].concat());
    assert_eq!((code(&announced), out(&announced)), (0, "cp1@gw-7\n".to_owned()));

    let near = ["find", "charging", "--near", "48.8566,2.3530"];
    let found = agent.wayside(&[&near[..], &["--within", "100m", "--require", "power_kw>=22"]].concat());
    assert_eq!(code(&found), 0);
    assert!(out(&found).contains("59 m  W    cp1@gw-7  charging  gateway  10.0.0.5:8080  api"), "{}", out(&found));
    assert_eq!(code(&agent.wayside(&[&near[..], &["--within", "50m"]].concat())), 1);
    assert_eq!(code(&agent.wayside(&[&near[..], &["--within", "100m", "--require", "power_kw>=50"]].concat())), 1);

    assert_eq!(code(&agent.wayside(&["withdraw", "cp1"])), 0);
    assert_eq!(code(&agent.wayside(&["withdraw", "cp1"])), 1);
    assert_eq!(code(&agent.wayside(&[&near[..], &["--within", "100m"]].concat())), 1);
}

#[test]
fn every_shape_says_the_same() {
    let agent = Agent::start("shapes", "[[service]]\nname = \"parking\"\nport = 9000\nlat = 1.0\nlon = 2.0\n");
    let shown = |shape| out(&agent.wayside(&["find", "parking", "-o", shape]));
    let json: serde_json::Value = serde_json::from_str(&shown("json")).unwrap();
    assert_eq!(json["instances"][0]["id"], "parking@gw-7");
    for key in ["tier", "unreached", "explain"] {
        assert!(json.get(key).is_some(), "{key}");
    }
    let line: serde_json::Value = serde_json::from_str(shown("jsonl").trim_end()).unwrap();
    assert_eq!(line["name"], "parking");
    let features: serde_json::Value = serde_json::from_str(&shown("geojson")).unwrap();
    assert_eq!(features["features"][0]["geometry"]["coordinates"], serde_json::json!([2.0, 1.0]));
    assert!(shown("wide").contains("POSITION"), "{}", shown("wide"));
    assert!(!shown("table").contains('\u{1b}'), "off a terminal there is no colour");
}

#[test]
fn a_service_is_there_for_exactly_as_long_as_its_command_runs() {
    let agent = Agent::start("announce", "");
    let while_it_runs = format!("{WAYSIDE} show cam@gw-7 -o json; exit 7");
    let announce = ["announce", "cam", "--id", "cam", "--port", "8000", "--ttl", "3s", "--", "sh", "-c"];
    let ended = agent.wayside(&[&announce[..], &[&while_it_runs]].concat());
    assert_eq!(code(&ended), 7, "{}", String::from_utf8_lossy(&ended.stderr));
    assert!(out(&ended).contains("\"id\":\"cam@gw-7\""), "{}", out(&ended));
    assert_eq!(code(&agent.wayside(&["show", "cam@gw-7"])), 1);
    let missing = agent.wayside(&["announce", "cam", "--port", "8000", "--", "/nonexistent/command"]);
    assert_eq!(code(&missing), 127);
    assert_eq!(code(&agent.wayside(&["find", "cam"])), 1);
}

#[test]
fn a_command_is_told_to_end_and_its_service_goes_with_it() {
    let agent = Agent::start("signals", "");
    let script = "trap 'exit 5' TERM; echo up; while :; do read line; done";
    let mut announce = agent.command(&["announce", "cam", "--port", "8000", "--", "sh", "-c", script]);
    let mut announcing = announce.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut up = String::new();
    BufReader::new(announcing.stdout.take().unwrap()).read_line(&mut up).unwrap();
    assert_eq!(code(&agent.wayside(&["find", "cam"])), 0);
    signal(&announcing, "TERM");
    // A shell runs its trap between two commands; the end of its input ends the one it is in.
    drop(announcing.stdin.take());
    assert_eq!(announcing.wait().unwrap().code(), Some(5));
    assert_eq!(code(&agent.wayside(&["find", "cam"])), 1);
}

#[test]
fn nobody_there_is_4_and_nobody_answering_is_5() {
    let dir = scratch("nobody");
    let socket = dir.join("agent.sock");
    let ask = || Command::new(WAYSIDE).args(["services", "--timeout", "50ms", "--agent"]).arg(url(&socket)).output();
    assert_eq!(code(&ask().unwrap()), 4);
    let _deaf = UnixListener::bind(&socket).unwrap();
    assert_eq!(code(&ask().unwrap()), 5);
}

#[test]
fn all_mistakes_are_told_at_once_and_nothing_starts() {
    let dir = scratch("mistakes");
    let file = dir.join("w.toml");
    let text = "kind = \"truck\"\n[position]\nlat = 91\nlon = 2\n[mdns]\nenabled = \"yes\"\nbrowze = []\n[mqtt]\nurl = \"x\"\n";
    fs::write(&file, text).unwrap();
    for command in ["check", "run"] {
        let told = Command::new(WAYSIDE).args([command, "--config"]).arg(&file).output().unwrap();
        let text = String::from_utf8_lossy(&told.stderr).into_owned();
        assert_eq!(code(&told), 2, "{text}");
        for place in [
            "w.toml:1: kind",
            "w.toml:3: position.lat",
            "w.toml:6: mdns.enabled",
            "did you mean browse?",
            "w.toml:9: mqtt.url",
        ] {
            assert!(text.contains(place), "{place} is not in {text}");
        }
    }
}

#[test]
fn a_closed_pipe_is_success() {
    for command in [&["check", "--defaults"][..], &["man"], &["completions", "bash"]] {
        let mut writing = Command::new(WAYSIDE).args(command).stdout(Stdio::piped()).spawn().unwrap();
        drop(writing.stdout.take());
        assert!(writing.wait().unwrap().success(), "{command:?}");
    }
}

#[test]
fn a_watch_begins_with_the_whole_picture() {
    let agent = Agent::start("watch", "[[service]]\nname = \"parking\"\nport = 9000\n");
    let mut watching = agent.command(&["watch", "parking", "-o", "jsonl"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "{\"event\":\"reset\"}");
    let appeared: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!((&appeared["event"], &appeared["service"]["id"]), (&"appeared".into(), &"parking@gw-7".into()));
    signal(&watching, "TERM");
    watching.wait().unwrap();
}

#[test]
fn a_new_configuration_is_taken_over_and_a_bad_one_is_not() {
    let mut agent = Agent::start("reload", "[[service]]\nname = \"parking\"\nport = 9000\n");
    fs::write(&agent.file, agent.text("[[service]]\nname = \"toll\"\nport = 9001\n")).unwrap();
    signal(&agent.child, "HUP");
    agent.hears("configuration read anew");
    assert_eq!((code(&agent.wayside(&["find", "toll"])), code(&agent.wayside(&["find", "parking"]))), (0, 1));
    fs::write(&agent.file, agent.text("[[service]]\nname = \"Toll\"\n")).unwrap();
    signal(&agent.child, "HUP");
    agent.hears("the old configuration stays");
    assert_eq!(code(&agent.wayside(&["find", "toll"])), 0);
}

/// An agent without mDNS and MQTT whose API is a socket in a directory of its own.
struct Agent {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
    dir: PathBuf,
    file: PathBuf,
}

impl Agent {
    fn start(name: &str, more: &str) -> Self {
        let dir = scratch(name);
        let file = dir.join("wayside.toml");
        fs::write(&file, configuration(&dir, more)).unwrap();
        let mut command = Command::new(WAYSIDE);
        let mut child = command.args(["run", "--config"]).arg(&file).stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut agent = Self { child, log, dir, file };
        agent.hears("API is up");
        agent
    }

    fn text(&self, more: &str) -> String {
        configuration(&self.dir, more)
    }

    /// Waits until the agent's log says `words`.
    fn hears(&mut self, words: &str) {
        let said = self.log.by_ref().lines().map_while(Result::ok).any(|line| line.contains(words));
        assert!(said, "the agent ended without saying {words:?}");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(WAYSIDE);
        command.args(arguments).env("WAYSIDE_AGENT", url(&self.dir.join("agent.sock")));
        command
    }

    fn wayside(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        signal(&self.child, "TERM");
        let ended = self.child.wait().unwrap();
        assert!(ended.success() || std::thread::panicking(), "{ended}");
    }
}

fn configuration(dir: &Path, more: &str) -> String {
    let socket = dir.join("agent.sock");
    format!(
        "id = \"gw-7\"\n[api]\nlisten = \"{}\"\n[state]\ndir = \"state\"\n[mdns]\nenabled = false\n{more}",
        url(&socket)
    )
}

fn url(socket: &Path) -> String {
    format!("unix:{}", socket.display())
}

fn scratch(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("wayside-cli-{name}-{}", std::process::id()));
    drop(fs::remove_dir_all(&dir));
    fs::create_dir_all(&dir).unwrap();
    dir
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([format!("-{name}"), child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}
