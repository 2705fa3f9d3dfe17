//! `wayside nearby`.

use clap::Args;
use serde_json::json;
use wayside_core::query::MAX_LIMIT;
use wayside_protocols::service::Kind;

use super::exit::{Failure, Outcome};
use super::find::{Around, Question, Told};

/// List everything around here.
#[derive(Debug, Args)]
pub(super) struct Nearby {
    #[command(flatten)]
    around: Around,
    /// Only what is offered by a gateway, vehicle, roadside, device or software
    #[arg(long, value_name = "KIND")]
    kind: Option<Kind>,
    #[command(flatten)]
    told: Told,
}

impl Nearby {
    pub(super) async fn perform(self) -> Result<Outcome, Failure> {
        let around = Around { here: self.around.near.is_none(), ..self.around };
        let constraints = json!({ "location": around.location() });
        let body = json!({ "service_name": "*", "all_tiers": true, "limit": MAX_LIMIT, "constraints": constraints });
        let question = Question { body, around, explain: false };
        question.ask(&self.told, |row| self.kind.is_none_or(|kind| row.kind == kind.as_str())).await
    }
}
