//! Surveys over HTTP: begun, looked at, followed as server-sent events, stopped.

use std::collections::BTreeSet;
use std::convert::Infallible;

use axum::extract::{Extension, Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use serde_json::{Value as Json, json};

use wayside_protocols::modbus::segment::Segment;
use wayside_protocols::modbus::target::Target;
use wayside_protocols::modbus::unit::{Unit, Units};
use wayside_protocols::time::Duration;

use crate::api::fields::Fields;
use crate::api::problem::{FULL, NOT_ALLOWED, Problem, TAKEN, UNKNOWN_SURVEY};
use crate::api::routes::{PathError, as_json, body, path};
use crate::api::serve::Seat;
use crate::api::{Api, devices, text};
use crate::config::ModbusSegment;
use crate::field::Field;
use crate::surveys::{Event, Haul, NotBegun, Picture, Protocol, Requirements, Survey, SurveyId, Surveys, Wanted};

/// `POST /v1/discovery/devices`: begins a survey within what the configuration allows.
pub(super) async fn begin(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let body = body(&api, request).await?;
    let surveys = &field(&api)?.surveys;
    let wanted = read(&body, surveys)?;
    let begun = surveys.begin(wanted).await?;
    let told = json!({ "id": begun.to_string(), "state": "running", "events": format!("{ROOT}/{begun}/events") });
    let mut response = (StatusCode::ACCEPTED, as_json(text::json(&told))).into_response();
    if let Ok(location) = HeaderValue::try_from(format!("{ROOT}/{begun}")) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// `GET /v1/discovery/devices`: every device that is known, and every survey that is remembered.
pub(super) async fn list(State(api): State<Api>) -> Result<Response, Problem> {
    let (mut known, mut told) = (Vec::new(), Vec::new());
    if let Some(Field { devices, surveys }) = &api.options.field {
        known = devices.list().await;
        for survey in surveys.list().await {
            told.extend(survey.look().await.as_ref().map(progress));
        }
    }
    let devices: Vec<Json> = known.iter().map(devices::known).collect();
    Ok(as_json(text::json(&json!({ "devices": devices, "surveys": told }))))
}

/// `GET /v1/discovery/devices/{id}`: what it has found so far; as events for those who accept only these.
pub(super) async fn look(
    State(api): State<Api>,
    id: Result<Path<String>, PathError>,
    seat: Option<Extension<Seat>>,
    request: Request,
) -> Result<Response, Problem> {
    let survey = find(&api, id).await?;
    let accepts = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    if accepts.is_some_and(|accept| accept.trim().starts_with("text/event-stream")) {
        return stream(survey, seat).await;
    }
    let picture = survey.look().await.ok_or_else(|| unknown(&survey.id().to_string()))?;
    Ok(as_json(text::json(&report(&picture))))
}

/// `GET /v1/discovery/devices/{id}/events`: what it has found so far, then what comes.
pub(super) async fn follow(
    State(api): State<Api>,
    id: Result<Path<String>, PathError>,
    seat: Option<Extension<Seat>>,
) -> Result<Response, Problem> {
    stream(find(&api, id).await?, seat).await
}

/// `DELETE /v1/discovery/devices/{id}`: no request follows. What was found until then is the answer, and is forgotten.
pub(super) async fn end(State(api): State<Api>, id: Result<Path<String>, PathError>) -> Result<Response, Problem> {
    let given = path(id)?;
    let id: SurveyId = given.parse().map_err(|_| unknown(&given))?;
    let Some(field) = &api.options.field else { return Err(unknown(&given)) };
    let picture = field.surveys.end(id).await.ok_or_else(|| unknown(&given))?;
    Ok(as_json(text::json(&report(&picture))))
}

async fn find(api: &Api, id: Result<Path<String>, PathError>) -> Result<Survey, Problem> {
    let given = path(id)?;
    let id: SurveyId = given.parse().map_err(|_| unknown(&given))?;
    let Some(field) = &api.options.field else { return Err(unknown(&given)) };
    field.surveys.find(id).await.ok_or_else(|| unknown(&given))
}

async fn stream(survey: Survey, seat: Option<Extension<Seat>>) -> Result<Response, Problem> {
    let Some(events) = survey.follow().await else {
        return Err(Problem::new(&FULL, "as many follow this survey as may").limit("16 followers"));
    };
    if let Some(Extension(seat)) = seat {
        seat.leave();
    }
    // The handle goes with the stream: a survey that is forgotten elsewhere goes on for whoever follows it.
    let events = unfold((events, survey), async |(mut events, survey)| {
        let sent = sent(&events.recv().await?);
        Some((Ok::<_, Infallible>(sent), (events, survey)))
    });
    let mut response = Sse::new(Box::pin(events)).keep_alive(KeepAlive::new().interval(QUIET)).into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    Ok(response)
}

/// An event as it is sent. A device is told of even if it does not suffice; the report at the end says what it lacks.
fn sent(event: &Event) -> Sent {
    let (name, data) = match event {
        Event::Device(known) => ("found", devices::known(known)),
        Event::Answered(found) => {
            let mut row = devices::answered(&found.0);
            devices::placed(&mut row, &found.1);
            ("found", row)
        }
        Event::Progress(picture) => ("progress", progress(picture)),
        Event::Ended(picture) => ("finished", report(picture)),
    };
    Sent::default().event(name).data(data.to_string())
}

/// What a survey wants, from the body of the request.
fn read(body: &[u8], surveys: &Surveys) -> Result<Wanted, Problem> {
    let mut fields = Fields::body(body)?;
    let protocol = fields.parsed("protocol")?.unwrap_or(Protocol::Modbus);
    let units: Option<Units> = fields.parsed("units")?;
    let allowed: Vec<&ModbusSegment> = surveys.allowed(protocol).collect();
    let asked = fields.take("segment");
    let mut requirements = Requirements::default();
    if let Some(mut qos) = fields.within("qos")? {
        requirements.max_latency = qos.duration("max_latency", LONGEST)?;
        requirements.refresh = qos.duration("refresh", LONGEST)?;
        requirements.loss = qos.number("loss", 0.0, 1.0)?;
        qos.finish()?;
    }
    fields.finish()?;
    let (segment, named) = segment(asked, &allowed, protocol, units)?;
    Ok(Wanted { protocol, segment, named: named.into(), requirements })
}

/// A segment by its name in the configuration, by targets within what is configured, or all that is.
fn segment(
    asked: Option<Json>,
    allowed: &[&ModbusSegment],
    protocol: Protocol,
    units: Option<Units>,
) -> Result<(Segment, String), Problem> {
    let targets: Vec<String> = match &asked {
        None => Vec::new(),
        Some(Json::String(text)) => vec![text.clone()],
        Some(Json::Array(texts)) if (1..=MOST_TEXTS).contains(&texts.len()) && texts.iter().all(Json::is_string) => {
            texts.iter().filter_map(|text| text.as_str().map(str::to_owned)).collect()
        }
        Some(other) => return Err(Problem::field("segment", other, SEGMENT)),
    };
    let named: Vec<&&ModbusSegment> = match &targets[..] {
        [] => allowed.iter().collect(),
        [name] => allowed.iter().filter(|segment| *segment.name == **name).collect(),
        _ => Vec::new(),
    };
    let port = if let Protocol::Datagram(datagram) = protocol { datagram.port() } else { MODBUS_PORT };
    if !named.is_empty() {
        let name = named.iter().map(|segment| &*segment.name).collect::<Vec<_>>().join(", ");
        return Ok((asking(targets_of(&named, protocol), units, allowed, protocol)?, name));
    }
    if targets.is_empty() {
        let detail = format!("no segment of the configuration allows {protocol}: nothing is asked that nobody allowed");
        return Err(Problem::new(&NOT_ALLOWED, detail));
    }
    let segment = Segment::new(&targets, &[""; 0], units, port).map_err(|wrong| {
        let told: Vec<String> = wrong.iter().map(ToString::to_string).collect();
        Problem::field("segment", asked.as_ref().unwrap_or(&Json::Null), &format!("{SEGMENT} ({})", told.join("; ")))
    })?;
    if let Some(beyond) = beyond(&segment, allowed, protocol) {
        let detail = format!("{beyond} is in no configured segment that allows {protocol}, or is denied there");
        return Err(Problem::new(&NOT_ALLOWED, detail).about("segment", beyond.to_string()));
    }
    Ok((asking(segment.targets().to_vec(), units, allowed, protocol)?, targets.join(", ")))
}

/// All that these segments allow.
fn targets_of(segments: &[&&ModbusSegment], protocol: Protocol) -> Vec<Target> {
    let targets: BTreeSet<Target> = match protocol {
        Protocol::Modbus => segments.iter().flat_map(|segment| segment.segment.targets()).cloned().collect(),
        Protocol::Datagram(datagram) => {
            let sockets = segments.iter().flat_map(|segment| segment.sockets(datagram));
            sockets.map(|socket| Target::Tcp(socket.into())).collect()
        }
    };
    targets.into_iter().collect()
}

/// These targets, and of their units those that are wanted; none that is not allowed at every one of them.
fn asking(
    targets: Vec<Target>,
    wanted: Option<Units>,
    allowed: &[&ModbusSegment],
    protocol: Protocol,
) -> Result<Segment, Problem> {
    if protocol != Protocol::Modbus {
        return Ok(Segment::of(targets, None));
    }
    let usual = Segment::of(Vec::new(), None);
    let home = |target: &Target| allowed.iter().find(|home| home.segment.targets().binary_search(target).is_ok());
    let units = |target: &Target| home(target).map_or_else(Units::default, |home| home.segment.units(target));
    if wanted.is_none() && targets.iter().all(|target| units(target) == usual.units(target)) {
        return Ok(Segment::of(targets, None));
    }
    let everywhere: Units =
        (0..=255).map(Unit).filter(|unit| targets.iter().all(|target| units(target).contains(*unit))).collect();
    if let Some(beyond) = wanted.and_then(|wanted| wanted.iter().find(|unit| !everywhere.contains(*unit))) {
        let detail = format!("unit {beyond} is not allowed at every target of this segment");
        return Err(Problem::new(&NOT_ALLOWED, detail).about("units", beyond.to_string()));
    }
    Ok(Segment::of(targets, Some(wanted.unwrap_or(everywhere))))
}

/// A target that nobody allowed.
fn beyond<'a>(segment: &'a Segment, allowed: &[&ModbusSegment], protocol: Protocol) -> Option<&'a Target> {
    let addresses: BTreeSet<_> = allowed.iter().flat_map(|segment| segment.addresses()).collect();
    segment.targets().iter().find(|target| match protocol {
        Protocol::Modbus => !allowed.iter().any(|segment| segment.segment.targets().binary_search(target).is_ok()),
        Protocol::Datagram(_) => target.address().is_none_or(|address| !addresses.contains(&address.ip())),
    })
}

/// The whole of a survey: devices that suffice, best first; those that do not, with what they lack; who was left alone.
fn report(picture: &Picture) -> Json {
    let wants = &picture.wanted.requirements;
    let mut rows = Vec::new();
    let mut whole = match &picture.haul {
        Haul::Modbus { findings, known } => {
            for device in findings.devices() {
                let kept = known.get(&(device.target.clone(), device.unit));
                let quality = kept.and_then(|kept| kept.quality.as_ref());
                let row = kept.map_or_else(|| devices::device(device), devices::known);
                let priority = kept.map_or(0, |kept| kept.placement.priority);
                rows.push((wants.lacks(device.rtt, quality), priority, device.rtt, row));
            }
            devices::report(findings, &picture.wanted.segment, picture.elapsed)
        }
        Haul::Datagrams { found, tally, .. } => {
            for (device, placement) in found {
                let mut row = devices::answered(device);
                devices::placed(&mut row, placement);
                rows.push((wants.lacks(device.round_trip, None), placement.priority, device.round_trip, row));
            }
            devices::inquired(&[], *tally, &picture.wanted.segment, picture.elapsed)
        }
    };
    rows.sort_by_key(|(_, priority, rtt, _)| (std::cmp::Reverse(*priority), *rtt));
    let (mut left_out, mut suffice) = (Vec::new(), Vec::new());
    for (lacks, _, _, mut row) in rows {
        match lacks {
            None => suffice.push(row),
            Some(why) => {
                row["why"] = why.into();
                left_out.push(row);
            }
        }
    }
    whole["counts"]["devices"] = (suffice.len() + left_out.len()).into();
    (whole["devices"], whole["left_out"]) = (suffice.into(), left_out.into());
    head(picture, &mut whole);
    whole
}

/// How far a survey is.
fn progress(picture: &Picture) -> Json {
    let mut whole = report(picture);
    let counts = whole["counts"].take();
    let mut told = json!({ "counts": counts });
    if let Haul::Datagrams { left, .. } = &picture.haul {
        told["counts"]["asked"] = picture.wanted.segment.targets().len().saturating_sub(*left).into();
    }
    head(picture, &mut told);
    told
}

fn head(picture: &Picture, told: &mut Json) {
    told["id"] = picture.id.to_string().into();
    told["protocol"] = picture.wanted.protocol.as_str().into();
    told["segment"] = picture.wanted.named.as_ref().into();
    told["state"] = picture.state.as_str().into();
}

fn field(api: &Api) -> Result<&Field, Problem> {
    let detail = "no [[modbus.segment]] is configured: nothing is asked that nobody allowed";
    api.options.field.as_ref().ok_or_else(|| Problem::new(&NOT_ALLOWED, detail))
}

fn unknown(id: &str) -> Problem {
    Problem::new(&UNKNOWN_SURVEY, "no survey of that id is remembered").about("id", id)
}

impl From<NotBegun> for Problem {
    fn from(error: NotBegun) -> Self {
        let told = error.to_string();
        match error {
            NotBegun::Full => Self::new(&FULL, told).limit("4 surveys at once"),
            NotBegun::Asked(_, target) => Self::new(&TAKEN, told).about("segment", target.to_string()),
            NotBegun::Failed(_) => Self::new(&crate::api::problem::BUSY, told),
        }
    }
}

const ROOT: &str = "/v1/discovery/devices";
const SEGMENT: &str =
    "the name of a configured segment, or targets within one, like \"10.3.0.0/28\" or [\"10.3.0.9:502\"]";
/// Targets written one by one in a request.
const MOST_TEXTS: usize = 64;
/// The longest latency or period that may be required.
const LONGEST: Duration = Duration::from_secs(86_400);
const MODBUS_PORT: u16 = 502;
/// How long a stream is silent at the most.
const QUIET: Duration = Duration::from_secs(15);
