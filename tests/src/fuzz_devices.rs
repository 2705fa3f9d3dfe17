//! Anything may come from a receiver or a device, and anything may be written in a file about devices.

use std::path::Path;

use wayside::profiles;
use wayside_protocols::bacnet;
use wayside_protocols::enip;
use wayside_protocols::gpsd::{self, GpsdError, Report};
use wayside_protocols::modbus::segment::Segment;
use wayside_protocols::modbus::unit::{Unit, Units};
use wayside_protocols::text::escaped;

/// Lines of gpsd's.
pub fn gpsd(bytes: &[u8]) {
    for line in bytes.split(|byte| *byte == b'\n') {
        match gpsd::read(line) {
            Ok(Report::Fix(received)) => {
                assert!(received.accuracy.is_finite() && received.accuracy > 0.0, "{received:?}");
                assert!((0.0..=163.82).contains(&received.motion.speed), "{received:?}");
                assert!((0.0..=360.0).contains(&received.motion.heading), "{received:?}");
                assert!(received.position.latitude() != 0.0 || received.position.longitude() != 0.0);
            }
            Err(GpsdError::Refused(why)) => assert!(why.chars().count() <= 80 && !why.contains(char::is_control)),
            Ok(Report::NoFix | Report::Other) | Err(_) => {}
        }
    }
}

/// Datagrams to somebody who asks by EtherNet/IP: before each its length, 255 for none.
pub fn enip(bytes: &[u8]) {
    let mut talk = enip::Talk::new(*b"fuzzed");
    for datagram in datagrams(bytes) {
        if talk.question().is_none() {
            break;
        }
        if datagram.is_none_or(|datagram| talk.hear(datagram).is_err()) {
            talk.silent();
        }
    }
    let Some(identity) = talk.finish() else { return };
    assert!(identity.name.len() <= 32 * 3 && escaped(&identity.name) == *identity.name, "{identity:?}");
    assert_eq!(identity.serial_number().len(), 8);
    let _ = (identity.vendor_name(), identity.version());
}

/// Datagrams to somebody who asks by BACnet/IP, written as for [`enip()`].
pub fn bacnet(bytes: &[u8]) {
    let mut talk = bacnet::Talk::new();
    let mut asked = 0;
    for datagram in datagrams(bytes) {
        if talk.question().is_none() {
            break;
        }
        asked += 1;
        if datagram.is_none_or(|datagram| talk.hear(datagram).is_err()) {
            talk.silent();
        }
    }
    // Who-Is, the number, and four names.
    assert!(asked <= 6, "{asked} questions to one device");
    let Some(device) = talk.finish() else { return };
    for text in [&device.name, &device.vendor_name, &device.model, &device.firmware].into_iter().flatten() {
        assert!(!text.is_empty() && text.len() <= 64 && escaped(text) == **text, "{text:?}");
    }
}

/// Targets of a Modbus segment: units in the first line, then a target a line; those that begin with `!` are denied.
pub fn modbus_target(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let mut lines = text.lines();
    let units: Option<Units> = lines.next().and_then(|line| line.parse().ok());
    if let Some(units) = &units {
        assert_eq!(units.to_string().parse().as_ref(), Ok(units));
    }
    let (denied, targets): (Vec<&str>, Vec<&str>) = lines.partition(|line| line.starts_with('!'));
    let denied: Vec<&str> = denied.into_iter().map(|line| &line[1..]).collect();
    let usual = units.is_none();
    match Segment::new(&targets, &denied, units, 502) {
        Ok(segment) => {
            assert!(!segment.targets().iter().any(|target| segment.denied().contains(target)));
            assert!(segment.targets().is_sorted());
            for target in segment.targets().iter().take(32) {
                assert!(!usual || !segment.units(target).contains(Unit(0)), "{target:?}: nobody broadcasts unasked");
            }
        }
        Err(wrong) => {
            for error in &wrong {
                assert!(error.to_string().len() < 1_000, "{error}");
            }
        }
    }
}

/// A profile as somebody wrote it.
pub fn modbus_profile(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    match profiles::parse(Path::new("fuzzed.toml"), text) {
        Ok(profile) => assert!(!profile.id.is_empty()),
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a word");
            assert!(problems.iter().all(|problem| !problem.what.is_empty()));
        }
    }
}

/// Each with its length before it; `None` where nothing came.
fn datagrams(bytes: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first()?;
        if *length == u8::MAX {
            rest = after;
            return Some(None);
        }
        let (datagram, after) = after.split_at(usize::from(*length).min(after.len()));
        rest = after;
        Some(Some(datagram))
    })
}
