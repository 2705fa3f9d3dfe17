//! Traces of questions: in whose name one is asked, and what is recorded of it.
//!
//! "Trace Context" (W3C Recommendation, 2021-11-23) rules the header, and OTLP 1.x its JSON: ids are
//! hexadecimal, numbers of 64 bits are texts.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value as Json, json};
use tokio::sync::mpsc;
use wayside_core::query::{Answer, Outcome, Tier, TierReport, Trace, Unreached};
use wayside_protocols::text::escaped;
use wayside_protocols::time::{Duration, Timestamp};

use crate::clock::Clock;
use crate::count::AtomicU64;
use crate::driver::Tally;

/// Hands what is to be recorded to whoever sends it, and never waits for it. Clones share one queue.
#[derive(Clone, Debug)]
pub struct Recorder {
    records: mpsc::Sender<Record>,
    /// Of the first 64 bits of an id, those below this are sampled; `None` for all.
    below: Option<u64>,
    ids: Arc<(RandomState, AtomicU64)>,
    tally: Arc<Tally>,
    clock: Clock,
}

/// A question that is being answered, and who asked in whose name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What goes on to whoever is asked because of it.
    pub trace: Trace,
    parent: Option<u64>,
    began: Timestamp,
}

/// What is recorded of one question.
#[derive(Debug)]
pub struct Record {
    asked: Asked,
    /// Nanoseconds since 1970 when it began.
    wall: u64,
    took: Duration,
    service: Box<str>,
    answered: Result<(Option<Tier>, usize), u16>,
    tiers: Vec<(TierReport, Option<Unreached>)>,
}

impl Recorder {
    /// Records a part of `ratio` of the questions nobody else traces.
    pub fn new(records: mpsc::Sender<Record>, ratio: f64, tally: Arc<Tally>, clock: Clock) -> Self {
        // The cast saturates; 1 is all of them.
        let below = (ratio < 1.0).then_some((ratio * u64::MAX as f64) as u64);
        Self { records, below, ids: Arc::default(), tally, clock }
    }

    /// A question begins. With a `traceparent` that can be read it belongs to that trace, sampled or not as it says there.
    pub fn begin(&self, traceparent: Option<&str>) -> Asked {
        let serial = self.ids.1.fetch_add(1, Ordering::Relaxed);
        let draw = |part: u64| self.ids.0.hash_one((serial, part));
        let began = self.clock.now();
        let span = Trace::root(draw(2));
        if let Some(Trace { id, span: parent, sampled }) = traceparent.and_then(read) {
            return Asked { trace: Trace { id, span, sampled }, parent: Some(parent), began };
        }
        let (high, low) = (draw(0), draw(1) | 1);
        let sampled = self.below.is_none_or(|below| high < below);
        let id = u128::from(high) << 64 | u128::from(low);
        Asked { trace: Trace { id, span, sampled }, parent: None, began }
    }

    /// It was answered, or refused with a status. A record that finds no place is dropped and counted.
    pub fn end(&self, asked: Asked, service: &str, answered: Result<&Answer, u16>) {
        if !asked.trace.sampled {
            return;
        }
        let took = self.clock.now() - asked.began;
        let now = self.clock.wall().0.saturating_mul(1_000_000);
        let record = Record {
            asked,
            wall: now.saturating_sub(nanos(took)),
            took,
            service: escaped(service).into(),
            answered: answered.map(|answer| (answer.tier, answer.matches.len())),
            tiers: answered.map_or_else(|_| Vec::new(), tiers),
        };
        if let Err(refused) = self.records.try_send(record) {
            let (mpsc::error::TrySendError::Full(record) | mpsc::error::TrySendError::Closed(record)) = refused;
            self.tally.otlp_spans_dropped.fetch_add(record.spans() as u64, Ordering::Relaxed);
        }
    }
}

impl Record {
    /// How many spans it is.
    pub fn spans(&self) -> usize {
        1 + self.tiers.len()
    }

    /// They, in OTLP's JSON: the question, and below it each tier that was asked, one after the other.
    pub fn json(&self) -> Vec<Json> {
        let Asked { trace, parent, .. } = self.asked;
        let mut attributes = vec![text("wayside.service", &self.service)];
        let mut status = json!({});
        match self.answered {
            Ok((tier, matches)) => {
                attributes.push(text("wayside.tier", tier.map_or("none", Tier::as_str)));
                attributes.push(number("wayside.matches", matches));
            }
            Err(code) => {
                attributes.push(number("http.response.status_code", code.into()));
                status = json!({ "code": 2 });
            }
        }
        let mut spans = vec![json!({
            "traceId": format!("{:032x}", trace.id), "spanId": format!("{:016x}", trace.span),
            "parentSpanId": parent.map_or_else(String::new, |parent| format!("{parent:016x}")),
            "name": "query", "kind": 2,
            "startTimeUnixNano": self.wall.to_string(),
            "endTimeUnixNano": (self.wall + nanos(self.took)).to_string(),
            "attributes": attributes, "status": status,
        })];
        let mut start = self.wall;
        for (place, (report, unreached)) in self.tiers.iter().enumerate() {
            let nth = self.tiers.iter().take(place).filter(|(before, _)| before.tier == report.tier).count();
            let mut attributes = vec![
                text("wayside.tier", report.tier.as_str()),
                text("wayside.outcome", report.outcome.as_str()),
                number("wayside.fitting", report.fitting),
            ];
            if let Some(Unreached { reason, cause, .. }) = unreached {
                attributes.extend([text("wayside.cause", cause.as_str()), text("wayside.reason", &escaped(reason))]);
            }
            let end = start + nanos(report.took);
            let beyond = matches!(report.tier, Tier::Region | Tier::Cloud);
            spans.push(json!({
                "traceId": format!("{:032x}", trace.id),
                "spanId": format!("{:016x}", trace.at(report.tier, nth).span),
                "parentSpanId": format!("{:016x}", trace.span),
                "name": format!("tier {}", report.tier.as_str()), "kind": if beyond { 3 } else { 1 },
                "startTimeUnixNano": start.to_string(), "endTimeUnixNano": end.to_string(),
                "attributes": attributes,
                "status": if unreached.is_some() { json!({ "code": 2 }) } else { json!({}) },
            }));
            start = end;
        }
        spans
    }
}

/// Those that were asked, each with why it could not be reached.
fn tiers(answer: &Answer) -> Vec<(TierReport, Option<Unreached>)> {
    let mut unreached = answer.unreached.iter();
    let asked = answer
        .explain
        .iter()
        .filter(|report| matches!(report.outcome, Outcome::Answered | Outcome::Empty | Outcome::Unreached));
    let with_reason = |report: &TierReport| {
        let failed = report.outcome == Outcome::Unreached;
        let reason = failed.then(|| unreached.find(|reason| reason.tier == report.tier).cloned()).flatten();
        (report.clone(), reason)
    };
    asked.map(with_reason).collect()
}

/// Reads a `traceparent`; `None` if it is none, or of the version that is forbidden.
pub fn read(header: &str) -> Option<Trace> {
    let mut parts = header.trim().splitn(5, '-');
    let (version, id, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex =
        |text: &str, length| text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let right = hex(version, 2) && hex(id, 32) && hex(span, 16) && hex(flags, 2);
    // Nothing follows in the first version; what follows in others is theirs.
    if !right || version == "ff" || (version == "00" && parts.next().is_some()) {
        return None;
    }
    let id = u128::from_str_radix(id, 16).ok().filter(|id| *id != 0)?;
    let span = u64::from_str_radix(span, 16).ok().filter(|span| *span != 0)?;
    let sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
    Some(Trace { id, span, sampled })
}

/// As a `traceparent`.
pub fn written(trace: &Trace) -> String {
    format!("00-{:032x}-{:016x}-{:02x}", trace.id, trace.span, u8::from(trace.sampled))
}

/// An attribute.
pub fn text(key: &str, value: &str) -> Json {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn number(key: &str, value: usize) -> Json {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorder(ratio: f64) -> (Recorder, mpsc::Receiver<Record>) {
        let (records, kept) = mpsc::channel(2);
        (Recorder::new(records, ratio, Arc::default(), Clock::start()), kept)
    }

    #[test]
    fn a_traceparent_is_read_as_it_is_written() {
        let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(written(&read(given).unwrap()), given);
        assert!(read("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes").is_some());
    }

    #[test]
    fn what_is_no_traceparent_begins_a_trace_of_its_own() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let (recorder, _kept) = recorder(1.0);
        for bad in [
            String::new(),
            format!("ff-{id}-00f067aa0ba902b7-01"),
            format!("00-{id}-00f067aa0ba902b7-01-x"),
            format!("00-{id}-0000000000000000-01"),
            format!("00-{}-00f067aa0ba902b7-01", id.to_uppercase()),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{id}-00f067aa0ba902b-01"),
            format!("00-{id}-00f067aa0ba902b7"),
            "é".repeat(30),
        ] {
            assert_eq!(read(&bad), None, "{bad}");
            let asked = recorder.begin(Some(&bad));
            assert!(asked.parent.is_none() && asked.trace.id != 0 && asked.trace.sampled);
        }
    }

    #[test]
    fn the_ratio_is_the_part_that_is_sampled_and_a_traceparent_decides_for_itself() {
        let (recorder, _kept) = recorder(0.25);
        let sampled = (0..4_000).filter(|_| recorder.begin(None).trace.sampled).count();
        assert!((800..1_200).contains(&sampled), "{sampled}");
        for (flags, sampled) in [("00", false), ("01", true)] {
            let given = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}");
            assert_eq!(recorder.begin(Some(&given)).trace.sampled, sampled);
        }
    }

    #[test]
    fn a_full_queue_drops_and_counts_and_waits_for_nobody() {
        let (recorder, mut kept) = recorder(1.0);
        for _ in 0..5 {
            recorder.end(recorder.begin(None), "charging", Ok(&Answer::default()));
        }
        assert_eq!(recorder.tally.otlp_spans_dropped.load(Ordering::Relaxed), 3);
        let spans = kept.try_recv().unwrap().json();
        assert_eq!((spans.len(), &spans[0]["name"], &spans[0]["parentSpanId"]), (1, &json!("query"), &json!("")));
    }
}
