//! Other people's mDNS: avahi-daemon with its tools, and python-zeroconf.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::daemon::{Daemon, run};
use crate::net::Host;
use crate::place::{Scratch, peer, python};
use crate::wait::eventually;

/// An avahi-daemon in a host, with a message bus of its own.
#[derive(Debug)]
pub struct Avahi {
    /// The process.
    pub daemon: Daemon,
    _bus: Daemon,
    bus_address: String,
    host: Host,
    dir: Scratch,
}

impl Avahi {
    /// Starts one in `host`, under this host name.
    ///
    /// # Panics
    /// If it is not up within ten seconds.
    #[track_caller]
    pub fn start(host: &Host, name: &str) -> Self {
        let dir = Scratch::new();
        let (bus, bus_address) = message_bus(host, &dir);
        let config = format!(
            "[server]\nhost-name={name}\nuse-ipv4=yes\nuse-ipv6=yes\nallow-interfaces=eth0\nratelimit-interval-usec=0\n\
             [publish]\npublish-hinfo=no\npublish-workstation=no\n"
        );
        let config = dir.write("avahi.conf", &config);
        // Its socket and pid file have fixed paths, so it gets a /run of its own; and it must not drop to a user that
        // may not write there.
        let script = "mount -t tmpfs tmpfs /run && mkdir -p /run/avahi-daemon && \
                      exec avahi-daemon --no-drop-root --no-chroot --no-proc-title --debug -f \"$0\"";
        let mut command = host.command("unshare");
        command.args(["-m", "sh", "-c", script]).arg(config).env("DBUS_SYSTEM_BUS_ADDRESS", &bus_address);
        let mut daemon = Daemon::start("avahi-daemon", command, dir.path());
        daemon.says("Server startup complete", Duration::from_secs(10));
        Self { daemon, _bus: bus, bus_address, host: host.clone(), dir }
    }

    /// Announces an instance for as long as the returned process lives; it says goodbye when stopped, none when killed.
    ///
    /// # Panics
    /// If it is not established within ten seconds.
    #[track_caller]
    pub fn publish(&self, instance: &str, service_type: &str, port: u16, txt: &[&str]) -> Daemon {
        let mut command = self.tool("avahi-publish");
        command.args(["-s", instance, service_type, &port.to_string()]).args(txt);
        let mut daemon = Daemon::start(&format!("avahi-publish-{port}"), command, self.dir.path());
        daemon.says("Established", Duration::from_secs(10));
        daemon
    }

    /// Lines of `avahi-browse -p -r -t` for a type: what its cache and two seconds of asking give.
    pub fn browse(&self, service_type: &str) -> Vec<String> {
        let output = run(self.tool("avahi-browse").args(["-p", "-r", "-t", service_type]));
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }

    /// `avahi-browse -p -r` left running: `+`, `=` and `-` lines in its log as they come.
    #[track_caller]
    pub fn browser(&self, service_type: &str) -> Daemon {
        let mut command = self.tool("avahi-browse");
        command.args(["-p", "-r", service_type]);
        Daemon::start("avahi-browse", command, self.dir.path())
    }

    /// Waits until it resolves an instance of the type, and returns that line.
    ///
    /// # Panics
    /// If it does not within `limit`.
    #[track_caller]
    pub fn resolves(&self, service_type: &str, instance: &str, limit: Duration) -> String {
        eventually(limit, &format!("avahi resolves {instance}"), || {
            self.browse(service_type).into_iter().find(|line| line.starts_with('=') && line.contains(instance))
        })
    }

    /// One of avahi's tools, on its way to this daemon.
    pub fn tool(&self, program: &str) -> Command {
        let mut command = self.host.command(program);
        command.env("DBUS_SYSTEM_BUS_ADDRESS", &self.bus_address);
        command
    }
}

fn message_bus(host: &Host, dir: &Scratch) -> (Daemon, String) {
    let socket = dir.file("bus");
    let address = format!("unix:path={}", socket.display());
    let config = format!(
        "<busconfig><type>system</type><listen>{address}</listen><auth>EXTERNAL</auth>\
         <policy context=\"default\"><allow user=\"*\"/><allow own=\"*\"/><allow send_type=\"method_call\"/>\
         <allow send_type=\"signal\"/><allow receive_type=\"method_call\"/><allow receive_type=\"signal\"/>\
         <allow receive_type=\"method_return\"/><allow receive_type=\"error\"/>\
         <allow send_destination=\"*\" eavesdrop=\"true\"/></policy></busconfig>"
    );
    let config = dir.write("bus.conf", &config);
    let mut command = host.command("dbus-daemon");
    command.arg(format!("--config-file={}", config.display())).args(["--nofork", "--nopidfile"]);
    let daemon = Daemon::start("dbus-daemon", command, dir.path());
    eventually(Duration::from_secs(10), "the message bus is up", || Path::new(&socket).exists().then_some(()));
    (daemon, address)
}

/// python-zeroconf in a host, steered by lines on its standard input (`tests/peers/zeroconf_peer.py` says which).
///
/// # Panics
/// If it is not ready within twenty seconds.
#[track_caller]
pub fn zeroconf(host: &Host, dir: &Path) -> Daemon {
    zeroconf_with_ttl(host, dir, 4500)
}

/// The same, whose records all live `ttl` seconds.
///
/// # Panics
/// As [`zeroconf`].
#[track_caller]
pub fn zeroconf_with_ttl(host: &Host, dir: &Path, ttl: u32) -> Daemon {
    let mut command = host.command(python());
    command.arg("-u").arg(peer("zeroconf_peer.py")).arg(ttl.to_string());
    let mut daemon = Daemon::start("zeroconf", command, dir);
    daemon.says("ready", Duration::from_secs(20));
    daemon
}
