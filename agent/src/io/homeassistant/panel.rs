//! What Home Assistant is shown, as a value: devices, words from the broker and the time in, publications out.

use std::collections::VecDeque;

use tracing::{info, warn};
use wayside_core::agent::io::Publication;
use wayside_protocols::modbus::identify::Identified;
use wayside_protocols::modbus::reading::Reading;
use wayside_protocols::service::ServiceId;
use wayside_protocols::time::{Duration, Timestamp};

use super::entity::{Shown, belongs};
use crate::io::broker::Heard;

/// Everything that is shown, or still has to be taken back.
#[derive(Debug)]
pub(super) struct Panel {
    /// Home Assistant's prefix; `None` shows nothing, and takes back what an earlier run had shown.
    prefix: Option<Box<str>>,
    interval: Duration,
    forget: Duration,
    connected: Option<Timestamp>,
    /// In the order of their ids. Here and below lists do: they are short, and each sort of map costs its code once more.
    devices: Vec<(ServiceId, Device)>,
    /// Configurations under our name that belong to no device that is known, and when they were heard of.
    strange: Vec<(Box<str>, Timestamp)>,
    /// Devices to be said anew, each with all it has.
    saying: VecDeque<ServiceId>,
    outbox: VecDeque<Publication>,
    full: bool,
}

#[derive(Debug)]
struct Device {
    shown: Shown,
    topics: Vec<Box<str>>,
    /// Whether it is among those that are kept.
    kept: bool,
    said: Option<Vec<u8>>,
    /// When its values are to be read next; `None` while they are being read.
    due: Option<Timestamp>,
    /// Since when it does not answer.
    silent: Option<Timestamp>,
}

impl Panel {
    pub(super) fn new(prefix: Option<Box<str>>, interval: Duration, forget: Duration) -> Self {
        Self {
            prefix,
            interval,
            forget,
            connected: None,
            devices: Vec::new(),
            strange: Vec::new(),
            saying: VecDeque::new(),
            outbox: VecDeque::new(),
            full: false,
        }
    }

    /// Something came from the broker.
    pub(super) fn hear(&mut self, heard: Heard, now: Timestamp) {
        match heard {
            Heard::Connected => {
                self.connected = Some(now);
                self.strange.clear();
                self.outbox.clear();
                self.say_all();
            }
            Heard::Published { topic, payload } if topic.ends_with("/status") => {
                if payload == b"online" && self.ours(&topic) {
                    info!("Home Assistant is there");
                    self.say_all();
                }
            }
            Heard::Published { topic, payload } => self.found(topic, &payload, now),
        }
    }

    /// Every device that is kept, and whether it answers. What is not among them any more is taken back.
    pub(super) fn list<'a>(
        &mut self,
        devices: impl Iterator<Item = (&'a ServiceId, &'a Identified, bool)>,
        now: Timestamp,
    ) {
        self.devices.iter_mut().for_each(|(_, device)| device.kept = false);
        for (id, identified, answers) in devices {
            self.see(id, identified, answers, now);
        }
        let over = |device: &Device| !device.kept || device.silent.is_some_and(|since| now - since >= self.forget);
        let gone = self.devices.iter().filter(|(_, device)| over(device)).map(|(id, _)| id.clone());
        for id in gone.collect::<Vec<_>>() {
            self.take_back(&id);
        }
        let over = self.strange.iter().filter(|(_, since)| now - *since >= self.forget);
        for topic in over.map(|(topic, _)| topic.clone()).collect::<Vec<_>>() {
            self.clear(topic);
        }
    }

    /// The devices whose values are to be read, at most `room` of them. Each is waited for until [`Panel::read`].
    pub(super) fn due(&mut self, room: usize, now: Timestamp) -> Vec<ServiceId> {
        if self.connected.is_none() {
            return Vec::new();
        }
        let waiting = self.devices.iter_mut().filter(|(_, device)| device.silent.is_none());
        let due = waiting.filter(|(_, device)| device.due.is_some_and(|due| due <= now)).take(room);
        due.map(|(id, device)| {
            device.due = None;
            id.clone()
        })
        .collect()
    }

    /// What the values of a device are; `None` if it did not answer once.
    pub(super) fn read(&mut self, id: &ServiceId, readings: Option<&[Reading]>, now: Timestamp) {
        let due = now + self.interval;
        let Some(device) = self.device(id) else { return };
        device.due = Some(due);
        let said = readings.map_or_else(Shown::lost, |readings| device.shown.values(readings));
        device.said = Some(said);
        self.say_values(id, readings.is_none());
    }

    /// The next publication.
    pub(super) fn poll_output(&mut self) -> Option<Publication> {
        while self.outbox.is_empty() {
            let id = self.saying.pop_front()?;
            self.say(&id);
        }
        self.outbox.pop_front()
    }

    /// Whether there is one.
    pub(super) fn speaks(&self) -> bool {
        self.connected.is_some() && !(self.outbox.is_empty() && self.saying.is_empty())
    }

    /// Since when the broker is there and has been told everything there was to take back.
    pub(super) fn settled(&self) -> Option<Timestamp> {
        self.connected.filter(|_| self.outbox.is_empty())
    }
}

impl Panel {
    fn see(&mut self, id: &ServiceId, identified: &Identified, answers: bool, now: Timestamp) {
        if let Some(device) = self.device(id) {
            device.kept = true;
            match (answers, device.silent) {
                (true, Some(_)) => (device.silent, device.due) = (None, Some(now)),
                (false, None) => {
                    (device.silent, device.said) = (Some(now), Some(Shown::lost()));
                    self.say_values(id, true);
                }
                (true, None) | (false, Some(_)) => {}
            }
            let Some(device) = self.device(id) else { return };
            if device.shown.identified.identity != identified.identity
                || device.shown.identified.profile != identified.profile
                || device.shown.identified.sunspec != identified.sunspec
            {
                device.shown.identified = identified.clone();
                self.saying.push_back(id.clone());
            }
            return;
        }
        let (Some(prefix), Some(shown)) = (&self.prefix, Shown::new(id, identified)) else { return };
        let topics: Vec<_> = shown.points().iter().map(|point| shown.config_topic(prefix, point)).collect();
        if !answers || topics.is_empty() {
            return;
        }
        let entities: usize = self.devices.iter().map(|(_, device)| device.topics.len()).sum();
        if entities + topics.len() > MOST {
            if !self.full {
                warn!(%id, most = MOST, "a device is not shown to Home Assistant: it has as many entities as it may");
            }
            self.full = true;
            return;
        }
        let device = Device { shown, topics, kept: true, said: None, due: Some(now), silent: None };
        let place = self.devices.partition_point(|(known, _)| known < id);
        self.devices.insert(place, (id.clone(), device));
        self.saying.push_back(id.clone());
    }

    /// A configuration of ours that the broker keeps, or that somebody else has put there.
    fn found(&mut self, topic: Box<str>, payload: &[u8], now: Timestamp) {
        let device = self.devices.iter().find(|(_, device)| belongs(&topic, &device.shown.label));
        let known = device.is_some_and(|(_, device)| device.topics.contains(&topic));
        if payload.is_empty() || known {
            self.strange.retain(|(strange, _)| *strange != topic);
        } else if !self.ours(&topic) || device.is_some() {
            self.clear(topic);
        } else if self.strange.len() < MOST && self.strange.iter().all(|(strange, _)| *strange != topic) {
            self.strange.push((topic, now));
        }
    }

    /// Says all there is of one device, and takes back what it no longer has.
    fn say(&mut self, id: &ServiceId) {
        let (Some(prefix), Some(place)) = (&self.prefix, self.place(id)) else { return };
        let Some((_, device)) = self.devices.get_mut(place) else { return };
        let before = std::mem::take(&mut device.topics);
        for point in &device.shown.points() {
            let topic = device.shown.config_topic(prefix, point);
            self.outbox.push_back(retained(topic.clone(), device.shown.config(point), None));
            device.topics.push(topic);
        }
        let label = device.shown.label.clone();
        let left = self.strange.iter().map(|(topic, _)| topic).filter(|topic| belongs(topic, &label));
        let over: Vec<_> = before.iter().chain(left).filter(|topic| !device.topics.contains(topic)).cloned().collect();
        let lost = device.silent.is_some();
        self.strange.retain(|(topic, _)| !belongs(topic, &label));
        for topic in over {
            self.clear(topic);
        }
        self.say_values(id, lost);
    }

    fn say_all(&mut self) {
        self.saying = self.devices.iter().map(|(id, _)| id.clone()).collect();
    }

    /// Says what is known of the values of a device. That it is lost must arrive; the next values come soon.
    fn say_values(&mut self, id: &ServiceId, assured: bool) {
        let connected = self.connected;
        let (interval, forget) = (self.interval, self.forget);
        let Some(device) = self.device(id) else { return };
        let (Some(said), Some(_)) = (device.said.clone(), connected) else { return };
        // The broker must not keep for ever what nobody will say anything else about.
        let expiry = if assured { forget } else { interval * 3 };
        let mut publication = retained(device.shown.topic(), said, Some(expiry));
        publication.assured = assured;
        self.outbox.push_back(publication);
    }

    fn take_back(&mut self, id: &ServiceId) {
        let Some(place) = self.place(id) else { return };
        let (_, device) = self.devices.remove(place);
        info!(%id, "no longer shown to Home Assistant");
        self.full = false;
        for topic in device.topics {
            self.clear(topic);
        }
        // Not emptied: Home Assistant would try to read a value from nothing. The broker forgets it soon.
        self.outbox.push_back(retained(device.shown.topic(), Shown::lost(), Some(self.interval * 3)));
    }

    fn clear(&mut self, topic: Box<str>) {
        self.strange.retain(|(strange, _)| *strange != topic);
        self.outbox.push_back(retained(topic, Vec::new(), None));
    }

    fn place(&self, id: &ServiceId) -> Option<usize> {
        self.devices.binary_search_by(|(known, _)| known.cmp(id)).ok()
    }

    fn device(&mut self, id: &ServiceId) -> Option<&mut Device> {
        let place = self.place(id)?;
        self.devices.get_mut(place).map(|(_, device)| device)
    }

    fn ours(&self, topic: &str) -> bool {
        let below = |prefix: &str| topic.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'));
        self.prefix.as_deref().is_some_and(below)
    }
}

fn retained(topic: Box<str>, payload: Vec<u8>, expiry: Option<Duration>) -> Publication {
    Publication { topic, payload, retain: true, assured: true, expiry }
}

/// Entities at the most; a device that has more than there is room for is not shown, and the log says so.
const MOST: usize = 2_048;

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
