//! `wayside find`, and what every question has in common.

use std::borrow::Cow;
use std::fmt::Write as _;

use clap::Args;
use hyper::Method;
use serde_json::{Value as Json, json};
use wayside_core::query::{Comparison, DEFAULT_LIMIT, MAX_LIMIT, Requirement};
use wayside_protocols::place::{Distance, Position};
use wayside_protocols::service::{Kind, ServiceName, Trust, Value};
use wayside_protocols::text::escaped;
use wayside_protocols::time::Duration;

use super::answer::{Answer, Report, Unreached};
use super::client::{Asking, Client, Reply};
use super::exit::{Failure, Outcome};
use super::output::{Screen, Shape, tame};
use super::table;
use crate::clock::Clock;
use crate::words;

/// Find services by name, around a place.
#[derive(Debug, Args)]
pub(super) struct Find {
    /// The service, like charging; * for any
    #[arg(value_parser = name)]
    name: Name,
    #[command(flatten)]
    around: Around,
    #[command(flatten)]
    only: Only,
    /// Leave out services known to take longer to answer
    #[arg(long, value_name = "DURATION", value_parser = words::duration)]
    max_latency: Option<Duration>,
    /// A resource it must have: plug=ccs2, power_kw>=22, queue<=3. May be given again
    #[arg(long, value_name = "CONDITION", value_parser = words::requirement)]
    require: Vec<Requirement>,
    /// Lives may depend on it: ask for what is marked critical first
    #[arg(long)]
    critical: bool,
    /// The least trust a match may have: unsigned, signed or own
    #[arg(long, value_name = "LEVEL")]
    min_trust: Option<Trust>,
    /// At most this many matches
    #[arg(long, value_name = "N", default_value_t = DEFAULT_LIMIT, value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_LIMIT)))]
    limit: u16,
    /// Merge all tiers instead of stopping at the first that answers
    #[arg(long)]
    all_tiers: bool,
    /// Say what each tier had to say
    #[arg(long)]
    explain: bool,
    #[command(flatten)]
    told: Told,
}

/// Around where.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(super) struct Around {
    /// Around this point, in decimal degrees
    #[arg(long, value_name = "LAT,LON", allow_hyphen_values = true, conflicts_with = "here")]
    pub(super) near: Option<Position>,
    /// Around the agent itself
    #[arg(long)]
    pub(super) here: bool,
    /// How far around, like 100m, 1.5km or lessThan500m; around the agent itself unless --near says otherwise
    #[arg(long, value_name = "DISTANCE")]
    pub(super) within: Option<Distance>,
}

/// What is left out besides.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Only {
    /// Only what is offered by a gateway, vehicle, roadside, device or software; several separated by commas
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    pub(super) kind: Vec<Kind>,
    /// Only what moves that way: degrees, or ahead, right, behind, left of the agent's own heading; /DEGREES to either
    /// side, 45 unless said
    #[arg(long, value_name = "DIRECTION", value_parser = direction)]
    pub(super) heading: Option<String>,
    /// Only what lies in that direction; written like --heading
    #[arg(long, value_name = "DIRECTION", value_parser = direction)]
    pub(super) sector: Option<String>,
    /// Only what was heard of within this time
    #[arg(long, value_name = "DURATION", value_parser = words::duration)]
    max_age: Option<Duration>,
    /// Only what is on the same level: nothing on the bridge above or in the tunnel below
    #[arg(long)]
    same_level: bool,
    /// At this altitude, metres above the WGS84 ellipsoid; with --near
    #[arg(long, value_name = "METRES", allow_hyphen_values = true, requires = "near")]
    altitude: Option<f64>,
}

impl Only {
    /// Puts it into the API's `constraints`.
    pub(super) fn put(&self, constraints: &mut Json) {
        if !self.kind.is_empty() {
            constraints["kind"] = self.kind.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(",").into();
        }
        for (key, direction) in [("heading", &self.heading), ("sector", &self.sector)] {
            if let Some(direction) = direction {
                constraints[key] = direction.as_str().into();
            }
        }
        if let Some(age) = self.max_age {
            constraints["max_age"] = words::Span(age).to_string().into();
        }
        if self.same_level {
            constraints["same_level"] = true.into();
        }
        if let Some(metres) = self.altitude {
            constraints["location"]["altitude_m"] = metres.into();
        }
    }
}

/// A direction, as it was written; the agent reads it again.
pub(super) fn direction(text: &str) -> Result<String, words::NotASector> {
    words::sector(text).map(|_| text.to_owned())
}

/// To whom the question goes, and in which shape the answer is shown.
#[derive(Clone, Debug, Args)]
pub(super) struct Told {
    /// In which shape the answer is shown
    #[arg(short, long, value_name = "SHAPE", default_value = "table")]
    pub(super) output: Shape,
    #[command(flatten)]
    pub(super) asking: Asking,
}

/// A service name, or any.
#[derive(Clone, Debug)]
pub(super) struct Name(pub(super) Option<ServiceName>);

/// Reads a service name, or `*`.
pub(super) fn name(text: &str) -> Result<Name, wayside_protocols::service::NameError> {
    if text == "*" { Ok(Name(None)) } else { text.parse().map(|name| Name(Some(name))) }
}

impl Find {
    pub(super) async fn perform(self) -> Result<Outcome, Failure> {
        let question = Question { body: self.body(), around: self.around, explain: self.explain };
        question.ask(&self.told).await
    }

    fn body(&self) -> Json {
        let mut body = json!({ "service_name": self.name.0.as_ref().map_or("*", ServiceName::as_str) });
        let mut constraints = json!({});
        if let Some(location) = self.around.location() {
            constraints["location"] = location;
        }
        self.only.put(&mut constraints);
        if let Some(latency) = self.max_latency {
            constraints["latency"] = words::Span(latency).to_string().into();
        }
        for requirement in &self.require {
            constraints["resources"][&*requirement.resource] = condition(requirement);
        }
        body["constraints"] = constraints;
        body["limit"] = self.limit.into();
        if let Some(trust) = self.min_trust {
            body["min_trust"] = trust.as_str().into();
        }
        for (key, set) in [("safety_critical", self.critical), ("all_tiers", self.all_tiers)] {
            if set {
                body[key] = true.into();
            }
        }
        body
    }
}

impl Around {
    /// The API's `location`; a circle without a point is around the agent.
    pub(super) fn location(&self) -> Option<Json> {
        if self.near.is_none() && !self.here && self.within.is_none() {
            return None;
        }
        let mut location = json!({ "radius_m": self.radius().as_metres() });
        if let Some(near) = self.near {
            location["lat"] = near.latitude().into();
            location["lon"] = near.longitude().into();
        }
        Some(location)
    }

    fn radius(&self) -> Distance {
        self.within.unwrap_or(Distance::metres(500))
    }

    /// `within 100 m of 48.856600,2.353000`.
    fn words(&self) -> String {
        let centre = self.near.map_or_else(|| "here".to_owned(), |near| near.to_string());
        if self.location().is_some() { format!(" within {} of {centre}", self.radius()) } else { String::new() }
    }
}

fn condition(requirement: &Requirement) -> Json {
    let sign = match requirement.comparison {
        Comparison::Equal => "",
        Comparison::AtLeast => ">=",
        Comparison::AtMost => "<=",
    };
    match &requirement.value {
        Value::Number(number) if sign.is_empty() => json!(number),
        Value::Flag(flag) => json!(flag),
        value @ (Value::Number(_) | Value::Text(_)) => format!("{sign}{value}").into(),
    }
}

/// One question to the API, and how its answer is shown.
pub(super) struct Question {
    /// The request.
    pub(super) body: Json,
    /// Around where, for the last line of the table.
    pub(super) around: Around,
    /// Whether each tier's word is shown.
    pub(super) explain: bool,
}

impl Question {
    /// Asks, and shows the answer.
    pub(super) async fn ask(self, told: &Told) -> Result<Outcome, Failure> {
        let client = Client::new(&told.asking);
        let clock = Clock::start();
        let reply = client.call(Method::POST, "/v1/discovery/services", self.body.to_string()).await?;
        let took = clock.now().as_micros();
        let Reply::Body(text) = reply else { return Err(client.gibberish("it knows no /v1/discovery/services")) };
        let raw: Json = serde_json::from_str(&text).map_err(|error| client.gibberish(error))?;
        let answer: Answer = serde_json::from_value(raw.clone()).map_err(|error| client.gibberish(error))?;
        let mut screen = Screen::open();
        let shown = match told.output {
            Shape::Table | Shape::Wide => self.page(&answer, told.output == Shape::Wide, screen.colour, took),
            Shape::Json => format!("{}\n", tame(text.trim_end())),
            Shape::Jsonl => rows(&raw).iter().map(|row| format!("{}\n", tame(&row.to_string()))).collect(),
            Shape::Geojson => format!("{}\n", tame(&geojson(rows(&raw)).to_string())),
        };
        screen.show(&shown)?;
        Ok(outcome(&answer))
    }

    fn page(&self, answer: &Answer, wide: bool, colour: bool, took: u64) -> String {
        let found = answer.instances.len();
        let mut text = if found > 0 { table::table(&answer.instances, wide, colour) } else { String::new() };
        let fitting: usize =
            answer.explain.iter().filter(|tier| tier.outcome == "answered").map(|tier| tier.fitting).sum();
        let tier =
            answer.tier.as_deref().map_or(Cow::Borrowed("no tier answered"), |tier| format!("tier {tier}").into());
        let stale = match answer.instances.iter().filter(|row| row.stale).count() {
            0 => String::new(),
            stale => format!(" · {stale} stale"),
        };
        let around = self.around.words();
        let millis = took as f64 / 1e3;
        // Writing to a String cannot fail.
        let _ =
            writeln!(text, "{found} of {}{around} · {}{stale} · {millis:.1} ms", fitting.max(found), escaped(&tier));
        for tier in &answer.unreached {
            let _ = writeln!(text, "unreached: {}: {}", escaped(&tier.tier), escaped(&tier.reason));
        }
        if self.explain {
            text.extend(answer.explain.iter().map(explained));
        } else if found == 0 && !answer.explain.is_empty() {
            let _ = writeln!(text, "--explain says why");
        }
        text
    }
}

/// `  local      empty             0 fit  critical roadside and gateway services definitely within 100 m; 3 too far`.
fn explained(tier: &Report) -> String {
    let mut why = tier.asked.clone();
    for (index, left) in tier.left_out.iter().enumerate() {
        why += &format!("{} {} {}", if index == 0 { "; left out:" } else { "," }, left.count, left.reason);
    }
    if let Some(nearest) = tier.nearest_m {
        why += &format!("; the nearest of that name is {} away", table::distance(nearest));
    }
    let (name, outcome) = (escaped(&tier.tier), escaped(&tier.outcome));
    format!("  {name:<9}  {outcome:<14}  {:>4} fit  {}\n", tier.fitting, escaped(&why))
}

fn rows(answer: &Json) -> &[Json] {
    answer.get("instances").and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

/// "There is none" is an answer only of those who were asked: where a registry could not be, it is offline data.
fn outcome(answer: &Answer) -> Outcome {
    let beyond = |unreached: &&Unreached| ["region", "cloud"].contains(&&*unreached.tier);
    let missing: Vec<&Unreached> = answer.unreached.iter().filter(beyond).collect();
    if !answer.instances.is_empty() {
        return if answer.instances.iter().all(|row| row.stale) { Outcome::Stale } else { Outcome::Found };
    }
    if missing.is_empty() {
        Outcome::Nothing
    } else if missing.iter().any(|unreached| unreached.cause == "late") {
        Outcome::Late
    } else {
        Outcome::Stale
    }
}

/// RFC 7946: longitude first; a service without a position has no geometry.
pub(super) fn geojson(rows: &[Json]) -> Json {
    let feature = |row: &Json| {
        let place: Option<super::answer::Place> =
            row.get("position").and_then(|at| serde_json::from_value(at.clone()).ok());
        let geometry = place.map(|at| {
            let coordinates = at.alt.map_or_else(|| json!([at.lon, at.lat]), |alt| json!([at.lon, at.lat, alt]));
            json!({ "type": "Point", "coordinates": coordinates })
        });
        let mut properties = row.clone();
        if let Some(properties) = properties.as_object_mut() {
            properties.remove("position");
        }
        json!({ "type": "Feature", "id": row.get("id"), "geometry": geometry, "properties": properties })
    };
    json!({ "type": "FeatureCollection", "features": rows.iter().map(feature).collect::<Vec<_>>() })
}
