//! Nothing that comes over the link breaks it, fills it or slows it down.

use proptest::prelude::*;

use super::*;

#[test]
fn five_thousand_instances_of_a_type_are_normal() {
    let mut link = Link::browsing("_http._tcp");
    let mut alive = 0;
    for at in 0..5_000 {
        alive += link.hears(&Response::default().instance(&std::format!("lamp {at}"), 4_500).bytes()).alive.len();
    }
    assert_eq!((alive, link.browser.instances(), link.browser.counters().evicted), (5_000, 5_000, 0));
    let sent = link.passes(seconds(60)).sent;
    assert!(sent.windows(2).all(|pair| pair[1].0 - pair[0].0 >= millis(10)), "queries are paced");
    let known: usize = sent.iter().map(|(_, bytes)| Packet::parse(bytes).unwrap().answers.len()).sum();
    assert!(known >= 5_000);
}

#[test]
fn five_thousand_pointers_are_all_asked_for() {
    let mut link = Link::browsing("_http._tcp");
    for at in 0..5_000 {
        let full = std::format!("lamp {at}._http._tcp.local");
        link.hears(&Response::default().pointer("_http._tcp.local", &full, 4_500).bytes());
    }
    let asked = link.passes(seconds(20)).questions();
    let servers: std::collections::BTreeSet<_> =
        asked.iter().filter(|(_, what)| what.ends_with("TYPE(SRV)")).map(|(_, what)| what).collect();
    assert_eq!(servers.len(), 5_000);
}

#[test]
fn a_hog_makes_room_at_its_own_cost() {
    let caps = Caps { instances: 100, instances_per_sender: 80, ..Caps::default() };
    let mut link = Link::with("_http._tcp", caps);
    for at in 0..20 {
        link.hears_from(
            "10.99.7.3:5353",
            true,
            &Response::default().instance(&std::format!("good {at}"), 4_500).bytes(),
        );
    }
    for at in 0..1_000 {
        link.hears(&Response::default().instance(&std::format!("flood {at}"), 4_500).bytes());
    }
    assert_eq!((link.browser.instances(), link.browser.counters().evicted), (100, 920));
    let gone = |link: &mut Link, label: &str| {
        let full = std::format!("{label}._http._tcp.local");
        link.hears(&Response::default().pointer("_http._tcp.local", &full, 0).bytes());
        link.passes(seconds(2)).gone.len()
    };
    assert_eq!(gone(&mut link, "good 0"), 1, "the modest are still known");
    assert_eq!(gone(&mut link, "flood 0"), 0);
    assert_eq!(gone(&mut link, "flood 999"), 1);
}

#[test]
fn bytes_are_capped_too() {
    let mut link = Link::with("_http._tcp", Caps { bytes: 10_000, ..Caps::default() });
    let long = std::format!("a={}", "x".repeat(250));
    for at in 0..200 {
        let full = std::format!("lamp {at}._http._tcp.local");
        let pairs = [long.as_str(); 4];
        link.hears(&Response::default().instance(&std::format!("lamp {at}"), 4_500).text(&full, &pairs, 4_500).bytes());
    }
    assert!(link.browser.instances() < 15, "{}", link.browser.instances());
}

#[test]
fn a_txt_record_of_9000_bytes_is_cut_and_survived() {
    let mut link = Link::browsing("_http._tcp");
    let full = "lamp._http._tcp.local";
    let pairs: Vec<String> = (0..34).map(|at| std::format!("k{at}={}", "x".repeat(240))).collect();
    let mut pairs: Vec<&str> = pairs.iter().map(String::as_str).collect();
    pairs.insert(0, "lat=1.5");
    pairs.insert(1, "lon=2.5");
    let heard = link.hears(&Response::default().instance("lamp", 120).text(full, &pairs, 120).bytes());
    let service = &heard.alive.last().unwrap().1;
    assert!(service.fix.is_some() && service.weight() < 1_500);
    assert_eq!(link.browser.counters().oversized_txt, 1);
}

#[test]
fn a_host_with_thousands_of_instances_tells_them_at_most_once_a_second() {
    let mut link = Link::browsing("_http._tcp");
    for at in 0..1_000 {
        let full = std::format!("lamp {at}._http._tcp.local");
        let instance =
            Response::default().pointer("_http._tcp.local", &full, 4_500).server(&full, "one.local", at, 4_500);
        link.hears(&instance.text(&full, &[], 4_500).address("one.local", [10, 99, 7, 9], 4_500).bytes());
    }
    link.passes(seconds(5));
    let mut told = 0;
    for at in 0..200_u8 {
        told += link.hears(&Response::default().address("one.local", [10, 99, 7, at], 120).bytes()).alive.len();
        told += link.passes(millis(5)).alive.len();
    }
    assert!(told <= 3_000, "{told}");
}

#[test]
fn types_beyond_the_cap_are_refused() {
    let mut link = Link::with("*", Caps { types: 3, ..Caps::default() });
    for at in 0..10 {
        let target = std::format!("_t{at}._tcp.local");
        link.hears(&Response::default().pointer("_services._dns-sd._udp.local", &target, 4_500).bytes());
        link.browser.browse(std::format!("_t{at}._tcp").parse().unwrap(), link.now);
    }
    assert_eq!(link.browser.counters().refused_types, 7 + 8);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let mut link = Link::browsing("_http._tcp");
        link.hears(&bytes);
        link.passes(seconds(2));
    }

    #[test]
    fn no_damage_to_a_packet_panics(damage in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..12), cut in any::<u16>()) {
        let mut link = Link::browsing("_http._tcp");
        let mut packet = Response::default().instance("lamp", 120).instance("desk", 4_500).bytes();
        for (at, byte) in damage {
            let at = usize::from(at) % packet.len();
            packet[at] = byte;
        }
        packet.truncate(packet.len().min(usize::from(cut) + 40));
        link.hears(&packet);
        link.hears(&packet);
        link.passes(seconds(300));
    }

    #[test]
    fn whatever_is_heard_the_caps_hold(labels in proptest::collection::vec((0_u8..60, 2_u8..6, 0_u32..4), 0..200)) {
        let caps = Caps { instances: 20, instances_per_type: 15, instances_per_sender: 8, ..Caps::default() };
        let mut link = Link::with("_http._tcp", caps);
        for (label, sender, ttl) in labels {
            let packet = Response::default().instance(&std::format!("lamp {label}"), ttl * 40).bytes();
            link.hears_from(&std::format!("10.99.7.{sender}:5353"), true, &packet);
            link.passes(millis(700));
            prop_assert!(link.browser.instances() <= 15);
        }
        link.passes(seconds(10_000));
        prop_assert_eq!(link.browser.instances(), 0);
    }
}
