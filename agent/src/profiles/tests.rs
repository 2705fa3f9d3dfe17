use std::collections::BTreeSet;

use wayside_protocols::modbus::identify::{Heard, Identified, Inquiry};
use wayside_protocols::modbus::plan::plan;
use wayside_protocols::modbus::profile::{Class, Expected, Format, Meaning, Order, Point, Register};
use wayside_protocols::modbus::reply::{Exception, Part, Reply};
use wayside_protocols::modbus::request::{Request, Table};
use wayside_protocols::service::Value;

use super::*;

type Words = BTreeMap<(Table, u16), u16>;

/// Bytes as the device has them, written without looking at how they are read.
fn encoded(format: Format, order: Order, number: f64) -> Vec<u16> {
    #[expect(clippy::cast_possible_truncation, reason = "numbers made for the format")]
    let mut bytes = match format {
        Format::Flag(_) | Format::Text(_) => return Vec::new(),
        Format::U16 => (number as u16).to_be_bytes().to_vec(),
        Format::I16 => (number as i16).to_be_bytes().to_vec(),
        Format::U32 => (number as u32).to_be_bytes().to_vec(),
        Format::I32 => (number as i32).to_be_bytes().to_vec(),
        Format::U64 => (number as u64).to_be_bytes().to_vec(),
        Format::I64 => (number as i64).to_be_bytes().to_vec(),
        Format::F32 => (number as f32).to_be_bytes().to_vec(),
        Format::F64 => number.to_be_bytes().to_vec(),
    };
    // A is bytes[0]; the letters say in which order they are sent.
    if matches!(order, Order::Dcba | Order::Cdab) {
        bytes.reverse();
    }
    let big = matches!(order, Order::Abcd | Order::Dcba);
    bytes
        .chunks(2)
        .map(|pair| if big { u16::from_be_bytes([pair[0], pair[1]]) } else { u16::from_le_bytes([pair[0], pair[1]]) })
        .collect()
}

fn answer(words: &Words, request: &Request) -> Reply {
    let Request::Read(table, span) = request else { return Reply::Exception(Exception::ILLEGAL_FUNCTION) };
    let held = (span.start()..=span.start() + (span.count() - 1)).map(|at| words.get(&(*table, at)).copied());
    match held.collect::<Option<Vec<u16>>>() {
        Some(bits) if table.bits() => Reply::Bits(bits.iter().map(|bit| *bit == 1).collect()),
        Some(words) => Reply::Registers(words),
        None => Reply::Exception(Exception::ILLEGAL_ADDRESS),
    }
}

#[test]
fn every_shipped_profile_is_right_and_says_where_it_is_from() {
    let mut problems = Vec::new();
    let profiles: Vec<Profile> =
        shipped::TEXTS.iter().filter_map(|(name, text)| file::read(Path::new(name), text, &mut problems)).collect();
    assert!(problems.is_empty(), "{}", problems.iter().map(|problem| format!("{problem}\n")).collect::<String>());
    let ids: BTreeSet<&str> = profiles.iter().map(|profile| &*profile.id).collect();
    assert_eq!(ids.len(), shipped::TEXTS.len());
    for (profile, (name, _)) in profiles.iter().zip(shipped::TEXTS) {
        assert_eq!(format!("{}.toml", profile.id), *name);
        assert!(profile.source.contains("https://") && profile.source.contains("count from"), "{name}");
        assert!(["MIT", "BSD-3-Clause", "Apache-2.0"].contains(&&*profile.licence), "{name}");
    }
    for class in
        [Class::Inverter, Class::Meter, Class::Battery, Class::Drive, Class::Relay, Class::Hvac, Class::Charger]
    {
        assert!(profiles.iter().any(|profile| profile.class == class), "{class}");
    }
}

#[test]
fn every_file_among_the_profiles_is_shipped() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles");
    let files: Vec<String> =
        listed(&dir, &mut Vec::new()).iter().map(|path| path.file_name().unwrap().to_string_lossy().into()).collect();
    assert!(files.iter().eq(shipped::TEXTS.iter().map(|(name, _)| name)), "{files:?}");
    assert!(files.len() >= 25);
}

#[test]
fn every_point_reads_what_a_device_of_that_profile_holds() {
    let mut points = 0;
    for profile in shipped().iter() {
        for number in [0.0, 1.0, 97.0, 2_301.0] {
            points += holds(profile, number);
        }
    }
    assert!(points > 1_000, "{points}");
}

fn holds(profile: &Arc<Profile>, number: f64) -> usize {
    let numeric =
        |point: &&Point| point.meaning == Meaning::Number && !matches!(point.format, Format::Flag(_) | Format::Text(_));
    let mut words = Words::new();
    for point in profile.points.iter().filter(numeric) {
        let encoded = encoded(point.format, point.order, number);
        words.extend((point.address..).zip(encoded).map(|(at, word)| ((point.table, at), word)));
    }
    let identified = identified(&Profile {
        points: profile.points.iter().filter(numeric).cloned().collect(),
        ..Profile::clone(profile)
    });
    let first = plan(&identified, &[]);
    let replies: Vec<_> = first.requests().iter().map(|request| Some(answer(&words, request))).collect();
    let mut readings = first.readings(&replies);
    if let Some(apart) = first.apart(&replies) {
        let replies: Vec<_> = apart.requests().iter().map(|request| Some(answer(&words, request))).collect();
        for reading in apart.readings(&replies) {
            let place = readings.iter().position(|first| first.point == reading.point).unwrap();
            readings[place] = reading;
        }
    }
    for reading in &readings {
        let point = profile.point(&reading.point).unwrap();
        let wanted = number * point.scale.factor() + point.offset;
        match (&reading.value, point.range) {
            (Ok(Value::Number(value)), _) => {
                assert!((value - wanted).abs() <= 1e-9 * wanted.abs().max(1.0), "{} {value} {wanted}", point.name)
            }
            (Err(_), Some((low, high))) => assert!(!(low..=high).contains(&wanted), "{}", point.name),
            (other, _) => panic!("{} {}: {other:?}", profile.id, point.name),
        }
    }
    readings.len()
}

/// A device that names itself as `profile` has it.
fn identified(profile: &Profile) -> Identified {
    let mut own = Profile::clone(profile);
    own.rules = Default::default();
    own.rules.model = vec![wayside_protocols::modbus::profile::Pattern::new("this")];
    let mut inquiry = Inquiry::new(Arc::new([own].into_iter().collect()));
    inquiry.handle(Heard::Reply(Reply::Identification(Part { objects: vec![(1, b"this"[..].into())], next: None })));
    inquiry.finish()
}

#[test]
fn every_shipped_fingerprint_is_found_among_all_the_others() {
    let mut found = 0;
    for profile in shipped().iter().filter(|profile| !profile.rules.registers.is_empty()) {
        let mut words = Words::new();
        for rule in &profile.rules.registers {
            let held = expected(rule);
            words.extend((rule.point.address..).zip(held).map(|(at, word)| ((rule.point.table, at), word)));
        }
        let mut inquiry = Inquiry::new(shipped());
        while let Some(request) = inquiry.request() {
            inquiry.handle(Heard::Reply(answer(&words, &request)));
        }
        let identified = inquiry.finish();
        assert_eq!(
            identified.profile.map(|profile| profile.id.clone()),
            Some(profile.id.clone()),
            "{:#?}",
            identified.explain
        );
        found += 1;
    }
    assert!(found >= 20, "{found}");
}

fn expected(rule: &Register) -> Vec<u16> {
    let point = &rule.point;
    match &rule.expected {
        Expected::Within(low, high) => {
            let middle = (low + high) / 2.0 / point.scale.factor();
            let middle = if matches!(point.format, Format::F32 | Format::F64) { middle } else { middle.round() };
            encoded(point.format, point.order, middle)
        }
        Expected::Bits { any, .. } => encoded(point.format, point.order, any[0] as f64),
        Expected::Text(patterns) => {
            let text = patterns[0].as_str().replace('*', "");
            let mut bytes = text.into_bytes();
            bytes.resize(2 * usize::from(point.width()), 0);
            bytes.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect()
        }
    }
}

const WRONG: &str = r#"id = "bad one"
manufacturer = "X"
class = "metre"
source = "here"
licence = "own"
colour = "red"
[[point]]
name = "a"
address = 10
type = "u32"
[[point]]
name = "b"
address = 11
type = "u16"
unitt = "V"
[[point]]
name = "c"
address = 65535
type = "f32"
[[point]]
name = "a"
address = "12"
type = "u8"
"#;

#[test]
fn everything_that_is_wrong_is_told_at_once_with_its_line_and_a_hint() {
    let mut problems = Vec::new();
    assert!(file::read(Path::new("x.toml"), WRONG, &mut problems).is_none());
    problems.sort();
    let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
    for (start, hint) in [
        ("x.toml:1: id is wrong", "like eastron"),
        ("x.toml:3: class is wrong", "inverter"),
        ("x.toml:6: colour is not a known key", "known here"),
        ("x.toml:13: point[1].address 11 to 11 overlaps a at 10 to 11", "very same"),
        ("x.toml:15: point[1].unitt is not a known key", "did you mean unit"),
        ("x.toml:18: point[2].address is 65535", "ends at 65535"),
        ("x.toml:22: point[3].address is a string", ""),
        ("x.toml:23: point[3].type is \"u8\"", "u16"),
    ] {
        let found = told.iter().find(|told| told.starts_with(start));
        assert!(found.is_some_and(|told| told.contains(hint)), "{start} in {told:#?}");
    }
}

#[test]
fn a_profile_of_ones_own_replaces_a_shipped_one_and_may_not_be_there_twice() {
    let dir = std::env::temp_dir().join(format!("wayside-profiles-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let text = "id = \"ebyte-me31\"\nmanufacturer = \"Mine\"\nclass = \"relay\"\nsource = \"here\"\nlicence = \"own\"\n\
                point = [{ name = \"a\", address = 1, type = \"u16\" }]\n";
    fs::write(dir.join("mine.toml"), text).unwrap();
    let (profiles, problems) = load(&dir);
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!((profiles.len(), &*profiles.get("ebyte-me31").unwrap().manufacturer), (shipped().len(), "Mine"));
    fs::write(dir.join("twice.toml"), text).unwrap();
    let (looked, problems) = check(std::slice::from_ref(&dir));
    assert_eq!((looked, problems.len()), (2, 1));
    assert!(problems[0].to_string().contains("has the id ebyte-me31"), "{problems:?}");
    fs::remove_dir_all(&dir).unwrap();
    assert_eq!(load(&dir).1, []);
}
