//! The one task that owns a connection.

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::debug;
use wayside_protocols::modbus::reply::Reply;
use wayside_protocols::modbus::request::Request;
use wayside_protocols::modbus::target::Target;
use wayside_protocols::modbus::unit::Unit;
use wayside_protocols::time::Duration;

use super::audit::Audit;
use super::line::{Line, LineError};
use super::open::{OpenError, open};
use crate::clock::Clock;

/// Why a question had no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The line had none.
    #[error(transparent)]
    Line(#[from] LineError),
    /// There is no connection.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// What the owner of a connection is asked to do.
#[derive(Debug)]
pub(super) enum Order {
    /// Connect, if it is not connected.
    Connect { deadline: Duration, reply: oneshot::Sender<Result<(), OpenError>> },
    /// Ask. With `dial`, a connection that is not there is made first, within that time.
    Ask {
        unit: Unit,
        request: Request,
        deadline: Duration,
        dial: Option<Duration>,
        reply: oneshot::Sender<Result<(Reply, Duration), AskError>>,
    },
    /// Close it.
    HangUp,
}

/// Owns the connection to `target` until nobody has asked for anything for [`IDLE`]. Orders are served one by one.
pub(super) async fn own(target: Target, mut orders: mpsc::Receiver<Order>, audit: Audit, clock: Clock) -> Target {
    let mut line: Option<Line> = None;
    loop {
        let order = match timeout(IDLE, orders.recv()).await {
            Ok(Some(order)) => order,
            Ok(None) => return target,
            Err(_) => {
                // What came in while we were closing is still served.
                orders.close();
                match orders.recv().await {
                    Some(order) => order,
                    None => return target,
                }
            }
        };
        match order {
            Order::HangUp => line = None,
            Order::Connect { deadline, reply } => {
                let outcome = match line {
                    Some(_) => Ok(()),
                    None => open(&target, deadline, clock).await.map(|opened| line = Some(opened)),
                };
                if let Err(error) = &outcome {
                    debug!(%target, %error, "not connected");
                }
                // Whoever asked may have given up.
                let _ = reply.send(outcome);
            }
            Order::Ask { unit, request, deadline, dial, reply } => {
                // Nobody waits for an answer any more: then nothing is asked.
                if reply.is_closed() {
                    continue;
                }
                let outcome = ask(&mut line, &target, (unit, request), (deadline, dial), &audit, clock).await;
                if let Err(error) = &outcome {
                    debug!(%target, %unit, %error, "no answer");
                }
                let _ = reply.send(outcome);
            }
        }
    }
}

async fn ask(
    held: &mut Option<Line>,
    target: &Target,
    (unit, request): (Unit, Request),
    (deadline, dial): (Duration, Option<Duration>),
    audit: &Audit,
    clock: Clock,
) -> Result<(Reply, Duration), AskError> {
    let line = match (held.take(), dial) {
        (Some(line), _) => line,
        (None, Some(within)) => open(target, within, clock).await?,
        (None, None) => return Err(LineError::Closed.into()),
    };
    if let Err(error) = audit.note(target, unit, &request).await {
        *held = Some(line);
        return Err(OpenError::Audit(error).into());
    }
    match line.ask(unit, request, deadline).await {
        Ok((line, reply, took)) => {
            *held = Some(line);
            Ok((reply, took))
        }
        Err(spoilt) => {
            let error = match &spoilt.error {
                LineError::Silent(limit) => LineError::Silent(*limit),
                LineError::Garbled(garbled) => LineError::Garbled(*garbled),
                LineError::Foreign(bytes) => LineError::Foreign(*bytes),
                LineError::Closed => LineError::Closed,
                LineError::Io(error) => LineError::Io(error.kind().into()),
            };
            *held = spoilt.mend().await;
            Err(error.into())
        }
    }
}

/// Orders that wait for one connection at the most; a further one is refused as [`OpenError::Full`].
pub(super) const ORDERS: usize = 16;
/// How long a connection that nobody uses stays open.
const IDLE: Duration = Duration::from_secs(60);
