//! Zero wrong values: a reading is right, or it is an error.
//!
//! Every register of the devices here holds a number that tells the unit, the address and which request of the host it
//! answers. So a late reply, a doubled one, one meant for another unit: whichever is taken for another shows as a wrong
//! value.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use voltage_modbus::{ModbusClient, ModbusError, ModbusTcpClient};
use wayside::clock::Clock;
use wayside::io::bus::{Audit, Bus, desk};
use wayside_protocols::modbus::reply::Reply;
use wayside_protocols::modbus::request::{Objects, Request, Table};
use wayside_protocols::modbus::target::Target;
use wayside_protocols::modbus::unit::Unit;
use wayside_tests::plant::Plant;
use wayside_tests::plant::device::{Bits, Device, Identity, proof};
use wayside_tests::plant::fault::Fault;
use wayside_tests::plant::host::{Absent, Host};
use wayside_tests::plant::wire::Framing;

#[test]
fn a_hundred_thousand_reads_among_every_fault_give_no_wrong_value() {
    let tcp = (0..20).map(|number| (number, Framing::Tcp, 3_000));
    let rtu = (20..60).map(|number| (number, Framing::Rtu, 1_000));
    let plant = Arc::new(Plant::start(SEED));
    let mut hosts = Vec::new();
    for (number, framing, reads) in tcp.chain(rtu) {
        let faults = Fault::all(PATIENCE * 3).into_iter().map(|fault| (SHARE, fault)).collect();
        let host = Host {
            framing,
            faults,
            turnaround: Duration::ZERO,
            connections: 1_000,
            ..Host::agnostic(Device::proving())
        };
        hosts.push((number, plant.add(anywhere(), host).unwrap(), framing, reads));
    }
    let outcome = on_a_bus(async |bus| {
        let mut all = tokio::task::JoinSet::new();
        for (number, address, framing, reads) in hosts.clone() {
            all.spawn(read_many(bus.clone(), plant.clone(), number, target(address, framing), address, reads));
        }
        all.join_all().await
    });

    let sum = |count: fn(&Outcome) -> u64| outcome.iter().map(count).sum::<u64>();
    let (right, refused, errors) = (sum(|o| o.right), sum(|o| o.refused), sum(|o| o.errors));
    println!("{right} right, {refused} refused by the device, {errors} errors");
    assert_eq!(sum(|outcome| outcome.wrong), 0, "wrong values; seed {SEED}");
    assert_eq!(right + refused + errors, 100_000);
    // Of a thousand replies a hundred and sixty have a fault; two of the sixteen kinds do no harm, one is a refusal.
    assert!(right > 75_000 && errors > 8_000 && refused > 500, "{right} {errors} {refused}");
    for (number, address, ..) in hosts {
        let ledger = plant.ledger(address);
        ledger.only_reads(&format!("host {number}"));
        assert_eq!(ledger.outstanding, 1, "host {number}");
    }
}

#[derive(Debug, Default)]
struct Outcome {
    right: u64,
    wrong: u64,
    refused: u64,
    errors: u64,
}

async fn read_many(bus: Bus, plant: Arc<Plant>, seed: u64, target: Target, address: SocketAddr, reads: u32) -> Outcome {
    let mut dice = ChaCha8Rng::seed_from_u64(SEED + seed);
    let mut outcome = Outcome::default();
    for _ in 0..reads {
        // Few addresses, so that a reply taken for another has the same length as the right one as a rule.
        let (unit, start, count) = (dice.random_range(1..4), dice.random_range(0..4) * 100, dice.random_range(2..4));
        let table = if dice.random_bool(0.5) { Table::HoldingRegisters } else { Table::InputRegisters };
        let request = Request::read(table, start, count).unwrap();
        match bus.ask_anew(&target, Unit(unit), request, PATIENCE, Duration::from_secs(5)).await {
            Ok((Reply::Registers(words), _)) => {
                let (number, _) = plant.last(address);
                let wanted: Vec<u16> = (start..start + count).map(|address| proof(unit, address, number)).collect();
                if words == wanted {
                    outcome.right += 1;
                } else {
                    eprintln!("unit {unit} {request:?}, request {number}: {words:04x?} for {wanted:04x?}");
                    outcome.wrong += 1;
                }
            }
            Ok((Reply::Exception(exception), _)) if exception.0 == 6 => outcome.refused += 1,
            Ok((reply, _)) => {
                eprintln!("{request:?}: {reply:?}");
                outcome.wrong += 1;
            }
            Err(_) => outcome.errors += 1,
        }
    }
    outcome
}

#[test]
fn a_late_reply_on_a_line_is_never_taken_for_the_next() {
    let plant = Plant::start(SEED);
    let late = vec![(500, Fault::Late(Duration::from_millis(250)))];
    let host =
        Host { framing: Framing::Rtu, faults: late, turnaround: Duration::ZERO, ..Host::agnostic(Device::proving()) };
    let path = plant.add_line(host).unwrap();
    let written = format!("{}?baud=115200&parity=none", path.display());
    let target = wayside_protocols::modbus::segment::Segment::new(&[written], &[""; 0], None, 502).unwrap();
    let target = target.targets()[0].clone();

    let (right, late, why) = on_a_bus(async |bus| {
        let (mut right, mut late, mut why) = (0, 0, String::new());
        for turn in 0..24 {
            let request = Request::read(Table::HoldingRegisters, 10, 2).unwrap();
            let unit = Unit(1 + turn % 2);
            let asked = bus.ask_anew(&target, unit, request, Duration::from_millis(100), Duration::from_secs(3)).await;
            match asked {
                Ok((Reply::Registers(words), _)) => {
                    let number = plant.line_ledger(&path).asked.len() as u64;
                    assert_eq!(words, [proof(unit.0, 10, number), proof(unit.0, 11, number)], "turn {turn}");
                    right += 1;
                }
                Ok((reply, _)) => panic!("{reply:?}"),
                Err(error) => {
                    late += 1;
                    why = error.to_string();
                }
            }
        }
        (right, late, why)
    });
    assert!(right >= 4 && late >= 4, "{right} right, {late} late: {why}");
    plant.line_ledger(&path).only_reads("the line");
}

#[test]
fn another_client_reads_the_same_from_the_same_devices() {
    let mut dice = ChaCha8Rng::seed_from_u64(SEED);
    let words: Vec<u16> = (0..300).map(|_| dice.random()).collect();
    let mut identity = Identity::basic("Acme", "X-1", "V2.7").with(4, "Pump").with(0x80, "SN-0815");
    (identity.conformity, identity.part) = (0, 12);
    let device = Device {
        identity: Some(identity),
        bits: Bits { count: 500, set: (0..500).filter(|_| dice.random()).collect() },
        ..Device::default().holding(40_000, &words).input(7, &words)
    };
    let plant = Plant::start(SEED);
    let host = Host { absent: Absent::Exception(0x0B), turnaround: Duration::ZERO, ..Host::native(17, device) };
    let address = plant.add(anywhere(), host).unwrap();
    let target = Target::Tcp(address);

    let read = on_a_bus(async |bus| {
        let mut theirs = ModbusTcpClient::new(address, Duration::from_secs(5)).await.unwrap();
        let (mut values, mut refusals) = (0, 0);
        for _ in 0..400 {
            let unit = if dice.random_bool(0.9) { 17 } else { 18 };
            let table = [Table::Coils, Table::DiscreteInputs, Table::HoldingRegisters, Table::InputRegisters]
                [dice.random_range(0..4)];
            let base = if table == Table::HoldingRegisters { 40_000 } else { 0 };
            let (start, count) = (base + dice.random_range(0..310), dice.random_range(1..100));
            let request = Request::read(table, start, count).unwrap();
            let ours = bus.ask_anew(&target, Unit(unit), request, PATIENT, PATIENT).await.unwrap().0;
            let theirs = match table {
                Table::Coils => theirs.read_01(unit, start, count).await.map(Reply::Bits),
                Table::DiscreteInputs => theirs.read_02(unit, start, count).await.map(Reply::Bits),
                Table::HoldingRegisters => theirs.read_03(unit, start, count).await.map(Reply::Registers),
                Table::InputRegisters => theirs.read_04(unit, start, count).await.map(Reply::Registers),
            };
            match (ours, theirs) {
                (Reply::Exception(ours), Err(ModbusError::Exception { code, .. })) => {
                    assert_eq!(ours.0, code, "{request:?} of unit {unit}");
                    refusals += 1;
                }
                (ours, Ok(theirs)) => {
                    assert_eq!(ours, theirs, "{request:?} of unit {unit}");
                    values += 1;
                }
                (ours, theirs) => panic!("{request:?} of unit {unit}: {ours:?} and {theirs:?}"),
            }
        }
        let (mut next, mut parts) = (Some(0), 0);
        while let Some(object) = next {
            let ours = bus.ask_anew(&target, Unit(17), Request::Identify(Objects::Extended, object), PATIENT, PATIENT);
            let Reply::Identification(part) = ours.await.unwrap().0 else { panic!("no identification") };
            let theirs = theirs.generic_mut().read_device_identification(17, 3, object).await.unwrap();
            assert_eq!(part.next, theirs.more_follows.then_some(theirs.next_object_id));
            let theirs: Vec<_> =
                theirs.objects.into_iter().map(|object| (object.id, object.value.into_boxed_slice())).collect();
            assert_eq!(part.objects, theirs);
            next = part.next;
            parts += 1;
        }
        (values, refusals, parts)
    });
    assert!(read.0 > 100 && read.1 > 20 && read.2 > 2, "{read:?}");
}

/// Runs `work` on a bus of its own, to the end.
fn on_a_bus<T>(work: impl AsyncFnOnce(Bus) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (bus, keep) = desk(Audit::default(), Clock::start());
        let (done, ()) = tokio::join!(work(bus), keep);
        done
    })
}

fn target(address: SocketAddr, framing: Framing) -> Target {
    match framing {
        Framing::Tcp => Target::Tcp(address),
        Framing::Rtu => Target::RtuOverTcp(address),
    }
}

fn anywhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

const SEED: u64 = 0x5EED;
/// Of a thousand replies so many have each fault.
const SHARE: u32 = 10;
/// How long we wait for a reply that a fault may have eaten.
const PATIENCE: Duration = Duration::from_millis(40);
/// How long we wait for one that must come.
const PATIENT: Duration = Duration::from_secs(5);
