//! A gateway whose neighbours know its devices: avahi resolves them, curl reads them under TLS.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use wayside_tests::authority::certificates;
use wayside_tests::daemon::{Daemon, run};
use wayside_tests::mdns::Avahi;
use wayside_tests::net::{Family, Host, Net};
use wayside_tests::place::{Scratch, peer, python};
use wayside_tests::wait::eventually;
use wayside_tests::wayside::{Wayside, binary};

#[test]
fn neighbours_find_the_devices_of_a_gateway_and_read_them_under_tls() {
    let mut net = Net::new();
    let (gateway, plc, neighbour) = (net.host(Family::V4), net.host(Family::V4), net.host(Family::V4));
    let scratch = Scratch::new();
    let _plc = meter(&plc, &scratch);
    certificates(&scratch, &[("api", &format!("IP:{}", gateway.v4()))]);
    let _agent = gateway_agent(&gateway, &plc, &scratch);
    let avahi = Avahi::start(&neighbour, "neighbour");

    let device = eventually(LONG, "avahi resolves the device", || {
        avahi.browse("_modbus._tcp").into_iter().find(|line| line.starts_with('=') && line.contains("meter-"))
    });
    assert!(device.contains(&format!(";{};502;", plc.v4())), "{device}");
    let directory = avahi.resolves("_wot._tcp", "gw-1", LONG);
    assert!(directory.contains("td=/.well-known/wot") && directory.contains(";7878;"), "{directory}");

    let other = Wayside::start(Some(&neighbour), "id = \"gw-2\"\n");
    let known = eventually(LONG, "the other agent knows the device", || other.instances("modbus.meter").pop());
    assert_eq!((&known["address"], &known["port"]), (&json!(plc.v4().to_string()), &json!(502)), "{known}");

    let base = format!("https://{}:7878", gateway.v4());
    let (code, directory) = curl(&neighbour, &scratch, &format!("{base}/.well-known/wot"), true);
    assert_eq!((code.as_str(), &directory["@type"]), ("200", &json!("ThingDirectory")));
    assert_eq!(curl(&neighbour, &scratch, &format!("{base}/things"), false).0, "401");
    let (_, things) = curl(&neighbour, &scratch, &format!("{base}/things"), true);
    let property = &things[0]["properties"]["voltage_l1"];
    assert_eq!(things[0]["securityDefinitions"]["token"]["scheme"], "bearer", "{things}");
    let href = property["forms"][0]["href"].as_str().unwrap_or_default();
    assert!(href.starts_with(&base), "{property}");
    let (code, volts) = curl(&neighbour, &scratch, href, true);
    assert!(code == "200" && volts.as_f64().is_some_and(|volts| (volts - 230.5).abs() < 0.01), "{code} {volts}");
    let plain = run(neighbour.command("curl").args(["-s", "-m", "5", &format!("http://{}:7878/", gateway.v4())]));
    assert!(!plain.status.success(), "plain HTTP must not be answered");

    let mut asked = neighbour.command(binary());
    asked.args(["services", "-o", "json", "--agent", &base]);
    asked.env("WAYSIDE_TOKEN", TOKEN).env("WAYSIDE_CA_FILE", scratch.file("ca.pem"));
    let told = run(&mut asked);
    assert!(told.status.success() && String::from_utf8_lossy(&told.stdout).contains("modbus.meter"), "{told:?}");
    let mut unbelieved = neighbour.command(binary());
    let refused = run(unbelieved.args(["services", "--agent", &base]).env("WAYSIDE_TOKEN", TOKEN));
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
}

/// A meter of Eastron's at port 502, by pymodbus.
fn meter(plc: &Host, scratch: &Scratch) -> Daemon {
    let float = |value: f32| [(value.to_bits() >> 16) as u16, value.to_bits() as u16];
    let mut input = vec![0; 80];
    for (at, value) in [(0, 230.5), (2, 231.7), (4, 229.4), (6, 1.5), (0x34, 345.0), (0x46, 49.98)] {
        input[at..at + 2].copy_from_slice(&float(value));
    }
    let tables = json!({ "at": [plc.v4().to_string(), 502], "unit": 1, "input": { "0": input } });
    let mut command = plc.command(python());
    command.arg(peer("registers_peer.py")).arg(tables.to_string());
    let mut daemon = Daemon::start("meter", command, scratch.path());
    daemon.says("port ", LONG);
    daemon
}

fn gateway_agent(gateway: &Host, plc: &Host, scratch: &Scratch) -> Daemon {
    let (dir, plc) = (scratch.path().display(), plc.v4());
    let config = format!(
        "id = \"gw-1\"\n[api]\nlisten = \"0.0.0.0:7878\"\ntoken = \"{TOKEN}\"\n\
         [api.tls]\ncert_file = \"{dir}/api.pem\"\nkey_file = \"{dir}/api.key\"\n[state]\ndir = \"{dir}/state\"\n\
         [modbus]\nannounce = true\n\
         [[modbus.segment]]\nname = \"hall\"\ntargets = [\"{plc}\"]\nunits = \"1-3\"\nscan = true\n"
    );
    let file = scratch.write("gateway.toml", &config);
    let mut command = gateway.command(binary());
    command.arg("run").arg("--config").arg(file);
    let mut daemon = Daemon::start("gateway", command, scratch.path());
    daemon.says("API is up", LONG);
    daemon
}

/// What curl gets: the status, and the JSON of the body.
fn curl(host: &Host, scratch: &Scratch, url: &str, token: bool) -> (String, Value) {
    let mut command: Command = host.command("curl");
    command.args(["-s", "-m", "20", "-w", "\n%{http_code}", "--cacert"]).arg(scratch.file("ca.pem"));
    if token {
        command.args(["-H", &format!("Authorization: Bearer {TOKEN}")]);
    }
    let told = run(command.arg(url));
    let text = String::from_utf8_lossy(&told.stdout).into_owned();
    let (body, code) = text.rsplit_once('\n').unwrap_or_default();
    (code.to_owned(), serde_json::from_str(body).unwrap_or(Value::Null))
}

const TOKEN: &str = "a-token-of-32-bytes-or-thereabout";
const LONG: Duration = Duration::from_secs(60);
