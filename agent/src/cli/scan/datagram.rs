//! `wayside scan enip` and `wayside scan bacnet`: one datagram to each address, and who answers is asked for its names.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use clap::Args;
use serde_json::json;
use wayside_protocols::modbus::segment::Segment;
use wayside_protocols::time::Timestamp;

use super::by_agent::ByAgent;
use super::{Shape, show};
use crate::api::devices;
use crate::cli::exit::{Failure, Outcome};
use crate::cli::output::Screen;
use crate::cli::signals::Signals;
use crate::clock::Clock;
use crate::io::inquire::{Asking, Found, Inquiry, Protocol};

/// Ask every address by one datagram who it is. Nothing is ever written to a device.
#[derive(Debug, Args)]
pub(super) struct Datagram {
    /// 10.3.0.0/24 or 10.3.0.9, with :PORT where it is not the usual one; IPv4, private and loopback addresses only, at
    /// most a /22 each
    #[arg(required_unless_present = "by_agent", value_name = "TARGET")]
    targets: Vec<String>,
    /// An address or a network that is not asked; may be given again
    #[arg(long, value_name = "TARGET", conflicts_with = "by_agent")]
    deny: Vec<String>,
    /// Ask this broadcast address once instead of each target; only targets are listened to all the same
    #[arg(long, value_name = "ADDRESS", conflicts_with = "by_agent")]
    broadcast: Option<Ipv4Addr>,
    /// Say what would be sent at the most, and send nothing
    #[arg(long, conflicts_with = "by_agent")]
    dry_run: bool,
    /// In which shape the devices are shown
    #[arg(short, long, value_name = "SHAPE", default_value = "table")]
    output: Shape,
    #[command(flatten)]
    by: ByAgent,
}

impl Datagram {
    pub(super) async fn perform(self, protocol: Protocol) -> Result<Outcome, Failure> {
        if self.output == Shape::Td {
            return Err(Failure::Usage("-o td: only Modbus devices have points to describe".to_owned()));
        }
        if self.by.by_agent {
            return self.by.perform(protocol.as_str(), &self.targets, None, self.output).await;
        }
        let segment = Segment::new(&self.targets, &self.deny, None, protocol.port());
        let segment = segment
            .map_err(|wrong| Failure::Usage(wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))?;
        let inquiry = self.inquiry(protocol, &segment)?;
        let mut screen = Screen::open();
        if self.dry_run {
            screen.show(&forecast(&inquiry, self.output))?;
            return Ok(Outcome::Found);
        }
        let clock = Clock::start();
        let mut found = Vec::new();
        let mut asking = Asking::begin(inquiry, clock).await.map_err(Failure::System)?;
        let mut signals = Signals::open()?;
        loop {
            tokio::select! {
                // What was found until then is told.
                _ = signals.next() => break,
                device = asking.next() => match device {
                    Some(device) => found.push(device),
                    None => break,
                },
            }
        }
        found.sort_by_key(|device: &Found| device.address);
        let report = devices::inquired(&found, asking.tally(), &segment, clock.now().since(Timestamp::START));
        screen.show(&show::report(&report, self.output, screen.colour))?;
        Ok(if found.is_empty() { Outcome::Nothing } else { Outcome::Found })
    }

    fn inquiry(&self, protocol: Protocol, segment: &Segment) -> Result<Inquiry, Failure> {
        let mut targets = Vec::with_capacity(segment.targets().len());
        for target in segment.targets() {
            match target.address() {
                Some(SocketAddr::V4(address)) => targets.push(address),
                Some(SocketAddr::V6(_)) | None => {
                    return Err(Failure::Usage(format!("{target} is no IPv4 address, and this protocol has no other")));
                }
            }
        }
        let inquiry = Inquiry::new(protocol, targets);
        let Some(everybody) = self.broadcast else { return Ok(inquiry) };
        let private = everybody.is_private() || everybody.is_loopback() || everybody.is_link_local();
        if !private && !everybody.is_broadcast() {
            return Err(Failure::Usage(format!("--broadcast {everybody} is a public address")));
        }
        Ok(Inquiry { broadcast: Some(SocketAddrV4::new(everybody, protocol.port())), ..inquiry })
    }
}

/// What an inquiry would send at the most.
fn forecast(inquiry: &Inquiry, shape: Shape) -> String {
    let (silent, device) = inquiry.protocol.questions();
    let addresses = inquiry.targets.len();
    let (vacant, all) = match inquiry.broadcast {
        None => (addresses * silent, addresses * device),
        Some(_) => (1, 1 + addresses * (device - 1)),
    };
    if matches!(shape, Shape::Json | Shape::Jsonl) {
        let counts = json!({ "addresses": addresses, "requests_if_nobody_answers": vacant, "requests_at_most": all });
        return format!("{}\n", json!({ "dry_run": counts }));
    }
    format!(
        "{addresses} addresses: {vacant} datagrams if nobody answers, at most {all}, one every {} ms. Nothing was sent.\n",
        inquiry.pace.as_millis()
    )
}
