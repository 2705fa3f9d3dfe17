//! The index against a plain list of fixes, anywhere on Earth.

use std::collections::BTreeMap;

use geo::{Destination, Distance as _, Geodesic, Point};
use proptest::collection::vec;
use proptest::prelude::*;
use wayside_protocols::place::{Distance, Ecef, Fix, Motion, Position};
use wayside_protocols::time::{Duration, Timestamp};

use super::row::Measured;
use super::turn::Turns;
use super::*;

/// Places where other indexes have a seam, and one where they have none.
const SITES: [(f64, f64); 9] = [
    (48.8566, 2.3522),
    (0.0, 0.0),
    (0.0, 180.0),
    (-16.5, -179.999_9),
    (90.0, 0.0),
    (89.9, 33.0),
    (-89.9, -120.0),
    (-90.0, 90.0),
    (35.264_4, 45.0),
];

#[derive(Clone, Debug)]
enum Step {
    Place(u32, Fix),
    Remove(u32),
    Maintain(Timestamp),
    Within(Position, Distance, Timestamp),
    Nearest(Position, usize, Timestamp),
}

/// Every fix, looked at one by one in Earth-centred metres, without planes, tiles or trees.
#[derive(Default)]
struct Model(BTreeMap<u32, Fix>);

impl Model {
    fn seen(&self, key: Key, centre: &Position, now: Timestamp) -> Option<Estimate> {
        let fix = self.0.get(&key.0)?;
        let measured = Measured::new(fix, Turns::shared());
        let age = now.since(fix.time);
        let velocity = measured.velocity.unwrap_or_default();
        let t = if fix.motion.is_some() { age.min(VALIDITY).as_secs_f64() } else { 0.0 };
        let Ecef { x, y, z } = measured.ecef;
        let (at, from) = ([x + velocity[0] * t, y + velocity[1] * t, z + velocity[2] * t], centre.ecef());
        let way = [at[0] - from.x, at[1] - from.y, at[2] - from.z];
        let length = |a: &[f64; 3]| (a[0] * a[0] + a[1] * a[1] + a[2] * a[2]).sqrt();
        let (speed, metres) = (length(&velocity), length(&way));
        let along = way.iter().zip(velocity).map(|(a, b)| a * b).sum::<f64>();
        let cos = if speed * metres > 0.0 { along / (speed * metres) } else { 1.0 };
        let aside = HEADING_SIGMA * speed * t * (1.0 - cos * cos).max(0.0).sqrt();
        let parts = [f64::from(fix.accuracy), SPEED_SIGMA * t * cos, aside, 0.5 * ACCELERATION * t * t];
        let mut sigma = parts.iter().map(|part| part * part).sum::<f64>().sqrt();
        if fix.motion.is_some() && age > VALIDITY {
            sigma += speed.max(TOP_SPEED) * (age - VALIDITY).as_secs_f64() / Z;
        }
        let ahead = fix.time.since(now);
        let valid = fix.motion.is_none() || age.max(ahead) <= VALIDITY;
        let distance = Ecef { x: at[0], y: at[1], z: at[2] }.distance(&from);
        Some(Estimate { distance, sigma: sigma.min(Distance::FARTHEST.as_metres()), age, valid })
    }

    /// Whether `found` is what lies within `radius`; right at the rim either answer will do.
    fn agrees(&self, found: &[(Key, Estimate)], centre: &Position, radius: Distance, now: Timestamp) {
        let found: BTreeMap<_, _> = found.iter().copied().collect();
        for key in self.0.keys().map(|key| Key(*key)) {
            let truth = self.seen(key, centre, now).unwrap();
            let inside = radius.as_metres() - (truth.distance.as_metres() - Z * truth.sigma);
            let rim = slack(&truth) + 1e-3 * truth.sigma;
            match found.get(&key) {
                Some(estimate) => assert!(alike(estimate, &truth) && inside > -rim, "{key:?} {estimate:?} {truth:?}"),
                None => assert!(inside < rim, "{key:?} is missed by {inside} m: {truth:?}"),
            }
        }
        assert!(found.keys().all(|key| self.0.contains_key(&key.0)));
    }

    /// Whether `found` are the `k` nearest; of two that are equally near either will do.
    fn agrees_nearest(&self, found: &[(Key, Estimate)], centre: &Position, k: usize, now: Timestamp) {
        let metres = |key: &u32| self.seen(Key(*key), centre, now).unwrap().distance.as_metres();
        let mut all: Vec<f64> = self.0.keys().map(metres).collect();
        all.sort_by(f64::total_cmp);
        all.truncate(k);
        assert_eq!(found.len(), all.len());
        for ((key, estimate), truth) in found.iter().zip(all) {
            let seen = self.seen(*key, centre, now).unwrap();
            assert!(alike(estimate, &seen), "{estimate:?} {seen:?}");
            assert!((estimate.distance.as_metres() - truth).abs() < slack(&seen), "{estimate:?}, but {truth} m");
        }
    }
}

/// Metres that two ways of counting may differ by: a place is kept to a quarter of a millimetre and a speed to 4 mm/s,
/// which grows with the age, and on the far side of the Earth where an arc is hardly told from its chord.
fn slack(truth: &Estimate) -> f64 {
    let (metres, age) = (truth.distance.as_metres(), truth.age.min(Duration::from_secs(60)).as_secs_f64());
    0.02 + 0.01 * age + if metres > 10_000_000.0 { 100.0 } else { 1e-7 * metres }
}

fn alike(a: &Estimate, b: &Estimate) -> bool {
    let near = |a: f64, b: f64, slack: f64| (a - b).abs() < slack;
    // Right beside something the line of sight may be any.
    let sigma = near(a.sigma, b.sigma, slack(b) + 1e-3 * b.sigma) || b.distance.as_metres() < 50.0;
    let distance = near(a.distance.as_metres(), b.distance.as_metres(), slack(b));
    let century = Duration::from_secs(3_155_760_000);
    distance && sigma && a.age.min(century) == b.age.min(century) && a.valid == b.valid
}

fn within(
    index: &GeoIndex,
    centre: &Position,
    radius: Distance,
    of: Population,
    now: Timestamp,
) -> Vec<(Key, Estimate)> {
    let mut found = Vec::new();
    index.within(centre, radius, of, now, &mut |key, seen| found.push((key, seen.estimate())));
    found.sort_by_key(|(key, _)| *key);
    found
}

fn spot() -> impl Strategy<Value = Position> {
    let metres = prop_oneof![Just(0.0), Just(25.0), 0.0f64..60.0, 0.0f64..2_000.0];
    (0..SITES.len(), 0.0f64..360.0, metres)
        .prop_map(|(site, bearing, metres)| Position::new(SITES[site].0, SITES[site].1).unwrap().moved(bearing, metres))
}

fn moment() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        20 => (0u64..30_000_000).prop_map(Timestamp::from_micros),
        1 => Just(Timestamp::NEVER),
        1 => Just(Timestamp::START),
    ]
}

fn fix() -> impl Strategy<Value = Fix> {
    let speed = prop_oneof![Just(0.0f32), 0.0f32..40.0, 0.0f32..163.0];
    let motion = proptest::option::of((speed, 0.0f32..360.0).prop_map(|(v, h)| Motion::new(v, h).unwrap()));
    let accuracy = prop_oneof![8 => 0.0f32..10.0, 1 => 25.0f32..500.0];
    (spot(), moment(), accuracy, motion).prop_map(|(position, time, accuracy, motion)| Fix {
        position,
        time,
        accuracy,
        motion,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let radius = prop_oneof![Just(0.0), 0.0f64..600.0, 0.0f64..20_000_000.0];
    prop_oneof![
        8 => (0u32..40, fix()).prop_map(|(key, fix)| Step::Place(key, fix)),
        2 => (0u32..40).prop_map(Step::Remove),
        1 => moment().prop_map(Step::Maintain),
        3 => (spot(), radius, moment()).prop_map(|(at, r, now)| Step::Within(at, Distance::new(r).unwrap(), now)),
        2 => (spot(), 0usize..12, moment()).prop_map(|(at, k, now)| Step::Nearest(at, k, now)),
    ]
}

proptest! {
    #[test]
    fn it_answers_as_a_plain_list_would(steps in vec(step(), 0..120)) {
        let (mut index, mut model) = (GeoIndex::new(), Model::default());
        for step in steps {
            match step {
                Step::Place(key, fix) => {
                    index.place(Key(key), &fix).unwrap();
                    model.0.insert(key, fix);
                }
                Step::Remove(key) => prop_assert_eq!(index.remove(Key(key)), model.0.remove(&key).is_some()),
                Step::Maintain(now) => index.maintain(now),
                Step::Within(centre, radius, now) => {
                    let found = within(&index, &centre, radius, Population::All, now);
                    model.agrees(&found, &centre, radius, now);
                }
                Step::Nearest(centre, k, now) => {
                    model.agrees_nearest(&index.nearest(&centre, k, now), &centre, k, now);
                }
            }
            prop_assert_eq!(index.len(), model.0.len());
        }
    }

    #[test]
    fn a_distance_from_the_index_is_the_geodesic_within_five_centimetres(
        lat in -89.9f64..89.9, lon in -180.0f64..180.0, bearing in 0.0f64..360.0, metres in 0.0f64..500.0,
    ) {
        let centre = Position::new(lat, lon).unwrap();
        let there = Geodesic.destination(Point::new(lon, lat), bearing, metres);
        let truth = Geodesic.distance(Point::new(lon, lat), there);
        let there = Position::new(there.y(), (there.x() + 540.0).rem_euclid(360.0) - 180.0).unwrap();
        let mut index = GeoIndex::new();
        index.place(Key(0), &Fix::fixed(there, 0.0, Timestamp::START)).unwrap();
        let found = within(&index, &centre, Distance::metres(501), Population::Static, Timestamp::START);
        prop_assert_eq!(found.len(), 1);
        prop_assert!((found[0].1.distance.as_metres() - truth).abs() < 0.05);
    }

    #[test]
    fn each_population_is_found_apart(fixes in vec(fix(), 1..60), centre in spot()) {
        let mut index = GeoIndex::new();
        for (key, fix) in (0..).zip(&fixes) {
            index.place(Key(key), fix).unwrap();
        }
        let now = Timestamp::from_micros(5_000_000);
        let keys = |of| within(&index, &centre, Distance::metres(3_000), of, now).iter().map(|hit| hit.0).collect();
        let (all, still, mobile): (Vec<_>, Vec<_>, Vec<_>) =
            (keys(Population::All), keys(Population::Static), keys(Population::Mobile));
        let moves = |key: &&Key| fixes[key.0 as usize].motion.is_some();
        prop_assert_eq!(all.iter().filter(moves).collect::<Vec<_>>(), mobile.iter().collect::<Vec<_>>());
        prop_assert_eq!(all.iter().filter(|key| !moves(key)).collect::<Vec<_>>(), still.iter().collect::<Vec<_>>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn packing_changes_no_answer(seed in any::<u64>(), site in 0..SITES.len()) {
        let mut city = City::new(seed, SITES[site], 1_500);
        city.drive();
        // Those that go leave more tiles than the rest needs.
        city.fixes.truncate(300);
        (300..1_500).for_each(|key| assert!(city.index.remove(Key(key))));
        city.index.maintain(city.now);
        prop_assert!(city.index.stats().packed > 0);
        city.drive();
        for _ in 0..20 {
            let centre = city.corner();
            for metres in [0, 100, 500, 3_000] {
                let radius = Distance::metres(metres);
                let found = within(&city.index, &centre, radius, Population::All, city.now);
                city.model().agrees(&found, &centre, radius, city.now);
            }
            let found = city.index.nearest(&centre, 10, city.now);
            city.model().agrees_nearest(&found, &centre, 10, city.now);
        }
    }
}

#[test]
fn a_million_updates_on_a_search_looks_at_no_more_than_twice_as_much() {
    let mut city = City::new(1, SITES[0], 10_000);
    city.drive();
    for _ in 0..4 {
        city.index.maintain(city.now);
    }
    let fresh = city.looked_at();
    for _ in 0..100 {
        city.drive();
        city.index.maintain(city.now);
    }
    let worn = city.looked_at();
    assert!(worn <= 2 * fresh, "{worn} after a million updates, {fresh} before");
}

#[test]
fn ten_thousand_at_one_point_come_and_go_without_a_crowd_in_the_tree() {
    let mut index = GeoIndex::new();
    let here = Position::new(48.8566, 2.3522).unwrap();
    let fix = Fix::fixed(here, 1.0, Timestamp::START);
    for key in 0..10_000 {
        index.place(Key(key), &fix).unwrap();
    }
    index.maintain(Timestamp::START);
    assert_eq!(within(&index, &here, Distance::ZERO, Population::All, Timestamp::START).len(), 10_000);
    let near: Vec<_> = index.nearest(&here, 3, Timestamp::START).iter().map(|hit| hit.0).collect();
    assert_eq!(near, [Key(0), Key(1), Key(2)]);
    assert!((0..10_000).all(|key| index.remove(Key(key))));
    assert_eq!((index.len(), index.stats().patches), (0, 0));
}

#[test]
fn a_crowd_at_one_point_costs_others_nothing() {
    let mut index = GeoIndex::new();
    let here = Position::new(48.8566, 2.3522).unwrap();
    let crowd = 1_000_000;
    for key in 0..crowd {
        index.place(Key(key), &Fix::fixed(here, 1.0, Timestamp::START)).unwrap();
    }
    for key in 0..1_000 {
        let fix = Fix::fixed(here.moved(90.0, 500.0 + f64::from(key)), 1.0, Timestamp::START);
        index.place(Key(crowd + key), &fix).unwrap();
    }
    index.maintain(Timestamp::START);
    let aside = here.moved(90.0, 1_000.0);
    let mut hits = 0;
    let radius = Distance::metres(50);
    let looked_at = index.within(&aside, radius, Population::All, Timestamp::START, &mut |_, _| hits += 1);
    assert!((99..110).contains(&hits), "{hits}");
    assert!(looked_at < 1_000, "{looked_at} looked at for {hits}, {crowd} of them at one point");
    assert_eq!(index.nearest(&aside, 3, Timestamp::START).len(), 3);
    for key in 0..crowd {
        assert!(index.remove(Key(key)));
    }
    assert_eq!(within(&index, &here, Distance::metres(100), Population::All, Timestamp::START).len(), 0);
}

#[test]
fn a_city_that_falls_silent_is_not_looked_at_one_by_one() {
    let mut city = City::new(7, SITES[0], 20_000);
    city.drive();
    let later = city.now + Duration::from_secs(5);
    for _ in 0..200 {
        city.index.maintain(later);
    }
    assert_eq!(city.index.stats().loose, 20_000);
    // 5 s after the last word everybody may be some 200 m from where they were heard.
    let radius = Distance::metres(100);
    let mut hits = 0;
    let looked_at = city.index.within(&city.middle, radius, Population::All, later, &mut |_, _| hits += 1);
    let found = within(&city.index, &city.middle, radius, Population::All, later);
    city.model().agrees(&found, &city.middle, radius, later);
    assert!(hits > 20 && looked_at < 4_000, "{looked_at} of 20,000 looked at for {hits}");
}

#[test]
fn upkeep_ends_at_its_budget_and_goes_on_from_there() {
    let mut city = City::new(3, SITES[0], 30_000);
    for _ in 0..20 {
        city.drive();
    }
    let before = city.index.stats().packed;
    city.index.maintain(city.now);
    // Blocks of at most 1,024 rows, and two of them at the most.
    assert!(city.index.stats().packed - before <= 4, "{:?}", city.index.stats());
    for _ in 0..100 {
        city.index.maintain(city.now);
    }
    let settled = city.index.stats().packed;
    city.index.maintain(city.now);
    assert_eq!(city.index.stats().packed, settled, "nothing is left to lay anew");
}

#[test]
fn whoever_places_may_say_which_population_it_is() {
    let mut index = GeoIndex::new();
    let here = Position::new(48.8566, 2.3522).unwrap();
    let mut fix = Fix::fixed(here, 1.0, Timestamp::START);
    fix.motion = Motion::new(8.0, 0.0).ok();
    index.place_among(Key(0), &fix, Population::Static).unwrap();
    fix.position = here.moved(0.0, 400.0);
    index.place_among(Key(0), &fix, Population::Static).unwrap();
    index.place_among(Key(1), &Fix::fixed(here, 1.0, Timestamp::START), Population::Mobile).unwrap();
    let keys =
        |of| within(&index, &here, Distance::metres(500), of, Timestamp::START).iter().map(|hit| hit.0).collect();
    let (still, mobile): (Vec<_>, Vec<_>) = (keys(Population::Static), keys(Population::Mobile));
    assert_eq!((still, mobile), (vec![Key(0)], vec![Key(1)]));
    // What moves and falls silent in the static population stays in it.
    index.maintain(Timestamp::START + Duration::from_secs(10));
    assert_eq!((index.stats().loose, index.population(Key(0))), (1, Some(Population::Static)));
}

#[test]
fn what_first_stood_still_and_then_is_elsewhere_is_mobile_from_there_on() {
    let mut index = GeoIndex::new();
    let here = Position::new(48.8566, 2.3522).unwrap();
    let at = |metres| Fix::fixed(here.moved(0.0, metres), 1.0, Timestamp::START);
    index.place(Key(0), &at(0.0)).unwrap();
    index.place(Key(0), &at(10.0)).unwrap();
    assert_eq!(index.population(Key(0)), Some(Population::Static));
    index.place(Key(0), &at(60.0)).unwrap();
    assert_eq!(index.population(Key(0)), Some(Population::Mobile));
    index.place(Key(0), &at(60.0)).unwrap();
    assert_eq!(index.population(Key(0)), Some(Population::Mobile));
}

#[test]
fn one_bad_fix_goes_to_the_loose_and_comes_back_with_a_better_one() {
    let mut index = GeoIndex::new();
    let here = Position::new(48.8566, 2.3522).unwrap();
    index.place(Key(0), &Fix::fixed(here.moved(0.0, 900.0), 500.0, Timestamp::START)).unwrap();
    assert_eq!(index.stats().loose, 1);
    assert_eq!(within(&index, &here, Distance::metres(100), Population::All, Timestamp::START).len(), 1);
    index.place(Key(0), &Fix::fixed(here.moved(0.0, 900.0), 5.0, Timestamp::START)).unwrap();
    assert_eq!(index.stats().loose, 0);
    assert!(within(&index, &here, Distance::metres(100), Population::All, Timestamp::START).is_empty());
}

#[test]
fn what_falls_silent_is_kept_with_the_loose_until_it_is_heard_again() {
    let mut index = GeoIndex::new();
    let here = Position::new(48.8566, 2.3522).unwrap();
    let mut fix = Fix::fixed(here, 1.0, Timestamp::START);
    fix.motion = Some(Motion::new(14.0, 90.0).unwrap());
    index.place(Key(0), &fix).unwrap();
    let later = Timestamp::START + Duration::from_secs(10);
    index.maintain(later);
    assert_eq!(index.stats().loose, 1);
    fix.time = later;
    index.place(Key(0), &fix).unwrap();
    assert_eq!(index.stats().loose, 0);
}

#[test]
fn no_number_that_is_none_gets_in() {
    let mut index = GeoIndex::new();
    let mut fix = Fix::fixed(Position::new(1.0, 1.0).unwrap(), f32::NAN, Timestamp::START);
    assert!(index.place(Key(0), &fix).is_err());
    fix.accuracy = 1.0;
    fix.motion = Some(Motion { speed: f32::INFINITY, heading: 0.0 });
    assert!(index.place(Key(0), &fix).is_err());
    fix.motion = None;
    let error = index.place(Key(u32::MAX), &fix).unwrap_err();
    assert_eq!(error.to_string(), "key 4294967295 is not below 16777216");
    assert!(index.is_empty());
}

/// Cars that drive about, ten fixes a second.
struct City {
    index: GeoIndex,
    fixes: Vec<Fix>,
    now: Timestamp,
    dice: u64,
    middle: Position,
}

impl City {
    fn new(seed: u64, (lat, lon): (f64, f64), cars: u32) -> Self {
        let middle = Position::new(lat, lon).unwrap();
        let mut city =
            Self { index: GeoIndex::new(), fixes: Vec::new(), now: Timestamp::START, dice: seed | 1, middle };
        for _ in 0..cars {
            let position = city.corner();
            let motion = Motion::new(30.0 * city.throw() as f32, 359.0 * city.throw() as f32).unwrap();
            city.fixes.push(Fix { position, time: city.now, accuracy: 1.0, motion: Some(motion) });
        }
        city
    }

    /// In [0, 1): a linear congruence will do.
    fn throw(&mut self) -> f64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 40) as f64 / f64::from(1 << 24)
    }

    /// Somewhere within 5 km.
    fn corner(&mut self) -> Position {
        let (bearing, metres) = (360.0 * self.throw(), 5_000.0 * self.throw().sqrt());
        self.middle.moved(bearing, metres)
    }

    fn drive(&mut self) {
        self.now = self.now + Duration::from_millis(100);
        for (key, fix) in (0..).zip(&mut self.fixes) {
            let motion = fix.motion.unwrap();
            fix.position = fix.position.moved(f64::from(motion.heading), f64::from(motion.speed) * 0.5);
            fix.time = self.now;
            self.index.place(Key(key), fix).unwrap();
        }
    }

    fn model(&self) -> Model {
        Model((0..).zip(self.fixes.iter().copied()).collect())
    }

    fn looked_at(&self) -> usize {
        let at = |bearing: u32, metres: u32| self.middle.moved(f64::from(bearing), f64::from(metres));
        let centres = (0..360).step_by(10).flat_map(|bearing| [at(bearing, 1_000), at(bearing, 2_500)]);
        let look =
            |centre| self.index.within(&centre, Distance::metres(500), Population::All, self.now, &mut |_, _| {});
        centres.map(look).sum()
    }
}
