//! Which network interfaces there are.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::IpAddr;

use wayside_protocols::sighting::LinkId;

/// One interface that is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// As `ip link` shows it.
    pub name: String,
    /// Its addresses with their prefix lengths, in order; at least one.
    pub addresses: Vec<(IpAddr, u8)>,
}

impl Interface {
    /// Whether it has an address of IPv4.
    pub fn v4(&self) -> bool {
        self.addresses.iter().any(|(ip, _)| ip.is_ipv4())
    }

    /// Whether it has an address of IPv6.
    pub fn v6(&self) -> bool {
        self.addresses.iter().any(|(ip, _)| ip.is_ipv6())
    }
}

/// Which interfaces are to be used.
#[derive(Clone, Debug, Default)]
pub struct Selection(Vec<String>);

impl Selection {
    /// Those of these names; with none, all that are multicast, but neither loopback nor point-to-point.
    pub fn new(names: Vec<String>) -> Self {
        Self(names)
    }

    /// Whether `interface`, which is up, is among them.
    pub fn has(&self, interface: &if_addrs::Interface) -> bool {
        match self.0.is_empty() {
            false => self.0.contains(&interface.name),
            true => !interface.is_loopback() && !interface.is_p2p() && multicast(&interface.name),
        }
    }
}

/// Those interfaces of `selection` that are up and running and have an address, by index; at most [`MOST`].
///
/// # Errors
/// If the kernel does not tell.
pub fn interfaces(selection: &Selection) -> io::Result<BTreeMap<LinkId, Interface>> {
    let mut found = BTreeMap::new();
    for address in if_addrs::get_if_addrs()? {
        let Some(index) = address.index else { continue };
        let room = found.len() < MOST || found.contains_key(&LinkId(index));
        if !room || !address.is_oper_up() || !selection.has(&address) {
            continue;
        }
        let prefix = match &address.addr {
            if_addrs::IfAddr::V4(v4) => v4.prefixlen,
            if_addrs::IfAddr::V6(v6) => v6.prefixlen,
        };
        let entry = found
            .entry(LinkId(index))
            .or_insert_with(|| Interface { name: address.name.clone(), addresses: Vec::new() });
        entry.addresses.push((address.ip(), prefix));
    }
    for interface in found.values_mut() {
        interface.addresses.sort_unstable();
    }
    Ok(found)
}

/// Interfaces used at the most; those with the highest numbers are left out.
pub const MOST: usize = 64;

/// Whether the kernel calls it multicast. Where there is no /sys, it is taken to be.
fn multicast(name: &str) -> bool {
    let Ok(text) = fs::read_to_string(format!("/sys/class/net/{name}/flags")) else { return true };
    let flags = u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).unwrap_or(IFF_MULTICAST);
    flags & IFF_MULTICAST != 0
}

const IFF_MULTICAST: u32 = 0x1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_used_only_if_it_is_named() {
        let all = interfaces(&Selection::default()).unwrap();
        assert!(all.values().all(|interface| interface.name != "lo"));
        let named = interfaces(&Selection::new(vec!["lo".into()])).unwrap();
        assert!(named.values().all(|interface| interface.name == "lo" && !interface.addresses.is_empty()));
    }
}
