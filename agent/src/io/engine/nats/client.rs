//! Calls to a NATS server over the connection that the session holds.

use serde_json::Value as Json;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use wayside_protocols::time::Duration;

use super::wire::Message;

/// Speaks to the server. Clones share the connection.
#[derive(Clone, Debug)]
pub(super) struct Client {
    commands: mpsc::Sender<Command>,
}

/// Something to publish, and who waits for what is said to it.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) subject: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) payload: Vec<u8>,
    pub(super) reply: oneshot::Sender<Message>,
}

/// An answer that is on its way.
#[derive(Debug)]
pub(super) struct Pending(oneshot::Receiver<Message>);

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CallError {
    /// The connection broke.
    #[error("the connection broke")]
    Lost,
    /// It took too long: there may be no leader.
    #[error("no answer within {} ms", CALL.as_millis())]
    Late,
    /// Nobody listens to JetStream's subjects.
    #[error("nobody answers there: is JetStream on?")]
    Nobody,
    /// JetStream refuses.
    #[error("NATS says: {said} ({code})")]
    Refused {
        /// Its own number for it.
        code: u64,
        /// Its words for it.
        said: String,
    },
    /// What it answers is no JSON, or not what was asked for.
    #[error("NATS answers something else: {0}")]
    Garbled(String),
}

impl CallError {
    /// Whether JetStream gave this number as its reason.
    pub(super) fn is(&self, number: u64) -> bool {
        matches!(self, Self::Refused { code, .. } if *code == number)
    }
}

impl Client {
    /// A client, and what it wants published.
    pub(super) fn new() -> (Self, mpsc::Receiver<Command>) {
        let (commands, wanted) = mpsc::channel(COMMANDS);
        (Self { commands }, wanted)
    }

    /// Publishes, and does not wait for what is said to it.
    ///
    /// # Errors
    /// [`CallError::Lost`].
    pub(super) async fn send(
        &self,
        subject: String,
        headers: Vec<(&'static str, String)>,
        payload: Vec<u8>,
    ) -> Result<Pending, CallError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command { subject, headers, payload, reply }).await.map_err(|_| CallError::Lost)?;
        Ok(Pending(answer))
    }

    /// Asks JetStream's API.
    ///
    /// # Errors
    /// [`CallError`].
    pub(super) async fn ask(&self, what: &str, body: &Json) -> Result<Json, CallError> {
        let payload = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.send(format!("$JS.API.{what}"), Vec::new(), payload).await?.answer().await
    }
}

impl Pending {
    /// What JetStream says.
    ///
    /// # Errors
    /// [`CallError`].
    pub(super) async fn answer(self) -> Result<Json, CallError> {
        let message = timeout(CALL, self.0).await.map_err(|_| CallError::Late)?.map_err(|_| CallError::Lost)?;
        if message.status == Some(NOBODY) {
            return Err(CallError::Nobody);
        }
        let answer: Json =
            serde_json::from_slice(&message.payload).map_err(|error| CallError::Garbled(error.to_string()))?;
        match answer.get("error") {
            None => Ok(answer),
            Some(error) => {
                let said = error["description"].as_str().unwrap_or("no reason").chars().take(200).collect();
                Err(CallError::Refused { code: error["err_code"].as_u64().unwrap_or(0), said })
            }
        }
    }

    /// Under which number JetStream keeps what was published.
    ///
    /// # Errors
    /// [`CallError`]: nobody knows whether it keeps it.
    pub(super) async fn kept(self) -> Result<u64, CallError> {
        let answer = self.answer().await?;
        answer["seq"].as_u64().ok_or_else(|| CallError::Garbled(answer.to_string().chars().take(200).collect()))
    }
}

/// Publications that wait for the connection; whoever has a further one waits.
const COMMANDS: usize = 256;
/// How long a call may take. An election takes five seconds; who waits for it would be told too late.
const CALL: Duration = Duration::from_secs(3);
/// What a server says where nobody listens.
const NOBODY: u16 = 503;
