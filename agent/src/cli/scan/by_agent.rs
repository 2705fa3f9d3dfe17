//! A survey that a running agent makes, on the connections it has anyway; its devices become its services.

use clap::Args;
use hyper::Method;
use serde_json::{Value as Json, json};
use wayside_protocols::time::Duration;

use super::progress::{Bar, Progress};
use super::{Shape, show};
use crate::cli::client::{Address, Asking, Client, Reply};
use crate::cli::exit::{Failure, Outcome};
use crate::cli::output::Screen;
use crate::cli::signals::Signals;
use crate::clock::Clock;

/// Which agent makes the survey, if not this process.
#[derive(Clone, Debug, Args)]
pub(super) struct ByAgent {
    /// Have the running agent do it: targets are the name of one of its segments, or lie within them; without a target
    /// all that it may ask. What is found becomes its services
    #[arg(long)]
    pub(super) by_agent: bool,
    /// The agent that does it: http://HOST:PORT or unix:/PATH
    #[arg(long, env = "WAYSIDE_AGENT", value_name = "URL")]
    agent: Option<Address>,
}

impl ByAgent {
    /// Begins it, draws how far it is, and shows what was found. Told to end, it stops the survey and shows what was found
    /// until then.
    pub(super) async fn perform(
        &self,
        protocol: &str,
        targets: &[String],
        units: Option<String>,
        shape: Shape,
    ) -> Result<Outcome, Failure> {
        let client = Client::new(&Asking { agent: self.agent.clone(), timeout: PATIENCE });
        let mut wanted = json!({ "protocol": protocol });
        match targets {
            [] => {}
            [one] => wanted["segment"] = one.as_str().into(),
            many => wanted["segment"] = many.into(),
        }
        if let Some(units) = units {
            wanted["units"] = units.into();
        }
        // Before there is a survey to stop.
        let mut signals = Signals::open()?;
        let begun = body(&client, client.call(Method::POST, DEVICES, wanted.to_string()).await?)?;
        let id = begun["id"].as_str().ok_or_else(|| client.gibberish("it names no survey"))?;
        let at = format!("{DEVICES}/{id}");
        let clock = Clock::start();
        let mut progress = Progress::open(clock);
        let mut report = None;
        let events = format!("{at}/events");
        let follow = client.follow(&events, |event, data| {
            let told: Json = serde_json::from_str(data).map_err(|error| client.gibberish(error))?;
            match event {
                "progress" => progress.draw(|| bar(&told)),
                "finished" => report = Some(told),
                _ => {}
            }
            Ok(())
        });
        let stopped = tokio::select! {
            done = follow => done.map(|()| false)?,
            _ = signals.next() => true,
        };
        progress.clear();
        let report = match report {
            Some(report) => report,
            None if stopped => body(&client, client.call(Method::DELETE, &at, String::new()).await?)?,
            None => body(&client, client.call(Method::GET, &at, String::new()).await?)?,
        };
        let mut screen = Screen::open();
        let shown = match shape {
            Shape::Td => things(&client, &report).await?,
            Shape::Table | Shape::Wide | Shape::Json | Shape::Jsonl => show::report(&report, shape, screen.colour),
        };
        screen.show(&shown)?;
        let found = report["devices"].as_array().is_some_and(|devices| !devices.is_empty());
        Ok(if found { Outcome::Found } else { Outcome::Nothing })
    }
}

async fn things(client: &Client, report: &Json) -> Result<String, Failure> {
    let mut things = Vec::new();
    for device in report["devices"].as_array().into_iter().flatten() {
        let Some(id) = device["id"].as_str() else { continue };
        let told = client.call(Method::GET, &format!("/things/{}", id.replace('%', "%25")), String::new()).await?;
        if let Reply::Body(thing) = told {
            things.push(serde_json::from_str(&thing).map_err(|error| client.gibberish(error))?);
        }
    }
    Ok(show::things(&things))
}

fn body(client: &Client, reply: Reply) -> Result<Json, Failure> {
    match reply {
        Reply::Body(text) => serde_json::from_str(&text).map_err(|error| client.gibberish(error)),
        Reply::Unknown => Err(Failure::Refused("the agent has forgotten the survey".to_owned())),
    }
}

fn bar(told: &Json) -> Bar {
    let count = |key: &str| told["counts"][key].as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
    Bar { addresses: count("addresses"), ended: count("asked"), devices: count("devices"), requests: count("requests") }
}

const DEVICES: &str = "/v1/discovery/devices";
/// How long the agent may take for one answer.
const PATIENCE: Duration = Duration::from_secs(10);
