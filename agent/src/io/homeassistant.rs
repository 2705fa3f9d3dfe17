//! Shows Modbus devices to Home Assistant, by MQTT discovery, over the agent's own connection to the broker.
//!
//! What is decided is decided in `panel`; here devices are asked and words carried.

pub mod entity;
mod panel;

use std::fs;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::warn;
use wayside_core::agent::io::Publication;
use wayside_protocols::modbus::reading::Reading;
use wayside_protocols::service::{AgentId, ServiceId};
use wayside_protocols::time::{Duration, Timestamp};

use super::broker::{Guest, Heard};
use super::bus::keeper::Devices;
use crate::clock::Clock;
use crate::config::HomeAssistant;
use crate::driver::Inbox;
use panel::Panel;

/// Starts whoever shows `devices` to Home Assistant as `wanted`, or takes back what an earlier run had shown, if there is
/// anything to do. Below `dir` a file `homeassistant` says where something may have been shown.
pub fn start(
    tasks: &mut JoinSet<()>,
    wanted: Option<&HomeAssistant>,
    devices: Option<Devices>,
    (agent, dir): (&AgentId, &Path),
    inbox: &Inbox,
    clock: Clock,
) -> Option<Guest> {
    let mark = Mark(dir.join("homeassistant"));
    let prefix = wanted.map(|wanted| wanted.prefix.clone());
    let mut prefixes = mark.read();
    if let Some(prefix) = prefix.iter().find(|prefix| !prefixes.contains(*prefix)) {
        prefixes.push(prefix.clone());
    }
    if prefixes.is_empty() {
        return None;
    }
    mark.write(&prefixes);
    let mut filters: Vec<String> = prefixes.iter().map(|prefix| entity::filter(prefix, agent)).collect();
    filters.extend(prefix.iter().map(|prefix| format!("{prefix}/status")));
    let (interval, forget) = wanted.map_or((HOUR, HOUR), |wanted| (wanted.interval, wanted.forget));
    let (hears, heard) = mpsc::channel(HEARD);
    let (speaks, words) = mpsc::channel(WORDS);
    let showing = Showing {
        panel: Panel::new(prefix.clone(), interval, forget),
        shows: wanted.is_some(),
        devices: devices.filter(|_| wanted.is_some()),
        reads: JoinSet::new(),
        mark: Some((mark, prefix.into_iter().collect())),
        clock,
    };
    tasks.spawn(showing.run(heard, speaks, inbox.clone()));
    Some(Guest { filters, heard: hears, words })
}

struct Showing {
    panel: Panel,
    /// Whether anything is to be shown, or only taken back.
    shows: bool,
    devices: Option<Devices>,
    reads: JoinSet<(ServiceId, Option<Vec<Reading>>)>,
    /// What is to be written once all that an earlier run had shown is taken back.
    mark: Option<(Mark, Vec<Box<str>>)>,
    clock: Clock,
}

impl Showing {
    /// Ends with the agent, or with the connection's task, or once nothing is left to take back.
    async fn run(mut self, mut heard: mpsc::Receiver<Heard>, words: mpsc::Sender<Publication>, inbox: Inbox) {
        let mut look = self.clock.now();
        loop {
            let now = self.clock.now();
            if now >= look {
                look = now + LOOK;
                self.look(now).await;
                if self.over(now) {
                    return;
                }
            }
            tokio::select! {
                () = inbox.closed() => return,
                word = heard.recv() => match word {
                    Some(word) => self.panel.hear(word, self.clock.now()),
                    None => return,
                },
                room = words.reserve(), if self.panel.speaks() => {
                    let Ok(room) = room else { return };
                    if let Some(publication) = self.panel.poll_output() {
                        room.send(publication);
                    }
                }
                Some(Ok((id, readings))) = self.reads.join_next() => {
                    self.panel.read(&id, readings.as_deref(), self.clock.now());
                }
                () = sleep(LOOK) => {}
            }
        }
    }

    /// Looks which devices there are, and has those read that it is time for.
    async fn look(&mut self, now: Timestamp) {
        // Without devices what is retained of them goes in its own time: it may be only now that there are none.
        let Some(devices) = &self.devices else { return self.panel.list(std::iter::empty(), now) };
        let Some(kept) = devices.kept().await else { return };
        self.panel.list(kept.iter().map(|(known, answers)| (&known.id, &known.device.identified, *answers)), now);
        for id in self.panel.due(READS.saturating_sub(self.reads.len()), now) {
            let devices = devices.clone();
            self.reads.spawn(async move {
                let readings = devices.read(&id, &[]).await.ok();
                (id, readings)
            });
        }
    }

    /// Whether there is nothing more to do. What an earlier run had shown has come back from the broker by then.
    fn over(&mut self, now: Timestamp) -> bool {
        if self.panel.settled().is_some_and(|since| now - since >= SETTLED)
            && let Some((mark, prefixes)) = self.mark.take()
        {
            mark.write(&prefixes);
        }
        !self.shows && self.mark.is_none()
    }
}

/// The file with the prefixes under which something may be shown, one a line.
struct Mark(PathBuf);

impl Mark {
    fn read(&self) -> Vec<Box<str>> {
        let written = fs::read_to_string(&self.0).unwrap_or_default();
        written.lines().filter(|line| !line.is_empty()).map(Box::from).collect()
    }

    fn write(&self, prefixes: &Vec<Box<str>>) {
        if *prefixes == self.read() {
            return;
        }
        let done = if prefixes.is_empty() {
            fs::remove_file(&self.0)
        } else {
            fs::write(&self.0, prefixes.iter().map(|prefix| format!("{prefix}\n")).collect::<String>())
        };
        if let Err(error) = done {
            warn!(path = %self.0.display(), %error, "what Home Assistant is shown may not be taken back later");
        }
    }
}

const HOUR: Duration = Duration::from_secs(3_600);
/// How often it is looked which devices there are.
const LOOK: Duration = Duration::from_secs(1);
/// Devices that are read at the same time; each has its budget of requests besides.
const READS: usize = 8;
/// Words from the broker that wait at the most; the connection waits for room.
const HEARD: usize = 64;
/// Publications that wait for the broker at the most; whoever speaks waits.
const WORDS: usize = 64;
/// How long after the connection whatever the broker keeps has come.
const SETTLED: Duration = Duration::from_secs(10);
