//! `wayside announce`.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use clap::Args;
use hyper::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value as Json, json};
use tokio::process::Command;
use tokio::time::sleep;
use wayside_core::registration::{MAX_LEASE, MIN_LEASE};
use wayside_protocols::place::Position;
use wayside_protocols::service::{Host, Label, ServiceName, Value};
use wayside_protocols::time::Duration;

use super::client::{Asking, Client, Reply};
use super::exit::{Failure, Outcome};
use super::output::Screen;
use super::show::percent;
use super::signals::Signals;
use super::withdraw::withdraw;
use crate::words::{self, Span};

/// Announce a service, for a time or for as long as a command runs.
///
/// With a command, the service is registered before it starts, renewed while it runs, and withdrawn when it ends;
/// the exit code is the command's. Without one, it is registered once and holds for --ttl.
#[derive(Debug, Args)]
pub(super) struct Announce {
    /// What callers ask for, like charging
    name: ServiceName,
    /// At which port it answers
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// At which address or host name; the agent's own unless said otherwise
    #[arg(long)]
    address: Option<Host>,
    /// How long it holds unless renewed, 1s to 24h
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = lease)]
    ttl: Duration,
    /// Where it stands, in decimal degrees; where the agent stands unless said otherwise
    #[arg(long, value_name = "LAT,LON", allow_hyphen_values = true, visible_alias = "near")]
    at: Option<Position>,
    /// What tells it from others of this agent; the same id replaces
    #[arg(long)]
    id: Option<Label>,
    /// Lives may depend on it
    #[arg(long)]
    critical: bool,
    /// Higher is preferred, 0 to 255
    #[arg(long, default_value_t = 0)]
    priority: u8,
    /// What it has to give, like power_kw=22. May be given again
    #[arg(long = "resource", value_name = "KEY=VALUE", value_parser = pair)]
    resources: Vec<(String, String)>,
    /// Whatever else it says of itself. May be given again
    #[arg(long = "meta", value_name = "KEY=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    #[command(flatten)]
    asking: Asking,
    /// Announce for exactly as long as this runs
    #[arg(last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

fn lease(text: &str) -> Result<Duration, String> {
    let given = words::duration(text).map_err(|error| error.to_string())?;
    if (MIN_LEASE..=MAX_LEASE).contains(&given) && given.subsec_nanos() == 0 {
        return Ok(given);
    }
    Err(format!("{} is not a whole number of seconds from {} to {}", Span(given), Span(MIN_LEASE), Span(MAX_LEASE)))
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it like power_kw=22".to_owned()),
    }
}

impl Announce {
    pub(super) async fn perform(self) -> Result<Outcome, Failure> {
        let client = Client::new(&self.asking);
        let body = self.body().to_string();
        let Some((program, arguments)) = self.command.split_first() else {
            let id = register(&client, &body).await?;
            Screen::open().show(&format!("{}\n", wayside_protocols::text::escaped(&id)))?;
            return Ok(Outcome::Found);
        };
        // Before there is anything to withdraw: from here on a signal does not end us, it is dealt with.
        let mut signals = Signals::open()?;
        let id = register(&client, &body).await?;
        let ended = match signals.came().await {
            Some(signal) => Ok(Outcome::Passed(signalled(signal.as_raw()))),
            None => {
                let mut command = Command::new(program);
                command.args(arguments);
                self.accompany(command, signals, &client, &id, &body).await
            }
        };
        // Whatever happened: it runs no longer. If the agent cannot be told, the lease ends by itself.
        if let Err(failure) = withdraw(&client, &id).await {
            eprintln!("wayside: {id} is not withdrawn and will lapse within {}: {failure}", Span(self.ttl));
        }
        ended
    }

    /// Renews while `command` runs, passes it our signals, and tells how it ended.
    async fn accompany(
        &self,
        mut command: Command,
        mut signals: Signals,
        client: &Client,
        id: &str,
        body: &str,
    ) -> Result<Outcome, Failure> {
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                let program = command.as_std().get_program().display();
                eprintln!("wayside: {program} cannot be started: {error}");
                // What shells say: 127 for a command that is not there, 126 for one that may not run.
                return Ok(Outcome::Passed(if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 }));
            }
        };
        // A key press on a terminal reaches the command too; a second one from us could make it give up its clean-up.
        let pressed = io::stdin().is_terminal();
        let pid = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        let renewing = async {
            loop {
                sleep(self.ttl / 3).await;
                if let Err(failure) = renew(client, id, body).await {
                    eprintln!("wayside: {id} is not renewed: {failure}");
                }
            }
        };
        tokio::pin!(renewing);
        loop {
            tokio::select! {
                status = child.wait() => return Ok(Outcome::Passed(code(status.map_err(Failure::System)?))),
                signal = signals.next() => if signal != Signal::INT || !pressed {
                    // A command that is gone already needs no signal.
                    let _ = pid.map(|pid| kill_process(pid, signal));
                },
                () = &mut renewing => {}
            }
        }
    }

    fn body(&self) -> Json {
        let mut info = json!({ "name": self.name.as_str(), "port": self.port, "ttl_s": self.ttl.as_secs() });
        if let Some(address) = &self.address {
            info["address"] = address.to_string().into();
        }
        if let Some(at) = self.at {
            info["location"] = json!({ "lat": at.latitude(), "lon": at.longitude() });
        }
        if let Some(id) = &self.id {
            info["id"] = id.as_str().into();
        }
        if self.critical {
            info["critical"] = true.into();
        }
        if self.priority > 0 {
            info["priority"] = self.priority.into();
        }
        for (key, value) in &self.resources {
            let Ok(value) = value.parse::<Value>();
            info["resources"][key] = match value {
                Value::Number(number) => json!(number),
                Value::Flag(flag) => json!(flag),
                Value::Text(text) => json!(&*text),
            };
        }
        for (key, value) in &self.metadata {
            info["metadata"][key] = value.as_str().into();
        }
        json!({ "service_info": info })
    }
}

/// Registers, and gives the id it got.
async fn register(client: &Client, body: &str) -> Result<String, Failure> {
    let reply = client.call(Method::POST, "/v1/discovery/registration", body.to_owned()).await?;
    let Reply::Body(text) = reply else { return Err(client.gibberish("it knows no /v1/discovery/registration")) };
    let lease: Json = serde_json::from_str(&text).map_err(|error| client.gibberish(error))?;
    lease.get("id").and_then(Json::as_str).map(str::to_owned).ok_or_else(|| client.gibberish("a lease without an id"))
}

/// Renews; an agent that has forgotten it (its state is gone) is told anew, under the same id.
async fn renew(client: &Client, id: &str, body: &str) -> Result<(), Failure> {
    let path = format!("/v1/discovery/registration/{}", percent(id));
    if let Reply::Unknown = client.call(Method::PUT, &path, String::new()).await? {
        let mut again: Json = serde_json::from_str(body).map_err(|error| client.gibberish(error))?;
        again["service_info"]["id"] = id.into();
        register(client, &again.to_string()).await?;
    }
    Ok(())
}

/// The command's own code, or that a signal ended it.
fn code(status: ExitStatus) -> u8 {
    let signal = || signalled(status.signal().unwrap_or(0));
    status.code().map_or_else(signal, |code| u8::try_from(code).unwrap_or(255))
}

/// 128 and the signal's number, as shells say.
fn signalled(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(255)
}
