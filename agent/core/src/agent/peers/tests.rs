use proptest::prelude::*;
use wayside_protocols::mqtt::beacon::Beacon;
use wayside_protocols::place::Position;
use wayside_protocols::service::Kind;

use super::*;

const START: Timestamp = Timestamp::START;
const SECOND: Duration = Duration::from_secs(1);

fn agent(name: &str) -> AgentId {
    name.parse().unwrap()
}

fn beacon(name: &str, (epoch, sequence): (u32, u16), metres: f64) -> Beacon {
    Beacon {
        agent: agent(name),
        epoch,
        sequence,
        kind: Kind::Vehicle,
        time: None,
        position: Position::new(48.8566, 2.3522).unwrap().moved(90.0, metres),
        accuracy: None,
        motion: None,
        services: 0,
        ttl: 3 * SECOND,
        seal: None,
    }
}

fn hear(peers: &mut Peers, stamp: (u32, u16), metres: f64, now: Timestamp) -> Option<&'static str> {
    match peers.beacon(&beacon("a", stamp, metres).glimpse(), now) {
        News::Newest { .. } => None,
        News::Doubted(doubt) => Some(doubt.counted()),
        News::Crowd | News::Nameless(_) => Some("other"),
    }
}

#[test]
fn a_will_of_an_earlier_life_is_not_believed() {
    let mut peers = Peers::new(8, 1);
    let online = |epoch| Presence { state: State::Online, ..Presence::will(epoch) };
    assert_eq!(peers.presence(&agent("a"), &online(7), START), Word::There);
    assert_eq!(peers.presence(&agent("a"), &Presence::will(6), START), Word::Stale);
    assert!(!peers.lost(&agent("a")));
    assert_eq!(peers.presence(&agent("a"), &Presence::will(7), START), Word::Gone);
    assert!(peers.lost(&agent("a")));
}

#[test]
fn replayed_and_overtaken_beacons_are_old_even_when_numbers_wrap() {
    let mut peers = Peers::new(8, 1);
    let (overtaken, replayed) = (Some("refused_beacon_out_of_order_total"), Some("refused_beacon_replayed_total"));
    for (stamp, said) in [
        ((1, 65_535), None),
        ((1, 0), None),
        ((1, 65_535), overtaken),
        ((1, 0), replayed),
        ((1, 40_000), replayed),
        ((2, 0), None),
        ((1, 9), replayed),
    ] {
        assert_eq!(hear(&mut peers, stamp, 0.0, START), said, "{stamp:?}");
    }
    assert_eq!(hear(&mut peers, (1, 9), 0.0, START + 4 * SECOND), None, "after a silence it may have begun again");
}

#[test]
fn two_that_count_on_under_one_name_are_found_out_and_one_that_repeats_itself_is_not() {
    let second = Some("refused_beacon_of_second_sender_total");
    for (one, other) in [((2, 100), (1, 500)), ((1, 9_000), (1, 100))] {
        let mut peers = Peers::new(8, 1);
        let heard: Vec<_> = (0..5)
            .map(|n| {
                assert_eq!(hear(&mut peers, (one.0, one.1 + n), 0.0, START), None);
                hear(&mut peers, (other.0, other.1 + n), 0.0, START)
            })
            .collect();
        assert_eq!(heard[2..], [second; 3], "{heard:?}");
    }
    let mut peers = Peers::new(8, 1);
    for n in 0..50 {
        assert_eq!(hear(&mut peers, (1, n), 0.0, START), None);
        assert_eq!(hear(&mut peers, (1, n), 0.0, START), Some("refused_beacon_replayed_total"));
    }
}

#[test]
fn nothing_jumps_ten_kilometres_but_who_was_silent_may_be_anywhere() {
    let mut peers = Peers::new(8, 1);
    let jumped = Some("refused_beacon_jumped_total");
    assert_eq!(hear(&mut peers, (1, 0), 0.0, START), None);
    assert_eq!(hear(&mut peers, (1, 1), 10_000.0, START + SECOND), jumped);
    assert_eq!(hear(&mut peers, (2, 0), 10_000.0, START + SECOND), jumped, "not in a new life either");
    assert_eq!(hear(&mut peers, (1, 2), 40.0, START + SECOND), None);
    assert_eq!(hear(&mut peers, (1, 3), 440.0, START + 2 * SECOND), None, "a receiver between houses");
    assert_eq!(hear(&mut peers, (1, 4), 10_000.0, START + 10 * SECOND), jumped);
    assert_eq!(hear(&mut peers, (1, 5), 10_000.0, START + 16 * SECOND), None);
    assert_eq!(hear(&mut peers, (1, 6), 10_800.0, START + 25 * SECOND), None, "36 km/h");
}

#[test]
fn a_flood_of_names_stays_within_the_cap_and_comes_in_at_a_thousand_a_second() {
    let mut peers = Peers::new(64, 1);
    let mut crowd = 0;
    for n in 0..20_000u64 {
        let now = Timestamp::from_micros(n * 100);
        let news = peers.beacon(&beacon(&format!("a{n}"), (1, 1), 0.0).glimpse(), now);
        crowd += u64::from(news == News::Crowd);
        // Who is really there is heard again and again.
        if n % 50 == 0 {
            let real = beacon("real", (1, (n / 50) as u16), 0.0);
            assert!(matches!(peers.beacon(&real.glimpse(), now), News::Newest { .. }), "at {n}");
        }
        assert!(peers.len() <= 64);
    }
    assert!((13_800..=14_000).contains(&crowd), "{crowd} of 20,000 in two seconds");
}

#[test]
fn a_digest_is_news_once_and_one_of_nothing_never() {
    let mut peers = Peers::new(8, 1);
    let mut told = |sequence, services| {
        let beacon = Beacon { services, ..beacon("a", (1, sequence), 0.0) };
        matches!(peers.beacon(&beacon.glimpse(), START), News::Newest { changed: true, .. })
    };
    assert_eq!([told(0, 7), told(1, 7), told(2, 8), told(3, 8), told(4, 0)], [true, false, true, false, false]);
}

#[test]
fn a_life_that_the_link_and_the_broker_do_not_agree_on_is_two_senders_once_it_has_lasted() {
    let mut peers = Peers::new(8, 1);
    let a = agent("a");
    peers.presence(&a, &Presence { state: State::Online, ..Presence::will(7) }, START);
    assert_eq!(peers.other_life(&a, 6, START + SECOND), None);
    assert_eq!(peers.other_life(&a, 6, START + 11 * SECOND), Some(7));
    assert_eq!(peers.other_life(&a, 7, START + 11 * SECOND), None);
}

proptest! {
    /// The model: the greatest number so far, counted without wrapping.
    #[test]
    fn of_one_sender_exactly_what_is_newer_is_believed(
        steps in prop::collection::vec((-15i64..400, 0u64..300), 1..200), first in 0u64..200_000,
    ) {
        let mut peers = Peers::new(8, 1);
        let (mut newest, mut now): (Option<u64>, u64) = (None, 0);
        for (step, millis) in steps {
            now += millis;
            let number = newest.map_or(first, |newest| newest.saturating_add_signed(step));
            let believed = hear(&mut peers, (1, number as u16), 0.0, START + Duration::from_millis(now)).is_none();
            prop_assert_eq!(believed, newest.is_none_or(|newest| number > newest));
            newest = newest.max(Some(number));
        }
    }
}
