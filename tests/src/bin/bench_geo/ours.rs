//! The index as the agent uses it.

use std::io;
use std::process::Command;

use wayside_core::geo::{GeoIndex, Key, Population};
use wayside_protocols::place::{Distance, Fix, Position};
use wayside_protocols::time::{Duration, Timestamp};

use crate::contest::{Contestant, Figures, run as race};
use crate::cpu;
use crate::town::{ROUND, ROUNDS, Spread, Town, moved};

struct Ours {
    index: GeoIndex,
    now: Timestamp,
    longest: f64,
}

/// Figures, and the longest upkeep in microseconds.
pub(crate) fn run(town: &Town) -> (Figures, f64) {
    let mut ours = Ours { index: GeoIndex::new(), now: Timestamp::START, longest: 0.0 };
    let figures = race(&mut ours, town).unwrap_or_default();
    (figures, ours.longest)
}

/// Questions of 500 m, each asked right after a call of upkeep that followed a tenth of a second of driving: how long
/// both together took, in microseconds, sorted.
pub(crate) fn questions_amid_upkeep(town: &Town) -> Vec<f64> {
    let mut ours = Ours { index: GeoIndex::new(), now: Timestamp::START, longest: 0.0 };
    let mut fixes = town.start.clone();
    let mut micros = Vec::new();
    for _ in 0..ROUNDS {
        for (key, fix) in (0..).zip(&mut fixes) {
            *fix = moved(fix);
            ours.place(Key(key), fix);
        }
        for centre in town.centres.iter().cycle().skip(micros.len() % town.centres.len()).take(UPKEEPS) {
            let before = cpu::own();
            ours.index.maintain(ours.now);
            std::hint::black_box(ours.within(centre, 500.0));
            micros.push(1e6 * (cpu::own() - before));
        }
    }
    micros.sort_by(f64::total_cmp);
    micros
}

/// Resident bytes for each of `size` things after churn. Only true in a fresh process.
pub(crate) fn bytes_each(size: usize) -> f64 {
    let town = Town::new(size, Spread::Even);
    let mut fixes = town.start;
    let before = resident();
    let mut index = GeoIndex::new();
    for _ in 0..ROUNDS {
        for (key, fix) in (0..).zip(&mut fixes) {
            *fix = moved(fix);
            index.place(Key(key), fix).expect("a town has only possible fixes");
        }
        (0..4).for_each(|_| index.maintain(fixes[0].time));
    }
    let after = resident();
    std::hint::black_box(&index);
    (after - before) / size as f64
}

/// [`bytes_each`] in a process of its own.
///
/// # Errors
/// If that cannot be started or says no number.
pub(crate) fn bytes_each_apart(size: &str) -> io::Result<u32> {
    let output = Command::new(std::env::current_exe()?).args(["memory", size]).output()?;
    String::from_utf8_lossy(&output.stdout).trim().parse().map_err(io::Error::other)
}

impl Contestant for Ours {
    fn place(&mut self, key: Key, fix: &Fix) {
        self.now = fix.time;
        self.index.place(key, fix).expect("a town has only possible fixes");
    }

    fn within(&self, centre: &Position, metres: f64) -> usize {
        let radius = Distance::new(metres).expect("asked for in range");
        let mut hits = 0;
        // Asked for at an age of half a round, so that everything has to be reckoned on.
        self.index.within(centre, radius, Population::All, self.now + HALF, &mut |_, seen| {
            hits += usize::from(seen.distance() <= radius);
        });
        hits
    }

    fn nearest(&self, centre: &Position) -> usize {
        self.index.nearest(centre, 10, self.now + HALF).len()
    }

    /// Four times a round, which is forty times a second.
    fn rest(&mut self) {
        for _ in 0..4 {
            let before = cpu::own();
            self.index.maintain(self.now);
            self.longest = self.longest.max(1e6 * (cpu::own() - before));
        }
    }
}

/// Calls of upkeep for each round of driving, more than there are: every block that is worn is laid anew.
const UPKEEPS: usize = 80;
const HALF: Duration = Duration::from_millis(ROUND.as_millis() as u64 / 2);

fn resident() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<f64>().ok()).unwrap_or(f64::NAN) * 4_096.0
}
