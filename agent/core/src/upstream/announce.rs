//! Telling a registry what this agent offers: one message when something changed, and one now and then to say that it is
//! still there. After an outage everything is said anew, at a moment of the agent's own.

use std::collections::BTreeMap;

use wayside_protocols::mqtt::announcement::Announcement;
use wayside_protocols::place::Position;
use wayside_protocols::registry::rows::{MAX_ROWS, Receipt, Rows};
use wayside_protocols::service::{AgentId, Kind, Label};
use wayside_protocols::time::{Duration, Timestamp};

use super::breaker;
use crate::dice::Dice;

/// What one registry has been told.
#[derive(Debug)]
pub(crate) struct Announcer {
    refresh: Duration,
    /// Whether there is nothing to say to it by an agent that offers nothing it holds.
    only_rows: bool,
    offered: BTreeMap<Label, Announcement>,
    place: Option<(Position, f32)>,
    /// What the registry acknowledged; `None` if it is to be told everything.
    told: Option<Told>,
    /// What it has been told once the message on its way is acknowledged, and whether that says no more than that the
    /// agent is there.
    sending: Option<(Told, bool)>,
    due: Timestamp,
    failures: u32,
}

#[derive(Clone, Debug, Default)]
struct Told {
    rows: BTreeMap<Label, Announcement>,
    place: Option<(Position, f32)>,
}

/// Who says so.
#[derive(Clone, Debug)]
pub(crate) struct Speaker {
    pub(crate) agent: AgentId,
    pub(crate) kind: Kind,
    pub(crate) epoch: u32,
}

impl Announcer {
    pub(crate) fn new(refresh: Duration) -> Self {
        Self {
            refresh,
            only_rows: false,
            offered: BTreeMap::new(),
            place: None,
            told: None,
            sending: None,
            due: Timestamp::START,
            failures: 0,
        }
    }

    /// For a registry that holds only some of what the agent offers: it is told nothing before there is some.
    pub(crate) fn only_rows(self) -> Self {
        Self { only_rows: true, ..self }
    }

    /// The agent offers just this. How many services are beyond what one message holds, and are told to nobody.
    pub(crate) fn offer(
        &mut self,
        rows: impl Iterator<Item = Announcement>,
        place: Option<(Position, f32)>,
        now: Timestamp,
    ) -> usize {
        let mut beyond = 0;
        self.offered.clear();
        for row in rows {
            let Some(id) = row.id.clone().filter(|_| self.offered.len() < MAX_ROWS / 2) else {
                beyond += 1;
                continue;
            };
            self.offered.insert(id, Announcement { ttl: self.lease(), ..row });
        }
        self.place = place;
        if self.failures == 0 && self.news() {
            // What changes together is told together.
            self.due = self.due.min(now + TOGETHER);
        }
        beyond
    }

    /// The message that is due.
    pub(crate) fn message(&mut self, speaker: Speaker, now: Timestamp) -> Option<Rows> {
        if self.sending.is_some() || self.due > now || self.silent() {
            return None;
        }
        let Speaker { agent, kind, epoch } = speaker;
        let whole = self.told.is_none();
        let before = self.told.clone().unwrap_or_default();
        let new = |(id, row): &(&Label, &Announcement)| before.rows.get(*id).is_none_or(|known| !alike(known, row));
        let rows: Vec<Announcement> = self.offered.iter().filter(new).map(|(_, row)| row.clone()).collect();
        let gone: Vec<Label> = before.rows.keys().filter(|id| !self.offered.contains_key(*id)).cloned().collect();
        let moved = whole || far(before.place, self.place);
        let place = self.place.filter(|_| moved).map(|(position, accuracy)| (position, Some(accuracy)));
        let sent = Told { rows: self.offered.clone(), place: if moved { self.place } else { before.place } };
        let quiet = !whole && rows.is_empty() && gone.is_empty();
        self.sending = Some((sent, quiet));
        Some(Rows { agent, kind, epoch, lease: self.lease(), whole, leaving: false, place, rows, gone })
    }

    /// The last message: nothing it offers is to be kept.
    pub(crate) fn farewell(&mut self, speaker: Speaker) -> Option<Rows> {
        self.told.take()?;
        let Speaker { agent, kind, epoch } = speaker;
        (self.due, self.sending) = (Timestamp::NEVER, None);
        let (rows, gone) = (Vec::new(), Vec::new());
        Some(Rows { agent, kind, epoch, lease: self.lease(), whole: true, leaving: true, place: None, rows, gone })
    }

    /// The registry took the message. True if everything is to be said anew.
    pub(crate) fn taken(&mut self, receipt: &Receipt, dice: &mut Dice, now: Timestamp) -> bool {
        let Some((sent, quiet)) = self.sending.take() else { return false };
        self.failures = 0;
        // Right after news the nodes of a registry may not all have heard it; a whole refresh later they have.
        let mistaken = receipt.whole || quiet && receipt.held != sent.rows.len();
        self.told = (!mistaken).then_some(sent);
        self.due = if mistaken {
            now + Duration::from_millis(dice.below(millis(RESAY.min(self.refresh))))
        } else if self.news() {
            now + TOGETHER
        } else {
            let tenth = millis(self.refresh / 10);
            now + (self.refresh - self.refresh / 10) + Duration::from_millis(dice.below(2 * tenth + 1))
        };
        mistaken
    }

    /// One node did not take the message; another is to have it at once.
    pub(crate) fn failed_there(&mut self, now: Timestamp) {
        if self.sending.take().is_some() {
            self.due = now;
        }
    }

    /// Nobody can be told before that moment.
    pub(crate) fn not_before(&mut self, at: Timestamp) {
        self.due = self.due.max(at);
    }

    /// The message was lost, or refused, by every node there is.
    pub(crate) fn lost(&mut self, dice: &mut Dice, now: Timestamp) {
        if self.sending.take().is_some() {
            self.due = now + breaker::pause(self.failures, dice);
            self.failures = self.failures.saturating_add(1);
        }
    }

    /// The agent goes by another name from here on: the registry has to be told everything.
    pub(crate) fn renamed(&mut self, now: Timestamp) {
        (self.told, self.sending, self.due) = (None, None, now);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        (self.sending.is_none() && self.due != Timestamp::NEVER && !self.silent()).then_some(self.due)
    }

    fn silent(&self) -> bool {
        self.only_rows && self.told.is_none() && self.offered.is_empty()
    }

    /// How long the registry keeps what it was told: it may miss two messages.
    fn lease(&self) -> Duration {
        Duration::from_secs((self.refresh * 3).as_secs().max(1))
    }

    fn news(&self) -> bool {
        let Some(told) = &self.told else { return true };
        let same = told.rows.len() == self.offered.len()
            && self.offered.iter().all(|(id, row)| told.rows.get(id).is_some_and(|known| alike(known, row)));
        !same || far(told.place, self.place)
    }
}

/// Whether a registry need not be told: how long it takes at the moment, and when its place was measured, is no news.
fn alike(before: &Announcement, after: &Announcement) -> bool {
    let mut before = before.clone();
    before.latency = after.latency;
    if let (Some(old), Some(new)) = (&mut before.place, &after.place) {
        old.time = new.time;
    }
    before == *after
}

fn far(before: Option<(Position, f32)>, after: Option<(Position, f32)>) -> bool {
    match (before, after) {
        (Some((before, _)), Some((after, _))) => before.distance(&after).as_metres() > FAR,
        (None, None) => false,
        (None, Some(_)) | (Some(_), None) => true,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// What happens within this is one message.
const TOGETHER: Duration = Duration::from_millis(20);
/// All agents of a registry that has lost everything say everything anew within this.
const RESAY: Duration = Duration::from_secs(10);
/// Who has gone farther than this, metres, tells the registry.
const FAR: f64 = 50.0;

#[cfg(test)]
mod tests {
    use super::*;
    use wayside_protocols::service::{Service, ServiceId};
    use wayside_protocols::time::UnixMillis;

    const REFRESH: Duration = Duration::from_secs(30);

    fn speaker() -> Speaker {
        Speaker { agent: "gw-7".parse().unwrap(), kind: Kind::Gateway, epoch: 4 }
    }

    fn row(id: &str, priority: u8) -> Announcement {
        let id = ServiceId::of(&id.parse().unwrap(), &speaker().agent);
        let mut service = Service::new(id, "charging".parse().unwrap(), Kind::Gateway);
        service.priority = priority;
        Announcement::from_service(&service, REFRESH, UnixMillis(0), Timestamp::START)
    }

    fn receipt(held: usize) -> Receipt {
        Receipt { lease: REFRESH * 3, held, whole: false }
    }

    struct Stage {
        announcer: Announcer,
        dice: Dice,
        now: Timestamp,
    }

    impl Stage {
        fn new() -> Self {
            Self { announcer: Announcer::new(REFRESH), dice: Dice::new(1, "t"), now: Timestamp::START }
        }

        fn offer(&mut self, rows: &[Announcement]) {
            self.announcer.offer(rows.iter().cloned(), None, self.now);
        }

        /// Waits until a message is due, and takes it.
        fn next(&mut self) -> Rows {
            self.now = self.now.max(self.announcer.poll_timeout().unwrap());
            self.announcer.message(speaker(), self.now).unwrap()
        }

        fn taken(&mut self, held: usize) -> bool {
            self.announcer.taken(&receipt(held), &mut self.dice, self.now)
        }
    }

    #[test]
    fn everything_is_said_once_then_changes_then_only_that_it_is_there() {
        let mut stage = Stage::new();
        stage.offer(&[row("a", 1), row("b", 1)]);
        let first = stage.next();
        assert_eq!((first.whole, first.rows.len(), first.lease), (true, 2, REFRESH * 3));
        assert!(!stage.taken(2));
        let before = stage.now;
        let refresh = stage.next();
        assert_eq!((refresh.whole, refresh.rows.len(), refresh.gone.len()), (false, 0, 0));
        let waited = stage.now - before;
        assert!(waited >= REFRESH * 9 / 10 && waited <= REFRESH * 11 / 10, "{waited:?}");
        stage.taken(2);
        stage.offer(&[row("b", 2), row("c", 1)]);
        let change = stage.next();
        let ids: Vec<_> = change.rows.iter().map(|row| row.id.clone().unwrap().to_string()).collect();
        assert_eq!((ids, change.gone.len(), change.whole), (vec!["b".to_owned(), "c".to_owned()], 1, false));
    }

    #[test]
    fn a_registry_that_holds_something_else_is_told_everything() {
        let mut stage = Stage::new();
        stage.offer(&[row("a", 1)]);
        stage.next();
        assert!(!stage.taken(0), "the nodes may not all have heard it yet");
        stage.next();
        assert!(stage.taken(0));
        let again = stage.next();
        assert_eq!((again.whole, again.rows.len()), (true, 1));
    }

    #[test]
    fn a_message_that_was_lost_is_said_again_after_a_pause_that_grows() {
        let mut stage = Stage::new();
        stage.offer(&[row("a", 1)]);
        let mut pauses = Vec::new();
        for _ in 0..40 {
            stage.next();
            stage.announcer.lost(&mut stage.dice, stage.now);
            pauses.push(stage.announcer.poll_timeout().unwrap() - stage.now);
            // Changes do not shorten it.
            stage.offer(&[row("a", 2)]);
        }
        assert!(pauses.iter().all(|pause| *pause <= breaker::CEILING), "{pauses:?}");
        assert!(pauses.iter().any(|pause| *pause > Duration::from_secs(15)));
        assert!(stage.next().whole);
    }

    #[test]
    fn how_long_it_takes_to_answer_is_no_news() {
        let mut stage = Stage::new();
        stage.offer(&[row("a", 1)]);
        stage.next();
        stage.taken(1);
        let slower = Announcement { latency: Some(Duration::from_millis(7)), ..row("a", 1) };
        stage.offer(&[slower]);
        assert!(stage.announcer.poll_timeout().unwrap() > stage.now + REFRESH / 2);
    }
}
