//! The devices around the agent: one bus for all that ask them, and who asks.

use std::sync::Arc;

use tokio::task::JoinSet;
use tracing::warn;
use wayside_core::agent::io::Settings;

use crate::clock::Clock;
use crate::config::Modbus;
use crate::driver::Inbox;
use crate::io::bus::keeper::{self, Devices};
use crate::io::bus::{self, Audit};
use crate::io::inquire::census;
use crate::profiles;
use crate::surveys::{self, Surveys};

/// Who is asked about devices.
#[derive(Clone, Debug)]
pub struct Field {
    /// Those that are known.
    pub devices: Devices,
    /// The surveys that find others.
    pub surveys: Surveys,
}

/// Starts all that asks devices, if any segment is configured: the bus, the keeper of what is found, the surveys, and
/// whoever asks by datagram.
pub(crate) fn start(
    tasks: &mut JoinSet<()>,
    modbus: &Modbus,
    settings: &Settings,
    inbox: &Inbox,
    clock: Clock,
) -> Option<Field> {
    if modbus.segments.is_empty() {
        return None;
    }
    let audit = match &modbus.audit {
        None => Audit::default(),
        Some(path) => match Audit::open(path, clock) {
            Ok((audit, keep)) => {
                tasks.spawn(keep);
                audit
            }
            Err(error) => {
                warn!(path = %path.display(), %error, "the audit log cannot be written, so no device is asked");
                return None;
            }
        },
    };
    let (profiles, problems) = profiles::load(&modbus.profiles);
    for problem in problems {
        warn!("{problem}");
    }
    let (bus, keep) = bus::desk(audit, clock);
    tasks.spawn(keep);
    let scanned = || modbus.segments.iter().filter(|segment| segment.scan);
    let kept = scanned().filter(|segment| segment.modbus);
    let keeping = keeper::Settings {
        agent: settings.id.clone(),
        segments: kept.map(|segment| (segment.segment.clone(), segment.placement(clock.now()))).collect(),
        profiles: Arc::clone(&profiles),
        pace: modbus.pace.clone(),
        interval: modbus.interval,
        seed: settings.seed,
    };
    let (devices, keep) = keeper::keeper(keeping, bus.clone(), inbox.clone(), clock);
    tasks.spawn(keep);
    for segment in scanned() {
        for protocol in &segment.datagrams {
            let asked = census::Settings {
                agent: settings.id.clone(),
                protocol: *protocol,
                targets: segment.sockets(*protocol),
                placement: segment.placement(clock.now()),
                interval: modbus.interval,
            };
            tasks.spawn(census::run(asked, inbox.clone(), clock));
        }
    }
    let surveying = surveys::Settings {
        agent: settings.id.clone(),
        epoch: settings.epoch,
        segments: modbus.segments.clone().into(),
        profiles,
        pace: modbus.pace.clone(),
        seed: settings.seed,
    };
    let (surveys, keep) = surveys::surveys(surveying, bus, devices.clone(), inbox.clone(), clock);
    tasks.spawn(keep);
    Some(Field { devices, surveys })
}
