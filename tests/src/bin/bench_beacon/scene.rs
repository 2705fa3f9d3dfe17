//! An agent in a city, and the vehicles around it.

use std::fs;

use wayside_core::agent::Agent;
use wayside_core::agent::io::{Input, Settings};
use wayside_core::limits::Limits;
use wayside_core::query::{Centre, Near, Query};
use wayside_protocols::mqtt::beacon::Beacon;
use wayside_protocols::mqtt::cell::Cell;
use wayside_protocols::mqtt::topic::Topic;
use wayside_protocols::place::{Distance, Motion, Position};
use wayside_protocols::service::{AgentId, Kind};
use wayside_protocols::time::{Duration, Timestamp, UnixMillis};
use wayside_tests::broker::Broker;
use wayside_tests::publisher::Publisher;
use wayside_tests::wait::eventually;
use wayside_tests::wayside::Wayside;

/// The middle of the city.
pub(crate) fn centre() -> Position {
    Position::new(LATITUDE, LONGITUDE).expect("the centre is a place")
}

/// An agent with room for `neighbours`.
pub(crate) fn agent(neighbours: usize) -> Agent {
    let limits = Limits {
        services: (2 * neighbours).max(20_000),
        services_per_source: (2 * neighbours).max(15_000),
        presences: (2 * neighbours).max(16_384),
        ..Limits::default()
    };
    let settings = Settings { position: Some((centre(), 1.0)), limits, ..settings("gw-1", Kind::Gateway, 1) };
    let mut agent = Agent::new(settings, Timestamp::START);
    agent.handle(Input::Wall(WALL), Timestamp::START);
    agent
}

/// An agent that hears nothing by itself.
pub(crate) fn settings(name: &str, kind: Kind, seed: u64) -> Settings {
    Settings {
        id: id(name),
        kind,
        version: "bench",
        epoch: 1,
        seed,
        position: None,
        services: Vec::new(),
        restored: Vec::new(),
        mdns: false,
        browse: Vec::new(),
        announce_devices: false,
        things: None,
        api_port: None,
        rotate: None,
        events: false,
        upstream: Default::default(),
        kept: Vec::new(),
        limits: Limits::default(),
    }
}

/// The built agent in the middle of the city, and somebody to publish beacons, once it hears them.
pub(crate) fn listening(broker: &Broker) -> (Wayside, Publisher) {
    let agent = Wayside::start(
        None,
        &format!(
            "id = \"gw-1\"\nkind = \"gateway\"\n[position]\nlat = {LATITUDE}\nlon = {LONGITUDE}\n\
             [mdns]\nenabled = false\n[mqtt]\nurl = \"{}\"\n",
            broker.url()
        ),
    );
    let mut publisher = Publisher::tcp(broker.port(), "vehicles").expect("mosquitto takes the vehicles");
    let traffic = Traffic::new(1, 100.0);
    let mut turn = 0;
    eventually(PATIENCE, "the agent hears beacons", || {
        let (topic, payload) = traffic.named("first", 0, turn);
        turn += 1;
        publisher.publish(&topic, &payload, false).expect("mosquitto takes a beacon");
        agent.instance("wayside", "first")
    });
    (agent, publisher)
}

/// A beacon as it is published.
pub(crate) fn message(beacon: &Beacon) -> (String, Vec<u8>) {
    let topic = Topic::Beacon { cell: Cell::at(&beacon.position), agent: beacon.agent.clone() };
    (topic.to_string(), beacon.encode())
}

/// An id.
pub(crate) fn id(name: &str) -> AgentId {
    name.parse().expect("letters, digits and dashes are an id")
}

/// Vehicles on a square around the centre, each on a street of its own.
pub(crate) struct Traffic {
    pub(crate) vehicles: usize,
    side: f64,
}

impl Traffic {
    pub(crate) fn new(vehicles: usize, side: f64) -> Self {
        Self { vehicles, side }
    }

    /// Where `vehicle` is at its `turn`: 3 m on each time, forth and back.
    pub(crate) fn beacon(&self, vehicle: usize, turn: u64) -> (String, Vec<u8>) {
        self.named(&format!("veh-{vehicle:08}"), vehicle, turn)
    }

    fn named(&self, name: &str, vehicle: usize, turn: u64) -> (String, Vec<u8>) {
        let scatter = |n: u64| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) as f64 / (1u64 << 53) as f64;
        let number = vehicle as u64;
        let leg = (turn as f64 * 3.0 + scatter(number * 3 + 7) * self.side) % (2.0 * self.side);
        let (east, heading) = if leg < self.side { (leg, 90.0) } else { (2.0 * self.side - leg, 270.0) };
        let north = scatter(number * 3 + 1) * self.side;
        let position = centre().moved(0.0, north - self.side / 2.0).moved(90.0, east - self.side / 2.0);
        let beacon = Beacon {
            agent: id(name),
            epoch: 1,
            sequence: turn as u16,
            kind: Kind::Vehicle,
            time: None,
            position,
            accuracy: Some(2.0),
            motion: Motion::new(12.0, heading).ok(),
            services: 0,
            ttl: Duration::from_secs(600),
            seal: None,
        };
        message(&beacon)
    }

    /// Has `agent` hear of all of them for the first time, a thousand a second; says when that is done.
    pub(crate) fn arrive(&self, agent: &mut Agent, turn: u64, from: Timestamp) -> Timestamp {
        let mut now = from;
        for vehicle in 0..self.vehicles {
            now = now + Duration::from_millis(1);
            hear(agent, &self.beacon(vehicle, turn), now);
        }
        now
    }
}

/// Hands a message to `agent`.
pub(crate) fn hear(agent: &mut Agent, (topic, payload): &(String, Vec<u8>), now: Timestamp) {
    agent.handle(Input::Message { topic, payload, retained: false }, now);
}

/// 200 critical roadside units in the streets.
pub(crate) fn units(agent: &mut Agent, side: f64, now: Timestamp) {
    for unit in 0..200u32 {
        let position = centre().moved(f64::from(unit) * 137.5, side / 2.0 * f64::from(unit) / 200.0);
        let payload = format!(
            r#"{{"name":"signal-phase","kind":"roadside","address":"10.0.0.5","port":1,"critical":true,"lat":{:.7},"lon":{:.7},"ttl_s":86400}}"#,
            position.latitude(),
            position.longitude()
        );
        hear(agent, &(format!("wayside/1/a/-/-/signal-phase/rsu-{unit}/sp"), payload.into_bytes()), now);
    }
}

/// Something critical within 100 m of the agent?
pub(crate) fn critical() -> Query {
    let mut query = Query::new("signal-phase".parse().ok());
    query.critical = true;
    query.near = Some(Near { centre: Centre::Here, radius: Distance::metres(100) });
    query
}

/// Resident memory of this process, bytes.
pub(crate) fn rss() -> f64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = text.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(f64::NAN);
    pages * 4_096.0
}

/// How long anything may take at the start.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
const LATITUDE: f64 = 48.8566;
const LONGITUDE: f64 = 2.3522;
/// 2026-01-01 00:00 UTC.
pub(crate) const WALL: UnixMillis = UnixMillis(1_767_225_600_000);
