//! HTTP/1 as a client: to registries, and to the engine behind one. Connections are kept; nothing is ever redirected; an
//! answer is bounded.

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::rt::ReadBufCursor;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tower::Service;
use wayside_protocols::text::escaped;

/// Asks servers of one kind.
#[derive(Clone, Debug)]
pub(crate) struct Web {
    client: Client<Connector, Full<Bytes>>,
    token: Option<HeaderValue>,
}

/// What came back, whatever its status.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
    /// From which of our addresses it was asked.
    pub(crate) from: Option<IpAddr>,
}

impl Web {
    /// `token` is shown to whoever is asked.
    pub(crate) fn new(connector: Connector, token: Option<&str>) -> Self {
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(IDLE).build(connector);
        let token = token.and_then(|token| {
            let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        Self { client, token }
    }

    /// `POST path` with a JSON body; an answer of more than `limit` bytes is an error.
    ///
    /// # Errors
    /// [`WebError`] if there is no whole answer.
    pub(crate) async fn post(&self, origin: &Uri, path: &str, body: Vec<u8>, limit: usize) -> Result<Reply, WebError> {
        self.post_within(None, origin, path, body, limit).await
    }

    /// The same, as part of the trace that a `traceparent` names.
    ///
    /// # Errors
    /// As [`Web::post`].
    pub(crate) async fn post_within(
        &self,
        trace: Option<HeaderValue>,
        origin: &Uri,
        path: &str,
        body: Vec<u8>,
        limit: usize,
    ) -> Result<Reply, WebError> {
        let response = self.send(trace, origin, path, body).await?;
        let status = response.status();
        let from = response.extensions().get::<Departure>().map(|departure| departure.0);
        let body = Limited::new(response.into_body(), limit).collect().await.map_err(|error| {
            match error.is::<http_body_util::LengthLimitError>() {
                true => WebError::Long { limit },
                false => WebError::Broken(innermost(&*error)),
            }
        })?;
        Ok(Reply { status, body: body.to_bytes(), from })
    }

    /// The same, its body still to come.
    ///
    /// # Errors
    /// [`WebError`] if there is no answer.
    pub(crate) async fn open(&self, origin: &Uri, path: &str, body: Vec<u8>) -> Result<Response<Incoming>, WebError> {
        self.send(None, origin, path, body).await
    }

    async fn send(
        &self,
        trace: Option<HeaderValue>,
        origin: &Uri,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Response<Incoming>, WebError> {
        let mut parts = origin.clone().into_parts();
        parts.path_and_query = path.parse().ok();
        let uri = Uri::from_parts(parts).map_err(|error| WebError::Broken(error.to_string()))?;
        let mut request = Request::post(uri).header(CONTENT_TYPE, "application/json");
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token);
        }
        if let Some(trace) = trace {
            request = request.header("traceparent", trace);
        }
        let request =
            request.body(Full::new(Bytes::from(body))).map_err(|error| WebError::Broken(error.to_string()))?;
        self.client.request(request).await.map_err(|error| match error.is_connect() {
            true => WebError::Connect(innermost(&error)),
            false => WebError::Broken(innermost(&error)),
        })
    }
}

impl Reply {
    /// The body of an answer with status 200, and from which of our addresses it was asked.
    ///
    /// # Errors
    /// [`WebError`] for every other status, with what the server says about it.
    pub(crate) fn good(self) -> Result<(Bytes, Option<IpAddr>), WebError> {
        match self.status {
            StatusCode::OK => Ok((self.body, self.from)),
            status if status.is_redirection() => Err(WebError::Redirect(status.as_u16())),
            status => Err(WebError::Status(status.as_u16(), self.said())),
        }
    }

    /// What a problem says of itself, at most 160 characters and harmless.
    fn said(&self) -> String {
        let problem: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let said = ["detail", "title", "message", "error"].iter().find_map(|key| problem.get(key)?.as_str());
        let cut: String = said.unwrap_or_default().chars().take(160).collect();
        if cut.is_empty() { cut } else { format!(": {}", escaped(&cut)) }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WebError {
    /// Nobody is there, or not the one who should be.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// It broke off, or is no HTTP.
    #[error("no HTTP answer: {0}")]
    Broken(String),
    /// It is too long.
    #[error("the answer is longer than {limit} bytes")]
    Long {
        /// How long it may be.
        limit: usize,
    },
    /// It sends us elsewhere.
    #[error("status {0}: redirects are not followed")]
    Redirect(u16),
    /// It refuses.
    #[error("status {0}{1}")]
    Status(u16, String),
}

/// The last cause of all: what the system, or TLS, has to say.
fn innermost(error: &dyn Error) -> String {
    let mut error = error;
    // An io error shows what it carries, but does not count as caused by it.
    while let Some(source) = error.source() {
        error = source;
    }
    let text = error.to_string();
    escaped(&text.chars().take(200).collect::<String>()).into_owned()
}

/// Opens connections, with TLS where the URL wants it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connector {
    #[cfg(feature = "tls")]
    tls: Option<std::sync::Arc<rustls::ClientConfig>>,
}

impl Connector {
    /// With TLS as `config` has it.
    #[cfg(feature = "tls")]
    pub(crate) fn secure(config: std::sync::Arc<rustls::ClientConfig>) -> Self {
        Self { tls: Some(config) }
    }
}

impl Service<Uri> for Connector {
    type Response = Wire;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Wire>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.connect(&uri).await })
    }
}

impl Connector {
    async fn connect(self, uri: &Uri) -> io::Result<Wire> {
        let secure = uri.scheme_str() == Some("https");
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(if secure { 443 } else { 80 }))).await?;
        // A comfort: without it a question may wait for the acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
        if !secure {
            return Ok(Wire::Plain(TokioIo::new(stream)));
        }
        #[cfg(feature = "tls")]
        if let Some(tls) = self.tls {
            let name = rustls::pki_types::ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
            let stream = tokio_rustls::TlsConnector::from(tls).connect(name, stream).await?;
            return Ok(Wire::Secure(Box::new(TokioIo::new(stream))));
        }
        Err(io::Error::new(io::ErrorKind::Unsupported, "TLS is not set up"))
    }
}

/// Our side of a connection.
#[derive(Clone, Copy, Debug)]
struct Departure(IpAddr);

/// A connection.
#[derive(Debug)]
pub(crate) enum Wire {
    Plain(TokioIo<TcpStream>),
    #[cfg(feature = "tls")]
    Secure(Box<TokioIo<tokio_rustls::client::TlsStream<TcpStream>>>),
}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        let tcp = match self {
            Self::Plain(stream) => stream.inner(),
            #[cfg(feature = "tls")]
            Self::Secure(stream) => stream.inner().get_ref().0,
        };
        match tcp.local_addr() {
            Ok(local) => Connected::new().extra(Departure(local.ip())),
            Err(_) => Connected::new(),
        }
    }
}

impl hyper::rt::Read for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            #[cfg(feature = "tls")]
            Self::Secure(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl hyper::rt::Write for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            #[cfg(feature = "tls")]
            Self::Secure(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            #[cfg(feature = "tls")]
            Self::Secure(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            #[cfg(feature = "tls")]
            Self::Secure(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// Connections to one server that are kept for the next question.
const IDLE: usize = 4;
