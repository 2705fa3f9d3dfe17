//! `wayside withdraw`.

use clap::Args;
use hyper::Method;
use wayside_protocols::text::escaped;

use super::client::{Asking, Client, Reply};
use super::exit::{Failure, Outcome};
use super::show::percent;

/// Withdraw a service that was announced here.
#[derive(Debug, Args)]
pub(super) struct Withdraw {
    /// The id, as `wayside announce` printed it
    id: String,
    #[command(flatten)]
    asking: Asking,
}

impl Withdraw {
    pub(super) async fn perform(self) -> Result<Outcome, Failure> {
        withdraw(&Client::new(&self.asking), &self.id).await
    }
}

/// Withdraws `id`; nothing was found if the agent does not know it.
pub(super) async fn withdraw(client: &Client, id: &str) -> Result<Outcome, Failure> {
    let path = format!("/v1/discovery/registration/{}", percent(id));
    match client.call(Method::DELETE, &path, String::new()).await? {
        Reply::Body(_) => Ok(Outcome::Found),
        Reply::Unknown => {
            eprintln!("wayside: no registration {}", escaped(id));
            Ok(Outcome::Nothing)
        }
    }
}
