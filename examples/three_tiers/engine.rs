//! What keeps the records of the registries: a real etcd where one is installed.

use std::error::Error;
use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// The engine; an etcd ends with the value.
pub(crate) enum Engine {
    /// etcd, and where it answers.
    Etcd(Child, SocketAddr, String),
    /// Each registry for itself.
    Memory,
}

impl Engine {
    /// Starts etcd with its data in `dir`, if it is installed.
    pub(crate) async fn start(dir: &Path) -> Result<Self, Box<dyn Error>> {
        let Ok(version) = Command::new("etcd").arg("--version").output() else { return Ok(Self::Memory) };
        let version = String::from_utf8_lossy(&version.stdout).lines().next().unwrap_or("etcd").to_owned();
        let (client, peer) = (free()?, free()?);
        let (at, beside) = (format!("http://{client}"), format!("http://{peer}"));
        let mut etcd = Command::new("etcd");
        etcd.args(["--name", "demo", "--listen-client-urls", &at, "--advertise-client-urls", &at]);
        etcd.args(["--listen-peer-urls", &beside, "--initial-advertise-peer-urls", &beside]);
        etcd.args(["--initial-cluster", &format!("demo={beside}")]).arg("--data-dir").arg(dir.join("etcd"));
        let child = etcd.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let engine = Self::Etcd(child, client, version);
        let up = async {
            while TcpStream::connect(client).await.is_err() {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(Duration::from_secs(10), up).await.map_err(|_| "etcd does not come up within 10 s")?;
        Ok(engine)
    }

    /// `[registry]` of a node that keeps its records under `prefix`.
    pub(crate) fn registry(&self, prefix: &str) -> String {
        match self {
            Self::Etcd(_, at, _) => {
                format!("[registry]\nengine = \"etcd\"\nendpoints = [\"http://{at}\"]\nprefix = \"{prefix}\"\n")
            }
            Self::Memory => "[registry]\nengine = \"memory\"\n".to_owned(),
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Etcd(_, at, version) => write!(f, "The registries keep their records in etcd at {at} ({version})."),
            Self::Memory => f.write_str(
                "etcd is not installed (on Debian: apt-get install etcd-server), so the registries keep their records in\n\
                 memory: good for a demonstration, lost with the node.",
            ),
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Self::Etcd(child, ..) = self {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// An address of this host that nobody listens at.
fn free() -> std::io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}
