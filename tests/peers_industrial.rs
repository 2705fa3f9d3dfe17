//! That devices of other makes say to us who they are: EtherNet/IP as cpppo speaks it, BACnet/IP as bacpypes3 does.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::net::{SocketAddrV4, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use wayside::clock::Clock;
use wayside::io::inquire::{Asking, Found, Inquiry, Protocol};
use wayside_protocols::device::Told;
use wayside_tests::daemon::Daemon;
use wayside_tests::place::{Scratch, peer, python};
use wayside_tests::wait::eventually;
use wayside_tests::wayside::{Wayside, wayside};

#[test]
fn a_logix_says_its_identity() {
    let scratch = Scratch::new();
    let address: SocketAddrV4 = "127.8.1.7:44818".parse().unwrap();
    let _controller = enip_server(address, scratch.path());

    let network = (1..=14).map(|last| SocketAddrV4::new([127, 8, 1, last].into(), 44_818)).collect();
    let found = ask(Inquiry::new(Protocol::Enip, network));

    let [Found { address: from, told: Told::Enip(identity), .. }] = &found[..] else { panic!("{found:?}") };
    assert_eq!((*from, &*identity.name), (address, "1756-L61/B LOGIX5561"));
    assert_eq!((identity.vendor_name(), identity.product_type.as_str()), (Some("Rockwell Automation"), "plc"));
    assert_eq!((&*identity.version(), &*identity.serial_number()), ("20.11", "006c061a"));
}

#[test]
fn two_controllers_of_a_building_say_their_names() {
    let scratch = Scratch::new();
    let _one = bacnet_peer("127.8.2.5", "599", "AH-1 Küche", "eBCON", scratch.path());
    let _two = bacnet_peer("127.8.2.9", "4194302", "AH-2", "ORCAview", scratch.path());

    let network = (1..=14).map(|last| SocketAddrV4::new([127, 8, 2, last].into(), 47_808)).collect();
    let mut found = ask(Inquiry::new(Protocol::Bacnet, network));

    found.sort_by_key(|found| found.address);
    let told: Vec<_> = found
        .iter()
        .map(|found| match &found.told {
            Told::Bacnet(device) => device.clone(),
            Told::Enip(_) => panic!("{found:?}"),
        })
        .collect();
    assert_eq!(told.iter().map(|device| device.instance).collect::<Vec<_>>(), [599, 4_194_302]);
    assert_eq!(told.iter().map(|device| device.vendor).collect::<Vec<_>>(), [Some(999); 2]);
    assert_eq!(told[0].name.as_deref(), Some("AH-1 Küche"));
    assert_eq!(told[0].vendor_name.as_deref(), Some("Delta Controls"));
    assert_eq!((told[0].model.as_deref(), told[1].model.as_deref()), (Some("eBCON"), Some("ORCAview")));
    assert_eq!(told[0].firmware.as_deref(), Some("3.40"));
}

#[test]
fn the_command_line_shows_both_in_the_shape_of_every_scan() {
    let scratch = Scratch::new();
    let _controller = enip_server("127.8.3.7:44818".parse().unwrap(), scratch.path());
    let _building = bacnet_peer("127.8.3.5", "7", "AH-1", "eBCON", scratch.path());
    for (protocol, address, model, service) in [
        ("enip", "127.8.3.7:44818", "1756-L61/B LOGIX5561", "enip.plc"),
        ("bacnet", "127.8.3.5:47808", "eBCON", "bacnet.device"),
    ] {
        let ran = wayside(&["scan", protocol, "127.8.3.0/28", "--deny", "127.8.3.1", "-o", "json"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        let report: Value = serde_json::from_str(&ran.stdout).unwrap();
        let [row] = &report["devices"].as_array().unwrap()[..] else { panic!("{report}") };
        assert_eq!(
            (&row["address"], &row["model"], &row["service"]),
            (&address.into(), &model.into(), &service.into())
        );
        assert_eq!(report["counts"]["denied"], 1);
        let refused = wayside(&["scan", protocol, "8.8.8.8"]);
        assert!(refused.code == 2 && refused.stderr.contains("public"), "{refused:?}");
    }
}

#[test]
fn an_agent_keeps_both_as_services_and_notices_who_leaves() {
    let scratch = Scratch::new();
    let _controller = enip_server("127.8.4.7:44818".parse().unwrap(), scratch.path());
    let mut building = bacnet_peer("127.8.4.5", "7", "AH-1", "eBCON", scratch.path());
    let agent = Wayside::start(
        None,
        "id = \"gw-1\"\n[mdns]\nenabled = false\n[modbus]\ninterval = \"1s\"\n\
         [[modbus.segment]]\nname = \"roof\"\ntargets = [\"127.8.4.0/28\"]\npriority = 4\nscan = true\n\
         protocols = [\"enip\", \"bacnet\"]\n",
    );
    let plc = eventually(SOON, "the controller is a service", || agent.instances("enip.plc").pop());
    assert_eq!((&plc["sources"], &plc["metadata"]["segment"]), (&json!(["enip"]), &json!("roof")), "{plc}");
    let air = eventually(SOON, "the air handler is a service", || agent.instances("bacnet.device").pop());
    assert_eq!((&air["id"], &air["metadata"]["name"]), (&json!("bacnet-7@gw-1"), &json!("AH-1")), "{air}");
    // Asked again only whether it is there, it is still called what it said at first.
    eventually(SOON, "its lease was renewed", || {
        let again = agent.instance("bacnet.device", "bacnet-7@gw-1")?;
        assert_eq!(again["metadata"]["name"], "AH-1", "{again}");
        (again["performance_metrics"]["latency_ms"] != air["performance_metrics"]["latency_ms"]).then_some(())
    });

    let begun = agent.ask("POST", "/v1/discovery/devices", Some(&json!({ "protocol": "enip", "segment": "roof" })));
    assert_eq!(begun.status, 202, "{}", begun.body);
    let survey = format!("/v1/discovery/devices/{}", begun.json()["id"].as_str().unwrap());
    let report = eventually(SOON, "the survey ends", || {
        let report = agent.ask("GET", &survey, None).json();
        (report["state"] == "finished").then_some(report)
    });
    assert_eq!((&report["devices"][0]["service"], &report["devices"][0]["priority"]), (&json!("enip.plc"), &json!(4)));
    let refused = agent.ask("POST", "/v1/discovery/devices", Some(&json!({ "protocol": "modbus", "segment": "roof" })));
    assert_eq!(refused.status, 400, "{}", refused.body);

    building.kill();
    agent.loses("bacnet.device", "bacnet-7@gw-1", SOON);
}

fn ask(inquiry: Inquiry) -> Vec<Found> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut found = Vec::new();
    runtime.block_on(async {
        let mut asking = Asking::begin(inquiry, Clock::start()).await.unwrap();
        while let Some(device) = asking.next().await {
            found.push(device);
        }
    });
    found
}

/// cpppo's simulated controller.
fn enip_server(address: SocketAddrV4, dir: &Path) -> Daemon {
    let mut command = Command::new(python().with_file_name("enip_server"));
    command.args(["-a", &address.to_string(), "--no-print", "LEVEL=INT[10]"]);
    let daemon = Daemon::start("enip_server", command, dir);
    eventually(SOON, "cpppo has its port", || UdpSocket::bind(address).is_err().then_some(()));
    daemon
}

fn bacnet_peer(address: &str, instance: &str, name: &str, model: &str, dir: &Path) -> Daemon {
    let mut command = Command::new(python());
    command.arg("-u").arg(peer("bacnet_peer.py")).args([&format!("{address}/24"), instance, name, model]);
    let mut daemon = Daemon::start(&format!("bacnet-{instance}"), command, dir);
    daemon.says("ready", SOON);
    daemon
}

const SOON: Duration = Duration::from_secs(20);
