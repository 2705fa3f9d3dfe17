//! What beacons say, and when they are believed.

use super::*;
use alloc::string::ToString;
use proptest::prelude::*;

fn beacon() -> Beacon {
    Beacon {
        agent: "car-17".parse().unwrap(),
        epoch: 7,
        sequence: 42,
        kind: Kind::Vehicle,
        time: Some(0x1234_5678),
        position: Position::new(48.8566, 2.3522).unwrap(),
        accuracy: Some(2.5),
        motion: Some(Motion::new(13.9, 90.0).unwrap()),
        services: 0,
        ttl: Duration::from_secs(3),
        seal: None,
    }
}

#[test]
fn later_is_later_in_life_or_in_a_later_life() {
    let at = |epoch, sequence| Beacon { epoch, sequence, ..beacon() };
    for (epoch, sequence, previous, newer) in [
        (7, 43, (7, 42), true),
        (7, 42, (7, 42), false),
        (7, 41, (7, 42), false),
        (7, 0, (7, 65_535), true),
        (7, 65_535, (7, 0), false),
        (7, 32_767, (7, 0), true),
        (7, 32_768, (7, 0), false),
        (8, 0, (7, 65_535), true),
        (6, 65_535, (7, 0), false),
    ] {
        assert_eq!(at(epoch, sequence).newer_than(previous), newer, "{epoch} {sequence} after {previous:?}");
    }
}

#[test]
fn the_time_of_a_fix_wraps_every_49_days() {
    let wall = UnixMillis((WALL.0 & !0xffff_ffff) + 500);
    let told = (wall.0 - 800) as u32;
    assert_eq!(Measured::of(Some(told), wall, NOW), Measured::Told(NOW.back(Duration::from_millis(800))));
}

#[test]
fn a_clock_that_cannot_be_right_gives_way_to_the_time_of_receipt() {
    let of = |millis: i64| Measured::of(Some((WALL.0 as i64 + millis) as u32), WALL, NOW);
    assert_eq!(of(-60_000), Measured::Told(NOW.back(Duration::from_secs(60))));
    assert_eq!(of(-60_001), Measured::Received(NOW));
    assert_eq!(of(2_000), Measured::Told(NOW));
    assert_eq!(of(2_001), Measured::Received(NOW));
    assert_eq!(Measured::of(None, WALL, NOW), Measured::Received(NOW));
    assert_eq!(Measured::of(Some(4_000), UnixMillis(5_000), NOW), Measured::Received(NOW));
}

#[test]
fn a_clock_in_1970_tells_no_time() {
    let fixed = NOW.back(Duration::from_millis(250));
    assert_eq!(wire_time(fixed, UnixMillis(5_000), NOW), None);
    assert_eq!(wire_time(fixed, WALL, NOW), Some((WALL.0 - 250) as u32));
}

#[test]
fn a_beacon_in_the_wrong_topic_is_refused() {
    let beacon = beacon();
    let (me, other) = (beacon.agent.clone(), "car-18".parse::<AgentId>().unwrap());
    let here = Cell::at(&beacon.position);
    assert_eq!(beacon.agrees_with(me.as_str(), here), Ok(()));
    assert_eq!(beacon.agrees_with(me.as_str(), None), Ok(()));
    assert_eq!(
        beacon.agrees_with(other.as_str(), here).unwrap_err().to_string(),
        "beacon agent car-17 does not belong in a topic of agent car-18"
    );
    let elsewhere = "1202200110/12310".parse().ok();
    assert_eq!(
        beacon.agrees_with(me.as_str(), elsewhere).unwrap_err().to_string(),
        "beacon cell 48.856600,2.352200 does not belong in a topic of cell 1202200110/12310"
    );
}

#[test]
fn a_digest_depends_on_the_services_and_not_on_their_order() {
    let ids = ["a@gw", "b@gw", "c@gw"].map(|id| id.parse::<ServiceId>().unwrap());
    assert_eq!(digest(&ids), digest(ids.iter().rev()));
    assert_ne!(digest(&ids), digest(&ids[..2]));
    assert_eq!(digest([]), 0x811c_9dc5);
}

#[test]
fn a_position_without_accuracy_is_as_sure_as_its_kind() {
    let vague = Beacon { accuracy: None, ..beacon() };
    assert!((vague.fix(WALL, NOW).accuracy - 5.0).abs() < f32::EPSILON);
}

#[test]
fn what_does_not_fit_becomes_the_nearest_that_does() {
    let odd = Beacon {
        accuracy: Some(1e9),
        ttl: Duration::from_secs(9_999),
        position: beacon().position.at_altitude(20_000.0).unwrap(),
        motion: Motion::new(163.82, 359.99).ok(),
        ..beacon()
    };
    let read = Beacon::decode(&odd.encode()).unwrap();
    assert_eq!((read.accuracy, read.ttl), (Some(655.35), Duration::from_secs(600)));
    assert_eq!(read.position.altitude(), Some(8_000.0));
    assert_eq!(read.motion, Motion::new(163.82, 0.0).ok());
    let zero = Beacon { accuracy: Some(0.0), ttl: Duration::ZERO, ..beacon() };
    let read = Beacon::decode(&zero.encode()).unwrap();
    assert_eq!((read.accuracy, read.ttl), (Some(0.01), Duration::from_millis(100)));
}

proptest! {
    #[test]
    fn a_beacon_reads_as_it_is_written(
        (lat, lon) in (-900_000_000i32..=900_000_000, -1_800_000_000i32..=1_800_000_000),
        (alt, motion) in (-100_000i32..=800_000, (0u16..=16_382, 0u16..3_600)),
        (epoch, sequence, time) in (any::<u32>(), any::<u16>(), any::<Option<u32>>()),
        (accuracy, services, ttl, kind) in (1u16.., any::<u32>(), 1u64..=6_000, 0usize..5),
        id in "[A-Za-z0-9._:-]{1,64}", seal in any::<Option<[u8; 8]>>(),
    ) {
        let position = Position::new(f64::from(lat) / 1e7, f64::from(lon) / 1e7).unwrap();
        let beacon = Beacon {
            agent: id.parse().unwrap(), epoch, sequence, time, services,
            kind: Kind::ALL[kind],
            position: position.at_altitude(alt as f32 / 100.0).unwrap(),
            accuracy: Some(f32::from(accuracy) / 100.0),
            motion: Motion::new(f32::from(motion.0) / 100.0, f32::from(motion.1) / 10.0).ok(),
            ttl: Duration::from_millis(ttl * 100),
            seal: seal.map(|key| Seal { key, signature: [7; 64] }),
        };
        prop_assert_eq!(Beacon::decode(&beacon.encode()), Ok(beacon));
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        let _ = Beacon::decode(&bytes);
        let _ = Beacon::decode(&[&[VERSION], bytes.as_slice()].concat());
    }
}

const WALL: UnixMillis = UnixMillis(1_795_000_000_000);
const NOW: Timestamp = Timestamp::from_micros(100_000_000_000);
