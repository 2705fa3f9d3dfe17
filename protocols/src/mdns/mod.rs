//! Multicast DNS (RFC 6762) and DNS-SD (RFC 6763).
#![allow(missing_docs)]

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::str::FromStr;

use crate::service::ServiceName;
use crate::sighting::{LinkId, Sighting};
use crate::time::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceType(Box<str>);

impl ServiceType {
    pub fn of(name: &ServiceName) -> Option<Self> {
        (name.as_str().len() <= 15 && !name.as_str().contains('.')).then(|| Self(alloc::format!("_{name}._tcp").into()))
    }
}

impl fmt::Display for ServiceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ServiceType {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(text.into()))
    }
}

#[derive(Debug)]
pub struct Browser;
#[derive(Debug)]
pub enum BrowserOutput {
    Send(Vec<u8>),
    Sighting(Sighting),
    Type(ServiceType),
}
#[derive(Clone, Debug, Default)]
pub struct Caps;
#[derive(Debug)]
pub struct Datagram<'a> {
    pub from: SocketAddr,
    pub multicast: bool,
    pub bytes: &'a [u8],
}

impl Browser {
    pub fn new(_: LinkId, _: u64, _: Caps) -> Self {
        Self
    }
    pub fn set_addresses(&mut self, _: Vec<(IpAddr, u8)>) {}
    pub fn browse_every(&mut self, _: Timestamp) {}
    pub fn browse(&mut self, _: ServiceType, _: Timestamp) {}
    pub fn handle(&mut self, _: Datagram<'_>, _: Timestamp) {}
    pub fn handle_timeout(&mut self, _: Timestamp) {}
    pub fn flush(&mut self, _: Timestamp) {}
    pub fn poll_output(&mut self) -> Option<BrowserOutput> {
        None
    }
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        None
    }
    pub fn counters(&self) -> impl Iterator<Item = (&'static str, u64)> {
        core::iter::empty()
    }
}

pub mod txt {
    use super::*;
    use crate::service::Service;
    pub fn write(_: &Service) -> Vec<(Box<str>, Box<str>)> {
        Vec::new()
    }
}
