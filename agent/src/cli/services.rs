//! `wayside services`.

use clap::Args;
use serde_json::json;
use wayside_core::query::MAX_LIMIT;

use super::exit::{Failure, Outcome};
use super::find::{Around, Question, Told};

/// List every service that is known.
#[derive(Debug, Args)]
pub(super) struct Services {
    /// List instead what was refused lately: what, from whom, and why
    #[arg(long)]
    rejected: bool,
    #[command(flatten)]
    told: Told,
}

impl Services {
    pub(super) async fn perform(self) -> Result<Outcome, Failure> {
        if self.rejected {
            return super::rejected::show(&self.told).await;
        }
        let body = json!({ "service_name": "*", "all_tiers": true, "limit": MAX_LIMIT });
        Question { body, around: Around::default(), explain: false }.ask(&self.told).await
    }
}
