//! `wayside watch`.

use clap::Args;
use serde_json::{Value as Json, json};
use tokio::time::sleep;
use wayside_protocols::service::{Kind, ServiceName};
use wayside_protocols::text::escaped;
use wayside_protocols::time::Duration;

use super::answer::Instance;
use super::client::{Asking, Client};
use super::exit::{Failure, Outcome};
use super::find::{Around, direction};
use super::output::{Screen, Shape, tame};
use super::table::{endpoint, position};
use crate::words;

/// Follow changes as they come.
#[derive(Debug, Args)]
pub(super) struct Watch {
    /// Only this service
    name: Option<ServiceName>,
    #[command(flatten)]
    around: Around,
    /// Only what is offered by a gateway, vehicle, roadside, device or software; several separated by commas
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    kind: Vec<Kind>,
    /// Only what moves that way: degrees from true north, /DEGREES to either side, 45 unless said
    #[arg(long, value_name = "DIRECTION", value_parser = direction)]
    heading: Option<String>,
    /// Only what lies in that direction; written like --heading
    #[arg(long, value_name = "DIRECTION", value_parser = direction)]
    sector: Option<String>,
    /// How long something must stay inside before it is told, and outside before it is gone: 0s to 1m
    #[arg(long, value_name = "DURATION", value_parser = words::duration)]
    dwell: Option<Duration>,
    /// In which shape changes are shown: json and jsonl are one object a line, geojson one feature a line
    #[arg(short, long, value_name = "SHAPE", default_value = "table")]
    output: Shape,
    #[command(flatten)]
    asking: Asking,
}

impl Watch {
    /// Follows until it is interrupted or nobody reads. The first connection must succeed; a lost one is tried again
    /// after 1 s, then twice as long each time up to 30 s, for ever.
    pub(super) async fn perform(self) -> Result<Outcome, Failure> {
        let client = Client::new(&self.asking);
        let mut screen = Screen::open();
        let mut pause = FIRST_PAUSE;
        let mut reached = false;
        loop {
            let ended = client
                .follow(&self.path(), |event, data| {
                    (reached, pause) = (true, FIRST_PAUSE);
                    let line = self.line(event, data).map_err(|error| client.gibberish(error))?;
                    Ok(screen.show(&line)?)
                })
                .await;
            match ended {
                Err(failure @ (Failure::Unreachable { .. } | Failure::Deadline { .. })) if reached => {
                    tracing::debug!(%failure, "trying again");
                }
                Err(failure) => return Err(failure),
                Ok(()) if reached => eprintln!("wayside: the agent hung up; trying again"),
                Ok(()) => return Err(client.gibberish("it ends the watch at once")),
            }
            sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    fn path(&self) -> String {
        let name = self.name.as_ref().map_or("*", ServiceName::as_str);
        let mut path = format!("/v1/discovery/watch?service={name}");
        if let Some(location) = self.around.location() {
            for (key, value) in location.as_object().into_iter().flatten() {
                path += &format!("&{key}={value}");
            }
        }
        let kinds = self.kind.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(",");
        let dwell = self.dwell.filter(|dwell| !dwell.is_zero()).map(|dwell| words::Span(dwell).to_string());
        let given = [
            ("kind", Some(kinds).filter(|kinds| !kinds.is_empty())),
            ("heading", self.heading.clone()),
            ("sector", self.sector.clone()),
            ("dwell", dwell),
        ];
        for (key, value) in given {
            if let Some(value) = value {
                path += &format!("&{key}={value}");
            }
        }
        path
    }

    fn line(&self, event: &str, data: &str) -> Result<String, serde_json::Error> {
        let service: Json = serde_json::from_str(data)?;
        match self.output {
            Shape::Table | Shape::Wide => {
                let row: Instance = serde_json::from_value(service)?;
                Ok(row_of(event, &row))
            }
            Shape::Json | Shape::Jsonl => {
                let object = if event == "reset" {
                    json!({ "event": event })
                } else {
                    json!({ "event": event, "service": service })
                };
                Ok(format!("{}\n", tame(&object.to_string())))
            }
            Shape::Geojson => {
                let mut collection = super::find::geojson(&[service]);
                let mut feature = collection["features"][0].take();
                feature["properties"]["event"] = event.into();
                Ok(format!("{}\n", tame(&feature.to_string())))
            }
        }
    }
}

fn row_of(event: &str, row: &Instance) -> String {
    let (id, name, kind) = (escaped(&row.id), escaped(&row.name), escaped(&row.kind));
    let (at, address) = (position(row), endpoint(row));
    let address = escaped(&address);
    match event {
        "reset" => "reset\n".to_owned(),
        "departed" => format!("departed  {id}\n"),
        _ => format!("{:<9} {id:<28} {name:<16} {kind:<8} {address:<22} {at}\n", escaped(event)),
    }
}

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_secs(30);
