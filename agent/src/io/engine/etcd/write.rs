//! Writing what an agent tells.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};
use wayside_protocols::registry::rows::{Receipt, Rows};
use wayside_protocols::service::Label;
use wayside_protocols::time::Duration;

use super::client::{CallError, Client};
use super::keys::{Keys, end_of, int};
use crate::io::engine::base64::{decode, encode};
use crate::io::engine::{About, Refused};

/// Writes one message, and says what the engine holds of its agent after it.
///
/// # Errors
/// [`Refused`]; what was written before it stays.
pub(super) async fn write(client: &Client, keys: &Keys, told: Rows) -> Result<Receipt, Refused> {
    Writing { client, keys, told }.write().await
}

struct Writing<'a> {
    client: &'a Client,
    keys: &'a Keys,
    told: Rows,
}

/// What the engine held of the agent before.
struct Known {
    epoch: Option<u32>,
    /// What it says of the agent itself.
    presence: Vec<u8>,
    ids: BTreeSet<Label>,
}

impl Writing<'_> {
    async fn write(&self) -> Result<Receipt, Refused> {
        let (told, id) = (&self.told, self.keys.lease(&self.told.agent));
        let known = self.known().await?;
        if let Some(known) = known.epoch.filter(|known| *known > told.epoch) {
            return Err(Refused::Former { given: told.epoch, known });
        }
        if told.leaving {
            self.ended(self.client.call("/v3/lease/revoke", &json!({ "ID": id })).await)?;
            return Ok(Receipt { lease: told.lease, held: 0, whole: false });
        }
        let former = known.epoch.is_none_or(|known| known < told.epoch);
        let forgotten = Receipt { lease: told.lease, held: 0, whole: true };
        if former && !told.whole {
            return Ok(forgotten);
        }
        let kept = self.client.call("/v3/lease/keepalive", &json!({ "ID": id })).await.map_err(refused)?;
        let mut left = int(&kept["result"]["TTL"]);
        if left <= 0 {
            if !told.whole {
                return Ok(forgotten);
            }
            let seconds = told.lease.as_secs();
            let granted = self.client.call("/v3/lease/grant", &json!({ "ID": id, "TTL": seconds })).await;
            left = granted.map(|granted| int(&granted["TTL"])).or_else(taken).map_err(refused)?;
        }
        let held = self.put(known, id).await?;
        // A lease is at least a second, as granted.
        let lease = Duration::from_secs(u64::try_from(left).unwrap_or(0).max(1));
        Ok(Receipt { lease, held, whole: false })
    }

    async fn known(&self) -> Result<Known, Refused> {
        let rows = self.keys.rows(&self.told.agent);
        let body = json!({ "success": [
            { "requestRange": { "key": encode(self.keys.agent(&self.told.agent).as_bytes()) } },
            { "requestRange": { "key": encode(rows.as_bytes()), "range_end": encode(&end_of(&rows)), "keys_only": true } },
        ]});
        let answer = self.client.call("/v3/kv/txn", &body).await.map_err(refused)?;
        let kvs = |place: usize| answer["responses"][place]["response_range"]["kvs"].as_array().cloned();
        let presence = kvs(0).and_then(|kvs| decode(&kvs.first()?["value"])).unwrap_or_default();
        let ids = kvs(1).into_iter().flatten().filter_map(|kv| match self.keys.about(&decode(&kv["key"])?)? {
            About::Row(_, id) => Some(id),
            About::Agent(_) => None,
        });
        let epoch = Rows::decode(&presence).ok().map(|known| known.epoch);
        Ok(Known { epoch, presence, ids: ids.collect() })
    }

    /// Puts what is new, takes away what is gone, and says how many rows there are then.
    async fn put(&self, known: Known, lease: i64) -> Result<usize, Refused> {
        let told = &self.told;
        let mut ids = known.ids.clone();
        let mut operations = Vec::new();
        let presence =
            Rows { rows: Vec::new(), gone: Vec::new(), whole: false, leaving: false, ..told.clone() }.encode();
        // A message that names no place says nothing about it.
        if told.whole || told.place.is_some() && presence != known.presence {
            operations.push(put(&self.keys.agent(&told.agent), &presence, lease));
        }
        for row in &told.rows {
            if let Some(id) = &row.id {
                ids.insert(id.clone());
                operations.push(put(&self.keys.row(&told.agent, id), &row.to_json(), lease));
            }
        }
        let stays = |id: &&Label| told.rows.iter().any(|row| row.id.as_ref() == Some(id));
        let gone: Vec<Label> = match told.whole {
            true => known.ids.iter().filter(|id| !stays(id)).cloned().collect(),
            false => told.gone.clone(),
        };
        for id in &gone {
            ids.remove(id);
            operations
                .push(json!({ "requestDeleteRange": { "key": encode(self.keys.row(&told.agent, id).as_bytes()) } }));
        }
        for together in operations.chunks(TOGETHER) {
            self.ended(self.client.call("/v3/kv/txn", &json!({ "success": together })).await)?;
        }
        Ok(ids.len())
    }

    fn ended(&self, result: Result<Json, CallError>) -> Result<(), Refused> {
        match result {
            Ok(_) => Ok(()),
            // Revoking what has run out is as good as done.
            Err(CallError::Refused(why)) if self.told.leaving && why.contains("lease not found") => Ok(()),
            Err(error) => Err(refused(error)),
        }
    }
}

/// Another node may have granted the lease at the same moment.
fn taken(error: CallError) -> Result<i64, CallError> {
    let granted = matches!(&error, CallError::Refused(why) if why.contains("already exists"));
    if granted { Ok(1) } else { Err(error) }
}

fn put(key: &str, value: &[u8], lease: i64) -> Json {
    json!({ "requestPut": { "key": encode(key.as_bytes()), "value": encode(value), "lease": lease } })
}

fn refused(error: CallError) -> Refused {
    Refused::Engine(error.to_string())
}

/// Operations in one transaction: etcd allows 128.
const TOGETHER: usize = 100;
