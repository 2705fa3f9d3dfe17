//! `wayside doctor`: what works here, what does not, and what to do about it.

mod looks;

use std::env;
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::{Value as Json, json};
use wayside_protocols::text::escaped;

use super::client::{Address, Asking, Client};
use super::exit::{Failure, Outcome};
use super::output::{Screen, tame};
use crate::config::ConfigFile;

/// What works on this host, what does not, what to do.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// The configuration file [default: /etc/wayside/wayside.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The agent: http://HOST:PORT, https://HOST:PORT or unix:/PATH [default: where the configuration has it listen]
    #[arg(long, env = "WAYSIDE_AGENT", value_name = "URL")]
    agent: Option<Address>,
    /// In which shape
    #[arg(short, long, value_name = "SHAPE", default_value = "table")]
    output: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shape {
    /// A line for each thing looked at
    Table,
    /// The same as {checks: [{name, state, found, hint}]}
    Json,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// It works.
    Works,
    /// It is not wanted, so it was not looked at.
    Off,
    /// It works, but not as well as it could.
    Worth,
    /// It does not work.
    Broken,
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Works => "ok",
            Self::Off => "off",
            Self::Worth => "note",
            Self::Broken => "FAIL",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug)]
pub(super) struct Look {
    name: &'static str,
    state: State,
    found: String,
    hint: String,
}

impl Look {
    fn new(name: &'static str, state: State, found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { name, state, found: found.into(), hint: hint.into() }
    }

    fn works(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, State::Works, found, "")
    }

    fn off(name: &'static str, hint: impl Into<String>) -> Self {
        Self::new(name, State::Off, "not configured", hint)
    }
}

impl Doctor {
    /// Looks at everything. Found if nothing is broken, else nothing: exit code 1.
    pub(super) async fn perform(self) -> Result<Outcome, Failure> {
        let file = ConfigFile::load(self.config.as_deref(), env::vars_os());
        let all = examine(&file, self.agent).await.looks;
        let mut screen = Screen::open();
        screen.show(&match self.output {
            Shape::Json => {
                format!("{}\n", tame(&json!({ "checks": all.iter().map(row).collect::<Vec<_>>() }).to_string()))
            }
            Shape::Table => table(&all, screen.colour),
        })?;
        Ok(if all.iter().any(|look| look.state == State::Broken) { Outcome::Nothing } else { Outcome::Found })
    }
}

/// What was looked at.
pub(super) struct Examined {
    pub(super) looks: Vec<Look>,
    /// Who asks the agent; `None` if the configuration is wrong, and so does not say where it is.
    pub(super) client: Option<Client>,
}

/// Looks at everything the configuration wants; the agent is at `agent`, or where the configuration has it listen.
pub(super) async fn examine(file: &ConfigFile, agent: Option<Address>) -> Examined {
    let checked = file.check();
    let mut looks = vec![looks::configuration(&checked)];
    let Ok((config, _)) = checked else { return Examined { looks, client: None } };
    let agent = agent.or_else(|| listening(&config.api));
    let client = Client::new(&Asking { agent, timeout: looks::PATIENCE });
    looks.push(looks::agent(&client).await);
    looks.extend(looks::mdns(&config.mdns).await);
    looks.push(looks::broker(config.mqtt.as_ref()).await);
    looks.push(looks::receiver(&config).await);
    looks.extend(looks::serial(&config.modbus));
    looks.extend(looks::upstreams(&config.upstreams).await);
    looks.push(looks::clock());
    looks.push(looks::state(&config.state_dir));
    looks.push(looks::limits());
    Examined { looks, client: Some(client) }
}

/// Where the agent of this configuration answers.
fn listening(api: &crate::config::Api) -> Option<Address> {
    let scheme = api.scheme().map_or_else(String::new, |scheme| format!("{scheme}://"));
    format!("{scheme}{}", api.listen).parse().ok()
}

fn row(look: &Look) -> Json {
    let hint = Some(&*look.hint).filter(|hint| !hint.is_empty());
    json!({ "name": look.name, "state": look.state.as_str(), "found": look.found, "hint": hint })
}

/// A line for each look, with a hint below where there is one.
pub(super) fn table(all: &[Look], colour: bool) -> String {
    let width = all.iter().map(|look| look.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for Look { name, state, found, hint } in all {
        let (on, off) = match (colour, state) {
            (false, _) => ("", ""),
            (true, State::Works) => ("\u{1b}[32m", "\u{1b}[0m"),
            (true, State::Off) => ("\u{1b}[2m", "\u{1b}[0m"),
            (true, State::Worth) => ("\u{1b}[33m", "\u{1b}[0m"),
            (true, State::Broken) => ("\u{1b}[31m", "\u{1b}[0m"),
        };
        // Writing to a String cannot fail.
        let _ =
            writeln!(text, "{on}{:<5}{off} {name:<width$}  {}", state.as_str(), escaped(found).replace("\\n", "; "));
        if !hint.is_empty() {
            let _ = writeln!(text, "{:<7}{:width$} hint: {}", "", "", escaped(hint));
        }
    }
    let broken = all.iter().filter(|look| look.state == State::Broken).count();
    let _ = match broken {
        0 => writeln!(text, "nothing is broken"),
        1 => writeln!(text, "1 thing does not work"),
        many => writeln!(text, "{many} things do not work"),
    };
    text
}
