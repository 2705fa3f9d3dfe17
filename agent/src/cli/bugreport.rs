//! `wayside bugreport`: everything that whoever mends this would ask for, without the secrets.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use clap::Args;
use hyper::Method;
use wayside_protocols::text::escaped;

use super::client::{Address, Client, Reply};
use super::doctor::{self, Examined};
use super::exit::{Failure, Outcome};
use super::output::Screen;
use crate::config::ConfigFile;

/// Print what whoever mends this would ask for: host, configuration, doctor, health, metrics. Secrets are not shown.
#[derive(Debug, Args)]
pub(super) struct BugReport {
    /// The configuration file [default: /etc/wayside/wayside.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The agent: http://HOST:PORT, https://HOST:PORT or unix:/PATH [default: where the configuration has it listen]
    #[arg(long, env = "WAYSIDE_AGENT", value_name = "URL")]
    agent: Option<Address>,
}

impl BugReport {
    /// Always found: that something is missing is part of the report.
    pub(super) async fn perform(self) -> Result<Outcome, Failure> {
        let file = ConfigFile::load(self.config.as_deref(), env::vars_os());
        let Examined { looks, client } = doctor::examine(&file, self.agent).await;
        let mut report = String::new();
        chapter(&mut report, "host", &host());
        chapter(&mut report, "configuration", &file.masked().join("\n"));
        chapter(&mut report, "doctor", &doctor::table(&looks, false));
        for path in ["/v1/discovery/health", "/metrics"] {
            let told = match &client {
                None => "not asked: the configuration is wrong".to_owned(),
                Some(client) => heard(client, path).await,
            };
            chapter(&mut report, path, &told);
        }
        Screen::open().show(&report)?;
        Ok(Outcome::Found)
    }
}

async fn heard(client: &Client, path: &str) -> String {
    match client.call(Method::GET, path, String::new()).await {
        Ok(Reply::Body(text)) => text,
        Ok(Reply::Unknown) => "it has none".to_owned(),
        Err(failure) => failure.to_string(),
    }
}

/// A heading and what stands under it; nothing in it can steer a terminal.
fn chapter(report: &mut String, name: &str, text: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(report, "== {name}");
    for line in text.lines() {
        let _ = writeln!(report, "{}", escaped(line));
    }
    report.push('\n');
}

fn host() -> String {
    let system = rustix::system::uname();
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let release = read("/etc/os-release");
    let release = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("unknown");
    let memory = read("/proc/meminfo");
    let memory: Vec<&str> = memory.lines().take(3).map(str::trim).collect();
    let up = read("/proc/uptime");
    let lines = [
        format!("wayside {}", env!("CARGO_PKG_VERSION")),
        format!(
            "{} {} {}",
            system.sysname().to_string_lossy(),
            system.release().to_string_lossy(),
            system.machine().to_string_lossy()
        ),
        release.trim_matches('"').to_owned(),
        format!("up {} s", up.split(' ').next().unwrap_or("?").trim()),
        memory.join(", "),
    ];
    lines.join("\n")
}
