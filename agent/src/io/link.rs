//! Multicast DNS sockets: what is said on port 5353 of every link, and what the agent says there.
//!
//! Each socket is bound to the multicast group itself, not to the wildcard address. So the kernel gives it only what was
//! sent to the group: it takes no unicast answer from avahi, resolved or the responder, which share the port (RFC 6762
//! section 15), and a unicast datagram never reaches the agent. What it sends leaves from port 5353 and the interface's
//! own address all the same.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::Arc;

use rustix::net::sockopt::set_ip_multicast_if_with_ifindex;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time;
use tracing::{debug, info, warn};
use wayside_protocols::sighting::LinkId;
use wayside_protocols::time::Duration;

use super::changes::Changes;
use super::interfaces::{Interface, Selection, interfaces};
use crate::driver::{Datagram, Inbox, Message, Tally};
use crate::pulse::{Beat, rounds};

/// Datagrams that wait to be sent at the most; further ones are dropped by the driver and counted.
pub const ORDERS: usize = 1_024;

/// Keeps sockets on every interface of `selection` as they come and go, and sends what is ordered; ends with the queue.
pub async fn run(selection: Selection, inbox: Inbox, mut orders: mpsc::Receiver<Datagram>, beat: Beat) {
    let mut links = BTreeMap::new();
    // Before the first look, so that nothing changes unseen.
    let mut changes = Changes::open();
    let mut changed = false;
    let mut look = time::interval(LOOK);
    let mut rounds = rounds();
    loop {
        beat.tick();
        tokio::select! {
            order = orders.recv() => match order {
                Some((link, bytes)) => send(&links, link, &bytes, inbox.tally()),
                None => return,
            },
            () = changes.next(), if !changed => {
                changed = true;
                look.reset_after(SETTLE);
            }
            _ = look.tick() => {
                changed = false;
                let whole = match interfaces(&selection) {
                    Ok(found) => {
                        follow(&mut links, found, &inbox).await;
                        links.values().all(Link::whole)
                    }
                    Err(error) => {
                        warn!(%error, "cannot list network interfaces");
                        false
                    }
                };
                look.reset_after(if whole && changes.heard() { SELDOM } else { LOOK });
            }
            _ = rounds.tick() => {}
        }
    }
}

/// One interface, and those of its sockets that work.
struct Link {
    interface: Interface,
    v4: Option<Ear>,
    v6: Option<Ear>,
    /// Whether it was said that a socket of it does not work; said once.
    complained: bool,
}

impl Link {
    fn new(interface: Interface) -> Self {
        Self { interface, v4: None, v6: None, complained: false }
    }

    /// Whether every socket it should have is open.
    fn whole(&self) -> bool {
        let opened = |wanted: bool, ear: &Option<Ear>| !wanted || ear.as_ref().is_some_and(Ear::hears);
        opened(self.interface.v4(), &self.v4) && opened(self.interface.v6(), &self.v6)
    }

    /// Opens what is missing, and closes what has no address any more. What fails is tried again at the next look.
    fn mend(&mut self, link: LinkId, inbox: &Inbox) {
        let Self { interface, v4, v6, complained } = self;
        for (wanted, ear, group) in [(interface.v4(), v4, group_v4()), (interface.v6(), v6, group_v6(link))] {
            if !wanted {
                *ear = None;
            } else if ear.as_ref().is_none_or(|ear| !ear.hears()) {
                match open(link, group) {
                    Ok(socket) => *ear = Some(Ear::listen(link, socket, group, inbox)),
                    Err(error) if *complained => debug!(interface = interface.name, %group, %error, "still deaf"),
                    Err(error) => {
                        *complained = true;
                        warn!(interface = interface.name, %group, %error, "cannot listen for mDNS");
                    }
                }
            }
        }
    }
}

/// An open socket and the task that reads it; both end when it is dropped.
struct Ear {
    socket: Arc<UdpSocket>,
    group: SocketAddr,
    listener: JoinHandle<()>,
}

impl Ear {
    fn listen(link: LinkId, socket: UdpSocket, group: SocketAddr, inbox: &Inbox) -> Self {
        let socket = Arc::new(socket);
        let listener = tokio::spawn(listen(link, Arc::clone(&socket), inbox.clone()));
        Self { socket, group, listener }
    }

    fn hears(&self) -> bool {
        !self.listener.is_finished()
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// Makes `links` what was `found`, and tells the agent what is different.
async fn follow(links: &mut BTreeMap<LinkId, Link>, found: BTreeMap<LinkId, Interface>, inbox: &Inbox) {
    let gone: Vec<LinkId> =
        links.iter().filter(|(id, link)| !same(&found, **id, &link.interface)).map(|(id, _)| *id).collect();
    for id in gone {
        if let Some(link) = links.remove(&id) {
            info!(interface = link.interface.name, "mDNS stops here");
            inbox.tell(Message::LinkDown(id)).await;
        }
    }
    for (id, interface) in found {
        let link = links.entry(id).or_insert_with(|| {
            info!(interface = interface.name, "mDNS starts here");
            Link::new(Interface { name: interface.name.clone(), addresses: Vec::new() })
        });
        let moved = link.interface != interface;
        link.interface = interface;
        link.mend(id, inbox);
        if moved {
            inbox.tell(Message::LinkUp { link: id, addresses: link.interface.addresses.clone() }).await;
        }
    }
}

/// Whether the interface is still there. A number that was given to another one is not the same.
fn same(found: &BTreeMap<LinkId, Interface>, id: LinkId, interface: &Interface) -> bool {
    found.get(&id).is_some_and(|now| now.name == interface.name)
}

/// Sends at once or not at all: a link that takes nothing must not hold up the others.
fn send(links: &BTreeMap<LinkId, Link>, id: LinkId, bytes: &[u8], tally: &Tally) {
    let Some(link) = links.get(&id) else {
        Tally::add(&tally.multicasts_failed);
        return;
    };
    for ear in link.v4.iter().chain(&link.v6) {
        if let Err(error) = SockRef::from(&*ear.socket).send_to(bytes, &ear.group.into()) {
            Tally::add(&tally.multicasts_failed);
            debug!(interface = link.interface.name, group = %ear.group, %error, "cannot send");
        }
    }
}

/// Carries datagrams from one socket to the agent. A full inbox drops them, as the link would. Ends at an error; the
/// next look opens the socket again.
async fn listen(link: LinkId, socket: Arc<UdpSocket>, inbox: Inbox) {
    let mut buffer = [0; LONGEST];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((length, from)) => {
                inbox.offer(Message::Datagram { link, from, multicast: true, bytes: buffer[..length].to_vec() });
            }
            Err(error) => return debug!(link = link.0, %error, "socket broke"),
        }
    }
}

fn open(link: LinkId, group: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(group), Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    // A burst of a thousand answers is normal when a large network is asked. The kernel may grant less.
    socket.set_recv_buffer_size(RECEIVE)?;
    match group {
        SocketAddr::V4(group) => join_v4(&socket, link, *group.ip())?,
        SocketAddr::V6(group) => join_v6(&socket, link, group.ip())?,
    }
    socket.bind(&group.into())?;
    UdpSocket::from_std(socket.into())
}

fn join_v4(socket: &Socket, link: LinkId, group: Ipv4Addr) -> io::Result<()> {
    // Without this the socket also hears what arrives on interfaces other sockets have joined on.
    socket.set_multicast_all_v4(false)?;
    socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(link.0))?;
    // By number, since two interfaces may have the same address.
    set_ip_multicast_if_with_ifindex(socket, &Ipv4Addr::UNSPECIFIED, &Ipv4Addr::UNSPECIFIED, link.0)?;
    socket.set_multicast_loop_v4(true)?;
    socket.set_multicast_ttl_v4(TTL)
}

fn join_v6(socket: &Socket, link: LinkId, group: &Ipv6Addr) -> io::Result<()> {
    socket.set_only_v6(true)?;
    socket.join_multicast_v6(group, link.0)?;
    socket.set_multicast_if_v6(link.0)?;
    socket.set_multicast_loop_v6(true)?;
    socket.set_multicast_hops_v6(TTL)
}

fn group_v4() -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::new(224, 0, 0, 251), PORT))
}

/// A link-local address means nothing without its interface; binding to it binds to the interface as well.
fn group_v6(link: LinkId) -> SocketAddr {
    SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb), PORT, 0, link.0))
}

const PORT: u16 = 5353;
/// RFC 6762 section 11: so that a neighbour can tell that it comes from its own link.
const TTL: u32 = 255;
/// RFC 6762 section 17, and one byte to tell that it was longer.
const LONGEST: usize = 9_001;
/// What is asked of the kernel for datagrams that wait to be read, bytes.
const RECEIVE: usize = 1 << 20;
/// How long after a change interfaces are listed: what else changes meanwhile is seen in one go.
const SETTLE: Duration = Duration::from_millis(100);
/// How often they are listed where the kernel does not tell of changes, or a socket could not be opened.
const LOOK: Duration = Duration::from_secs(1);
/// And otherwise, for a socket that broke.
const SELDOM: Duration = Duration::from_secs(10);
