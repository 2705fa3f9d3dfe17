//! What befalls hosts, links and brokers.

use rand::Rng;
use wayside_core::agent::Agent;
use wayside_core::agent::io::Input;
use wayside_protocols::time::{Duration, UnixMillis};

use super::agenda::Event;
use super::{BrokerNo, HostNo, LinkNo, Memory, World};

impl World {
    /// Starts the agent on `host`, in its next life.
    pub fn boot(&mut self, host: HostNo) {
        let here = &mut self.hosts[host.0];
        here.life += 1;
        here.asleep = false;
        here.settings.epoch += 1;
        here.settings.restored = here.journal.values().cloned().collect();
        here.told.clear();
        (here.armed, here.connected) = (None, false);
        let agent = Agent::new(here.settings.clone(), self.now);
        here.on_air = (*agent.on_air() != here.settings.id).then(|| (agent.on_air().clone(), 1));
        here.agent = Some(agent);
        self.settle(host);
        self.show_wall(host);
        let interfaces: Vec<u32> = self.hosts[host.0].interfaces.iter().map(|interface| interface.id.0).collect();
        interfaces.into_iter().for_each(|id| self.interface_up(host, id));
        self.reconnect(host);
    }

    /// Starts every agent, one every `apart`.
    pub fn boot_all(&mut self, apart: Duration) {
        for host in self.hosts() {
            self.boot(host);
            self.run(apart);
        }
    }

    /// Ends the agent on `host` without a word, as `kill -9` does. The kernel closes its connection.
    pub fn kill(&mut self, host: HostNo) {
        self.end(host);
        self.lose(host, Duration::ZERO);
    }

    /// Switches `host` off: nobody is told, and its broker finds out by itself.
    pub fn crash(&mut self, host: HostNo) {
        self.end(host);
        self.lose(host, DEAD_AFTER);
    }

    /// Asks the agent on `host` to leave, which it does at once, with its goodbyes.
    pub fn leave(&mut self, host: HostNo) {
        self.tell(host, "leave", Input::Leave);
        self.end(host);
    }

    /// Suspends `host`: it hears nothing, and its timers stand still.
    pub fn sleep(&mut self, host: HostNo) {
        self.hosts[host.0].asleep = true;
        (self.hosts[host.0].armed, self.hosts[host.0].speaks) = (None, None);
        self.lose(host, DEAD_AFTER);
    }

    /// Wakes `host` up: its clock has run on. First it notices the time, then that its connection is dead.
    pub fn wake(&mut self, host: HostNo) {
        self.hosts[host.0].asleep = false;
        self.time_passes(host);
        self.speak_later(host);
        self.hang_up(host);
    }

    /// Cuts the way from `host` to its broker; both sides notice when nothing is heard for long enough.
    pub fn cut(&mut self, host: HostNo) {
        self.hosts[host.0].cut = true;
        let connection = self.hosts[host.0].connection;
        self.agenda.plan(self.now + DEAD_AFTER, Event::Hangup { host, connection });
        self.lose(host, DEAD_AFTER);
    }

    /// Mends the way from `host` to its broker.
    pub fn mend(&mut self, host: HostNo) {
        self.hosts[host.0].cut = false;
    }

    /// Splits `link`: those in `apart` and the rest do not hear each other.
    pub fn split(&mut self, link: LinkNo, apart: &[HostNo]) {
        for (member, side) in &mut self.links[link.0].members {
            *side = u8::from(apart.contains(member));
        }
    }

    /// Makes `link` whole again. Nobody is told: carriers were up all along.
    pub fn heal(&mut self, link: LinkNo) {
        self.links[link.0].members.values_mut().for_each(|side| *side = 0);
    }

    /// Stops `broker`. Its clients notice at once.
    pub fn stop(&mut self, broker: BrokerNo, keeps: Memory) {
        self.brokers[broker.0].stop(keeps);
        let clients: Vec<HostNo> = self.hosts().filter(|host| self.hosts[host.0].broker == Some(broker)).collect();
        clients.into_iter().for_each(|host| self.hang_up(host));
    }

    /// Starts `broker` again. Its clients come back as they try.
    pub fn start(&mut self, broker: BrokerNo) {
        self.brokers[broker.0].up = true;
    }

    /// Sets the wall clock of `host` so that it shows `shown` at this moment.
    pub fn set_wall(&mut self, host: HostNo, shown: UnixMillis) {
        self.hosts[host.0].wall = UnixMillis(shown.0.wrapping_sub(self.now.as_micros() / 1_000));
        self.show_wall(host);
    }

    pub(super) fn interface_up(&mut self, host: HostNo, id: u32) {
        let Some(interface) = self.hosts[host.0].interfaces.iter().copied().find(|other| other.id.0 == id) else {
            return;
        };
        let addresses = vec![(interface.address.into(), 16)];
        self.tell(host, "link-up", Input::LinkUp { link: interface.id, addresses });
        if self.hosts[host.0].awake() {
            self.hosts[host.0].responder.again(&mut self.rng, self.now);
            self.speak_later(host);
        }
    }

    /// The connection of the agent on `host` is dead, and it knows.
    pub(super) fn hang_up(&mut self, host: HostNo) {
        if std::mem::take(&mut self.hosts[host.0].connected) {
            self.lose(host, Duration::ZERO);
            self.tell(host, "broker-down", Input::BrokerDown);
            self.reconnect(host);
        }
    }

    /// Plans the next try to reach the broker.
    pub(super) fn reconnect(&mut self, host: HostNo) {
        let pause = Duration::from_micros(self.rng.random_range(500_000..1_500_000));
        let life = self.hosts[host.0].life;
        self.agenda.plan(self.now + pause, Event::Connect { host, life });
    }

    fn show_wall(&mut self, host: HostNo) {
        let shown = UnixMillis(self.hosts[host.0].wall.0.wrapping_add(self.now.as_micros() / 1_000));
        self.tell(host, "wall", Input::Wall(shown));
    }

    fn end(&mut self, host: HostNo) {
        let here = &mut self.hosts[host.0];
        (here.agent, here.armed, here.speaks) = (None, None, None);
        here.responder = super::responder::Responder::default();
    }

    /// The broker finds out after `after` that the connection of `host` is dead.
    fn lose(&mut self, host: HostNo, after: Duration) {
        let (here, connection) = (&self.hosts[host.0], self.hosts[host.0].connection);
        let Some(broker) = here.broker else { return };
        if after == Duration::ZERO {
            self.brokers[broker.0].lose(host, connection);
        }
        self.agenda.plan(self.now + after + WILL_DELAY, Event::Will { broker, host, connection });
    }
}

/// One and a half of the shell's keep-alive of 15 s: then broker and agent take a silent connection for dead.
const DEAD_AFTER: Duration = Duration::from_millis(22_500);
/// How long the shell has the broker wait with its will.
const WILL_DELAY: Duration = Duration::from_secs(2);
