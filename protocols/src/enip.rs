//! EtherNet/IP: who is there, as `ListIdentity` tells it. Nothing else is ever asked, and nothing can be written.
//!
//! Heads up: "The CIP Networks Library, Volume 2: EtherNet/IP Adaptation of CIP", chapter 2, rules these bytes. A device
//! answers a datagram to UDP 44818 without any session; the header is little-endian, the socket address in it is not.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{Ipv4Addr, SocketAddrV4};

/// The port devices listen at, UDP and TCP.
pub const PORT: u16 = 44_818;

/// One device asked who it is, at most twice: a datagram may be lost.
#[derive(Clone, Debug)]
pub struct Talk {
    mark: [u8; 6],
    tries: u8,
    identity: Option<Identity>,
}

impl Talk {
    /// `mark` comes back in the answer; it should differ from talk to talk.
    pub fn new(mark: [u8; 6]) -> Self {
        Self { mark, tries: 2, identity: None }
    }

    /// What to ask; `None` when there is nothing left to ask. A device may take 250 ms to answer.
    pub fn question(&self) -> Option<Vec<u8>> {
        let open = self.identity.is_none() && self.tries > 0;
        open.then(|| question(self.context()).to_vec())
    }

    /// Takes what came back.
    ///
    /// # Errors
    /// [`NoIdentity`] if it is no answer. The talk goes on as if nothing had come.
    pub fn hear(&mut self, bytes: &[u8]) -> Result<(), NoIdentity> {
        self.identity = Some(Identity::read(bytes, self.context())?);
        Ok(())
    }

    /// Nothing came in time.
    pub fn silent(&mut self) {
        self.tries = self.tries.saturating_sub(1);
    }

    /// Who it is, if it said so.
    pub fn finish(self) -> Option<Identity> {
        self.identity
    }

    /// The longest wait for an answer in milliseconds, and the mark (2-4.2.2).
    fn context(&self) -> [u8; 8] {
        let [low, high] = PATIENCE_MS.to_le_bytes();
        let [a, b, c, d, e, f] = self.mark;
        [low, high, a, b, c, d, e, f]
    }
}

fn question(context: [u8; 8]) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[0] = LIST_IDENTITY;
    bytes[12..20].copy_from_slice(&context);
    bytes
}

/// What a device says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its maker, by the number ODVA gave it.
    pub vendor: u16,
    /// What sort of device it is.
    pub product_type: ProductType,
    /// Its model, by the maker's number.
    pub product_code: u16,
    /// Revision, major and minor.
    pub revision: (u8, u8),
    /// Serial number; with the vendor's it is alone in the world.
    pub serial: u32,
    /// Product name: at most 32 bytes of printable text.
    pub name: Box<str>,
    /// Status word.
    pub status: u16,
    /// State: 0 nonexistent, 2 standby, 3 operational, 4 and 5 faulty; 255 unknown.
    pub state: u8,
    /// The address it believes it has.
    pub address: SocketAddrV4,
}

impl Identity {
    /// Reads an answer to the question that carried `context`.
    ///
    /// Of several identities in one answer the first counts: a device has one.
    ///
    /// # Errors
    /// [`NoIdentity`] if it is not that.
    pub fn read(bytes: &[u8], context: [u8; 8]) -> Result<Self, NoIdentity> {
        let (header, rest) = bytes.split_first_chunk::<HEADER>().ok_or(NoIdentity::Short(bytes.len()))?;
        let [command, high, l1, l2, _, _, _, _, s1, s2, s3, s4, given @ .., _, _, _, _] = header;
        let command = u16::from_le_bytes([*command, *high]);
        if command != u16::from(LIST_IDENTITY) {
            return Err(NoIdentity::Command(command));
        }
        let status = u32::from_le_bytes([*s1, *s2, *s3, *s4]);
        if status != 0 {
            return Err(NoIdentity::Refused(status));
        }
        if *given != context {
            return Err(NoIdentity::Unasked);
        }
        let (said, there) = (usize::from(u16::from_le_bytes([*l1, *l2])), rest.len());
        if said != there {
            return Err(NoIdentity::Length { said, there });
        }
        items(rest)
    }

    /// Its maker's name, where the number is a well-known one.
    pub fn vendor_name(&self) -> Option<&'static str> {
        VENDORS.iter().find(|(number, _)| *number == self.vendor).map(|(_, name)| *name)
    }

    /// Revision as it is written: `20.11`.
    pub fn version(&self) -> String {
        format!("{}.{}", self.revision.0, self.revision.1)
    }

    /// Serial number as it is written: eight digits, base 16.
    pub fn serial_number(&self) -> String {
        format!("{:08x}", self.serial)
    }
}

fn items(bytes: &[u8]) -> Result<Identity, NoIdentity> {
    let mut rest = Bytes(bytes);
    let count = rest.u16()?;
    // An item takes 4 bytes at the least, so a count of 65,535 ends with the bytes.
    for _ in 0..count {
        let (kind, length) = (rest.u16()?, rest.u16()?);
        let item = rest.take(usize::from(length))?;
        if kind == IDENTITY_ITEM {
            return identity(item);
        }
    }
    Err(NoIdentity::NoItem)
}

fn identity(item: &[u8]) -> Result<Identity, NoIdentity> {
    let mut item = Bytes(item);
    let _version = item.u16()?;
    let socket = item.take(16)?;
    let address = SocketAddrV4::new(
        Ipv4Addr::new(socket[4], socket[5], socket[6], socket[7]),
        u16::from_be_bytes([socket[2], socket[3]]),
    );
    let (vendor, product_type, product_code) = (item.u16()?, item.u16()?, item.u16()?);
    let revision = item.take(2)?;
    let revision = (revision[0], revision[1]);
    let status = item.u16()?;
    let serial = item.take(4)?;
    let serial = u32::from_le_bytes([serial[0], serial[1], serial[2], serial[3]]);
    let length = item.take(1)?[0];
    let name = crate::text::plain(item.take(usize::from(length))?, NAME);
    // The state came with a later edition; older devices leave it out.
    let state = item.take(1).map_or(UNKNOWN, |state| state[0]);
    Ok(Identity {
        vendor,
        product_type: ProductType(product_type),
        product_code,
        revision,
        serial,
        name,
        status,
        state,
        address,
    })
}

/// What sort of device it is ("device type" of the identity object; CIP volume 1, chapter 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProductType(pub u16);

impl ProductType {
    /// The word for it in a service's name, e.g. `plc`; `device` for the many without one.
    pub const fn as_str(self) -> &'static str {
        match self.0 {
            0x02 => "drive",
            0x03 => "motor-overload",
            0x04 => "limit-switch",
            0x05 => "proximity-switch",
            0x06 => "photoelectric-sensor",
            0x07 => "general-io",
            0x09 => "resolver",
            0x0C => "communications-adapter",
            0x0E => "plc",
            0x10 => "position-controller",
            0x13 => "dc-drive",
            0x15 => "contactor",
            0x16 => "motor-starter",
            0x17 => "soft-start",
            0x18 => "hmi",
            0x1A => "mass-flow-controller",
            0x1B => "pneumatic-valve",
            0x1C => "vacuum-gauge",
            0x22 => "encoder",
            0x23 => "safety-io",
            0x25 => "cip-motion-drive",
            0x2C => "managed-switch",
            _ => "device",
        }
    }
}

impl fmt::Display for ProductType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Bytes that tell no identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoIdentity {
    /// They end before they should.
    #[error("{0} bytes are too few for an identity")]
    Short(usize),
    /// They answer something else.
    #[error("command {0:#06x} is not an identity")]
    Command(u16),
    /// The device refuses.
    #[error("the device refuses with status {0:#010x}")]
    Refused(u32),
    /// They carry another context than the question.
    #[error("an answer to a question that was not asked")]
    Unasked,
    /// The header contradicts the datagram.
    #[error("{said} bytes are announced and {there} are there")]
    Length {
        /// By the header.
        said: usize,
        /// In the datagram.
        there: usize,
    },
    /// None of the items is an identity.
    #[error("no identity among the items")]
    NoItem,
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], NoIdentity> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(NoIdentity::Short(self.0.len()))?;
        self.0 = rest;
        Ok(taken)
    }

    fn u16(&mut self) -> Result<u16, NoIdentity> {
        self.take(2).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]))
    }
}

const LIST_IDENTITY: u8 = 0x63;
const IDENTITY_ITEM: u16 = 0x0C;
const HEADER: usize = 24;
const UNKNOWN: u8 = 255;
/// How long a device may put its answer off, so that those asked by one broadcast do not all answer at once.
const PATIENCE_MS: u16 = 250;
/// Bytes of a product name that are kept; the specification allows 32.
const NAME: usize = 32;
/// Makers met most often on EtherNet/IP; the number is what counts.
const VENDORS: [(u16, &str); 13] = [
    (1, "Rockwell Automation"),
    (5, "Rockwell Automation"),
    (26, "Festo"),
    (40, "WAGO"),
    (44, "Yaskawa"),
    (46, "ABB"),
    (47, "Omron"),
    (48, "Turck"),
    (90, "HMS Networks"),
    (108, "Beckhoff"),
    (243, "Schneider Electric"),
    (250, "Yokogawa"),
    (283, "Hilscher"),
];

#[cfg(test)]
mod tests;
