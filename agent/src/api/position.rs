//! Where the agent itself stands: asked, and told.

use axum::extract::{Request, State};
use axum::response::Response;
use serde::Serialize;
use serde_json::Value as Json;

use wayside_core::agent::Agent;
use wayside_protocols::place::{Fix, Motion};
use wayside_protocols::time::Timestamp;

use crate::api::fields::Fields;
use crate::api::problem::{POSITIONED, Problem};
use crate::api::query::point;
use crate::api::routes::{as_json, body};
use crate::api::{Api, Positioned, text};

/// `GET /v1/position`.
pub(super) async fn get(State(api): State<Api>) -> Result<Response, Problem> {
    Ok(as_json(text::json(&told(&api).await?)))
}

/// `PUT /v1/position`: taken at its word, and only where neither the configuration nor a receiver says.
///
/// Without a speed it holds until another is told; with one it grows old as a receiver's fix does.
pub(super) async fn put(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let ruler = match &api.options.positioned {
        Positioned::Api => None,
        Positioned::Config => {
            Some("the configuration says where this agent stands: position.lat and position.lon".into())
        }
        Positioned::Gpsd(address) => {
            Some(format!("the receiver at {address} says where this agent stands: position.gpsd"))
        }
    };
    if let Some(ruler) = ruler {
        return Err(Problem::new(&POSITIONED, ruler));
    }
    let fix = read(&body(&api, request).await?, api.options.clock.now())?;
    api.handle.stand(fix).await?;
    get(State(api)).await
}

/// Where the agent stands, as JSON has it.
#[derive(Debug, Serialize)]
pub(super) struct PositionJson {
    known: bool,
    source: &'static str,
    lat: Option<f64>,
    lon: Option<f64>,
    altitude_m: Option<f64>,
    accuracy_m: Option<f64>,
    age_ms: Option<u64>,
    certain: bool,
    speed_mps: Option<f64>,
    heading_deg: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl PositionJson {
    pub(super) fn new(agent: &Agent, positioned: &Positioned, now: Timestamp) -> Self {
        let source = match positioned {
            Positioned::Config => "config",
            Positioned::Gpsd(_) => "gpsd",
            Positioned::Api => "api",
        };
        let motion = agent.own_fix().and_then(|fix| fix.motion);
        match agent.whereabouts(now) {
            Ok(here) => Self {
                known: true,
                source,
                lat: Some(rounded(here.position.latitude(), 1e7)),
                lon: Some(rounded(here.position.longitude(), 1e7)),
                altitude_m: here.position.altitude().map(|metres| rounded(metres.into(), 100.0)),
                accuracy_m: Some(rounded(here.sigma, 100.0)),
                age_ms: Some(u64::try_from(here.age.as_millis()).unwrap_or(u64::MAX)),
                certain: here.certain,
                speed_mps: motion.map(|motion| rounded(motion.speed.into(), 100.0)),
                heading_deg: here.heading.map(|degrees| rounded(degrees.into(), 10.0)),
                reason: None,
            },
            Err(lost) => Self {
                known: false,
                source,
                lat: None,
                lon: None,
                altitude_m: None,
                accuracy_m: None,
                age_ms: agent.own_fix().map(|fix| u64::try_from(now.since(fix.time).as_millis()).unwrap_or(u64::MAX)),
                certain: false,
                speed_mps: None,
                heading_deg: None,
                reason: Some(if agent.receiver_lost() {
                    format!("{lost}; the receiver has no fix")
                } else {
                    lost.to_string()
                }),
            },
        }
    }

    /// Why it is not known, if it is not.
    pub(super) fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }
}

async fn told(api: &Api) -> Result<PositionJson, Problem> {
    let positioned = api.options.positioned.clone();
    Ok(api.handle.read(move |agent, now| PositionJson::new(agent, &positioned, now)).await?)
}

fn read(bytes: &[u8], now: Timestamp) -> Result<Fix, Problem> {
    let mut fields = Fields::body(bytes)?;
    let Some(mut position) = point(&mut fields)? else {
        return Err(Problem::missing("lat", "degrees north, together with lon"));
    };
    // The casts lose digits far below what anybody can measure.
    if let Some(metres) = fields.number("altitude_m", -1_000.0, 20_000.0)? {
        let range = |error: wayside_protocols::place::OutOfRange| {
            Problem::field("altitude_m", &Json::from(metres), &error.to_string())
        };
        position = position.at_altitude(metres as f32).map_err(range)?;
    }
    let accuracy = fields.number("accuracy_m", 0.0, 100_000.0)?;
    let speed = fields.number("speed_mps", 0.0, 163.82)?;
    let heading = fields.number("heading_deg", 0.0, 360.0)?;
    fields.finish()?;
    let motion = match (speed, heading) {
        (None, None) => None,
        (Some(_), None) => return Err(Problem::missing("heading_deg", "given together with speed_mps")),
        (None, Some(_)) => return Err(Problem::missing("speed_mps", "given together with heading_deg")),
        (Some(speed), Some(heading)) => Some(
            Motion::new((speed as f32).min(163.82), heading as f32)
                .map_err(|error| Problem::field("speed_mps", &Json::from(speed), &error.to_string()))?,
        ),
    };
    let usual = if motion.is_some() { MOVING } else { STANDING };
    Ok(Fix { position, time: now, accuracy: accuracy.map_or(usual, |metres| metres as f32), motion })
}

fn rounded(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}

/// One sigma of a position that states none, metres: as for neighbours.
const STANDING: f32 = 1.0;
const MOVING: f32 = 5.0;
