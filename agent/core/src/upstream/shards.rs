//! Which upstreams a question goes to, and a service is told to, where those of a tier are shards of one registry.
//!
//! A service belongs to [`OWNERS`] of them by its name; each holds all of it. One that answers speaks for the others.

use wayside_protocols::registry::placement::{Shard, owners};
use wayside_protocols::service::ServiceName;

use super::Line;
use crate::query::Tier;

#[cfg(doc)]
use wayside_protocols::registry::placement::OWNERS;

/// Every upstream by its place in the settings, tier after tier.
#[derive(Debug)]
pub(super) struct Shards(Vec<Registry>);

/// The upstreams of one tier.
#[derive(Debug)]
struct Registry {
    tier: Tier,
    lines: Vec<usize>,
    /// What each is called, if they are shards; else nothing.
    shards: Vec<Shard>,
}

impl Shards {
    pub(super) fn new(lines: &[Line]) -> Self {
        let mut registries: Vec<Registry> = Vec::new();
        for (at, line) in lines.iter().enumerate() {
            if registries.last().is_none_or(|last| last.tier != line.tier) {
                registries.push(Registry { tier: line.tier, lines: Vec::new(), shards: Vec::new() });
            }
            if let Some(registry) = registries.last_mut() {
                registry.lines.push(at);
                registry.shards.extend(line.shard.clone());
            }
        }
        Self(registries)
    }

    /// Who is asked for `name`, one after the other: of a tier that is sharded the owners of the name, and everybody
    /// where no name is given.
    pub(super) fn route(&self, name: Option<&ServiceName>) -> impl Iterator<Item = usize> {
        self.0.iter().flat_map(move |registry| registry.route(name))
    }

    /// Whether the upstream at `line` is told of services of `name`.
    pub(super) fn told_of(&self, line: usize, name: Option<&ServiceName>) -> bool {
        self.route(name).any(|owner| owner == line)
    }
}

impl Registry {
    fn route(&self, name: Option<&ServiceName>) -> Vec<usize> {
        match name {
            Some(name) if self.sharded() => {
                owners(name.as_str(), &self.shards).into_iter().map(|place| self.lines[place]).collect()
            }
            _ => self.lines.clone(),
        }
    }

    /// All of them are, or none.
    fn sharded(&self) -> bool {
        self.shards.len() == self.lines.len()
    }
}

#[cfg(test)]
mod tests {
    use wayside_protocols::time::Duration;

    use super::*;
    use crate::upstream::Keeping;

    fn line(tier: Tier, shard: Option<&str>) -> Line {
        let shard = shard.map(|name| Shard { name: name.into(), weight: 1.0 });
        let (timeout, keeping) = (Duration::from_secs(1), Keeping::default());
        Line { tier, nodes: Vec::new(), timeout, refresh: None, keeping, shard }
    }

    #[test]
    fn a_name_goes_to_its_owners_then_to_the_next_tier_and_no_name_to_everybody() {
        let shards = Shards::new(&[
            line(Tier::Region, Some("a")),
            line(Tier::Region, Some("b")),
            line(Tier::Region, Some("c")),
            line(Tier::Region, Some("d")),
            line(Tier::Cloud, None),
            line(Tier::Cloud, None),
        ]);
        assert_eq!(shards.route(None).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
        let mut first = [0; 4];
        for n in 0..400 {
            let name: ServiceName = format!("service-{n}").parse().unwrap();
            let route: Vec<usize> = shards.route(Some(&name)).collect();
            assert_eq!((route.len(), &route[3..]), (5, &[4, 5][..]));
            first[route[0]] += 1;
            for line in 0..6 {
                assert_eq!(shards.told_of(line, Some(&name)), route.contains(&line));
            }
        }
        assert!(first.iter().all(|owned| (60..140).contains(owned)), "no shard is the first for all: {first:?}");
        assert!(shards.told_of(0, None));
    }
}
