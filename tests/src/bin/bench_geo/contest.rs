//! What everybody is asked.

use std::hint::black_box;
use std::io;

use wayside_core::geo::Key;
use wayside_protocols::place::{Fix, Position};

use crate::cpu;
use crate::town::{ROUNDS, Town, moved};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    Update,
    Within100,
    Within500,
    Nearest10,
}

impl Question {
    pub(crate) const ALL: [Self; 4] = [Self::Update, Self::Within100, Self::Within500, Self::Nearest10];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Update => "update",
            Self::Within100 => "100m",
            Self::Within500 => "500m",
            Self::Nearest10 => "10nn",
        }
    }
}

/// Microseconds for one of each, and how many were found in all.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    micros: [f64; 4],
    hits: [usize; 4],
}

impl Figures {
    pub(crate) fn note(&mut self, question: Question, micros: f64, hits: usize) {
        self.micros[question as usize] = micros;
        self.hits[question as usize] = hits;
    }

    pub(crate) const fn micros(&self, question: Question) -> f64 {
        self.micros[question as usize]
    }

    /// Checks that both found about the same: who finds less is faster for the wrong reason.
    ///
    /// # Errors
    /// If they differ by more than 3 %, and 200: redis takes the Earth for a sphere, and only ours reckons on.
    pub(crate) fn agree(&self, other: &Self) -> io::Result<()> {
        for question in [Question::Within100, Question::Within500, Question::Nearest10] {
            let (a, b) = (self.hits[question as usize], other.hits[question as usize]);
            if a.abs_diff(b) > 200 + a.max(b) * 3 / 100 {
                return Err(io::Error::other(format!("{}: {a} found, but {b} by wayside", question.name())));
            }
        }
        Ok(())
    }
}

/// Somebody who keeps places and answers.
pub(crate) trait Contestant {
    fn place(&mut self, key: Key, fix: &Fix);
    /// How many are within `metres`.
    fn within(&self, centre: &Position, metres: f64) -> usize;
    /// How many it gives as the ten nearest.
    fn nearest(&self, centre: &Position) -> usize;
    /// What it does between two rounds.
    fn rest(&mut self) {}
}

/// Puts `contestant` through it.
///
/// # Errors
/// None; so that it reads like the one that has some.
pub(crate) fn run(contestant: &mut impl Contestant, town: &Town) -> io::Result<Figures> {
    for (key, fix) in (0..).zip(&town.start) {
        contestant.place(Key(key), fix);
    }
    let mut figures = Figures::default();
    let mut fixes = town.start.clone();
    let mut spent = 0.0;
    for _ in 0..ROUNDS {
        fixes.iter_mut().for_each(|fix| *fix = moved(fix));
        let before = cpu::own();
        for (key, fix) in (0..).zip(&fixes) {
            contestant.place(Key(key), fix);
        }
        contestant.rest();
        spent += cpu::own() - before;
    }
    figures.note(Question::Update, 1e6 * spent / (f64::from(ROUNDS) * fixes.len() as f64), 0);
    ask(&mut figures, Question::Within100, town, |centre| contestant.within(centre, 100.0));
    ask(&mut figures, Question::Within500, town, |centre| contestant.within(centre, 500.0));
    ask(&mut figures, Question::Nearest10, town, |centre| contestant.nearest(centre));
    Ok(figures)
}

/// The best of this many batches counts.
pub(crate) const BATCHES: usize = 3;

fn ask(figures: &mut Figures, question: Question, town: &Town, mut answer: impl FnMut(&Position) -> usize) {
    let (mut best, mut hits) = (f64::INFINITY, 0);
    for _ in 0..BATCHES {
        let before = cpu::own();
        // A pure answer could else be worked out before or after the clock is read.
        hits = town.centres.iter().map(|centre| black_box(answer(black_box(centre)))).sum();
        best = best.min(cpu::own() - before);
    }
    figures.note(question, 1e6 * best / town.centres.len() as f64, hits);
}
