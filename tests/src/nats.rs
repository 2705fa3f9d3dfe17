//! A real nats-server with JetStream, alone or three together, on loopback addresses of its own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::daemon::Daemon;
use crate::etcd::free_at;
use crate::http::Door;
use crate::place::{Scratch, python};
use crate::wait::eventually;

/// Servers that are killed with the value.
#[derive(Debug)]
pub struct Nats {
    members: Vec<Member>,
    scratch: Scratch,
    /// What else their configuration says, and how their URLs begin.
    more: String,
    scheme: &'static str,
}

#[derive(Debug)]
struct Member {
    name: String,
    client: SocketAddr,
    route: SocketAddr,
    monitor: SocketAddr,
    daemon: Option<Daemon>,
}

impl Nats {
    /// Starts `members` servers, which write to disk before they acknowledge, and waits until they listen.
    ///
    /// # Panics
    /// If nats-server is not there (`tests/prepare` fetches it), or does not come up within 20 s.
    #[track_caller]
    pub fn start(members: u8) -> Self {
        Self::start_with(members, "nats", "")
    }

    /// [`Nats::start`] with `more` in their configuration, and URLs that begin with `scheme`.
    ///
    /// # Panics
    /// As [`Nats::start`].
    #[track_caller]
    pub fn start_with(members: u8, scheme: &'static str, more: &str) -> Self {
        let member = |n: u8| {
            let ip = IpAddr::V4(Ipv4Addr::new(127, 0, 5, n));
            let [client, route, monitor] = [(); 3].map(|()| free_at(ip));
            Member { name: format!("n{n}"), client, route, monitor, daemon: None }
        };
        let (members, scratch) = ((1..=members).map(member).collect(), Scratch::new());
        let mut nats = Self { members, scratch, more: more.to_owned(), scheme };
        (0..nats.members.len()).for_each(|n| nats.begin(n));
        nats.await_up();
        nats
    }

    /// Its URLs, as a list in TOML.
    pub fn endpoints(&self) -> String {
        let urls: Vec<String> =
            self.members.iter().map(|member| format!("{}://{}", self.scheme, member.client)).collect();
        format!("{urls:?}")
    }

    /// `kill -9` to one server.
    pub fn kill(&mut self, member: usize) {
        if let Some(mut daemon) = self.members[member].daemon.take() {
            daemon.kill();
        }
    }

    /// Starts a server that was killed, and waits until it listens.
    ///
    /// # Panics
    /// As [`Nats::start`].
    #[track_caller]
    pub fn revive(&mut self, member: usize) {
        self.begin(member);
        self.await_up();
    }

    /// Which server leads `stream`.
    ///
    /// # Panics
    /// If none does within 20 s.
    #[track_caller]
    pub fn leader(&self, stream: &str) -> usize {
        eventually(SOON, "the stream has a leader", || {
            let alive = self.members.iter().find(|member| member.daemon.is_some())?;
            let told = ask(alive, "/jsz?streams=true&accounts=true")?;
            let streams = told["account_details"].as_array()?.iter().filter_map(|one| one["stream_detail"].as_array());
            let found = streams.flatten().find(|one| one["name"] == stream)?;
            let name = found["cluster"]["leader"].as_str()?;
            self.members.iter().position(|member| member.name == name)
        })
    }

    /// How many subjects of `stream` hold something, a word that something is gone among them.
    pub fn messages(&self, stream: &str) -> Option<u64> {
        let alive = self.members.iter().find(|member| member.daemon.is_some())?;
        let told = ask(alive, "/jsz?streams=true&accounts=true")?;
        let streams = told["account_details"].as_array()?.iter().filter_map(|one| one["stream_detail"].as_array());
        let found = streams.flatten().find(|one| one["name"] == stream)?;
        found["state"]["messages"].as_u64()
    }

    fn begin(&mut self, at: usize) {
        let routes: Vec<String> = self.members.iter().map(|member| format!("nats://{}", member.route)).collect();
        let member = &self.members[at];
        let store = self.scratch.file(&member.name);
        let mut config = format!(
            "server_name: {}\nlisten: \"{}\"\nhttp: \"{}\"\njetstream {{ store_dir: \"{}\", sync_interval: always }}\n",
            member.name,
            member.client,
            member.monitor,
            store.display()
        );
        config += &self.more;
        if self.members.len() > 1 {
            config += &format!("cluster {{ name: test, listen: \"{}\", routes: {routes:?} }}\n", member.route);
        }
        let file = self.scratch.write(&format!("{}.conf", member.name), &config);
        let mut command = Command::new(server());
        command.arg("-c").arg(file);
        let daemon = Daemon::start(&member.name, command, self.scratch.path());
        self.members[at].daemon = Some(daemon);
    }

    #[track_caller]
    fn await_up(&self) {
        for member in self.members.iter().filter(|member| member.daemon.is_some()) {
            let up = || ask(member, "/healthz?js-enabled-only=true").filter(|told| told["status"] == "ok");
            eventually(SOON, "nats-server is up", up);
        }
    }
}

fn ask(member: &Member, path: &str) -> Option<Value> {
    Some(Door::Tcp(member.monitor).ask("GET", path, None).ok()?.json())
}

fn server() -> PathBuf {
    let server = python().with_file_name("nats-server");
    assert!(server.exists(), "{} is missing; tests/prepare fetches it", server.display());
    server
}

/// How long servers may take to come up.
const SOON: Duration = Duration::from_secs(20);
