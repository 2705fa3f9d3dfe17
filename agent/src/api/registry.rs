//! What agents tell a registry of themselves.

use axum::extract::{Request, State};
use axum::response::Response;

use wayside_protocols::registry::rows::{MAX_BYTES, Rows};

use crate::api::Api;
use crate::api::problem::{FORMER, FULL, INVALID_FIELD, NO_REGISTRY, NOT_READY, Problem};
use crate::api::routes::{as_json, body_up_to};
use crate::io::engine::Refused;

/// `POST /v1/registry/announcement`.
pub(super) async fn announce(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let Some(desk) = &api.options.registry else {
        return Err(Problem::new(&NO_REGISTRY, "this agent keeps no records for others; a registry has [registry]"));
    };
    let body = body_up_to(MAX_BYTES, &api, request).await?;
    let rows = Rows::decode(&body).map_err(|error| Problem::new(&INVALID_FIELD, error.to_string()))?;
    let receipt = desk.tell(rows).await.map_err(|refused| {
        let sort = match refused {
            Refused::Former { .. } => &FORMER,
            Refused::Busy(_) | Refused::Full(_) | Refused::Engine(_) => &FULL,
        };
        Problem::new(sort, refused.to_string())
    })?;
    Ok(as_json(receipt.encode()))
}

/// Lets a question pass, unless this is a registry that cannot know the answer yet.
pub(super) fn ready(api: &Api) -> Result<(), Problem> {
    match &api.options.registry {
        Some(desk) if !desk.ready() => {
            Err(Problem::new(&NOT_READY, "this registry has not caught up with its engine; ask another node, or again"))
        }
        Some(_) | None => Ok(()),
    }
}
