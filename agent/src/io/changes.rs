//! Hearing from the kernel that an interface came, went or changed (rtnetlink(7)).

use std::future::pending;
use std::io;

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};
use tokio::net::UdpSocket;
use tracing::debug;

/// What the kernel tells of links and addresses, as no more than that something is different.
#[derive(Debug)]
pub(super) struct Changes(Option<UdpSocket>);

impl Changes {
    /// Listens from now on. Where that is refused, by an emulator or a sandbox, nothing is ever heard.
    pub(super) fn open() -> Self {
        let opened = subscribe();
        if let Err(error) = &opened {
            debug!(%error, "the kernel does not tell when interfaces change");
        }
        Self(opened.ok())
    }

    /// Whether it would be heard if something changed.
    pub(super) const fn heard(&self) -> bool {
        self.0.is_some()
    }

    /// Waits for the next change; those that come together are one. Dropping the future loses none.
    pub(super) async fn next(&mut self) {
        let Some(socket) = &self.0 else { return pending().await };
        if let Err(error) = drain(socket).await {
            debug!(%error, "the kernel no longer tells when interfaces change");
            self.0 = None;
        }
    }
}

/// Tokio has no type of its own for such a socket, and taking any other descriptor is not safe with it. Nothing is asked
/// of this one but what every datagram socket can: to be waited for and to be read.
fn subscribe() -> io::Result<UdpSocket> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    // Protocol 0 is NETLINK_ROUTE.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
    UdpSocket::from_std(socket.into())
}

/// Waits until something was said, and takes all of it. What it is does not matter: the list of interfaces is looked at.
async fn drain(socket: &UdpSocket) -> io::Result<()> {
    let mut said = false;
    while !said {
        socket.readable().await?;
        for _ in 0..MOST {
            match socket.try_recv(&mut [0; 16]) {
                Ok(_) => said = true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // So much was said that not all of it was kept.
                Err(error) if Errno::from_io_error(&error) == Some(Errno::NOBUFS) => said = true,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR (linux/rtnetlink.h).
const GROUPS: u32 = 0x1 | 0x10 | 0x100;
/// Messages taken before others have their turn; the rest is one more change.
const MOST: usize = 256;
