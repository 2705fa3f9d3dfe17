//! `wayside nearby`.

use clap::Args;
use serde_json::json;
use wayside_core::query::MAX_LIMIT;

use super::exit::{Failure, Outcome};
use super::find::{Around, Only, Question, Told};

/// List everything around here.
#[derive(Debug, Args)]
pub(super) struct Nearby {
    #[command(flatten)]
    around: Around,
    #[command(flatten)]
    only: Only,
    #[command(flatten)]
    told: Told,
}

impl Nearby {
    pub(super) async fn perform(self) -> Result<Outcome, Failure> {
        let around = Around { here: self.around.near.is_none(), ..self.around };
        let mut constraints = json!({ "location": around.location() });
        self.only.put(&mut constraints);
        let body = json!({ "service_name": "*", "all_tiers": true, "limit": MAX_LIMIT, "constraints": constraints });
        let question = Question { body, around, explain: false };
        question.ask(&self.told).await
    }
}
