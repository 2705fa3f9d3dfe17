//! The recorded city through a real broker into one agent: who is near is who the recording says is near.

#[path = "../examples/src/trace.rs"]
#[expect(unreachable_pub, reason = "the examples' own file, which their library shows to others")]
mod trace;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use trace::{Sample, Trace, wall};
use wayside_protocols::mqtt::beacon::Beacon;
use wayside_protocols::place::{Motion, Position};
use wayside_protocols::time::UnixMillis;
use wayside_tests::broker::Broker;
use wayside_tests::publisher::Publisher;
use wayside_tests::wait::eventually;
use wayside_tests::wayside::Wayside;

/// Fifteen seconds as they were recorded. `WAYSIDE_CITY_SECONDS` makes it longer.
#[test]
fn at_real_speed_the_neighbours_are_those_of_the_recording() {
    let seconds: u64 = std::env::var("WAYSIDE_CITY_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(15);
    let scene = Scene::start();
    let mut publisher = scene.publisher();
    let began = Arc::new((Instant::now(), wall()));
    let (sent, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let sending = {
        let (city, sent, over, began) =
            (Arc::clone(&scene.city), Arc::clone(&sent), Arc::clone(&over), Arc::clone(&began));
        thread::spawn(move || {
            for step in 0.. {
                let due = began.0 + STEP * step;
                while let Some(rest) = due.checked_duration_since(Instant::now()) {
                    thread::park_timeout(rest);
                }
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let at = UnixMillis(began.1.0 + u64::from(step) * STEP.as_millis() as u64);
                for vehicle in 0..city.vehicles() {
                    send(&mut publisher, vehicle, step as usize, &city.sample(vehicle, step as usize), at);
                }
                sent.store(step as usize, Ordering::Relaxed);
            }
        })
    };
    eventually(SOON, "a second has been sent", || (sent.load(Ordering::Relaxed) >= 5).then_some(()));
    let mut tally = Tally::default();
    for second in 1..=seconds {
        let due = began.0 + Duration::from_secs(second) + Duration::from_millis(100);
        while let Some(rest) = due.checked_duration_since(Instant::now()) {
            thread::park_timeout(rest);
        }
        for centre in 0..CENTRES {
            for radius in [100.0, 500.0] {
                let truth = |vehicle: usize, at: Instant| {
                    let steps = at.duration_since(began.0).as_secs_f64() / STEP.as_secs_f64();
                    let (from, part) = (steps.floor() as usize, steps.fract());
                    let (a, b) = (scene.city.sample(vehicle, from), scene.city.sample(vehicle, from + 1));
                    // Where the recording begins again everybody is elsewhere at once.
                    let leaps = a.position.distance(&b.position).as_metres() > 10.0;
                    a.towards(&b, if leaps { 0.0 } else { part })
                };
                scene.compare(scene.centre(centre, second as usize * 5), radius, truth, &mut tally);
            }
        }
    }
    over.store(true, Ordering::Relaxed);
    sending.join().expect("the sender ends");
    tally.told("real speed");
}

/// The whole recording as fast as the broker and the agent go, stopped at every second to be looked at. Between two
/// looks nobody drives on in the recording, but everybody said a speed: so the truth is the last beacon, carried on.
#[test]
fn at_full_speed_the_neighbours_are_those_of_the_beacons() {
    let scene = Scene::start();
    let mut publisher = scene.publisher();
    let mut tally = Tally::default();
    let (start, already) = (Instant::now(), scene.heard());
    let mut last: Vec<(Sample, Instant)> = Vec::new();
    for second in 0..60_usize {
        for step in second * 5..second * 5 + 5 {
            last = (0..scene.city.vehicles())
                .map(|vehicle| {
                    let sample = scene.city.sample(vehicle, step);
                    let at = Instant::now();
                    send(&mut publisher, vehicle, step, &sample, wall());
                    (sample, at)
                })
                .collect();
            // What a broker drops of QoS 0 when a queue is full is not what is tested here.
            let all = already + ((step + 1) * scene.city.vehicles()) as u64;
            eventually(SOON, "the agent has heard every beacon", || (scene.heard() >= all).then_some(()));
        }
        for centre in 0..CENTRES {
            for radius in [100.0, 500.0] {
                let truth = |vehicle: usize, at: Instant| carried(&last[vehicle], at);
                scene.compare(scene.centre(centre, second * 5 + 4), radius, truth, &mut tally);
            }
        }
    }
    eprintln!("60 s of city in {:?}", start.elapsed());
    tally.told("full speed");
}

struct Scene {
    city: Arc<Trace>,
    broker: Broker,
    agent: Wayside,
}

impl Scene {
    fn start() -> Self {
        let broker = Broker::start();
        let config = format!("id = \"observer\"\n[mdns]\nenabled = false\n[mqtt]\nurl = \"{}\"\n", broker.url());
        let agent = Wayside::start(None, &config);
        Self { city: Arc::new(Trace::city().expect("the recording is whole")), broker, agent }
    }

    /// A publisher, once the agent listens.
    fn publisher(&self) -> Publisher {
        let mut publisher = Publisher::tcp(self.broker.port(), "city").expect("mosquitto takes the vehicles");
        let sample = self.city.sample(0, 0);
        let mut sequence = 0;
        eventually(SOON, "the agent hears beacons", || {
            let (topic, mut first) = beacon(0, 0, &sample, wall());
            (first.epoch, first.sequence) = (0, sequence);
            sequence += 1;
            publisher.publish(&topic, &first.encode(), false).expect("mosquitto takes a beacon");
            (self.heard() > 0).then_some(())
        });
        // Those on the way still would count among the first to come.
        let mut heard = 0;
        eventually(SOON, "all of these are heard", || {
            let before = std::mem::replace(&mut heard, self.heard());
            (before == heard && heard == u64::from(sequence)).then_some(())
        });
        publisher
    }

    fn heard(&self) -> u64 {
        let page = self.agent.ask("GET", "/metrics", None).body;
        let value = page.lines().find_map(|line| line.strip_prefix("wayside_beacons_total "));
        value.and_then(|value| value.parse().ok()).unwrap_or(0)
    }

    /// Where a question is asked: around one of 50 vehicles.
    fn centre(&self, number: usize, step: usize) -> Position {
        self.city.sample(number * self.city.vehicles() / CENTRES, step).position
    }

    /// Holds the agent's answer against `truth` at the moment it was given.
    fn compare(&self, centre: Position, radius: f64, truth: impl Fn(usize, Instant) -> Position, tally: &mut Tally) {
        let question = json!({"service_name": "wayside", "limit": 1000, "all_tiers": true, "constraints": {"location":
            {"lat": centre.latitude(), "lon": centre.longitude(), "radius_m": radius}}});
        let asked = Instant::now();
        let reply = self.agent.ask("POST", "/v1/discovery/services", Some(&question));
        let took = asked.elapsed();
        assert_eq!(reply.status, 200, "{}", reply.body);
        let answer = reply.json();
        let rows = answer["instances"].as_array().cloned().unwrap_or_default();
        let verdict = |vehicle: usize| {
            let id = name(vehicle);
            rows.iter().find(|row| row["id"] == *id).and_then(|row| row["verdict"].as_str().map(str::to_owned))
        };
        // The moment of the answer is known to as much as it took, and somebody may drive 20 m/s.
        let slack = SLACK + 20.0 * took.as_secs_f64();
        for vehicle in 0..self.city.vehicles() {
            let metres = centre.distance(&truth(vehicle, asked + took / 2)).as_metres();
            match verdict(vehicle).as_deref() {
                Some("definite") => {
                    tally.definite += 1;
                    let known: Option<&Value> = rows.iter().find(|row| row["id"] == *name(vehicle));
                    assert!(metres <= radius + slack, "{vehicle} is {metres} m away, not {radius}: {known:?}");
                }
                Some(_) => tally.possible += 1,
                None => {
                    tally.absent += 1;
                    assert!(metres > radius - slack, "{vehicle} is {metres} m away and missing of {radius} m");
                }
            }
        }
        tally.questions += 1;
    }
}

#[derive(Debug, Default)]
struct Tally {
    questions: usize,
    definite: usize,
    possible: usize,
    absent: usize,
}

impl Tally {
    fn told(&self, name: &str) {
        eprintln!("{name}: {self:?}");
        assert!(self.questions > 500 && self.definite > 20 * self.questions, "too little was compared: {self:?}");
        // Two sigma of 2 m around a rim of 500 m: only a few can be in doubt.
        assert!(self.possible * 10 < self.definite, "too much was left in doubt: {self:?}");
    }
}

fn carried((sample, since): &(Sample, Instant), at: Instant) -> Position {
    let Motion { speed, heading } = sample.motion;
    sample.position.moved(heading.into(), f64::from(speed) * at.duration_since(*since).as_secs_f64())
}

fn send(publisher: &mut Publisher, vehicle: usize, step: usize, sample: &Sample, at: UnixMillis) {
    let (topic, beacon) = beacon(vehicle, step, sample, at);
    publisher.publish(&topic, &beacon.encode(), false).expect("mosquitto takes a beacon");
}

fn beacon(vehicle: usize, step: usize, sample: &Sample, at: UnixMillis) -> (String, Beacon) {
    sample.beacon(name(vehicle).parse().expect("letters and digits are an id"), step as u16, at, 0)
}

fn name(vehicle: usize) -> String {
    format!("veh-{vehicle:03}")
}

const CENTRES: usize = 50;
/// From one recorded step to the next.
const STEP: Duration = Duration::from_millis(200);
/// Metres that a recorded vehicle may be off a straight line between two steps, or off its word after braking for one;
/// far less than the 4 m that make a verdict.
const SLACK: f64 = 1.5;
const SOON: Duration = Duration::from_secs(20);
