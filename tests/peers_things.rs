//! What devices say, read by us and by others: pysunspec2 beside our SunSpec, node-wot and mbpoll beside our descriptions.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use sunspec::client::{AsyncClient, Config};
use sunspec::models::model1::Model1;
use sunspec::models::model103::Model103;
use tokio_modbus::client::Context;
use wayside::clock::Clock;
use wayside::io::bus::adapter::Client;
use wayside::io::bus::{Audit, desk};
use wayside::profiles;
use wayside::things::{Door, Thing};
use wayside_protocols::modbus::frame::{Exchange, Framing};
use wayside_protocols::modbus::identify::{Heard, Identified, Inquiry, Method};
use wayside_protocols::modbus::plan::plan;
use wayside_protocols::modbus::profile::Class;
use wayside_protocols::modbus::reading::Reading;
use wayside_protocols::modbus::reply::{Part, Reply};
use wayside_protocols::modbus::request::Request;
use wayside_protocols::modbus::target::Target;
use wayside_protocols::modbus::translate::Way;
use wayside_protocols::modbus::unit::Unit;
use wayside_protocols::service::{AgentId, Endpoint, ServiceId, Value as Amount};
use wayside_tests::daemon::{Daemon, output};
use wayside_tests::place::{Scratch, peer, python, repository};

/// One connection that asks one thing at a time.
struct Line {
    stream: TcpStream,
    unit: Unit,
    transaction: u16,
}

impl Line {
    fn open(port: u16, unit: u8) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { stream, unit: Unit(unit), transaction: 0 }
    }

    fn ask(&mut self, request: Request) -> Reply {
        self.transaction += 1;
        let mut exchange = Exchange::new(Framing::Tcp, self.transaction, self.unit, request);
        self.stream.write_all(&exchange.bytes()).unwrap();
        loop {
            let mut heard = [0; 300];
            let length = self.stream.read(&mut heard).unwrap();
            assert!(length > 0, "the peer hung up");
            if let Some(reply) = exchange.hear(&heard[..length]).unwrap() {
                return reply;
            }
        }
    }

    fn identify(&mut self) -> Identified {
        let mut inquiry = Inquiry::new(profiles::shipped());
        while let Some(request) = inquiry.request() {
            inquiry.handle(Heard::Reply(self.ask(request)));
        }
        inquiry.finish()
    }

    fn read(&mut self, identified: &Identified, points: &[&str]) -> Vec<Reading> {
        let plan = plan(identified, points);
        let replies: Vec<_> = plan.requests().iter().map(|request| Some(self.ask(*request))).collect();
        plan.readings(&replies)
    }
}

fn started(script: &str, arguments: &[&str], scratch: &Scratch) -> (Daemon, u16) {
    let mut command = Command::new(python());
    command.arg(peer(script)).args(arguments);
    let mut daemon = Daemon::start(script, command, scratch.path());
    let line = daemon.says("port ", Duration::from_secs(60));
    let port = line.trim().rsplit(' ').next().and_then(|port| port.parse().ok()).unwrap();
    (daemon, port)
}

/// Points of a device, and what pysunspec2 calls them.
const SUNSPEC: [(&str, &str); 24] = [
    ("manufacturer", "1.Mn"),
    ("model", "1.Md"),
    ("version", "1.Vr"),
    ("serial", "1.SN"),
    ("options", "1.Opt"),
    ("power", "103.W"),
    ("current", "103.A"),
    ("current_l3", "103.AphC"),
    ("voltage_l1", "103.PhVphA"),
    ("voltage_l2", "103.PhVphB"),
    ("frequency", "103.Hz"),
    ("energy_total", "103.WH"),
    ("dc_power", "103.DCW"),
    ("apparent_power", "103.VA"),
    ("temperature", "103.TmpCab"),
    ("temperature_sink", "103.TmpSnk"),
    ("battery_soc", "802.SoC"),
    ("battery_voltage", "802.V"),
    ("battery_soh", "802.SoH"),
    ("battery_cell_voltage", "802.CellVAvg"),
    ("meter_energy_import", "213.TotWhImp"),
    ("meter_energy_export", "213.TotWhExp"),
    ("power_factor", "103.PF"),
    ("meter_power_l1", "213.WphA"),
];

#[test]
fn what_pysunspec2_reads_from_a_device_we_read_too() {
    let names: Vec<&str> = SUNSPEC.iter().map(|(ours, _)| *ours).collect();
    for (base, length) in [("40000", "66"), ("0", "65"), ("50000", "65")] {
        let scratch = Scratch::new();
        let (mut daemon, port) = started("sunspec_peer.py", &[base, length], &scratch);
        let said = daemon.says("values ", Duration::from_secs(60));
        let theirs: Value = serde_json::from_str(said.trim_start_matches("values ")).unwrap();
        let mut line = Line::open(port, 1);
        let identified = line.identify();
        assert_eq!(identified.by, [Method::SunSpec], "{:#?}", identified.explain);
        assert_eq!(identified.class(), Class::Inverter);
        assert_eq!(identified.identity.serial.as_deref(), Some("S-0815"));
        assert!(identified.still(&line.ask(identified.proof())));
        let mut compared = 0;
        for (reading, (ours, name)) in line.read(&identified, &names).iter().zip(SUNSPEC) {
            let same = match (&reading.value, &theirs[name]) {
                (Ok(Amount::Number(number)), Value::Number(wanted)) => {
                    // A float of 32 bits is shown by us as it reads, by them as it is.
                    wanted.as_f64().is_some_and(|wanted| (number - wanted).abs() <= 1e-6 * wanted.abs().max(1e-3))
                }
                (Ok(Amount::Text(text)), Value::String(wanted)) => **text == **wanted,
                (Err(_), Value::Null) => true,
                _ => false,
            };
            assert!(same, "{ours} is {:?}, and {name} is {}", reading.value, theirs[name]);
            compared += usize::from(reading.value.is_ok());
        }
        assert!(compared >= 14, "{compared} values");
    }
}

#[test]
fn the_crate_sunspec_reads_over_our_lines_what_pysunspec2_reads() {
    let scratch = Scratch::new();
    let (mut daemon, port) = started("sunspec_peer.py", &["40000", "66"], &scratch);
    let said = daemon.says("values ", Duration::from_secs(60));
    let theirs: Value = serde_json::from_str(said.trim_start_matches("values ")).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (common, inverter): (Model1, Model103) = runtime.block_on(async {
        let (bus, keep) = desk(Audit::default(), Clock::start());
        tokio::spawn(keep);
        let target = Target::Tcp(([127, 0, 0, 1], port).into());
        let line: Box<dyn tokio_modbus::client::Client> =
            Box::new(Client::new(bus, target, Unit(1), Duration::from_secs(5)));
        let device = AsyncClient::new(Context::from(line), Config::default()).device(1).await.unwrap();
        (device.read_model().await.unwrap(), device.read_model().await.unwrap())
    });
    let scaled = |raw: f64, power: i16| raw * 10_f64.powi(power.into());
    assert_eq!((json!(common.mn), json!(common.sn)), (theirs["1.Mn"].clone(), theirs["1.SN"].clone()));
    for (name, value) in [
        ("103.W", scaled(inverter.w.into(), inverter.w_sf)),
        ("103.Hz", scaled(inverter.hz.into(), inverter.hz_sf)),
        ("103.WH", scaled(inverter.wh.into(), inverter.wh_sf)),
        ("103.PhVphA", scaled(inverter.ph_vph_a.into(), inverter.v_sf)),
    ] {
        let wanted = theirs[name].as_f64().unwrap();
        assert!((value - wanted).abs() <= 1e-9 * wanted.abs(), "{name}: {value} is not {wanted}");
    }
}

#[test]
fn the_models_compiled_in_are_those_of_pysunspec2() {
    let ours = repository().join("protocols/src/modbus/sunspec/layouts.rs");
    let theirs = output(Command::new(python()).arg(peer("sunspec_models.py")));
    assert!(std::fs::read_to_string(ours).unwrap() == theirs, "run tests/peers/sunspec_models.py again");
}

#[test]
fn node_wot_reads_through_our_description_what_mbpoll_reads() {
    let scratch = Scratch::new();
    let float = |value: f32| [(value.to_bits() >> 16) as u16, value.to_bits() as u16];
    let words: Vec<u16> =
        [230.1, 229.9, 231.4, 1.5, 2.5, 3.5, 345.25, -575.5, 810.0].into_iter().flat_map(float).collect();
    let mut input = vec![0; 80];
    for (at, held) in [(0, &words[..]), (52, &float(579.75)), (70, &float(50.02))] {
        input[at..at + held.len()].copy_from_slice(held);
    }
    // What a Carlo Gavazzi holds as 2301, least significant first, and a coil for each relay.
    let tables = json!({
        "unit": 7,
        "input": { "0": input },
        "holding": { "0": [2301] },
        "coil": [true, false, true, false],
        "discrete": [false, true, false, true],
    });
    let (_daemon, port) = started("registers_peer.py", &[&tables.to_string()], &scratch);
    let meter = described("Eastron", "SDM630", port);
    let relay = described("Ebyte", "ME31-AXAX4040", port);

    let names = ["voltage_l1", "voltage_l3", "current_l2", "power_l1", "power_l2", "power", "frequency"];
    let read = node_wot(&meter.1, &names, &scratch);
    for (name, reading) in names.iter().zip(Line::open(port, 7).read(&meter.0, &names)) {
        let address = meter.0.profile.as_ref().and_then(|profile| profile.point(name)).unwrap().address;
        let polled: f64 = mbpoll(port, "3:float", address).parse().unwrap();
        let Ok(Amount::Number(ours)) = reading.value else { panic!("{name}: {:?}", reading.value) };
        let theirs = read[name].as_f64().unwrap();
        assert!((theirs - polled).abs() <= 1e-3 && (ours - polled).abs() <= 1e-3, "{name}: {theirs} {polled} {ours}");
    }
    let read = node_wot(&relay.1, &["output_1", "output_2", "input_1", "input_2"], &scratch);
    for (name, kind, address) in [("output_1", "0", 0), ("output_2", "0", 1), ("input_1", "1", 0), ("input_2", "1", 1)]
    {
        assert_eq!(read[name].as_bool(), Some(mbpoll(port, kind, address) == "1"), "{name}");
    }
}

/// A device that names itself so, and its description.
fn described(manufacturer: &str, model: &str, port: u16) -> (Identified, Value) {
    let mut inquiry = Inquiry::new(profiles::shipped());
    let objects = vec![(0, manufacturer.as_bytes().into()), (1, model.as_bytes().into())];
    inquiry.handle(Heard::Reply(Reply::Identification(Part { objects, next: None })));
    let identified = inquiry.finish();
    let agent: AgentId = "gw".parse().unwrap();
    let id = ServiceId::of(&"thing-1".parse().unwrap(), &agent);
    let way = Way::Tcp(Endpoint { host: "127.0.0.1".parse().unwrap(), port });
    let door = Door { base: "http://127.0.0.1:7878".into(), token: false };
    let thing = Thing { id: &id, identified: &identified, way: &way, unit: Unit(7), door: &door }.describe();
    (identified, thing)
}

fn node_wot(thing: &Value, names: &[&str], scratch: &Scratch) -> Value {
    let path = scratch.write("thing.json", &thing.to_string());
    let script: PathBuf = repository().join("tests/peers/wot/read.js");
    let said = output(Command::new("node").arg(script).arg(path).args(names));
    serde_json::from_str(said.lines().last().unwrap_or_default()).unwrap_or_else(|error| panic!("{error}: {said}"))
}

fn mbpoll(port: u16, kind: &str, address: u16) -> String {
    let mut command = Command::new("mbpoll");
    command.args(["-m", "tcp", "-p", &port.to_string(), "-a", "7", "-t", kind, "-B", "-0", "-c", "1", "-1"]);
    let said = output(command.args(["-r", &address.to_string(), "127.0.0.1"]));
    let line = said.lines().find(|line| line.starts_with('[')).unwrap_or_else(|| panic!("{said}"));
    line.rsplit([':', '\t', ' ']).next().unwrap_or_default().to_owned()
}
