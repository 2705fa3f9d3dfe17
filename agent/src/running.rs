//! One agent with all its edges, running.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::path::Path;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{info, warn};
use wayside_core::agent::Agent;
use wayside_core::agent::io::Settings;
use wayside_core::registration::DueProbe;
use wayside_core::upstream::Kept;
use wayside_protocols::registry::rows::Rows;
use wayside_protocols::service::{AgentId, ServiceId};
use wayside_protocols::time::Duration;

use crate::api::{self, Api, BindError, Listen, Options, Positioned, Server};
use crate::clock::Clock;
use crate::config::settings::Start;
use crate::config::{Config, Mqtt, identity, state};
use crate::driver::{self, BrokerOrder, Driver, Edges, Handle, Inbox, Message};
use crate::field::{self, Field};
use crate::io::broker::{self, Answering, Guest, Telling};
use crate::io::bus::keeper::Devices;
use crate::io::engine::{self, Desk};
use crate::io::interfaces::Selection;
#[cfg(feature = "otlp")]
use crate::io::otlp;
use crate::io::probe::Prober;
use crate::io::{envoy, gnss, homeassistant, link, responder, upstream};
use crate::journal::{self, Journal, JournalTally};
use crate::pulse::Pulse;
#[cfg(feature = "otlp")]
use crate::trace::{Record, Recorder};

/// An agent that runs on this runtime until it is told to leave.
#[derive(Debug)]
pub struct Running {
    id: AgentId,
    listen: Listen,
    handle: Handle,
    pulse: Pulse,
    field: Option<Field>,
    driver: JoinSet<()>,
    edges: JoinSet<()>,
    stop_api: oneshot::Sender<()>,
}

impl Running {
    /// Starts the agent that `config` means. Waits for no network, broker or receiver; what is not there yet is tried
    /// again for as long as the agent runs.
    ///
    /// # Errors
    /// [`BindError`] if the API cannot listen where it should.
    pub async fn start(config: &Config, clock: Clock) -> Result<Self, BindError> {
        let dir = state::directory(&config.state_dir).unwrap_or_else(|error| {
            warn!(%error, "nothing is kept over a restart, and registrations are refused");
            config.state_dir.clone()
        });
        // The keys of a hash map are drawn by the system once a process: 64 bits that nobody can foresee.
        let seed = RandomState::new().build_hasher().finish();
        let id = identity::agent_id(config.id.as_ref(), &dir, seed);
        let server = Server::bind(&config.api.listen).await?.under(tls(config)?);
        let mut pulse = Pulse::default();
        let server = server.beating(pulse.of("api"));
        let (journal, restored) = Journal::open(&dir, clock.wall());
        if let Some(trouble) = &restored.trouble {
            warn!(error = %trouble, "registrations are refused until the state directory can be written");
        }
        let (handle, inbox, doors) = driver::doors();
        let listen = server.listen().clone();
        let start = Start {
            id: id.clone(),
            epoch: restored.epoch,
            seed,
            restored: restored.registrations,
            kept: if config.upstreams.is_empty() { Vec::new() } else { journal::kept::restore(&dir, clock.wall()) },
            api_port: port(&listen),
        };
        let settings = config.settings(start);
        let mut edges = JoinSet::new();
        let registry = registry(&mut edges, config, &inbox, (clock, seed));
        let intake = registry.clone().map(|desk| intake(&mut edges, desk, &inbox));
        let field = field::start(&mut edges, &config.modbus, &settings, &inbox, clock);
        let memory = memory(&mut edges, config, &dir, journal.tally(), clock);
        #[cfg(feature = "otlp")]
        let records = recorder(config, &inbox, clock);
        let options = Options {
            agent: id.clone(),
            kind: config.kind,
            epoch: restored.epoch,
            token: config.api.token.as_ref().map(|token| token.reveal().into()),
            clock,
            journal: Some(journal.tally()),
            caps: config.limits.api.clone(),
            positioned: positioned(config),
            scheme: config.api.scheme(),
            field: field.clone(),
            registry,
            #[cfg(feature = "otlp")]
            recorder: records.0,
        };
        let devices = field.as_ref().map(|field| field.devices.clone());
        let guest = config.mqtt.as_ref().and_then(|_| {
            let wanted = config.homeassistant.as_ref();
            homeassistant::start(&mut edges, wanted, devices, (&id, &dir), &inbox, clock)
        });
        let mut outward = outward(&mut edges, config, &settings, (&inbox, &handle), (journal, guest), &mut pulse);
        (outward.keep, outward.intake) = (memory, intake);
        let agent = Agent::new(settings, clock.now());
        let mut driver = JoinSet::new();
        let looped = Driver::new(agent, doors, outward, move || clock.now(), move || clock.wall());
        driver.spawn(looped.beating(pulse.of("driver")).run());
        for (dir, service) in
            config.envoy.iter().flat_map(|files| files.services.iter().map(move |name| (&files.dir, name)))
        {
            edges.spawn(envoy::keep(dir.clone(), service.clone(), handle.clone()));
        }
        let (stop_api, stopped) = oneshot::channel();
        let api = Api::new(handle.clone(), options);
        #[cfg(feature = "otlp")]
        if let (Some(wanted), Some(kept)) = (&config.otlp, records.1) {
            edges.spawn(otlp::run(wanted.clone(), api.clone(), kept, inbox, clock));
        }
        // A sender that is dropped stops the API too.
        edges.spawn(server.run(api, async move { drop(stopped.await) }));
        info!(%id, kind = %config.kind, state = %dir.display(), "agent is up");
        Ok(Self { id, listen, handle, pulse, field, driver, edges, stop_api })
    }

    /// The agent's id.
    pub fn id(&self) -> &AgentId {
        &self.id
    }

    /// Where its API listens; the port is the one the system chose.
    pub fn listen(&self) -> &Listen {
        &self.listen
    }

    /// Asks and tells the agent.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The devices of its Modbus segments; `None` if none is configured.
    pub fn devices(&self) -> Option<&Devices> {
        self.field.as_ref().map(|field| &field.devices)
    }

    /// The loops of it that have not come round since this was asked last.
    pub fn missing(&self) -> Vec<&'static str> {
        self.pulse.missing()
    }

    /// Waits until the agent has stopped, which it does not unless told to.
    pub async fn stopped(&mut self) {
        self.driver.join_next().await;
    }

    /// Says goodbye everywhere and stops. What is not done after 2 s is dropped.
    pub async fn leave(mut self) {
        let Self { handle, stop_api, field, .. } = self;
        // Its keeper ends with it, and every line once what is on its way is answered.
        drop(field);
        let farewell = async {
            handle.leave().await;
            // The API has gone if nobody listens.
            let _ = stop_api.send(());
            drop(handle);
            while self.driver.join_next().await.is_some() {}
            while self.edges.join_next().await.is_some() {}
        };
        if timeout(FAREWELL, farewell).await.is_err() {
            warn!("not everything was said goodbye to in time");
        }
    }
}

/// How long stopping may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// With what the API proves itself.
#[cfg(feature = "tls")]
fn tls(config: &Config) -> Result<Option<api::Tls>, BindError> {
    let Some(tls) = &config.api.tls else { return Ok(None) };
    let files = crate::io::tls::ServerFiles {
        cert: tls.cert_file.clone(),
        key: tls.key_file.clone(),
        client_ca: tls.client_ca_file.clone(),
    };
    files.load().map(Some).map_err(|error| BindError::Tls(error.told()))
}

#[cfg(not(feature = "tls"))]
fn tls(_: &Config) -> Result<Option<api::Tls>, BindError> {
    Ok(None)
}

fn positioned(config: &Config) -> Positioned {
    match (&config.gpsd, config.position) {
        (Some(gpsd), _) => Positioned::Gpsd(gpsd.clone()),
        (None, Some(_)) => Positioned::Config,
        (None, None) => Positioned::Api,
    }
}

fn port(listen: &Listen) -> Option<u16> {
    match listen {
        Listen::Tcp(address) => Some(address.port()),
        Listen::Unix(_) => None,
    }
}

/// Who records what is asked, and where that waits for whoever sends it.
#[cfg(feature = "otlp")]
fn recorder(config: &Config, inbox: &Inbox, clock: Clock) -> (Option<Recorder>, Option<mpsc::Receiver<Record>>) {
    let Some(wanted) = &config.otlp else { return (None, None) };
    let (records, kept) = mpsc::channel(otlp::RECORDS);
    let recorder = Recorder::new(records, wanted.sample_ratio, Arc::clone(inbox.tally()), clock);
    (Some(recorder), Some(kept))
}

/// Starts every edge that the configuration wants, and gives the queues to them.
fn outward(
    tasks: &mut JoinSet<()>,
    config: &Config,
    settings: &Settings,
    (inbox, handle): (&Inbox, &Handle),
    (journal, guest): (Journal, Option<Guest>),
    pulse: &mut Pulse,
) -> Edges {
    let (entries, kept) = mpsc::channel(ENTRIES);
    tasks.spawn(journal::keep(journal, kept, inbox.clone()));
    let (checks, due) = mpsc::channel(CHECKS);
    tasks.spawn(probe(due, inbox.clone()));
    let mut edges = Edges { journal: Some(entries), probes: Some(checks), ..Edges::default() };
    if config.mdns.enabled {
        let selection = Selection::new(config.mdns.interfaces.iter().map(ToString::to_string).collect());
        let (datagrams, orders) = mpsc::channel(link::ORDERS);
        tasks.spawn(link::run(selection.clone(), inbox.clone(), orders, pulse.of("mdns")));
        let (adverts, orders) = mpsc::channel(responder::ORDERS);
        let (tally, beat) = (Arc::clone(inbox.tally()), pulse.of("responder"));
        tasks.spawn(responder::run(settings.id.clone(), selection, tally, orders, beat));
        (edges.link, edges.responder) = (Some(datagrams), Some(adverts));
    }
    if !config.upstreams.is_empty() {
        let (exchanges, orders) = mpsc::channel(upstream::ORDERS);
        let lines = config.upstreams.iter().map(|upstream| upstream::Line {
            urls: upstream.urls.clone(),
            #[cfg(feature = "tls")]
            tls: crate::io::tls::Files { ca: upstream.ca_file.clone(), identity: upstream.identity.clone() },
            token_file: upstream.token_file.clone(),
        });
        tasks.spawn(upstream::run(lines.collect(), orders, inbox.clone()));
        edges.upstream = Some(exchanges);
    }
    if let Some(gpsd) = &config.gpsd {
        tasks.spawn(gnss::run(gpsd.clone(), settings.seed, inbox.clone()));
    }
    if let Some(mqtt) = &config.mqtt {
        let (orders, ordered) = mpsc::channel(broker::ORDERS);
        let session = broker(mqtt, settings, (inbox.clone(), handle.clone()), ordered, guest);
        let beat = pulse.of("mqtt");
        tasks.spawn(async move {
            tokio::select! {
                () = session => {}
                never = beat.often() => match never {},
            }
        });
        (edges.broker, edges.events) = (Some(orders), mqtt.events);
    }
    edges
}

/// Starts whoever keeps rows over a restart, if there are any to come.
fn memory(
    tasks: &mut JoinSet<()>,
    config: &Config,
    dir: &Path,
    tally: Arc<JournalTally>,
    clock: Clock,
) -> Option<mpsc::Sender<Vec<Kept>>> {
    if config.upstreams.is_empty() {
        return None;
    }
    let (rows, kept) = mpsc::channel(1);
    tasks.spawn(journal::kept::keep(dir.to_owned(), kept, tally, clock));
    Some(rows)
}

/// Starts the engine behind a registry, if this is one.
fn registry(tasks: &mut JoinSet<()>, config: &Config, inbox: &Inbox, (clock, seed): (Clock, u64)) -> Option<Desk> {
    let (desk, work) = engine::start(config.registry.as_ref()?, inbox.clone(), clock, seed);
    tasks.spawn(work);
    Some(desk)
}

/// Starts whoever hands the engine of this registry what is heard over MQTT.
fn intake(tasks: &mut JoinSet<()>, desk: Desk, inbox: &Inbox) -> mpsc::Sender<Rows> {
    let (rows, told) = mpsc::channel(engine::intake::TOLD);
    tasks.spawn(engine::intake::run(desk, told, inbox.clone()));
    rows
}

fn broker(
    mqtt: &Mqtt,
    settings: &Settings,
    (inbox, handle): (Inbox, Handle),
    orders: mpsc::Receiver<BrokerOrder>,
    guest: Option<Guest>,
) -> impl Future<Output = ()> + use<> {
    let settings = broker::Settings {
        agent: settings.id.clone(),
        address: mqtt.address.clone(),
        username: mqtt.username.clone(),
        password_file: mqtt.password_file.clone(),
        #[cfg(feature = "tls")]
        tls: crate::io::tls::Files { ca: mqtt.ca_file.clone(), identity: mqtt.identity.clone() },
        keep_alive: mqtt.keep_alive,
        epoch: settings.epoch,
        seed: settings.seed,
    };
    let answer = Answering(Arc::new(move |question| {
        let handle = handle.clone();
        Box::pin(async move { api::answer_bytes(&handle, &question).await })
    }));
    broker::run(settings, inbox, orders, Some(answer), (Some(Telling(api::json::change)), guest))
}

/// Makes the health checks that are due until the queue is closed.
async fn probe(mut due: mpsc::Receiver<(ServiceId, DueProbe)>, inbox: Inbox) {
    let mut prober = Prober::default();
    loop {
        tokio::select! {
            check = due.recv() => match check {
                Some((id, check)) => prober.start(id, check),
                None => return,
            },
            (id, outcome) = prober.finished() => {
                if !inbox.tell(Message::Probed(id, outcome)).await {
                    return;
                }
            }
        }
    }
}

/// Registrations that wait for the disk at the most; a further one is refused.
const ENTRIES: usize = 1_024;
/// Health checks that wait for the prober at the most; a further one counts as failed.
const CHECKS: usize = 1_024;
