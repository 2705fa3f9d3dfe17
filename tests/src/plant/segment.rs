//! The segment that the survey's figures are told of: 254 addresses, 32 devices.
//!
//! Sixteen devices have a port of their own; four gateways at 9600 baud with a response timeout of 100 ms have four units
//! each. They are known by device identification, by SunSpec, or by what stands in their registers alone.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::device::{Device, Identity};
use super::host::{Absent, Host};
use super::sunspec::Image;

/// Which units the devices have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// Those that people choose. Devices with a port of their own do not look at the unit, as most do not.
    Usual,
    /// Drawn from 1 to 247. Half of the devices with a port of their own answer to theirs alone, and say of all others
    /// that there is no path, no answer, or a failure.
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
    /// The profile that fits it, if it does not tell all by SunSpec.
    pub profile: Option<&'static str>,
    /// Who made it.
    pub manufacturer: &'static str,
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
                Ids::Drawn if number >= KINDS => Some(dice.random_range(1..=247)),
                Ids::Drawn | Ids::Usual => None,
            };
            let device = segment.settle(number, address, unit);
            let host = match unit {
                None => Host::agnostic(device),
                Some(unit) => {
                    Host { absent: Absent::Exception(EXCUSES[number % EXCUSES.len()]), ..Host::native(unit, device) }
                }
            };
            segment.hosts.push((address, host));
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
        let (service, profile, manufacturer, serial, device) = make(number);
        self.residents.push(Resident { address, unit, service, profile, manufacturer, serial });
        device
    }
}

type Made = (&'static str, Option<&'static str>, &'static str, Option<String>, Device);

/// The `number`th device: each of the kinds in turn.
fn make(number: usize) -> Made {
    let serial = format!("SN{:06}", 1_000 + number * 37);
    let plain = Device::default();
    match number % KINDS {
        0 => {
            let image = Image::new(40_000, 66, "Fronius", "Symo 10.0-3-M", "3.1", &serial).inverter(4_321, 5_001);
            ("modbus.inverter", None, "Fronius", Some(serial), image.into_device(plain))
        }
        1 => {
            let image = Image::new(40_000, 65, "KOSTAL", "PLENTICORE plus 7.0", "1.44", &serial).inverter(812, 4_999);
            ("modbus.inverter", Some("kostal-plenticore"), "KOSTAL", Some(serial), image.into_device(plain))
        }
        2 => {
            let image = Image::new(50_000, 65, "Fronius", "Smart Meter TS 65A-3", "1.3", &serial).meter(-250);
            ("modbus.meter", None, "Fronius", Some(serial), image.into_device(plain))
        }
        3 => {
            let mut identity = Identity::basic("Schneider Electric", "ATV312HU15N4", "V1.3");
            identity.conformity = 0x01;
            let device = Device::identified(identity).holding(3_201, &[0x0007, 500, 500, 31, 42, 0, 4_000]);
            ("modbus.drive", Some("schneider-atv312"), "Schneider Electric", None, device)
        }
        4 => {
            let mut identity = Identity::basic("Siemens AG", "7KM2200", "V3.2.1").with(4, "SENTRON").with(5, "PAC2200");
            identity.part = 16;
            ("modbus.meter", Some("siemens-pac2200"), "Siemens AG", None, Device::identified(identity))
        }
        5 => {
            // Known by its registers alone.
            let mut words = vec![0; 80];
            for (address, value) in [(0, 230.1), (2, 231.7), (4, 229.4), (6, 1.5), (0x34, 345.0), (0x46, 49.98)] {
                words[address..address + 2].copy_from_slice(&float(value));
            }
            ("modbus.meter", Some("eastron-sdm630"), "Eastron", None, plain.input(0, &words))
        }
        6 => {
            // Likewise; it gives two words at once and no more.
            let mut device = plain;
            for (address, value) in
                [(1_000, 3), (1_014, 17_000_000 + number as u32), (1_016, 310_420), (1_020, 6_900_000)]
            {
                device = device.holding(address, &[(value >> 16) as u16, (value & 0xFFFF) as u16]);
            }
            device.most = Some(2);
            ("modbus.charger", Some("keba-p30"), "KEBA", None, device)
        }
        _ => {
            let mut identity = Identity::basic("Schneider Electric", "iEM3155", "V1.7").with(0x80, &serial);
            identity.conformity = 0;
            ("modbus.meter", Some("schneider-iem3000"), "Schneider Electric", None, Device::identified(identity))
        }
    }
}

/// A float in two words, the high one first.
fn float(value: f32) -> [u16; 2] {
    let bits = value.to_bits();
    [(bits >> 16) as u16, (bits & 0xFFFF) as u16]
}

const KINDS: usize = 8;
const NATIVE: usize = 16;
const GATEWAYS: usize = 4;
const UNITS: usize = 4;
const USUAL_GATEWAY: [[u8; UNITS]; GATEWAYS] = [[1, 2, 3, 4], [1, 2, 10, 11], [1, 5, 17, 100], [2, 3, 20, 33]];
const EXCUSES: [u8; 3] = [0x0A, 0x0B, 0x04];
