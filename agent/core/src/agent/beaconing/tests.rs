use proptest::prelude::*;
use wayside_protocols::place::Motion;

use super::*;

const START: Timestamp = Timestamp::START;
const WALL: UnixMillis = UnixMillis(1_767_225_600_000);

fn at(millis: u64) -> Timestamp {
    START + Duration::from_millis(millis)
}

fn place() -> Position {
    Position::new(48.8566, 2.3522).unwrap()
}

fn fix(metres: f64, speed: f32, heading: f32, time: Timestamp) -> Fix {
    let position = place().moved(90.0, metres);
    Fix { position, time, accuracy: 2.0, motion: Motion::new(speed, heading).ok() }
}

fn vehicle() -> Beaconing {
    let congestion = Congestion::new(1_000, START);
    let mut vehicle = Beaconing::new("car-17".parse().unwrap(), 3, Kind::Vehicle, 7, congestion);
    vehicle.connected();
    vehicle
}

fn said(beaconing: &mut Beaconing, now: Timestamp) -> Option<Beacon> {
    beaconing.speak(WALL, now).map(|said| Beacon::decode(&said.payload).unwrap())
}

/// Whether a change from one fix to another brings a beacon half a second later.
fn brings(before: Fix, after: Fix) -> bool {
    let mut vehicle = vehicle();
    vehicle.stand(before);
    assert!(said(&mut vehicle, at(0)).is_some());
    vehicle.stand(after);
    said(&mut vehicle, at(500)).is_some()
}

#[test]
fn each_of_the_four_triggers_has_its_limit() {
    let still = fix(0.0, 10.0, 90.0, at(0));
    assert!(!brings(still, fix(3.9, 10.0, 90.0, at(400))));
    assert!(brings(still, fix(4.1, 10.0, 90.0, at(400))));
    assert!(!brings(still, fix(0.0, 10.4, 90.0, at(400))));
    assert!(brings(still, fix(0.0, 10.6, 90.0, at(400))));
    assert!(!brings(still, fix(0.0, 10.0, 93.9, at(400))));
    assert!(brings(still, fix(0.0, 10.0, 94.1, at(400))));
    assert!(brings(still, Fix { motion: None, ..fix(0.0, 0.0, 0.0, at(400)) }));
}

#[test]
fn from_359_to_1_degree_is_a_turn_of_two() {
    assert!(!brings(fix(0.0, 10.0, 359.0, at(0)), fix(0.0, 10.0, 1.0, at(400))));
    assert!(brings(fix(0.0, 10.0, 358.0, at(0)), fix(0.0, 10.0, 3.0, at(400))));
    assert!(brings(fix(0.0, 10.0, 3.0, at(0)), fix(0.0, 10.0, 358.0, at(400))));
}

#[test]
fn who_stands_still_does_not_turn_and_says_so_once_a_second() {
    assert!(!brings(fix(0.0, 0.1, 10.0, at(0)), fix(0.0, 0.1, 200.0, at(400))));
    let mut vehicle = vehicle();
    vehicle.stand(fix(0.0, 0.0, 0.0, at(0)));
    let mut times = Vec::new();
    for millis in 0..20_000 {
        if millis % 1_000 == 0 {
            vehicle.stand(fix(0.0, 0.0, 0.0, at(millis)));
        }
        times.extend(said(&mut vehicle, at(millis)).map(|_| millis));
    }
    assert!(times.windows(2).all(|pair| (1_000..=1_101).contains(&(pair[1] - pair[0]))), "{times:?}");
    assert!(times.windows(2).any(|pair| pair[1] - pair[0] != times[1]), "no jitter: {times:?}");
}

#[test]
fn a_fix_that_is_lost_is_told_for_five_seconds_and_then_nothing_is() {
    let mut vehicle = vehicle();
    vehicle.stand(fix(0.0, 10.0, 90.0, at(0)));
    let last = (0..20_000).filter(|millis| said(&mut vehicle, at(*millis)).is_some()).max().unwrap();
    assert!((4_000..=5_000).contains(&last), "{last}");
    assert_eq!(vehicle.poll_timeout(), None);
    vehicle.stand(fix(100.0, 10.0, 90.0, at(20_000)));
    assert!(said(&mut vehicle, at(20_000)).is_some());
}

#[test]
fn a_gateway_that_stands_has_no_beacon_and_one_on_a_lorry_has() {
    let congestion = Congestion::new(1_000, START);
    let mut gateway = Beaconing::new("gw-7".parse().unwrap(), 3, Kind::Gateway, 7, congestion);
    gateway.connected();
    gateway.stand(Fix::fixed(place(), 3.0, START));
    gateway.stand(Fix { motion: Motion::new(0.3, 10.0).ok(), ..Fix::fixed(place().moved(1.0, 20.0), 3.0, at(1)) });
    assert_eq!((gateway.moves(), gateway.poll_timeout()), (false, None));
    gateway.stand(fix(30.0, 12.0, 90.0, at(2)));
    assert!(gateway.moves() && said(&mut gateway, at(2)).is_some());
}

#[test]
fn sequences_count_on_and_begin_again_with_a_new_name() {
    let mut vehicle = vehicle();
    vehicle.sequence = u16::MAX;
    vehicle.stand(Fix::fixed(place(), 2.0, START));
    let beacons: Vec<Beacon> = (0..3).map(|n| said(&mut vehicle, at(n * 1_200)).unwrap()).collect();
    assert_eq!(beacons.iter().map(|beacon| beacon.sequence).collect::<Vec<_>>(), [u16::MAX, 0, 1]);
    assert!(beacons.windows(2).all(|pair| pair[1].newer_than(pair[0].stamp())));
    vehicle.rename("v-1".parse().unwrap(), 1);
    let fresh = said(&mut vehicle, at(4_000)).unwrap();
    assert_eq!((fresh.agent.as_str(), fresh.epoch, fresh.sequence), ("v-1", 1, 0));
}

#[test]
fn a_beacon_is_short_never_kept_and_in_the_cell_it_stands_in() {
    let mut vehicle = vehicle();
    vehicle.stand(fix(0.0, 13.9, 90.0, START));
    let said = vehicle.speak(WALL, START).unwrap();
    assert!(said.payload.len() <= 48, "{} bytes", said.payload.len());
    assert_eq!((said.retain, said.assured, said.expiry), (false, false, Some(Duration::from_secs(3))));
    assert_eq!(&*said.topic, "wayside/1/b/1202200110/12112/car-17");
}

proptest! {
    #[test]
    fn however_wildly_it_moves_no_two_beacons_come_sooner_than_the_ceiling_allows(
        steps in prop::collection::vec((0.0f64..50.0, 0.0f32..60.0, 0.0f32..359.9, 0usize..2_000), 30),
    ) {
        let mut vehicle = vehicle();
        let mut last: Option<(Timestamp, Duration)> = None;
        for (second, (metres, speed, heading, load)) in steps.into_iter().enumerate() {
            (0..load).for_each(|_| vehicle.congestion.heard());
            for tick in 0..20 {
                let now = at(second as u64 * 1_000 + tick * 50);
                vehicle.stand(fix(metres * tick as f64, speed, heading, now));
                if said(&mut vehicle, now).is_some() {
                    let interval = vehicle.congestion.interval();
                    if let Some((before, _)) = last {
                        prop_assert!(now - before >= interval, "{:?} after {before}", now);
                    }
                    last = Some((now, interval));
                }
            }
            prop_assert!(last.is_some_and(|(at, _)| Timestamp::from_micros(second as u64 * 1_000_000) - at <= Duration::from_millis(1_200)));
        }
    }
}
