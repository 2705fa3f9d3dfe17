//! Holds the agent's answers against where the vehicles truly are.

use std::collections::BTreeMap;
use std::error::Error;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::time;
use wayside::driver::Handle;
use wayside_core::query::{Centre, MAX_LIMIT, Near, Query, Verdict};
use wayside_protocols::place::Distance;
use wayside_protocols::service::ServiceName;

use crate::traffic::Traffic;

/// The one who asks.
pub(crate) struct Check {
    traffic: Rc<Traffic>,
    handle: Handle,
    round: usize,
}

/// Since the start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    pub(crate) bytes: u64,
    pub(crate) heard: u64,
    pub(crate) refused: u64,
}

/// What twenty questions of each radius came to.
#[derive(Debug, Default)]
pub(crate) struct Round {
    pub(crate) definite: usize,
    pub(crate) possible: usize,
    pub(crate) wrong: Vec<String>,
    micros: Vec<f64>,
}

impl Round {
    /// How long a question took that `share` of them did not exceed.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let mut micros = self.micros.clone();
        micros.sort_by(f64::total_cmp);
        let rank = (share * micros.len() as f64).ceil() as usize;
        micros.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
    }
}

impl Check {
    pub(crate) fn new(traffic: Rc<Traffic>, handle: Handle) -> Self {
        Self { traffic, handle, round: 0 }
    }

    /// Waits until the agent has heard of every vehicle.
    pub(crate) async fn until_all_are_known(&self, patience: Duration) -> Result<(), Box<dyn Error>> {
        let all = self.traffic.vehicles();
        let begun = Instant::now();
        loop {
            // The agent itself is one more.
            let known = self.handle.read(|agent, now| agent.status(now).placed).await?;
            if known >= all {
                return Ok(());
            }
            if begun.elapsed() > patience {
                return Err(format!("only {known} of {all} vehicles were heard within {patience:?}").into());
            }
            time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn counts(&self) -> Result<Counts, Box<dyn Error>> {
        let counters = self.handle.read(|agent, _| agent.counters()).await?;
        let sum = |wanted: &dyn Fn(&str) -> bool| {
            counters.iter().filter(|(name, _)| wanted(name)).map(|(_, count)| count).sum()
        };
        Ok(Counts {
            sent: self.traffic.sent.get(),
            bytes: self.traffic.bytes.get(),
            heard: sum(&|name| name == "beacons_total"),
            refused: sum(&|name| name.starts_with("refused_")),
        })
    }

    /// Twenty questions of each radius around twenty vehicles, others each time.
    pub(crate) async fn round(&mut self) -> Result<Round, Box<dyn Error>> {
        let mut round = Round::default();
        for number in 0..ASKED {
            self.round += 1;
            let centre = (self.round * 7_919 + number) % self.traffic.vehicles();
            for radius in [100, 500] {
                self.ask(centre, radius, &mut round).await?;
            }
        }
        Ok(round)
    }

    async fn ask(&self, centre: usize, metres: u32, round: &mut Round) -> Result<(), Box<dyn Error>> {
        let asked = Instant::now();
        let centre = self.traffic.truth(centre, asked);
        let mut query = Query::new(Some(ServiceName::wayside()));
        query.near = Some(Near { centre: Centre::At(centre), radius: Distance::metres(metres) });
        (query.all_tiers, query.limit) = (true, MAX_LIMIT);
        let answer = self.handle.ask(query).await?;
        let took = asked.elapsed();
        round.micros.push(took.as_secs_f64() * 1e6);
        let found: BTreeMap<&str, Verdict> =
            answer.matches.iter().map(|found| (found.service.id.as_str(), found.verdict)).collect();
        let radius = f64::from(metres);
        // The moment of the answer is known to as much as it took; a vehicle that brakes is somewhat behind its word.
        let slack = SLACK + 20.0 * took.as_secs_f64();
        for vehicle in 0..self.traffic.vehicles() {
            let id = Traffic::id(vehicle);
            let away = centre.distance(&self.traffic.truth(vehicle, asked + took / 2)).as_metres();
            match found.get(id.as_str()) {
                Some(Verdict::Definite) if away > radius + slack => {
                    round.wrong.push(format!("{id} is {away:.1} m away and called definitely within {metres} m"));
                }
                None if away < radius - slack && found.len() < usize::from(MAX_LIMIT) => {
                    round.wrong.push(format!("{id} is {away:.1} m away and missing within {metres} m"));
                }
                Some(Verdict::Definite) => round.definite += 1,
                Some(Verdict::Possible) => round.possible += 1,
                None => {}
            }
        }
        Ok(())
    }
}

/// Questions of each radius in a round.
const ASKED: usize = 20;
/// Metres that a vehicle may be off its word between two beacons; see the CAM rule.
const SLACK: f64 = 3.0;
