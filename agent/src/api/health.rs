//! How the agent is, for programs and for Prometheus.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use wayside_core::agent::Agent;
use wayside_core::counters::Counters;
use wayside_core::registry::Footing;
use wayside_protocols::time::{Timestamp, UnixMillis};

use crate::api::position::PositionJson;
use crate::api::problem::Problem;
use crate::api::routes::as_json;
use crate::api::{Api, Positioned, text};

/// `GET /v1/discovery/health`.
pub(super) async fn report(State(api): State<Api>) -> Result<Response, Problem> {
    let vitals = Vitals::read(&api).await?;
    let wall = api.options.clock.wall();
    let trouble = api.options.journal.as_ref().is_some_and(|journal| journal.failing());
    let positioned = api.options.positioned.clone();
    let position = api.handle.read(move |agent, now| PositionJson::new(agent, &positioned, now)).await?;
    let registry = RegistryJson::read(&api).await?;
    // An agent that nobody has placed is in order; one whose receiver lost its way is not.
    let lost = position.reason().filter(|_| matches!(api.options.positioned, Positioned::Gpsd(_)));
    let problems: Vec<_> = trouble
        .then_some("the state directory takes no registrations; those made before hold, new ones are refused")
        .into_iter()
        .chain((!wall.plausible()).then_some("the wall clock was never set; timestamp means nothing"))
        .map(Cow::Borrowed)
        .chain(lost.map(|reason| Cow::Owned(reason.to_owned())))
        .chain(registry.as_ref().and_then(RegistryJson::trouble))
        .collect();
    let starting = registry.as_ref().is_some_and(|registry| !registry.ready);
    let offline = registry.as_ref().is_some_and(|registry| registry.footing == "lost");
    let report = Health {
        status: match (starting, trouble || offline) {
            (true, _) => "starting",
            (false, true) => "degraded",
            (false, false) => "ok",
        },
        timestamp: rfc3339(wall),
        clock_trusted: wall.plausible(),
        agent: api.options.agent.as_str(),
        version: env!("CARGO_PKG_VERSION"),
        problems,
        position,
        registry,
        metrics: vitals.named(),
    };
    Ok(as_json(text::json(&report)))
}

#[derive(Serialize)]
struct Health<'a> {
    status: &'static str,
    timestamp: String,
    clock_trusted: bool,
    agent: &'a str,
    version: &'static str,
    problems: Vec<Cow<'static, str>>,
    position: PositionJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    registry: Option<RegistryJson>,
    metrics: BTreeMap<String, u64>,
}

/// How a registry stands with what keeps its records.
#[derive(Serialize)]
struct RegistryJson {
    engine: &'static str,
    /// Whether questions are answered.
    ready: bool,
    footing: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl RegistryJson {
    async fn read(api: &Api) -> Result<Option<Self>, Problem> {
        let Some(desk) = &api.options.registry else { return Ok(None) };
        let footing = api.handle.read(|agent, _| agent.registry().cloned()).await?;
        let (footing, reason) = match footing {
            None | Some(Footing::CatchingUp) => ("catching-up", None),
            Some(Footing::Following) => ("following", None),
            Some(Footing::Lost(why)) => ("lost", Some(why.into())),
        };
        Ok(Some(Self { engine: desk.engine(), ready: desk.ready(), footing, reason }))
    }

    fn trouble(&self) -> Option<Cow<'static, str>> {
        match (self.ready, self.footing, self.engine) {
            (false, ..) => Some("the registry has not caught up with its engine and answers nobody".into()),
            (true, "lost", _) => Some(
                format!(
                    "the engine cannot be reached ({}): nothing new is taken, and what is answered grows stale",
                    self.reason.as_deref().unwrap_or_default()
                )
                .into(),
            ),
            (true, _, "memory") => {
                Some("the registry keeps its records in memory: they end with it, and no other node has them".into())
            }
            (true, ..) => None,
        }
    }
}

/// Everything that is counted or measured, under its name.
pub(super) struct Vitals {
    gauges: Vec<(&'static str, u64)>,
    counters: BTreeMap<String, u64>,
}

impl Vitals {
    pub(super) async fn read(api: &Api) -> Result<Self, Problem> {
        let (mut gauges, counted) = api.handle.read(look).await?;
        let mut counters: Vec<_> = counted.iter().chain(api.handle.tally().iter()).chain(api.tally.iter()).collect();
        if let Some(journal) = &api.options.journal {
            gauges.push(("journal_failing", u64::from(journal.failing())));
            counters.extend([
                ("state_bytes_written", journal.bytes_written()),
                ("state_syncs", journal.syncs()),
                ("state_failures", journal.failures()),
            ]);
        }
        let named = |(name, value): (&str, u64)| (format!("{}_total", name.trim_end_matches("_total")), value);
        Ok(Self { gauges, counters: counters.into_iter().map(named).collect() })
    }

    /// All of it by name.
    pub(super) fn named(self) -> BTreeMap<String, u64> {
        self.gauges.into_iter().map(|(name, value)| (name.into(), value)).chain(self.counters).collect()
    }
}

fn look(agent: &Agent, now: Timestamp) -> (Vec<(&'static str, u64)>, Counters) {
    let (status, here) = (agent.status(now), agent.whereabouts(now));
    let mut gauges = vec![
        ("uptime_seconds", now.as_micros() / 1_000_000),
        ("epoch", u64::from(agent.settings().epoch)),
        ("services", status.services as u64),
        ("services_placed", status.placed as u64),
        ("registrations", agent.registrations(now).count() as u64),
        ("peers", status.peers as u64),
        ("watchers", status.watchers as u64),
        ("beacon_interval_milliseconds", status.beacon_interval_ms),
        ("broker_up", u64::from(status.broker_up)),
        ("position_known", u64::from(here.is_ok())),
        ("position_certain", u64::from(here.is_ok_and(|here| here.certain))),
        ("position_age_seconds", agent.own_fix().map_or(0, |fix| now.since(fix.time).as_secs())),
        ("position_sigma_centimetres", here.map_or(0, |here| (here.sigma * 100.0) as u64)),
        ("clock_trusted", u64::from(status.clock_trusted)),
    ];
    if let Some(held) = agent.upstream(now) {
        gauges.extend([
            ("upstream_questions_held", held.questions as u64),
            ("upstream_rows_held", held.rows as u64),
            ("upstream_bytes_held", held.bytes as u64),
            ("upstream_nodes", held.nodes as u64),
            ("upstream_nodes_open", held.nodes_open as u64),
            ("upstream_latency_microseconds", held.latency.map_or(0, |latency| latency.as_micros() as u64)),
        ]);
    }
    (gauges, agent.counters())
}

/// `2026-11-22T18:43:37.123Z`.
fn rfc3339(wall: UnixMillis) -> String {
    let (seconds, millis) = (wall.0 / 1_000, wall.0 % 1_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days to a date in the proleptic Gregorian calendar, counted in eras of 400 years from 0000-03-01.
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_735_689_599_999, "2024-12-31T23:59:59.999Z"),
            (1_795_373_017_123, "2026-11-22T18:43:37.123Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(UnixMillis(millis)), text);
        }
    }
}
