//! The MQTT 5 session: one connection at a time, each with a client and a session of its own, so that nothing of a broken
//! one is left over. What is to be said after a connection is the agent's to know; here nothing is remembered.

mod desk;
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
use wayside_protocols::time::Duration;

use super::backoff::Backoff;
use crate::driver::{BrokerOrder, Inbox, Message, Tally};
pub use desk::{Answering, Telling};
use desk::{Desk, Herald};
pub use settings::{Address, AddressError, Settings, SetupError};

/// Orders that wait at the most; further ones are dropped by the driver and counted.
pub const ORDERS: usize = 4_096;

/// Keeps a connection to the broker until the queue of orders ends; then sends what is in it and disconnects, which takes
/// up to 1 s. Without a connection orders are dropped: the agent says everything anew when there is one.
///
/// `answer` answers queries that come by MQTT; `tell` puts changes in words for the event topic.
pub async fn run(
    settings: Settings,
    inbox: Inbox,
    mut orders: mpsc::Receiver<BrokerOrder>,
    answer: Option<Answering>,
    tell: Option<Telling>,
) {
    let mut backoff = Backoff::new(settings.seed);
    let mut session =
        Session { desk: Desk::new(&settings.agent, answer), herald: Herald::new(&settings.agent, tell), inbox };
    let mut complained = false;
    loop {
        let reached = session.connections();
        let Err(broken) = session.live(&settings, &mut orders, &mut backoff).await else { return };
        Tally::add(&session.inbox.tally().broker_failures);
        let wait = backoff.next();
        if complained && reached == session.connections() {
            debug!(broker = %settings.address, error = %broken, ?wait, "broker still unreachable");
        } else {
            warn!(broker = %settings.address, error = %broken, ?wait, "broker unreachable");
        }
        complained = true;
        tokio::select! {
            () = discard(&mut orders) => return,
            () = time::sleep(wait) => {}
        }
    }
}

/// What outlives a connection.
struct Session {
    desk: Desk,
    herald: Herald,
    inbox: Inbox,
}

impl Session {
    /// One connection, from the attempt to its end. Ok if the queue of orders ended.
    async fn live(
        &mut self,
        settings: &Settings,
        orders: &mut mpsc::Receiver<BrokerOrder>,
        backoff: &mut Backoff,
    ) -> Result<(), Broken> {
        let (client, mut events) = AsyncClient::builder(settings.options()?).capacity(REQUESTS).try_build()?;
        tokio::select! {
            () = discard(orders) => return Ok(()),
            reached = reach(&mut events) => reached?,
        }
        while orders.try_recv().is_ok() {}
        info!(broker = %settings.address, "broker reached");
        self.begin(&client).await?;
        let Self { desk, herald, inbox } = self;
        let mut listening = pin!(listen(&mut events, &client, desk, inbox));
        let broken = tokio::select! {
            broken = &mut listening => broken,
            broken = speak(orders, &client, herald) => match broken {
                Err(error) => error.into(),
                Ok(()) => {
                    client.disconnect_with_timeout(FAREWELL).await?;
                    // It ends with an error, since the connection does.
                    drop(time::timeout(FAREWELL, listening).await);
                    debug!(broker = %settings.address, "disconnected");
                    return Ok(());
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
        self.inbox.tell(Message::BrokerUp { session_present: false }).await;
        Ok(())
    }

    fn connections(&self) -> u64 {
        self.inbox.tally().broker_connections.load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// Ends with the queue. Nothing is said to a broker that is not there.
async fn discard(orders: &mut mpsc::Receiver<BrokerOrder>) {
    while orders.recv().await.is_some() {}
}

/// Waits for the acknowledgement.
async fn reach(events: &mut EventLoop) -> Result<(), ConnectionError> {
    while !matches!(events.poll().await?, Event::Incoming(Packet::ConnAck(_))) {}
    Ok(())
}

/// Carries what the broker sends to the agent. A full inbox makes it wait, and so the broker. Ends with the connection.
async fn listen(events: &mut EventLoop, client: &AsyncClient, desk: &mut Desk, inbox: &Inbox) -> Broken {
    loop {
        match events.poll().await {
            Err(error) => return error.into(),
            Ok(Event::Incoming(Packet::Publish(publish))) => {
                if let Some(message) = desk.take(publish, client, inbox.tally()) {
                    inbox.tell(message).await;
                }
            }
            Ok(Event::Incoming(Packet::SubAck(acknowledged))) => complain(&acknowledged),
            Ok(_) => {}
        }
    }
}

/// Carries the agent's orders to the broker, waiting for room. Ends with the queue, or the connection.
async fn speak(
    orders: &mut mpsc::Receiver<BrokerOrder>,
    client: &AsyncClient,
    herald: &Herald,
) -> Result<(), ClientError> {
    while let Some(order) = orders.recv().await {
        match order {
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
    Ok(())
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
