//! The nearest charger of at least 22 kW, asked of an agent inside this program:
//! `cargo run --example find_charger -- wayside.toml`. The same over HTTP and MQTT: `find_charger.py`, `find_charger.sh`.

use std::{env, error::Error, fs, path::Path};

use tokio::time::{Duration, sleep};
use wayside::{clock::Clock, config::ConfigFile, running::Running};
use wayside_core::query::{Centre, Comparison, Near, Query, Requirement};
use wayside_protocols::{place::Distance, service::Value};

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "an example talks")]
async fn main() -> Result<(), Box<dyn Error>> {
    let file = env::args().nth(1).ok_or("which configuration? find_charger wayside.toml")?;
    println!("{}", find(&fs::read_to_string(file)?).await?.ok_or("no charger within 5 km")?);
    Ok(())
}

/// The id, address and distance of the nearest, if there is one; what is near has five seconds to be heard.
pub(crate) async fn find(toml: &str) -> Result<Option<String>, Box<dyn Error>> {
    let (config, _warnings) = ConfigFile::parse(Path::new("wayside.toml"), toml).check()?;
    let agent = Running::start(&config, Clock::start()).await?;
    let near = Near { centre: Centre::Here, radius: Distance::metres(5_000) };
    let strong =
        Requirement { resource: "power_kw".into(), comparison: Comparison::AtLeast, value: Value::Number(22.0) };
    let query = Query { near: Some(near), require: vec![strong], ..Query::new(Some("charging".parse()?)) };
    let mut found = None;
    for _ in 0..50 {
        let answer = agent.handle().ask(query.clone()).await?;
        found = answer.matches.first().map(|first| {
            let at = first.service.endpoint.as_ref().map_or_else(|| "nowhere".to_owned(), ToString::to_string);
            format!(
                "{} at {at}, {:.0} m away",
                first.service.id,
                first.place.map_or(f64::NAN, |place| place.distance.as_metres())
            )
        });
        if found.is_some() {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    agent.leave().await;
    Ok(found)
}
