//! The map page with traffic: `figure page_*` lines.
//!
//! 500 vehicles of the recorded city send beacons through mosquitto; Debian's Chromium, headless, without a graphics
//! card, shows them. `page_first_marker` is from opening the page, `page_frame_p95` from one frame to the next,
//! `page_draw_p95` what of that the page's own drawing takes; `metrics_page` is one `GET /metrics`.

#[path = "../../../examples/src/trace.rs"]
#[expect(unreachable_pub, reason = "the examples' own file, which their library shows to others")]
#[allow(dead_code, reason = "not all of it is wanted here")]
mod trace;

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use trace::{Trace, wall};
use wayside_tests::broker::Broker;
use wayside_tests::daemon::output;
use wayside_tests::etcd::free_at;
use wayside_tests::figure::{millis, quantile, tell};
use wayside_tests::place::peer;
use wayside_tests::publisher::Publisher;
use wayside_tests::wayside::Wayside;

fn main() {
    let city = Trace::city().unwrap_or_else(|error| panic!("{error}"));
    let broker = Broker::start();
    let agent = Wayside::start_at(
        free_at(Ipv4Addr::LOCALHOST.into()),
        &format!(
            "id = \"here\"\n[position]\nlat = 48.8591\nlon = 2.3591\n[mdns]\nenabled = false\n[mqtt]\nurl = \"{}\"\n\
             [limits]\nhorizon_m = 2000.0\n",
            broker.url()
        ),
    );
    let over = Arc::new(AtomicBool::new(false));
    let driving = drive(city, broker.port(), Arc::clone(&over));
    let wanted = json!({"count": SEEN, "seconds": 20, "viewport": {"width": 1280, "height": 800}});
    let mut command = Command::new("node");
    command.arg(peer("page/page.mjs")).args(["bench", &agent.door.to_string(), &wanted.to_string()]);
    let seen: Value = serde_json::from_str(output(&mut command).trim()).unwrap_or_default();
    let list =
        |name: &str| -> Vec<f64> { seen[name].as_array().into_iter().flatten().filter_map(Value::as_f64).collect() };
    tell("page_first_marker", seen["first"].as_f64().unwrap_or(f64::NAN), "ms");
    tell("page_markers", seen["marks"].as_f64().unwrap_or(f64::NAN), "in_view");
    tell("page_frame_p50", quantile(&list("gaps"), 0.5), "ms");
    tell("page_frame_p95", quantile(&list("gaps"), 0.95), "ms");
    tell("page_draw_p95", quantile(&list("drawing"), 0.95), "ms");
    let times: Vec<f64> = (0..100)
        .map(|_| {
            let began = Instant::now();
            assert_eq!(agent.ask("GET", "/metrics", None).status, 200);
            millis(began.elapsed())
        })
        .collect();
    tell("metrics_page_p50", quantile(&times, 0.5), "ms");
    over.store(true, Ordering::Relaxed);
    driving.join().unwrap_or_else(|_| panic!("the traffic broke off"));
}

/// The recorded vehicles, and as many again a second later and so on, until there are [`VEHICLES`].
fn drive(city: Trace, port: u16, over: Arc<AtomicBool>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut publisher = Publisher::tcp(port, "traffic").unwrap_or_else(|error| panic!("{error}"));
        let began = Instant::now();
        for step in 0.. {
            while let Some(rest) = (began + STEP * step).checked_duration_since(Instant::now()) {
                thread::park_timeout(rest);
            }
            if over.load(Ordering::Relaxed) {
                return;
            }
            for vehicle in 0..VEHICLES {
                let (known, later) = (vehicle % city.vehicles(), vehicle / city.vehicles());
                let sample = city.sample(known, step as usize + 25 * later);
                let Ok(id) = format!("veh-{vehicle:03}").parse() else { continue };
                let (topic, beacon) = sample.beacon(id, step as u16, wall(), 0);
                publisher.publish(&topic, &beacon.encode(), false).unwrap_or_else(|error| panic!("{error}"));
            }
        }
    })
}

const VEHICLES: usize = 500;
/// Of them, in view of the page as it opens.
const SEEN: usize = 150;
/// From one recorded step to the next.
const STEP: Duration = Duration::from_millis(200);
