//! Vehicles that drive the recorded city and say so through a real broker.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rumqttc::{AsyncClient, MqttOptions, PublishOptions, QoS};
use tokio::sync::watch;
use tokio::time;
use wayside_protocols::mqtt::announcement::Announcement;
use wayside_protocols::mqtt::beacon::{Beacon, digest};
use wayside_protocols::mqtt::topic::Topic;
use wayside_protocols::service::{AgentId, Kind, Label, NameError, Service, ServiceId, ServiceName};
use wayside_protocols::time::Timestamp;

use crate::trace::{Trace, wall};

/// How long an announcement holds.
const ANNOUNCEMENT_HOLDS: Duration = Duration::from_secs(600);

/// A fleet on the road.
#[derive(Clone, Debug)]
pub struct Fleet {
    trace: Arc<Trace>,
    /// The step of the recording that was last sent.
    step: watch::Receiver<usize>,
    /// Vehicles that have fallen silent.
    silent: Arc<Mutex<BTreeSet<usize>>>,
}

impl Fleet {
    /// Sends all vehicles of `trace` through the broker at `port` on this host, as fast as they were recorded, until
    /// the task is dropped. Every fourth offers `service`.
    ///
    /// # Errors
    /// [`NameError`] if `service` is no service name.
    pub fn drive(trace: Arc<Trace>, port: u16, service: &str) -> Result<(Self, impl Future<Output = ()>), NameError> {
        let name = service.parse()?;
        let (sent, step) = watch::channel(0);
        let fleet = Self { trace, step, silent: Arc::default() };
        let mut options = MqttOptions::new("city-fleet", ("127.0.0.1", port));
        options.set_keep_alive(15);
        let (client, mut events) = AsyncClient::builder(options).capacity(4_096).build();
        let driving = fleet.clone();
        let task = async move {
            let polling = async {
                loop {
                    if events.poll().await.is_err() {
                        time::sleep(Duration::from_millis(200)).await;
                    }
                }
            };
            tokio::select! {
                () = polling => {}
                () = driving.send(client, name, sent) => {}
            }
        };
        Ok((fleet, task))
    }

    /// The id of `vehicle`.
    pub fn agent(vehicle: usize) -> AgentId {
        // Letters and digits only, so it is always an id.
        format!("veh-{vehicle:03}").parse().unwrap_or_else(|_| unreachable!())
    }

    /// Whether `vehicle` offers the service.
    pub const fn offers(vehicle: usize) -> bool {
        vehicle.is_multiple_of(4)
    }

    /// The step that was last sent.
    pub fn step(&self) -> usize {
        *self.step.borrow()
    }

    /// Waits until a step later than `step` has been sent.
    pub async fn later_than(&mut self, step: usize) {
        // The sender lives as long as the task; were it gone, there is nothing to wait for.
        let _ = self.step.wait_for(|sent| *sent > step).await;
    }

    /// `vehicle` falls silent, without a goodbye.
    pub fn silence(&self, vehicle: usize) {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner).insert(vehicle);
    }

    async fn send(self, client: AsyncClient, name: ServiceName, sent: watch::Sender<usize>) {
        for vehicle in (0..self.trace.vehicles()).filter(|vehicle| Self::offers(*vehicle)) {
            let (topic, announcement) = announcement(vehicle, &name);
            let options = PublishOptions::new(QoS::AtLeastOnce).retain(true);
            if client.publish(topic, announcement.to_json(), options).await.is_err() {
                return;
            }
        }
        let mut beat = time::interval(Duration::from_millis(self.trace.step_ms()));
        for step in 0.. {
            beat.tick().await;
            for vehicle in 0..self.trace.vehicles() {
                let silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner).contains(&vehicle);
                let (topic, beacon) = self.beacon(vehicle, step, &name);
                let options = PublishOptions::new(QoS::AtMostOnce);
                if !silent && client.publish(topic, beacon.encode(), options).await.is_err() {
                    return;
                }
            }
            if sent.send(step).is_err() {
                return;
            }
        }
    }

    fn beacon(&self, vehicle: usize, step: usize, name: &ServiceName) -> (String, Beacon) {
        let agent = Self::agent(vehicle);
        let service = Self::offers(vehicle).then(|| ServiceId::of(&label(name), &agent));
        self.trace.sample(vehicle, step).beacon(agent, step as u16, wall(), digest(service.iter()))
    }
}

/// The id of a service among those of its vehicle: what it is called.
fn label(name: &ServiceName) -> Label {
    // Every service name is a label too.
    name.as_str().parse().unwrap_or_else(|_| unreachable!())
}

fn announcement(vehicle: usize, name: &ServiceName) -> (String, Announcement) {
    let agent = Fleet::agent(vehicle);
    let id = label(name);
    let mut service = Service::new(ServiceId::of(&id, &agent), name.clone(), Kind::Vehicle);
    service.agent = Some(agent.clone());
    let announcement = Announcement::from_service(&service, ANNOUNCEMENT_HOLDS, wall(), Timestamp::START);
    (Topic::Announcement { cell: None, name: name.clone(), agent, id }.to_string(), announcement)
}
