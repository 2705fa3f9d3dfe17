//! What only a kernel shows: agents on real interfaces find each other, lose each other and find each other again.

use std::time::Duration;

use wayside_tests::mdns::{Avahi, zeroconf};
use wayside_tests::net::{Family, Net};
use wayside_tests::place::Scratch;

#[test]
fn the_link_carries_the_multicast_of_others_both_ways() {
    let mut net = Net::new();
    let scratch = Scratch::new();
    let (left, right) = (net.host(Family::Both), net.host(Family::Both));
    let avahi = Avahi::start(&left, "left");
    let mut python = zeroconf(&right, scratch.path());

    python.tell("browse _http._tcp");
    let _published = avahi.publish("lamp", "_http._tcp", 8080, &["colour=red"]);
    python.says("seen + lamp._http._tcp.local.", SOON);
    python.tell("add _http._tcp door 8081 state=open");
    avahi.resolves("_http._tcp", "door", SOON);
}

const SOON: Duration = Duration::from_secs(10);
