//! One upstream: a registry of several nodes that hold the same, of which any may be asked.

use wayside_protocols::service::AgentId;
use wayside_protocols::time::{Duration, Timestamp};

use super::announce::Announcer;
use super::breaker::{Breaker, Gate};
use super::budget::Budget;
use super::cache::Cache;
use super::pulse::Pulse;
use super::store::Store;
use super::{Failure, Line as Settings};
use crate::dice::Dice;
use crate::limits::Limits;
use crate::query::{Cause, Tier};

#[derive(Debug)]
pub(super) struct Line {
    pub(super) tier: Tier,
    /// Whether it is one of several that hold something else each.
    pub(super) shard: bool,
    pub(super) timeout: Duration,
    pub(super) nodes: Vec<Node>,
    pub(super) cache: Cache,
    pub(super) store: Store,
    pub(super) budget: Budget,
    pub(super) announcer: Option<Announcer>,
    /// Nodes that failed to take the announcement that is to be made.
    pub(super) tried: Vec<usize>,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: Box<str>,
    pub(super) breaker: Breaker,
    pub(super) pulse: Pulse,
}

impl Line {
    pub(super) fn new(settings: &Settings, me: &AgentId, limits: &Limits) -> Self {
        let Settings { tier, nodes, timeout, refresh, keeping, shard } = settings.clone();
        let node = |name| Node { name, breaker: Breaker::default(), pulse: Pulse::default() };
        Self {
            tier,
            shard: shard.is_some(),
            timeout,
            nodes: nodes.into_iter().map(node).collect(),
            cache: Cache::new(keeping.clone()),
            store: Store::new(me.clone(), tier, keeping, limits),
            budget: Budget::default(),
            announcer: refresh.map(Announcer::new).map(|all| if shard.is_some() { all.only_rows() } else { all }),
            tried: Vec::new(),
        }
    }

    /// Which node is to be asked, of those that were not yet: the better of two at random by how long it takes at the
    /// moment and how many wait for it (power of two choices), so that a thousand agents do not all run to the one that was
    /// best a moment ago. A node that is to be tried anew goes before all others, one question at a time.
    pub(super) fn choose(&self, tried: &[usize], dice: &mut Dice, now: Timestamp) -> Option<usize> {
        let untried = (0..self.nodes.len()).filter(|node| !tried.contains(node));
        let mut open: Vec<usize> = Vec::new();
        for node in untried {
            match self.nodes[node].breaker.gate(now) {
                Gate::HalfOpen => return Some(node),
                Gate::Closed => open.push(node),
                Gate::Open(_) => {}
            }
        }
        let many = open.len() as u64;
        // The casts cannot cut: what is drawn is below the number of nodes.
        let (one, other) = (*open.get(dice.below(many) as usize)?, *open.get(dice.below(many) as usize)?);
        let better = self.nodes[one].pulse.cost() <= self.nodes[other].pulse.cost();
        Some(if better { one } else { other })
    }

    /// When a node can be asked again, where none can be now.
    pub(super) fn next_attempt(&self, now: Timestamp) -> Timestamp {
        let opens = self.nodes.iter().map(|node| match node.breaker.gate(now) {
            Gate::Open(until) => until,
            Gate::Closed | Gate::HalfOpen => now,
        });
        opens.min().unwrap_or(Timestamp::NEVER)
    }

    /// Why no node can be asked.
    pub(super) fn why(&self, now: Timestamp) -> Failure {
        let said = self.nodes.iter().map(|node| match node.breaker.gate(now) {
            Gate::Open(until) => {
                let seconds = (until - now).as_millis().div_ceil(100) as f64 / 10.0;
                format!("{}: {}; next attempt within {seconds} s", node.name, node.breaker.why())
            }
            Gate::Closed | Gate::HalfOpen => format!("{}: not asked", node.name),
        });
        Failure { cause: Cause::Unreachable, why: said.collect::<Vec<_>>().join(", ").into() }
    }

    /// `the registry of the region at r1:7878, r2:7878`.
    pub(super) fn asked(&self) -> Box<str> {
        let nodes: Vec<&str> = self.nodes.iter().map(|node| &*node.name).collect();
        let whose = if self.tier == Tier::Cloud { "cloud" } else { "region" };
        format!("services in the registry of the {whose} at {}", nodes.join(", ")).into()
    }
}
