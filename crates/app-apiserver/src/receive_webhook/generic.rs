//! The generic webhooks' JSON, for whatever has no adapter: `{from, to, type?, body, attachments, timestamp,
//! <provider>_id}`. Unknown fields are ignored; a missing id or end is not.

use app_db::quarantine::Reason;
use app_db::receive::Inbound;
use axum::extract::Request;
use http::StatusCode;
use model::{Channel, Medium};
use providers::InboundMessage;
use serde::Serialize;
use service::Config;
use service::metrics::ProviderResult;
use utoipa::ToSchema;
use uuid::Uuid;

use super::keep::Arrived;
use super::store;
use super::understand::READ_INLINE_BYTES_MAX;
use crate::App;
use crate::authentication::failures::Surface;
use crate::authentication::{self, Refusal};
use crate::body;
use crate::content::{type_words, usual_channel};
use crate::fields::{Fields, Text};
use crate::problem::Problem;
use crate::server::PeerAddress;

const ATTACHMENTS_MAX: usize = 100;
const PROVIDER_CHARS_MAX: usize = 64;
const PROVIDER_MESSAGE_ID_CHARS_MAX: usize = 255;
const ID_SUFFIX: &str = "_id";

/// A generic webhook, as the API's description has it: its own fields, then those that both have.
macro_rules! describe_inbound {
    ($(#[$about:meta])* $name:ident { $($own:tt)* }) => {
        #[derive(utoipa::ToSchema)]
        #[expect(dead_code, reason = "describes what is taken field by field, so that all mistakes are told at once")]
        $(#[$about])*
        pub(crate) struct $name {
            $($own)*
            /// May be empty only where there is something else.
            #[schema(required = false)]
            body: Option<String>,
            /// http or https URLs.
            #[schema(required = false, max_items = 100)]
            attachments: Option<Vec<String>>,
            /// When it was sent.
            #[schema(required = false, format = DateTime)]
            timestamp: Option<String>,
            /// Exactly one text whose name ends in `_id` names the provider and its message: `messaging_provider_id`,
            /// `twilio_id`, ... Deliveries with the same one are the same message.
            messaging_provider_id: String,
        }
    };
}

pub(crate) use describe_inbound;

/// What became of an inbound message.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Received, example = json!({
    "id": "019a2f7e-3c41-70a4-8000-3f1c52d0a7b1",
    "conversation_id": "019a2f7e-3c41-70a4-8000-0a9b11e2c3d4", "duplicate": false
}))]
pub(crate) struct ReceivedJson {
    /// The message's.
    id: Uuid,
    /// Where this delivery stored it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, value_type = Uuid)]
    conversation_id: Option<Uuid>,
    /// Whether an earlier delivery had stored it.
    duplicate: bool,
}

/// Takes one in: verified, understood, stored; or kept and refused.
pub(super) async fn receive(app: &App, request: Request, medium: Medium) -> Result<ReceivedJson, Problem> {
    let (parts, mut body) = request.into_parts();
    let secret = app.config.webhook_secret.as_ref();
    let is_open = app.keys.is_open()?;
    let checked = authentication::check_webhook_secret(secret, is_open, &parts.headers);
    if secret.is_none() && is_open {
        app.keys.hosts().check(&parts.headers)?;
    }
    if checked == Err(Refusal::WrongSecret)
        && let Some(slowed) =
            app.keys.failures.note(app, Surface::Webhook, "wrong_secret", PeerAddress::of(&parts.extensions))
    {
        return Err(slowed);
    }
    let mut arrived = Arrived::head("generic".to_owned(), &parts);
    if let Err(refusal) = checked {
        // Of a stranger's, no more than its beginning.
        let (beginning, is_whole) = body::read_little(&mut body).await;
        (arrived.body, arrived.is_cut) = (beginning, !is_whole);
        arrived.keep(app, Reason::Unverified, "without the right secret").await?;
        return Err(refused(refusal));
    }
    let read_body = app.webhook_bodies.read(&parts, body, app.config.server.webhook_bytes_max).await?;
    (arrived.body, arrived.share) = (read_body.bytes, read_body.share);
    let (arrived, inbound) = read(app, arrived, medium).await?;
    match inbound {
        Ok(inbound) => take(app, &arrived, inbound).await,
        Err(problem) => Err(kept(app, &arrived, problem).await),
    }
}

/// [`inbound`], on a thread of its own where the body is large.
async fn read(
    app: &App,
    mut arrived: Arrived,
    medium: Medium,
) -> Result<(Arrived, Result<Inbound, Problem>), Problem> {
    if arrived.body.len() <= READ_INLINE_BYTES_MAX {
        let inbound = inbound(app, &arrived, medium);
        return Ok((arrived, inbound));
    }
    let memory = app.parsing.take(arrived.body.len(), 0).await?;
    arrived.share = arrived.share.and(memory.into());
    let app = app.clone();
    let read = move || {
        let inbound = inbound(&app, &arrived, medium);
        (arrived, inbound)
    };
    tokio::task::spawn_blocking(read).await.map_err(|error| Problem::internal().because(error))
}

/// What it says, in the form in which it is stored.
///
/// # Errors
/// What is wrong with it.
pub(super) fn inbound(app: &App, arrived: &Arrived, medium: Medium) -> Result<Inbound, Problem> {
    let (provider_id, message) = understand(&app.config, arrived, medium)?;
    store::normalise(app, &provider_id, arrived, message).map_err(|(field, error)| {
        let mut fields = Fields::default();
        fields.wrong(field, error.code(), error);
        fields.finish().err().unwrap_or_else(Problem::internal)
    })
}

pub(super) async fn take(app: &App, arrived: &Arrived, inbound: Inbound) -> Result<ReceivedJson, Problem> {
    let received = app.inbound.commit(inbound, arrived.share.clone()).await?;
    let result = if received.new { "received" } else { "duplicate" };
    app.metrics.webhooks_received.get_or_create(&ProviderResult::new("generic", result)).inc();
    Ok(ReceivedJson {
        id: received.message_id,
        conversation_id: received.conversation_id,
        duplicate: !received.new,
    })
}

fn refused(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::WrongSecret => {
            Problem::unauthorized("send the secret of [webhooks] as Authorization: Bearer ...")
        }
        Refusal::NoSecretConfigured => {
            let detail = "generic webhooks need a secret as soon as there is an API key or a provider that is not \
                          simulated: set [webhooks] secret, and send it as Authorization: Bearer ...";
            Problem::new(StatusCode::FORBIDDEN, "webhook_secret_not_configured", detail)
        }
    }
}

/// The problem to answer with, once the webhook is kept.
async fn kept(app: &App, arrived: &Arrived, problem: Problem) -> Problem {
    match arrived.keep(app, Reason::Unparsable, &problem.summary()).await {
        Ok(()) => problem,
        Err(not_kept) => not_kept,
    }
}

fn understand(
    config: &Config,
    arrived: &Arrived,
    medium: Medium,
) -> Result<(String, InboundMessage), Problem> {
    body::require_json(&arrived.headers)?;
    let mut fields = Fields::of(body::parse_object(&arrived.body)?);
    let from = fields.required_text("from", Text::Line, 320);
    let to = fields.required_text("to", Text::Line, 320);
    let wanted: Option<Channel> = fields.word("type", &type_words(medium));
    let subject = fields.text("subject", Text::Received, usize::MAX);
    let errors_before = fields.error_count();
    let body = fields.text("body", Text::Received, usize::MAX).unwrap_or_default();
    let attachments = fields.urls("attachments", ATTACHMENTS_MAX);
    let is_empty = body.trim().is_empty() && attachments.is_empty() && subject.is_none();
    if is_empty && fields.error_count() == errors_before {
        fields.wrong("body", "required", "must not be empty in a message without attachments");
    }
    let timestamp = fields.time("timestamp");
    let (provider_id, provider_message_id) = provider_reference(&mut fields);
    refuse_configured(config, &provider_id, &mut fields);
    fields.finish()?;
    let (Some(from), Some(to)) = (from, to) else { return Err(Problem::internal()) };
    let usual = usual_channel(medium, !attachments.is_empty());
    // Whatever it is called: with attachments it is an MMS.
    let channel = wanted.filter(|_| attachments.is_empty()).unwrap_or(usual);
    let message = InboundMessage {
        provider_message_id,
        channel,
        from,
        to,
        subject: subject.filter(|_| medium == Medium::Email),
        body,
        attachments,
        files: Vec::new(),
        omitted_files: 0,
        timestamp,
    };
    Ok((provider_id, message))
}

/// A configured provider's messages come by its own webhook, which verifies them.
fn refuse_configured(config: &Config, provider_id: &str, fields: &mut Fields) {
    let is_same = |configured: &str| configured.eq_ignore_ascii_case(provider_id.trim());
    if config.providers.iter().any(|provider| is_same(&provider.id)) {
        let sentence = format_args!(
            "must not be {provider_id}{ID_SUFFIX}: a provider of that name is configured, and delivers to \
             /api/webhooks/{provider_id}; choose another name"
        );
        fields.wrong("<provider>_id", "provider_configured", sentence);
    }
}

/// The one text whose name ends in `_id`: the name says who, the text which message.
fn provider_reference(fields: &mut Fields) -> (String, String) {
    let found: Vec<(String, String)> = fields
        .texts_left()
        .filter_map(|(name, text)| Some((name.strip_suffix(ID_SUFFIX)?.to_owned(), text.to_owned())))
        .collect();
    let [(provider, id)] = &found[..] else {
        let names: Vec<String> = found.iter().map(|(name, _)| format!("{name}{ID_SUFFIX}")).collect();
        let sentence = "must stand there exactly once: a text whose name ends in _id names the provider and its \
                        message, such as messaging_provider_id";
        if names.is_empty() && fields.other_left(ID_SUFFIX) {
            fields.wrong("<provider>_id", "wrong_type", "must be a text: write the id in quotes");
        } else if names.is_empty() {
            fields.wrong("<provider>_id", "required", sentence);
        } else {
            fields.wrong("<provider>_id", "ambiguous", sentence);
        }
        return (String::new(), String::new());
    };
    let is_line = |text: &str, chars_max: usize| {
        !text.trim().is_empty() && text.chars().count() <= chars_max && !text.chars().any(char::is_control)
    };
    if !is_line(provider, PROVIDER_CHARS_MAX) || !is_line(id, PROVIDER_MESSAGE_ID_CHARS_MAX) {
        let sentence = format_args!(
            "must have 1 to {PROVIDER_CHARS_MAX} characters before _id, and be 1 to \
             {PROVIDER_MESSAGE_ID_CHARS_MAX} characters itself"
        );
        fields.wrong("<provider>_id", "invalid_id", sentence);
    }
    (provider.clone(), id.clone())
}
