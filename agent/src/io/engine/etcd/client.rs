//! Calls to an etcd cluster: any member may be asked, and if one does not answer, the next one is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::Uri;
use hyper::body::Incoming;
use serde_json::Value as Json;
use tokio::time::timeout;
use wayside_protocols::time::Duration;

use crate::io::web::{Connector, Web, WebError};

/// Speaks to the cluster. Clones share their connections.
#[derive(Clone, Debug)]
pub(super) struct Client {
    web: Web,
    endpoints: Arc<[Uri]>,
    /// Which member is asked: the one that answered last.
    at: Arc<AtomicUsize>,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// No member answered.
    #[error("{member}: {source}")]
    Unreachable {
        /// Which was asked last.
        member: String,
        /// What came of it.
        source: WebError,
    },
    /// It took too long.
    #[error("{member}: no answer within {} ms", CALL.as_millis())]
    Late {
        /// Which was asked last.
        member: String,
    },
    /// etcd refuses.
    #[error("etcd says: {0}")]
    Refused(String),
    /// What it answers is no JSON, or not what was asked for.
    #[error("etcd answers something else: {0}")]
    Garbled(String),
}

impl Client {
    pub(super) fn new(endpoints: Vec<Uri>, connector: Connector) -> Self {
        let web = Web::new(connector, None);
        Self { web, endpoints: endpoints.into(), at: Arc::default() }
    }

    /// Calls `path`.
    ///
    /// # Errors
    /// [`CallError`] once every member was tried.
    pub(super) async fn call(&self, path: &str, body: &Json) -> Result<Json, CallError> {
        let mut failed = None;
        for _ in 0..self.endpoints.len().max(1) {
            match self.call_one(path, body).await {
                Err(error @ (CallError::Unreachable { .. } | CallError::Late { .. })) => {
                    self.turn();
                    failed = Some(error);
                }
                done => return done,
            }
        }
        Err(failed.unwrap_or_else(|| CallError::Garbled("no endpoint".to_owned())))
    }

    /// Opens a stream of answers at the member that answers calls.
    ///
    /// # Errors
    /// [`CallError`] if that one does not open it.
    pub(super) async fn stream(&self, path: &str, body: &Json) -> Result<Incoming, CallError> {
        let (uri, member) = self.member();
        let opened = timeout(CALL, self.web.open(&uri, path, body.to_string().into_bytes())).await;
        match opened {
            Ok(Ok(response)) if response.status().is_success() => Ok(response.into_body()),
            Ok(Ok(response)) => Err(CallError::Refused(format!("status {}", response.status().as_u16()))),
            Ok(Err(source)) => Err(CallError::Unreachable { member, source }),
            Err(_) => Err(CallError::Late { member }),
        }
    }

    /// Which member is asked at the moment.
    pub(super) fn place(&self) -> usize {
        self.at.load(Ordering::Relaxed)
    }

    /// The next member is asked from here on.
    pub(super) fn turn(&self) {
        self.at.fetch_add(1, Ordering::Relaxed);
    }

    async fn call_one(&self, path: &str, body: &Json) -> Result<Json, CallError> {
        let (uri, member) = self.member();
        let post = self.web.post(&uri, path, body.to_string().into_bytes(), MAX_ANSWER);
        let reply = match timeout(CALL, post).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(source)) => return Err(CallError::Unreachable { member, source }),
            Err(_) => return Err(CallError::Late { member }),
        };
        let answer: Json =
            serde_json::from_slice(&reply.body).map_err(|error| CallError::Garbled(error.to_string()))?;
        match (reply.status.is_success(), answer.get("error")) {
            (true, None) => Ok(answer),
            // A member that has lost its leader is as good as gone.
            (false, Some(error)) if leaderless(error) => {
                let source = WebError::Status(reply.status.as_u16(), format!(": {}", said(error)));
                Err(CallError::Unreachable { member, source })
            }
            (_, Some(error)) => Err(CallError::Refused(said(error))),
            (false, None) => Err(CallError::Refused(format!("status {}", reply.status.as_u16()))),
        }
    }

    fn member(&self) -> (Uri, String) {
        let uri = self.endpoints.get(self.at.load(Ordering::Relaxed) % self.endpoints.len().max(1)).cloned();
        let uri = uri.unwrap_or_default();
        let member = uri.authority().map(ToString::to_string).unwrap_or_default();
        (uri, member)
    }
}

fn said(error: &Json) -> String {
    let text = error.as_str().map_or_else(|| error.to_string(), str::to_owned);
    text.chars().take(200).collect()
}

fn leaderless(error: &Json) -> bool {
    let said = said(error);
    ["no leader", "leader changed", "timed out", "unavailable", "not started"].iter().any(|word| said.contains(word))
}

/// How long a call may take.
const CALL: Duration = Duration::from_secs(3);
/// Bytes of an answer: a page of rows as large as they may be.
const MAX_ANSWER: usize = 16 << 20;
