//! Connections: who gets in, for how long, and what becomes of the others.

use std::convert::Infallible;
use std::future::ready;
use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower::ServiceExt;
use tracing::{debug, info, warn};

use wayside_protocols::time::Duration;

use crate::api::listen::{BindError, Listen, Listener};
use crate::api::stall::Stall;
use crate::api::{Api, Caps, routes};
use crate::pulse::{Beat, rounds};

/// The API, listening.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    listen: Listen,
    tls: Option<Tls>,
    beat: Beat,
}

impl Server {
    /// Listens; nobody is answered before [`Server::run`].
    ///
    /// # Errors
    /// [`BindError`] if the place is taken or the system does not let us.
    pub async fn bind(listen: &Listen) -> Result<Self, BindError> {
        let listener = Listener::bind(listen).await?;
        let real = listener.listen().map_err(|source| BindError::System { listen: listen.clone(), source })?;
        Ok(Self { listener, listen: real, tls: None, beat: Beat::default() })
    }

    /// The same, but what comes by TCP must speak TLS first.
    #[must_use]
    pub fn under(mut self, tls: Option<Tls>) -> Self {
        self.tls = tls;
        self
    }

    /// The same, marking that it still takes connections.
    #[must_use]
    pub fn beating(mut self, beat: Beat) -> Self {
        self.beat = beat;
        self
    }

    /// Where it listens; the port is the one the system chose.
    pub fn listen(&self) -> &Listen {
        &self.listen
    }

    /// Answers until `stop` is done; then lets requests under way end, for 2 s at the most. Watches are closed.
    pub async fn run(self, api: Api, stop: impl Future<Output = ()>) {
        info!(listen = %self.listen, "API is up");
        let caps = api.options.caps.clone();
        let (stopping, stopped) = watch::channel(false);
        let gate = Gate {
            router: routes::router(&api, &self.listen),
            tls: self.tls.clone(),
            seats: Arc::new(Semaphore::new(caps.connections)),
            turning_away: Arc::new(Semaphore::new(TURNING_AWAY)),
            api,
            caps,
            stopped,
        };
        let mut tasks = JoinSet::new();
        tokio::pin!(stop);
        let mut rounds = rounds();
        loop {
            self.beat.tick();
            tokio::select! {
                _ = rounds.tick() => {}
                () = &mut stop => break,
                Some(_) = tasks.join_next() => {}
                accepted = gate.accept(&self.listener) => match accepted {
                    Ok(Some(conversation)) => {
                        tasks.spawn(conversation);
                    }
                    Ok(None) => {}
                    Err(error) => {
                        // Out of descriptors, mostly. Without a pause this loop would spin until one is free.
                        warn!(%error, "cannot take a connection");
                        sleep(PAUSE).await;
                    }
                },
            }
        }
        drop(self.listener);
        // Nobody left to tell is as good as told.
        let _ = stopping.send(true);
        let ended = timeout(FAREWELL, async { while tasks.join_next().await.is_some() {} }).await;
        debug!(all = ended.is_ok(), "API is down");
    }
}

/// The place one connection takes among [`Caps::connections`]; free again when the connection ends or leaves it.
#[derive(Clone, Debug)]
pub(super) struct Seat(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl Seat {
    fn new(permit: OwnedSemaphorePermit) -> Self {
        Self(Arc::new(Mutex::new(Some(permit))))
    }

    /// Gives the place to somebody else while the connection goes on.
    pub(super) fn leave(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

struct Gate {
    api: Api,
    tls: Option<Tls>,
    router: Router,
    caps: Caps,
    seats: Arc<Semaphore>,
    turning_away: Arc<Semaphore>,
    stopped: watch::Receiver<bool>,
}

type Conversation = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Gate {
    async fn accept(&self, listener: &Listener) -> io::Result<Option<Conversation>> {
        match listener {
            Listener::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                let socket = SockRef::from(&stream);
                // Both are comforts: without them answers come a little later, and a reader whose host died is
                // noticed a little later.
                let _ = socket.set_tcp_nodelay(true);
                let _ = socket.set_tcp_user_timeout(Some(self.caps.stall_time));
                Ok(match &self.tls {
                    None => self.admit(ready(Ok(stream))),
                    Some(tls) => self.admit(secured(tls, stream)),
                })
            }
            Listener::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                Ok(self.admit(ready(Ok(stream))))
            }
        }
    }

    /// A place for a connection that is still `opening`, or a word that there is none.
    fn admit<S>(&self, opening: impl Future<Output = io::Result<S>> + Send + 'static) -> Option<Conversation>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let patience = self.caps.head_time;
        let opening = async move { timeout(patience, opening).await.map_err(io::Error::from)? };
        if let Ok(permit) = Arc::clone(&self.seats).try_acquire_owned() {
            self.api.tally.connections.fetch_add(1, Ordering::Relaxed);
            let (router, caps, stopped) = (self.router.clone(), self.caps.clone(), self.stopped.clone());
            let seat = Seat::new(permit);
            return Some(Box::pin(async move {
                match opening.await {
                    Ok(stream) => converse(stream, router, seat, caps, stopped).await,
                    Err(error) => debug!(%error, "a connection did not come about"),
                }
            }));
        }
        self.api.tally.turned_away.fetch_add(1, Ordering::Relaxed);
        // Beyond these the connection is closed without a word.
        let permit = Arc::clone(&self.turning_away).try_acquire_owned().ok()?;
        let connections = self.caps.connections;
        Some(Box::pin(async move {
            // Who does not even take this answer has had its chance.
            let told = async { turn_away(opening.await?, connections).await };
            let _ = timeout(TURN_AWAY_TIME, told).await;
            drop(permit);
        }))
    }
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    router: Router,
    seat: Seat,
    caps: Caps,
    mut stopped: watch::Receiver<bool>,
) {
    let service = service_fn(move |request: Request<Incoming>| answered(router.clone(), seat.clone(), request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(caps.head_time)
        .max_buf_size(caps.head_bytes)
        .serve_connection(TokioIo::new(Stall::new(stream, caps.stall_time)), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "connection broke");
    }
}

async fn answered(router: Router, seat: Seat, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(seat);
    router.oneshot(request).await
}

/// Says that there is no room, and reads for a moment what was sent: closing with bytes unread would make the system
/// throw the answer away.
async fn turn_away<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, connections: usize) -> io::Result<()> {
    let problem = format!(
        "{{\"type\":\"urn:wayside:problem:full\",\"title\":\"There are as many as allowed\",\"status\":503,\
         \"detail\":\"{connections} connections are open already\",\"limit\":\"limits.connections = {connections}\"}}"
    );
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 1\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n",
        problem.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(problem.as_bytes()).await?;
    stream.shutdown().await?;
    let mut unread = [0; 1_024];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}

/// With what the API proves itself to whoever comes by TCP.
#[cfg(feature = "tls")]
pub type Tls = Arc<rustls::ServerConfig>;
/// There is none in this build.
#[cfg(not(feature = "tls"))]
pub type Tls = Infallible;

#[cfg(feature = "tls")]
fn secured<S: AsyncRead + AsyncWrite + Unpin>(tls: &Tls, stream: S) -> tokio_rustls::Accept<S> {
    tokio_rustls::TlsAcceptor::from(Arc::clone(tls)).accept(stream)
}

#[cfg(not(feature = "tls"))]
fn secured<S>(tls: &Tls, _: S) -> std::future::Ready<io::Result<S>> {
    match *tls {}
}

/// Connections that are being told at the same time that there is no room.
const TURNING_AWAY: usize = 16;
const TURN_AWAY_TIME: Duration = Duration::from_millis(500);
/// Between attempts to accept while the system has no descriptor left.
const PAUSE: Duration = Duration::from_millis(100);
const FAREWELL: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
