//! A survey by library call, and what it found as a table.

use std::error::Error;
use std::fmt::Write as _;

use serde_json::Value;
use wayside::api::devices;
use wayside::clock::Clock;
use wayside::io::bus::findings::Findings;
use wayside::io::bus::{Audit, desk, round};
use wayside::profiles;
use wayside_protocols::modbus::segment::Segment;
use wayside_protocols::modbus::survey::Survey;
use wayside_protocols::modbus::survey::pace::Pace;

/// Surveys `target` to the end.
pub(crate) async fn survey(target: &str) -> Result<Value, Box<dyn Error>> {
    let segment = Segment::new(&[target], &[""; 0], None, 502).map_err(|wrong| format!("{wrong:?}"))?;
    let clock = Clock::start();
    let begun = clock.now();
    let (bus, keep) = desk(Audit::default(), clock);
    let survey = Survey::new(segment.clone(), profiles::shipped(), Pace::default(), 1, begun);
    let mut findings = Findings::default();
    let work = async {
        let mut round = round::Round::new(survey, bus, clock);
        while let Some(event) = round.next().await {
            findings.note(event, round.counts());
        }
    };
    tokio::join!(work, keep);
    Ok(devices::report(&findings, &segment, clock.now().since(begun)))
}

/// One line a device.
pub(crate) fn table(report: &Value) -> String {
    let mut rows =
        vec![["ADDRESS", "UNIT", "SERVICE", "MANUFACTURER", "MODEL", "SERIAL", "PROFILE"].map(str::to_owned)];
    for device in report["devices"].as_array().into_iter().flatten() {
        let keys = ["address", "unit", "service", "manufacturer", "model", "serial", "profile"];
        rows.push(keys.map(|key| match &device[key] {
            Value::String(text) => text.clone(),
            Value::Null => "-".to_owned(),
            value @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => value.to_string(),
        }));
    }
    let widths: Vec<usize> =
        (0..7).map(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect::<Vec<_>>();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    let counts = &report["counts"];
    let _ = writeln!(
        text,
        "{} devices, {} connections, {} requests, {:.1} s",
        counts["devices"],
        counts["connections"],
        counts["requests"],
        counts["elapsed_ms"].as_f64().unwrap_or(0.0) / 1e3
    );
    text
}
