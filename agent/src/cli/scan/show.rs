//! What was found, or would be asked, in the shape that is wanted.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};
use wayside_protocols::modbus::segment::Segment;
use wayside_protocols::modbus::survey::Forecast;
use wayside_protocols::modbus::survey::pace::Pace;
use wayside_protocols::text::escaped;

use super::Shape;
use crate::cli::output::tame;

/// A report of the API's shape, `{devices, refused, counts}`, as text.
pub(super) fn report(report: &Json, shape: Shape, colour: bool) -> String {
    match shape {
        Shape::Json => format!("{}\n", tame(&report.to_string())),
        Shape::Jsonl => devices(report).iter().map(|row| format!("{}\n", tame(&row.to_string()))).collect(),
        Shape::Table | Shape::Wide | Shape::Td => page(report, shape == Shape::Wide, colour),
    }
}

/// Thing Descriptions, as one array.
pub(super) fn things(things: &[Json]) -> String {
    format!("{}\n", tame(&Json::from(things).to_string()))
}

/// What a survey would cost at the most. Nothing was sent for it.
pub(super) fn forecast(segment: &Segment, pace: &Pace, shape: Shape) -> String {
    let all = Forecast::of(segment, segment.targets(), pace);
    let by_target: Vec<(&str, Forecast)> =
        segment.written().map(|(name, targets)| (name, Forecast::of(segment, targets, pace))).collect();
    if matches!(shape, Shape::Json | Shape::Jsonl | Shape::Td) {
        let counted = |forecast: &Forecast| {
            json!({
                "addresses": forecast.addresses,
                "connections_at_most": forecast.connections,
                "requests_at_most": forecast.requests,
            })
        };
        let rows = by_target.iter().map(|(name, forecast)| {
            let mut row = counted(forecast);
            row["target"] = (*name).into();
            row
        });
        let mut whole = counted(&all);
        whole["denied"] = segment.denied().len().into();
        let whole = json!({ "dry_run": whole, "targets": rows.collect::<Vec<_>>() });
        return format!("{}\n", tame(&whole.to_string()));
    }
    let mut rows = vec![["TARGET", "ADDRESSES", "CONNECTIONS", "REQUESTS"].map(str::to_owned).to_vec()];
    rows.extend(by_target.iter().map(|(name, forecast)| {
        vec![
            escaped(name).into(),
            forecast.addresses.to_string(),
            format!("<= {}", forecast.connections),
            format!("<= {}", forecast.requests),
        ]
    }));
    let mut text = columns(&rows, false);
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "{} addresses, {} denied: one connection is tried to each. Where nobody listens no request follows; whoever \
         listens gets at most {} a second, one at a time. At most {} connections and {} requests. Nothing was sent.",
        all.addresses,
        segment.denied().len(),
        pace.host_requests,
        all.connections,
        all.requests
    );
    text
}

fn page(report: &Json, wide: bool, colour: bool) -> String {
    let found = devices(report);
    let columns_shown: Vec<&Column> = COLUMNS.iter().filter(|column| wide || !column.wide).collect();
    let mut rows = vec![columns_shown.iter().map(|column| column.heading.to_owned()).collect::<Vec<_>>()];
    rows.extend(found.iter().map(|row| columns_shown.iter().map(|column| (column.cell)(row)).collect()));
    let mut text = if found.is_empty() { String::new() } else { columns(&rows, colour) };
    for refused in report["refused"].as_array().into_iter().flatten().filter(|row| row["reason"] != "denied") {
        let (address, reason) = (said(&refused["address"]), said(&refused["reason"]));
        let units = match refused["units_not_asked"].as_u64() {
            Some(units @ 1..) => format!("; {units} units not asked"),
            _ => String::new(),
        };
        let _ = writeln!(text, "{address}  {reason}{units}");
    }
    let counts = &report["counts"];
    let number = |key: &str| counts[key].as_u64().unwrap_or(0);
    let denied = if number("denied") > 0 { format!(", {} denied", number("denied")) } else { String::new() };
    let _ = writeln!(
        text,
        "{} devices on {} addresses{denied} · {} connections, {} requests · {:.1} s",
        found.len(),
        number("addresses"),
        number("connections"),
        number("requests"),
        number("elapsed_ms") as f64 / 1e3
    );
    text
}

struct Column {
    heading: &'static str,
    wide: bool,
    cell: fn(&Json) -> String,
}

const fn column(heading: &'static str, cell: fn(&Json) -> String) -> Column {
    Column { heading, wide: false, cell }
}

const COLUMNS: [Column; 13] = [
    column("ADDRESS", |row| said(&row["address"])),
    column("UNIT", |row| said(&row["unit"])),
    column("CLASS", |row| said(&row["service"]).trim_start_matches("modbus.").to_owned()),
    column("MANUFACTURER", |row| said(&row["manufacturer"])),
    column("MODEL", |row| said(&row["model"])),
    column("VERSION", |row| said(&row["version"])),
    column("SERIAL", |row| said(&row["serial"])),
    column("PROFILE", |row| said(&row["profile"])),
    column("CONFIDENCE", |row| format!("{:.2}", row["confidence"].as_f64().unwrap_or(0.0))),
    column("RTT", |row| format!("{:.1} ms", row["rtt_ms"].as_f64().unwrap_or(0.0))),
    Column { wide: true, ..column("IDENTIFIED BY", |row| said(&row["identified_by"])) },
    Column { wide: true, ..column("ALSO AT", |row| said(&row["aliases"])) },
    Column {
        wide: true,
        ..column("WHY", |row| {
            let lines = row["explain"].as_array().into_iter().flatten().map(said);
            lines.collect::<Vec<_>>().join("; ")
        })
    },
];

/// What stands there, safe for a terminal; a dash for nothing.
fn said(value: &Json) -> String {
    match value {
        Json::Null => "-".to_owned(),
        Json::String(text) => escaped(text).into(),
        Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => escaped(&value.to_string()).into(),
    }
}

fn columns(rows: &[Vec<String>], colour: bool) -> String {
    let count = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> =
        (0..count).map(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        let (on, off) = if colour && index == 0 { ("\u{1b}[1m", "\u{1b}[0m") } else { ("", "") };
        let _ = writeln!(text, "{on}{}{off}", line.trim_end());
    }
    text
}

fn devices(report: &Json) -> &[Json] {
    report["devices"].as_array().map_or(&[], Vec::as_slice)
}
