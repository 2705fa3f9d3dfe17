//! The segment that the survey's figures are told of: 254 addresses, 32 devices.
//!
//! Sixteen devices have a port of their own, half of them strict about the unit; four gateways at 9600 baud with a
//! response timeout of 100 ms have four units each. They are known by device identification, by SunSpec, or by what
//! stands in their registers alone.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::device::{Device, Identity};
use super::host::Host;
use super::sunspec::Image;

/// Which units the devices have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// Those that people choose.
    Usual,
    /// Drawn from 1 to 247.
    Drawn,
}

/// One device of the segment, as it should be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resident {
    /// Where it is asked.
    pub address: SocketAddr,
    /// As which unit; `None` if it does not look at it.
    pub unit: Option<u8>,
    /// The service it should be translated to.
    pub service: &'static str,
    /// Who made it.
    pub manufacturer: String,
    /// Its model, as it says itself.
    pub model: String,
    /// Its serial number, where it tells it.
    pub serial: Option<String>,
}

/// The segment: hosts, and who lives there.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Every host with its address.
    pub hosts: Vec<(SocketAddr, Host)>,
    /// Every device.
    pub residents: Vec<Resident>,
}

impl Segment {
    /// 32 devices in the /24 of `network`, at `port`. `seed` decides the drawn units and the addresses.
    pub fn new(network: Ipv4Addr, port: u16, ids: Ids, seed: u64) -> Self {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let [a, b, c, _] = network.octets();
        let mut last: Vec<u8> = (1..=254).collect();
        last.shuffle(&mut dice);
        let mut places = last.into_iter().map(|last| SocketAddr::from(([a, b, c, last], port)));
        let mut segment = Self { hosts: Vec::new(), residents: Vec::new() };
        for (number, address) in places.by_ref().take(NATIVE).enumerate() {
            let unit = match ids {
                Ids::Usual => USUAL_NATIVE[number % USUAL_NATIVE.len()],
                Ids::Drawn => dice.random_range(1..=247),
            };
            let unit = (number % 2 == 1).then_some(unit);
            let device = segment.settle(number, address, unit);
            segment.hosts.push((
                address,
                unit.map_or_else(|| Host::agnostic(device.clone()), |unit| Host::native(unit, device.clone())),
            ));
        }
        for (gateway, address) in places.take(GATEWAYS).enumerate() {
            let units: Vec<u8> = match ids {
                Ids::Usual => USUAL_GATEWAY[gateway].to_vec(),
                Ids::Drawn => {
                    let mut all: Vec<u8> = (1..=247).collect();
                    all.shuffle(&mut dice);
                    all.truncate(UNITS);
                    all
                }
            };
            let behind: Vec<_> = (NATIVE + gateway * UNITS..)
                .zip(units)
                .map(|(number, unit)| (unit, segment.settle(number, address, Some(unit))))
                .collect();
            segment.hosts.push((address, Host::gateway(Duration::from_millis(100), behind)));
        }
        segment
    }

    /// The `number`th device moves in.
    fn settle(&mut self, number: usize, address: SocketAddr, unit: Option<u8>) -> Device {
        let (service, manufacturer, model, serial, device) = make(number);
        self.residents.push(Resident {
            address,
            unit,
            service,
            manufacturer: manufacturer.into(),
            model: model.into(),
            serial: Some(serial),
        });
        device
    }
}

fn make(number: usize) -> (&'static str, &'static str, &'static str, String, Device) {
    let serial = format!("SN{:06}", 1_000 + number * 37);
    match number % 4 {
        0 => {
            let image = Image::new(40_000, 66, "Fronius", "Symo 10.0-3-M", "3.1", &serial).inverter(4_321, 5_001);
            ("modbus.inverter", "Fronius", "Symo 10.0-3-M", serial, image.into_device(Device::default()))
        }
        1 => {
            let image = Image::new(0, 65, "SolarEdge", "SE10K", "4.12", &serial).inverter(812, 4_999);
            ("modbus.inverter", "SolarEdge", "SE10K", serial, image.into_device(Device::default()))
        }
        2 => {
            let image = Image::new(50_000, 65, "Fronius", "Smart Meter TS 65A-3", "1.3", &serial).meter(-250);
            ("modbus.meter", "Fronius", "Smart Meter TS 65A-3", serial, image.into_device(Device::default()))
        }
        _ => {
            let mut identity = Identity::basic("Schneider Electric", "METSEPM5560", "V2.7").with(0x05, "PM5560");
            identity.conformity = [0x82, 0, 0x01, 0x81][number / 4 % 4];
            ("modbus.meter", "Schneider Electric", "METSEPM5560", serial, Device::identified(identity))
        }
    }
}

const NATIVE: usize = 16;
const GATEWAYS: usize = 4;
const UNITS: usize = 4;
const USUAL_NATIVE: [u8; 8] = [1, 2, 3, 255, 1, 126, 10, 1];
const USUAL_GATEWAY: [[u8; UNITS]; GATEWAYS] = [[1, 2, 3, 4], [1, 2, 10, 11], [1, 5, 17, 100], [2, 3, 20, 33]];
