//! What is believed, and what is said of it.

use super::*;

/// avahi 0.8 on Debian 12, announcing `Küche Lamp.1` at 48.8566, 2.3522.
const AVAHI_ALIVE: &str = "0000840000000006000000000d4bc3bc636865204c616d702e31055f68747470045f746370056c6f63616c00001080010000\
1194001e0b6c61743d34382e383536360a6c6f6e3d322e3335323206706174683d2fc01a000c0001000011940002c00cc00c0021800100000078000c0000\
00001f9003617662c025c074001c8001000000780010fe80000000000000dcbb5afffe58d5f8c074000180010000007800040a630702095f736572766963\
6573075f646e732d7364045f756470c025000c0001000011940002c01a";
/// The same daemon, taking it back.
const AVAHI_GONE: &str = "000084000000000600000000095f7365727669636573075f646e732d7364045f756470056c6f63616c00000c00010000000000\
0d055f68747470045f746370c023c034000c00010000000000100d4bc3bc636865204c616d702e31c034c04d0021800100000000000c000000001f900361\
7662c023c06f001c8001000000780010fe80000000000000dcbb5afffe58d5f8c06f000180010000007800040a630702c04d0010800100000000001e0b6c\
61743d34382e383536360a6c6f6e3d322e3335323206706174683d2f";
/// python-zeroconf 0.154, announcing `Dev-1` on port 1001.
const ZEROCONF_ALIVE: &str = "000084000000000500000000055f6c6f6164045f746370056c6f63616c00000c0001000011940008054465762d31c00cc0\
280021800100000078000b0000000003e9027a63c017c02800108001000011940013096c61743d34382e3835086c6f6e3d322e3335c04200018001000000\
7800040a630702c042002f8001000000780005c042000140";
/// The same after an update: port 1002, another latitude, and a value that is not UTF-8.
const ZEROCONF_UPDATE: &str = "000084000000000500000000055f6c6f6164045f746370056c6f63616c00000c0001000011940008054465762d31c00cc\
0280021800100000078000b0000000003ea027a63c017c02800108001000011940018096c61743d34382e3836086c6f6e3d322e333504783dfffec042000\
180010000007800040a630702c042002f8001000000780005c042000140";

#[test]
fn avahi_is_understood_from_announcement_to_goodbye() {
    let mut link = Link::browsing("_http._tcp");
    let heard = link.hears(&bytes(AVAHI_ALIVE));
    let (_, service, ttl) = &heard.alive[0];
    assert_eq!((service.id.as_str(), service.name.as_str()), ("küche lamp\\.1._http._tcp.local", "http"));
    assert_eq!(service.endpoint.as_ref().unwrap().to_string(), "10.99.7.2:8080");
    assert_eq!(service.fix.unwrap().position.to_string(), "48.856600,2.352200");
    assert_eq!((service.metadata["path"].as_ref(), *ttl), ("/", seconds(120)));

    assert!(link.hears(&bytes(AVAHI_GONE)).gone.is_empty(), "a goodbye leaves a second");
    let gone = link.passes(seconds(2)).gone;
    assert_eq!(gone, [(Timestamp::START + seconds(1), service.id.as_str().into())]);
    assert_eq!(link.browser.instances(), 0);
}

#[test]
fn zeroconf_is_understood_and_its_update_too() {
    let mut link = Link::browsing("_load._tcp");
    assert_eq!(link.hears(&bytes(ZEROCONF_ALIVE)).alive.len(), 1);
    assert_eq!(link.hears(&bytes(ZEROCONF_ALIVE)).alive.len(), 0, "a repeated announcement is no news");
    let updated = link.hears(&bytes(ZEROCONF_UPDATE)).alive;
    assert_eq!(updated[0].1.endpoint.as_ref().unwrap().port, 1_002);
    assert_eq!(updated[0].1.fix.unwrap().position.latitude(), 48.86);
    assert_eq!(link.browser.counters().dropped_pairs, 1);
}

#[test]
fn names_are_the_same_in_any_case() {
    let mut link = Link::browsing("_http._tcp");
    link.hears(&Response::default().pointer("_HTTP._tcp.LOCAL", "Lamp._Http._tcp.local", 4_500).bytes());
    let rest = Response::default()
        .server("LAMP._http._TCP.local", "Host.local", 80, 120)
        .text("lamp._http._tcp.local", &["a=b"], 4_500)
        .address("hOST.LOCAL", [10, 99, 7, 9], 120);
    let heard = link.hears(&rest.bytes());
    assert_eq!(heard.alive[0].1.id.as_str(), "lamp._http._tcp.local");
}

#[test]
fn a_forged_answer_is_refused_and_counted() {
    let mut link = Link::browsing("_http._tcp");
    let forged = bytes(AVAHI_ALIVE);
    for (from, multicast) in [
        ("10.99.7.2:9999", true),
        ("10.99.7.2:5353", false),
        ("192.0.2.9:5353", true),
        ("10.99.8.2:5353", true),
        ("[2001:db8::1]:5353", true),
    ] {
        assert!(link.hears_from(from, multicast, &forged).alive.is_empty(), "{from} {multicast}");
    }
    let counters = link.browser.counters();
    assert_eq!((counters.refused_port, counters.refused_unicast, counters.refused_off_link), (1, 1, 3));
    assert_eq!(link.browser.instances(), 0);
    assert_eq!(link.hears_from("[fe80::1]:5353", true, &forged).alive.len(), 1, "link-local is on the link");
}

#[test]
fn one_bad_record_is_skipped_and_its_neighbours_are_read() {
    let mut link = Link::browsing("_http._tcp");
    let mut packet = Response::default().address("bad.local", [1, 2, 3, 4], 120).instance("lamp", 120).bytes();
    // The first record's length says 4; its type becomes AAAA, which has 16 bytes.
    let kind = packet.windows(2).position(|pair| pair == [0x00, 0x01]).unwrap();
    assert_eq!(&packet[kind + 2..kind + 4], [0x80, 0x01]);
    packet[kind + 1] = 28;
    assert_eq!(link.hears(&packet).alive.len(), 1);
    assert_eq!(link.browser.counters().malformed_record, 1);
}

#[test]
fn orphans_are_not_kept() {
    let mut link = Link::browsing("_http._tcp");
    for at in 0..100 {
        let full = std::format!("orphan {at}._http._tcp.local");
        link.hears(&Response::default().server(&full, "x.local", 80, 5).text(&full, &["a=b"], 5).bytes());
    }
    assert_eq!((link.browser.instances(), link.browser.counters().orphans), (0, 200));
}

#[test]
fn a_new_address_takes_the_place_of_the_old_after_a_second() {
    let mut link = Link::browsing("_http._tcp");
    link.hears(&Response::default().instance("lamp", 120).bytes());
    link.passes(seconds(5));
    let moved = link.hears(&Response::default().address("lamp.local", [10, 99, 7, 77], 120).bytes());
    assert_eq!(moved.alive[0].1.endpoint.as_ref().unwrap().to_string(), "10.99.7.77:80");
    let later = link.passes(seconds(2));
    assert!(later.alive.is_empty() && later.gone.is_empty(), "the old one leaves without a word");
}

#[test]
fn what_comes_back_within_the_second_has_not_gone() {
    let mut link = Link::browsing("_http._tcp");
    link.hears(&Response::default().instance("lamp", 120).bytes());
    link.hears(&Response::default().pointer("_http._tcp.local", "lamp._http._tcp.local", 0).bytes());
    link.passes(millis(500));
    link.hears(&Response::default().instance("lamp", 120).bytes());
    assert!(link.passes(seconds(3)).gone.is_empty());
}

#[test]
fn silence_is_no_goodbye() {
    let mut link = Link::browsing("_http._tcp");
    link.hears(&Response::default().instance("lamp", 120).bytes());
    let heard = link.passes(seconds(3_600));
    assert!(heard.gone.is_empty() && heard.alive.is_empty());
    assert_eq!(link.browser.instances(), 0);
}

#[test]
fn a_link_that_goes_away_takes_its_services_along() {
    let mut link = Link::browsing("_http._tcp");
    link.hears(&Response::default().instance("lamp", 120).bytes());
    link.browser.flush(link.now);
    assert_eq!(link.drained().gone.len(), 1);
    assert_eq!(link.browser.poll_timeout(), None, "nothing is asked on a link that is away");
    link.browser.set_addresses(std::vec![(IpAddr::from([10, 99, 7, 1]), 24)]);
    assert_eq!(link.passes(millis(200)).questions()[0].1, "_http._tcp.local TYPE(PTR)");
}

#[test]
fn a_type_that_is_no_longer_browsed_is_forgotten() {
    let mut link = Link::browsing("_http._tcp");
    link.hears(&Response::default().instance("lamp", 120).bytes());
    link.passes(millis(200));
    link.browser.stop(&"_http._tcp".parse().unwrap());
    assert_eq!(link.drained().gone.len(), 1);
    assert_eq!((link.browser.instances(), link.browser.poll_timeout()), (0, None));
}

#[test]
fn every_advertised_type_is_told_once() {
    let mut link = Link::browsing("*");
    let types = || Response::default().pointer("_services._dns-sd._udp.local", "_ipp._tcp.local", 4_500);
    assert_eq!(link.hears(&types().bytes()).types, ["_ipp._tcp"]);
    assert!(link.hears(&types().bytes()).types.is_empty());
}

#[test]
fn only_who_said_it_last_takes_a_shared_id_away() {
    let mut link = Link::browsing("_http._tcp");
    let claim = |label: &str| {
        let full = std::format!("{label}._http._tcp.local");
        Response::default().instance(label, 120).text(&full, &["id=cp1", "agent=gw-7"], 120).bytes()
    };
    link.hears(&claim("one"));
    assert_eq!(link.hears(&claim("two")).alive[0].1.id.as_str(), "cp1@gw-7");
    assert_eq!(link.browser.counters().contested, 1);
    link.hears(&Response::default().pointer("_http._tcp.local", "one._http._tcp.local", 0).bytes());
    assert!(link.passes(seconds(2)).gone.is_empty());
    link.hears(&Response::default().pointer("_http._tcp.local", "two._http._tcp.local", 0).bytes());
    assert_eq!(link.passes(seconds(2)).gone.len(), 1);
}

#[test]
fn ipv6_of_the_link_comes_with_its_zone_and_last() {
    let mut link = Link::browsing("_http._tcp");
    let six = |ip: &str| RData::AAAA(simple_dns::rdata::AAAA::from(ip.parse::<core::net::Ipv6Addr>().unwrap()));
    let named = Response::default()
        .pointer("_http._tcp.local", "a._http._tcp.local", 120)
        .server("a._http._tcp.local", "a.local", 80, 120)
        .text("a._http._tcp.local", &[], 120);
    let heard = link.hears(&named.record("a.local", 120, true, six("fe80::5")).bytes());
    assert_eq!(heard.alive[0].1.endpoint.as_ref().unwrap().to_string(), "fe80::5%3:80");
    link.passes(seconds(2));
    let heard = link.hears(&Response::default().address("a.local", [10, 99, 7, 5], 120).bytes());
    assert_eq!(heard.alive[0].1.endpoint.as_ref().unwrap().to_string(), "10.99.7.5:80");
}
