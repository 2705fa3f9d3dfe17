//! A plant to be surveyed: simulated Modbus devices and gateways on loopback addresses, every one of which keeps a
//! ledger of what it was asked.
//!
//! It shares no code with the product: frames, checksums and identification are spelled out here once more, so that it
//! can disagree. One thread runs all of it, in real time; the plant ends with its value.
//!
//! What it does: devices with a port of their own, strict about the unit or not; gateways at the pace of their line,
//! one transaction at a time, with a response timeout, a queue and a limit on connections; identification in parts and
//! of any conformity; SunSpec images; every [`fault::Fault`]; hosts that hang up, babble or never answer, answer for
//! every unit, leave and come back, or become somebody else. What it does not: retries of a gateway, several lines
//! behind one address.

pub mod device;
pub mod fault;
pub mod host;
pub mod ledger;
pub mod segment;
pub mod serial;
pub mod sunspec;
pub mod wire;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::mpsc as answers;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use tokio::time::Instant;

use host::{Host, Working};
use ledger::Ledger;

/// A running plant.
pub struct Plant {
    orders: Option<mpsc::UnboundedSender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl Plant {
    /// Starts an empty one. `seed` decides what its faults look like.
    ///
    /// # Panics
    /// If its thread cannot be started.
    pub fn start(seed: u64) -> Self {
        let (orders, received) = mpsc::unbounded_channel();
        let thread = thread::Builder::new().name("plant".into()).spawn(move || run(seed, received));
        let thread = thread.unwrap_or_else(|error| panic!("the plant does not start: {error}"));
        Self { orders: Some(orders), thread: Some(thread) }
    }

    /// Starts one with these hosts.
    ///
    /// # Panics
    /// If an address cannot be had.
    #[track_caller]
    pub fn with(seed: u64, hosts: impl IntoIterator<Item = (SocketAddr, Host)>) -> Self {
        let plant = Self::start(seed);
        for (address, host) in hosts {
            plant.add(address, host).unwrap_or_else(|error| panic!("{error}"));
        }
        plant
    }

    /// Lets `host` listen at `address`, which it keeps when it leaves. Port 0 takes a free one; the address as it is
    /// comes back.
    ///
    /// # Errors
    /// If the address cannot be had.
    pub fn add(&self, address: SocketAddr, host: Host) -> io::Result<SocketAddr> {
        self.ask(move |hall| hall.add(address, host))
    }

    /// Lets `host` serve a serial line of its own, and tells the path of the client's end of it.
    ///
    /// # Errors
    /// If the system has no pseudo-terminal.
    pub fn add_line(&self, host: Host) -> io::Result<PathBuf> {
        self.ask(move |hall| {
            let (line, path) = serial::open()?;
            let working = Working::new(host, hall.seed(), hall.start);
            hall.lines.insert(path.clone(), working.clone());
            tokio::task::spawn_local(async move { serial::serve(&working, line).await });
            Ok(path)
        })
    }

    /// The host at `address` stops: its port is closed, its connections end.
    pub fn vanish(&self, address: SocketAddr) {
        self.ask(move |hall| {
            if let Some(host) = hall.hosts.get(&address) {
                host.leave();
            }
        });
    }

    /// It is there again, as it was.
    ///
    /// # Errors
    /// If somebody else has its address.
    pub fn come_back(&self, address: SocketAddr) -> io::Result<()> {
        self.ask(move |hall| match hall.hosts.get(&address) {
            Some(host) => hall.open(address, &host.clone()),
            None => Err(io::Error::other(format!("no host was ever at {address}"))),
        })
    }

    /// Changes the host at `address` as it runs.
    ///
    /// # Panics
    /// If none was ever there.
    pub fn change(&self, address: SocketAddr, change: impl FnOnce(&mut Host) + Send + 'static) {
        let found = self.ask(move |hall| {
            let host = hall.hosts.get(&address)?;
            change(&mut host.host.borrow_mut());
            Some(())
        });
        assert!(found.is_some(), "no host was ever at {address}");
    }

    /// What the host at `address` was asked so far.
    ///
    /// # Panics
    /// If none was ever there.
    pub fn ledger(&self, address: SocketAddr) -> Ledger {
        let found = self.ask(move |hall| Some(hall.hosts.get(&address)?.ledger.borrow().clone()));
        found.unwrap_or_else(|| panic!("no host was ever at {address}"))
    }

    /// How many requests the host at `address` has had, and the last one.
    pub fn last(&self, address: SocketAddr) -> (u64, Option<ledger::Asked>) {
        self.ask(move |hall| {
            hall.hosts.get(&address).map_or((0, None), |host| {
                let ledger = host.ledger.borrow();
                (ledger.asked.len() as u64, ledger.asked.last().cloned())
            })
        })
    }

    /// What the line at `path` was asked so far.
    ///
    /// # Panics
    /// If there is none.
    pub fn line_ledger(&self, path: &Path) -> Ledger {
        let path = path.to_path_buf();
        let found = self.ask(move |hall| Some(hall.lines.get(&path)?.ledger.borrow().clone()));
        found.unwrap_or_else(|| panic!("the plant has no such line"))
    }

    /// What every host with an address was asked so far.
    pub fn ledgers(&self) -> BTreeMap<SocketAddr, Ledger> {
        self.ask(|hall| hall.hosts.iter().map(|(address, host)| (*address, host.ledger.borrow().clone())).collect())
    }

    /// How long it has been running: the time its ledgers count from.
    pub fn elapsed(&self) -> Duration {
        self.ask(|hall| hall.start.elapsed())
    }

    /// Forgets what was asked so far.
    pub fn forget(&self) {
        self.ask(|hall| {
            for host in hall.hosts.values().chain(hall.lines.values()) {
                *host.ledger.borrow_mut() = Ledger::default();
            }
        });
    }

    /// Has its thread look, and waits for the answer.
    fn ask<T: Send + 'static>(&self, look: impl FnOnce(&mut Hall) -> T + Send + 'static) -> T {
        let (sender, answer) = answers::channel();
        let order: Order = Box::new(move |hall| drop(sender.send(look(hall))));
        if let Some(orders) = &self.orders {
            let _ = orders.send(order);
        }
        answer.recv().unwrap_or_else(|_| panic!("the plant has stopped"))
    }
}

impl Drop for Plant {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Plant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plant").finish_non_exhaustive()
    }
}

type Order = Box<dyn FnOnce(&mut Hall) + Send>;

/// What the plant's thread owns.
struct Hall {
    hosts: BTreeMap<SocketAddr, Rc<Working>>,
    lines: BTreeMap<PathBuf, Rc<Working>>,
    seed: u64,
    start: Instant,
}

impl Hall {
    fn add(&mut self, address: SocketAddr, host: Host) -> io::Result<SocketAddr> {
        let listener = listener(address)?;
        let address = listener.local_addr()?;
        let working = Working::new(host, self.seed(), self.start);
        self.hosts.insert(address, working.clone());
        tokio::task::spawn_local(working.listen(listener));
        Ok(address)
    }

    fn open(&self, address: SocketAddr, working: &Rc<Working>) -> io::Result<()> {
        tokio::task::spawn_local(working.clone().listen(listener(address)?));
        Ok(())
    }

    fn seed(&self) -> u64 {
        self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add((self.hosts.len() + self.lines.len()) as u64)
    }
}

fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    let listen = || {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(64)
    };
    listen().map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))
}

fn run(seed: u64, mut orders: mpsc::UnboundedReceiver<Order>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.unwrap_or_else(|error| panic!("the plant does not start: {error}"));
    LocalSet::new().block_on(&runtime, async move {
        let mut hall = Hall { hosts: BTreeMap::new(), lines: BTreeMap::new(), seed, start: Instant::now() };
        while let Some(order) = orders.recv().await {
            order(&mut hall);
            // What an order ended, ends before the next.
            tokio::task::yield_now().await;
        }
    });
}

#[cfg(test)]
mod tests;
