//! The MQTT 5 session: one connection at a time, each with a client and a session of its own, so that nothing of a broken
//! one is left over. What is to be said after a connection is the agent's to know; here nothing is remembered.

mod desk;
mod guest;
mod settings;

use std::convert::Infallible;
use std::future;
use std::pin::pin;

use rumqttc::{
    AsyncClient, ClientBuildError, ClientError, ConnectionError, Event, EventLoop, Packet, PublishOptions,
    PublishProperties, QoS, SubAck, SubscribeFilterInput, SubscribeReasonCode,
};
use tokio::sync::mpsc;
use tokio::time;
use tracing::{debug, info, warn};
use wayside_core::agent::io::Publication;
use wayside_protocols::service::AgentId;
use wayside_protocols::time::Duration;

use super::backoff::Backoff;
use crate::driver::{BrokerOrder, Inbox, Message, Tally};
pub use desk::{Answering, Telling};
use desk::{Desk, Herald};
pub use guest::{Guest, Heard};
use guest::{Listening, Words};
pub use settings::{Address, AddressError, Settings, SetupError};

/// Orders that wait at the most; further ones are dropped by the driver and counted.
pub const ORDERS: usize = 4_096;

/// Keeps a connection to the broker until the queue of orders ends; then sends what is in it and disconnects, which takes
/// up to 1 s. Without a connection orders are dropped: the agent says everything anew when there is one.
///
/// `answer` answers queries that come by MQTT; `tell` puts changes in words for the event topic. The guest speaks when the
/// agent has nothing to say.
pub async fn run(
    mut settings: Settings,
    inbox: Inbox,
    mut orders: mpsc::Receiver<BrokerOrder>,
    answer: Option<Answering>,
    (tell, guest): (Option<Telling>, Option<Guest>),
) {
    let mut backoff = Backoff::new(settings.seed);
    let desk = Desk::new(&settings.agent, answer.clone());
    let (listening, words) = Guest::split(guest);
    let mut session =
        Session { desk, herald: Herald::new(&settings.agent, tell), inbox, answer, tell, listening, words };
    let mut complained = false;
    loop {
        let reached = session.connections();
        let broken = match session.live(&settings, &mut orders, &mut backoff).await {
            Ok(Next::Stop) => return,
            Ok(Next::Rename(agent, epoch)) => {
                (settings.agent, settings.epoch) = (agent, epoch);
                session.rename(&settings);
                continue;
            }
            Err(broken) => broken,
        };
        Tally::add(&session.inbox.tally().broker_failures);
        let wait = backoff.next();
        if complained && reached == session.connections() {
            debug!(broker = %settings.address, error = %broken, ?wait, "broker still unreachable");
        } else {
            warn!(broker = %settings.address, error = %broken, ?wait, "broker unreachable");
        }
        complained = true;
        tokio::select! {
            next = discard(&mut orders) => match next {
                Next::Stop => return,
                Next::Rename(agent, epoch) => {
                    (settings.agent, settings.epoch) = (agent, epoch);
                    session.rename(&settings);
                }
            },
            () = time::sleep(wait) => {}
        }
    }
}

/// What comes after a connection that was ended, not lost.
enum Next {
    /// Nothing.
    Stop,
    /// Another, by this name and in this life.
    Rename(AgentId, u32),
}

/// What outlives a connection.
struct Session {
    desk: Desk,
    herald: Herald,
    inbox: Inbox,
    answer: Option<Answering>,
    tell: Option<Telling>,
    listening: Listening,
    words: Words,
}

impl Session {
    /// From here on questions and news are under the new name. What is being answered under the old one is dropped.
    fn rename(&mut self, settings: &Settings) {
        self.desk = Desk::new(&settings.agent, self.answer.clone());
        self.herald = Herald::new(&settings.agent, self.tell);
    }

    /// One connection, from the attempt to its end. Ok if it was ended on purpose.
    async fn live(
        &mut self,
        settings: &Settings,
        orders: &mut mpsc::Receiver<BrokerOrder>,
        backoff: &mut Backoff,
    ) -> Result<Next, Broken> {
        let (client, mut events) = AsyncClient::builder(settings.options()?).capacity(REQUESTS).try_build()?;
        tokio::select! {
            next = discard(orders) => return Ok(next),
            reached = reach(&mut events) => reached?,
        }
        while let Ok(order) = orders.try_recv() {
            if let BrokerOrder::Rename(agent, epoch) = order {
                return Ok(Next::Rename(agent, epoch));
            }
        }
        info!(broker = %settings.address, "broker reached");
        self.begin(&client).await?;
        let Self { desk, herald, inbox, listening, words, .. } = self;
        let mut listening = pin!(listen(&mut events, &client, (desk, listening), inbox));
        let broken = tokio::select! {
            broken = &mut listening => broken,
            broken = speak(orders, words, &client, herald) => match broken {
                Err(error) => error.into(),
                Ok(next) => {
                    client.disconnect_with_timeout(FAREWELL).await?;
                    // It ends with an error, since the connection does.
                    drop(time::timeout(FAREWELL, listening).await);
                    debug!(broker = %settings.address, "disconnected");
                    return Ok(next);
                }
            },
            never = steady(backoff) => match never {},
        };
        inbox.tell(Message::BrokerDown).await;
        Err(broken)
    }

    /// Listens for queries, and lets the agent speak.
    async fn begin(&mut self, client: &AsyncClient) -> Result<(), Broken> {
        Tally::add(&self.inbox.tally().broker_connections);
        if let Some(filter) = self.desk.filter() {
            client.subscribe(filter, QoS::AtLeastOnce).await?;
        }
        for filter in self.listening.filters() {
            // What the guest says itself need not come back to it.
            let filter = SubscribeFilterInput::new(filter, QoS::AtLeastOnce).no_local(true);
            client.subscribe_many([filter]).await?;
        }
        self.words.forget();
        self.listening.hear(Heard::Connected).await;
        self.inbox.tell(Message::BrokerUp { session_present: false }).await;
        Ok(())
    }

    fn connections(&self) -> u64 {
        self.inbox.tally().broker_connections.load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// Ends with the queue, or with another name. Nothing is said to a broker that is not there.
async fn discard(orders: &mut mpsc::Receiver<BrokerOrder>) -> Next {
    while let Some(order) = orders.recv().await {
        if let BrokerOrder::Rename(agent, epoch) = order {
            return Next::Rename(agent, epoch);
        }
    }
    Next::Stop
}

/// Waits for the acknowledgement.
async fn reach(events: &mut EventLoop) -> Result<(), ConnectionError> {
    while !matches!(events.poll().await?, Event::Incoming(Packet::ConnAck(_))) {}
    Ok(())
}

/// Carries what the broker sends to the agent. A full inbox makes it wait, and so the broker. Ends with the connection.
async fn listen(
    events: &mut EventLoop,
    client: &AsyncClient,
    (desk, guest): (&mut Desk, &Listening),
    inbox: &Inbox,
) -> Broken {
    loop {
        match events.poll().await {
            Err(error) => return error.into(),
            Ok(Event::Incoming(Packet::Publish(publish))) => {
                if Listening::concerns(&publish.topic) {
                    guest.take(publish).await;
                } else if let Some(message) = desk.take(publish, client, inbox.tally()) {
                    inbox.tell(message).await;
                }
            }
            Ok(Event::Incoming(Packet::SubAck(acknowledged))) => complain(&acknowledged),
            Ok(_) => {}
        }
    }
}

/// Carries the agent's orders to the broker, waiting for room. Ends with the queue, with another name, or with the connection.
async fn speak(
    orders: &mut mpsc::Receiver<BrokerOrder>,
    words: &mut Words,
    client: &AsyncClient,
    herald: &Herald,
) -> Result<Next, ClientError> {
    loop {
        let order = tokio::select! {
            biased;
            order = orders.recv() => order,
            publication = words.next() => Some(BrokerOrder::Publish(publication)),
        };
        let Some(order) = order else { return Ok(Next::Stop) };
        match order {
            BrokerOrder::Rename(agent, epoch) => return Ok(Next::Rename(agent, epoch)),
            BrokerOrder::Publish(publication) => publish(client, publication).await?,
            BrokerOrder::Subscribe(wanted) => {
                // Some brokers take no more than eight in one packet.
                for wanted in wanted.chunks(8) {
                    let wanted = wanted.iter().map(|filter| SubscribeFilterInput::new(&**filter, QoS::AtLeastOnce));
                    client.subscribe_many(wanted).await?;
                }
            }
            BrokerOrder::Unsubscribe(unwanted) => {
                client.unsubscribe_many(unwanted.iter().map(ToString::to_string)).await?;
            }
            BrokerOrder::Event(change) => {
                if let Some(event) = herald.event(&change) {
                    publish(client, event).await?;
                }
            }
        }
    }
}

async fn publish(client: &AsyncClient, publication: Publication) -> Result<(), ClientError> {
    let Publication { topic, payload, retain, assured, expiry } = publication;
    let mut options = PublishOptions::new(if assured { QoS::AtLeastOnce } else { QoS::AtMostOnce }).retain(retain);
    if let Some(expiry) = expiry {
        // At least one second: zero would be gone before it arrives.
        let seconds = u32::try_from(expiry.as_secs()).unwrap_or(u32::MAX).max(1);
        options = options
            .properties(PublishProperties { message_expiry_interval: Some(seconds), ..PublishProperties::default() });
    }
    client.publish(String::from(topic), payload, options).await
}

fn complain(acknowledged: &SubAck) {
    let refused = |code: &&SubscribeReasonCode| !matches!(code, SubscribeReasonCode::Success(_));
    if let Some(code) = acknowledged.return_codes.iter().find(refused) {
        warn!(?code, "the broker refuses a subscription");
    }
}

/// Forgets earlier failures once a connection has held for a while: one that breaks at once every time is none.
async fn steady(backoff: &mut Backoff) -> Infallible {
    time::sleep(STEADY).await;
    backoff.reset();
    future::pending().await
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("{0}")]
    Setup(#[from] SetupError),
    #[error("{0}")]
    Options(#[from] ClientBuildError),
    #[error("{0}")]
    Connection(#[from] Box<ConnectionError>),
    #[error("{0}")]
    Client(#[from] ClientError),
}

impl From<ConnectionError> for Broken {
    fn from(error: ConnectionError) -> Self {
        Self::Connection(Box::new(error))
    }
}

/// Requests that wait inside the client.
const REQUESTS: usize = 64;
/// How long a connection must hold to be one.
const STEADY: Duration = Duration::from_secs(30);
/// How long the last words may take.
const FAREWELL: Duration = Duration::from_secs(1);
