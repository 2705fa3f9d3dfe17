//! `wayside top`: what is near, what it costs, drawn anew every second.
//!
//! Only what a VT100 knows is used, and no more is sent than one screen, so that a serial console keeps up. Where the
//! output is no terminal, one picture is drawn and that is all.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};

use clap::Args;
use hyper::Method;
use serde_json::{Value as Json, json};
use tokio::time::sleep;
use wayside_core::query::MAX_LIMIT;
use wayside_protocols::text::escaped;
use wayside_protocols::time::{Duration, Timestamp};

use super::answer::{Answer, Instance};
use super::client::{Asking, Client, Reply};
use super::exit::{Failure, Outcome};
use super::find::Around;
use super::output::Screen;
use super::signals::Signals;
use super::table::table;
use crate::clock::Clock;
use crate::words;

/// A live view of services, tiers and rates; Ctrl-C ends it.
#[derive(Debug, Args)]
pub(super) struct Top {
    #[command(flatten)]
    around: Around,
    /// How often it is drawn anew
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = words::duration)]
    interval: Duration,
    #[command(flatten)]
    asking: Asking,
}

impl Top {
    pub(super) async fn perform(self) -> Result<Outcome, Failure> {
        if !io::stdout().is_terminal() {
            return self.draw(false).await;
        }
        let mut signals = Signals::open()?;
        tokio::select! {
            failed = self.draw(true) => failed,
            // Whatever the agent takes so long for.
            _ = signals.next() => Ok(Outcome::Found),
        }
    }

    async fn draw(&self, live: bool) -> Result<Outcome, Failure> {
        let client = Client::new(&self.asking);
        let clock = Clock::start();
        let mut screen = Screen::open();
        let mut before: Option<(Timestamp, BTreeMap<String, f64>)> = None;
        loop {
            let health = get(&client, Method::GET, "/v1/discovery/health", String::new()).await?;
            let answer = get(&client, Method::POST, "/v1/discovery/services", self.question().to_string()).await?;
            let answer: Answer = serde_json::from_value(answer).map_err(|error| client.gibberish(error))?;
            let counters = counters(&health);
            let now = clock.now();
            let rates = before.as_ref().map(|(then, before)| rates(&counters, before, now.since(*then)));
            let (rows, columns) = size();
            let picture = picture(&health, rates.as_ref(), &answer, (rows, columns), screen.colour);
            if !live {
                screen.show(&picture)?;
                return Ok(if answer.instances.is_empty() { Outcome::Nothing } else { Outcome::Found });
            }
            screen.show(&framed(&picture))?;
            before = Some((now, counters));
            sleep(self.interval.max(FASTEST)).await;
        }
    }

    fn question(&self) -> Json {
        let mut body = json!({ "service_name": "*", "all_tiers": true, "limit": MAX_LIMIT });
        if let Some(location) = self.around.location() {
            body["constraints"] = json!({ "location": location });
        }
        body
    }
}

async fn get(client: &Client, method: Method, path: &str, body: String) -> Result<Json, Failure> {
    match client.call(method, path, body).await? {
        Reply::Body(text) => serde_json::from_str(&text).map_err(|error| client.gibberish(error)),
        Reply::Unknown => Err(client.gibberish(format!("it knows no {path}"))),
    }
}

fn counters(health: &Json) -> BTreeMap<String, f64> {
    let metrics = health["metrics"].as_object().into_iter().flatten();
    metrics.filter_map(|(name, value)| Some((name.clone(), value.as_f64()?))).collect()
}

/// How many a second, by name.
fn rates(now: &BTreeMap<String, f64>, before: &BTreeMap<String, f64>, passed: Duration) -> BTreeMap<String, f64> {
    let seconds = passed.as_secs_f64().max(1e-3);
    let rate = |(name, count): (&String, &f64)| Some((name.clone(), ((count - before.get(name)?) / seconds).max(0.0)));
    now.iter().filter_map(rate).collect()
}

fn picture(
    health: &Json,
    rates: Option<&BTreeMap<String, f64>>,
    answer: &Answer,
    (rows, columns): (usize, usize),
    colour: bool,
) -> String {
    let text = |key: &str| escaped(health[key].as_str().unwrap_or("?")).into_owned();
    let gauge = |name: &str| health["metrics"][name].as_f64().unwrap_or(0.0);
    let mut lines = vec![
        format!("wayside {}  {}  {}  up {} s", text("version"), text("agent"), text("status"), gauge("uptime_seconds")),
        format!(
            "{} services, {} with a place  {} neighbours  {} watchers  broker {}",
            gauge("services"),
            gauge("services_placed"),
            gauge("peers"),
            gauge("watchers"),
            if gauge("broker_up") > 0.0 { "up" } else { "not there" },
        ),
        tiers(&answer.instances, &answer.unreached.iter().map(|tier| tier.tier.as_str()).collect::<Vec<_>>()),
        match rates {
            None => "a second: measuring".to_owned(),
            Some(rates) => {
                let shown = RATES.iter().filter_map(|(name, word)| Some((rates.get(*name)?, word)));
                let shown: Vec<String> = shown.map(|(rate, word)| format!("{word} {rate:.1}")).collect();
                format!("a second: {}", shown.join("  "))
            }
        },
        String::new(),
    ];
    // Others scroll off; how many there are stands above.
    let room = rows.saturating_sub(lines.len() + 2);
    let shown = &answer.instances[..answer.instances.len().min(room)];
    lines.extend(table(shown, columns >= WIDE, colour).lines().map(str::to_owned));
    let hidden = answer.instances.len() - shown.len();
    if hidden > 0 {
        lines.push(format!("... and {hidden} more"));
    }
    lines.iter().map(|line| cut(line, columns) + "\n").collect()
}

/// How many services each tier gave, and who could not be asked.
fn tiers(instances: &[Instance], unreached: &[&str]) -> String {
    let count = |tier: &str| instances.iter().filter(|instance| instance.tier == tier).count();
    let each = ["local", "neighbour", "region", "cloud"].map(|tier| {
        if unreached.contains(&tier) { format!("{tier} not reached") } else { format!("{tier} {}", count(tier)) }
    });
    let definite = instances.iter().filter(|instance| instance.verdict == "definite").count();
    format!("{}  definite {definite}, possible {}", each.join("  "), instances.len() - definite)
}

/// The line as far as the screen is wide; what steers colours takes no room.
fn cut(line: &str, columns: usize) -> String {
    let (mut shown, mut width, mut steering) = (String::with_capacity(line.len()), 0, false);
    for c in line.chars() {
        if c == '\u{1b}' {
            steering = true;
        } else if !steering {
            width += 1;
            if width > columns {
                continue;
            }
        }
        shown.push(c);
        if steering && c.is_ascii_alphabetic() {
            steering = false;
        }
    }
    shown
}

/// The picture over the one before: home, each line cleared to its end, and the rest of the screen.
fn framed(picture: &str) -> String {
    let lines: Vec<String> = picture.lines().map(|line| format!("{line}\u{1b}[K")).collect();
    format!("\u{1b}[H{}\u{1b}[J", lines.join("\r\n"))
}

/// Lines and columns of the terminal; 24 and 80 where nobody knows.
fn size() -> (usize, usize) {
    let told = rustix::termios::tcgetwinsize(io::stdout()).ok().filter(|size| size.ws_row > 0 && size.ws_col > 0);
    told.map_or((24, 80), |size| (size.ws_row.into(), size.ws_col.into()))
}

/// What is counted, and its word.
const RATES: [(&str, &str); 6] = [
    ("api_requests_total", "requests"),
    ("mqtt_messages_total", "messages"),
    ("beacons_total", "beacons"),
    ("mdns_responses_total", "mDNS"),
    ("appeared_total", "appeared"),
    ("departed_total", "departed"),
];
/// So wide a screen has room for every column.
const WIDE: usize = 200;
/// It is not drawn more often.
const FASTEST: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_no_larger_than_the_screen() {
        let row = |id: usize| Instance { id: format!("service-{id}@gw"), tier: "local".into(), ..Instance::default() };
        let answer = Answer { instances: (0..100).map(row).collect(), ..Answer::default() };
        let health = json!({ "version": "1", "agent": "gw", "status": "ok", "metrics": { "services": 100 } });
        for (rows, columns) in [(24, 80), (10, 40), (3, 10)] {
            let picture = picture(&health, None, &answer, (rows, columns), false);
            assert!(picture.lines().count() <= rows.max(8), "{rows}: {picture}");
            assert!(picture.lines().all(|line| line.chars().count() <= columns), "{columns}: {picture}");
        }
        assert!(picture(&health, None, &answer, (24, 80), false).contains("... and 83 more"));
    }

    #[test]
    fn colours_take_no_room_and_are_not_cut_in_two() {
        assert_eq!(cut("\u{1b}[1mabc\u{1b}[0m", 2), "\u{1b}[1mab\u{1b}[0m");
        let before = BTreeMap::from([("a".to_owned(), 10.0), ("b".to_owned(), 5.0)]);
        let now = BTreeMap::from([("a".to_owned(), 14.0), ("b".to_owned(), 0.0), ("c".to_owned(), 1.0)]);
        let told = rates(&now, &before, Duration::from_secs(2));
        assert_eq!(told, BTreeMap::from([("a".to_owned(), 2.0), ("b".to_owned(), 0.0)]));
    }
}
