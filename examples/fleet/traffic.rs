//! Vehicles that drive the recorded streets, and say so no more often than they must.

use std::cell::Cell as Shared;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rumqttc::{AsyncClient, MqttOptions, PublishOptions, QoS};
use tokio::time::{self, MissedTickBehavior};
use wayside_examples::trace::{Sample, Trace, wall};
use wayside_protocols::place::{Motion, Position};
use wayside_protocols::service::AgentId;
use wayside_protocols::time::UnixMillis;

/// Everybody on the road.
pub(crate) struct Traffic {
    trace: Trace,
    vehicles: usize,
    began: (Instant, UnixMillis),
    pub(crate) sent: Shared<u64>,
    pub(crate) bytes: Shared<u64>,
}

impl Traffic {
    pub(crate) fn new(trace: Trace, vehicles: usize) -> Self {
        Self { trace, vehicles, began: (Instant::now(), wall()), sent: Shared::new(0), bytes: Shared::new(0) }
    }

    pub(crate) const fn vehicles(&self) -> usize {
        self.vehicles
    }

    /// The id of `vehicle`.
    pub(crate) fn id(vehicle: usize) -> AgentId {
        // Letters and digits only, so it is always an id.
        format!("veh-{vehicle:04}").parse().unwrap_or_else(|_| unreachable!())
    }

    /// Where `vehicle` truly is at `moment`: between two recorded steps on a straight line.
    pub(crate) fn truth(&self, vehicle: usize, moment: Instant) -> Position {
        let steps = moment.duration_since(self.began.0).as_secs_f64() * 1e3 / self.trace.step_ms() as f64;
        let (from, to) = (self.sample(vehicle, steps as usize), self.sample(vehicle, steps as usize + 1));
        from.towards(&to, steps.fract())
    }

    /// There and back again, so that nobody is elsewhere at once when the recording ends. Vehicles beyond the recorded
    /// ones drive the same streets at another time.
    fn sample(&self, vehicle: usize, step: usize) -> Sample {
        let (number, turn) = (vehicle % self.trace.vehicles(), vehicle / self.trace.vehicles());
        let round = 2 * (STEPS - 1);
        let at = (step + 97 * turn) % round;
        if at < STEPS {
            return self.trace.sample(number, at);
        }
        let Sample { position, motion } = self.trace.sample(number, round - at);
        let back = Motion { heading: (motion.heading + 180.0) % 360.0, ..motion };
        Sample { position, motion: back }
    }

    /// Sends until the task is dropped.
    pub(crate) async fn drive(self: Rc<Self>, url: String) {
        let address = url.strip_prefix("mqtt://").unwrap_or(&url);
        let (host, port) = address.rsplit_once(':').unwrap_or((address, "1883"));
        let mut options = MqttOptions::new("wayside-fleet", (host, port.parse().unwrap_or(1883)));
        options.set_keep_alive(15);
        let (client, mut events) = AsyncClient::builder(options).capacity(8_192).build();
        let polling = async {
            loop {
                if events.poll().await.is_err() {
                    time::sleep(Duration::from_millis(200)).await;
                }
            }
        };
        tokio::select! {
            () = polling => {}
            () = self.send(client) => {}
        }
    }

    async fn send(&self, client: AsyncClient) {
        let mut last: Vec<Option<(usize, Sample, u16)>> = vec![None; self.vehicles];
        let step_ms = self.trace.step_ms();
        let mut beat = time::interval_at(self.began.0.into(), Duration::from_millis(step_ms));
        // A step that comes late is a step all the same: the vehicles have driven it.
        beat.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for step in 0.. {
            beat.tick().await;
            for (vehicle, last) in last.iter_mut().enumerate() {
                let sample = self.sample(vehicle, step);
                if !last.as_ref().is_none_or(|(then, before, _)| due(before, &sample, (step - then) as u64 * step_ms)) {
                    continue;
                }
                let sequence = last.as_ref().map_or(0, |(.., sequence)| sequence.wrapping_add(1));
                *last = Some((step, sample, sequence));
                let at = UnixMillis(self.began.1.0 + step as u64 * step_ms);
                let (topic, beacon) = sample.beacon(Self::id(vehicle), sequence, at, 0);
                let payload = beacon.encode();
                self.sent.set(self.sent.get() + 1);
                self.bytes.set(self.bytes.get() + payload.len() as u64);
                if client.publish(topic, payload, PublishOptions::new(QoS::AtMostOnce)).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// The CAM rule: 4 m, 4 degrees, 0.5 m/s, or a second.
fn due(before: &Sample, now: &Sample, millis: u64) -> bool {
    let turn = f64::from(now.motion.heading - before.motion.heading).rem_euclid(360.0);
    millis >= 1_000
        || turn.min(360.0 - turn) > 4.0
        || (now.motion.speed - before.motion.speed).abs() > 0.5
        || before.position.distance(&now.position).as_metres() > 4.0
}

/// Recorded steps of a vehicle.
const STEPS: usize = 300;
