//! `wayside scan`: looks for devices by their own protocols.

mod by_agent;
mod datagram;
mod modbus;
mod progress;
mod show;

use clap::{Args, Subcommand, ValueEnum};

use super::exit::{Failure, Outcome};
use crate::io::inquire;

/// Look for devices on a network or a serial line, reading only.
#[derive(Debug, Args)]
pub(super) struct Scan {
    #[command(subcommand)]
    protocol: Protocol,
}

#[derive(Debug, Subcommand)]
enum Protocol {
    /// Modbus TCP, RTU over TCP, and RTU on serial lines
    Modbus(modbus::Modbus),
    /// EtherNet/IP: ListIdentity by UDP
    Enip(datagram::Datagram),
    /// BACnet/IP: Who-Is, then the names of those that answer
    Bacnet(datagram::Datagram),
}

impl Scan {
    pub(super) async fn perform(self) -> Result<Outcome, Failure> {
        match self.protocol {
            Protocol::Modbus(modbus) => modbus.perform().await,
            Protocol::Enip(datagram) => datagram.perform(inquire::Protocol::Enip).await,
            Protocol::Bacnet(datagram) => datagram.perform(inquire::Protocol::Bacnet).await,
        }
    }
}

/// The shape of what was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shape {
    /// Columns for people
    Table,
    /// The same with every column
    Wide,
    /// One object: devices, refused, counts
    Json,
    /// One device a line
    Jsonl,
    /// W3C Thing Descriptions of the Modbus devices
    Td,
}
