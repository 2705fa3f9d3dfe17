//! How fast the geo index is, against redis-server, a linear scan and a grid of 250 m cells.
//!
//! `./tests/bench geo [SIZE...]`, sizes as `1e3 1e4 1e5` (the default) or `1e6`; with `alone` without the peers. Each
//! line reads `figure NAME VALUE UNIT`:
//!
//! * `geo_QUESTION_vs_PEER_SIZE`, unit `x`: the peer's CPU time for one over ours. QUESTION is `update`, `100m`,
//!   `500m` or `10nn`; PEER is `redis`, `linear` or `grid`. With `_clustered` at the end: not spread evenly over
//!   20 by 20 km, but in 200 crowds of unequal size, 300 m across at one sigma.
//! * `geo_QUESTION_SIZE` and `geo_QUESTION_PEER_SIZE`, unit `us`: the same in microseconds, ours and the peer's.
//! * `geo_maintain_longest_SIZE`, unit `us`: the longest that one call of `maintain` kept the index.
//! * `geo_500m_amid_upkeep_p999_SIZE`, unit `us`: a question of 500 m and the call of upkeep right before it, together:
//!   what a question can feel of tiles that are laid anew.
//! * `geo_bytes_each_SIZE`, unit `B`: resident memory for each thing after churn, rows, trees and all.
//!
//! What is measured: everybody moves 1 to 3 m, ten times a second, always ahead, for 25 rounds, and reports once a
//! round at a moment of its own, so always in the same order, which has nothing to do with where it is; `update` is
//! the mean of all rounds, upkeep included. Then questions are asked around things picked at random, and the best of
//! three equal batches counts. Ours and the baselines' time is this thread's CPU time; that of redis-server is the
//! server's own, over a unix socket with 64 commands in flight. Ours reckons everything on to the moment of asking.
//! redis has no search for the nearest without a radius, so it is told the best one there is: the smallest that holds
//! ten around 99 of 100 centres.

#![allow(clippy::print_stdout, reason = "the figures are what it is for")]

mod contest;
mod cpu;
mod grid;
mod linear;
mod ours;
mod redis;
mod town;

use std::process::ExitCode;

use contest::{Figures, Question, run};
use town::{Spread, Town};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [memory, size] = &arguments[..]
        && memory == "memory"
        && let Some(size) = count(size)
    {
        println!("{:.0}", ours::bytes_each(size));
        return ExitCode::SUCCESS;
    }
    let alone = arguments.iter().any(|argument| argument == "alone");
    let arguments: Vec<String> = arguments.into_iter().filter(|argument| argument != "alone").collect();
    let names = if arguments.is_empty() { ["1e3", "1e4", "1e5"].map(String::from).to_vec() } else { arguments };
    let mut complete = true;
    for name in &names {
        let Some(size) = count(name) else {
            eprintln!("bench geo: {name} is not one of 1e3, 1e4, 1e5, 1e6");
            return ExitCode::from(2);
        };
        for (spread, suffix) in [(Spread::Even, ""), (Spread::Clustered, "_clustered")] {
            complete &= compare(size, spread, &format!("{name}{suffix}"), alone);
        }
        match ours::bytes_each_apart(name) {
            Ok(bytes) => println!("figure geo_bytes_each_{name} {bytes} B"),
            Err(error) => {
                eprintln!("bench geo: geo_bytes_each_{name}: {error}");
                complete = false;
            }
        }
    }
    if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs everybody over one town and prints the figures; whether all were there and agreed.
fn compare(size: usize, spread: Spread, name: &str, alone: bool) -> bool {
    let town = Town::new(size, spread);
    let (ours, longest) = ours::run(&town);
    for question in Question::ALL {
        println!("figure geo_{}_{name} {:.3} us", question.name(), ours.micros(question));
    }
    println!("figure geo_maintain_longest_{name} {longest:.0} us");
    let amid = ours::questions_amid_upkeep(&town);
    println!("figure geo_500m_amid_upkeep_p999_{name} {:.0} us", amid[amid.len() * 999 / 1_000]);
    if alone {
        return true;
    }
    let peers = [
        ("redis", redis::run(&town)),
        ("linear", run(&mut linear::Linear::default(), &town)),
        ("grid", run(&mut grid::Grid::default(), &town)),
    ];
    let mut complete = true;
    for (peer, figures) in peers {
        match figures.and_then(|figures| figures.agree(&ours).map(|()| figures)) {
            Ok(figures) => tell(peer, name, &figures, &ours),
            Err(error) => {
                eprintln!("bench geo: no figures against {peer} at {name}: {error}");
                complete = false;
            }
        }
    }
    complete
}

fn tell(peer: &str, name: &str, peers: &Figures, ours: &Figures) {
    for question in Question::ALL {
        let (theirs, ours) = (peers.micros(question), ours.micros(question));
        println!("figure geo_{}_{peer}_{name} {theirs:.3} us", question.name());
        println!("figure geo_{}_vs_{peer}_{name} {:.1} x", question.name(), theirs / ours);
    }
}

fn count(name: &str) -> Option<usize> {
    [("1e3", 1_000), ("1e4", 10_000), ("1e5", 100_000), ("1e6", 1_000_000)]
        .iter()
        .find_map(|(known, size)| (*known == name).then_some(*size))
}
