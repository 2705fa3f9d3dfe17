use super::*;

const I_AM: &[u8] = &[0x81, 0x0A, 0, 0x14, 1, 0, 0x10, 0, 0xC4, 2, 0, 0, 7, 0x22, 4, 0, 0x91, 3, 0x21, 15];

fn target(last: u8) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(127, 7, 0, last), 47_808)
}

fn at(millis: u64) -> Timestamp {
    Timestamp::START + Duration::from_millis(millis)
}

fn round(targets: u8) -> Round {
    Round::new(Inquiry::new(Protocol::Bacnet, (1..=targets).map(target).collect()), at(0))
}

/// Lets time run until nothing is due; every address is silent. What was sent, and when.
fn run(round: &mut Round) -> Vec<(Timestamp, SocketAddrV4)> {
    let mut sent = Vec::new();
    while let Some(due) = round.due() {
        if let Some((to, _)) = round.next(due) {
            sent.push((due, to));
        }
        assert!(sent.len() < 10_000, "it goes on for ever");
    }
    sent
}

#[test]
fn silent_addresses_are_asked_twice_each_at_the_pace_and_no_more() {
    let mut round = round(200);
    let sent = run(&mut round);
    assert_eq!(sent.len(), 400);
    assert!(sent.windows(2).all(|pair| pair[1].0.since(pair[0].0) >= Duration::from_millis(20)));
    assert_eq!((round.found.len(), round.tally.sent), (0, 400));
}

#[test]
fn a_device_is_found_once_though_it_says_everything_twice() {
    let mut round = round(2);
    round.next(at(0));
    round.hear(target(1), I_AM, at(3));
    round.hear(target(1), I_AM, at(3));
    run(&mut round);
    round.hear(target(1), I_AM, at(90_000));
    assert_eq!(round.found.len(), 1);
    assert_eq!((round.found[0].address, round.found[0].round_trip), (target(1), Duration::from_millis(3)));
    assert_eq!(round.tally.strange, 2);
}

#[test]
fn who_was_not_asked_is_not_heard() {
    let mut round = round(1);
    round.next(at(0));
    for stranger in [target(9), SocketAddrV4::new(*target(1).ip(), 9)] {
        round.hear(stranger, I_AM, at(1));
    }
    round.hear(target(1), b"noise", at(1));
    run(&mut round);
    assert_eq!((round.found.len(), round.tally.strange), (0, 3));
}

#[test]
fn a_broadcast_is_one_datagram_and_only_those_allowed_are_heard() {
    let mut inquiry = Inquiry::new(Protocol::Bacnet, vec![target(1), target(2)]);
    inquiry.broadcast = Some(target(255));
    let mut round = Round::new(inquiry, at(0));
    assert_eq!(round.next(at(0)).map(|(to, _)| to), Some(target(255)));
    round.hear(target(1), I_AM, at(4));
    round.hear(target(3), I_AM, at(4));
    let asked: Vec<_> = run(&mut round).into_iter().map(|(_, to)| to).collect();
    assert_eq!(asked, [target(1); 4], "for its names");
    assert_eq!((round.found.len(), round.tally.strange), (1, 1));
}
