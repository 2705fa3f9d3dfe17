//! Records in an etcd v3 cluster, through its JSON gateway.
//!
//! `{prefix}/g/{agent}` says that an agent is there and in which life, `{prefix}/s/{agent}/{id}` what it offers. All of an
//! agent's keys hang on one lease whose number follows from its id, so that any node of the registry can renew it: the
//! nodes themselves remember nothing. What they answer from comes back through the watch.

mod client;
mod follow;
mod keys;
mod write;

use hyper::Uri;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{Node, Order};
use crate::io::web::Connector;
use client::Client;
use keys::Keys;

pub(super) async fn run(
    (endpoints, connector): (Vec<Uri>, Connector),
    prefix: Box<str>,
    mut orders: mpsc::Receiver<Order>,
    node: Node,
) {
    let (client, keys) = (Client::new(endpoints, connector), Keys::new(&prefix));
    let follow = follow::run(client.clone(), keys.clone(), node);
    tokio::pin!(follow);
    let mut writing = JoinSet::new();
    loop {
        tokio::select! {
            order = orders.recv(), if writing.len() < AT_ONCE => match order {
                Some(Order { rows, receipt }) => {
                    let (client, keys) = (client.clone(), keys.clone());
                    writing.spawn(async move {
                        let answer = write::write(&client, &keys, rows).await;
                        // Whoever asked may have given up.
                        let _ = receipt.send(answer);
                    });
                }
                None => return,
            },
            Some(_) = writing.join_next() => {}
            () = &mut follow => return,
        }
    }
}

/// Messages that are written at the same time.
const AT_ONCE: usize = 64;
