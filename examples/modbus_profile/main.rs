//! From a page of a manual to a service with live values: a device profile of one's own.
//!
//! `cargo run --release --example modbus_profile` starts a simulated pump that nobody has a profile of, and an agent
//! whose profile directory is this one, where `acme-pump.toml` is. The pump becomes the service `modbus.drive`; its values
//! and its Thing Description are read through the agent's API. Exits 0 if they are what the pump holds.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};
use wayside::api::Listen;
use wayside::clock::Clock;
use wayside::config::ConfigFile;
use wayside::profiles;
use wayside::running::Running;
use wayside_tests::http::Door;
use wayside_tests::plant::Plant;
use wayside_tests::plant::device::{Device, Identity};
use wayside_tests::plant::host::Host;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let state = std::env::temp_dir().join(format!("wayside-profile-{}", std::process::id()));
    let outcome = play(&state).await;
    // What is left behind is in the system's temporary directory, and small.
    drop(std::fs::remove_dir_all(&state));
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("modbus_profile: that is not what the pump holds");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("modbus_profile: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Plays it, and says whether every value is right.
#[expect(clippy::print_stdout, reason = "an example talks")]
async fn play(state: &Path) -> Result<bool, Box<dyn Error>> {
    let directory = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/modbus_profile"));
    let (looked, problems) = profiles::check(std::slice::from_ref(&directory));
    if let Some(problem) = problems.first() {
        return Err(problem.to_string().into());
    }
    println!("{looked} profile of our own is right: {}", directory.join("acme-pump.toml").display());
    // 431.7 W in two registers, "on", 2.53 bar, 18,211 h.
    let pump = Device::identified(Identity::basic("Acme Pumps", "P2-50", "1.4"))
        .holding(10, &[0, 4_317, 1, 253])
        .holding(20, &[0, 18_211]);
    let _plant = Plant::with(1, [(PUMP, Host::agnostic(pump))]);
    let agent = agent(state, &directory).await?;
    let Listen::Tcp(api) = *agent.listen() else { return Err("the API does not listen on TCP".into()) };
    let told = tokio::task::spawn_blocking(move || ask(&Door::Tcp(api))).await??;
    agent.leave().await;
    println!("It is the service {} ({} {}):", told["id"], told["manufacturer"], told["model"]);
    for (name, value) in told["values"].as_object().into_iter().flatten() {
        println!("  {name:<10} {value}");
    }
    println!("and a Thing with {} properties: GET /things/{}", told["properties"], told["id"].as_str().unwrap_or("-"));
    Ok(told["values"] == json!({ "power": 431.7, "state": "on", "pressure": 2.53, "runtime": 18_211.0 }))
}

async fn agent(state: &Path, directory: &Path) -> Result<Running, Box<dyn Error>> {
    let toml = format!(
        "id = \"gw-hall\"\n[api]\nlisten = \"127.0.0.1:0\"\n[state]\ndir = \"{}\"\n[mdns]\nenabled = false\n\
         [modbus]\nprofiles = \"{}\"\n[[modbus.segment]]\nname = \"pumps\"\ntargets = [\"{PUMP}\"]\nscan = true\n",
        state.display(),
        directory.display(),
    );
    let (config, _) = ConfigFile::parse(Path::new("pumps.toml"), &toml).check()?;
    Ok(Running::start(&config, Clock::start()).await?)
}

/// Waits for the service, for a minute at the most, and reads its values.
fn ask(door: &Door) -> std::io::Result<Value> {
    let clock = Clock::start();
    let start = clock.now();
    let service = loop {
        let answer =
            door.ask("POST", "/v1/discovery/services", Some(&json!({ "service_name": "modbus.drive" })))?.json();
        if let Some(service) = answer["instances"].get(0) {
            break service.clone();
        }
        if clock.now().since(start) > Duration::from_secs(60) {
            return Err(std::io::Error::other("the pump did not become a service within a minute"));
        }
        std::thread::park_timeout(Duration::from_millis(100));
    };
    let thing = format!("/things/{}", service["id"].as_str().unwrap_or_default());
    let mut values = json!({});
    for name in ["power", "state", "pressure", "runtime"] {
        values[name] = door.ask("GET", &format!("{thing}/properties/{name}"), None)?.json();
    }
    let described = door.ask("GET", &thing, None)?.json();
    let about = &service["metadata"];
    Ok(json!({
        "id": service["id"], "manufacturer": about["manufacturer"], "model": about["model"], "values": values,
        "properties": described["properties"].as_object().map_or(0, serde_json::Map::len),
    }))
}

/// Where the pump listens; 502 is for root.
const PUMP: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(127, 7, 14, 1)), 1_502);
