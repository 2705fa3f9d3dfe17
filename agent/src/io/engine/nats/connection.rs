//! One connection to one server: from the first word to the last.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;

use hyper::Uri;
use serde_json::{Value as Json, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::client::Command;
use super::wire::{self, Message, Reader, WireError, Word};
use crate::io::secret;

/// A connection that has been greeted.
pub(super) struct Connection {
    pub(super) reads: ReadHalf<Pin<Box<dyn Stream>>>,
    pub(super) writes: WriteHalf<Pin<Box<dyn Stream>>>,
    /// What is still to be written.
    pub(super) out: Vec<u8>,
    reader: Reader,
    inbox: String,
    waiting: BTreeMap<u64, oneshot::Sender<Message>>,
    serial: u64,
    /// Whether the server is one of several.
    pub(super) clustered: bool,
}

/// Something that carries bytes both ways.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Stream for T {}

/// Why there is no connection any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// The system says so.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It speaks something else.
    #[error("{0}")]
    Wire(#[from] WireError),
    /// The server ended it.
    #[error("the server has closed the connection")]
    Closed,
    /// The server complains.
    #[error("the server says: {0}")]
    Trouble(String),
    /// The password cannot be read.
    #[error("the password cannot be read from {path}: {error}", path = .path.display())]
    Password { path: PathBuf, error: io::Error },
    /// The server is too old, or does not offer what is needed.
    #[error("the server {0}")]
    Unfit(String),
}

/// What it takes to be let in.
#[derive(Clone, Debug)]
pub(in crate::io::engine) struct Access {
    pub(in crate::io::engine) tls: Tls,
    /// A user name, and the file with its password, read at each connection.
    pub(in crate::io::engine) login: Option<(String, PathBuf)>,
}

/// Whom we believe, where TLS is wanted.
#[cfg(feature = "tls")]
pub(in crate::io::engine) type Tls = Option<std::sync::Arc<rustls::ClientConfig>>;
/// There is no TLS in this build.
#[cfg(not(feature = "tls"))]
pub(in crate::io::engine) type Tls = Option<std::convert::Infallible>;

impl Connection {
    /// Connects, says hello, and listens for answers. `seed` makes names that nobody else uses.
    pub(super) async fn open(endpoint: &Uri, access: &Access, seed: u64) -> Result<Self, Broken> {
        let host = endpoint.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let mut tcp = TcpStream::connect((host, endpoint.port_u16().unwrap_or(PORT))).await?;
        // A comfort: without it a word may wait for the acknowledgement of the one before.
        let _ = tcp.set_nodelay(true);
        let local = tcp.local_addr()?;
        let mut reader = Reader::default();
        // The server greets in the clear, whatever comes after.
        let info = greeting(&mut tcp, &mut reader).await?;
        let stream = secured(endpoint, access.tls.clone(), tcp).await?;
        fit(&info)?;
        let (reads, writes) = split(stream);
        let inbox = format!("_INBOX.{seed:016x}.{}", local.to_string().replace(['.', ':', '[', ']'], "-"));
        let mut hello = json!({
            "verbose": false, "pedantic": false, "headers": true, "no_responders": true, "protocol": 1, "echo": true,
            "lang": "rust", "name": "wayside", "version": env!("CARGO_PKG_VERSION"),
        });
        if let Some((user, password_file)) = &access.login {
            let unread = |error| Broken::Password { path: password_file.clone(), error };
            let password = secret::read(password_file).map_err(unread)?;
            hello["user"] = json!(user);
            hello["pass"] = json!(String::from_utf8_lossy(&password));
        }
        let out = format!("CONNECT {hello}\r\nSUB {inbox}.r.* 1\r\nSUB {inbox}.w 2\r\nPING\r\n").into_bytes();
        let clustered = info["cluster"].is_string();
        Ok(Self { reads, writes, out, reader, inbox, waiting: BTreeMap::new(), serial: 0, clustered })
    }

    /// Where the watch is delivered.
    pub(super) fn watched(&self) -> String {
        format!("{}.w", self.inbox)
    }

    /// Publishes what somebody waits for an answer to.
    pub(super) fn say(&mut self, command: Command) {
        let Command { subject, headers, payload, reply } = command;
        self.waiting.retain(|_, waiting| !waiting.is_closed());
        self.serial += 1;
        wire::publish(&mut self.out, &subject, &format!("{}.r.{}", self.inbox, self.serial), &headers, &payload);
        self.waiting.insert(self.serial, reply);
    }

    /// Answers something that the server wants answered.
    pub(super) fn acknowledge(&mut self, subject: &str) {
        wire::publish(&mut self.out, subject, "", &[], &[]);
    }

    /// Takes in bytes.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.reader.take(bytes);
    }

    /// The next delivery of the watch. Answers go to whoever waits for them.
    pub(super) fn delivery(&mut self) -> Result<Option<Message>, Broken> {
        while let Some(word) = self.reader.word()? {
            match word {
                Word::Ping => self.out.extend_from_slice(b"PONG\r\n"),
                Word::Info(_) | Word::Fine => {}
                Word::Trouble(said) => return Err(Broken::Trouble(said)),
                Word::Message(message) => {
                    let answer = message.subject.strip_prefix(&*self.inbox).and_then(|rest| rest.strip_prefix(".r."));
                    match answer.map(|number| number.parse::<u64>().ok().and_then(|n| self.waiting.remove(&n))) {
                        // Whoever asked may have given up.
                        Some(waiting) => drop(waiting.map(|waiting| waiting.send(message))),
                        None => return Ok(Some(message)),
                    }
                }
            }
        }
        Ok(None)
    }

    /// Writes some of what is to be written. Cancel safe.
    pub(super) async fn write(writes: &mut WriteHalf<Pin<Box<dyn Stream>>>, out: &[u8]) -> Result<usize, Broken> {
        match writes.write(out).await? {
            0 => Err(Broken::Closed),
            written => Ok(written),
        }
    }
}

async fn greeting(tcp: &mut TcpStream, reader: &mut Reader) -> Result<Json, Broken> {
    loop {
        match reader.word()? {
            Some(Word::Info(info)) => return Ok(info),
            Some(other) => return Err(Broken::Unfit(format!("greets with {other:?}"))),
            None => {
                let mut bytes = [0; 4_096];
                match tcp.read(&mut bytes).await? {
                    0 => return Err(Broken::Closed),
                    read => reader.take(&bytes[..read]),
                }
            }
        }
    }
}

/// Keys that run out by themselves came with 2.11.
fn fit(info: &Json) -> Result<(), Broken> {
    let version = info["version"].as_str().unwrap_or("0");
    let mut numbers = version.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    let known = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if known < OLDEST {
        return Err(Broken::Unfit(format!("is version {version}; keys run out by themselves from 2.11 on")));
    }
    if info["jetstream"] != Json::Bool(true) && info["cluster"].is_null() {
        return Err(Broken::Unfit("has no JetStream".to_owned()));
    }
    Ok(())
}

#[cfg(feature = "tls")]
async fn secured(endpoint: &Uri, tls: Tls, tcp: TcpStream) -> Result<Pin<Box<dyn Stream>>, Broken> {
    let Some(tls) = tls.filter(|_| endpoint.scheme_str() == Some("tls")) else { return Ok(Box::pin(tcp)) };
    let host = endpoint.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = rustls::pki_types::ServerName::try_from(host).map_err(io::Error::other)?;
    Ok(Box::pin(tokio_rustls::TlsConnector::from(tls).connect(name, tcp).await?))
}

#[cfg(not(feature = "tls"))]
async fn secured(_: &Uri, _: Tls, tcp: TcpStream) -> Result<Pin<Box<dyn Stream>>, Broken> {
    Ok(Box::pin(tcp))
}

const PORT: u16 = 4_222;
/// Major and minor.
const OLDEST: (u32, u32) = (2, 11);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_too_old_is_told_so() {
        let info = |version: &str| json!({ "version": version, "jetstream": true });
        assert!(fit(&info("2.9.10")).unwrap_err().to_string().contains("2.11"));
        assert!(fit(&info("2.11.0")).is_ok() && fit(&info("2.15.1")).is_ok() && fit(&info("3.0.0-RC.1")).is_ok());
        assert!(fit(&json!({ "version": "2.15.1" })).unwrap_err().to_string().contains("JetStream"));
        assert!(fit(&json!({})).is_err());
    }
}
