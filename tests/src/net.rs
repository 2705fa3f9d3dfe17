//! Hosts on links: one network namespace each, joined by bridges in a namespace of their own, so that nothing of it is
//! seen from the machine the tests run on.
//!
//! Needs `ip`, and root, who may make namespaces (`tests/run` sees to it).

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::daemon::output;

/// The bridge every network has from the start.
pub const LAN: &str = "lan";

/// A switch cupboard: bridges, and the hosts plugged into them.
#[derive(Debug)]
pub struct Net {
    switch: String,
    hosts: Vec<String>,
    _alone: MutexGuard<'static, ()>,
}

/// Which addresses a host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// An IPv4 address and an IPv6 link-local one.
    Both,
    /// IPv4 only.
    V4,
    /// IPv6 link-local only.
    V6,
}

/// One host, with a single interface `eth0`.
#[derive(Clone, Debug)]
pub struct Host {
    namespace: String,
    switch: String,
    port: String,
    serial: u8,
}

impl Net {
    /// A network with the bridge [`LAN`]. One at a time in a process, since two cores carry them all.
    ///
    /// # Panics
    /// If namespaces cannot be made here.
    pub fn new() -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        sweep();
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let switch = format!("{PREFIX}{}-{serial}", process::id());
        ip(&["netns", "add", &switch]);
        let net = Self { switch, hosts: Vec::new(), _alone: alone };
        net.bridge(LAN);
        net
    }

    /// Adds a bridge, at most 15 bytes of name. It floods multicast, as a plain switch does.
    pub fn bridge(&self, name: &str) {
        ip(&["-n", &self.switch, "link", "add", name, "type", "bridge", "mcast_snooping", "0", "forward_delay", "0"]);
        ip(&["-n", &self.switch, "link", "set", name, "up"]);
    }

    /// A new host on [`LAN`], up, with addresses of `family`: `10.77.0.N` and the link-local one its interface makes.
    pub fn host(&mut self, family: Family) -> Host {
        let serial = u8::try_from(self.hosts.len() + 1).unwrap_or(u8::MAX);
        let namespace = format!("{}-h{serial}", self.switch);
        ip(&["netns", "add", &namespace]);
        self.hosts.push(namespace.clone());
        let host = Host { namespace, switch: self.switch.clone(), port: format!("p{serial}"), serial };
        // Tentative addresses would cost every test a second and a half; nobody here takes another's.
        host.sysctl("default/accept_dad", "0");
        host.sysctl("default/disable_ipv6", if family == Family::V4 { "1" } else { "0" });
        ip(&["-n", &self.switch, "link", "add", &host.port, "type", "veth", "peer", "eth0", "netns", &host.namespace]);
        ip(&["-n", &self.switch, "link", "set", &host.port, "master", LAN, "up"]);
        host.ip(&["link", "set", "lo", "up"]);
        if family != Family::V6 {
            host.ip(&["addr", "add", &format!("{}/24", host.v4()), "dev", "eth0"]);
        }
        host.up();
        host
    }
}

impl Default for Net {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for namespace in self.hosts.iter().chain([&self.switch]) {
            let _ = Command::new("ip").args(["netns", "del", namespace]).output();
        }
    }
}

impl Host {
    /// Its IPv4 address, if it has one.
    pub fn v4(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, self.serial)
    }

    /// The link-local address of `eth0`, if it has one.
    pub fn link_local(&self) -> Option<Ipv6Addr> {
        let shown = self.ip(&["-6", "-o", "addr", "show", "dev", "eth0", "scope", "link"]);
        shown.split_whitespace().find_map(|word| word.split_once('/')?.0.parse().ok())
    }

    /// A command that runs `program` in this host. Its process id is the program's own.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(program.as_ref());
        command
    }

    /// Takes `eth0` down: its routes and IPv6 addresses go with it.
    pub fn down(&self) {
        self.ip(&["link", "set", "eth0", "down"]);
    }

    /// Brings `eth0` up, with a way for multicast and for everything on the link.
    pub fn up(&self) {
        self.ip(&["link", "set", "eth0", "up"]);
        if self.ip(&["-4", "-o", "addr", "show", "dev", "eth0"]).is_empty() {
            return;
        }
        self.ip(&["route", "replace", "default", "dev", "eth0"]);
    }

    /// Pulls its cable: `eth0` stays up and has no carrier.
    pub fn unplug(&self) {
        ip(&["-n", &self.switch, "link", "set", &self.port, "down"]);
    }

    /// Plugs its cable into `bridge`.
    pub fn plug(&self, bridge: &str) {
        ip(&["-n", &self.switch, "link", "set", &self.port, "master", bridge, "up"]);
    }

    /// Gives `eth0` a further address, `ADDRESS/BITS`.
    pub fn address(&self, cidr: &str) {
        self.ip(&["addr", "add", cidr, "dev", "eth0"]);
    }

    /// Loses `percent` of what comes in, at random.
    pub fn lose(&self, percent: u8) {
        let rules = format!(
            "add table inet loss; add chain inet loss arriving {{ type filter hook input priority 0; }}; \
             add rule inet loss arriving iifname eth0 numgen random mod 100 < {percent} counter drop"
        );
        output(self.command("nft").arg(rules));
    }

    /// Packets that [`Host::lose`] has taken so far.
    pub fn lost(&self) -> u64 {
        let shown = output(self.command("nft").args(["list", "table", "inet", "loss"]));
        let mut words = shown.split_whitespace().skip_while(|word| *word != "packets");
        words.nth(1).and_then(|count| count.parse().ok()).unwrap_or(0)
    }

    /// Lets nothing through to or from `address`, of its own addresses or another's: a partition that nobody is told of.
    pub fn cut(&self, address: Ipv4Addr) {
        let rules = format!(
            "add table inet cut; add chain inet cut leaving {{ type filter hook output priority 0; }}; \
             add rule inet cut leaving ip daddr {address} drop; add rule inet cut leaving ip saddr {address} drop"
        );
        output(self.command("nft").arg(rules));
    }

    /// Ends every [`Host::cut`].
    pub fn mend(&self) {
        output(self.command("nft").arg("delete table inet cut"));
    }

    fn ip(&self, args: &[&str]) -> String {
        output(Command::new("ip").args(["-n", &self.namespace]).args(args))
    }

    fn sysctl(&self, key: &str, value: &str) {
        let script = format!("echo {value} > /proc/sys/net/ipv6/conf/{key}");
        output(self.command("sh").args(["-c", &script]));
    }
}

fn ip(args: &[&str]) -> String {
    output(Command::new("ip").args(args))
}

/// Removes what a test left that was killed before it could: namespaces named after a process that is gone.
fn sweep() {
    for line in ip(&["netns", "list"]).lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        let Some(pid) = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()) else { continue };
        if !Path::new("/proc").join(pid).exists() {
            let _ = Command::new("ip").args(["netns", "del", name]).output();
        }
    }
}

const PREFIX: &str = "wayside-test-";
