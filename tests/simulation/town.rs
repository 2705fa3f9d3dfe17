//! Places with many agents in them.

use wayside_protocols::place::Position;
use wayside_protocols::service::Kind;
use wayside_protocols::time::Duration;
use wayside_tests::world::{BrokerNo, HostNo, LinkNo, World};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MINUTE: Duration = Duration::from_secs(60);

/// The middle of every town.
pub(crate) fn square() -> Position {
    Position::new(48.8566, 2.3522).expect("a place on Earth")
}

/// Gateways on one link, each offering `charging`.
pub(crate) fn on_a_link(world: &mut World, count: usize, loss: f64) -> (LinkNo, Vec<HostNo>) {
    let link = world.link(loss);
    let hosts = (0..count).map(|n| gateway(world, &format!("l{}-{n:03}", link.0), None)).collect::<Vec<_>>();
    hosts.iter().for_each(|host| world.join(*host, link));
    (link, hosts)
}

/// Gateways around one broker, 50 m apart along a street northwards, each offering `charging`.
pub(crate) fn around_a_broker(world: &mut World, count: usize) -> (BrokerNo, Vec<HostNo>) {
    let broker = world.broker();
    let place = |n: usize| Some(square().moved(0.0, 50.0 * n as f64));
    let hosts = (0..count).map(|n| gateway(world, &format!("b{}-{n:03}", broker.0), place(n))).collect::<Vec<_>>();
    hosts.iter().for_each(|host| world.attach(*host, broker));
    (broker, hosts)
}

pub(crate) fn gateway(world: &mut World, id: &str, position: Option<Position>) -> HostNo {
    let host = world.host(id, Kind::Gateway, position);
    world.offer(host, "cp", "charging");
    host
}
