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
use crate::message::Kind;
use crate::post::{Post, PostError};
use crate::simulator::Shared;
use crate::{sendgrid, twilio};

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
    /// Twilio only: URLs.
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
    /// Twilio's account SID or SendGrid's API key; the first account without it.
    account: Option<String>,
    /// Email only: as MIME source.
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
    let made = match request.kind {
        Kind::Twilio => text_message(&shared, &request),
        Kind::Sendgrid => mail(&shared, &request),
    };
    let (provider_message_id, post) = match made {
        Ok(made) => made,
        Err(sentence) => return problem(StatusCode::BAD_REQUEST, sentence),
    };
    let results: Vec<Result<StatusCode, PostError>> = stream::iter(0..request.times)
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

fn text_message(shared: &Shared, request: &Request) -> Result<(String, Post), String> {
    let wanted = request.account.as_deref();
    let accounts = shared.options.twilio.iter().enumerate();
    let (index, account) = accounts
        .clone()
        .find(|(_, account)| wanted.is_none_or(|sid| sid == account.account_sid))
        .ok_or("`account` is not a Twilio account SID of this simulator")?;
    let url = request
        .webhook_url
        .clone()
        .or_else(|| twilio::inbound_url(shared, index))
        .ok_or("`webhook_url` is needed: no message with a StatusCallback was accepted yet")?;
    let prefix = if request.media.is_empty() { "SM" } else { "MM" };
    let sid = request.provider_message_id.clone().unwrap_or_else(|| format!("{prefix}{}", shared.hex_id()));
    let inbound = twilio::Inbound {
        sid: &sid,
        from: &request.from,
        to: &request.to,
        body: &request.body,
        media: &request.media,
    };
    let post = twilio::post_inbound(account, &url, &inbound);
    Ok((sid, post))
}

fn mail(shared: &Shared, request: &Request) -> Result<(String, Post), String> {
    let wanted = request.account.as_deref();
    let mut accounts = shared.options.sendgrid.iter();
    let account = accounts
        .find(|account| wanted.is_none_or(|key| key == account.api_key))
        .ok_or("`account` is not a SendGrid API key of this simulator")?;
    let url = request
        .webhook_url
        .clone()
        .or_else(|| account.inbound_parse_url.as_ref().map(|url| url.as_str().to_owned()))
        .ok_or("`webhook_url` is needed: the simulator was started without an Inbound Parse URL")?;
    let mut files = Vec::new();
    for file in &request.files {
        let bytes = STANDARD.decode(&file.content_base64).map_err(|_| "`content_base64` is not base64")?;
        files.push(sendgrid::File {
            name: file.filename.clone(),
            content_type: file.content_type.clone(),
            bytes,
        });
    }
    let made_id = || format!("{}@simulator.invalid", shared.hex_id());
    let id = request.provider_message_id.clone().unwrap_or_else(made_id);
    let mail = sendgrid::InboundMail {
        id: &id,
        in_reply_to: request.in_reply_to.as_deref(),
        from: &request.from,
        to: &request.to,
        subject: &request.subject,
        text: &request.body,
        html: request.html.as_deref(),
        files: &files,
        date: shared.options.clock.now(),
        raw: request.raw.unwrap_or(account.inbound_parse_raw),
    };
    let post = sendgrid::post_inbound(&url, &mail);
    Ok((id, post))
}
