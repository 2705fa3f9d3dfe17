use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use super::device::{Device, Identity, proof};
use super::fault::Fault;
use super::host::{Absent, Manner, Others};
use super::*;

#[test]
fn a_gateway_takes_the_time_of_its_line_and_of_the_units_that_are_not_there() {
    let device = Device::default().holding(0, &[7, 8]);
    let plant = Plant::start(1);
    let address = plant.add(anywhere(), Host::gateway(Duration::from_millis(100), [(3, device)])).unwrap();
    let mut client = Client::new(address);

    let asked = Instant::now();
    assert_eq!(client.ask(3, &[3, 0, 0, 0, 2]), [3, 4, 0, 7, 0, 8]);
    // 8 bytes there, 9 back, a silence of 4: 21 * 1.15 ms, and 5 ms of thought.
    assert!((29..60).contains(&asked.elapsed().as_millis()), "{:?}", asked.elapsed());
    let asked = Instant::now();
    assert_eq!(client.ask(4, &[3, 0, 0, 0, 2]), [0x83, 0x0B]);
    assert!((110..160).contains(&asked.elapsed().as_millis()), "{:?}", asked.elapsed());

    let ledger = plant.ledger(address);
    ledger.is_gentle("the gateway");
    assert_eq!((ledger.connections, ledger.asked.len()), (1, 2));
}

#[test]
fn the_ledger_tells_on_whoever_writes_crowds_or_pipelines() {
    let plant = Plant::start(1);
    let address = plant.add(anywhere(), Host::agnostic(Device::proving())).unwrap();
    let mut client = Client::new(address);
    assert_eq!(client.ask(1, &[6, 0, 0, 0, 2]), [0x86, 1]);
    let _second = Client::new(address).ask(1, &[3, 0, 0, 0, 1]);
    let both = [2, 3].map(|transaction| wire::Frame { transaction, unit: 1, pdu: vec![3, 0, 0, 0, 1] });
    client.0.write_all(&both.map(|frame| frame.bytes(wire::Framing::Tcp)).concat()).unwrap();
    client.hear();

    let ledger = plant.ledger(address);
    assert_eq!((ledger.open_at_once, ledger.outstanding), (2, 2));
    assert!(std::panic::catch_unwind(|| ledger.only_reads("it")).is_err());
    assert_eq!(ledger.functions().get(&6), Some(&1));
}

#[test]
fn a_value_tells_the_unit_the_address_and_the_request() {
    let plant = Plant::start(1);
    let address = plant.add(anywhere(), Host::agnostic(Device::proving())).unwrap();
    let mut client = Client::new(address);
    for request in 1..4 {
        let [high, low] = proof(9, 300, request).to_be_bytes();
        assert_eq!(client.ask(9, &[4, 1, 44, 0, 1]), [4, 2, high, low]);
        assert_eq!(plant.last(address).0, request);
    }
}

#[test]
fn a_host_leaves_comes_back_and_becomes_another() {
    let plant = Plant::start(1);
    let named = |name: &str| Device::identified(Identity::basic(name, "X", "1"));
    let address = plant.add(anywhere(), Host::agnostic(named("Old"))).unwrap();
    let mut client = Client::new(address);
    assert!(client.ask(1, &[43, 14, 1, 0]).ends_with(b"\x03Old\x01\x01X\x02\x011"));

    plant.vanish(address);
    assert_eq!(client.rest(), [0_u8; 0]);
    assert!(TcpStream::connect(address).is_err());
    plant.come_back(address).unwrap();
    plant.change(address, move |host| host.others = Others::Same(named("New")));
    assert!(Client::new(address).ask(1, &[43, 14, 1, 0]).ends_with(b"\x03New\x01\x01X\x02\x011"));
}

#[test]
fn hosts_that_hang_up_never_answer_or_are_full_do_so() {
    let plant = Plant::start(1);
    let host = || Host { absent: Absent::Exception(4), ..Host::native(1, Device::proving()) };
    let rude = plant.add(anywhere(), Host { manner: Manner::HangsUp, ..host() }).unwrap();
    let full = plant.add(anywhere(), Host { connections: 1, ..host() }).unwrap();
    assert_eq!(Client::new(rude).rest(), [0_u8; 0]);
    let mut first = Client::new(full);
    assert_eq!(first.ask(2, &[3, 0, 0, 0, 1]), [0x83, 4]);
    assert_eq!(Client::new(full).rest(), [0_u8; 0]);
    assert_eq!(first.ask(1, &[3, 0, 0, 0, 1]).len(), 4);
}

#[test]
fn each_fault_spoils_the_reply_in_its_own_way() {
    let plant = Plant::start(1);
    for fault in Fault::all(Duration::from_millis(50)) {
        let host = Host { faults: vec![(1_000, fault)], ..Host::agnostic(Device::default().holding(0, &[1, 2, 3])) };
        let address = plant.add(anywhere(), host).unwrap();
        let mut client = Client::new(address);
        client.say(5, &[3, 0, 0, 0, 3]);
        let harmless = matches!(fault, Fault::Late(_) | Fault::Fragmented(_) | Fault::Refused(_));
        let sound = [&[0, 1, 0, 0, 0, 9, 5, 3, 6][..], &[0, 1, 0, 2, 0, 3]].concat();
        client.0.set_read_timeout(Some(Duration::from_millis(150))).unwrap();
        let rest = client.rest();
        assert_eq!(rest == sound, harmless && !matches!(fault, Fault::Refused(_)), "{fault:?}: {rest:02x?}");
    }
}

#[test]
fn a_line_is_a_terminal_that_answers() {
    let plant = Plant::start(1);
    let host = Host { framing: wire::Framing::Rtu, ..Host::native(7, Device::default().holding(1, &[0xABCD])) };
    let path = plant.add_line(host).unwrap();
    let mut line = std::fs::File::options().read(true).write(true).open(&path).unwrap();
    let frame = wire::Frame { transaction: 0, unit: 7, pdu: vec![3, 0, 1, 0, 1] };
    line.write_all(&frame.bytes(wire::Framing::Rtu)).unwrap();
    let mut reply = [0; 7];
    line.read_exact(&mut reply).unwrap();
    assert_eq!(reply[..5], [7, 3, 2, 0xAB, 0xCD]);
    plant.line_ledger(&path).is_gentle("the line");
}

struct Client(TcpStream, u16);

impl Client {
    fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Self(stream, 0)
    }

    fn ask(&mut self, unit: u8, pdu: &[u8]) -> Vec<u8> {
        self.say(unit, pdu);
        self.hear()
    }

    fn say(&mut self, unit: u8, pdu: &[u8]) {
        self.1 += 1;
        let frame = wire::Frame { transaction: self.1, unit, pdu: pdu.to_vec() };
        self.0.write_all(&frame.bytes(wire::Framing::Tcp)).unwrap();
    }

    fn hear(&mut self) -> Vec<u8> {
        let mut head = [0; 7];
        self.0.read_exact(&mut head).unwrap();
        let mut pdu = vec![0; usize::from(u16::from_be_bytes([head[4], head[5]])) - 1];
        self.0.read_exact(&mut pdu).unwrap();
        pdu
    }

    /// Everything until the other side hangs up or is silent.
    fn rest(&mut self) -> Vec<u8> {
        let (mut bytes, mut buffer) = (Vec::new(), [0; 512]);
        while let Ok(length @ 1..) = self.0.read(&mut buffer) {
            bytes.extend(&buffer[..length]);
        }
        bytes
    }
}

fn anywhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}
