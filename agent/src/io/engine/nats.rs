//! Records in a bucket of NATS JetStream, a key-value store that several servers keep (server 2.11 or later).
//!
//! `g.{agent}` says that an agent is there and in which life, and runs out with its lease; `s.{agent}.{id}` says what it
//! offers, and goes when that does. What the node answers from comes back through a watch of the whole bucket, which goes
//! on where it was left off. One connection carries everything; when it breaks, the next server is tried.
//!
//! `wire` (what is said) · `connection` (to whom) · `client` (what is called) · `keys` (how keys are named) · `known` (what
//! came back) · `write` (what agents tell).

mod client;
mod connection;
mod keys;
mod known;
mod wire;
mod write;

use hyper::Uri;
use serde_json::{Value as Json, json};
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};
use tracing::warn;
use wayside_core::registry::Footing;
use wayside_protocols::time::Duration;

use super::{Node, Order, Refused};
use crate::io::backoff::Backoff;
use client::{CallError, Client};
pub(super) use connection::{Access, Tls};
use connection::{Broken, Connection};
use keys::Keys;
use known::{Known, Litter};
use wire::Message;

pub(super) async fn run(
    endpoints: Vec<Uri>,
    access: Access,
    prefix: Box<str>,
    mut orders: mpsc::Receiver<Order>,
    node: Node,
) {
    let seed = node.seed;
    let (keys, mut backoff) = (Keys::new(&prefix), Backoff::new(seed));
    let mut known = Known::new(keys.clone(), node);
    let mut stands = known.node.stands(Footing::CatchingUp).await;
    for endpoint in endpoints.iter().cycle() {
        if !stands {
            return;
        }
        let why = match timeout(CONNECT, Connection::open(endpoint, &access, seed)).await {
            Err(_) => format!("{endpoint}: no connection within {} ms", CONNECT.as_millis()),
            Ok(Err(broken)) => format!("{endpoint}: {broken}"),
            Ok(Ok(connection)) => {
                let session = Session::new(connection, keys.clone(), &mut known);
                match session.run(&mut orders, &mut backoff).await {
                    Ok(()) => return,
                    Err(why) => format!("{endpoint}: {why}"),
                }
            }
        };
        warn!(%why, "the engine is lost");
        while let Ok(Order { receipt, .. }) = orders.try_recv() {
            // Whoever asked may have given up.
            let _ = receipt.send(Err(Refused::Engine(why.clone())));
        }
        stands = known.node.stands(known.lost(&why)).await;
        sleep(backoff.next().min(LONGEST)).await;
    }
}

/// What is done over one connection.
struct Session<'a> {
    connection: Connection,
    client: Client,
    commands: mpsc::Receiver<client::Command>,
    keys: Keys,
    known: &'a mut Known,
    under_way: JoinSet<Done>,
    /// Whether deliveries come, or will.
    watching: bool,
    /// Ticks since the server last said anything of the watch.
    silent: u32,
}

/// What came to its end.
enum Done {
    /// Nothing follows from it.
    Fine,
    /// The bucket is there: since when, and where it stands.
    Found(Result<(String, u64), CallError>),
    /// The watch is there, and so much is to come.
    Watched(Result<u64, CallError>),
    /// The bucket was looked at: since when it is there, and where it stands.
    Looked(Result<(String, u64), CallError>),
}

impl<'a> Session<'a> {
    fn new(connection: Connection, keys: Keys, known: &'a mut Known) -> Self {
        let (client, commands) = Client::new();
        let (under_way, watching, silent) = (JoinSet::new(), false, 0);
        Self { connection, client, commands, keys, known, under_way, watching, silent }
    }

    /// Follows and writes until the agent stops.
    ///
    /// # Errors
    /// Why the engine is lost.
    async fn run(mut self, orders: &mut mpsc::Receiver<Order>, backoff: &mut Backoff) -> Result<(), String> {
        let why = self.go_on(orders, backoff).await;
        // Those who wait for an answer are told that none will come.
        let Self { connection, commands, mut under_way, .. } = self;
        drop((connection, commands));
        while under_way.join_next().await.is_some() {}
        why
    }

    async fn go_on(&mut self, orders: &mut mpsc::Receiver<Order>, backoff: &mut Backoff) -> Result<(), String> {
        let replicas = if self.connection.clustered { REPLICAS } else { 1 };
        let (client, keys) = (self.client.clone(), self.keys.clone());
        self.under_way.spawn(async move { Done::Found(found(&client, &keys, replicas).await) });
        let (mut bytes, mut tick) = (vec![0; READ], interval(TICK));
        let inbox = self.known.node.inbox.clone();
        loop {
            let connection = &mut self.connection;
            let ready = self.watching && self.known.ready();
            tokio::select! {
                read = connection.reads.read(&mut bytes) => {
                    let read = read.map_err(|error| Broken::from(error).to_string())?;
                    if read == 0 {
                        return Err(Broken::Closed.to_string());
                    }
                    connection.take(&bytes[..read]);
                    while let Some(message) = self.connection.delivery().map_err(|broken| broken.to_string())? {
                        self.deliver(&message).await?;
                    }
                }
                written = Connection::write(&mut connection.writes, &connection.out), if !connection.out.is_empty() => {
                    let written = written.map_err(|broken| broken.to_string())?;
                    connection.out.drain(..written);
                }
                Some(command) = self.commands.recv(), if connection.out.len() < OUT => connection.say(command),
                order = orders.recv(), if ready && self.under_way.len() < AT_ONCE => match order {
                    Some(order) => self.write(order),
                    None => return Ok(()),
                },
                Some(Ok(done)) = self.under_way.join_next() => {
                    if !self.done(done, backoff).await? {
                        return Ok(());
                    }
                }
                _ = tick.tick() => self.tick()?,
                // Before everything was listed nobody's orders are taken, and so nobody's going is noticed.
                () = inbox.closed() => return Ok(()),
            }
        }
    }

    fn write(&mut self, Order { rows, receipt }: Order) {
        let before = self.known.before(&rows.agent);
        let (client, keys) = (self.client.clone(), self.keys.clone());
        self.under_way.spawn(async move {
            // Whoever asked may have given up.
            let _ = receipt.send(write::write(client, keys, rows, before).await);
            Done::Fine
        });
    }

    async fn deliver(&mut self, message: &Message) -> Result<(), String> {
        self.silent = 0;
        if message.reply.as_deref().is_some_and(|reply| reply.starts_with("$JS.ACK.")) {
            let ready = self.known.ready();
            let litter = self.known.take(message).await?;
            self.clear(litter);
            if !ready && self.known.ready() {
                self.known.node.stands(Footing::Following).await;
            }
            return Ok(());
        }
        // Flow control wants an answer, and a watch that stalled names where.
        for subject in [message.reply.as_deref(), message.header("Nats-Consumer-Stalled")].into_iter().flatten() {
            self.connection.acknowledge(subject);
        }
        if message.header("Nats-Last-Consumer").is_some() { self.known.beat(message) } else { Ok(()) }
    }

    /// False once the agent has stopped.
    async fn done(&mut self, done: Done, backoff: &mut Backoff) -> Result<bool, String> {
        match done {
            Done::Fine => {}
            Done::Found(found) => {
                let (created, last) = found.map_err(|error| error.to_string())?;
                let from = self.known.begin(&created, last);
                let (client, keys, to) = (self.client.clone(), self.keys.clone(), self.connection.watched());
                self.watching = true;
                self.under_way.spawn(async move { Done::Watched(watch(&client, &keys, to, from).await) });
            }
            Done::Watched(pending) => {
                backoff.reset();
                if pending.map_err(|error| error.to_string())? == 0 {
                    let litter = self.known.nothing_to_list().await;
                    self.clear(litter);
                }
                if self.known.ready() {
                    return Ok(self.known.node.stands(Footing::Following).await);
                }
            }
            Done::Looked(looked) => {
                let (created, last) = looked.map_err(|error| error.to_string())?;
                if let Some(why) = self.known.astray(&created, last) {
                    return Err(format!("everything is listed anew: {why}"));
                }
            }
        }
        Ok(true)
    }

    /// A server that is cut off from the others keeps its connections, and says nothing of it: so it is asked.
    fn tick(&mut self) -> Result<(), String> {
        if !self.watching {
            return Ok(());
        }
        self.silent += 1;
        if self.silent > SILENT {
            return Err("the watch is silent".to_owned());
        }
        let (client, keys) = (self.client.clone(), self.keys.clone());
        self.under_way.spawn(async move { Done::Looked(look(&client, &keys).await) });
        Ok(())
    }

    /// Removes what nobody offers any more. Every node says so; the second finds nothing.
    fn clear(&mut self, litter: Vec<Litter>) {
        for Litter { agent, before } in litter {
            let (client, keys) = (self.client.clone(), self.keys.clone());
            self.under_way.spawn(async move {
                let body = json!({ "filter": keys.rows(&agent), "seq": before });
                if let Err(error) = client.ask(&format!("STREAM.PURGE.{}", keys.stream()), &body).await {
                    // The next listing meets it again.
                    tracing::debug!(%error, %agent, "what it offered stays");
                }
                Done::Fine
            });
        }
    }
}

/// Sees to it that the bucket is there.
async fn found(client: &Client, keys: &Keys, replicas: u8) -> Result<(String, u64), CallError> {
    let config = json!({
        "name": keys.stream(), "subjects": [keys.all()], "max_msgs_per_subject": 1, "discard": "new",
        "allow_rollup_hdrs": true, "deny_delete": true, "allow_direct": true, "allow_msg_ttl": true,
        "subject_delete_marker_ttl": MARKED_NS, "num_replicas": replicas, "storage": "file", "retention": "limits",
        "max_consumers": -1, "max_msgs": -1, "max_bytes": -1, "max_age": 0,
    });
    match client.ask(&format!("STREAM.CREATE.{}", keys.stream()), &config).await {
        // Somebody has made it otherwise, perhaps with other replicas: what is needed is looked at.
        Ok(_) => {}
        Err(error) if error.is(IN_USE) => {}
        Err(error) => return Err(error),
    }
    look(client, keys).await
}

async fn look(client: &Client, keys: &Keys) -> Result<(String, u64), CallError> {
    let info = client.ask(&format!("STREAM.INFO.{}", keys.stream()), &Json::Null).await?;
    let config = &info["config"];
    for (field, wanted) in [("allow_msg_ttl", json!(true)), ("max_msgs_per_subject", json!(1))] {
        if config[field] != wanted {
            let said = format!("stream {} has {field} {}, not {wanted}", keys.stream(), config[field]);
            return Err(CallError::Refused { code: 0, said });
        }
    }
    let created = info["created"].as_str().unwrap_or_default().to_owned();
    Ok((created, info["state"]["last_seq"].as_u64().unwrap_or(0)))
}

/// Has the bucket delivered to `to`: everything, or what changes `from` a number on. How much is to come at once.
async fn watch(client: &Client, keys: &Keys, to: String, from: Option<u64>) -> Result<u64, CallError> {
    let mut config = json!({
        "deliver_subject": to, "deliver_policy": "last_per_subject", "ack_policy": "none", "replay_policy": "instant",
        "flow_control": true, "idle_heartbeat": HEARTBEAT_NS, "max_deliver": 1, "mem_storage": true, "num_replicas": 1,
        "inactive_threshold": INACTIVE_NS, "filter_subject": keys.all(),
    });
    if let Some(from) = from {
        config["deliver_policy"] = json!("by_start_sequence");
        config["opt_start_seq"] = json!(from);
    }
    let body = json!({ "stream_name": keys.stream(), "config": config });
    let made = client.ask(&format!("CONSUMER.CREATE.{}", keys.stream()), &body).await?;
    Ok(made["num_pending"].as_u64().unwrap_or(0))
}

/// Messages that are written at the same time.
const AT_ONCE: usize = 64;
/// Copies of the bucket where there are several servers: any one of three may be lost.
const REPLICAS: u8 = 3;
/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(3);
/// The longest pause before the next server is tried: a registry that is back must not be found out late.
const LONGEST: Duration = Duration::from_secs(3);
/// Bytes read at once.
const READ: usize = 64 << 10;
/// Bytes that wait to be written before nothing more is taken.
const OUT: usize = 1 << 20;
/// How often the bucket is looked at, and how often in a row the watch may have said nothing then.
const TICK: Duration = Duration::from_secs(2);
const SILENT: u32 = 3;
/// Nanoseconds between two words of a watch that has nothing to deliver.
const HEARTBEAT_NS: u64 = 1_500_000_000;
/// Nanoseconds after which a watch that nobody listens to is forgotten.
const INACTIVE_NS: u64 = 30_000_000_000;
/// Nanoseconds for which the word stays that something ran out, as [`write::MARKED`] has it in seconds.
const MARKED_NS: u64 = 3_600_000_000_000;
/// "stream name already in use with a different configuration".
const IN_USE: u64 = 10_058;
