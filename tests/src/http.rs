//! As much of an HTTP client as the tests need: one request a connection, over TCP or a Unix socket.

use std::fmt;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

/// Where an agent listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Door {
    /// At a TCP port.
    Tcp(SocketAddr),
    /// At a Unix socket; reaches into any network namespace.
    Unix(PathBuf),
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Status line and headers.
    pub head: String,
    /// Body, with the chunks of a chunked one put together.
    pub body: String,
}

/// A connection.
pub trait Wire: Read + Write + Send {}
impl<T: Read + Write + Send> Wire for T {}

impl Door {
    /// Opens a connection whose reads and writes take at most `patience` each.
    ///
    /// # Errors
    /// If nobody listens.
    pub fn open(&self, patience: Duration) -> io::Result<Box<dyn Wire>> {
        match self {
            Self::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, patience)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(patience))?;
                stream.set_write_timeout(Some(patience))?;
                Ok(Box::new(stream))
            }
            Self::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(patience))?;
                stream.set_write_timeout(Some(patience))?;
                Ok(Box::new(stream))
            }
        }
    }

    /// Asks, with a JSON body if there is one.
    ///
    /// # Errors
    /// If nobody listens, or no whole reply comes within ten seconds.
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> io::Result<Reply> {
        let body = body.map(Value::to_string).unwrap_or_default();
        self.ask_raw(method, path, &[("content-type", "application/json")], body.as_bytes())
    }

    /// Asks with these headers and bytes.
    ///
    /// # Errors
    /// As [`Door::ask`].
    pub fn ask_raw(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Reply> {
        let mut wire = self.open(PATIENCE)?;
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        let host = (!headers.iter().any(|(name, _)| *name == "host")).then_some(("host", "localhost"));
        let length = body.len().to_string();
        let own = [("connection", "close"), ("content-length", length.as_str())];
        for (name, value) in headers.iter().copied().chain(host).chain(own) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        wire.write_all(head.as_bytes())?;
        // A refusal may come, and the connection close, before all of a large body is out.
        let sent = wire.write_all(body);
        let mut bytes = Vec::new();
        match wire.read_to_end(&mut bytes) {
            Ok(_) => {}
            Err(_) if bytes.windows(4).any(|four| four == b"\r\n\r\n") => {}
            Err(error) => return Err(sent.err().unwrap_or(error)),
        }
        Reply::read(&bytes)
    }

    /// Opens a stream of server-sent events.
    ///
    /// # Errors
    /// If nobody listens.
    pub fn events(&self, path: &str) -> io::Result<Events> {
        let mut wire = self.open(PATIENCE)?;
        write!(wire, "GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n")?;
        Ok(Events { lines: BufReader::new(wire) })
    }
}

impl fmt::Display for Door {
    /// As `--agent` takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Reply {
    fn read(bytes: &[u8]) -> io::Result<Self> {
        let text = String::from_utf8_lossy(bytes);
        let short = || io::Error::new(io::ErrorKind::UnexpectedEof, format!("no whole reply: {text:?}"));
        let (head, body) = text.split_once("\r\n\r\n").ok_or_else(short)?;
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(short)?;
        let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        let body = if chunked { unchunked(body) } else { body.to_owned() };
        Ok(Self { status, head: head.to_owned(), body })
    }

    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }
}

fn unchunked(body: &str) -> String {
    let mut whole = String::new();
    let mut rest = body;
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        let Some(chunk) = after.get(..size).filter(|chunk| !chunk.is_empty()) else { break };
        whole.push_str(chunk);
        rest = after.get(size + 2..).unwrap_or_default();
    }
    whole
}

/// A stream of server-sent events.
pub struct Events {
    lines: BufReader<Box<dyn Wire>>,
}

impl Events {
    /// The next event's name and data; `None` when the stream ends or is silent for ten seconds.
    pub fn next_event(&mut self) -> Option<(String, Value)> {
        let mut name = String::new();
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).ok()? == 0 {
                return None;
            }
            // Chunk sizes and blank lines stand between; neither has a field name.
            if let Some(event) = line.strip_prefix("event:") {
                name = event.trim().to_owned();
            } else if let Some(data) = line.strip_prefix("data:") {
                return Some((name, serde_json::from_str(data.trim()).unwrap_or(Value::Null)));
            }
        }
    }
}

/// How long a reply may take.
const PATIENCE: Duration = Duration::from_secs(10);
