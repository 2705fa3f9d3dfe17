//! A real etcd, of one member or three, on loopback addresses of its own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::daemon::{Daemon, output, run};
use crate::place::Scratch;
use crate::wait::eventually;

/// A cluster that is killed with the value.
#[derive(Debug)]
pub struct Etcd {
    members: Vec<Member>,
    scratch: Scratch,
    /// Certificate and key of the clients' side, and the authority behind them.
    tls: Option<[PathBuf; 3]>,
}

#[derive(Debug)]
struct Member {
    name: String,
    client: SocketAddr,
    peer: SocketAddr,
    data: String,
    daemon: Option<Daemon>,
}

impl Etcd {
    /// Starts `members` members and waits until they have a leader.
    ///
    /// # Panics
    /// If etcd is not installed (`tests/prepare` does that), or does not come up within 20 s.
    #[track_caller]
    pub fn start(members: u8) -> Self {
        Self::begun(members, None)
    }

    /// One member that speaks TLS with its clients: certificate, key, and the authority they are held against.
    ///
    /// # Panics
    /// As [`Etcd::start`].
    #[track_caller]
    pub fn start_secure(tls: [PathBuf; 3]) -> Self {
        Self::begun(1, Some(tls))
    }

    #[track_caller]
    fn begun(members: u8, tls: Option<[PathBuf; 3]>) -> Self {
        let member = |n: u8| {
            let ip = IpAddr::V4(Ipv4Addr::new(127, 0, 2, n));
            let (client, peer) = (free_at(ip), free_at(ip));
            Member { name: format!("e{n}"), client, peer, data: format!("e{n}"), daemon: None }
        };
        let mut etcd = Self { members: (1..=members).map(member).collect(), scratch: Scratch::new(), tls };
        (0..etcd.members.len()).for_each(|n| etcd.begin(n));
        etcd.await_leader();
        etcd
    }

    /// Its client URLs, as a list in TOML.
    pub fn endpoints(&self) -> String {
        let urls: Vec<String> = self.members.iter().map(|member| format!("\"{}\"", self.client(member))).collect();
        format!("[{}]", urls.join(", "))
    }

    /// `kill -9` to one member.
    pub fn kill(&mut self, member: usize) {
        if let Some(mut daemon) = self.members[member].daemon.take() {
            daemon.kill();
        }
    }

    /// Starts a member that was killed, and waits until there is a leader.
    ///
    /// # Panics
    /// As [`Etcd::start`].
    #[track_caller]
    pub fn revive(&mut self, member: usize) {
        self.begin(member);
        self.await_leader();
    }

    /// Which member leads.
    ///
    /// # Panics
    /// If none does within 20 s.
    #[track_caller]
    pub fn leader(&self) -> usize {
        eventually(SOON, "etcd has a leader", || {
            (0..self.members.len()).find(|n| {
                let status = self.ask(*n, &["endpoint", "status", "-w", "json"]);
                let status = &status[0]["Status"];
                let own = status["header"]["member_id"].as_u64();
                own.is_some() && own == status["leader"].as_u64()
            })
        })
    }

    /// The revision it stands at.
    pub fn revision(&self) -> u64 {
        let status = self.ask(0, &["endpoint", "status", "-w", "json"]);
        status[0]["Status"]["header"]["revision"].as_u64().unwrap_or(0)
    }

    /// What stands under keys that begin with `prefix`, keys only.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        let text = output(&mut self.ctl(0, &["get", "--prefix", "--keys-only", prefix]));
        text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    /// Runs a command of etcdctl against the first member that runs.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub fn command(&self, args: &[&str]) -> String {
        let alive = self.members.iter().position(|member| member.daemon.is_some()).unwrap_or(0);
        output(&mut self.ctl(alive, args))
    }

    /// Kills the only member, and starts it from a snapshot that was saved before.
    ///
    /// # Panics
    /// If there is more than one, or the snapshot is none.
    #[track_caller]
    pub fn restore(&mut self, snapshot: &Path) {
        assert_eq!(self.members.len(), 1, "restoring is for one member");
        self.kill(0);
        let member = &mut self.members[0];
        member.data.push_str("-restored");
        let peer = format!("http://{}", member.peer);
        let cluster = format!("{}={peer}", member.name);
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").args(["snapshot", "restore"]).arg(snapshot);
        command.args(["--name", &member.name, "--initial-cluster", &cluster, "--initial-advertise-peer-urls", &peer]);
        command.arg("--data-dir").arg(self.scratch.file(&member.data));
        output(&mut command);
        self.revive(0);
    }

    /// A file in its directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.scratch.file(name)
    }

    fn begin(&mut self, at: usize) {
        let url = |address: &SocketAddr| format!("http://{address}");
        let client = self.client(&self.members[at]);
        let cluster: Vec<String> =
            self.members.iter().map(|member| format!("{}={}", member.name, url(&member.peer))).collect();
        let member = &mut self.members[at];
        let mut command = Command::new("etcd");
        command.arg("--name").arg(&member.name).arg("--data-dir").arg(self.scratch.file(&member.data));
        for (flag, address) in [
            ("--listen-client-urls", &client),
            ("--advertise-client-urls", &client),
            ("--listen-peer-urls", &url(&member.peer)),
            ("--initial-advertise-peer-urls", &url(&member.peer)),
        ] {
            command.arg(flag).arg(address);
        }
        if let Some([certificate, key, _]) = &self.tls {
            command.arg("--cert-file").arg(certificate).arg("--key-file").arg(key);
        }
        command.args(["--initial-cluster", &cluster.join(","), "--initial-cluster-state", "new"]);
        member.daemon = Some(Daemon::start(&member.name, command, self.scratch.path()));
    }

    fn client(&self, member: &Member) -> String {
        format!("{}://{}", if self.tls.is_some() { "https" } else { "http" }, member.client)
    }

    #[track_caller]
    fn await_leader(&self) {
        let alive = self.members.iter().position(|member| member.daemon.is_some()).unwrap_or(0);
        eventually(SOON, "etcd takes a write", || {
            run(&mut self.ctl(alive, &["put", "/probe", "x"])).status.success().then_some(())
        });
    }

    fn ask(&self, member: usize, args: &[&str]) -> Value {
        let output = run(&mut self.ctl(member, args));
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
    }

    fn ctl(&self, member: usize, args: &[&str]) -> Command {
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").arg("--endpoints").arg(self.client(&self.members[member]));
        if let Some([.., authority]) = &self.tls {
            command.arg("--cacert").arg(authority);
        }
        command.args(args);
        command
    }
}

/// An address nobody listens at.
///
/// # Panics
/// If there is none.
pub fn free_at(ip: IpAddr) -> SocketAddr {
    let listener = TcpListener::bind((ip, 0)).unwrap_or_else(|error| panic!("{ip}: {error}"));
    listener.local_addr().unwrap_or_else(|error| panic!("{ip}: {error}"))
}

/// How long a cluster may take to come up.
const SOON: Duration = Duration::from_secs(20);
