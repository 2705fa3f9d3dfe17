//! An API with a real agent behind it, for tests.

use wayside_core::agent::Agent;
use wayside_core::agent::io::Settings;
use wayside_core::limits::Limits;
use wayside_protocols::place::Position;
use wayside_protocols::service::Kind;

use crate::api::{Api, Caps, Options, Positioned};
use crate::clock::Clock;
use crate::driver::{self, Driver, Edges};

/// The agent `gw-7`, at 48.8566,2.3522, with two watchers at the most. Nothing it is told to write down is written.
pub(crate) fn api() -> Api {
    api_with(Caps::default(), None)
}

pub(crate) fn api_with(caps: Caps, token: Option<&str>) -> Api {
    staged(caps, token, Positioned::Config)
}

/// The same agent, but somebody else says where it stands, and has not yet.
pub(crate) fn placed_by(positioned: Positioned) -> Api {
    staged(Caps::default(), None, positioned)
}

fn staged(caps: Caps, token: Option<&str>, positioned: Positioned) -> Api {
    let clock = Clock::start();
    let placed = settings().position.filter(|_| positioned == Positioned::Config);
    let agent = Agent::new(Settings { position: placed, ..settings() }, clock.now());
    let (handle, _inbox, doors) = driver::doors();
    let driver = Driver::new(agent, doors, Edges::default(), move || clock.now(), move || clock.wall());
    tokio::spawn(driver.run());
    let options = Options {
        agent: "gw-7".parse().unwrap(),
        kind: Kind::Gateway,
        epoch: 5,
        token: token.map(Into::into),
        clock,
        journal: None,
        caps,
        positioned,
        scheme: Some("http"),
        field: None,
        registry: None,
        #[cfg(feature = "otlp")]
        recorder: None,
    };
    Api::new(handle, options)
}

pub(crate) fn settings() -> Settings {
    Settings {
        id: "gw-7".parse().unwrap(),
        kind: Kind::Gateway,
        version: "0",
        epoch: 5,
        seed: 1,
        position: Some((Position::new(48.8566, 2.3522).unwrap(), 1.0)),
        services: vec![],
        restored: vec![],
        mdns: false,
        browse: vec![],
        announce_devices: false,
        things: None,
        api_port: None,
        rotate: None,
        events: false,
        upstream: Default::default(),
        kept: Vec::new(),
        limits: Limits { watchers: 2, ..Limits::default() },
    }
}
