//! Ten thousand vehicles.
//!
//! `./tests/bench simulation [growth|fleet] [VEHICLES MINUTES]`, by default both, with 2,000 vehicles for 5 minutes; the
//! whole is `10000 60`. `growth` prints how what one vehicle receives grows with its neighbours; `fleet` goes through
//! loss, an outage, a partition and restarts with clocks that are off by up to 2 s. Each line reads
//! `figure NAME VALUE UNIT`:
//!
//! * `simulation_received_N`, unit `1/s`: messages one vehicle receives a second in a fleet of N at 10 to a square
//!   kilometre; `simulation_received_dense_D`: at D to a square kilometre, with five fixes a second.
//! * `simulation_missed`, unit `%`: of all pairs within 450 m, looked at every minute, in how many one did not know the
//!   other to 100 m.
//! * `simulation_delivered`, unit `1`, and `simulation_cpu`, unit `s`: how much that was.

use wayside_protocols::time::Duration;
use wayside_tests::figure::{cpu_time, tell};
use wayside_tests::street::{Plan, Street};

fn main() {
    let mut words = std::env::args().skip(1).peekable();
    let only = words.next_if(|word| ["growth", "fleet"].contains(&word.as_str()));
    let mut given = words.map(|text| text.parse::<usize>().expect("a number"));
    let (vehicles, minutes) = (given.next().unwrap_or(2_000), given.next().unwrap_or(5));
    let plan = Plan { seed: 91, vehicles, per_km2: 10.0, fixes: 1, loss: 0.0, budget: 1_000, clocks: Duration::ZERO };
    if only.as_deref() != Some("fleet") {
        grow(vehicles, plan);
    }
    if only.as_deref() != Some("growth") {
        fleet(Plan { vehicles, per_km2: 1.0, loss: 0.02, clocks: Duration::from_secs(2), ..plan }, minutes);
    }
}

fn grow(vehicles: usize, plan: Plan) {
    for fleet in [100, 1_000, 10_000].into_iter().filter(|fleet| *fleet <= vehicles.max(1_000)) {
        let (_, received) = growth(Plan { vehicles: fleet, ..plan });
        tell(&format!("simulation_received_{fleet}"), received, "1/s");
    }
    for density in [25.0, 100.0, 400.0, 1_600.0] {
        let (_, received) = growth(Plan { vehicles: 600, per_km2: density, fixes: 5, ..plan });
        tell(&format!("simulation_received_dense_{density}"), received, "1/s");
    }
}

/// Neighbours of a vehicle, and what it receives a second, once states have settled.
fn growth(plan: Plan) -> (f64, f64) {
    let mut street = Street::open(plan);
    street.drive(Duration::from_secs(15));
    let neighbours = street.neighbours(1 + plan.vehicles / 200);
    let (received, sent) = street.traffic(Duration::from_secs(5));
    eprintln!(
        "{:6} vehicles at {:6} to a km2, {neighbours:7.1} neighbours: {received:8.1} received, {sent:5.2} sent a second",
        plan.vehicles, plan.per_km2
    );
    (neighbours, received)
}

fn fleet(plan: Plan, minutes: usize) {
    let before = cpu_time(std::process::id());
    let mut street = Street::open(plan);
    let (mut pairs, mut missed) = (0, 0);
    for minute in 0..minutes {
        let fate = minute * 6 / minutes.max(1);
        let first = minute == 0 || fate != (minute - 1) * 6 / minutes.max(1);
        match fate {
            1 if first => street.outage(SECOND * 20),
            2 if first => street.partition(10, SECOND * 40),
            3 if first => street.restart(20),
            _ => {}
        }
        street.drive(MINUTE);
        let (some, unknown) = street.misses(1 + plan.vehicles / 200);
        (pairs, missed) = (pairs + some, missed + unknown);
        eprintln!("minute {:3}: {unknown} of {some} missed", minute + 1);
    }
    let tally = street.world.tally();
    println_trace(&street);
    tell("simulation_missed", 100.0 * missed as f64 / f64::from(u32::try_from(pairs.max(1)).unwrap_or(u32::MAX)), "%");
    tell("simulation_delivered", tally.delivered as f64, "1");
    tell("simulation_cpu", (cpu_time(std::process::id()) - before).as_secs_f64(), "s");
}

fn println_trace(street: &Street) {
    eprintln!("trace {} {:?}", street.world.trace(), street.world.tally());
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
