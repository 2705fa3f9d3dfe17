//! Records in the memory of one node, for demonstrations: they end with it, and no other node knows them.

use std::collections::BTreeMap;

use tokio::sync::mpsc;
use wayside_core::registry::Footing;
use wayside_protocols::registry::rows::{Receipt, Rows};
use wayside_protocols::service::{AgentId, Label, Service, ServiceId};
use wayside_protocols::sighting::{Sighting, Source};
use wayside_protocols::time::{Duration, Timestamp};

use super::{Node, Order, Refused};
use crate::driver::Message;

/// What one agent has told.
#[derive(Debug)]
struct Holding {
    epoch: u32,
    until: Timestamp,
    presence: Service,
    rows: BTreeMap<Label, Service>,
}

pub(super) async fn run(mut orders: mpsc::Receiver<Order>, node: Node) {
    if !node.stands(Footing::Following).await {
        return;
    }
    let (mut held, mut swept) = (BTreeMap::new(), Timestamp::START);
    while let Some(Order { rows, receipt }) = orders.recv().await {
        let now = node.clock.now();
        if now - swept >= SWEEP {
            // The catalog forgets by itself; here only memory is saved.
            held.retain(|_, holding: &mut Holding| holding.until > now);
            swept = now;
        }
        let (answer, sightings) = match take(&mut held, rows, &node, now) {
            Ok((answer, sightings)) => (Ok(answer), sightings),
            Err(refused) => (Err(refused), Vec::new()),
        };
        for sighting in sightings {
            if !node.inbox.tell(Message::Heard(sighting)).await {
                return;
            }
        }
        // Whoever asked may have given up.
        let _ = receipt.send(answer);
    }
}

fn take(
    held: &mut BTreeMap<AgentId, Holding>,
    told: Rows,
    node: &Node,
    now: Timestamp,
) -> Result<(Receipt, Vec<Sighting>), Refused> {
    let receipt = |held, whole| Receipt { lease: told.lease, held, whole };
    let known = held.get(&told.agent).filter(|holding| holding.until > now);
    if let Some(known) = known.filter(|known| known.epoch > told.epoch) {
        return Err(Refused::Former { given: told.epoch, known: known.epoch });
    }
    if known.is_none_or(|known| known.epoch < told.epoch) && !told.whole {
        return Ok((receipt(0, true), Vec::new()));
    }
    if known.is_none() && held.len() >= AGENTS {
        return Err(Refused::Full(AGENTS));
    }
    let mut sightings = Vec::new();
    let before = held.remove(&told.agent);
    let mut rows = before.as_ref().map(|before| before.rows.clone()).unwrap_or_default();
    let gone: Vec<Label> = match told.whole {
        true => rows.keys().filter(|id| told.rows.iter().all(|row| row.id.as_ref() != Some(id))).cloned().collect(),
        false => told.gone.clone(),
    };
    for id in gone {
        rows.remove(&id);
        sightings.push(Sighting::gone(Source::Region, ServiceId::of(&id, &told.agent)));
    }
    if told.leaving {
        sightings.push(Sighting::gone(Source::Region, ServiceId::agent(&told.agent)));
        return Ok((receipt(0, false), sightings));
    }
    for row in &told.rows {
        if let Some((id, service)) = row.id.clone().zip(told.service(row, node.clock.wall(), now)) {
            rows.insert(id, service);
        }
    }
    let mut presence = told.presence(now);
    presence.fix = presence.fix.or_else(|| before.filter(|_| !told.whole).and_then(|before| before.presence.fix));
    let alive = |service: &Service| Sighting::alive(Source::Region, service.clone(), told.lease);
    sightings.push(alive(&presence));
    sightings.extend(rows.values().map(alive));
    let answer = receipt(rows.len(), false);
    held.insert(told.agent.clone(), Holding { epoch: told.epoch, until: now + told.lease, presence, rows });
    Ok((answer, sightings))
}

/// Agents that are held; a further one is refused.
const AGENTS: usize = 100_000;
/// How often it is looked whose lease has run out.
const SWEEP: Duration = Duration::from_secs(10);
