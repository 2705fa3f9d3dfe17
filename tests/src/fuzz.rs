//! Anything may come over a wire: each function here takes whatever bytes there are and must come back.
//!
//! libFuzzer searches through `tests/fuzz`; `tests/corpus.rs` replays what it found on a stable compiler. Beyond "does
//! not panic", each states what must hold of what was accepted: written again and read again, it is the same.

use std::net::{IpAddr, Ipv4Addr};

use wayside_protocols::mdns::{Browser, BrowserOutput, Caps, Datagram, ServiceType};
use wayside_protocols::mqtt::announcement::Announcement;
use wayside_protocols::mqtt::beacon::Beacon;
use wayside_protocols::mqtt::cell::{Block, COVER_LIMIT, Cell};
use wayside_protocols::mqtt::presence::Presence;
use wayside_protocols::mqtt::topic::Topic;
use wayside_protocols::place::{Distance, Position};
use wayside_protocols::service::Value;
use wayside_protocols::sighting::{Claim, LinkId, Sighting};
use wayside_protocols::time::{Duration, Timestamp, UnixMillis};

use crate::{fuzz_devices, fuzz_modbus};

/// A beacon.
pub fn beacon(bytes: &[u8]) {
    let Ok(beacon) = Beacon::decode(bytes) else { return };
    let written = beacon.encode();
    assert_eq!(Beacon::decode(&written).as_ref(), Ok(&beacon), "{written:02x?}");
    let (service, ttl) = beacon.service(WALL, NOW);
    assert!(!ttl.is_zero() && service.fix.is_some_and(|fix| fix.time <= NOW));
    assert!(beacon.agrees_with(beacon.agent.as_str(), Cell::at(&beacon.position)).is_ok());
}

/// An announcement: a line that names its topic, then the payload.
pub fn announcement(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (topic, payload) = (&bytes[..end], bytes.get(end + 1..).unwrap_or_default());
    let Ok(decoded) = Announcement::decode(payload) else { return };
    let announcement = decoded.announcement;
    // The wire keeps less than JSON may say (1e-7 degrees, centimetres), so it is compared once it has been there.
    let packed = once_more(&announcement.encode());
    assert_eq!(once_more(&packed.encode()), packed);
    let mut spelled = once_more(&once_more(&packed.to_json()).encode());
    for (key, value) in &packed.resources {
        // JSON numbers are read to one unit in the last place.
        let read = spelled.resources.get_mut(key).unwrap_or_else(|| panic!("{key} is lost"));
        if let (Value::Number(written), Value::Number(number)) = (value, read) {
            assert!((*number - written).abs() <= written.abs() * 1e-15, "{key} {number} is not {written}");
            *number = *written;
        }
    }
    assert_eq!(spelled, packed);

    let topic = str::from_utf8(topic).ok().and_then(|topic| Topic::parse(topic).ok());
    if let Some(topic) = topic
        && let Ok((service, ttl)) = packed.into_service(&topic, WALL, NOW)
    {
        assert!(!ttl.is_zero() && service.fix.is_none_or(|fix| fix.time <= NOW));
        let _ = Announcement::from_service(&service, ttl, WALL, NOW).encode();
    }
}

fn once_more(payload: &[u8]) -> Announcement {
    Announcement::decode(payload)
        .unwrap_or_else(|error| panic!("{payload:02x?} is not read again: {error}"))
        .announcement
}

/// A presence.
pub fn presence(bytes: &[u8]) {
    let Ok(presence) = Presence::decode(bytes) else { return };
    let once = Presence::decode(&presence.encode()).unwrap_or_else(|error| panic!("{presence:?}: {error}"));
    let twice = Presence::decode(&once.encode()).ok();
    assert_eq!(twice, Some(once));
}

/// A topic.
pub fn topic(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(topic) = Topic::parse(text) {
        assert_eq!(topic.to_string(), text);
    }
}

/// A circle: latitude, longitude and radius as three numbers of eight bytes.
pub fn cell(bytes: &[u8]) {
    let Some(([latitude, longitude, radius], _)) = bytes.as_chunks::<8>().0.split_first_chunk() else { return };
    let number = |bytes: &[u8; 8]| f64::from_le_bytes(*bytes);
    let Ok(centre) = Position::new(number(latitude), number(longitude)) else { return };
    let Ok(radius) = Distance::new(number(radius)) else { return };
    let home = Cell::at(&centre);
    if let Some(cells) = Cell::cover(&centre, radius) {
        assert!(cells.len() <= COVER_LIMIT);
        assert!(home.is_none_or(|home| cells.contains(&home)));
    }
    if let Some(blocks) = Block::cover(&centre, radius) {
        assert!(home.is_none_or(|home| blocks.contains(&home.block())));
    }
    if let Some(home) = home {
        assert_eq!(home.to_string().parse(), Ok(home));
        assert!(home.neighbours().iter().all(|next| next.neighbours().contains(&home)));
    }
}

/// What a browser hears: before each datagram four bytes, how long it was quiet, who sends, and the length (u16,
/// big-endian).
pub fn browser(bytes: &[u8]) {
    let mut now = NOW;
    let mut browser = Browser::new(LinkId(1), 7, FEW);
    browser
        .set_addresses(vec![("10.0.0.1".parse().unwrap_or(UNKNOWN), 24), ("fe80::1".parse().unwrap_or(UNKNOWN), 64)]);
    for service_type in ["_http._tcp", "_wayside._tcp", "*"] {
        browser.browse(service_type.parse().unwrap_or_else(|_| ServiceType::all()), now);
    }
    let mut rest = bytes;
    while let Some((&[quiet, sender, high, low], tail)) = rest.split_first_chunk() {
        let (datagram, tail) = tail.split_at(usize::from(u16::from_be_bytes([high, low])).min(tail.len()));
        now = now + Duration::from_millis(10 * u64::from(quiet) * u64::from(quiet));
        settle(&mut browser, now);
        let ip = SENDERS[usize::from(sender) % SENDERS.len()].parse().unwrap_or(UNKNOWN);
        let port = if sender & 0x40 == 0 { 5353 } else { 5354 };
        browser.handle(Datagram { from: (ip, port).into(), multicast: sender & 0x80 == 0, bytes: datagram }, now);
        settle(&mut browser, now);
        assert!(browser.instances() <= FEW.instances);
        rest = tail;
    }
    // No record lives that long; an instance may be looked at a moment after its host.
    let end = now + Duration::from_secs(1 << 33);
    settle(&mut browser, end);
    settle(&mut browser, end + Duration::from_secs(1));
    assert_eq!(browser.instances(), 0);
}

/// Does what is due, and looks at what comes out.
fn settle(browser: &mut Browser, now: Timestamp) {
    for _ in 0..1_000 {
        while let Some(output) = browser.poll_output() {
            match output {
                BrowserOutput::Send(bytes) => assert!(bytes.len() <= 1_440, "query of {} bytes", bytes.len()),
                BrowserOutput::Sighting(Sighting { claim: Claim::Alive { ttl, .. }, .. }) => assert!(!ttl.is_zero()),
                BrowserOutput::Sighting(_) | BrowserOutput::Type(_) => {}
            }
        }
        if browser.poll_timeout().is_none_or(|due| due > now) {
            return;
        }
        browser.handle_timeout(now);
    }
    panic!("the browser has no rest at {now}");
}

/// Takes whatever bytes there are, and must come back.
pub type Target = fn(&[u8]);

/// Every function here, in [`fuzz_modbus`] and in [`fuzz_devices`] by its name.
pub const TARGETS: [(&str, Target); 14] = [
    ("beacon", beacon),
    ("announcement", announcement),
    ("presence", presence),
    ("topic", topic),
    ("cell", cell),
    ("browser", browser),
    ("modbus_identification", fuzz_modbus::identification),
    ("modbus_sunspec", fuzz_modbus::sunspec),
    ("modbus_reading", fuzz_modbus::reading),
    ("modbus_target", fuzz_devices::modbus_target),
    ("modbus_profile", fuzz_devices::modbus_profile),
    ("gpsd", fuzz_devices::gpsd),
    ("enip", fuzz_devices::enip),
    ("bacnet", fuzz_devices::bacnet),
];

/// 2026-11-22, as the wall clock of the one who reads.
const WALL: UnixMillis = UnixMillis(1_795_000_000_000);
/// A day after its start.
const NOW: Timestamp = Timestamp::from_micros(86_400_000_000);
/// So little that every cap is met.
const FEW: Caps = Caps {
    instances: 12,
    instances_per_type: 8,
    instances_per_sender: 6,
    bytes: 2_048,
    addresses_per_host: 2,
    types: 4,
    txt_bytes: 128,
};
/// Three on the link, one off it.
const SENDERS: [&str; 4] = ["10.0.0.2", "10.0.0.3", "fe80::2", "192.168.9.9"];
const UNKNOWN: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
