//! The scene: a broker, two gateways, a city's traffic, and the agent that is asked.

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use mqtt5::broker::config::StorageConfig;
use mqtt5::broker::{BrokerConfig, MqttBroker};
use tokio::task::JoinHandle;
use wayside::api::Listen;
use wayside::clock::Clock;
use wayside::config::ConfigFile;
use wayside::running::Running;
use wayside_examples::fleet::Fleet;
use wayside_examples::trace::Trace;
use wayside_protocols::place::Position;

/// What every vehicle of the demo offers that offers anything.
pub(crate) const VEHICLE_SERVICE: &str = "hazard-view";

/// Everything that runs.
pub(crate) struct Scene {
    /// Where the agent stands that is asked.
    pub(crate) here: Position,
    /// The recorded city.
    pub(crate) trace: Arc<Trace>,
    /// Its vehicles.
    pub(crate) fleet: Fleet,
    /// The agent that is asked.
    pub(crate) agent: Running,
    /// Where its API is.
    pub(crate) api: SocketAddr,
    /// Its neighbours.
    gateways: Vec<Running>,
    tasks: Vec<JoinHandle<()>>,
}

impl Scene {
    /// Starts everything. State is kept in `state`, which the caller removes.
    pub(crate) async fn start(state: &Path) -> Result<Self, Box<dyn Error>> {
        let trace = Arc::new(Trace::city()?);
        let here = Position::new(48.8591, 2.3591)?;
        let (port, broker) = broker().await?;
        let (fleet, driving) = Fleet::drive(Arc::clone(&trace), port, VEHICLE_SERVICE)?;
        let tasks = vec![broker, tokio::spawn(driving)];

        // mDNS is real, but stays on loopback: a demo announces nothing to the neighbourhood.
        let station = here.moved(200.0, 1_900.0);
        let gateways = vec![
            crossing(state, &here).await?,
            node(state, "gw-station", &station, "", "name = \"charging\"\nport = 8080\nresources = { power_kw = 150 }")
                .await?,
        ];
        let mqtt = format!("[mqtt]\nurl = \"mqtt://127.0.0.1:{port}\"");
        let agent = node(state, "me", &here, &mqtt, "name = \"map-tiles\"\nport = 9000").await?;
        let Listen::Tcp(api) = *agent.listen() else { return Err("the API does not listen on TCP".into()) };
        Ok(Self { here, trace, fleet, agent, api, gateways, tasks })
    }

    /// The gateway at the crossing goes, and says goodbye.
    pub(crate) async fn crossing_leaves(&mut self) {
        self.gateways.remove(0).leave().await;
    }

    /// And comes back.
    pub(crate) async fn crossing_returns(&mut self, state: &Path) -> Result<(), Box<dyn Error>> {
        self.gateways.push(crossing(state, &self.here).await?);
        Ok(())
    }

    /// Ends everything.
    pub(crate) async fn end(self) {
        for node in self.gateways {
            node.leave().await;
        }
        self.agent.leave().await;
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// The gateway at the crossing.
async fn crossing(state: &Path, here: &Position) -> Result<Running, Box<dyn Error>> {
    let at = here.moved(60.0, 70.0);
    node(state, "gw-crossing", &at, "", "name = \"signal-phase\"\nport = 4711\ncritical = true").await
}

/// One agent, as its configuration file would describe it.
async fn node(state: &Path, id: &str, at: &Position, more: &str, service: &str) -> Result<Running, Box<dyn Error>> {
    let toml = format!(
        "id = \"{id}\"\nkind = \"gateway\"\n[position]\nlat = {:.7}\nlon = {:.7}\naccuracy_m = 1.0\n\
         [api]\nlisten = \"127.0.0.1:0\"\n[state]\ndir = \"{}\"\n\
         [mdns]\ninterfaces = [\"lo\"]\n{more}\n[[service]]\n{service}\n",
        at.latitude(),
        at.longitude(),
        state.join(id).display(),
    );
    let (config, _) = ConfigFile::parse(Path::new(id), &toml).check()?;
    Ok(Running::start(&config, Clock::start()).await?)
}

/// A broker of this process's own, on a port of the system's choice; it keeps nothing on disk.
async fn broker() -> Result<(u16, JoinHandle<()>), Box<dyn Error>> {
    let storage = StorageConfig { enable_persistence: false, ..StorageConfig::default() };
    let bind_addresses = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    let config = BrokerConfig { bind_addresses, storage_config: storage, ..BrokerConfig::default() };
    let mut broker = MqttBroker::with_config(config).await?;
    let port = broker.local_addr().ok_or("the broker does not say where it listens")?.port();
    let task = tokio::spawn(async move {
        // It ends when the demo does.
        drop(broker.run().await);
    });
    Ok((port, task))
}
