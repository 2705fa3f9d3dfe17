//! Where the agent goes on to registries: questions that nobody near answers, and what it offers itself.

use wayside_protocols::mqtt::announcement::Announcement;
use wayside_protocols::service::{AgentId, Kind};
use wayside_protocols::sighting::Source;
use wayside_protocols::time::Timestamp;

use super::Agent;
use super::io::Output;
use crate::query::{Query, Ticket, Tier};
use crate::resolver;
use crate::upstream::{ExchangeId, Failure, Said};

impl Agent {
    /// Answers, or goes on to who may know.
    pub(super) fn ask(&mut self, ticket: Ticket, query: Query, now: Timestamp) {
        self.counters.count("queries_total");
        let mut answer = resolver::near(&self.known, &query, now);
        self.registry.mark(&mut answer, now);
        if (answer.tier.is_none() || query.all_tiers)
            && query.farthest > Tier::Neighbour
            && let Some(upstream) = &mut self.upstream
        {
            return upstream.ask(ticket, query, answer, &self.known, now);
        }
        resolver::close(&mut answer);
        self.outputs.push_back(Output::Answer(ticket, Box::new(answer)));
    }

    pub(super) fn told(&mut self, exchange: ExchangeId, result: Result<&[u8], Failure>, now: Timestamp) {
        if let Some(upstream) = &mut self.upstream {
            upstream.told(exchange, result, &self.known, now);
        }
    }

    pub(super) fn upward_timeout(&mut self, now: Timestamp) {
        if self.upstream.is_none() {
            return;
        }
        let speaker = self.speaker();
        if let Some(upstream) = &mut self.upstream {
            upstream.handle_timeout(&self.known, now);
            upstream.speak(&speaker, now);
        }
    }

    pub(super) fn upward_due(&self) -> Option<Timestamp> {
        self.upstream.as_ref()?.poll_timeout()
    }

    /// The next thing the upstreams want done.
    pub(super) fn upward(&mut self) -> Option<Output> {
        Some(match self.upstream.as_mut()?.poll_output()? {
            Said::Exchange(exchange) => Output::Upstream(exchange),
            Said::Answer(ticket, answer) => Output::Answer(ticket, answer),
            Said::Keep(rows) => Output::Keep(rows),
        })
    }

    /// Registries are told what is announced to others, and the devices on the agent's buses.
    pub(super) fn offer_upward(&mut self, now: Timestamp) {
        if self.upstream.is_none() {
            return;
        }
        let wall = self.wall_at(now);
        let devices = self.known.catalog().offered_by(self.known.me()).filter_map(|(_, entry)| {
            let held = entry.claims().first().filter(|held| held.source == Source::Modbus)?;
            Some((self.alias.show((*held.service).clone()), held.until - now))
        });
        let own = self.vouch.announced().map(|(service, ttl)| (self.alias.show(service), ttl));
        let rows: Vec<Announcement> =
            own.chain(devices).map(|(service, ttl)| Announcement::from_service(&service, ttl, wall, now)).collect();
        let place = self.shown.map(|fix| (fix.position, fix.accuracy));
        if let Some(upstream) = &mut self.upstream {
            upstream.offer(&rows, place, now);
        }
    }

    pub(super) fn renamed_upward(&mut self, now: Timestamp) {
        if let Some(upstream) = &mut self.upstream {
            upstream.renamed(now);
        }
    }

    pub(super) fn leave_upward(&mut self, now: Timestamp) {
        let speaker = self.speaker();
        if let Some(upstream) = &mut self.upstream {
            upstream.leave(&speaker, &self.known, now);
        }
    }

    fn speaker(&self) -> (AgentId, Kind, u32) {
        (self.alias.name().clone(), self.settings.kind, self.alias.epoch())
    }
}
