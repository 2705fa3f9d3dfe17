//! How often the vehicles of the recorded city speak.

use wayside_core::agent::Agent;
use wayside_core::agent::io::{Input, Output};
use wayside_protocols::place::Fix;
use wayside_protocols::service::Kind;
use wayside_protocols::time::{Duration, Timestamp};
use wayside_tests::figure::tell;

use crate::scene::{WALL, settings};
use crate::trace::Trace;

pub(crate) fn measure() {
    let city = Trace::city().expect("the city comes with the project");
    let steps = SECONDS * 1_000 / city.step_ms();
    let (mut count, mut longest) = (0usize, 0);
    for vehicle in 0..city.vehicles() {
        let settings = settings(&format!("veh-{vehicle:08}"), Kind::Vehicle, vehicle as u64);
        let mut agent = Agent::new(settings, Timestamp::START);
        let mut now = Timestamp::START;
        agent.handle(Input::Wall(WALL), now);
        agent.handle(Input::BrokerUp { session_present: false }, now);
        for step in 0..steps {
            let sample = city.sample(vehicle, step as usize);
            let fix = Fix { position: sample.position, time: now, accuracy: 2.0, motion: Some(sample.motion) };
            agent.handle(Input::Own(fix), now);
            let next = now + Duration::from_millis(city.step_ms());
            while agent.poll_timeout().is_some_and(|due| due < next) {
                now = agent.poll_timeout().map_or(now, |due| due.max(now));
                agent.handle_timeout(now);
            }
            now = next;
            while let Some(output) = agent.poll_output() {
                if let Output::Publish(said) = output
                    && said.topic.starts_with("wayside/1/b/")
                {
                    count += 1;
                    longest = longest.max(said.payload.len());
                }
            }
        }
    }
    let each = count as f64 / city.vehicles() as f64;
    assert!(longest <= 48, "a beacon of {longest} bytes");
    tell("beacon_bytes", longest as f64, "B");
    tell("beacon_city_rate", each / SECONDS as f64, "Hz");
    tell("beacon_city_of_fixes", 100.0 * each / steps as f64, "%");
}

const SECONDS: u64 = 60;
