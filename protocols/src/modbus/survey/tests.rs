//! Surveys of hosts that behave in every way, in time that nobody waits for.

use std::collections::{BTreeMap, BTreeSet};
use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};

use proptest::prelude::*;

use super::*;
use crate::modbus::reply::{Exception, Part};

/// What a host does.
#[derive(Clone, Debug)]
enum Manner {
    Closed,
    Vacant,
    /// Devices behind a gateway; the exception is what it says of the others, none for silence.
    Gateway(Vec<u8>, Option<u8>),
    /// Says who it is whatever unit is asked, but reads only from these; 0x04 for the others.
    Pymodbus(Vec<u8>),
    /// One device that does not look at the unit.
    Agnostic,
    /// A different device at every unit.
    Everybody,
    Mute,
    HangsUp,
    Garbage,
    Busy,
    /// It answers so many questions and then no more.
    Dies(u8),
}

struct World {
    manners: BTreeMap<HostId, Manner>,
    connected: BTreeSet<HostId>,
    asked: BTreeSet<HostId>,
    answers: BTreeMap<HostId, u8>,
    agenda: BTreeMap<(Timestamp, u64), (HostId, Input)>,
    serial: u64,
    begun: BTreeMap<&'static str, Vec<Timestamp>>,
    by_host: BTreeMap<HostId, Vec<Timestamp>>,
    devices: BTreeMap<(String, u8), Device>,
    verdicts: BTreeMap<HostId, Verdict>,
    ended: Timestamp,
}

const RTT: Duration = Duration::from_millis(8);
const GATEWAY: Duration = Duration::from_millis(112);

fn identity(name: &str) -> Reply {
    let objects = vec![(0, b"Acme"[..].into()), (1, name.as_bytes().into()), (2, b"1"[..].into())];
    Reply::Identification(Part { objects, next: None })
}

/// The reply of a device whose content is told by `seed`.
fn device(request: Request, name: &str, seed: u16) -> Input {
    let reply = match request {
        Request::Identify(..) => identity(name),
        Request::Read(_, span) if span.start() == 0 => {
            Reply::Registers((0..span.count()).map(|at| seed.wrapping_add(at)).collect())
        }
        Request::Read(..) => Reply::Exception(Exception::ILLEGAL_ADDRESS),
    };
    Input::Heard(reply, RTT)
}

fn answer(manner: &Manner, unit: Unit, request: Request, answered: u8) -> Input {
    let absent = |code: u8| Input::Heard(Reply::Exception(Exception(code)), GATEWAY);
    match manner {
        Manner::Closed | Manner::Vacant => Input::Lost,
        Manner::Gateway(units, _) if units.contains(&unit.0) => device(request, "meter", u16::from(unit.0) * 100),
        Manner::Gateway(_, Some(code)) => absent(*code),
        Manner::Gateway(_, None) | Manner::Mute => Input::Silent,
        Manner::Pymodbus(units) => match request {
            Request::Read(..) if !units.contains(&unit.0) => absent(4),
            Request::Read(..) | Request::Identify(..) => device(request, "server", u16::from(unit.0) * 100),
        },
        Manner::Agnostic => device(request, "inverter", 7),
        Manner::Everybody => device(request, &format!("plc {unit}"), u16::from(unit.0)),
        Manner::HangsUp => Input::Lost,
        Manner::Garbage => Input::Garbled,
        Manner::Busy => absent(6),
        Manner::Dies(after) if answered >= *after => Input::Silent,
        Manner::Dies(_) if unit.0 == 1 => device(request, "old", 1),
        Manner::Dies(_) => absent(0x0B),
    }
}

impl World {
    /// Runs a survey of these hosts to its end, looking at every step whether it keeps the rules.
    fn run(manners: &[Manner], units: &str, pace: &Pace, seed: u64) -> (Self, Survey) {
        let targets: Vec<String> = (0..manners.len()).map(|n| format!("10.9.{}.{}", n / 200, n % 200 + 1)).collect();
        let segment = Segment::new(&targets, &[""; 0], Some(units.parse().unwrap()), 502).unwrap();
        let allowed = segment.clone();
        let mut now = Timestamp::START;
        let mut survey = Survey::new(segment, Arc::default(), pace.clone(), seed, now);
        let mut world = Self {
            manners: (0..).map(HostId).zip(manners.iter().cloned()).collect(),
            connected: BTreeSet::new(),
            asked: BTreeSet::new(),
            answers: BTreeMap::new(),
            agenda: BTreeMap::new(),
            serial: 0,
            begun: BTreeMap::new(),
            by_host: BTreeMap::new(),
            devices: BTreeMap::new(),
            verdicts: BTreeMap::new(),
            ended: now,
        };
        for _ in 0..2_000_000 {
            while let Some(output) = survey.poll_output() {
                if matches!(output, Output::Finished) {
                    world.ended = now;
                    assert_eq!(world.verdicts.len(), manners.len(), "every host has ended");
                    return (world, survey);
                }
                world.carry_out(output, &survey, &allowed, now);
            }
            let event = world.agenda.keys().next().copied();
            let due = survey.poll_timeout();
            now = now.max(match (event, due) {
                (Some((at, _)), Some(due)) => at.min(due),
                (Some((at, _)), None) => at,
                (None, Some(due)) => due,
                (None, None) => panic!("nothing is due, and it is not finished"),
            });
            match event.filter(|(at, _)| *at <= now).and_then(|key| world.agenda.remove(&key)) {
                Some((host, input)) => world.arrives(host, input, &mut survey, now),
                None => survey.handle_timeout(now),
            }
        }
        panic!("it does not come to an end");
    }

    fn carry_out(&mut self, output: Output, survey: &Survey, allowed: &Segment, now: Timestamp) {
        match output {
            Output::Connect { host, deadline } => {
                assert!(allowed.targets().contains(survey.target(host)));
                assert!(!self.connected.contains(&host) && !self.asked.contains(&host), "one connection a host");
                self.begun.entry("attempts").or_default().push(now);
                let (after, input) = match &self.manners[&host] {
                    Manner::Closed => (Duration::from_micros(200), Input::Refused),
                    Manner::Vacant => (deadline, Input::Unreachable("late".into())),
                    Manner::Gateway(..)
                    | Manner::Pymodbus(_)
                    | Manner::Agnostic
                    | Manner::Everybody
                    | Manner::Mute
                    | Manner::HangsUp
                    | Manner::Garbage
                    | Manner::Busy
                    | Manner::Dies(_) => (Duration::from_millis(1), Input::Connected),
                };
                self.later(now + after, host, input);
            }
            Output::Ask { host, unit, request, deadline } => {
                assert!(self.connected.contains(&host), "asked where nobody is connected");
                assert!(self.asked.insert(host), "two requests on their way to one host");
                assert!(allowed.units(survey.target(host)).contains(unit), "{unit} is not allowed");
                self.begun.entry("requests").or_default().push(now);
                self.by_host.entry(host).or_default().push(now);
                let answered = self.answers.entry(host).or_default();
                let input = answer(&self.manners[&host], unit, request, *answered);
                *answered = answered.saturating_add(1);
                let after = match &input {
                    Input::Heard(_, rtt) => *rtt,
                    Input::Silent => deadline,
                    Input::Connected
                    | Input::Refused
                    | Input::Unreachable(_)
                    | Input::Garbled
                    | Input::Foreign
                    | Input::Lost => RTT,
                };
                self.later(now + after, host, input);
            }
            Output::HangUp(host) => {
                self.connected.remove(&host);
            }
            Output::Found(device) => {
                for alias in device.aliases.iter() {
                    self.devices.remove(&(device.target.to_string(), alias.0));
                }
                self.devices.insert((device.target.to_string(), device.unit.0), *device);
            }
            Output::Ended { host, verdict, .. } => {
                assert!(self.verdicts.insert(host, verdict).is_none(), "ended twice");
            }
            Output::Finished => {}
        }
    }

    fn arrives(&mut self, host: HostId, input: Input, survey: &mut Survey, now: Timestamp) {
        match &input {
            Input::Connected => {
                self.connected.insert(host);
                self.begun.entry("connections").or_default().push(now);
            }
            Input::Refused | Input::Unreachable(_) => {}
            Input::Heard(..) => {
                self.asked.remove(&host);
            }
            Input::Silent | Input::Garbled | Input::Foreign | Input::Lost => {
                self.asked.remove(&host);
                self.connected.remove(&host);
            }
        }
        survey.handle(host, input, now);
    }

    fn later(&mut self, at: Timestamp, host: HostId, input: Input) {
        self.serial += 1;
        self.agenda.insert((at, self.serial), (host, input));
    }

    fn units(&self) -> Vec<u8> {
        self.devices.keys().map(|(_, unit)| *unit).collect()
    }
}

fn most_in_a_second(times: &[Timestamp]) -> usize {
    let within = |(at, begun): (usize, &Timestamp)| {
        times[at..].iter().take_while(|time| time.since(*begun) <= Duration::from_secs(1)).count()
    };
    times.iter().enumerate().map(within).max().unwrap_or(0)
}

fn one(manner: Manner, units: &str) -> (World, Survey) {
    World::run(&[manner], units, &Pace::default(), 1)
}

#[test]
fn a_gateway_shows_each_of_its_devices_once() {
    let units = vec![1, 2, 17, 33, 199];
    for absent in [Some(0x0B), Some(0x0A), Some(4)] {
        let (world, survey) = one(Manner::Gateway(units.clone(), absent), "1-247");
        assert_eq!(world.units(), units, "{absent:?}");
        assert_eq!((survey.counts().connections, &world.verdicts[&HostId(0)]), (1, &Verdict::Surveyed));
    }
}

#[test]
fn a_device_that_does_not_look_at_the_unit_is_one_device_and_is_not_asked_247_times() {
    let (world, survey) = one(Manner::Agnostic, "1-247,255");
    assert_eq!(world.units(), [1]);
    let device = world.devices.values().next().unwrap();
    assert_eq!(device.aliases.len(), 247);
    assert_eq!(world.verdicts[&HostId(0)], Verdict::Agnostic);
    assert!(survey.counts().requests <= 20, "{:?}", survey.counts());
}

#[test]
fn identical_devices_are_not_taken_for_one() {
    let (world, _) = one(Manner::Everybody, "1-60");
    assert_eq!(world.units().len(), 60);
    let (world, _) = one(Manner::Gateway((1..=247).collect(), Some(0x0B)), "1-20");
    assert_eq!(world.units().len(), 20, "their content differs");
}

#[test]
fn a_server_that_names_itself_for_any_unit_has_only_the_devices_that_can_be_read() {
    for units in ["1-247", "1-10", "1,2,7"] {
        let (world, _) = one(Manner::Pymodbus(vec![1, 7]), units);
        assert_eq!(world.units(), [1, 7], "{units}");
    }
}

#[test]
fn whoever_does_not_answer_properly_is_left_alone_soon() {
    for (manner, verdict, most) in [
        (Manner::Mute, Verdict::NeverAnswers, 8),
        (Manner::HangsUp, Verdict::HangsUp, 3),
        (Manner::Busy, Verdict::Busy(Exception::BUSY), 2),
        (Manner::Dies(40), Verdict::Unanswering, 48),
        (Manner::Closed, Verdict::Closed, 0),
    ] {
        let (world, survey) = one(manner.clone(), "1-247");
        assert_eq!(world.verdicts[&HostId(0)], verdict, "{manner:?}");
        assert!(survey.counts().requests <= most, "{manner:?}: {:?}", survey.counts());
    }
    let (world, survey) = one(Manner::Garbage, "1-247");
    assert_eq!((&world.verdicts[&HostId(0)], world.units().len()), (&Verdict::Garbage, 0));
    assert!(survey.counts().requests <= 60);
}

#[test]
fn a_gateway_that_is_silent_about_others_is_asked_on_but_not_for_ever() {
    let (world, survey) = one(Manner::Gateway(vec![1, 3, 12], None), "1-247");
    assert_eq!(world.units(), [1, 3, 12]);
    assert_eq!(world.verdicts[&HostId(0)], Verdict::Silent);
    assert!(survey.counts().connections <= 44);
}

#[test]
fn a_segment_of_254_addresses_and_32_devices_is_found_as_fast_as_promised() {
    // DESIGN 10: 16 native devices and 4 gateways with 4 devices each, 100 ms gateway timeout.
    let mut manners = vec![Manner::Closed; 234];
    manners.extend(vec![Manner::Agnostic; 16]);
    manners.extend(
        [[1, 2, 10, 100], [1, 3, 126, 200], [2, 5, 17, 20], [4, 7, 33, 255]]
            .map(|units| Manner::Gateway(units.to_vec(), Some(0x0B))),
    );
    for seed in 0..5 {
        let (world, survey) = World::run(&manners, "1-247,255", &Pace::default(), seed);
        let counts = survey.counts();
        assert_eq!((world.devices.len(), counts.connections), (32, 20), "{counts:?}");
        assert!(world.ended.since(Timestamp::START) <= Duration::from_secs(30), "{}", world.ended);
    }
}

#[test]
fn stopping_asks_nobody_any_more() {
    let segment = Segment::new(&["10.9.0.0/24"], &[""; 0], None, 502).unwrap();
    let mut survey = Survey::new(segment, Arc::default(), Pace::default(), 1, Timestamp::START);
    survey.stop(Timestamp::START);
    let outputs: Vec<Output> = core::iter::from_fn(|| survey.poll_output()).collect();
    assert!(matches!(outputs.last(), Some(Output::Finished)));
    assert_eq!(survey.poll_timeout(), None);
    assert_eq!(survey.counts().ended, 254);
}

fn manner() -> impl Strategy<Value = Manner> {
    prop_oneof![
        4 => Just(Manner::Closed),
        1 => Just(Manner::Vacant),
        3 => (proptest::collection::vec(1_u8..40, 0..5), proptest::option::of(prop_oneof![Just(4_u8), Just(10), Just(11), Just(2)]))
            .prop_map(|(units, absent)| Manner::Gateway(units, absent)),
        1 => proptest::collection::vec(1_u8..40, 0..3).prop_map(Manner::Pymodbus),
        1 => Just(Manner::Agnostic),
        1 => Just(Manner::Everybody),
        1 => Just(Manner::Mute),
        1 => Just(Manner::HangsUp),
        1 => Just(Manner::Garbage),
        1 => Just(Manner::Busy),
        1 => any::<u8>().prop_map(Manner::Dies),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_survey_always_ends_and_keeps_to_every_budget(
        manners in proptest::collection::vec(manner(), 1..30),
        requests in 5_u32..60,
        host_requests in 1_u32..12,
        connections in 2_u32..12,
        attempts in 5_u32..50,
        open in 1_usize..12,
        seed: u64,
    ) {
        let pace = Pace { requests, host_requests, connections, attempts, open, extra: 64, ..Pace::default() };
        let (world, survey) = World::run(&manners, "1-40", &pace, seed);
        for (what, most) in [("requests", requests), ("attempts", attempts), ("connections", connections)] {
            let begun = world.begun.get(what).map_or(&[][..], Vec::as_slice);
            prop_assert!(most_in_a_second(begun) <= most as usize, "{what}");
        }
        for (host, times) in &world.by_host {
            prop_assert!(most_in_a_second(times) <= host_requests as usize);
            prop_assert!(times.len() <= pace.most_requests(40) as usize, "{host:?}");
        }
        let forecast = Forecast::of(&survey.segment, survey.segment.targets(), &pace);
        prop_assert!(u64::from(survey.counts().requests) <= forecast.requests);
        prop_assert!(u64::from(survey.counts().connections) <= forecast.connections);
    }
}
