use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn service() -> Arc<Service> {
    Arc::new(Service::new("a".parse().unwrap(), "charging".parse().unwrap(), Kind::Device))
}

fn centre() -> Position {
    Position::new(48.0, 2.0).unwrap()
}

fn around(dwell: Duration) -> Watch {
    Watch::new(Filter { circle: Some((centre(), Distance::metres(100))), dwell, ..Filter::default() })
}

fn at(metres: f64, sigma: f64) -> Stance {
    Stance { position: centre().moved(0.0, metres), sigma, motion: None }
}

/// `e`nter, `u`pdate, `l`eave or nothing at each of the distances, a second apart.
fn told(watch: &mut Watch, metres: &[f64], sigma: f64) -> String {
    let step = |(second, metres): (u32, &f64)| match watch.step(
        &Change::Updated(service()),
        Some(&at(*metres, sigma)),
        Timestamp::START + SECOND * second,
    ) {
        Some(WatchEvent::Appeared(_)) => 'e',
        Some(WatchEvent::Updated(_)) => 'u',
        Some(WatchEvent::Departed(_)) => 'l',
        Some(WatchEvent::Reset) | None => '.',
    };
    (0..).zip(metres).map(step).collect()
}

#[test]
fn walking_out_of_the_circle_is_a_departure() {
    assert_eq!(told(&mut around(Duration::ZERO), &[0.0, 105.0, 150.0, 105.0, 99.0], 1.0), "eul.e");
}

#[test]
fn what_is_vague_is_left_inside_for_longer() {
    assert_eq!(told(&mut around(Duration::ZERO), &[90.0, 125.0, 131.0], 15.0), "eul");
}

#[test]
fn what_was_never_told_does_not_depart() {
    let mut watch = Watch::new(Filter { name: "http".parse().ok(), ..Filter::default() });
    assert_eq!(watch.step(&Change::Appeared(service()), None, Timestamp::START), None);
    assert_eq!(watch.step(&Change::Departed(service()), None, Timestamp::START), None);
}

#[test]
fn with_a_dwell_a_visit_that_is_too_short_is_none() {
    let dwell = 3 * SECOND;
    assert_eq!(told(&mut around(dwell), &[200.0, 50.0, 50.0, 200.0, 50.0, 50.0, 50.0, 50.0, 200.0], 1.0), ".......eu");
}

#[test]
fn what_stays_and_falls_silent_is_told_when_its_dwell_is_over() {
    let mut watch = around(3 * SECOND);
    assert_eq!(told(&mut watch, &[50.0], 1.0), ".");
    assert_eq!(watch.next_due(), Some(Timestamp::START + 3 * SECOND));
    assert_eq!(watch.ripe(Timestamp::START + 2 * SECOND), None);
    assert_eq!(watch.ripe(Timestamp::START + 3 * SECOND), Some(service().id.clone()));
    assert_eq!(
        watch.ripen(&service(), Some(&at(50.0, 1.0)), Timestamp::START + 3 * SECOND),
        Some(WatchEvent::Appeared(service()))
    );
    assert_eq!((watch.next_due(), watch.ripe(Timestamp::NEVER)), (None, None));
}

#[test]
fn the_picture_at_the_start_waits_for_no_dwell() {
    let mut watch = around(3 * SECOND);
    assert!(watch.picture(&service(), Some(&at(50.0, 1.0)), Timestamp::START).is_some());
}

#[test]
fn only_what_heads_that_way_and_is_of_that_kind_is_told() {
    let heading = Some(Sector { bearing: 90.0, within: 45.0, relative: false });
    let filter = Filter { heading, kinds: vec![Kind::Device], ..Filter::default() };
    let stance = |heading| Stance { motion: Motion::new(5.0, heading).ok(), ..at(0.0, 1.0) };
    let mut watch = Watch::new(filter.clone());
    assert!(watch.step(&Change::Updated(service()), Some(&stance(180.0)), Timestamp::START).is_none());
    assert!(watch.step(&Change::Updated(service()), Some(&stance(100.0)), Timestamp::START).is_some());
    assert!(
        watch.step(&Change::Updated(service()), Some(&at(0.0, 1.0)), Timestamp::START).is_some(),
        "it stands: left"
    );
    let mut others = Watch::new(Filter { kinds: vec![Kind::Vehicle], ..filter });
    assert!(others.step(&Change::Updated(service()), Some(&stance(100.0)), Timestamp::START).is_none());
}

#[test]
fn a_thing_that_only_moves_is_told_once_a_second_and_in_the_end_as_it_stands() {
    let mut watch = around(Duration::ZERO);
    let at_ms = |millis: u64| Timestamp::START + Duration::from_millis(millis);
    watch.picture(&service(), Some(&at(0.0, 1.0)), Timestamp::START);
    let mut told = Vec::new();
    // Ten a second for 2.55 s, as the agent does it: what is ripe, then what is heard.
    for millis in (50..=2_550).step_by(100) {
        while let Some(due) = watch.next_due().filter(|due| *due <= at_ms(millis)) {
            assert!(watch.ripe(due).is_some());
            told.extend(watch.ripen(&service(), Some(&at(1.0, 1.0)), due).map(|_| due));
        }
        let moved = watch.step(&Change::Moved(service()), Some(&at(1.0, 1.0)), at_ms(millis));
        told.extend(moved.map(|_| at_ms(millis)));
    }
    assert_eq!(told, [at_ms(1_000), at_ms(2_000)]);
    // Whatever else is different is told at once, and the move with it.
    let changed = watch.step(&Change::Updated(service()), Some(&at(1.0, 1.0)), at_ms(2_560));
    assert_eq!((changed, watch.next_due()), (Some(WatchEvent::Updated(service())), None));
    // And who leaves has left, wherever a move was waiting.
    assert_eq!(watch.step(&Change::Moved(service()), Some(&at(2.0, 1.0)), at_ms(2_570)), None);
    let left = watch.step(&Change::Moved(service()), Some(&at(500.0, 1.0)), at_ms(2_580));
    assert_eq!((left, watch.next_due()), (Some(WatchEvent::Departed(service().id.clone())), None));
}

proptest! {
    #[test]
    fn noise_of_half_the_grace_never_flaps(
        rim in 60.0f64..140.0, sigma in 0.5f64..20.0, noise in vec(-1.0f64..=1.0, 1..200),
    ) {
        let amplitude = 10.0f64.max(2.0 * sigma) / 2.0 * 0.999;
        let fixes: Vec<f64> = noise.iter().map(|part| rim + part * amplitude).collect();
        let told = told(&mut around(Duration::ZERO), &fixes, sigma);
        prop_assert!(told.matches(['e', 'l']).count() <= 1, "{told}");
    }

    #[test]
    fn with_a_dwell_wild_fixes_shorter_than_it_never_flap(wild in vec(0usize..4, 1..60), home in 0.0f64..90.0) {
        // Runs of up to three fixes far outside, each followed by a good one: none lasts four seconds.
        let fixes: Vec<f64> =
            wild.iter().flat_map(|run| std::iter::once(home).chain(std::iter::repeat_n(500.0, *run))).collect();
        let mut watch = around(4 * SECOND);
        watch.picture(&service(), Some(&at(home, 1.0)), Timestamp::START);
        let told = told(&mut watch, &fixes, 1.0);
        prop_assert!(!told.contains(['e', 'l']), "{told}");
    }
}
