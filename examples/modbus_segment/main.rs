//! A hall full of devices nobody wrote down: 254 addresses, 32 simulated Modbus devices, found and made into services.
//!
//! `cargo run --release --example modbus_segment` starts the devices on loopback addresses, surveys them by library call
//! and shows who is there; then starts an agent that has the segment in its configuration and asks it what
//! `wayside find modbus.inverter --max-latency 50ms` asks. Exits 0 if all is as the devices say, 1 if anything is not.

mod found;

use std::collections::BTreeSet;
use std::error::Error;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};
use wayside::api::Listen;
use wayside::clock::Clock;
use wayside::config::ConfigFile;
use wayside::running::Running;
use wayside_tests::http::Door;
use wayside_tests::plant::Plant;
use wayside_tests::plant::segment::{Ids, Resident, Segment};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let state = std::env::temp_dir().join(format!("wayside-modbus-{}", std::process::id()));
    let outcome = play(&state).await;
    // What is left behind is in the system's temporary directory, and small.
    drop(std::fs::remove_dir_all(&state));
    match outcome {
        Ok(wrong) if wrong.is_empty() => ExitCode::SUCCESS,
        Ok(wrong) => {
            wrong.iter().for_each(|line| eprintln!("modbus_segment: {line}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("modbus_segment: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Plays it, and says what was not as it should be.
#[expect(clippy::print_stdout, reason = "an example talks")]
async fn play(state: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let Segment { hosts, residents } = Segment::new(NETWORK, PORT, Ids::Usual, 1);
    let plant = Plant::with(1, hosts);
    println!("{} devices behind 20 of the 254 addresses of {NETWORK}/24. Who is there?\n", residents.len());
    let report = found::survey(&format!("{NETWORK}/24:{PORT}")).await?;
    print!("{}", found::table(&report));
    let mut wrong = compare(&report, &residents);
    for (address, ledger) in plant.ledgers() {
        if ledger.open_at_once > 1 || ledger.functions().keys().any(|function| !matches!(function, 1..=4 | 43)) {
            wrong.push(format!("{address} was not treated gently: {:?}", ledger.functions()));
        }
    }

    println!("\nAn agent with that segment in its configuration. wayside find modbus.inverter --max-latency 50ms");
    let agent = agent(state).await?;
    let Listen::Tcp(api) = *agent.listen() else { return Err("the API does not listen on TCP".into()) };
    let near: BTreeSet<String> = residents
        .iter()
        .filter(|resident| resident.service == "modbus.inverter")
        .filter_map(|resident| resident.serial.clone())
        .collect();
    let answer = tokio::task::spawn_blocking(move || ask(&Door::Tcp(api), near.len())).await??;
    for row in answer["instances"].as_array().into_iter().flatten() {
        let about = &row["metadata"];
        println!(
            "  {:<28} {}:{:<6} unit {:<4} {} {}  {:.1} ms",
            text(&row["id"]),
            text(&row["address"]),
            row["port"],
            text(&about["unit"]),
            text(&about["manufacturer"]),
            text(&about["model"]),
            row["performance_metrics"]["latency_ms"].as_f64().unwrap_or(f64::NAN),
        );
        if row["performance_metrics"]["latency_ms"].as_f64().is_none_or(|latency| latency > 50.0) {
            wrong.push(format!("{} takes longer than 50 ms, or nobody knows", row["id"]));
        }
    }
    let count = answer["instances"].as_array().map_or(0, Vec::len);
    if count == 0 {
        wrong.push("the agent knows no inverter".into());
    }
    println!("{count} inverters that answer within 50 ms");
    agent.leave().await;
    Ok(wrong)
}

/// What the survey missed, took for another, or made up.
fn compare(report: &Value, residents: &[Resident]) -> Vec<String> {
    let rows = report["devices"].as_array().cloned().unwrap_or_default();
    let mut wrong = Vec::new();
    for resident in residents {
        let here = |row: &&Value| {
            row["address"] == resident.address.to_string() && resident.unit.is_none_or(|unit| row["unit"] == unit)
        };
        match rows.iter().find(here) {
            None => wrong.push(format!("not found: {resident:?}")),
            Some(row) if row["service"] != resident.service => wrong.push(format!("{resident:?} is taken for {row}")),
            Some(_) => {}
        }
    }
    if rows.len() > residents.len() {
        wrong.push(format!("{} devices are told of, and {} are there", rows.len(), residents.len()));
    }
    wrong
}

async fn agent(state: &Path) -> Result<Running, Box<dyn Error>> {
    let toml = format!(
        "id = \"gw-hall\"\nkind = \"gateway\"\n[position]\nlat = 48.1\nlon = 2.1\n[api]\nlisten = \"127.0.0.1:0\"\n\
         [state]\ndir = \"{}\"\n[mdns]\nenabled = false\n\
         [[modbus.segment]]\nname = \"hall\"\ntargets = [\"{NETWORK}/24:{PORT}\"]\nscan = true\npriority = 5\n",
        state.display(),
    );
    let (config, _) = ConfigFile::parse(Path::new("hall.toml"), &toml).check()?;
    Ok(Running::start(&config, Clock::start()).await?)
}

/// Asks until `wanted` instances are known or a minute has passed: the agent looks for them while we ask.
fn ask(door: &Door, wanted: usize) -> std::io::Result<Value> {
    let question = json!({ "service_name": "modbus.inverter", "constraints": { "latency": "50ms" }, "limit": 100 });
    let clock = Clock::start();
    let start = clock.now();
    loop {
        let reply = door.ask("POST", "/v1/discovery/services", Some(&question))?;
        if reply.status != 200 {
            return Err(std::io::Error::other(reply.body));
        }
        let answer = reply.json();
        let count = answer["instances"].as_array().map_or(0, Vec::len);
        if count >= wanted || clock.now().since(start) > Duration::from_secs(60) {
            return Ok(answer);
        }
        std::thread::park_timeout(Duration::from_millis(200));
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

/// Of this /24 the devices have twenty addresses.
const NETWORK: Ipv4Addr = Ipv4Addr::new(127, 7, 6, 0);
/// 502 is for root.
const PORT: u16 = 1_502;
