use alloc::vec;

use proptest::prelude::*;

use super::super::plan::plan;
use super::super::profile::{Class, Expected, Format, Limits, Pattern, Point, Register, Rules, Scale, Sort};
use super::super::reading::Reading;
use super::super::request::Table;
use super::*;

/// A device that answers as the specification says, from what it holds.
#[derive(Clone, Default)]
pub(crate) struct Device {
    holding: BTreeMap<u16, u16>,
    input: BTreeMap<u16, u16>,
    objects: Vec<(u8, &'static str)>,
    /// How many objects one part of its identification holds.
    part: usize,
    /// What it says to requests for regular identification.
    regular: Option<Exception>,
}

impl Device {
    pub(crate) fn hold(&mut self, at: u16, words: &[u16]) {
        self.holding.extend((at..).zip(words.iter().copied()));
    }

    pub(crate) fn take(&mut self, at: u16) {
        self.holding.remove(&at);
    }

    fn named(objects: &[(u8, &'static str)], part: usize) -> Self {
        Self { objects: objects.to_vec(), part, ..Self::default() }
    }

    pub(crate) fn answer(&self, request: &Request) -> Option<Reply> {
        Some(match request {
            Request::Read(table, span) => {
                let words = if *table == Table::InputRegisters { &self.input } else { &self.holding };
                let words = (0..span.count()).map(|at| words.get(&span.start().checked_add(at)?).copied()).collect();
                match words {
                    Some(words) if !table.bits() => Reply::Registers(words),
                    _ => Reply::Exception(Exception::ILLEGAL_ADDRESS),
                }
            }
            Request::Identify(_, _) if self.objects.is_empty() => Reply::Exception(Exception::ILLEGAL_FUNCTION),
            Request::Identify(Objects::Regular, _) if self.regular.is_some() => Reply::Exception(self.regular?),
            Request::Identify(_, from) => {
                let rest: Vec<_> = self.objects.iter().filter(|(number, _)| number >= from).collect();
                let objects =
                    rest.iter().take(self.part).map(|(number, text)| (*number, text.as_bytes().into())).collect();
                Reply::Identification(Part { objects, next: rest.get(self.part).map(|(number, _)| *number) })
            }
        })
    }
}

fn profiles() -> Arc<Profiles> {
    let profile = |id: &str, maker: &str, model: &[&str], registers: Vec<Register>| Profile {
        id: id.into(),
        manufacturer: maker.into(),
        models: vec!["M".into()],
        class: Class::Meter,
        rules: Rules {
            manufacturer: vec![Pattern::new(maker)],
            model: model.iter().map(|model| Pattern::new(model)).collect(),
            sunspec: false,
            registers,
        },
        limits: Limits::default(),
        groups: Vec::new(),
        points: vec![Point {
            sort: Sort::Identity,
            ..Point::new("serial", Table::HoldingRegisters, 90, Format::Text(2))
        }],
        source: "here".into(),
        licence: "own".into(),
    };
    let rule = |at: u16, expected: Expected, weight: f32| Register {
        point: Point { scale: Scale::new(0.1), ..Point::new("", Table::HoldingRegisters, at, Format::U16) },
        expected,
        weight,
    };
    let volts = || rule(10, Expected::Within(200.0, 260.0), 0.3);
    let one = profile(
        "acme-one",
        "Acme*",
        &["One*"],
        vec![volts(), rule(20, Expected::Bits { mask: 0xFF, any: vec![7] }, 0.5)],
    );
    let two = profile("acme-two", "Acme*", &["Two*"], vec![volts(), rule(30, Expected::Within(0.0, 1.0), 0.45)]);
    Arc::new([one, two, profile("other", "Other", &[], vec![])].into_iter().collect())
}

fn inquired(device: &Device) -> (Identified, usize) {
    let mut inquiry = Inquiry::new(profiles());
    let mut asked = 0;
    while let Some(request) = inquiry.request() {
        asked += 1;
        assert!(asked <= Inquiry::MOST_REQUESTS);
        inquiry.handle(device.answer(&request).map_or(Heard::Silent, Heard::Reply));
    }
    (inquiry.finish(), asked)
}

pub(crate) fn identified(device: &Device) -> Identified {
    inquired(device).0
}

/// What `device` says of these points once it is identified.
pub(crate) fn asked(device: &Device, points: &[&str]) -> Vec<Reading> {
    let plan = plan(&identified(device), points);
    let replies: Vec<_> = plan.requests().iter().map(|request| device.answer(request)).collect();
    plan.readings(&replies)
}

#[test]
fn a_device_that_names_itself_and_has_a_profile_needs_one_request() {
    let device = Device::named(&[(0, "Acme Inc"), (1, "One-7"), (2, "V1.2")], 8);
    let (identified, asked) = inquired(&device);
    assert_eq!(asked, 1);
    assert_eq!(identified.profile.as_ref().map(|profile| &*profile.id), Some("acme-one"));
    assert_eq!(identified.by, [Method::DeviceIdentification]);
    assert_eq!(identified.identity.version.as_deref(), Some("V1.2"));
    assert!(identified.confidence > 0.9 && !identified.explain.is_empty() && identified.answered);
}

#[test]
fn identification_comes_in_parts_and_in_circles() {
    let objects = [(0, "Acme"), (1, "P"), (2, "1"), (3, "url"), (4, "Two wonder"), (5, "Two"), (6, "app")];
    let (identified, asked) = inquired(&Device::named(&objects, 1));
    assert_eq!(asked, 7);
    assert_eq!(identified.identity.model.as_deref(), Some("Two"));
    assert_eq!(identified.identity.name.as_deref(), Some("Two wonder"));

    let mut inquiry = Inquiry::new(profiles());
    let mut parts = 0;
    while let Some(Request::Identify(_, from)) = inquiry.request() {
        parts += 1;
        assert!(parts <= 16);
        // Always more to come, and always something new.
        let part = Part { objects: vec![(from, b"x"[..].into())], next: Some(from.wrapping_add(1) % 3) };
        inquiry.handle(Heard::Reply(Reply::Identification(part)));
    }
    assert_eq!(parts, 3);
}

#[test]
fn a_device_that_refuses_regular_identification_is_asked_for_the_basic_one() {
    for refusal in [Exception::ILLEGAL_VALUE, Exception::ILLEGAL_ADDRESS] {
        let mut device = Device::named(&[(0, "Acme"), (1, "Two"), (2, "9")], 3);
        device.regular = Some(refusal);
        let (identified, asked) = inquired(&device);
        assert_eq!((identified.identity.model.as_deref(), asked), (Some("Two"), 2));
        assert_eq!(identified.proof(), Request::Identify(Objects::Basic, 0));
    }
}

#[test]
fn what_nobody_knows_is_said_with_what_was_looked_at() {
    let (identified, asked) = inquired(&Device::default());
    assert!(identified.profile.is_none() && identified.by.is_empty() && identified.answered);
    // Identification, three bases, and two fingerprints.
    assert!(asked <= 7, "{asked}");
    assert!(identified.explain.iter().any(|line| line.contains("no profile fits")), "{:?}", identified.explain);
}

#[test]
fn a_fingerprint_tells_two_profiles_apart_or_takes_neither() {
    let mut device = Device::default();
    device.hold(10, &[2_310]);
    device.hold(20, &[0x0107]);
    device.hold(90, &[0x3432, 0x3137]);
    let one = identified(&device);
    assert_eq!(one.profile.as_ref().map(|profile| &*profile.id), Some("acme-one"));
    assert_eq!((one.by.as_slice(), one.identity.serial.as_deref()), (&[Method::Fingerprint][..], Some("4217")));
    assert!(one.explain.iter().any(|line| line.contains("+0.50")), "{:?}", one.explain);
    device.hold(30, &[5]);
    let both = identified(&device);
    assert!(both.profile.is_none(), "0.8 against 0.75");
    assert!(both.explain.iter().any(|line| line.contains("alike")), "{:?}", both.explain);
}

#[test]
fn silence_and_a_gateways_excuses_are_not_an_answer() {
    for heard in [
        Heard::Silent,
        Heard::Reply(Reply::Exception(Exception::NO_ANSWER)),
        Heard::Reply(Reply::Exception(Exception::DEVICE_FAILURE)),
    ] {
        let mut inquiry = Inquiry::new(profiles());
        let mut asked = 0;
        while inquiry.request().is_some() {
            asked += 1;
            inquiry.handle(heard.clone());
        }
        assert_eq!(asked, 2);
        assert!(!inquiry.finish().answered);
    }
}

#[test]
fn a_device_is_known_again_by_one_request_and_another_in_its_place_is_not() {
    let named = Device::named(&[(0, "Acme"), (1, "One"), (2, "1")], 8);
    let mut printed = Device::default();
    printed.hold(10, &[2_310]);
    printed.hold(20, &[7]);
    let mut numbered = printed.clone();
    numbered.hold(90, &[0x3432, 0x3137]);
    let mut spec = Device::default();
    spec.hold(40_000, &[0x5375, 0x6E53, 1, 66]);
    spec.hold(40_004, &[0x4142; 66]);
    spec.hold(40_070, &[0xFFFF, 0]);
    let devices = [named, printed, numbered, spec, Device::default()];
    for (index, device) in devices.iter().enumerate() {
        let known = identified(device);
        for (other, there) in devices.iter().enumerate() {
            let reply = there.answer(&known.proof()).unwrap();
            // Without identity there is only "still says nothing"; a fingerprint cannot tell sisters apart.
            let same = index == other || (index == 4 && other != 0) || (index == 1 && other == 2);
            assert_eq!(known.still(&reply), same, "{index} {other} {:?}", known.proof());
        }
        assert!(known.still(&Reply::Exception(Exception::BUSY)));
    }
}

proptest! {
    /// Whatever comes back, an inquiry ends, within its bound, and reads no value that was not there.
    #[test]
    fn any_device_is_survived(seed: u64) {
        let mut state = seed;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u32
        };
        let mut inquiry = Inquiry::new(profiles());
        let mut asked = 0;
        let mut reply = |request: &Request| match (random() % 8, request) {
            (0, _) => None,
            (1, _) => Some(Reply::Exception(Exception((random() % 12) as u8))),
            (_, Request::Read(table, span)) if table.bits() => Some(Reply::Bits(vec![false; usize::from(span.count())])),
            (2, Request::Read(_, span)) => Some(Reply::Registers([0x5375, 0x6E53, 1, 66, 0, 0].iter().copied().cycle().take(usize::from(span.count())).collect())),
            (_, Request::Read(_, span)) => Some(Reply::Registers((0..span.count()).map(|_| if random() % 2 == 0 { (random() % 300) as u16 } else { random() as u16 }).collect())),
            (_, Request::Identify(..)) => Some(Reply::Identification(Part {
                objects: (0..random() % 4).map(|_| (random() as u8, random().to_be_bytes()[..].into())).collect(),
                next: (random() % 2 == 0).then(|| random() as u8),
            })),
        };
        while let Some(request) = inquiry.request() {
            asked += 1;
            prop_assert!(asked <= Inquiry::MOST_REQUESTS);
            inquiry.handle(reply(&request).map_or(Heard::Silent, Heard::Reply));
        }
        let identified = inquiry.finish();
        prop_assert!((0.0..=1.0).contains(&identified.confidence));
        prop_assert!(identified.explain.len() <= MOST_LINES);
        let plan = plan(&identified, &[]);
        let replies: Vec<_> = plan.requests().iter().map(&mut reply).collect();
        let readings = plan.readings(&replies);
        prop_assert_eq!(readings.len(), identified.points().len());
    }
}
