//! A fleet on a real broker, and an agent that is asked who is near whom while it drives.
//!
//! `cargo run --release --example fleet -- --vehicles 500 --seconds 20` drives the recorded city; each vehicle sends a
//! beacon when ETSI's CAM rule says so (EN 302 637-2: 4 m, 4 degrees, 0.5 m/s, or a second since the last). Once a second
//! it prints what was sent and heard, and how twenty questions within 100 m and 500 m compare with where the vehicles
//! truly are. It fails if an answer calls something near that is not, or leaves out what is.
//!
//! `--broker mqtt://HOST:PORT` uses that broker; without it the example brings one of its own.

mod check;
mod traffic;

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mqtt5::broker::config::StorageConfig;
use mqtt5::broker::{BrokerConfig, MqttBroker};
use tokio::time;
use wayside::clock::Clock;
use wayside::config::ConfigFile;
use wayside::running::Running;
use wayside_examples::trace::Trace;

use check::Check;
use traffic::Traffic;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let wanted = match Wanted::read(std::env::args().skip(1)) {
        Ok(wanted) => wanted,
        Err(complaint) => {
            eprintln!("fleet: {complaint}\nusage: fleet [--vehicles N] [--seconds N] [--broker mqtt://HOST:PORT]");
            return ExitCode::from(2);
        }
    };
    match tokio::task::LocalSet::new().run_until(drive(wanted)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fleet: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Wanted {
    vehicles: usize,
    seconds: u64,
    broker: Option<String>,
}

impl Wanted {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut wanted = Self { vehicles: 200, seconds: 20, broker: None };
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| format!("{word} wants a value"))?;
            let number = |low: u64, high: u64| {
                let number = value.parse().ok().filter(|number| (low..=high).contains(number));
                number.ok_or_else(|| format!("{word} is {value:?}, outside {low} to {high}"))
            };
            match word.as_str() {
                "--vehicles" => wanted.vehicles = number(1, 10_000)? as usize,
                "--seconds" => wanted.seconds = number(2, 3_600)?,
                "--broker" => wanted.broker = Some(value),
                _ => return Err(format!("{word} is not known")),
            }
        }
        Ok(wanted)
    }
}

#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
async fn drive(wanted: Wanted) -> Result<(), Box<dyn Error>> {
    let url = match wanted.broker {
        Some(url) => url,
        None => broker().await?,
    };
    let state = std::env::temp_dir().join(format!("wayside-fleet-{}", std::process::id()));
    let agent = gateway(&url, &state).await?;
    println!("{} vehicles for {} s on {url}; the agent hears them all", wanted.vehicles, wanted.seconds);
    let traffic = Rc::new(Traffic::new(Trace::city()?, wanted.vehicles));
    let sending = tokio::task::spawn_local(Rc::clone(&traffic).drive(url));
    let mut check = Check::new(Rc::clone(&traffic), agent.handle().clone());
    check.until_all_are_known(Duration::from_secs(20)).await?;
    println!(
        "{:>4} {:>8} {:>9} {:>8} {:>8} {:>9} {:>9} {:>7} {:>6} {:>9} {:>9}",
        "s", "sent/s", "kB/s", "heard/s", "refused", "Hz each", "definite", "maybe", "wrong", "p50 us", "p99 us"
    );
    let (begun, mut before) = (Instant::now(), check.counts().await?);
    let mut wrong = 0;
    for second in 1..=wanted.seconds {
        time::sleep_until((begun + Duration::from_secs(second)).into()).await;
        let round = check.round().await?;
        let counts = check.counts().await?;
        let sent = counts.sent - before.sent;
        println!(
            "{second:>4} {sent:>8} {:>9.1} {:>8} {:>8} {:>9.2} {:>9} {:>7} {:>6} {:>9.0} {:>9.0}",
            (counts.bytes - before.bytes) as f64 / 1e3,
            counts.heard - before.heard,
            counts.refused,
            sent as f64 / wanted.vehicles as f64,
            round.definite,
            round.possible,
            round.wrong.len(),
            round.quantile(0.5),
            round.quantile(0.99),
        );
        for complaint in round.wrong.iter().take(3) {
            println!("     {complaint}");
        }
        wrong += round.wrong.len();
        before = counts;
    }
    sending.abort();
    agent.leave().await;
    // What is left behind is in the system's temporary directory, and small.
    drop(std::fs::remove_dir_all(&state));
    let lost = 1.0 - before.heard as f64 / before.sent.max(1) as f64;
    println!(
        "{} beacons sent, {} heard ({:.2} % less), {wrong} answers wrong",
        before.sent,
        before.heard,
        lost * 100.0
    );
    if wrong > 0 {
        return Err(format!("{wrong} answers are not what the recording says").into());
    }
    if lost > 0.05 {
        return Err(format!("{:.1} % of the beacons were not heard", lost * 100.0).into());
    }
    Ok(())
}

/// An agent without a place: it listens to every cell.
async fn gateway(url: &str, state: &Path) -> Result<Running, Box<dyn Error>> {
    let toml = format!(
        "id = \"control-room\"\nkind = \"gateway\"\n[api]\nlisten = \"127.0.0.1:0\"\n[state]\ndir = \"{}\"\n\
         [mdns]\nenabled = false\n[mqtt]\nurl = \"{url}\"\n",
        state.display()
    );
    let (config, _) = ConfigFile::parse(Path::new("fleet"), &toml).check()?;
    Ok(Running::start(&config, Clock::start()).await?)
}

/// A broker of this process's own, on a port of the system's choice; it keeps nothing on disk.
async fn broker() -> Result<String, Box<dyn Error>> {
    let storage = StorageConfig { enable_persistence: false, ..StorageConfig::default() };
    let bind_addresses = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    let config = BrokerConfig { bind_addresses, storage_config: storage, ..BrokerConfig::default() };
    let mut broker = MqttBroker::with_config(config).await?;
    let port = broker.local_addr().ok_or("the broker does not say where it listens")?.port();
    tokio::spawn(async move {
        // It ends with the example.
        drop(broker.run().await);
    });
    Ok(format!("mqtt://127.0.0.1:{port}"))
}
