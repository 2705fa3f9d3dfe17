//! Being found: announces instances on every link, and answers for them.
//!
//! `mdns-sd` does the work, in a thread of its own: probing, conflicts, announcing, goodbye. It also keeps, for ever, every
//! SRV and TXT record it hears, and slows down with each; so it is looked at often, and replaced when it has too many or
//! has died. Nothing is asked through it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use mdns_sd::{DaemonEvent, Error, IfKind, IfPredicate, Metrics, Receiver, ServiceDaemon, ServiceInfo};
use tokio::sync::mpsc;
use tokio::time;
use tracing::{debug, info, warn};
use wayside_core::agent::io::Advert;
use wayside_protocols::service::{AgentId, ServiceId};
use wayside_protocols::text::escaped;
use wayside_protocols::time::Duration;

use super::interfaces::Selection;
use crate::driver::{ResponderOrder, Tally};
use crate::pulse::{Beat, rounds};

/// Orders that wait at the most; further ones are dropped by the driver and counted.
pub const ORDERS: usize = 256;

/// Announces what is ordered on the interfaces of `selection` until the queue ends; then says goodbye, which takes up to
/// 1 s.
pub async fn run(
    agent: AgentId,
    selection: Selection,
    tally: Arc<Tally>,
    mut orders: mpsc::Receiver<ResponderOrder>,
    beat: Beat,
) {
    let mut responder =
        Responder { host: label(agent.as_str()), selection, tally, wanted: BTreeMap::new(), thread: None };
    let mut look = rounds();
    loop {
        beat.tick();
        tokio::select! {
            biased;
            order = orders.recv() => match order {
                Some(ResponderOrder::Advertise(advert)) => responder.want(*advert),
                Some(ResponderOrder::Retract(id)) => drop(responder.wanted.remove(&id)),
                None => return responder.leave().await,
            },
            _ = look.tick() => responder.look(),
        }
        responder.say();
    }
}

/// What is to be announced, and the thread that does it.
struct Responder {
    host: String,
    selection: Selection,
    tally: Arc<Tally>,
    wanted: BTreeMap<ServiceId, Advert>,
    thread: Option<Thread>,
}

impl Responder {
    /// What was said already is said again: the agent orders it when a link has come back.
    fn want(&mut self, advert: Advert) {
        if let Some(thread) = &mut self.thread
            && thread.said.get(&advert.id).is_some_and(|said| said.advert == advert)
        {
            thread.said.remove(&advert.id);
        }
        self.wanted.insert(advert.id.clone(), advert);
    }

    /// Sees to it that the thread is there and well.
    fn look(&mut self) {
        if let Some(thread) = &mut self.thread {
            let Err(ailment) = thread.look() else { return };
            warn!(ailment, "the mDNS responder is replaced");
            Tally::add(&self.tally.responder_rebuilds);
            if let Some(thread) = self.thread.take() {
                thread.retire();
            }
        }
        match Thread::start(&self.selection) {
            Ok(thread) => self.thread = Some(thread),
            Err(error) => warn!(%error, "the mDNS responder does not start"),
        }
    }

    /// Has the thread announce what is wanted and not yet said, and say goodbye for what is no longer wanted.
    fn say(&mut self) {
        let Some(thread) = &mut self.thread else { return };
        let stale: Vec<ServiceId> = thread
            .said
            .iter()
            .filter(|(id, said)| !said.serves(self.wanted.get(id)))
            .map(|(id, _)| id.clone())
            .collect();
        for id in stale {
            if !thread.retract(&id) {
                return;
            }
        }
        for (id, advert) in &self.wanted {
            if thread.said.get(id).is_none_or(|said| said.advert != *advert) && !thread.advertise(&self.host, advert) {
                return;
            }
        }
    }

    async fn leave(mut self) {
        let Some(mut thread) = self.thread.take() else { return };
        let ids: Vec<ServiceId> = thread.said.keys().cloned().collect();
        for id in ids {
            thread.retract(&id);
        }
        // A goodbye is said twice, 120 ms apart.
        time::sleep(GOODBYE).await;
        let Ok(done) = thread.daemon.shutdown() else { return };
        let mut turns = 0;
        while done.is_empty() && !done.is_disconnected() && turns < 10 {
            time::sleep(GOODBYE / 4).await;
            turns += 1;
        }
        debug!(ended = !done.is_empty(), "the mDNS responder has said goodbye");
    }
}

/// One life of the responder.
struct Thread {
    daemon: ServiceDaemon,
    events: Receiver<DaemonEvent>,
    metrics: Option<Receiver<Metrics>>,
    /// Looks since it was last asked for its metrics.
    looks: u32,
    said: BTreeMap<ServiceId, Said>,
}

/// An instance as it was last announced.
struct Said {
    advert: Advert,
    full_name: String,
}

impl Said {
    /// Whether it can become `wanted` by being announced again, under the same name.
    fn serves(&self, wanted: Option<&Advert>) -> bool {
        wanted.is_some_and(|wanted| {
            self.advert.instance == wanted.instance
                && self.advert.service_type == wanted.service_type
                && self.advert.address == wanted.address
        })
    }
}

impl Thread {
    fn start(selection: &Selection) -> Result<Self, Error> {
        let daemon = ServiceDaemon::new()?;
        let events = daemon.monitor()?;
        let selection = selection.clone();
        daemon.disable_interface(IfKind::All)?;
        daemon.enable_interface(IfKind::Predicate(IfPredicate::new(move |interface| selection.has(interface))))?;
        Ok(Self { daemon, events, metrics: None, looks: 0, said: BTreeMap::new() })
    }

    /// # Errors
    /// Why it must be replaced.
    fn look(&mut self) -> Result<(), &'static str> {
        for event in self.events.try_iter() {
            tell(&event);
        }
        if self.events.is_disconnected() {
            return Err("its thread has died");
        }
        self.looks += 1;
        if let Some(metrics) = &self.metrics {
            if let Ok(metrics) = metrics.try_recv() {
                self.metrics = None;
                if cached(&metrics) > CACHED {
                    return Err("it keeps too many records of others");
                }
            } else if self.looks > PATIENCE {
                return Err("it does not answer");
            }
        }
        if self.metrics.is_none() && self.looks >= ASK {
            self.looks = 0;
            // With its queue full it will not answer, which is noticed in the same way.
            self.metrics = self.daemon.get_metrics().ok();
        }
        Ok(())
    }

    /// False if it must be tried again.
    fn advertise(&mut self, host: &str, advert: &Advert) -> bool {
        let full_name = match service(host, advert).and_then(|service| {
            let name = service.get_fullname().to_owned();
            self.daemon.register(service).map(|()| name)
        }) {
            Ok(name) => name,
            Err(Error::Again | Error::DaemonShutdown) => return false,
            Err(error) => {
                // Said once; it stays in `said` without a name, so that it is not tried again.
                warn!(service = %escaped(advert.id.as_str()), %error, "cannot be announced by mDNS");
                String::new()
            }
        };
        self.said.insert(advert.id.clone(), Said { advert: advert.clone(), full_name });
        true
    }

    /// False if it must be tried again.
    fn retract(&mut self, id: &ServiceId) -> bool {
        let Some(said) = self.said.get(id) else { return true };
        let done = said.full_name.is_empty() || self.daemon.unregister(&said.full_name).is_ok();
        if done {
            self.said.remove(id);
        }
        done
    }

    /// Ends it without a goodbye, since its successor says the same: it is taken off every interface first.
    fn retire(self) {
        let mute = self.daemon.disable_interface(IfKind::All);
        if let Err(error) = mute.and_then(|()| self.daemon.shutdown().map(drop)) {
            debug!(%error, "the mDNS responder was gone already");
        }
    }
}

fn service(host: &str, advert: &Advert) -> Result<ServiceInfo, Error> {
    let domain = format!("{}.local.", advert.service_type);
    let instance = advert.instance.to_lowercase();
    let txt: Vec<(&str, &str)> = advert.txt.iter().map(|(key, value)| (&**key, &**value)).collect();
    match advert.address.filter(|ip| !ours(*ip)) {
        None => ServiceInfo::new(&domain, &instance, &format!("{host}.local."), (), advert.port, &txt[..])
            .map(ServiceInfo::enable_addr_auto),
        Some(ip) => ServiceInfo::new(&domain, &instance, &stranger(host, ip), ip, advert.port, &txt[..]),
    }
}

/// Whether this host has the address: its own name then stands for it, on every interface.
fn ours(ip: IpAddr) -> bool {
    if_addrs::get_if_addrs().is_ok_and(|interfaces| interfaces.iter().any(|interface| interface.ip() == ip))
}

/// A host name for a device that has none: this host speaks for it.
fn stranger(host: &str, ip: IpAddr) -> String {
    format!("{}.local.", label(&format!("{ip}-{host}")))
}

/// `name` as a DNS label: lower case letters, digits and dashes, at most 63.
fn label(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    name.chars().take(63).map(plain).collect::<String>().trim_matches('-').to_owned()
}

fn cached(metrics: &Metrics) -> i64 {
    metrics.iter().filter(|(name, _)| name.starts_with("cached-")).map(|(_, count)| *count).sum()
}

fn tell(event: &DaemonEvent) {
    match event {
        DaemonEvent::NameChange(change) => warn!(
            ours = %escaped(&change.original),
            renamed = %escaped(&change.new_name),
            interface = change.intf_name,
            "somebody else has this mDNS name already"
        ),
        DaemonEvent::Announce(name, addresses) => info!(name = %escaped(name), addresses, "announced by mDNS"),
        DaemonEvent::Error(error) => warn!(%error, "the mDNS responder complains"),
        other @ (DaemonEvent::IpAdd(_) | DaemonEvent::IpDel(_) | DaemonEvent::Respond(_) | _) => {
            debug!(?other, "mDNS responder");
        }
    }
}

/// It is asked for its metrics at every fifth look, and must have answered five looks later.
const ASK: u32 = 5;
const PATIENCE: u32 = 5;
/// Records of others it may keep: about 8 MiB.
const CACHED: i64 = 4_096;
/// How long saying goodbye twice takes.
const GOODBYE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_agent_id_makes_a_host_name() {
        assert_eq!(label("GW_7.hall:2"), "gw-7-hall-2");
        assert_eq!(stranger("gw", "10.0.0.5".parse().unwrap()), "10-0-0-5-gw.local.");
        assert!(label(&"a".repeat(64)).len() <= 63);
    }
}
