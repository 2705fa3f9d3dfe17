use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use wayside_core::agent::io::{Refusal, Settings};
use wayside_core::limits::Limits;
use wayside_core::query::{Centre, Near, Query};
use wayside_core::registration::Registration;
use wayside_core::watch::{Filter, WatchEvent};
use wayside_protocols::mqtt::beacon::Beacon;
use wayside_protocols::mqtt::cell::Cell;
use wayside_protocols::mqtt::topic::Topic;
use wayside_protocols::place::{Distance, Fix, Position};
use wayside_protocols::service::{Kind, Service};
use wayside_protocols::sighting::{LinkId, Sighting, Source};

use super::*;
use crate::count::AtomicU64;

#[tokio::test(start_paused = true)]
async fn a_question_is_answered_while_the_inbox_overflows() {
    let world = World::start(Edges::default());
    for _ in 0..3 * Inbox::CAPACITY {
        world.inbox.offer(noise());
    }
    let answer = world.handle.ask(Query::new(None)).await.unwrap();
    assert_eq!(answer.matches.len(), 0);
    assert!(world.count("datagrams_dropped") >= 2 * Inbox::CAPACITY as u64);
}

#[tokio::test(start_paused = true)]
async fn without_a_journal_a_registration_holds_at_once() {
    let world = World::start(Edges::default());
    let lease = world.handle.register(registration("a")).await.unwrap();
    assert_eq!(lease.ttl, Duration::from_secs(60));
    assert_eq!(world.handle.ask(Query::new(None)).await.unwrap().matches.len(), 1);
    world.handle.withdraw(lease.service.id.clone()).await.unwrap();
    assert_eq!(world.handle.ask(Query::new(None)).await.unwrap().matches.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_registration_is_acknowledged_when_it_is_on_disk_and_not_before() {
    let (journal, mut entries) = mpsc::channel(4);
    let world = World::start(Edges { journal: Some(journal), ..Edges::default() });
    let handle = world.handle.clone();
    let registering = tokio::spawn(async move { handle.register(registration("a")).await });
    let (ticket, _) = entries.recv().await.unwrap();
    world.handle.read(|_, _| ()).await.unwrap();
    assert!(!registering.is_finished());
    world.inbox.tell(Message::Stored(ticket, Ok(()))).await;
    assert!(registering.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_registration_is_refused_when_the_disk_does_not_keep_up() {
    let (journal, entries) = mpsc::channel(1);
    let world = World::start(Edges { journal: Some(journal), ..Edges::default() });
    let handle = world.handle.clone();
    let _waiting = tokio::spawn(async move { handle.register(registration("a")).await });
    while entries.is_empty() {
        task::yield_now().await;
    }
    let refused = world.handle.register(registration("b")).await;
    assert!(matches!(refused, Err(RegisterError::Refused(Refusal::Disk(_)))), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_watcher_hears_the_whole_picture_again() {
    let world = World::start(Edges::default());
    let mut watching = world.handle.watch(Filter::default()).await.unwrap();
    for turn in 0..2_000_u32 {
        world.inbox.tell(sighting("a", turn)).await;
    }
    world.handle.read(|_, _| ()).await.unwrap();
    assert_eq!(world.count("watchers_outrun"), 1);
    let mut resets = 0;
    let mut last = None;
    while resets < 2 || !matches!(last, Some(WatchEvent::Appeared(_))) {
        last = watching.next().await;
        resets += usize::from(last == Some(WatchEvent::Reset));
    }
    assert!(matches!(last, Some(WatchEvent::Appeared(service)) if service.priority == 1_999_u32 as u8));
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_dropped_makes_room_for_another() {
    let world = World::start(Edges::default());
    let first = world.handle.watch(Filter::default()).await.unwrap();
    let _second = world.handle.watch(Filter::default()).await.unwrap();
    let refused = world.handle.watch(Filter::default()).await;
    assert!(matches!(refused, Err(WatchError::Full { limit: 2 })), "{refused:?}");
    drop(first);
    assert!(world.handle.watch(Filter::default()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_expired_in_a_sleep_of_eight_hours_is_gone_a_second_after_waking() {
    let world = World::start(Edges::default());
    let mut watching = world.handle.watch(Filter::default()).await.unwrap();
    world.inbox.tell(sighting("a", 0)).await;
    while !matches!(watching.next().await.unwrap(), WatchEvent::Appeared(_)) {}
    world.asleep.store(8 * 3_600_000_000, Ordering::Relaxed);
    let gone = async { while !matches!(watching.next().await, Some(WatchEvent::Departed(_)) | None) {} };
    timeout(Duration::from_millis(1_500), gone).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_the_broker_missed_is_said_again() {
    let (broker, mut orders) = mpsc::channel(1);
    let world = World::start(Edges { broker: Some(broker), ..Edges::default() });
    world.inbox.tell(Message::BrokerUp { session_present: false }).await;
    world.handle.read(|_, _| ()).await.unwrap();
    assert!(world.count("broker_orders_dropped") > 0);
    let before = world.count("broker_orders_dropped");
    orders.recv().await.unwrap();
    timeout(Duration::from_secs(3), orders.recv()).await.unwrap().unwrap();
    assert!(world.count("broker_orders_dropped") >= before);
}

#[tokio::test(start_paused = true)]
async fn leaving_ends_the_loop_and_the_queues_though_nobody_reads_them() {
    let (broker, mut orders) = mpsc::channel(64);
    let (responder, adverts) = mpsc::channel(1);
    let world = World::start(Edges { broker: Some(broker), responder: Some(responder), ..Edges::default() });
    world.inbox.tell(Message::BrokerUp { session_present: false }).await;
    world.handle.leave().await;
    timeout(Duration::from_secs(3), world.running).await.unwrap().unwrap();
    let mut last = None;
    while let Some(order) = orders.recv().await {
        last = Some(order);
    }
    assert!(matches!(last, Some(BrokerOrder::Publish(_))), "{last:?}");
    assert!(adverts.is_closed() || adverts.sender_strong_count() == 0);
    assert_eq!(world.handle.ask(Query::new(None)).await, Err(Busy::Stopping));
}

#[tokio::test(start_paused = true)]
async fn requests_beyond_the_queue_are_told_so() {
    let (handle, _inbox, _doors) = doors();
    let waiting: Vec<_> = (0..Handle::CAPACITY)
        .map(|_| {
            let handle = handle.clone();
            tokio::spawn(async move { handle.read(|_, _| ()).await })
        })
        .collect();
    while handle.commands.capacity() > 0 {
        task::yield_now().await;
    }
    assert_eq!(handle.read(|_, _| ()).await, Err(Busy::Full { limit: Handle::CAPACITY }));
    waiting.iter().for_each(JoinHandle::abort);
}

/// Beacons come as fast as the loop takes them: about 100,000 a second here, more in a release build.
#[tokio::test(start_paused = true)]
async fn a_critical_question_waits_for_no_more_beacons_than_one_turn_hears() {
    let world = World::start(Edges::default());
    let mut unit = registration("rsu");
    unit.service.critical = true;
    unit.service.fix = Some(Fix::fixed(here(), 1.0, Timestamp::START));
    world.handle.register(unit).await.unwrap();
    let inbox = world.inbox.clone();
    let flood = tokio::spawn(async move {
        for number in 0_u32.. {
            let (vehicle, turn) = (number % 1_000, number / 1_000);
            inbox.tell(beacon(vehicle, turn as u16)).await;
        }
    });
    let heard = async || world.handle.read(|agent, _| agent.counters().get("beacons_total")).await.unwrap();
    while heard().await < 2_000 {
        task::yield_now().await;
    }
    let mut question = Query::new("charging".parse().ok());
    (question.critical, question.deadline) = (true, Some(Duration::from_millis(20)));
    question.near = Some(Near { centre: Centre::At(here()), radius: Distance::metres(100) });
    let mut most = 0;
    for _ in 0..500 {
        let before = heard().await;
        let answer = world.handle.ask(question.clone()).await.unwrap();
        most = most.max(heard().await - before);
        assert_eq!(answer.matches.len(), 1, "the unit stands here");
    }
    flood.abort();
    // From one look to the next there are two questions, and each finds at most one turn under way.
    assert!((1..=2 * BATCH as u64).contains(&most), "{most} beacons were heard while a question waited");
}

struct World {
    handle: Handle,
    inbox: Inbox,
    /// Microseconds the host slept: our clock went on, tokio's did not.
    asleep: Arc<AtomicU64>,
    running: JoinHandle<()>,
}

impl World {
    fn start(edges: Edges) -> Self {
        // The runtime's paused clock, which a test moves on.
        #[expect(clippy::disallowed_methods, reason = "this one does not run by itself")]
        let begin = Instant::now();
        let asleep = Arc::new(AtomicU64::new(0));
        let slept = Arc::clone(&asleep);
        let now = move || {
            let micros = u64::try_from(begin.elapsed().as_micros()).unwrap();
            Timestamp::from_micros(micros + slept.load(Ordering::Relaxed))
        };
        let (handle, inbox, doors) = doors();
        let agent = Agent::new(settings(), now());
        let running = tokio::spawn(Driver::new(agent, doors, edges, now, || UnixMillis(0)).run());
        Self { handle, inbox, asleep, running }
    }

    fn count(&self, name: &str) -> u64 {
        self.handle.tally().iter().find(|(known, _)| *known == name).map_or(0, |(_, count)| count)
    }
}

fn settings() -> Settings {
    Settings {
        id: "gw".parse().unwrap(),
        kind: Kind::Gateway,
        version: "0",
        epoch: 1,
        seed: 1,
        position: None,
        services: Vec::new(),
        restored: Vec::new(),
        mdns: true,
        browse: Vec::new(),
        announce_devices: false,
        things: None,
        api_port: None,
        rotate: None,
        events: false,
        upstream: Default::default(),
        kept: Vec::new(),
        limits: Limits { watchers: 2, ..Limits::default() },
    }
}

fn registration(id: &str) -> Registration {
    let mut service = Service::new(format!("{id}@gw").parse().unwrap(), "charging".parse().unwrap(), Kind::Gateway);
    service.agent = Some("gw".parse().unwrap());
    Registration { service, ttl: Duration::from_secs(60), check: None }
}

fn sighting(id: &str, turn: u32) -> Message {
    let mut service = Service::new(id.parse().unwrap(), "charging".parse().unwrap(), Kind::Device);
    service.priority = turn as u8;
    Message::Heard(Sighting::alive(Source::Mdns(LinkId(1)), service, Duration::from_secs(120)))
}

fn here() -> Position {
    Position::new(48.8566, 2.3522).unwrap()
}

/// Of a vehicle that drives east, 1 m a turn.
fn beacon(vehicle: u32, turn: u16) -> Message {
    let position = here().moved(0.0, f64::from(vehicle)).moved(90.0, f64::from(turn));
    let beacon: Beacon = Beacon {
        agent: format!("veh-{vehicle}").parse().unwrap(),
        epoch: 1,
        sequence: turn,
        kind: Kind::Vehicle,
        time: None,
        position,
        accuracy: Some(2.0),
        motion: None,
        services: 0,
        ttl: Duration::from_secs(30),
        seal: None,
    };
    let topic = Topic::Beacon { cell: Cell::at(&position), agent: beacon.agent.clone() };
    Message::Published { topic: topic.to_string().into(), payload: beacon.encode(), retained: false }
}

fn noise() -> Message {
    let from = "10.0.0.9:5353".parse().unwrap();
    Message::Datagram { link: LinkId(1), from, multicast: true, bytes: vec![0; 64] }
}
