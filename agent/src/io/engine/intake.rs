//! What agents say over MQTT goes to the engine by the same desk as what they say over HTTP.

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use wayside_protocols::registry::rows::Rows;

use super::Desk;
use crate::driver::{Inbox, Message};

/// Hands the engine what the agent wants it told until the queue is closed.
pub async fn run(desk: Desk, mut told: mpsc::Receiver<Rows>, inbox: Inbox) {
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            rows = told.recv(), if under_way.len() < AT_ONCE => {
                let Some(rows) = rows else { return };
                let desk = desk.clone();
                under_way.spawn(async move { (rows.agent.clone(), desk.tell(rows).await) });
            }
            Some(Ok((agent, result))) = under_way.join_next() => {
                let result = result.map_err(|refused| refused.to_string().into());
                if !inbox.tell(Message::TakenIn(agent, result)).await {
                    return;
                }
            }
        }
    }
}

/// Messages that wait for their turn; a further one counts as not taken, and is said again.
pub const TOLD: usize = 1_024;
/// Messages that are with the engine at the same time.
const AT_ONCE: usize = 64;
