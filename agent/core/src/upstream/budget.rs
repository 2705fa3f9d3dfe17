//! How many questions may be asked twice.

/// A second question to another node costs what twenty first ones earn: 5 % more load at the most, and when all nodes
/// are slow together, hedging does not make it worse (The Tail at Scale, Dean and Barroso 2013).
#[derive(Clone, Debug)]
pub(super) struct Budget {
    twentieths: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Self { twentieths: PRICE }
    }
}

impl Budget {
    /// A first question was asked.
    pub(super) fn earn(&mut self) {
        self.twentieths = (self.twentieths + 1).min(SAVED * PRICE);
    }

    /// Whether a second one may be, now.
    pub(super) fn spend(&mut self) -> bool {
        let enough = self.twentieths >= PRICE;
        if enough {
            self.twentieths -= PRICE;
        }
        enough
    }
}

/// First questions a second one costs.
const PRICE: u32 = 20;
/// Second questions that can be saved up.
const SAVED: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_questions_are_at_most_a_twentieth_of_the_first() {
        let mut budget = Budget::default();
        let spent = (0..10_000).filter(|_| {
            budget.earn();
            budget.spend()
        });
        assert_eq!(spent.count(), 501);
        for _ in 0..10_000 {
            budget.earn();
        }
        assert_eq!((0..100).filter(|_| budget.spend()).count(), 10);
    }
}
