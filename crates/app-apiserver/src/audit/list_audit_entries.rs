//! `GET /api/audit`

use app_db::audit::{self, Entry, Filter};
use axum::Json;
use axum::extract::{OriginalUri, RawQuery, State};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::App;
use crate::cursor::{List, Place};
use crate::fields::{Fields, Text};
use crate::page::PageRequest;
use crate::problem::Problem;
use crate::times;

const TEXT_CHARS_MAX: usize = 300;
/// The filters of the list.
pub(crate) const FILTERS: [&str; 5] = ["action", "actor", "target", "since", "until"];

/// An entry of the audit log.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry, example = json!({
    "id": "019a2f7e-3c41-70a4-8000-3f1c52d0a7b1", "at": "2026-11-23T08:30:00.000000Z", "actor_kind": "key",
    "actor": "019a2f7e-3c41-70a4-8000-0a9b11e2c3d4", "actor_name": "ann", "action": "provider.pause",
    "target": "twilio-main", "source": "203.0.113.9", "detail": {"note": "disputed"}
}))]
pub(crate) struct AuditEntryJson {
    id: Uuid,
    /// By the database's clock.
    #[schema(format = DateTime)]
    at: String,
    /// `key`; `anyone`, on a server without keys; `os_user`, at the command line; `server`.
    actor_kind: String,
    /// The key's id, or the user's name.
    actor: String,
    /// The key's name at the time.
    actor_name: Option<String>,
    /// Noun and verb, such as `provider.pause`.
    action: String,
    /// The id of what was changed.
    target: Option<String>,
    /// The client's address, or the host of a command line.
    source: String,
    #[schema(value_type = Object)]
    detail: Value,
}

impl From<Entry> for AuditEntryJson {
    fn from(entry: Entry) -> Self {
        let Entry { id, at, actor_kind, actor, actor_name, action, target, source, detail } = entry;
        Self { id, at: times::format(at), actor_kind, actor, actor_name, action, target, source, detail }
    }
}

/// A page of the audit log.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEntryList)]
pub(crate) struct AuditEntryListJson {
    entries: Vec<AuditEntryJson>,
    /// Where the next page begins; null on the last.
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// List the audit log
///
/// Who changed what, when and from where; the newest first. Entries are never changed. With an operator's key.
#[utoipa::path(
    get,
    path = "/api/audit",
    tag = "operation",
    operation_id = "list_audit_entries",
    params(
        ("action" = Option<String>, Query, description = "Such as `provider.pause`, or its noun alone: `provider`"),
        ("actor" = Option<String>, Query, description = "A key's id or name, or the name of a user of the operating \
            system"),
        ("target" = Option<String>, Query, description = "The id of what was changed"),
        ("since" = Option<String>, Query, description = "From this time on"),
        ("until" = Option<String>, Query, description = "Before this time"),
        ("limit" = Option<u16>, Query, description = "1 to 200, 50 by default", minimum = 1, maximum = 200),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses(
        (status = 200, description = "A page of entries", body = AuditEntryListJson),
        (status = 403, description = "`not_an_operators_key`", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list_audit_entries(
    State(app): State<App>,
    OriginalUri(uri): OriginalUri,
    RawQuery(query): RawQuery,
) -> Result<Json<AuditEntryListJson>, Problem> {
    let mut query = Fields::of_query(query.as_deref());
    let filter = read_filter(&mut query);
    let page = PageRequest::read(&mut query);
    query.refuse_the_rest(&[&FILTERS, &PageRequest::NAMES]);
    query.finish()?;
    let list = List::of(uri.path(), &filter);
    let before = page.cursor.as_deref().map(|cursor| list.place(cursor)).transpose()?;
    let (entries, is_last) = page_of(&app, &filter, before.map(|place| place.id), page.limit).await?;
    let next_cursor = entries.last().filter(|_| !is_last).map(|last| list.cursor(Place::at(last.id)));
    let entries = entries.into_iter().map(AuditEntryJson::from).collect();
    Ok(Json(AuditEntryListJson { entries, next_cursor }))
}

/// What the query narrows the list to.
pub(crate) fn read_filter(query: &mut Fields) -> Filter {
    Filter {
        action: query.text("action", Text::Line, TEXT_CHARS_MAX),
        actor: query.text("actor", Text::Line, TEXT_CHARS_MAX),
        target: query.text("target", Text::Line, TEXT_CHARS_MAX),
        since: query.time("since"),
        until: query.time("until"),
    }
}

/// Entries older than `before`, and whether they are the last.
///
/// # Errors
/// 503 where the database does not answer.
pub(crate) async fn page_of(
    app: &App,
    filter: &Filter,
    before: Option<Uuid>,
    limit: usize,
) -> Result<(Vec<Entry>, bool), Problem> {
    // One more tells whether there are more.
    let wanted = i64::try_from(limit + 1).unwrap_or(i64::MAX);
    let mut entries = audit::list(&*app.database().await?, filter, before, wanted).await?;
    let is_last = entries.len() <= limit;
    entries.truncate(limit);
    Ok((entries, is_last))
}
