//! The simulated segment, for use by hand: `cargo run -p wayside-tests --bin plant -- [NETWORK [PORT [SEED]]]`.
//!
//! Starts 32 devices in the /24 of NETWORK (127.7.0.0) at PORT (1502) and says who they are. Without a SEED they have the
//! units that people choose; with one they are drawn. It ends with its standard input, and then tells what it was asked.

#![allow(clippy::print_stdout, reason = "a plant to be looked at")]

use std::env;
use std::io::Read as _;
use std::net::Ipv4Addr;

use wayside_tests::plant::Plant;
use wayside_tests::plant::segment::{Ids, Segment};

fn main() {
    let mut arguments = env::args().skip(1);
    let network = arguments.next().map_or(Ipv4Addr::new(127, 7, 0, 0), |text| text.parse().expect("NETWORK is IPv4"));
    assert!(network.is_loopback(), "{network} is not of 127.0.0.0/8");
    let port = arguments.next().map_or(1_502, |text| text.parse().expect("PORT is a number"));
    let seed = arguments.next().map(|text| text.parse().expect("SEED is a number"));
    let ids = if seed.is_some() { Ids::Drawn } else { Ids::Usual };
    let segment = Segment::new(network, port, ids, seed.unwrap_or(1));
    let plant = Plant::with(1, segment.hosts);
    for resident in &segment.residents {
        let unit = resident.unit.map_or_else(|| "any".to_owned(), |unit| unit.to_string());
        println!("{} unit {unit}: {} {}", resident.address, resident.manufacturer, resident.service);
    }
    let mut rest = Vec::new();
    std::io::stdin().read_to_end(&mut rest).expect("standard input can be read");
    for (address, ledger) in plant.ledgers() {
        println!(
            "{address}: {} connections, {} at once, {} requests of {} units, functions {:?}",
            ledger.connections,
            ledger.open_at_once,
            ledger.asked.len(),
            ledger.units().len(),
            ledger.functions()
        );
    }
}
