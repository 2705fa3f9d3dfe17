//! Writing what an agent tells.
//!
//! A key of its own says that the agent is there, and runs out with its lease (`Nats-TTL`); its rows have no life of their
//! own and go when that key does. It is written before the rows, and only in the place of what is known to stand there, so
//! that of two nodes that hear of one agent at the same moment the second looks again.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};
use wayside_protocols::registry::rows::{Receipt, Rows};
use wayside_protocols::service::Label;

use super::client::{CallError, Client};
use super::keys::Keys;
use crate::io::engine::Refused;
use crate::io::engine::base64::decode;

/// What the node knows of the agent.
#[derive(Clone, Debug, Default)]
pub(super) struct Before {
    /// The number of the message that says it is there; 0 if there is none.
    pub(super) number: u64,
    /// What that says, and in which life.
    pub(super) presence: Option<(u32, Vec<u8>)>,
    pub(super) ids: BTreeSet<Label>,
}

/// Writes one message, and says what the engine holds of its agent after it.
///
/// # Errors
/// [`Refused`]; what was written before it stays.
pub(super) async fn write(client: Client, keys: Keys, told: Rows, mut before: Before) -> Result<Receipt, Refused> {
    for _ in 0..ATTEMPTS {
        if let Some((known, _)) = before.presence.as_ref().filter(|(known, _)| *known > told.epoch) {
            return Err(Refused::Former { given: told.epoch, known: *known });
        }
        let same_life = before.presence.as_ref().is_some_and(|(known, _)| *known == told.epoch);
        if !same_life && !told.whole {
            return Ok(Receipt { lease: told.lease, held: 0, whole: true });
        }
        match present(&client, &keys, &told, &before).await {
            Ok(number) if told.leaving => {
                // It is gone with that word; this only makes room.
                let _ = forget(&client, &keys, &told, number).await;
                return Ok(Receipt { lease: told.lease, held: 0, whole: false });
            }
            Ok(_) => {
                let held = rows(&client, &keys, &told, before.ids).await.map_err(refused)?;
                return Ok(Receipt { lease: told.lease, held, whole: false });
            }
            Err(error) if error.is(OTHER_NUMBER) => {
                let (number, presence) = look(&client, &keys, &told).await.map_err(refused)?;
                (before.number, before.presence) = (number, presence);
            }
            Err(error) => return Err(refused(error)),
        }
    }
    Err(Refused::Engine("somebody else writes for the same agent all the time".to_owned()))
}

/// Says that the agent is there, or takes its leave.
async fn present(client: &Client, keys: &Keys, told: &Rows, before: &Before) -> Result<u64, CallError> {
    let mut headers = vec![("Nats-Expected-Last-Subject-Sequence", before.number.to_string())];
    let payload = if told.leaving {
        headers.extend([("KV-Operation", "DEL".to_owned()), ("Nats-TTL", MARKED.to_owned())]);
        Vec::new()
    } else {
        headers.push(("Nats-TTL", format!("{}s", told.lease.as_secs().max(1))));
        let said = Rows { rows: Vec::new(), gone: Vec::new(), whole: false, leaving: false, ..told.clone() };
        // A message that names no place says nothing about it.
        let stands = before.presence.as_ref().filter(|_| !told.whole && told.place.is_none());
        stands.map_or_else(|| said.encode(), |(_, bytes)| bytes.clone())
    };
    client.send(keys.agent(&told.agent), headers, payload).await?.kept().await
}

/// Puts what is new, takes away what is gone, and says how many rows there are then.
async fn rows(client: &Client, keys: &Keys, told: &Rows, mut ids: BTreeSet<Label>) -> Result<usize, CallError> {
    let offered: BTreeSet<&Label> = told.rows.iter().filter_map(|row| row.id.as_ref()).collect();
    let gone: Vec<Label> = match told.whole {
        true => ids.iter().filter(|id| !offered.contains(id)).cloned().collect(),
        false => told.gone.clone(),
    };
    let mut on_their_way = Vec::new();
    for row in &told.rows {
        if let Some(id) = &row.id {
            ids.insert(id.clone());
            on_their_way.push(client.send(keys.row(&told.agent, id), Vec::new(), row.to_json()).await?);
        }
    }
    for id in &gone {
        ids.remove(id);
        let headers = vec![("KV-Operation", "DEL".to_owned()), ("Nats-TTL", MARKED.to_owned())];
        on_their_way.push(client.send(keys.row(&told.agent, id), headers, Vec::new()).await?);
    }
    for pending in on_their_way {
        pending.kept().await?;
    }
    Ok(ids.len())
}

/// Removes what the agent offered before the message `number`.
async fn forget(client: &Client, keys: &Keys, told: &Rows, number: u64) -> Result<Json, CallError> {
    let body = json!({ "filter": keys.rows(&told.agent), "seq": number });
    client.ask(&format!("STREAM.PURGE.{}", keys.stream()), &body).await
}

/// What the leader has under the agent's key.
async fn look(client: &Client, keys: &Keys, told: &Rows) -> Result<(u64, Option<(u32, Vec<u8>)>), CallError> {
    let what = format!("STREAM.MSG.GET.{}", keys.stream());
    match client.ask(&what, &json!({ "last_by_subj": keys.agent(&told.agent) })).await {
        Ok(answer) => {
            let message = &answer["message"];
            let presence = decode(&message["data"]).and_then(|bytes| Some((Rows::decode(&bytes).ok()?.epoch, bytes)));
            Ok((message["seq"].as_u64().unwrap_or(0), presence))
        }
        Err(error) if error.is(NO_MESSAGE) => Ok((0, None)),
        Err(error) => Err(error),
    }
}

fn refused(error: CallError) -> Refused {
    Refused::Engine(error.to_string())
}

/// How often a message is written anew because somebody else has written for its agent meanwhile.
const ATTEMPTS: usize = 4;
/// How long the word stays that something is gone: longer than a node may be away without listing everything anew.
pub(super) const MARKED: &str = "3600s";
/// "wrong last sequence".
const OTHER_NUMBER: u64 = 10_071;
/// "no message found".
const NO_MESSAGE: u64 = 10_037;
