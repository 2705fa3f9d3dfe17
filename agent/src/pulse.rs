//! Which loops must come round for the supervisor to hear that the agent lives.
//!
//! A process that runs says little: one whose mDNS loop has ended answers, and hears nobody. So each loop marks that it
//! came round, and the watchdog is fed only while all of them do.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::{self, Interval, MissedTickBehavior};
use wayside_protocols::time::Duration;

/// How often a loop comes round at least, even if nothing happens.
pub const ROUND: Duration = Duration::from_secs(1);

/// What wakes a loop every [`ROUND`]. A late tick does not put off those after it, so that loops which began together stay
/// together.
pub fn rounds() -> Interval {
    let mut rounds = time::interval(ROUND);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    rounds
}

/// The loops of one agent that are looked after.
#[derive(Debug, Default)]
pub struct Pulse(Vec<(&'static str, Beat)>);

impl Pulse {
    /// A loop to look after, under the name it is told by.
    pub fn of(&mut self, name: &'static str) -> Beat {
        let beat = Beat::default();
        self.0.push((name, beat.clone()));
        beat
    }

    /// The loops that have not come round since this was asked last.
    pub fn missing(&self) -> Vec<&'static str> {
        // Every mark is wiped, also after the first that is missing.
        self.0.iter().filter(|(_, beat)| !beat.0.swap(false, Ordering::Relaxed)).map(|(name, _)| *name).collect()
    }
}

/// The mark of one loop.
#[derive(Clone, Debug, Default)]
pub struct Beat(Arc<AtomicBool>);

impl Beat {
    /// The loop came round.
    pub fn tick(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Marks that the task this is awaited in still runs, every [`ROUND`]. For a task that may rightly wait long for
    /// somebody else: a broker that takes nothing must not end the agent.
    pub async fn often(&self) -> Infallible {
        let mut rounds = rounds();
        loop {
            rounds.tick().await;
            self.tick();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_did_not_come_round_is_named() {
        let mut pulse = Pulse::default();
        let (driver, mdns) = (pulse.of("driver"), pulse.of("mdns"));
        driver.tick();
        assert_eq!(pulse.missing(), ["mdns"]);
        assert_eq!(pulse.missing(), ["driver", "mdns"]);
        driver.tick();
        mdns.tick();
        assert_eq!(pulse.missing(), [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_waits_is_alive_until_it_ends() {
        let mut pulse = Pulse::default();
        let beat = pulse.of("mqtt");
        let task = tokio::spawn(async move { beat.often().await });
        for _ in 0..3 {
            time::sleep(ROUND * 2).await;
            assert_eq!(pulse.missing(), [""; 0]);
        }
        task.abort();
        time::sleep(ROUND * 2).await;
        pulse.missing();
        time::sleep(ROUND * 2).await;
        assert_eq!(pulse.missing(), ["mqtt"]);
    }
}
