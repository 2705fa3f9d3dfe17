//! `wayside health`: whether the agent is well, for people and for updates that are kept only if it is.

use clap::{Args, ValueEnum};
use hyper::Method;
use serde_json::Value as Json;
use tokio::time::sleep;
use wayside_protocols::text::escaped;
use wayside_protocols::time::Duration;

use super::client::{Asking, Client, Reply};
use super::exit::{Failure, Outcome};
use super::output::{Screen, tame};
use crate::clock::Clock;
use crate::words;

/// Say how the agent is: exit code 0 if it is well, 1 if it is not.
#[derive(Debug, Args)]
pub(super) struct Health {
    /// Wait until it is well, for so long at the most
    #[arg(long, value_name = "DURATION", value_parser = words::duration)]
    wait: Option<Duration>,
    /// In which shape
    #[arg(short, long, value_name = "SHAPE", default_value = "table")]
    output: Shape,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shape {
    /// A few lines for people
    Table,
    /// What the API says
    Json,
}

impl Health {
    pub(super) async fn perform(self) -> Result<Outcome, Failure> {
        let clock = Clock::start();
        let until = clock.now() + self.wait.unwrap_or_default();
        let health = loop {
            // Anew each time: which address is meant depends on whether the agent's socket is there yet.
            let client = Client::new(&self.asking);
            let told = match client.call(Method::GET, "/v1/discovery/health", String::new()).await {
                Ok(Reply::Body(text)) => Ok(serde_json::from_str(&text).map_err(|error| client.gibberish(error))?),
                Ok(Reply::Unknown) => Err(client.gibberish("it has no health")),
                Err(failure) => Err(failure),
            };
            match told {
                Ok(health) if well(&health) => break health,
                told if clock.now() >= until => break told?,
                Ok(_) | Err(_) => sleep(AGAIN.min(until.since(clock.now()))).await,
            }
        };
        let mut screen = Screen::open();
        screen.show(&match self.output {
            Shape::Json => format!("{}\n", tame(&health.to_string())),
            Shape::Table => table(&health),
        })?;
        Ok(if well(&health) { Outcome::Found } else { Outcome::Nothing })
    }
}

fn well(health: &Json) -> bool {
    health["status"] == "ok"
}

fn table(health: &Json) -> String {
    let text = |key: &str| escaped(health[key].as_str().unwrap_or("?")).into_owned();
    let mut lines = format!("{}  {} of version {}\n", text("status"), text("agent"), text("version"));
    for problem in health["problems"].as_array().into_iter().flatten().filter_map(Json::as_str) {
        lines += &format!("  {}\n", escaped(problem));
    }
    let services = health["metrics"]["services"].as_f64().unwrap_or(0.0);
    lines + &format!("  {services} services are known\n")
}

/// How often it is asked while it is waited for.
const AGAIN: Duration = Duration::from_millis(250);
