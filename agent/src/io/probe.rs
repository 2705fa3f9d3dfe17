//! Asks services whether they answer.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use wayside_core::registration::{DueProbe, Probe};
use wayside_protocols::service::ServiceId;
use wayside_protocols::time::{Duration, Timestamp};

use crate::clock::Clock;
use crate::driver::{Inbox, Message};

/// Why a check failed.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// No answer within the time the check allows.
    #[error("no answer within {} ms", .0.as_millis())]
    Late(Duration),
    /// Nobody listens, or nobody is there.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// It does not speak HTTP.
    #[error("no HTTP answer: {0}")]
    Http(#[source] hyper::Error),
    /// It answers, but not with 200 to 299; redirects are not followed.
    #[error("answered with status {}", .0.as_u16())]
    Status(StatusCode),
    /// The path is none.
    #[error("path {0:?} cannot be asked for")]
    Path(Box<str>),
    /// Not an address that a check may reach.
    #[error("{0} is {1}; health checks do not go there")]
    Forbidden(IpAddr, &'static str),
}

/// Runs health checks, at most [`AT_ONCE`] at a time; further ones wait for their turn, and their time runs only
/// from there. The core asks for one check a registration at a time, so the queue is bounded by its registrations.
#[derive(Debug, Default)]
pub(crate) struct Prober {
    running: JoinSet<(ServiceId, Result<Duration, ProbeError>)>,
    waiting: VecDeque<(ServiceId, DueProbe)>,
}

impl Prober {
    /// Starts a check, or queues it.
    pub(crate) fn start(&mut self, id: ServiceId, due: DueProbe) {
        if self.running.len() < AT_ONCE {
            self.running.spawn(async move { (id, run(due).await) });
        } else {
            self.waiting.push_back((id, due));
        }
    }

    /// The next check to come back, with its round trip; waits for ever while none is running. Cancel safe.
    pub(crate) async fn finished(&mut self) -> (ServiceId, Result<Duration, Box<str>>) {
        loop {
            match self.running.join_next().await {
                None => std::future::pending().await,
                Some(joined) => {
                    if let Some((id, due)) = self.waiting.pop_front() {
                        self.start(id, due);
                    }
                    // A check is never cancelled, and a panic has ended the program before it gets here.
                    if let Ok((id, outcome)) = joined {
                        return (id, outcome.map_err(|error| error.to_string().into()));
                    }
                }
            }
        }
    }
}

/// Makes the checks the driver asks for, and tells it what came of them, until its queue is closed. Checks under way
/// then are dropped.
pub async fn check(mut orders: mpsc::Receiver<(ServiceId, DueProbe)>, inbox: Inbox) {
    let mut prober = Prober::default();
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some((id, due)) => prober.start(id, due),
                None => return,
            },
            (id, outcome) = prober.finished() => if !inbox.tell(Message::Probed(id, outcome)).await {
                return;
            },
        }
    }
}

/// Makes one check and takes its time.
///
/// # Errors
/// [`ProbeError`]: late, refused, not HTTP, another status, or an address that is never asked.
pub async fn run(due: DueProbe) -> Result<Duration, ProbeError> {
    if let Some(what) = forbidden(due.target.ip()) {
        return Err(ProbeError::Forbidden(due.target.ip(), what));
    }
    let clock = Clock::start();
    let limit = due.timeout;
    timeout(limit, answers(due)).await.unwrap_or(Err(ProbeError::Late(limit)))?;
    Ok(clock.now() - Timestamp::START)
}

/// What keeps health checks from an address, if anything does: nobody may use the agent to reach the metadata service
/// of a cloud, or to talk to a group.
pub(crate) fn forbidden(ip: IpAddr) -> Option<&'static str> {
    let ip = ip.to_canonical();
    if METADATA_V4.map(IpAddr::V4).contains(&ip) || METADATA_V6.map(IpAddr::V6).contains(&ip) {
        Some("a cloud metadata service")
    } else if ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
        Some("a group of hosts")
    } else if ip.is_unspecified() {
        Some("no address")
    } else {
        None
    }
}

async fn answers(due: DueProbe) -> Result<(), ProbeError> {
    let stream = TcpStream::connect(due.target).await.map_err(ProbeError::Connect)?;
    match due.probe {
        Probe::Tcp | Probe::Ttl => Ok(()),
        Probe::Http { path } => {
            let (mut sender, connection) = http1::Builder::new()
                .max_buf_size(MAX_HEAD)
                .handshake(TokioIo::new(stream))
                .await
                .map_err(ProbeError::Http)?;
            let request = Request::get(&*path)
                .header(HOST, due.target.to_string())
                .header(USER_AGENT, "wayside-health-check")
                .header(CONNECTION, "close")
                .body(Empty::<Bytes>::new())
                .map_err(|_| ProbeError::Path(path))?;
            let status = tokio::select! {
                answer = sender.send_request(request) => answer.map_err(ProbeError::Http)?.status(),
                Err(error) = connection => return Err(ProbeError::Http(error)),
            };
            if status.is_success() { Ok(()) } else { Err(ProbeError::Status(status)) }
        }
    }
}

/// Checks that run at the same time.
pub const AT_ONCE: usize = 32;
/// Bytes of a response head; more is a failed check.
const MAX_HEAD: usize = 16 * 1_024;
/// Where clouds serve credentials to whoever asks from inside.
const METADATA_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(169, 254, 169, 254), Ipv4Addr::new(169, 254, 170, 2), Ipv4Addr::new(169, 254, 170, 23)];
const METADATA_V6: [Ipv6Addr; 2] =
    [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)];

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    fn due(target: SocketAddr, path: Option<&str>) -> DueProbe {
        let probe = path.map_or(Probe::Tcp, |path| Probe::Http { path: path.into() });
        DueProbe { target, probe, timeout: Duration::from_secs(5) }
    }

    /// Answers every connection with the same bytes and hands back what was asked.
    async fn server(reply: &'static [u8]) -> (SocketAddr, mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, requests) = mpsc::channel(8);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = vec![0; 4_096];
                let length = stream.read(&mut head).await.unwrap_or(0);
                let _ = stream.write_all(reply).await;
                let _ = asked.send(String::from_utf8_lossy(&head[..length]).into()).await;
            }
        });
        (address, requests)
    }

    #[tokio::test]
    async fn a_page_that_is_there_passes_and_takes_time() {
        let (address, mut requests) = server(b"HTTP/1.1 204 No Content\r\n\r\n").await;
        let round_trip = run(due(address, Some("/health?deep=1"))).await.unwrap();
        assert!(round_trip > Duration::ZERO);
        let request = requests.recv().await.unwrap();
        assert!(request.starts_with("GET /health?deep=1 HTTP/1.1\r\n"), "{request}");
        assert!(request.contains(&format!("host: {address}\r\n")), "{request}");
    }

    #[tokio::test]
    async fn a_redirect_is_a_failed_check_and_is_not_followed() {
        let (target, mut never) = server(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let reply = format!("HTTP/1.1 302 Found\r\nlocation: http://{target}/\r\ncontent-length: 0\r\n\r\n");
        let (address, _requests) = server(reply.leak().as_bytes()).await;
        assert!(matches!(run(due(address, Some("/"))).await, Err(ProbeError::Status(StatusCode::FOUND))));
        assert!(never.try_recv().is_err());
    }

    #[tokio::test]
    async fn garbage_is_no_http_answer() {
        let (address, _requests) = server(b"SSH-2.0-OpenSSH_9.2\r\n").await;
        assert!(matches!(run(due(address, Some("/"))).await, Err(ProbeError::Http(_))));
        assert!(run(due(address, None)).await.is_ok());
    }

    #[tokio::test]
    async fn nobody_listening_is_told_as_such() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        assert!(matches!(run(due(address, None)).await, Err(ProbeError::Connect(_))));
    }

    #[tokio::test]
    async fn silence_ends_with_the_time_the_check_allows() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let silent = DueProbe { timeout: Duration::from_millis(20), ..due(listener.local_addr().unwrap(), Some("/")) };
        let error = run(silent).await.unwrap_err();
        assert_eq!(error.to_string(), "no answer within 20 ms");
    }

    #[tokio::test]
    async fn metadata_services_and_groups_are_never_asked() {
        for address in
            ["169.254.169.254:80", "[::ffff:169.254.169.254]:80", "[fd00:ec2::254]:80", "224.0.0.1:80", "0.0.0.0:80"]
        {
            let outcome = run(due(address.parse().unwrap(), Some("/latest/meta-data"))).await;
            assert!(matches!(outcome, Err(ProbeError::Forbidden(..))), "{address}");
        }
    }

    #[tokio::test]
    async fn more_checks_than_run_at_once_all_come_back() {
        let (address, _requests) = server(b"").await;
        let mut prober = Prober::default();
        for n in 0..AT_ONCE * 3 {
            prober.start(format!("s{n}").parse().unwrap(), due(address, None));
        }
        assert_eq!(prober.waiting.len(), AT_ONCE * 2);
        for _ in 0..AT_ONCE * 3 {
            assert!(prober.finished().await.1.is_ok());
        }
    }
}
