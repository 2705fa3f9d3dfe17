//! `wayside services --rejected`.

use std::fmt::Write as _;

use hyper::Method;
use serde::Deserialize;
use wayside_protocols::text::escaped;

use super::client::{Client, Reply};
use super::exit::{Failure, Outcome};
use super::find::Told;
use super::output::{Screen, Shape, tame};
use super::table::age;

#[derive(Debug, Deserialize)]
struct Rejections {
    rejected: Vec<Rejection>,
}

#[derive(Debug, Deserialize)]
struct Rejection {
    what: String,
    who: String,
    why: String,
    age_ms: u64,
    times: u64,
}

/// Asks what was refused lately, and shows it.
pub(super) async fn show(told: &Told) -> Result<Outcome, Failure> {
    let client = Client::new(&told.asking);
    let reply = client.call(Method::GET, "/v1/discovery/rejected", String::new()).await?;
    let Reply::Body(text) = reply else { return Err(client.gibberish("it knows no /v1/discovery/rejected")) };
    let raw: serde_json::Value = serde_json::from_str(&text).map_err(|error| client.gibberish(error))?;
    let Rejections { rejected } = Rejections::deserialize(&raw).map_err(|error| client.gibberish(error))?;
    let rows = raw.get("rejected").and_then(serde_json::Value::as_array).map_or(&[][..], Vec::as_slice);
    let shown = match told.output {
        Shape::Table | Shape::Wide => page(&rejected),
        Shape::Json => format!("{}\n", tame(text.trim_end())),
        Shape::Jsonl => rows.iter().map(|row| format!("{}\n", tame(&row.to_string()))).collect(),
        Shape::Geojson => return Err(Failure::Usage("what was refused stands nowhere; ask for json".to_owned())),
    };
    Screen::open().show(&shown)?;
    Ok(if rejected.is_empty() { Outcome::Nothing } else { Outcome::Found })
}

fn page(rejected: &[Rejection]) -> String {
    if rejected.is_empty() {
        return "nothing was refused\n".to_owned();
    }
    let width = |of: fn(&Rejection) -> String, least: usize| {
        rejected.iter().map(|known| of(known).chars().count()).fold(least, usize::max)
    };
    let (what, who) = (width(|known| known.what.clone(), 4), width(|known| escaped(&known.who).into(), 3));
    let mut text = format!(" AGE  TIMES  {:what$}  {:who$}  WHY\n", "WHAT", "WHO");
    for known in rejected {
        let (name, why) = (escaped(&known.who), escaped(&known.why));
        // Writing to a String cannot fail.
        let _ =
            writeln!(text, "{:>4}  {:>5}  {:what$}  {name:who$}  {why}", age(known.age_ms), known.times, known.what);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_refused_lines_up_and_steers_no_terminal() {
        let rejected = serde_json::from_str::<Rejections>(
            r#"{"rejected":[{"what":"beacon_jumped","who":"car-17","why":"10.0 km in 1.0 s is faster than 100 m/s","age_ms":4100,"times":3},
                {"what":"topic","who":"x\u001b[2J","why":"topic is none of ours","age_ms":400000,"times":120000}]}"#,
        );
        insta::assert_snapshot!(page(&rejected.unwrap().rejected), @r"
         AGE  TIMES  WHAT           WHO         WHY
          4s      3  beacon_jumped  car-17      10.0 km in 1.0 s is faster than 100 m/s
          6m  120000  topic          x\u{1b}[2J  topic is none of ours
        ");
    }
}
