//! Speaks to registries: one exchange a task, a bounded number at a time, each within its own time.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

use hyper::Uri;
use hyper::header::HeaderValue;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::warn;
use wayside_core::query::Cause;
use wayside_core::upstream::{Call, Exchange, ExchangeId, Failure};
use wayside_protocols::registry::told;

use super::web::{Connector, Web, WebError};
use crate::driver::{Inbox, Message};

/// Where one upstream is, and how it is spoken to.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// Its nodes.
    pub urls: Vec<Uri>,
    /// Whom we believe, and who we are.
    #[cfg(feature = "tls")]
    pub tls: super::tls::Files,
    /// The file with what it is shown as `Authorization: Bearer`.
    pub token_file: Option<PathBuf>,
}

/// What a registry answered, and from which address of ours it was asked, where that is known.
type Heard = Result<(Vec<u8>, Option<IpAddr>), Failure>;

/// Makes the exchanges the agent asks for until the queue is closed, and then ends those under way.
pub async fn run(lines: Vec<Line>, mut orders: mpsc::Receiver<Exchange>, inbox: Inbox) {
    let webs: Vec<Result<Web, Box<str>>> = lines.iter().map(web).collect();
    for trouble in webs.iter().filter_map(|web| web.as_ref().err()) {
        warn!("an upstream cannot be spoken to: {trouble}");
    }
    let mut under_way: JoinSet<(ExchangeId, Heard)> = JoinSet::new();
    let (mut open, mut departs) = (true, None);
    while open || !under_way.is_empty() {
        tokio::select! {
            order = orders.recv(), if open && under_way.len() < AT_ONCE => match order {
                Some(exchange) => {
                    let to = lines.get(exchange.line).and_then(|line| line.urls.get(exchange.node)).cloned();
                    let web = webs.get(exchange.line).cloned();
                    under_way.spawn(async move {
                        let id = exchange.id;
                        (id, converse(web, to, exchange).await)
                    });
                }
                None => open = false,
            },
            Some(Ok((id, result))) = under_way.join_next() => {
                let result = match result {
                    Ok((body, from)) => {
                        if let Some(from) = from.filter(|from| !from.is_loopback() && departs != Some(*from)) {
                            departs = Some(from);
                            inbox.tell(Message::Departs(from)).await;
                        }
                        Ok(body)
                    }
                    Err(failure) => Err(failure),
                };
                if !inbox.tell(Message::Told(id, result)).await {
                    return;
                }
            }
        }
    }
}

async fn converse(web: Option<Result<Web, Box<str>>>, to: Option<Uri>, exchange: Exchange) -> Heard {
    let unreachable = |why: Box<str>| Failure { cause: Cause::Unreachable, why };
    let (web, to) = web.zip(to).ok_or_else(|| unreachable("there is no such upstream".into()))?;
    let web = web.map_err(unreachable)?;
    let path = match exchange.call {
        Call::Ask => "/v1/discovery/services",
        Call::Announce => "/v1/registry/announcement",
    };
    let trace = traceparent(&exchange);
    let answer = async { web.post_within(trace, &to, path, exchange.body, told::MAX_BYTES).await?.good() };
    match timeout(exchange.within, answer).await {
        Ok(Ok((body, from))) => Ok((body.into(), from)),
        Ok(Err(error)) => {
            let cause = match &error {
                WebError::Connect(_) => Cause::Unreachable,
                WebError::Status(..) => Cause::Refused,
                WebError::Broken(_) | WebError::Long { .. } | WebError::Redirect(_) => Cause::Contract,
            };
            Err(Failure { cause, why: error.to_string().into() })
        }
        Err(_) => {
            let why = format!("no answer within {} ms", exchange.within.as_millis()).into();
            Err(Failure { cause: Cause::Late, why })
        }
    }
}

#[cfg(feature = "otlp")]
fn traceparent(exchange: &Exchange) -> Option<HeaderValue> {
    HeaderValue::try_from(crate::trace::written(&exchange.trace?)).ok()
}

#[cfg(not(feature = "otlp"))]
fn traceparent(_: &Exchange) -> Option<HeaderValue> {
    None
}

fn web(line: &Line) -> Result<Web, Box<str>> {
    let token = match &line.token_file {
        None => None,
        Some(path) => {
            let read = fs::read_to_string(path);
            Some(read.map_err(|error| Box::<str>::from(format!("{}: {error}", path.display())))?)
        }
    };
    Ok(Web::new(connector(line)?, token.as_deref().map(str::trim)))
}

#[cfg(feature = "tls")]
fn connector(line: &Line) -> Result<Connector, Box<str>> {
    if line.urls.iter().all(|url| url.scheme_str() != Some("https")) {
        return Ok(Connector::default());
    }
    line.tls.load().map(Connector::secure).map_err(|error| error.to_string().into())
}

#[cfg(not(feature = "tls"))]
fn connector(_line: &Line) -> Result<Connector, Box<str>> {
    Ok(Connector::default())
}

/// Exchanges that wait for their turn; a further one counts as failed.
pub const ORDERS: usize = 256;
/// Exchanges under way at the same time.
const AT_ONCE: usize = 64;
