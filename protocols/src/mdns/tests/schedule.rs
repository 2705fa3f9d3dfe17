//! When what is asked.

use super::*;

#[test]
fn a_type_is_asked_at_once_and_then_at_doubling_intervals() {
    let mut link = Link::browsing("_http._tcp");
    let heard = link.passes(seconds(5 * 3_600));
    let at: Vec<f64> = heard.sent.iter().map(|(at, _)| at.as_micros() as f64 / 1e6).collect();
    assert!((0.02..=0.12).contains(&at[0]), "{at:?}");
    let gaps: Vec<f64> = at.windows(2).map(|pair| (pair[1] - pair[0]).round()).collect();
    assert_eq!(gaps[..13], [1., 2., 4., 8., 16., 32., 64., 128., 256., 512., 1024., 2048., 3600.]);
    assert_eq!(heard.questions()[0].1, "_http._tcp.local TYPE(PTR)");
}

#[test]
fn what_is_missing_is_asked_for_with_growing_pauses() {
    let mut link = Link::browsing("_http._tcp");
    link.passes(millis(500));
    link.hears(&Response::default().pointer("_http._tcp.local", "lamp._http._tcp.local", 4_500).bytes());
    let asked = link.passes(seconds(60)).questions();
    let servers: Vec<_> = asked.iter().filter(|(_, what)| what == "lamp._http._tcp.local TYPE(SRV)").collect();
    assert_eq!(servers.len(), 6, "at 0, 1, 3, 7, 15 and 31 s: {asked:?}");
    assert!(servers[0].0 - Timestamp::START <= millis(650));

    link.hears(&Response::default().server("lamp._http._tcp.local", "lamp.local", 80, 120).bytes());
    let asked = link.passes(millis(400)).questions();
    assert_eq!(asked[0].1, "lamp.local TYPE(A)");
    assert_eq!(asked[1].1, "lamp.local TYPE(AAAA)");
}

#[test]
fn an_instance_without_txt_is_shown_after_asking_twice() {
    let mut link = Link::browsing("_http._tcp");
    let bare = Response::default()
        .pointer("_http._tcp.local", "lamp._http._tcp.local", 4_500)
        .server("lamp._http._tcp.local", "lamp.local", 80, 120)
        .address("lamp.local", [10, 99, 7, 9], 120);
    assert!(link.hears(&bare.bytes()).alive.is_empty());
    let heard = link.passes(seconds(10));
    let asked = heard.questions().iter().filter(|(_, what)| what.ends_with("TYPE(TXT)")).count();
    assert!(asked >= 2);
    assert!((seconds(3)..seconds(4)).contains(&(heard.alive[0].0 - Timestamp::START)), "{:?}", heard.alive[0].0);
    let heard = link.hears(&Response::default().text("lamp._http._tcp.local", &["a=b"], 4_500).bytes());
    assert_eq!(&*heard.alive[0].1.metadata["a"], "b");
}

#[test]
fn what_is_known_is_not_asked_for_again() {
    let mut link = Link::browsing("_http._tcp");
    link.hears(&Response::default().instance("lamp", 4_500).bytes());
    let heard = link.passes(millis(200));
    let query = Packet::parse(&heard.sent[0].1).unwrap();
    assert_eq!(query.answers[0].name.to_string(), "_http._tcp.local");
    assert_eq!(query.answers[0].ttl, 4_499);
    // Past half of its life it is asked for like an unknown one.
    let heard = link.passes(seconds(2_300));
    let (_, last) = heard.sent.iter().rev().find(|(at, _)| *at - Timestamp::START > seconds(2_047)).unwrap();
    assert_eq!(Packet::parse(last).unwrap().answers.len(), 1);
    let heard = link.passes(seconds(1_310));
    assert!(heard.sent.iter().all(|(_, query)| Packet::parse(query).unwrap().answers.is_empty()));
}

#[test]
fn records_are_refreshed_before_they_run_out() {
    let mut link = Link::browsing("_http._tcp");
    link.hears(&Response::default().instance("lamp", 120).bytes());
    link.passes(seconds(90));
    let asked = link.passes(seconds(10)).questions();
    for what in ["_http._tcp.local TYPE(PTR)", "lamp._http._tcp.local TYPE(SRV)", "lamp.local TYPE(A)"] {
        assert!(asked.iter().any(|(_, asked)| asked == what), "{what}: {asked:?}");
    }
    let refreshed = link.hears(&Response::default().instance("lamp", 120).bytes());
    assert_eq!((refreshed.alive.len(), refreshed.alive[0].2), (1, seconds(120)));
}

#[test]
fn known_answers_that_fill_a_packet_go_on_in_the_next() {
    let mut link = Link::browsing("_http._tcp");
    for at in 0..200 {
        link.hears(&Response::default().instance(&std::format!("a lamp with quite a long name {at}"), 4_500).bytes());
    }
    let heard = link.passes(millis(500));
    let queries: Vec<Packet<'_>> = heard
        .sent
        .iter()
        .map(|(_, bytes)| Packet::parse(bytes).unwrap())
        .filter(|query| query.answers.len() > 1)
        .collect();
    assert!(heard.sent.iter().all(|(_, bytes)| bytes.len() <= 1_440));
    assert_eq!(queries.iter().map(|query| query.answers.len()).sum::<usize>(), 200);
    let truncated: Vec<bool> =
        queries.iter().map(|query| query.has_flags(simple_dns::PacketFlag::TRUNCATION)).collect();
    assert_eq!(
        truncated.iter().rposition(|more| *more),
        Some(truncated.len() - 2),
        "all but the last say that more follow"
    );
    assert_eq!((queries[0].questions.len(), queries[1].questions.len()), (1, 0));
}

#[test]
fn a_question_somebody_just_asked_is_not_repeated_but_the_next_is() {
    let mut link = Link::browsing("_http._tcp");
    link.passes(millis(700));
    let query = bytes("000000000001000000000000055f68747470045f746370056c6f63616c00000c0001");
    link.hears(&query);
    assert!(link.passes(millis(900)).sent.is_empty());
    assert_eq!(link.browser.counters().suppressed_queries, 1);
    let mut alone = 0;
    for _ in 0..100 {
        link.hears(&query);
        alone += link.passes(millis(200)).sent.len();
    }
    assert!(alone >= 1, "nobody can keep us quiet by asking");
}

#[test]
fn a_response_loops_back_to_nobody() {
    let mut link = Link::browsing("_http._tcp");
    let sent = link.passes(millis(200)).sent;
    link.hears_from("10.99.7.1:5353", true, &sent[0].1);
    assert_eq!(link.browser.counters().suppressed_queries, 0);
}

#[test]
fn a_refresh_somebody_just_asked_for_is_left_to_them() {
    let mut link = Link::browsing("_http._tcp");
    link.hears(&Response::default().instance("lamp", 120).bytes());
    link.passes(seconds(90));
    while link.browser.pending.is_empty() {
        link.passes(millis(20));
    }
    let mut query = Packet::new_query(0);
    for (owner, kind) in [("lamp._http._tcp.local", TYPE::SRV), ("lamp.local", TYPE::A)] {
        query.questions.push(Question::new(name(owner), kind.into(), CLASS::IN.into(), false));
    }
    link.hears(&query.build_bytes_vec_compressed().unwrap());
    assert!(link.browser.pending.is_empty() && link.browser.counters().suppressed_queries > 0);
    // It was not answered: the next turn, a twentieth of the record's life on, is taken.
    let asked = link.passes(seconds(10)).questions();
    assert!(asked.iter().any(|(_, asked)| asked == "lamp._http._tcp.local TYPE(SRV)"), "{asked:?}");
}

#[test]
fn after_hours_of_sleep_everything_is_asked_as_if_for_the_first_time() {
    let mut link = Link::browsing("_http._tcp");
    link.passes(seconds(5 * 3_600));
    link.now = link.now + seconds(3 * 3_600);
    assert_eq!(link.passes(seconds(20)).sent.len(), 5, "at 0, 1, 3, 7 and 15 s");
}
