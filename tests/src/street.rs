//! Vehicles in the simulated world: they drive, and say where they are through one broker.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use wayside_protocols::place::{Fix, Motion, Position};
use wayside_protocols::service::{Kind, ServiceId};
use wayside_protocols::time::{Duration, UnixMillis};

use crate::world::{BrokerNo, HostNo, Memory, World};

/// What is to be simulated.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The one source of randomness.
    pub seed: u64,
    /// How many vehicles.
    pub vehicles: usize,
    /// How many to a square kilometre.
    pub per_km2: f64,
    /// Fixes that each receiver gives a second, a divisor of 10.
    pub fixes: u64,
    /// The share of beacons that does not arrive, 0 to 1.
    pub loss: f64,
    /// Beacons a second that are as much as a vehicle is to take.
    pub budget: u32,
    /// By how much wall clocks are off, to either side.
    pub clocks: Duration,
}

/// A town with traffic. A third of the vehicles stand, the others drive at 5 to 15 m/s and turn now and then; at the
/// border they turn back. Every fourth offers `hazard-view`.
#[derive(Debug)]
pub struct Street {
    /// The world it is in.
    pub world: World,
    plan: Plan,
    broker: BrokerNo,
    cars: Vec<Car>,
    side: f64,
    rng: ChaCha8Rng,
    tick: u64,
}

#[derive(Clone, Copy, Debug)]
struct Car {
    host: HostNo,
    /// Metres east and north of the corner.
    at: [f64; 2],
    speed: f64,
    heading: f64,
}

impl Street {
    /// Vehicles that have been started, in the order of their numbers within one second.
    pub fn open(plan: Plan) -> Self {
        let mut world = World::new(plan.seed);
        let broker = world.broker();
        world.make_lossy(broker, plan.loss);
        let mut rng = ChaCha8Rng::seed_from_u64(plan.seed ^ 0x5eed);
        let side = (plan.vehicles as f64 / plan.per_km2).sqrt() * 1_000.0;
        let car = |number: usize| {
            let host = world.host(&format!("car-{number:05}"), Kind::Vehicle, None);
            world.settings(host).events = false;
            world.settings(host).limits.beacons_per_s = plan.budget;
            if number.is_multiple_of(4) {
                world.offer(host, "hv", "hazard-view");
            }
            world.attach(host, broker);
            let off = i64::try_from(plan.clocks.as_millis()).unwrap_or(0);
            let off = if off == 0 { 0 } else { rng.random_range(-off..=off) };
            world.boot(host);
            world.set_wall(host, UnixMillis(SET.saturating_add_signed(off)));
            let at = [rng.random_range(0.0..side), rng.random_range(0.0..side)];
            let speed = if rng.random_bool(0.33) { 0.0 } else { rng.random_range(5.0..15.0) };
            Car { host, at, speed, heading: 90.0 * f64::from(rng.random_range(0u8..4)) }
        };
        let cars = (0..plan.vehicles).map(car).collect();
        Self { world, plan, broker, cars, side, rng, tick: 0 }
    }

    /// Drives on for a time. Receivers do not all speak at the same moment.
    pub fn drive(&mut self, time: Duration) {
        let every = TICKS / self.plan.fixes;
        for _ in 0..time.as_millis() / TICK.as_millis() {
            for number in 0..self.cars.len() {
                if number as u64 % every == self.tick % every {
                    self.step(number, TICK.as_secs_f64() * every as f64);
                }
            }
            self.tick += 1;
            self.world.run(TICK);
        }
    }

    /// The broker is gone for a time, and forgets who was there.
    pub fn outage(&mut self, time: Duration) {
        self.world.stop(self.broker, Memory::Retained);
        self.drive(time);
        self.world.start(self.broker);
    }

    /// Every `nth` vehicle is cut off for a time.
    pub fn partition(&mut self, nth: usize, time: Duration) {
        let apart: Vec<HostNo> = self.cars.iter().step_by(nth).map(|car| car.host).collect();
        apart.iter().for_each(|host| self.world.cut(*host));
        self.drive(time);
        apart.iter().for_each(|host| self.world.mend(*host));
    }

    /// Every `nth` vehicle is killed, and starts again a second later.
    pub fn restart(&mut self, nth: usize) {
        let some: Vec<HostNo> = self.cars.iter().step_by(nth).map(|car| car.host).collect();
        some.iter().for_each(|host| self.world.kill(*host));
        self.drive(Duration::from_secs(1));
        some.iter().for_each(|host| self.world.boot(*host));
    }

    /// Of every `nth` vehicle: how many pairs of it and another within 450 m there are, and in how many of them it does
    /// not know the other, or believes it elsewhere by more than 100 m.
    pub fn misses(&self, nth: usize) -> (usize, usize) {
        let (mut pairs, mut missed) = (0, 0);
        for car in self.cars.iter().step_by(nth) {
            let agent = self.world.agent(car.host);
            for other in self.cars.iter().filter(|other| other.host != car.host && apart(car, other) < 450.0) {
                pairs += 1;
                let id: ServiceId = format!("car-{:05}", other.host.0).parse().expect("an id");
                let believed = agent.standing(&id, self.world.now());
                let near = |believed: Position| believed.distance(&place(other)).as_metres() < 100.0;
                missed += usize::from(!believed.is_some_and(near));
            }
        }
        (pairs, missed)
    }

    /// How many others there are within 500 m of a vehicle, on average over every `nth`.
    pub fn neighbours(&self, nth: usize) -> f64 {
        let some = self.cars.iter().step_by(nth);
        let near = some.clone().map(|car| self.cars.iter().filter(|other| apart(car, other) < 500.0).count() - 1);
        near.sum::<usize>() as f64 / some.count() as f64
    }

    /// Messages that one vehicle receives a second, and beacons that it sends, over a time.
    pub fn traffic(&mut self, time: Duration) -> (f64, f64) {
        let before = self.world.tally();
        self.drive(time);
        let said = self.world.tally().since(&before);
        let share = |count: u64| count as f64 / time.as_secs_f64() / self.cars.len() as f64;
        (share(said.delivered), share(said.published))
    }

    fn step(&mut self, number: usize, seconds: f64) {
        let (side, now) = (self.side, self.world.now());
        let car = &mut self.cars[number];
        if car.speed > 0.0 {
            let turn = car.heading.to_radians();
            car.at = [car.at[0] + turn.sin() * car.speed * seconds, car.at[1] + turn.cos() * car.speed * seconds];
            if car.at.iter().any(|axis| !(0.0..=side).contains(axis)) {
                car.at = car.at.map(|axis| axis.clamp(0.0, side));
                car.heading = (car.heading + 180.0) % 360.0;
            } else if self.rng.random_bool((seconds / 15.0).min(1.0)) {
                car.heading = (car.heading + 90.0) % 360.0;
            }
        }
        let car = self.cars[number];
        let motion = Motion::new(car.speed as f32, car.heading as f32).ok();
        let fix = Fix { position: place(&car), time: now, accuracy: 2.0, motion };
        if self.world.runs(car.host) {
            self.world.stand(car.host, fix);
        }
    }
}

fn place(car: &Car) -> Position {
    let corner = Position::new(48.4, 2.0).expect("a place on Earth");
    corner.moved(0.0, car.at[1]).moved(90.0, car.at[0])
}

fn apart(one: &Car, other: &Car) -> f64 {
    (one.at[0] - other.at[0]).hypot(one.at[1] - other.at[1])
}

/// Ten steps a second.
const TICK: Duration = Duration::from_millis(100);
const TICKS: u64 = 10;
/// 2026-01-01 00:00 UTC.
const SET: u64 = 1_767_225_600_000;
