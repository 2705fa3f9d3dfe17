//! The small programs of `examples/find_charger` find the same charger: by the library, by HTTP and through a broker.

#[path = "../examples/find_charger/main.rs"]
#[expect(dead_code, reason = "the example's own main")]
mod find_charger;

use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use wayside_protocols::place::Position;
use wayside_tests::broker::Broker;
use wayside_tests::daemon::{output, run};
use wayside_tests::etcd::free_at;
use wayside_tests::place::{Scratch, python, repository};
use wayside_tests::wayside::Wayside;

#[test]
fn a_charger_is_found_in_rust_in_python_and_by_a_shell() {
    let broker = Broker::start();
    let here = Position::new(48.8591, 2.3591).expect("a place on Earth");
    for (name, metres, power) in [("weak", 50.0, 11), ("near", 400.0, 22), ("far", 900.0, 150)] {
        let at = here.moved(30.0, metres);
        let said = json!({
            "name": "charging", "kind": "roadside", "address": "10.0.0.6", "port": 8080, "ttl_s": 600,
            "lat": at.latitude(), "lon": at.longitude(), "resources": {"power_kw": power},
        });
        broker.retain(&format!("wayside/1/a/-/-/charging/street/{name}"), &said.to_string());
    }
    let config = |id: &str| {
        format!(
            "id = \"{id}\"\n[position]\nlat = {}\nlon = {}\n[mdns]\nenabled = false\n[mqtt]\nurl = \"{}\"\n",
            here.latitude(),
            here.longitude(),
            broker.url()
        )
    };
    let agent = Wayside::start_at(free_at(Ipv4Addr::LOCALHOST.into()), &config("gw-7"));
    agent.finds("charging", "far@", Duration::from_secs(20));
    agent.finds("charging", "near@", Duration::from_secs(20));
    let expected = "near@street at 10.0.0.6:8080, 400 m away\n";

    let (http, mqtt) = (agent.door.to_string(), format!("{}/gw-7", broker.url()));
    let example = |name: &str| repository().join("examples/find_charger").join(name);
    for url in [&http, &mqtt] {
        assert_eq!(output(Command::new(python()).arg(example("find_charger.py")).arg(url)), expected, "Python: {url}");
        assert_eq!(output(Command::new("sh").arg(example("find_charger.sh")).arg(url)), expected, "shell: {url}");
    }
    let scratch = Scratch::new();
    let own = format!(
        "{}[api]\nlisten = \"127.0.0.1:0\"\n[state]\ndir = \"{}\"\n",
        config("in-process"),
        scratch.file("state").display()
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let found = runtime.block_on(find_charger::find(&own)).expect("the agent starts");
    assert_eq!(found.as_deref(), Some(expected.trim_end()), "Rust");

    let nobody = Wayside::start_at(free_at(Ipv4Addr::LOCALHOST.into()), "[mdns]\nenabled = false\n");
    let ran = run(Command::new(python()).arg(example("find_charger.py")).arg(nobody.door.to_string()));
    assert!(!ran.status.success(), "who finds nothing says so: {ran:?}");
}
