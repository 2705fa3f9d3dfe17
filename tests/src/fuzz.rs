//! Anything may come over a wire: each function here takes whatever bytes there are and must come back.
//!
//! libFuzzer searches through `tests/fuzz`; `tests/corpus.rs` replays what it found on a stable compiler. Beyond "does
//! not panic", each states what must hold of what was accepted: written again and read again, it is the same.

use wayside_protocols::mqtt::announcement::Announcement;
use wayside_protocols::mqtt::beacon::Beacon;
use wayside_protocols::mqtt::cell::{Block, COVER_LIMIT, Cell};
use wayside_protocols::mqtt::presence::Presence;
use wayside_protocols::mqtt::topic::Topic;
use wayside_protocols::place::{Distance, Position};
use wayside_protocols::service::Value;
use wayside_protocols::time::{Timestamp, UnixMillis};

/// A beacon.
pub fn beacon(bytes: &[u8]) {
    let Ok(beacon) = Beacon::decode(bytes) else { return };
    let written = beacon.encode();
    assert_eq!(Beacon::decode(&written).as_ref(), Ok(&beacon), "{written:02x?}");
    let (service, ttl) = beacon.service(WALL, NOW);
    assert!(!ttl.is_zero() && service.fix.is_some_and(|fix| fix.time <= NOW));
    assert!(beacon.agrees_with(&beacon.agent, Cell::at(&beacon.position)).is_ok());
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

/// Every function here by its name.
pub const TARGETS: [(&str, fn(&[u8])); 5] =
    [("beacon", beacon), ("announcement", announcement), ("presence", presence), ("topic", topic), ("cell", cell)];

/// 2026-11-22, as the wall clock of the one who reads.
const WALL: UnixMillis = UnixMillis(1_795_000_000_000);
/// A day after its start.
const NOW: Timestamp = Timestamp::from_micros(86_400_000_000);
