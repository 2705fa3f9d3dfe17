//! Which topics this agent listens to.
//!
//! The cells of the circle around it, its own among them; the presence of those it has heard there; and, as long as it
//! does not know where it stands and is not one that moves, everything. Who stands hears the presence of everybody while
//! these are few, so that on a site an agent that offers nothing is known too.

use std::collections::{BTreeSet, VecDeque};

use wayside_protocols::mqtt::topic::filter;
use wayside_protocols::place::{Distance, Position};
use wayside_protocols::service::{AgentId, Kind};

use super::io::Output;

/// What the broker sends us.
#[derive(Debug)]
pub(super) struct Listening {
    me: AgentId,
    kind: Kind,
    horizon: Distance,
    /// How many agents' presences are listened to one by one; further ones are believed for as long as they say.
    limit: usize,
    up: bool,
    /// Where the cells were last chosen, and whether as one that moves.
    chosen: Option<(Position, bool)>,
    own: Option<(Position, bool)>,
    filters: BTreeSet<Box<str>>,
    followed: BTreeSet<AgentId>,
    /// More agents were heard of than a site has: from there on only those near are.
    crowded: bool,
    outputs: VecDeque<Output>,
}

impl Listening {
    pub(super) fn new(me: AgentId, kind: Kind, horizon: Distance, limit: usize) -> Self {
        Self {
            me,
            kind,
            horizon,
            limit,
            up: false,
            chosen: None,
            own: None,
            filters: BTreeSet::new(),
            followed: BTreeSet::new(),
            crowded: false,
            outputs: VecDeque::new(),
        }
    }

    pub(super) fn rename(&mut self, me: AgentId) {
        self.me = me;
    }

    /// A broker that knows nothing of us: all is subscribed anew.
    pub(super) fn connected(&mut self) {
        self.up = true;
        self.filters.clear();
        self.choose();
    }

    pub(super) fn disconnected(&mut self) {
        self.up = false;
    }

    /// The agent stands at `position`. Cells are chosen anew once it is [`STRAY`] from where they were.
    pub(super) fn stand(&mut self, position: Position, moves: bool) {
        self.own = Some((position, moves));
        let strayed = |(there, moved): (Position, bool)| {
            moved != moves || there.distance(&position).as_metres() > STRAY.as_metres()
        };
        if self.chosen.is_none_or(strayed) {
            self.choose();
        }
    }

    /// `agent` was heard here: whether it is lost is to be heard as well.
    pub(super) fn follow(&mut self, agent: &AgentId) {
        if self.followed.len() < self.limit && !self.everywhere() && self.followed.insert(agent.clone()) {
            let filter = filter::presence_of(agent);
            if self.up && !self.few() && self.filters.insert(filter.clone()) {
                self.outputs.push_back(Output::Subscribe(vec![filter]));
            }
        }
    }

    /// So many agents were heard of by now.
    pub(super) fn heard_of(&mut self, agents: usize) {
        if agents > SITE && !self.crowded {
            self.crowded = true;
            self.choose();
        }
    }

    /// Whether anybody is followed.
    pub(super) fn follows(&self) -> bool {
        !self.followed.is_empty()
    }

    /// Those of whom nothing is known any more are no longer followed, and are said.
    pub(super) fn keep(&mut self, known: impl Fn(&AgentId) -> bool) -> BTreeSet<AgentId> {
        let (kept, dropped) = std::mem::take(&mut self.followed).into_iter().partition(known);
        self.followed = kept;
        let dropped: BTreeSet<AgentId> = dropped;
        if !dropped.is_empty() {
            self.choose();
        }
        dropped
    }

    /// Listens to everything one agent announces; what is retained comes at once.
    pub(super) fn ask(&mut self, agent: &AgentId) {
        if self.up {
            self.outputs.push_back(Output::Subscribe(vec![filter::announcements_of(agent)]));
        }
    }

    /// Stops listening to everything one agent announces.
    pub(super) fn enough(&mut self, agent: &AgentId) {
        if self.up {
            self.outputs.push_back(Output::Unsubscribe(vec![filter::announcements_of(agent)]));
        }
    }

    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// New filters are subscribed before old ones are dropped, so that nobody on a cell's edge is lost between. What
    /// the circle has only just left is kept, so that who drives along an edge does not change its mind with each metre.
    fn choose(&mut self) {
        self.chosen = self.own;
        if !self.up {
            return;
        }
        let near = self.wanted(STRAY.as_metres());
        let mut new: Vec<Box<str>> = near.difference(&self.filters).cloned().collect();
        // Presences first, so that a dead agent's retained announcements are known for what they are.
        new.sort_by_key(|filter| !filter.starts_with("wayside/1/p/"));
        let wide = self.wanted(STRAY.as_metres() + KEPT.as_metres());
        let (kept, old): (BTreeSet<_>, BTreeSet<_>) =
            std::mem::take(&mut self.filters).into_iter().partition(|filter| wide.contains(filter));
        if !new.is_empty() {
            self.outputs.push_back(Output::Subscribe(new));
        }
        if !old.is_empty() {
            self.outputs.push_back(Output::Unsubscribe(old.into_iter().collect()));
        }
        self.filters = kept;
        self.filters.extend(near);
    }

    /// Everything there is to listen to `more` metres beyond the horizon.
    fn wanted(&self, more: f64) -> BTreeSet<Box<str>> {
        let mut wanted = BTreeSet::from([filter::queries(&self.me)]);
        if self.everywhere() {
            wanted.extend([filter::presences(), filter::all_announcements(), filter::all_beacons()]);
            return wanted;
        }
        wanted.extend([filter::own_announcements(&self.me), filter::unplaced_announcements()]);
        wanted.insert(filter::unplaced_beacons());
        if let Some((position, moves)) = &self.own {
            let radius = Distance::new(self.horizon.as_metres() + more).unwrap_or(Distance::FARTHEST);
            // Who moves comes to what is farther; who stands may look farther.
            let announced = if *moves { filter::announcements_near } else { filter::announcements_around };
            wanted.extend(announced(position, radius));
            wanted.extend(filter::beacons_around(position, radius));
        }
        if self.few() {
            wanted.insert(filter::presences());
        } else {
            wanted.extend(self.followed.iter().map(filter::presence_of));
        }
        wanted
    }

    /// Whether everybody's presence is listened to: by who stands, as long as there are no more than a site has. Each one
    /// that moves would otherwise hear all of its fleet whenever it connects.
    fn few(&self) -> bool {
        !self.crowded && self.kind != Kind::Vehicle && self.own.is_none_or(|(_, moves)| !moves)
    }

    /// A thing without a place, on a site without places: it hears all there is. Not a vehicle, which is only waiting
    /// for its receiver, perhaps in the middle of a city.
    fn everywhere(&self) -> bool {
        self.own.is_none() && self.kind != Kind::Vehicle
    }
}

/// Agents on a broker that still are a site, not a city.
const SITE: usize = 256;
/// How far one may go before cells are chosen anew; the circle is that much wider.
const STRAY: Distance = Distance::metres(25);
/// How far the circle may leave a cell behind before it is dropped.
const KEPT: Distance = Distance::metres(50);

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Position {
        Position::new(48.8566, 2.3522).unwrap()
    }

    fn listening(kind: Kind) -> Listening {
        let mut listening = Listening::new("me".parse().unwrap(), kind, Distance::metres(500), 4);
        listening.connected();
        listening
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "it says nothing else")]
    fn said(listening: &mut Listening) -> (Vec<Box<str>>, Vec<Box<str>>) {
        let (mut new, mut old) = (Vec::new(), Vec::new());
        while let Some(output) = listening.poll_output() {
            match output {
                Output::Subscribe(filters) => {
                    assert!(old.is_empty(), "new ones come before old ones go");
                    new.extend(filters);
                }
                Output::Unsubscribe(filters) => old.extend(filters),
                other => panic!("{other:?}"),
            }
        }
        (new, old)
    }

    fn cells(filters: &[Box<str>]) -> usize {
        filters.iter().filter(|filter| filter.starts_with("wayside/1/b/1")).count()
    }

    #[test]
    fn a_vehicle_that_does_not_know_where_it_is_does_not_listen_to_the_city() {
        let (new, _) = said(&mut listening(Kind::Vehicle));
        assert!(new.iter().all(|filter| filter.contains("/-/-/") || filter.contains("/me")), "{new:?}");
        let (new, _) = said(&mut listening(Kind::Gateway));
        assert!(new.contains(&filter::all_beacons()) && new.contains(&filter::presences()));
    }

    #[test]
    fn who_stands_hears_of_everybody_until_these_are_more_than_a_site_has() {
        let mut listening = listening(Kind::Gateway);
        listening.stand(place(), false);
        listening.follow(&"near".parse().unwrap());
        said(&mut listening);
        assert!(listening.filters.contains(&filter::presences()));
        listening.heard_of(SITE);
        assert_eq!(said(&mut listening), (Vec::new(), Vec::new()));
        listening.heard_of(SITE + 1);
        assert_eq!(said(&mut listening), (vec!["wayside/1/p/near".into()], vec![filter::presences()]));
        listening.connected();
        assert!(!said(&mut listening).0.contains(&filter::presences()), "nor after the next connection");
    }

    #[test]
    fn every_cell_of_the_circle_is_listened_to_wherever_one_drives_and_none_comes_and_goes() {
        let mut listening = listening(Kind::Vehicle);
        let mut changes = 0;
        for metre in 0..8_000 {
            // A weaving way east, forth and back by 10 m.
            let east = f64::from(metre) + if metre % 2 == 0 { 10.0 } else { 0.0 };
            let here = place().moved(90.0, east);
            listening.stand(here, true);
            let (new, old) = said(&mut listening);
            changes += usize::from(!new.is_empty()) + usize::from(!old.is_empty());
            for wanted in filter::beacons_around(&here, Distance::metres(500)) {
                assert!(listening.filters.contains(&wanted), "at {metre} m {wanted} is not heard");
            }
            assert!(cells(&listening.filters.iter().cloned().collect::<Vec<_>>()) <= 12);
        }
        // 8 km are ten cells: each comes with its column once and goes once.
        assert!(changes <= 24, "{changes}");
    }

    #[test]
    fn the_presence_of_who_is_heard_is_listened_to_up_to_a_limit_and_dropped_with_them() {
        let mut listening = listening(Kind::Vehicle);
        listening.stand(place(), true);
        said(&mut listening);
        for n in 0..6 {
            listening.follow(&format!("a{n}").parse().unwrap());
            listening.follow(&format!("a{n}").parse().unwrap());
        }
        assert_eq!(said(&mut listening).0.len(), 4);
        listening.keep(|agent| agent.as_str() == "a1");
        assert_eq!(said(&mut listening).1, ["wayside/1/p/a0", "wayside/1/p/a2", "wayside/1/p/a3"].map(Box::from));
        listening.connected();
        assert!(said(&mut listening).0.contains(&"wayside/1/p/a1".into()), "again after each connection");
    }
}
