//! Asks an agent over HTTP/1, on TCP or a Unix socket.

use std::convert::Infallible;
use std::fmt;
use std::future::pending;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use wayside_protocols::text::escaped;
use wayside_protocols::time::Duration;

use super::exit::Failure;
use crate::words::{self, Span};

/// Which agent is asked, and how long it may take.
#[derive(Clone, Debug, Args)]
pub(super) struct Asking {
    /// The agent: http://HOST:PORT, https://HOST:PORT or unix:/PATH [default: unix:/run/wayside/agent.sock if there, else
    /// http://127.0.0.1:7878]
    #[arg(long, env = "WAYSIDE_AGENT", value_name = "URL")]
    pub(super) agent: Option<Address>,
    /// How long to wait for its answer
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = words::duration)]
    pub(super) timeout: Duration,
}

/// Where an agent answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// `host:port`.
    Tcp(String),
    /// `host:port`, under TLS.
    #[cfg(feature = "tls")]
    Tls(String),
    /// A socket in the file system.
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        let wrong = || NotAnAddress(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.starts_with('/') { Ok(Self::Unix(path.into())) } else { Err(wrong()) };
        }
        let (secure, rest) = match text.strip_prefix("https://") {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix("http://").ok_or_else(wrong)?),
        };
        let authority = rest.trim_end_matches('/');
        let uri: hyper::http::uri::Authority = authority.parse().map_err(|_| wrong())?;
        if uri.host().is_empty() || authority.contains('@') {
            return Err(wrong());
        }
        let port = uri.port_u16().unwrap_or(7_878);
        let authority = format!("{}:{port}", uri.host());
        #[cfg(feature = "tls")]
        if secure {
            return Ok(Self::Tls(authority));
        }
        if secure { Err(wrong()) } else { Ok(Self::Tcp(authority)) }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(authority) => write!(f, "http://{authority}"),
            #[cfg(feature = "tls")]
            Self::Tls(authority) => write!(f, "https://{authority}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A text that names no agent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no agent; write http://HOST:PORT, https://HOST:PORT or unix:/PATH")]
pub(super) struct NotAnAddress(String);

/// Asks one agent.
#[derive(Debug)]
pub(super) struct Client {
    addresses: Vec<Address>,
    limit: Duration,
    token: Option<String>,
    /// PEM certificates of the authorities that are believed; without, those of the system.
    #[cfg(feature = "tls")]
    ca: Option<PathBuf>,
}

/// What the agent answered, if it was not a refusal.
#[derive(Debug)]
pub(super) enum Reply {
    /// A body; empty for "done".
    Body(String),
    /// It does not know what was asked for.
    Unknown,
}

impl Client {
    pub(super) fn new(asking: &Asking) -> Self {
        let socket = Path::new(SOCKET);
        let usual = || {
            let there = socket.exists().then(|| Address::Unix(socket.to_owned()));
            there.into_iter().chain([Address::Tcp("127.0.0.1:7878".to_owned())]).collect()
        };
        let addresses = asking.agent.clone().map_or_else(usual, |address| vec![address]);
        Self {
            addresses,
            limit: asking.timeout,
            token: std::env::var("WAYSIDE_TOKEN").ok(),
            #[cfg(feature = "tls")]
            ca: std::env::var_os("WAYSIDE_CA_FILE").map(PathBuf::from),
        }
    }

    /// Makes one request, `body` being JSON.
    ///
    /// # Errors
    /// [`Failure`] if the agent cannot be reached, takes too long or refuses.
    pub(super) async fn call(&self, method: Method, path: &str, body: String) -> Result<Reply, Failure> {
        let exchange = async {
            let (response, drive) = self.send(method, path, body).await?;
            let status = response.status();
            // No answer of ours is that long: a thousand instances with all they may carry.
            let whole = Limited::new(response.into_body(), MAX_ANSWER).collect();
            let whole = tokio::select! {
                whole = whole => whole.map_err(|error| self.gibberish(error))?,
                never = drive => match never {},
            };
            let text = String::from_utf8(whole.to_bytes().into()).map_err(|error| self.gibberish(error))?;
            self.judge(status, text)
        };
        timeout(self.limit, exchange).await.map_err(|_| self.late())?
    }

    /// Opens a stream of server-sent events, and calls `event` with the name and data of each until it ends.
    ///
    /// # Errors
    /// [`Failure`] if it cannot be opened, or from `event`. A stream that ends is not an error.
    pub(super) async fn follow(
        &self,
        path: &str,
        mut event: impl FnMut(&str, &str) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let opening = self.send(Method::GET, path, String::new());
        let (response, drive) = timeout(self.limit, opening).await.map_err(|_| self.late())??;
        let status = response.status();
        let mut body = response.into_body();
        let read = async {
            if status != StatusCode::OK {
                let whole = Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| self.gibberish(error))?;
                let text = String::from_utf8_lossy(&whole.to_bytes()).into_owned();
                return self.judge(status, text).map(drop);
            }
            let mut lines = Lines::default();
            // An agent that says nothing at all for this long, not even that it has nothing to say, is gone.
            while let Ok(Some(Ok(frame))) = timeout(SILENCE, body.frame()).await {
                for (name, data) in lines.feed(frame.data_ref().map_or(&[], |bytes| bytes)) {
                    event(&name, &data)?;
                }
                if body.is_end_stream() {
                    break;
                }
            }
            Ok(())
        };
        tokio::select! {
            done = read => done,
            never = drive => match never {},
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: String,
    ) -> Result<(Response<Incoming>, impl Future<Output = Infallible> + Unpin), Failure> {
        let stream = self.connect().await?;
        let unreachable = |error: hyper::Error| self.unreachable(&error);
        let (mut sender, connection) = match stream {
            Stream::Tcp(tcp) => handshake(tcp).await.map_err(unreachable)?,
            #[cfg(feature = "tls")]
            Stream::Tls(tls) => handshake(*tls).await.map_err(unreachable)?,
            Stream::Unix(unix) => handshake(unix).await.map_err(unreachable)?,
        };
        let mut request = Request::builder().method(method).uri(path).header(HOST, self.host());
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(Bytes::from(body))).map_err(|error| Failure::Usage(error.to_string()))?;
        // The connection ends when the exchange does; only the exchange says how it went.
        let mut drive = Box::pin(async move {
            connection.await;
            pending::<Infallible>().await
        });
        let response = tokio::select! {
            response = sender.send_request(request) => response.map_err(|error| self.unreachable(&error))?,
            never = &mut drive => match never {},
        };
        Ok((response, drive))
    }

    async fn connect(&self) -> Result<Stream, Failure> {
        let mut refused = None;
        for address in &self.addresses {
            let stream = match address {
                Address::Tcp(authority) => TcpStream::connect(authority.as_str()).await.map(Stream::Tcp),
                #[cfg(feature = "tls")]
                Address::Tls(authority) => self.secured(authority).await.map(|tls| Stream::Tls(Box::new(tls))),
                Address::Unix(path) => UnixStream::connect(path).await.map(Stream::Unix),
            };
            match stream {
                Ok(stream) => return Ok(stream),
                Err(error) => refused = Some(error),
            }
        }
        Err(self.unreachable(&refused.unwrap_or_else(|| io::ErrorKind::NotFound.into())))
    }

    #[cfg(feature = "tls")]
    async fn secured(&self, authority: &str) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let files = crate::io::tls::Files { ca: self.ca.clone(), identity: None };
        let config = files.load().map_err(|error| io::Error::other(error.told()))?;
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host).trim_matches(['[', ']']);
        let name = rustls::pki_types::ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let stream = TcpStream::connect(authority).await?;
        tokio_rustls::TlsConnector::from(config).connect(name, stream).await
    }

    fn host(&self) -> &str {
        match self.addresses.last() {
            #[cfg(feature = "tls")]
            Some(Address::Tls(authority)) => authority,
            Some(Address::Tcp(authority)) => authority,
            Some(Address::Unix(_)) | None => "localhost",
        }
    }

    fn judge(&self, status: StatusCode, text: String) -> Result<Reply, Failure> {
        if status.is_success() {
            return Ok(Reply::Body(text));
        }
        if status == StatusCode::NOT_FOUND {
            return Ok(Reply::Unknown);
        }
        let problem: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let said = problem.get("detail").or_else(|| problem.get("title")).and_then(|detail| detail.as_str());
        let said = escaped(said.unwrap_or("no reason given")).into_owned();
        if status == StatusCode::SERVICE_UNAVAILABLE || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(Failure::Unreachable { agent: self.agent(), reason: said });
        }
        if status == StatusCode::GATEWAY_TIMEOUT {
            return Err(self.late());
        }
        if status == StatusCode::UNAUTHORIZED {
            return Err(Failure::Refused(format!("{said}\n  hint: put the agent's token into WAYSIDE_TOKEN")));
        }
        Err(Failure::Refused(said))
    }

    pub(super) fn agent(&self) -> String {
        self.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
    }

    pub(super) fn gibberish(&self, error: impl fmt::Display) -> Failure {
        Failure::Gibberish { agent: self.agent(), what: escaped(&error.to_string()).into_owned() }
    }

    fn unreachable(&self, error: &impl std::error::Error) -> Failure {
        let mut reason = error.to_string();
        if let Some(cause) = error.source() {
            reason = format!("{reason}: {cause}");
        }
        Failure::Unreachable { agent: self.agent(), reason }
    }

    fn late(&self) -> Failure {
        Failure::Deadline { agent: self.agent(), limit: Span(self.limit) }
    }
}

enum Stream {
    Tcp(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
    Unix(UnixStream),
}

type Sender = http1::SendRequest<Full<Bytes>>;

async fn handshake<S>(stream: S) -> Result<(Sender, std::pin::Pin<Box<dyn Future<Output = ()>>>), hyper::Error>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    Ok((sender, Box::pin(async move { drop(connection.await) })))
}

/// Cuts a stream into server-sent events (WHATWG HTML, section 9.2): lines, a name and data, ended by an empty line.
#[derive(Debug, Default)]
struct Lines {
    rest: Vec<u8>,
    name: String,
    data: String,
}

impl Lines {
    fn feed(&mut self, bytes: &[u8]) -> Vec<(String, String)> {
        let mut events = Vec::new();
        self.rest.extend_from_slice(bytes);
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            if let Some(name) = line.strip_prefix("event:") {
                name.trim_start().clone_into(&mut self.name);
            } else if let Some(data) = line.strip_prefix("data:") {
                self.data.push_str(data.strip_prefix(' ').unwrap_or(data));
            } else if line.is_empty() && !self.name.is_empty() {
                events.push((std::mem::take(&mut self.name), std::mem::take(&mut self.data)));
            }
        }
        // Whoever sends a line that long is no agent; what is lost shows as an event that is no JSON.
        self.rest.truncate(MAX_ANSWER);
        events
    }
}

/// Where the packaged agent listens.
const SOCKET: &str = "/run/wayside/agent.sock";
/// Bytes of an answer at the most.
const MAX_ANSWER: usize = 64 << 20;
/// How long a stream of events may be silent; the agent says something every 15 s.
const SILENCE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_named_by_url_or_path() {
        let named = |text: &str| text.parse::<Address>().map(|address| address.to_string());
        assert_eq!(named("http://gw-7:80/"), Ok("http://gw-7:80".to_owned()));
        assert_eq!(named("http://[::1]"), Ok("http://[::1]:7878".to_owned()));
        assert_eq!(named("unix:/run/a.sock"), Ok("unix:/run/a.sock".to_owned()));
        for bad in ["gw-7", "https://", "unix:a.sock", "http://", "http://a@b", "http://a/b"] {
            assert!(named(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn events_are_whole_however_they_are_cut() {
        let text = b"event: reset\ndata: {}\n\n: quiet\n\nevent: departed\r\ndata: {\"id\":\"a\"}\r\n\r\nevent: upd";
        let whole = Lines::default().feed(text);
        assert_eq!(whole.len(), 2);
        assert_eq!(whole[1], ("departed".to_owned(), "{\"id\":\"a\"}".to_owned()));
        let mut lines = Lines::default();
        let cut: Vec<_> = text.iter().flat_map(|byte| lines.feed(&[*byte])).collect();
        assert_eq!(cut, whole);
    }
}
