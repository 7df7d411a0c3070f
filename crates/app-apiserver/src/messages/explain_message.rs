//! `GET /api/messages/{id}/explain`

use app_db::messages::facts::{self, Facts};
use app_db::{provider_pauses, provider_states};
use axum::Json;
use axum::extract::{Path, State};

use crate::App;
use crate::explain::{ExplanationJson, Known, explain};
use crate::problem::Problem;

/// Explain where a message is
///
/// Why it has not gone, if it has not: the rule that it matches, who could carry it now, what happened at each attempt,
/// and what it waits for.
#[utoipa::path(
    get,
    path = "/api/messages/{id}/explain",
    tag = "messages",
    operation_id = "explain_message",
    params(("id" = String, Path, description = "The message's id")),
    responses(
        (status = 200, description = "Where it is and why", body = ExplanationJson),
        (status = 404, description = "`message_not_found`", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn explain_message(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<ExplanationJson>, Problem> {
    let (_, explanation) = explained(&app, &id).await?;
    Ok(Json(explanation))
}

/// The message of that id with all that is stored about it, and the explanation.
pub(crate) async fn explained(app: &App, id: &str) -> Result<(Facts, ExplanationJson), Problem> {
    let mut database = app.database().await?;
    let facts = match super::parse_id(id) {
        Some(id) => facts::find(&mut database, id).await?,
        None => None,
    };
    let facts = facts.ok_or_else(super::not_found)?;
    let states = provider_states::all(&database).await?;
    let pauses = provider_pauses::all(&database).await?;
    let hold = app.database_watch.hold();
    let explanation = explain(Known {
        config: &app.config,
        facts: &facts,
        states: &states,
        pauses: &pauses,
        hold: hold.as_deref(),
    });
    Ok((facts, explanation))
}
