//! What the pages for people say is what happens: every block of commands marked `sh` is run.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use wayside_tests::daemon::Daemon;
use wayside_tests::net::{Family, Host, Net};
use wayside_tests::place::{Scratch, repository};
use wayside_tests::wait::eventually;
use wayside_tests::wayside::{binary, ran, wayside};

#[test]
fn the_commands_of_installing_work() {
    run("INSTALL.md");
}

#[test]
fn the_commands_of_configuring_work() {
    run("CONFIGURATION.md");
}

#[test]
fn the_commands_of_the_http_api_work() {
    run("HTTP.md");
}

#[test]
fn the_commands_of_mqtt_work() {
    run("MQTT.md");
}

#[test]
fn the_commands_of_security_work() {
    run("SECURITY.md");
}

#[test]
fn the_commands_of_troubleshooting_work() {
    run("TROUBLESHOOTING.md");
}

#[test]
fn the_configuration_reference_is_what_the_agent_prints() {
    let told = wayside(&["check", "--defaults"]).stdout;
    assert_eq!(blocks(&page("CONFIGURATION.md"), "toml"), [told.trim_end()], "copy what `check --defaults` prints");
}

#[test]
fn every_link_of_the_pages_leads_somewhere() {
    let docs = repository().join("docs");
    for entry in
        fs::read_dir(&docs).unwrap().flatten().filter(|entry| entry.path().extension().is_some_and(|e| e == "md"))
    {
        let text = fs::read_to_string(entry.path()).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            assert!(link.starts_with("http") || docs.join(link).exists(), "{:?}: {link}", entry.path());
        }
    }
}

/// Runs the blocks of a page in one shell, in a network of their own with mosquitto at its port and the agent at its own.
fn run(name: &str) {
    let mut net = Net::new();
    let (host, scratch) = (net.host(Family::Both), Scratch::new());
    let (_mosquitto, _agent) = (mosquitto(&host, &scratch), agent(&host, &scratch));
    let bin = scratch.file("bin");
    fs::create_dir(&bin).unwrap();
    symlink(binary(), bin.join("wayside")).unwrap();

    let blocks = blocks(&page(name), "sh");
    assert!(!blocks.is_empty(), "{name} has no commands");
    let script = scratch.write("page.sh", &blocks.join("\n"));
    let mut command = host.command("timeout");
    command.args(["60", "bash", "-euxo", "pipefail"]).arg(script).current_dir(scratch.path());
    command.env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
    let ran = ran(&mut command);
    assert_eq!(ran.code, 0, "{name}:\n{}\n{}", ran.stdout, ran.stderr);
}

fn mosquitto(host: &Host, scratch: &Scratch) -> Daemon {
    let config = scratch.write("mosquitto.conf", "listener 1883\nallow_anonymous true\nuser root\n");
    let mut command = host.command("mosquitto");
    command.arg("-c").arg(config);
    let daemon = Daemon::start("mosquitto", command, scratch.path());
    let heard = || ran(host.command("mosquitto_pub").args(["-t", "first", "-m", "x"])).code == 0;
    eventually(SOON, "mosquitto takes messages", || heard().then_some(()));
    daemon
}

/// The agent of `MQTT.md`.
fn agent(host: &Host, scratch: &Scratch) -> Daemon {
    let config = blocks(&page("MQTT.md"), "toml").remove(0);
    let config = format!("{config}\n[state]\ndir = \"{}\"\n", scratch.file("state").display());
    let file = scratch.write("agent.toml", &config);
    let mut command = host.command(binary());
    command.arg("run").arg("--config").arg(file);
    let daemon = Daemon::start("wayside", command, scratch.path());
    let well = ran(host.command(binary()).args(["health", "--wait", "20s"]));
    assert_eq!(well.code, 0, "{well:?}: {}", daemon.log());
    daemon
}

fn page(name: &str) -> String {
    let path = repository().join("docs").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The fenced blocks that are marked `mark`.
fn blocks(page: &str, mark: &str) -> Vec<String> {
    let fence = format!("```{mark}\n");
    let ends = |block: &str| block.split("\n```").next().unwrap_or(block).to_owned();
    page.split(&fence).skip(1).map(ends).collect()
}

const SOON: Duration = Duration::from_secs(10);
