//! A mosquitto of the test's own.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use crate::authority::certificates;
use crate::daemon::{Daemon, output};
use crate::place::Scratch;
use crate::wait::eventually;

/// A mosquitto on a free loopback port. It keeps retained messages over a proper stop, and loses what came after the
/// last save when it is killed, as Debian's does.
#[derive(Debug)]
pub struct Broker {
    /// The process.
    pub daemon: Daemon,
    port: u16,
    dir: Scratch,
}

impl Broker {
    /// Starts one and waits until it accepts connections.
    ///
    /// # Panics
    /// If it does not.
    #[track_caller]
    pub fn start() -> Self {
        let dir = Scratch::new();
        let port = free_port();
        Self::start_with(dir, port, "allow_anonymous true\n")
    }

    /// Starts one with `settings` of its own.
    ///
    /// # Panics
    /// If it does not start.
    #[track_caller]
    pub fn start_with_settings(settings: &str) -> Self {
        Self::start_with(Scratch::new(), free_port(), settings)
    }

    /// Starts one that speaks TLS only, wants a client certificate, and a password besides.
    ///
    /// # Panics
    /// If openssl or mosquitto_passwd fails, or the broker does not start.
    #[track_caller]
    pub fn start_secure() -> Self {
        let dir = Scratch::new();
        let port = free_port();
        let root = dir.path().display();
        certificates(&dir, &[("broker", "DNS:localhost"), ("client", "DNS:agent")]);
        output(Command::new("mosquitto_passwd").args(["-c", "-b"]).arg(dir.file("passwords")).args([USER, PASSWORD]));
        dir.write("password", PASSWORD);
        let settings = format!(
            "allow_anonymous false\npassword_file {root}/passwords\ncafile {root}/ca.pem\ncertfile {root}/broker.pem\n\
             keyfile {root}/broker.key\nrequire_certificate true\n"
        );
        Self::start_with(dir, port, &settings)
    }

    #[track_caller]
    fn start_with(dir: Scratch, port: u16, settings: &str) -> Self {
        // Root drops to another user otherwise, who may not write here.
        let config = format!(
            "listener {port} 127.0.0.1\n{settings}user root\npersistence true\npersistence_location {}/\n\
             log_type all\nconnection_messages true\n",
            dir.path().display()
        );
        dir.write("mosquitto.conf", &config);
        let daemon = spawn(dir.path());
        let broker = Self { daemon, port, dir };
        broker.await_open();
        broker
    }

    /// The agent's `[mqtt]` for a secure one.
    pub fn mqtt_section(&self) -> String {
        let root = self.dir.path().display();
        format!(
            "[mqtt]\nurl = \"mqtts://localhost:{}\"\nusername = \"{USER}\"\npassword_file = \"{root}/password\"\n\
             ca_file = \"{root}/ca.pem\"\ncert_file = \"{root}/client.pem\"\nkey_file = \"{root}/client.key\"\n",
            self.port
        )
    }

    /// Starts it again on the same port and files, after it ended.
    ///
    /// # Panics
    /// As [`Broker::start`].
    #[track_caller]
    pub fn restart(&mut self) {
        self.daemon.kill();
        self.daemon = spawn(self.dir.path());
        self.await_open();
    }

    /// Forgets everything it kept. Only while it is down.
    pub fn forget(&self) {
        let _ = std::fs::remove_file(self.dir.file("mosquitto.db"));
    }

    /// For `[mqtt] url`.
    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `mosquitto_pub` with `args`.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub fn publish(&self, args: &[&str]) {
        output(self.client("mosquitto_pub").args(args));
    }

    /// A retained message, QoS 1.
    ///
    /// # Panics
    /// If it cannot be published.
    #[track_caller]
    pub fn retain(&self, topic: &str, payload: &str) {
        self.publish(&["-V", "5", "-r", "-q", "1", "-t", topic, "-m", payload]);
    }

    /// Retained messages under `filter`, as lines of topic and payload. Waits one second for them.
    pub fn retained(&self, filter: &str) -> Vec<String> {
        let mut command = self.client("mosquitto_sub");
        command.args(["-V", "5", "--retained-only", "-W", "1", "-t", filter, "-F", "%t %p"]);
        let output = crate::daemon::run(&mut command);
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }

    /// `mosquitto_sub` on `filter`, writing `topic payload` lines to its log.
    ///
    /// # Panics
    /// If it is not subscribed within ten seconds.
    #[track_caller]
    pub fn listen(&self, filter: &str, dir: &Path) -> Daemon {
        // Into a file it would write only once a page is full.
        let mut command = Command::new("stdbuf");
        command.args(["-oL", "mosquitto_sub", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
        command.args(["-V", "5", "-d", "-t", filter, "-F", "%t %p"]);
        let mut daemon = Daemon::start("mosquitto_sub", command, dir);
        daemon.says("Subscribed", Duration::from_secs(10));
        daemon
    }

    /// `mosquitto_sub` on `filter`, which writes a byte for each message.
    ///
    /// # Panics
    /// If it cannot be started.
    #[track_caller]
    pub fn count(&self, filter: &str, dir: &Path) -> Counting {
        let file = dir.join("counted");
        let out = std::fs::File::create(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut command = self.client("mosquitto_sub");
        command.args(["-V", "5", "-N", "-t", filter, "-F", "."]).stdout(out);
        let child = command.spawn().unwrap_or_else(|error| panic!("mosquitto_sub: {error}"));
        let counting = Counting { child, file };
        eventually(Duration::from_secs(10), "mosquitto_sub hears something", || {
            self.publish(&["-t", &filter.replace('#', "-/-/first"), "-m", "x"]);
            (counting.count() > 0).then_some(())
        });
        counting
    }

    fn client(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        command
    }

    #[track_caller]
    fn await_open(&self) {
        let open = || TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok();
        eventually(Duration::from_secs(10), "mosquitto accepts connections", open);
    }
}

/// A `mosquitto_sub` that counts.
#[derive(Debug)]
pub struct Counting {
    child: Child,
    file: std::path::PathBuf,
}

impl Counting {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How many messages it has got.
    pub fn count(&self) -> u64 {
        std::fs::metadata(&self.file).map_or(0, |file| file.len())
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(dir: &Path) -> Daemon {
    let mut command = Command::new("mosquitto");
    command.arg("-c").arg(dir.join("mosquitto.conf"));
    Daemon::start("mosquitto", command, dir)
}

const USER: &str = "agent";
const PASSWORD: &str = "correct horse";

/// A TCP port of 127.0.0.1 that nobody has at this moment.
///
/// # Panics
/// If there is none.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    listener.unwrap_or_else(|error| panic!("no free port on 127.0.0.1: {error}")).port()
}
