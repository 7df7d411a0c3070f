//! `POST /inbound`: somebody writes to us. Delivers the signed webhook, as often and as many at once as asked,
//! and answers with what came back.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::problem;
use crate::kind::{Hook, Inbound, Kind};
use crate::mail::File;
use crate::post::{Post, PostResult};
use crate::simulator::Shared;

const TIMES_MAX: usize = 10_000;
const CONCURRENT_MAX: usize = 512;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    kind: Kind,
    from: String,
    to: String,
    #[serde(default)]
    body: String,
    /// Email only.
    #[serde(default)]
    subject: String,
    /// Email only: an HTML part beside the text.
    html: Option<String>,
    /// Not for email: URLs.
    #[serde(default)]
    media: Vec<String>,
    /// Email only.
    #[serde(default)]
    files: Vec<RequestFile>,
    in_reply_to: Option<String>,
    /// Deliveries of this same message.
    #[serde(default = "once")]
    times: usize,
    /// How many of them at once.
    #[serde(default = "once")]
    concurrent: usize,
    webhook_url: Option<String>,
    /// To deliver a message again in a later call.
    provider_message_id: Option<String>,
    /// The account's name; the first account without it.
    account: Option<String>,
    /// Email only: as MIME source, where the kind has a choice.
    raw: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestFile {
    filename: String,
    content_type: String,
    content_base64: String,
}

fn once() -> usize {
    1
}

pub(crate) async fn deliver(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let request: Request = match serde_json::from_slice(&body) {
        Ok(request) => request,
        Err(error) => return problem(StatusCode::BAD_REQUEST, error),
    };
    if !(1..=TIMES_MAX).contains(&request.times) || !(1..=CONCURRENT_MAX).contains(&request.concurrent) {
        let sentence =
            format!("`times` must be between 1 and {TIMES_MAX}, `concurrent` between 1 and {CONCURRENT_MAX}");
        return problem(StatusCode::BAD_REQUEST, sentence);
    }
    let (provider_message_id, post) = match make(&shared, &request) {
        Ok(made) => made,
        Err(sentence) => return problem(StatusCode::BAD_REQUEST, sentence),
    };
    let results: Vec<PostResult> = stream::iter(0..request.times)
        .map(|_| shared.poster.post(post.clone()))
        .buffer_unordered(request.concurrent)
        .collect()
        .await;
    let statuses: Vec<u16> = results.iter().flatten().map(StatusCode::as_u16).collect();
    let failures: Vec<String> =
        results.iter().filter_map(|result| Some(result.as_ref().err()?.to_string())).collect();
    let answer = json!({
        "provider_message_id": provider_message_id, "statuses": statuses, "failures": failures,
    });
    Json(answer).into_response()
}

fn make(shared: &Shared, request: &Request) -> Result<(String, Post), String> {
    let (kind, protocol) = (request.kind, request.kind.protocol());
    let wanted = request.account.as_deref();
    let index = shared
        .find_account(kind.as_str(), |account| wanted.is_none_or(|name| name == account.name))
        .ok_or_else(|| format!("`account` is not one of the {} accounts of this simulator", kind.as_str()))?;
    let account = &shared.accounts(kind.as_str())[index];
    let made_url = || protocol.inbound_url(account, shared.ledger.last_of(kind, index).as_deref());
    let url = request.webhook_url.clone().or_else(made_url).ok_or(
        "`webhook_url` is needed: the simulator was told of none, and no message has said where its receipts go",
    )?;
    let mut files = Vec::new();
    for file in &request.files {
        let bytes = STANDARD.decode(&file.content_base64).map_err(|_| "`content_base64` is not base64")?;
        files.push(File { name: file.filename.clone(), content_type: file.content_type.clone(), bytes });
    }
    let made_id = || protocol.inbound_id(&shared.hex_id(), !request.media.is_empty());
    let id = request.provider_message_id.clone().unwrap_or_else(made_id);
    let inbound = Inbound {
        id: &id,
        in_reply_to: request.in_reply_to.as_deref(),
        from: &request.from,
        to: &request.to,
        subject: &request.subject,
        body: &request.body,
        html: request.html.as_deref(),
        media: &request.media,
        files: &files,
        date: shared.options.clock.now(),
        raw: request.raw,
    };
    let post = protocol.inbound(&Hook { shared, account, url: &url }, &inbound);
    Ok((id, post))
}
