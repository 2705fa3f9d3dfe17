//! The scene: an edge, a neighbour, two regions and a cloud, each registry with an agent that offers charging there.

use std::collections::VecDeque;
use std::error::Error;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use wayside::api::Listen;
use wayside::clock::Clock;
use wayside::config::ConfigFile;
use wayside::running::Running;
use wayside_protocols::place::Position;

use crate::engine::Engine;
use crate::question::Expected;

/// Everything that runs.
pub(crate) struct Scene {
    /// Where the edge stands.
    pub(crate) here: Position,
    edge: Running,
    api: SocketAddr,
    /// What answers at the moment, what answers without it, and so on.
    tiers: VecDeque<Tier>,
}

/// What is taken away together.
struct Tier {
    what: &'static str,
    expected: Expected,
    agents: Vec<Running>,
}

impl Scene {
    /// Starts everything; state is kept in `dir`.
    pub(crate) async fn start(dir: &Path, engine: &Engine) -> Result<Self, Box<dyn Error>> {
        let here = Position::new(48.8591, 2.3591)?;
        let start = Start { dir: dir.to_owned(), here };
        let mut registries = Vec::new();
        for (id, prefix) in [("region-a", "/region-a"), ("region-b", "/region-b"), ("cloud", "/cloud")] {
            registries.push(start.agent(id, 0.0, "", &engine.registry(prefix)).await?);
        }
        let urls = registries.iter().map(api).collect::<Result<Vec<_>, _>>()?;
        let upstream = |n: usize| {
            let tier = if n == 2 { "cloud" } else { "region" };
            format!(
                "[[upstream]]\ntier = \"{tier}\"\nurls = [\"http://{}\"]\ncache_ttl = \"1s\"\ncache_refresh = \"1s\"\n",
                urls[n]
            )
        };
        let mut offering = Vec::new();
        for (n, (id, metres)) in [("gw-a", 900.0), ("gw-b", 1_800.0), ("gw-c", 2_700.0)].into_iter().enumerate() {
            offering.push(start.agent(id, metres, CHARGING, &upstream(n)).await?);
        }
        // mDNS is real, but stays on loopback: an example announces nothing to the neighbourhood.
        let neighbour = start.agent("gw-next", 120.0, CHARGING, LOOPBACK).await?;
        let all: String = (0..3).map(upstream).collect();
        let edge = start.agent("edge", 0.0, CHARGING, &format!("{LOOPBACK}{all}")).await?;
        let api = api(&edge)?;
        let expected = |tier, agent, stale| Expected { tier, agent, stale };
        let mut tiers = VecDeque::from([
            Tier {
                what: "Everything is there: the edge offers it itself.",
                expected: expected("local", "edge", false),
                agents: vec![],
            },
            Tier {
                what: "The edge's own charger is withdrawn.",
                expected: expected("neighbour", "gw-next", false),
                agents: vec![neighbour],
            },
        ]);
        let what = [
            ("The neighbour says goodbye.", "region", "gw-a"),
            ("Region A goes down.", "region", "gw-b"),
            ("Region B goes down.", "cloud", "gw-c"),
        ];
        for (((what, tier, agent), registry), offers) in what.into_iter().zip(registries).zip(offering) {
            tiers.push_back(Tier { what, expected: expected(tier, agent, false), agents: vec![registry, offers] });
        }
        tiers.push_back(Tier {
            what: "The cloud goes down: nobody is left to ask.",
            expected: expected("region", "gw-a", true),
            agents: vec![],
        });
        Ok(Self { here, edge, api, tiers })
    }

    /// Where the edge is asked.
    pub(crate) fn edge_api(&self) -> SocketAddr {
        self.api
    }

    /// What has happened last, and who should answer.
    pub(crate) fn now(&self) -> (&'static str, Expected) {
        let nobody = Expected { tier: "", agent: "", stale: false };
        self.tiers.front().map_or(("", nobody), |tier| (tier.what, tier.expected))
    }

    /// Takes away who answers at the moment. False if nobody is left.
    pub(crate) async fn take_away(&mut self) -> bool {
        let Some(tier) = self.tiers.pop_front() else { return false };
        if tier.expected.tier == "local" {
            // As a reload of its configuration without the service does. It fails only while the edge is stopping.
            let _ = self.edge.handle().configure(Vec::new()).await;
        }
        for agent in tier.agents {
            agent.leave().await;
        }
        !self.tiers.is_empty()
    }

    /// Ends everything.
    pub(crate) async fn end(self) {
        for agent in self.tiers.into_iter().flat_map(|tier| tier.agents) {
            agent.leave().await;
        }
        self.edge.leave().await;
    }
}

struct Start {
    dir: PathBuf,
    here: Position,
}

impl Start {
    /// One agent, as its configuration file would describe it.
    async fn agent(&self, id: &str, metres: f64, service: &str, more: &str) -> Result<Running, Box<dyn Error>> {
        let at = self.here.moved(60.0, metres);
        let mdns = if more.contains("[mdns]") { "" } else { "[mdns]\nenabled = false\n" };
        let toml = format!(
            "id = \"{id}\"\nkind = \"gateway\"\n[position]\nlat = {:.7}\nlon = {:.7}\n[api]\nlisten = \"127.0.0.1:0\"\n\
             [state]\ndir = \"{}\"\n{mdns}{more}{service}",
            at.latitude(),
            at.longitude(),
            self.dir.join(id).display(),
        );
        let (config, _) = ConfigFile::parse(Path::new(id), &toml).check()?;
        Ok(Running::start(&config, Clock::start()).await?)
    }
}

fn api(agent: &Running) -> Result<SocketAddr, Box<dyn Error>> {
    match agent.listen() {
        Listen::Tcp(address) => Ok(*address),
        Listen::Unix(_) => Err("the API does not listen on TCP".into()),
    }
}

const CHARGING: &str = "[[service]]\nname = \"charging\"\nport = 8080\nresources = { power_kw = 22 }\n";
const LOOPBACK: &str = "[mdns]\ninterfaces = [\"lo\"]\n";
