//! Where the API listens.

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tokio::net::{TcpListener, UnixListener, UnixStream};

/// A TCP address such as `127.0.0.1:7878` (port 0 for any that is free), or a Unix socket such as
/// `unix:/run/wayside/agent.sock`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A TCP address.
    Tcp(SocketAddr),
    /// A Unix socket, by its absolute path.
    Unix(PathBuf),
}

impl Listen {
    /// Whether only this host can reach it.
    pub fn local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Text that is no place to listen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "listen {given:?} is not allowed: an address with a port such as 127.0.0.1:7878, or unix:/absolute/path of at most 100 bytes"
)]
pub struct ListenError {
    given: String,
}

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        let refused = || ListenError { given: text.chars().take(120).collect() };
        match text.strip_prefix("unix:") {
            // The kernel's own limit is 107 bytes.
            Some(path) if path.starts_with('/') && path.len() <= 100 && !path.contains('\0') => {
                Ok(Self::Unix(path.into()))
            }
            Some(_) => Err(refused()),
            None => text
                .strip_prefix("localhost:")
                .map_or_else(|| text.parse().ok(), |port| Some(([127, 0, 0, 1], port.parse().ok()?).into()))
                .map(Self::Tcp)
                .ok_or_else(refused),
        }
    }
}

/// Why nobody listens.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another program, or another agent, has it.
    #[error("{0} is in use by somebody who answers; stop that program or set api.listen to another place")]
    InUse(Listen),
    /// Its certificate or key is not what it should be.
    #[error("cannot speak TLS: {0}")]
    Tls(String),
    /// The path exists and is no socket.
    #[error("{} exists and is no socket; remove it or set api.listen to another place", .0.display())]
    NoSocket(PathBuf),
    /// The system does not let us.
    #[error("cannot listen on {listen}: {source}")]
    System {
        /// Where.
        listen: Listen,
        /// Why not.
        source: io::Error,
    },
}

/// A socket that listens.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Listener {
    /// Listens. A socket file that nobody answers is taken over.
    pub(crate) async fn bind(listen: &Listen) -> Result<Self, BindError> {
        let system = |source: io::Error| match source.kind() == io::ErrorKind::AddrInUse {
            true => BindError::InUse(listen.clone()),
            false => BindError::System { listen: listen.clone(), source },
        };
        match listen {
            Listen::Tcp(address) => TcpListener::bind(address).await.map(Self::Tcp).map_err(system),
            Listen::Unix(path) => {
                take_over(path).await?;
                let listener = UnixListener::bind(path).map_err(system)?;
                // Until here the mode is what the umask leaves, which lets nobody else write, hence not connect.
                fs::set_permissions(path, fs::Permissions::from_mode(0o660)).map_err(system)?;
                Ok(Self::Unix(listener, path.clone()))
            }
        }
    }

    /// Where it really listens: the port is the one the system chose.
    pub(crate) fn listen(&self) -> io::Result<Listen> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Listen::Tcp),
            Self::Unix(_, path) => Ok(Listen::Unix(path.clone())),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            // Nobody to tell; the next start takes the file over.
            let _ = fs::remove_file(path);
        }
    }
}

async fn take_over(path: &Path) -> Result<(), BindError> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Err(BindError::NoSocket(path.into()));
    }
    match UnixStream::connect(path).await {
        Ok(_) => Err(BindError::InUse(Listen::Unix(path.into()))),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            // If this fails, binding says why.
            let _ = fs::remove_file(path);
            Ok(())
        }
        // Full backlog, no permission: somebody is there.
        Err(_) => Err(BindError::InUse(Listen::Unix(path.into()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_to_listen_reads_as_it_shows() {
        for text in ["127.0.0.1:7878", "[::1]:0", "0.0.0.0:80", "unix:/run/wayside/agent.sock"] {
            assert_eq!(text.parse::<Listen>().unwrap().to_string(), text);
        }
        assert_eq!("localhost:1".parse::<Listen>().unwrap().to_string(), "127.0.0.1:1");
        for bad in ["", "7878", "127.0.0.1", "127.0.0.1:70000", "unix:", "unix:relative", "host:1"] {
            assert!(bad.parse::<Listen>().is_err(), "{bad}");
        }
        assert!(format!("unix:/{}", "x".repeat(100)).parse::<Listen>().is_err());
    }
}
