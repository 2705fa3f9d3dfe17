//! Instances as columns.

use std::fmt::Write as _;

use wayside_protocols::place::Distance;
use wayside_protocols::text::escaped;

use super::answer::Instance;

/// Instances as a table, one line each below a heading. `wide` shows every column; `colour` is for terminals.
pub(super) fn table(instances: &[Instance], wide: bool, colour: bool) -> String {
    let placed = instances.iter().any(|instance| instance.distance_m.is_some());
    let columns: Vec<&Column> =
        COLUMNS.iter().filter(|column| (placed || !column.placed) && (wide || !column.wide)).collect();
    let mut rows = vec![columns.iter().map(|column| column.heading.to_owned()).collect::<Vec<_>>()];
    rows.extend(instances.iter().map(|row| columns.iter().map(|column| escaped(&(column.cell)(row)).into()).collect()));
    let widths: Vec<usize> = (0..columns.len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        let mut line = String::new();
        for ((cell, width), column) in row.iter().zip(&widths).zip(&columns) {
            let pad = " ".repeat(width - cell.chars().count());
            line += &if column.right { format!("{pad}{cell}  ") } else { format!("{cell}{pad}  ") };
        }
        let flags = index.checked_sub(1).and_then(|index| instances.get(index)).map(flags).unwrap_or_default();
        let (on, off) = if colour { (colour_of(index, &flags), RESET) } else { ("", "") };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{on}{}{off}", format!("{line}{flags}").trim_end());
    }
    text
}

struct Column {
    heading: &'static str,
    right: bool,
    placed: bool,
    wide: bool,
    cell: fn(&Instance) -> String,
}

const fn column(heading: &'static str, cell: fn(&Instance) -> String) -> Column {
    Column { heading, right: false, placed: false, wide: false, cell }
}

const COLUMNS: [Column; 18] = [
    Column { right: true, placed: true, ..column("DIST", |row| row.distance_m.map_or_else(none, distance)) },
    Column {
        placed: true,
        ..column("BRG", |row| row.bearing_deg.map_or_else(none, |degrees| compass(degrees).into()))
    },
    column("ID", |row| row.id.clone()),
    column("NAME", |row| row.name.clone()),
    column("KIND", |row| row.kind.clone()),
    column("ADDRESS", endpoint),
    column("SOURCE", |row| row.sources.join(",")),
    Column { right: true, ..column("AGE", |row| age(row.age_ms)) },
    column("TRUST", |row| row.trust.clone()),
    Column { wide: true, ..column("TIER", |row| row.tier.clone()) },
    Column { wide: true, placed: true, ..column("VERDICT", |row| row.verdict.clone()) },
    Column { wide: true, placed: true, right: true, ..column("SIGMA", |row| row.sigma_m.map_or_else(none, distance)) },
    Column { wide: true, right: true, ..column("LATENCY", latency) },
    Column { wide: true, ..column("HEALTH", |row| row.health_status.clone()) },
    Column { wide: true, right: true, ..column("PRIO", |row| row.priority.to_string()) },
    Column {
        wide: true,
        right: true,
        ..column("TTL", |row| row.ttl_s.map_or_else(none, |ttl| age((ttl * 1e3) as u64)))
    },
    Column { wide: true, ..column("POSITION", position) },
    Column { wide: true, ..column("RESOURCES", |row| pairs(&row.resources)) },
];

fn none() -> String {
    "-".to_owned()
}

/// What catches the eye behind the last column.
fn flags(row: &Instance) -> String {
    let flags = [
        (row.critical, "CRITICAL"),
        (row.verdict == "possible", "POSSIBLE"),
        (row.health_status == "failing", "FAILING"),
        (row.stale, "STALE"),
    ];
    flags.iter().filter(|(raised, _)| *raised).map(|(_, flag)| *flag).collect::<Vec<_>>().join(" ")
}

fn colour_of(index: usize, flags: &str) -> &'static str {
    match index {
        0 => "\u{1b}[1m",
        _ if flags.contains("STALE") || flags.contains("FAILING") => "\u{1b}[33m",
        _ => "",
    }
}

const RESET: &str = "\u{1b}[0m";

/// `59 m`, `1.5 km`.
pub(super) fn distance(metres: f64) -> String {
    Distance::new(metres).map_or_else(|_| none(), |distance| distance.to_string())
}

/// One of eight directions; `bearing` is degrees clockwise from north.
pub(super) fn compass(bearing: f64) -> &'static str {
    const WINDS: [&str; 8] = ["N", "NE", "E", "SE", "S", "SW", "W", "NW"];
    WINDS[(((bearing + 22.5).rem_euclid(360.0) / 45.0) as usize).min(7)]
}

/// How long ago: `0s`, `41s`, `6m`, `3h`, `2d`.
pub(super) fn age(millis: u64) -> String {
    match millis / 1_000 {
        seconds @ ..120 => format!("{seconds}s"),
        seconds @ ..7_200 => format!("{}m", seconds / 60),
        seconds @ ..172_800 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// `address:port`, an IPv6 address in brackets.
pub(super) fn endpoint(row: &Instance) -> String {
    match (&row.address, row.port) {
        (Some(address), Some(port)) if address.contains(':') => format!("[{address}]:{port}"),
        (Some(address), Some(port)) => format!("{address}:{port}"),
        (Some(address), None) => address.clone(),
        (None, Some(port)) => format!(":{port}"),
        (None, None) => none(),
    }
}

pub(super) fn position(row: &Instance) -> String {
    row.position.map_or_else(none, |place| format!("{:.6},{:.6}", place.lat, place.lon))
}

fn latency(row: &Instance) -> String {
    let sign = if row.performance_metrics.latency_basis.as_deref() == Some("estimated") { "~" } else { "" };
    row.performance_metrics.latency_ms.map_or_else(none, |millis| format!("{sign}{millis:.1} ms"))
}

/// `power_kw=22 plug=ccs2`.
pub(super) fn pairs(pairs: &std::collections::BTreeMap<String, serde_json::Value>) -> String {
    let word = |value: &serde_json::Value| value.as_str().map_or_else(|| number(value), str::to_owned);
    pairs.iter().map(|(key, value)| format!("{key}={}", word(value))).collect::<Vec<_>>().join(" ")
}

fn number(value: &serde_json::Value) -> String {
    value.as_f64().map_or_else(|| value.to_string(), |number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instances() -> Vec<Instance> {
        let text = r#"[
            {"id":"cp1@shell","name":"charging","kind":"device","address":"10.0.0.5","port":8080,
             "position":{"lat":48.8566,"lon":2.3522},"resources":{"power_kw":22.0,"plug":"ccs2"},
             "health_status":"unknown","distance_m":58.7,"bearing_deg":270.0,"age_ms":4100,"sigma_m":1.0,
             "verdict":"definite","tier":"local","sources":["mqtt"],"trust":"unsigned","ttl_s":55.9,
             "performance_metrics":{"latency_ms":1.25,"latency_basis":"measured"}},
            {"id":"e\u001b[2Jvil","name":"charging","kind":"vehicle","address":"fe80::1%eth0","port":7000,
             "distance_m":1496.2,"bearing_deg":359.9,"age_ms":360000,"verdict":"possible","sources":["mdns","mqtt"],
             "trust":"signed","stale":true,"health_status":"failing"}]"#;
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_table_lines_up_and_nothing_in_it_steers_the_terminal() {
        insta::assert_snapshot!(table(&instances(), false, false), @r#"
          DIST  BRG  ID             NAME      KIND     ADDRESS              SOURCE     AGE  TRUST
          59 m  W    cp1@shell      charging  device   10.0.0.5:8080        mqtt        4s  unsigned
        1.5 km  N    e\u{1b}[2Jvil  charging  vehicle  [fe80::1%eth0]:7000  mdns,mqtt   6m  signed    POSSIBLE FAILING STALE
        "#);
    }

    #[test]
    fn a_wide_table_shows_everything() {
        insta::assert_snapshot!(table(&instances()[..1], true, false), @r#"
        DIST  BRG  ID         NAME      KIND    ADDRESS        SOURCE  AGE  TRUST     TIER   VERDICT   SIGMA  LATENCY  HEALTH   PRIO  TTL  POSITION            RESOURCES
        59 m  W    cp1@shell  charging  device  10.0.0.5:8080  mqtt     4s  unsigned  local  definite    1 m   1.2 ms  unknown     0  55s  48.856600,2.352200  plug=ccs2 power_kw=22
        "#);
    }

    #[test]
    fn without_distances_there_are_no_columns_for_them() {
        let mut rows = instances();
        rows.truncate(1);
        rows[0].distance_m = None;
        insta::assert_snapshot!(table(&rows, false, false), @r#"
        ID         NAME      KIND    ADDRESS        SOURCE  AGE  TRUST
        cp1@shell  charging  device  10.0.0.5:8080  mqtt     4s  unsigned
        "#);
    }

    #[test]
    fn the_wind_blows_from_eight_directions() {
        let winds = [0.0, 22.4, 22.6, 90.0, 181.0, 270.0, 337.6, 359.99].map(compass);
        assert_eq!(winds, ["N", "N", "NE", "E", "S", "W", "N", "N"]);
    }
}
