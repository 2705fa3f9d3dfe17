//! Who owns which connection.

use std::collections::BTreeMap;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use wayside_protocols::modbus::reply::Reply;
use wayside_protocols::modbus::request::Request;
use wayside_protocols::modbus::target::Target;
use wayside_protocols::modbus::unit::Unit;
use wayside_protocols::time::Duration;

use super::audit::Audit;
use super::open::OpenError;
use super::owner::{AskError, ORDERS, Order, own};
use crate::clock::Clock;

/// Every connection of this program. Clones are cheap and mean the same connections.
#[derive(Clone, Debug)]
pub struct Bus {
    desk: mpsc::Sender<(Target, Order)>,
}

/// The bus, and the task that keeps it: it ends when the last clone of the bus is dropped, and every connection with it.
pub fn desk(audit: Audit, clock: Clock) -> (Bus, impl Future<Output = ()>) {
    let (desk, orders) = mpsc::channel(WAITING);
    (Bus { desk }, keep(orders, audit, clock))
}

impl Bus {
    /// Connects to `target`, if that is not done. A serial line is listened to for `deadline`.
    ///
    /// # Errors
    /// [`OpenError`], saying why not.
    pub async fn connect(&self, target: &Target, deadline: Duration) -> Result<(), OpenError> {
        let (reply, answer) = oneshot::channel();
        self.order(target, Order::Connect { deadline, reply }).await;
        // The order was dropped because too many wait.
        answer.await.unwrap_or(Err(OpenError::Full))
    }

    /// Asks on a connection that is there.
    ///
    /// # Errors
    /// [`AskError`] without a reply that is just the one to this request. The connection is gone then.
    pub async fn ask(
        &self,
        target: &Target,
        unit: Unit,
        request: Request,
        deadline: Duration,
    ) -> Result<(Reply, Duration), AskError> {
        self.put(target, unit, request, deadline, None).await
    }

    /// The same, but connects first where that is needed, within `dial`.
    ///
    /// # Errors
    /// As [`Bus::ask`], or because there is no connection.
    pub async fn ask_anew(
        &self,
        target: &Target,
        unit: Unit,
        request: Request,
        deadline: Duration,
        dial: Duration,
    ) -> Result<(Reply, Duration), AskError> {
        self.put(target, unit, request, deadline, Some(dial)).await
    }

    /// Closes the connection once what was ordered before is done.
    pub async fn hang_up(&self, target: &Target) {
        self.order(target, Order::HangUp).await;
    }

    async fn put(
        &self,
        target: &Target,
        unit: Unit,
        request: Request,
        deadline: Duration,
        dial: Option<Duration>,
    ) -> Result<(Reply, Duration), AskError> {
        let (reply, answer) = oneshot::channel();
        self.order(target, Order::Ask { unit, request, deadline, dial, reply }).await;
        answer.await.unwrap_or_else(|_| Err(OpenError::Full.into()))
    }

    async fn order(&self, target: &Target, order: Order) {
        // A closed desk drops the order, and whoever waits for its answer is told.
        let _ = self.desk.send((target.clone(), order)).await;
    }
}

async fn keep(mut orders: mpsc::Receiver<(Target, Order)>, audit: Audit, clock: Clock) {
    let mut owners: BTreeMap<Target, mpsc::Sender<Order>> = BTreeMap::new();
    let mut tasks: JoinSet<Target> = JoinSet::new();
    loop {
        tokio::select! {
            order = orders.recv() => {
                let Some((target, order)) = order else { return };
                let hire = |tasks: &mut JoinSet<Target>| {
                    let (sender, orders) = mpsc::channel(ORDERS);
                    tasks.spawn(own(target.clone(), orders, audit.clone(), clock));
                    sender
                };
                let known = owners.get(&target).filter(|owner| !owner.is_closed());
                if known.is_none() && matches!(order, Order::HangUp) {
                    continue;
                }
                let owner = known.cloned().unwrap_or_else(|| hire(&mut tasks));
                // A full queue drops the order, which its sender is told by the reply that never comes.
                let _ = owner.try_send(order);
                owners.insert(target, owner);
            }
            Some(left) = tasks.join_next() => {
                // Another may have been hired while this one was leaving.
                if let Ok(target) = left && owners.get(&target).is_some_and(mpsc::Sender::is_closed) {
                    owners.remove(&target);
                }
            }
        }
    }
}

/// Orders that wait for the desk at the most; a further one waits with its sender.
const WAITING: usize = 256;
