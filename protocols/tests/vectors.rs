//! The committed vectors say what our bytes mean, so that another implementation can be checked against them; here ours
//! is.

use wayside_protocols::mqtt::announcement::Announcement;
use wayside_protocols::mqtt::beacon::Beacon;
use wayside_protocols::mqtt::cell::Cell;
use wayside_protocols::place::Position;

/// Lines that are not empty and no comment.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// Pairs of bytes and what stands below them.
fn vectors(text: &str) -> Vec<(Vec<u8>, char, &str)> {
    let lines: Vec<&str> = lines(text).collect();
    let (pairs, rest) = lines.as_chunks::<2>();
    assert!(rest.is_empty());
    pairs.iter().map(|[hex, said]| (bytes(hex), char::from(said.as_bytes()[0]), &said[2..])).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap_or_else(|error| panic!("{hex}: {error}"));
    (0..hex.len()).step_by(2).map(byte).collect()
}

fn or_dash<T>(value: Option<T>, text: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "-".into(), text)
}

fn meaning(beacon: &Beacon) -> String {
    format!(
        "agent={} epoch={} sequence={} kind={} time={} lat={:.7} lon={:.7} alt={} heading={} speed={} accuracy={} \
         services={:08x} ttl={:.1} key={}",
        beacon.agent,
        beacon.epoch,
        beacon.sequence,
        beacon.kind,
        or_dash(beacon.time, |time| time.to_string()),
        beacon.position.latitude(),
        beacon.position.longitude(),
        or_dash(beacon.position.altitude(), |metres| format!("{metres:.2}")),
        or_dash(beacon.motion, |motion| format!("{:.1}", motion.heading)),
        or_dash(beacon.motion, |motion| format!("{:.2}", motion.speed)),
        or_dash(beacon.accuracy, |metres| format!("{metres:.2}")),
        beacon.services,
        beacon.ttl.as_secs_f64(),
        or_dash(beacon.seal, |seal| seal.key.iter().map(|byte| format!("{byte:02x}")).collect()),
    )
}

#[test]
fn beacons_mean_what_the_vectors_say() {
    for (bytes, sign, said) in vectors(include_str!("../vectors/beacon.txt")) {
        match Beacon::decode(&bytes) {
            Ok(beacon) => {
                assert_eq!((sign, meaning(&beacon).as_str()), ('=', said));
                // What a sender does not know in half is written as not known at all.
                let again = Beacon::decode(&beacon.encode()).unwrap();
                assert_eq!(again, beacon);
                if beacon.motion.is_some() {
                    assert_eq!(beacon.encode(), bytes);
                }
            }
            Err(error) => assert_eq!((sign, error.to_string().as_str()), ('!', said)),
        }
    }
}

#[test]
fn an_ordinary_beacon_has_at_most_48_bytes() {
    let longest = vectors(include_str!("../vectors/beacon.txt"))
        .into_iter()
        .filter_map(|(bytes, ..)| {
            Beacon::decode(&bytes).ok().filter(|beacon| beacon.seal.is_none()).map(|_| bytes.len())
        })
        .max();
    assert_eq!(longest, Some(48));
}

#[test]
fn announcements_mean_what_the_vectors_say() {
    for (bytes, sign, said) in vectors(include_str!("../vectors/announcement.txt")) {
        match Announcement::decode(&bytes) {
            Ok(decoded) => {
                assert_eq!((sign, String::from_utf8(decoded.announcement.to_json()).unwrap().as_str()), ('=', said));
                assert_eq!(decoded.announcement.encode(), bytes);
                let spelled = Announcement::decode(said.as_bytes()).unwrap();
                assert_eq!(spelled.announcement, decoded.announcement);
            }
            Err(error) => assert_eq!((sign, error.to_string().as_str()), ('!', said)),
        }
    }
}

#[test]
fn cells_are_where_others_put_them() {
    for line in lines(include_str!("../vectors/cells.txt")) {
        let fields: Vec<&str> = line.split(' ').collect();
        let [latitude, longitude, key] = fields[..] else { panic!("{line}") };
        let position = Position::new(latitude.parse().unwrap(), longitude.parse().unwrap()).unwrap();
        assert_eq!(Cell::at(&position).unwrap().to_string(), key, "{line}");
    }
}
