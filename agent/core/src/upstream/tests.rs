use wayside_protocols::place::Distance;

use super::*;
use crate::query::{Centre, Near, Outcome, Query, Trace};
use crate::resolver;

const START: Timestamp = Timestamp::START;

struct Stage {
    upstreams: Upstreams,
    known: Neighbourhood,
    now: Timestamp,
    ticket: u64,
}

/// What came out in one go.
#[derive(Debug, Default)]
struct Out {
    asked: Vec<Exchange>,
    answers: Vec<(Ticket, Answer)>,
}

impl Out {
    fn answer(&self) -> &Answer {
        assert_eq!(self.answers.len(), 1, "{self:?}");
        &self.answers[0].1
    }

    fn ids(&self) -> Vec<&str> {
        self.answer().matches.iter().map(|found| found.service.id.as_str()).collect()
    }
}

fn line(tier: Tier, nodes: &[&str]) -> Line {
    Line {
        tier,
        nodes: nodes.iter().map(|node| Box::from(*node)).collect(),
        timeout: Duration::from_secs(1),
        refresh: None,
        keeping: Keeping::default(),
        shard: None,
    }
}

fn here() -> Position {
    Position::new(48.8566, 2.3522).unwrap()
}

fn query(name: &str) -> Query {
    let near = Near { centre: Centre::At(here()), radius: Distance::metres(500) };
    Query { near: Some(near), ..Query::new(name.parse().ok()) }
}

fn told(ids: &[&str]) -> Vec<u8> {
    let rows: Vec<String> = ids.iter().map(|id| row(id, "charging", here())).collect();
    format!(r#"{{"instances":[{}]}}"#, rows.join(",")).into_bytes()
}

fn row(id: &str, name: &str, at: Position) -> String {
    format!(
        r#"{{"id":"{id}","name":"{name}","kind":"gateway","agent":"{}","accuracy_m":1,"age_ms":1000,"ttl_s":3600,
        "position":{{"lat":{},"lon":{}}}}}"#,
        id.split('@').nth(1).unwrap_or("other"),
        at.latitude(),
        at.longitude()
    )
}

fn refused() -> Failure {
    Failure { cause: Cause::Unreachable, why: "connection refused".into() }
}

impl Stage {
    fn new(lines: Vec<Line>) -> Self {
        let (me, limits): (AgentId, Limits) = ("gw-7".parse().unwrap(), Limits::default());
        let upstreams = Upstreams::new(&Settings(lines), &me, &limits, 7).unwrap();
        Self { upstreams, known: Neighbourhood::new(me, limits), now: START, ticket: 0 }
    }

    fn wait(&mut self, duration: Duration) -> Out {
        self.now = self.now + duration;
        self.upstreams.handle_timeout(&self.known, self.now);
        self.out()
    }

    fn ask(&mut self, query: &Query) -> Out {
        self.ticket += 1;
        let near = resolver::near(&self.known, query, self.now);
        self.upstreams.ask(Ticket(self.ticket), query.clone(), near, &self.known, self.now);
        self.out()
    }

    fn tell(&mut self, exchange: &Exchange, body: &[u8]) -> Out {
        self.upstreams.told(exchange.id, Ok(body), &self.known, self.now);
        self.out()
    }

    fn fail(&mut self, exchange: &Exchange) -> Out {
        self.upstreams.told(exchange.id, Err(refused()), &self.known, self.now);
        self.out()
    }

    fn out(&mut self) -> Out {
        let mut out = Out::default();
        while let Some(said) = self.upstreams.poll_output() {
            match said {
                Said::Exchange(exchange) => out.asked.push(exchange),
                Said::Answer(ticket, answer) => out.answers.push((ticket, *answer)),
                Said::Keep(_) => {}
            }
        }
        out
    }

    fn counted(&self, what: &'static str) -> u64 {
        self.upstreams.counters.get(what)
    }
}

fn outcomes(answer: &Answer) -> Vec<(Tier, Outcome)> {
    let beyond = answer.explain.iter().filter(|report| report.tier > Tier::Neighbour);
    beyond.map(|report| (report.tier, report.outcome)).collect()
}

#[test]
fn the_region_answers_and_the_cloud_is_not_asked() {
    let mut stage = Stage::new(vec![line(Tier::Region, &["r1"]), line(Tier::Cloud, &["c1"])]);
    let out = stage.ask(&query("charging"));
    let [asked] = &out.asked[..] else { panic!("{out:?}") };
    assert_eq!((asked.line, asked.call), (0, Call::Ask));
    let out = stage.tell(asked, &told(&["cp1@gw-8"]));
    assert_eq!(out.ids(), ["cp1@gw-8"]);
    let answer = out.answer();
    assert_eq!((answer.tier, answer.unreached.len()), (Some(Tier::Region), 0));
    let expected = [(Tier::Region, Outcome::Answered), (Tier::Cloud, Outcome::NotNeeded)];
    assert_eq!(outcomes(answer), expected);
    let found = &answer.matches[0];
    assert_eq!((found.stale, found.age, found.tier), (false, Duration::from_secs(1), Tier::Region));
    assert!(found.ttl <= Keeping::default().ttl, "a registry's word holds here no longer than its answer");
}

#[test]
fn an_empty_region_is_followed_by_the_cloud() {
    let mut stage = Stage::new(vec![line(Tier::Region, &["r1"]), line(Tier::Cloud, &["c1"])]);
    let out = stage.ask(&query("charging"));
    let out = stage.tell(&out.asked[0], &told(&[]));
    assert_eq!((out.asked[0].line, out.answers.len()), (1, 0));
    let out = stage.tell(&out.asked[0], &told(&["cp1@gw-8"]));
    assert_eq!((out.answer().tier, out.ids()), (Some(Tier::Cloud), vec!["cp1@gw-8"]));
}

#[test]
fn alike_questions_go_out_once_and_are_all_answered() {
    let mut stage = Stage::new(vec![line(Tier::Region, &["r1"])]);
    let first = stage.ask(&query("charging"));
    for _ in 0..9 {
        assert!(stage.ask(&query("charging")).asked.is_empty());
    }
    let out = stage.tell(&first.asked[0], &told(&["cp1@gw-8"]));
    assert_eq!((out.answers.len(), stage.counted("upstream_coalesced_total")), (10, 9));
    assert!(out.answers.iter().all(|(_, answer)| answer.matches.len() == 1));
}

#[test]
fn a_fresh_answer_is_given_again_without_asking_and_an_old_one_is_not() {
    let mut stage = Stage::new(vec![line(Tier::Region, &["r1"])]);
    let out = stage.ask(&query("charging"));
    stage.tell(&out.asked[0], &told(&["cp1@gw-8"]));
    stage.now = START + Duration::from_secs(299);
    let out = stage.ask(&query("charging"));
    assert_eq!((out.asked.len(), out.answer().matches[0].age), (0, Duration::from_secs(300)));
    stage.now = START + Duration::from_secs(301);
    let out = stage.ask(&query("charging"));
    assert_eq!((out.asked.len(), out.answers.len()), (1, 0));
    // The new one takes longer than a moment: the old one is given, and says that it is stale.
    let out = stage.wait(Duration::from_secs(1));
    assert!(out.answer().matches[0].stale && out.answer().unreached[0].cause == Cause::Late);
}

#[test]
fn what_is_in_use_is_asked_for_anew_in_the_background() {
    let mut stage = Stage::new(vec![line(Tier::Region, &["r1"])]);
    let out = stage.ask(&query("charging"));
    stage.tell(&out.asked[0], &told(&["cp1@gw-8"]));
    stage.wait(Duration::from_secs(30));
    assert_eq!(stage.ask(&query("charging")).asked.len(), 0);
    let out = stage.wait(Duration::from_secs(31));
    assert_eq!((out.asked.len(), out.answers.len()), (1, 0));
    // What is no longer among it is gone from here as well.
    stage.tell(&out.asked[0], &told(&["cp2@gw-8"]));
    assert_eq!(stage.ask(&query("charging")).ids(), ["cp2@gw-8"]);
    assert_eq!(stage.wait(Duration::from_secs(200)).asked.len(), 1);
}

#[test]
fn a_region_that_fails_is_named_and_what_it_told_before_is_served_stale() {
    let mut stage = Stage::new(vec![line(Tier::Region, &["r1", "r2"])]);
    let out = stage.ask(&query("charging"));
    stage.tell(&out.asked[0], &told(&["cp1@gw-8"]));
    stage.now = START + Duration::from_secs(3_600);
    let out = stage.ask(&query("charging"));
    let out = stage.fail(&out.asked[0]);
    assert_eq!(out.asked.len(), 1, "the other node is tried");
    let out = stage.fail(&out.asked[0]);
    let answer = out.answer();
    assert_eq!((answer.tier, out.ids()), (Some(Tier::Region), vec!["cp1@gw-8"]));
    assert!(answer.matches[0].stale);
    assert_eq!(answer.matches[0].age, Duration::from_secs(3_601));
    let reason = &answer.unreached[0].reason;
    assert!(reason.contains("r1: connection refused") && reason.contains("r2: connection refused"), "{reason}");
    assert_eq!(outcomes(answer)[0], (Tier::Region, Outcome::Unreached));
}

#[test]
fn a_node_that_keeps_failing_is_left_alone_and_then_tried_by_one_question() {
    let mut stage = Stage::new(vec![line(Tier::Region, &["r1"])]);
    for n in 0..3 {
        let out = stage.ask(&query(&format!("s{n}")));
        stage.fail(&out.asked[0]);
    }
    let out = stage.ask(&query("charging"));
    assert_eq!(out.asked.len(), 0);
    assert!(out.answer().unreached[0].reason.contains("next attempt within"), "{:?}", out.answer().unreached);
    stage.now = stage.now + Duration::from_secs(30);
    let probe = stage.ask(&query("charging"));
    assert_eq!(probe.asked.len(), 1);
    assert_eq!(stage.ask(&query("other")).asked.len(), 0, "only one question finds out");
    assert_eq!(stage.tell(&probe.asked[0], &told(&["cp1@gw-8"])).answers.len(), 1);
    assert_eq!(stage.ask(&query("another")).asked.len(), 1);
}

#[test]
fn a_deadline_is_kept_whatever_the_upstreams_do() {
    let mut stage = Stage::new(vec![line(Tier::Region, &["r1"]), line(Tier::Cloud, &["c1"])]);
    let hurried = Query { deadline: Some(Duration::from_millis(200)), ..query("charging") };
    let mut asked = stage.ask(&hurried).asked;
    let mut answers = Vec::new();
    while answers.is_empty() {
        let due = stage.upstreams.poll_timeout().unwrap();
        stage.now = stage.now.max(due);
        let out = stage.wait(Duration::ZERO);
        asked.extend(out.asked);
        answers = out.answers;
    }
    let took = stage.now - START;
    assert!(took <= Duration::from_millis(200) && took > Duration::from_millis(150), "{took:?}");
    let causes: Vec<_> = answers[0].1.unreached.iter().map(|unreached| (unreached.tier, unreached.cause)).collect();
    assert_eq!(causes, [(Tier::Region, Cause::Late), (Tier::Cloud, Cause::Late)]);
    assert_eq!(asked.len(), 2, "each got a share of the time");
    // What comes after all is not wasted.
    stage.tell(&asked[0], &told(&["cp1@gw-8"]));
    assert_eq!(stage.ask(&hurried).ids(), ["cp1@gw-8"]);
}

#[test]
fn a_slow_node_is_hedged_within_the_budget() {
    let mut stage = Stage::new(vec![line(Tier::Region, &["r1", "r2"])]);
    let mut hedged = 0;
    for n in 0..400 {
        let out = stage.ask(&query(&format!("s{n}")));
        let first = out.asked[0].clone();
        let out = stage.wait(Duration::from_millis(400));
        hedged += out.asked.len();
        let (last, wanted) = out.asked.first().map_or((&first, first.node), |second| (second, 1 - first.node));
        assert_eq!(last.node, wanted, "the second question goes to the other node");
        let last = last.clone();
        assert_eq!(stage.tell(&last, &told(&[])).answers.len(), 1);
        stage.tell(&first, &told(&[]));
    }
    // Every answer takes as long as every other, so that after a while none is slow.
    assert!((1..=400 / 20 + 1).contains(&hedged), "{hedged}");
}

#[test]
fn a_reply_that_is_not_the_contract_is_a_failed_upstream_with_its_reason() {
    let mut stage = Stage::new(vec![line(Tier::Region, &["r1"])]);
    let out = stage.ask(&query("charging"));
    let out = stage.tell(&out.asked[0], br#"{"instances":[{"id":"a"}]}"#);
    let unreached = &out.answer().unreached[0];
    assert_eq!(unreached.cause, Cause::Contract);
    assert!(unreached.reason.contains("r1: is not the contract: answer: name is missing"), "{}", unreached.reason);
}

#[test]
fn rows_that_were_not_asked_for_are_not_in_the_answer() {
    let mut stage = Stage::new(vec![line(Tier::Region, &["r1"])]);
    let out = stage.ask(&query("charging"));
    let rows = [
        row("other@gw-8", "parking", here()),
        row("far@gw-8", "charging", here().moved(90.0, 5_000.0)),
        row("mine@gw-7", "charging", here()),
        row("right@gw-8", "charging", here()),
    ];
    let out = stage.tell(&out.asked[0], format!(r#"{{"instances":[{}]}}"#, rows.join(",")).as_bytes());
    assert_eq!(out.ids(), ["right@gw-8"]);
}

#[test]
fn nothing_an_upstream_says_rules_over_what_is_known_here_or_takes_its_room() {
    use wayside_protocols::service::Service;
    use wayside_protocols::sighting::{Sighting, Source};
    let mut stage = Stage::new(vec![line(Tier::Region, &["r1"])]);
    let mut service = Service::new("cp1@gw-8".parse().unwrap(), "charging".parse().unwrap(), Kind::Device);
    service.fix = Some(wayside_protocols::place::Fix::fixed(here().moved(0.0, 3_000.0), 1.0, START));
    let before = service.clone();
    stage.known.observe(Sighting::alive(Source::Mqtt, service, Duration::from_secs(60)), START).unwrap();
    let out = stage.ask(&query("charging"));
    let ids: Vec<String> = (0..900).map(|n| format!("x{n}@gw-9")).chain(["cp1@gw-8".to_owned()]).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let out = stage.tell(&out.asked[0], &told(&ids));
    assert!(!out.ids().contains(&"cp1@gw-8"), "it is 3 km away, as was heard here");
    assert_eq!(stage.known.catalog().len(), 1);
    assert_eq!(**stage.known.catalog().get(&before.id).unwrap().shown(), before);
}

#[test]
fn what_is_held_is_bounded_by_bytes() {
    let small = Keeping { bytes: 64 << 10, ..Keeping::default() };
    let mut stage = Stage::new(vec![Line { keeping: small, ..line(Tier::Region, &["r1"]) }]);
    for n in 0..200 {
        let out = stage.ask(&query(&format!("s{n}")));
        let ids: Vec<String> = (0..10).map(|m| format!("x{m}@gw-{n}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        stage.tell(&out.asked[0], &told(&ids));
        stage.now = stage.now + Duration::from_secs(1);
        let held = stage.upstreams.held(stage.now);
        assert!(held.bytes <= 64 << 10, "{held:?}");
    }
    assert!(stage.counted("upstream_cache_evictions_total") > 1_000);
}

#[test]
fn what_was_kept_over_a_restart_is_answered_as_stale_at_once() {
    let mut stage = Stage::new(vec![line(Tier::Region, &["r1"])]);
    let out = stage.ask(&query("charging"));
    stage.tell(&out.asked[0], &told(&["cp1@gw-8"]));
    let speaker = ("gw-7".parse().unwrap(), Kind::Gateway, 1);
    stage.upstreams.leave(&speaker, &stage.known, stage.now);
    let kept = std::iter::from_fn(|| stage.upstreams.poll_output()).find_map(|said| match said {
        Said::Keep(kept) => Some(kept),
        Said::Exchange(_) | Said::Answer(..) => None,
    });
    let mut again = Stage::new(vec![line(Tier::Region, &["r1"])]);
    let kept = kept.unwrap().into_iter().map(|kept| Kept { age: Duration::from_secs(7_200), ..kept }).collect();
    again.upstreams.restore(kept, START);
    let out = again.ask(&query("charging"));
    let out = again.fail(&out.asked[0]);
    let found = &out.answer().matches[0];
    assert_eq!((found.stale, found.age), (true, Duration::from_secs(7_200)));
}

#[test]
fn what_one_node_does_not_take_another_is_told_at_once_and_a_pause_is_made_when_none_did() {
    let refresh = Some(Duration::from_secs(30));
    let mut stage = Stage::new(vec![Line { refresh, ..line(Tier::Region, &["r1", "r2"]) }]);
    let speaker = ("gw-7".parse().unwrap(), Kind::Gateway, 1);
    let speak = |stage: &mut Stage| {
        stage.upstreams.speak(&speaker, stage.now);
        stage.out().asked
    };
    let mut rounds = 0;
    while stage.now < START + Duration::from_secs(600) {
        let told = speak(&mut stage);
        rounds += usize::from(!told.is_empty());
        for first in told {
            stage.fail(&first);
            // A node that is left alone already is no other node.
            for second in speak(&mut stage) {
                assert_ne!(first.node, second.node, "not the same node again");
                assert_eq!(first.body, second.body);
                stage.fail(&second);
            }
            assert!(speak(&mut stage).is_empty(), "everybody was asked");
        }
        let next = stage.upstreams.poll_timeout().unwrap();
        assert!(stage.now <= next && next - stage.now <= breaker::CEILING, "{:?}", next - stage.now);
        stage.now = next;
        stage.upstreams.handle_timeout(&stage.known, stage.now);
    }
    // Two nodes, each tried anew within half a minute, most often after a quarter.
    assert!((20..200).contains(&rounds), "{rounds}");
    let mut stage = Stage::new(vec![Line { refresh, ..line(Tier::Region, &["r1", "r2"]) }]);
    let first = speak(&mut stage).remove(0);
    stage.fail(&first);
    let second = speak(&mut stage).remove(0);
    stage.tell(&second, br#"{"lease_s":90,"held":0,"whole":false}"#);
    assert!(speak(&mut stage).is_empty() && stage.upstreams.poll_timeout().is_some_and(|at| at > stage.now));
}

#[test]
fn a_shard_that_is_asked_is_told_the_part_of_the_trace_that_is_recorded_of_it() {
    let shards = ["a", "b", "c", "d"]
        .map(|name| Line { shard: Some(Shard { name: name.into(), weight: 1.0 }), ..line(Tier::Region, &[name]) });
    let trace = Trace { id: 7, span: Trace::root(9 << 32), sampled: true };
    let mut firsts = std::collections::BTreeSet::new();
    for n in 0..20 {
        let mut stage = Stage::new(shards.to_vec());
        let asked = stage.ask(&Query { trace: Some(trace), ..query(&format!("service-{n}")) }).asked;
        assert_eq!((asked.len(), asked[0].trace), (1, Some(trace.at(Tier::Region, 0))));
        firsts.insert(asked[0].line);
        let next = stage.fail(&asked[0]).asked;
        assert_eq!(next[0].trace, Some(trace.at(Tier::Region, 1)), "the next owner's word is the second");
    }
    assert!(firsts.len() > 1, "not always the first of the list: {firsts:?}");
}
