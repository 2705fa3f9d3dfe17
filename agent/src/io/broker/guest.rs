//! Somebody else in this program who speaks over the agent's connection, of what does not concern the agent.

use std::future;

use rumqttc::Publish;
use tokio::sync::mpsc;
use wayside_core::agent::io::Publication;

/// What the broker task gives to its guest, and takes from it.
#[derive(Debug)]
pub struct Guest {
    /// What it listens to; nothing under `wayside/`.
    pub filters: Vec<String>,
    /// What it hears. The connection waits for room, so the guest must not wait for the broker while it does not listen.
    pub heard: mpsc::Sender<Heard>,
    /// What it says. Left alone while there is no connection, and thrown away when there is a new one.
    pub words: mpsc::Receiver<Publication>,
}

/// What a guest hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// There is a connection, and all that was said on an earlier one may be forgotten.
    Connected,
    /// A publication.
    Published {
        /// Its topic.
        topic: Box<str>,
        /// What it says.
        payload: Vec<u8>,
    },
}

impl Guest {
    /// The two halves, which are used at the same time.
    pub(super) fn split(guest: Option<Self>) -> (Listening, Words) {
        match guest {
            Some(Self { filters, heard, words }) => (Listening { filters, heard: Some(heard) }, Words(Some(words))),
            None => (Listening { filters: Vec::new(), heard: None }, Words(None)),
        }
    }
}

/// How the guest hears.
#[derive(Debug)]
pub(super) struct Listening {
    filters: Vec<String>,
    heard: Option<mpsc::Sender<Heard>>,
}

impl Listening {
    pub(super) fn filters(&self) -> impl Iterator<Item = &str> {
        self.filters.iter().map(String::as_str)
    }

    /// Whether a topic is for the guest: the agent has all that is under `wayside/`, and subscribes to nothing else.
    pub(super) fn concerns(topic: &[u8]) -> bool {
        !topic.starts_with(b"wayside/")
    }

    /// Hands a publication on. A topic that is no text is dropped: the broker must not send one.
    pub(super) async fn take(&self, publish: Publish) {
        if let Ok(topic) = std::str::from_utf8(&publish.topic) {
            self.hear(Heard::Published { topic: topic.into(), payload: publish.payload.into() }).await;
        }
    }

    pub(super) async fn hear(&self, heard: Heard) {
        if let Some(guest) = &self.heard {
            // It may have gone, having nothing more to say.
            let _ = guest.send(heard).await;
        }
    }
}

/// What the guest says.
#[derive(Debug)]
pub(super) struct Words(Option<mpsc::Receiver<Publication>>);

impl Words {
    /// The next word; never ends.
    pub(super) async fn next(&mut self) -> Publication {
        if let Some(words) = &mut self.0
            && let Some(publication) = words.recv().await
        {
            return publication;
        }
        self.0 = None;
        future::pending().await
    }

    /// Throws away what was meant for another connection.
    pub(super) fn forget(&mut self) {
        while self.0.as_mut().is_some_and(|words| words.try_recv().is_ok()) {}
    }
}
