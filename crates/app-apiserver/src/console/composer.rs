//! Where a reply is written: sent as the API sends one, on the conversation's channel. A draft stands in the browser, so
//! that neither an update nor a restart takes it away; a reply that is refused comes back with what is wrong.

use app_db::conversations::{self, ReplyEnds};
use axum::Extension;
use axum::extract::{Path, Request, State};
use axum::response::{Html, IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode};
use maud::{Markup, html};
use model::segments::{Alphabet, Segments};
use model::{Bucket, Channel};
use serde_json::json;
use uuid::Uuid;

use super::form::{self, MessageForm, see};
use super::trouble::{Trouble, sentence};
use super::{live, thread, words};
use crate::App;
use crate::audit::Actor;
use crate::content::{PHONE_BODY_CHARS_MAX, SUBJECT_CHARS_MAX};
use crate::conversations::reply::{accept_reply, reply_subject};
use crate::fields::Text;
use crate::problem::Problem;
use crate::send::KEY_REUSED;

/// The browser forgets the draft then.
pub(super) const HX_TRIGGER: HeaderName = HeaderName::from_static("hx-trigger");
pub(super) const REPLIED: HeaderValue = HeaderValue::from_static("replied");

/// What was written and not sent.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub subject: String,
    pub body: String,
    pub wrong: Option<String>,
}

/// The form below a conversation; a note where nobody can reply.
pub(super) fn composer(app: &App, id: Uuid, ends: Option<&ReplyEnds>, draft: &Draft) -> Markup {
    let Some(ends) = ends else {
        return html! { p #composer .quiet { "Its messages were removed; send a new one to its participants." } };
    };
    let path = format!("/conversations/{id}/reply");
    // Of this form: sending it again is the same reply.
    let key = app.ids.next(app.database_clock.now(), Bucket::of(id));
    let is_sms = matches!(ends.channel, Channel::Sms | Channel::Mms);
    html! {
        form #composer .composer method="post" action=(path) hx-post=(path) hx-target="#composer" hx-swap="outerHTML"
            "hx-status:422"="swap:outerHTML" hx-sync="this:drop" hx-disable="find button" {
            input type="hidden" name="key" value=(key);
            p #wrong .bad role="alert" { @if let Some(wrong) = &draft.wrong { (sentence(wrong)) } }
            @if ends.channel == Channel::Email {
                label for="subject" .quiet-label { "Subject" }
                input #subject name="subject" maxlength=(SUBJECT_CHARS_MAX) autocomplete="off"
                    placeholder=[ends.subject.as_deref().map(reply_subject)]
                    value=(draft.subject) data-draft={ "subject-" (id) };
            }
            @let to = format!("Reply by {} to {}", ends.channel, ends.target.as_str());
            label for="reply" .quiet-label { (to) }
            (text_field("reply", &draft.body, 3, is_sms, &format!("body-{id}"), Some(&to)))
            div .row {
                @if is_sms { (segment_count(&draft.body)) } @else { span {} }
                button #send type="submit" { "Send" }
            }
        }
    }
}

/// Where the text is written; of an SMS, its segments are counted meanwhile. `kept`: the name of its draft.
pub(super) fn text_field(
    id: &str,
    text: &str,
    rows: u8,
    is_sms: bool,
    kept: &str,
    placeholder: Option<&str>,
) -> Markup {
    html! {
        textarea id=(id) name="body" rows=(rows) required data-draft=(kept) placeholder=[placeholder]
            aria-keyshortcuts=[placeholder.map(|_| "r")] hx-post=[is_sms.then_some("/segments")]
            hx-trigger="input delay:150ms" hx-target="#segments" hx-swap="innerHTML" hx-sync="this:replace" {
            (text)
        }
    }
}

pub(super) fn segment_count(text: &str) -> Markup {
    html! { span #segments .quiet { (counted(text)) } }
}

/// Why a message was not accepted, for who wrote it.
pub(super) fn why_not(problem: &Problem) -> String {
    if problem.code() == KEY_REUSED {
        return "what you had written before was sent after all; this text is another one, send it if it is still meant"
            .to_owned();
    }
    problem.summary()
}

/// How many segments the text takes so far.
pub(super) async fn segments(State(app): State<App>, request: Request) -> Result<Response, Trouble> {
    let mut fields = form::read(&app, request).await?;
    let body = fields.text("body", Text::Lines, usize::MAX).unwrap_or_default();
    Ok(Html(counted(&body).into_string()).into_response())
}

fn counted(body: &str) -> Markup {
    let segments = Segments::of(body);
    let alphabet = match segments.alphabet {
        Alphabet::Gsm7 => "GSM-7",
        Alphabet::Ucs2 => "UCS-2",
    };
    if body.is_empty() {
        return html! {};
    }
    let word = if segments.count == 1 { "segment" } else { "segments" };
    let chars = body.chars().count();
    html! {
        (segments.count) " " (word) " · " (segments.units) " of " (segments.units_max) " · " (alphabet)
        @if chars > PHONE_BODY_CHARS_MAX {
            " · " span .bad { "too long by " (words::thousands((chars - PHONE_BODY_CHARS_MAX) as i64)) }
        }
    }
}

pub(super) async fn reply(
    State(app): State<App>,
    Extension(actor): Extension<Actor>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Trouble> {
    let form = MessageForm::read(&app, request).await?;
    let (is_htmx, subject, body) = (form.is_htmx, form.said("subject"), form.said("body"));
    let accepted = accept_reply(&app, &id, form.sending(&app)).await;
    if accepted.is_ok() {
        actor.record(&app, "message.reply", id.clone(), json!({})).await?;
    }
    if !is_htmx {
        accepted?;
        return Ok(see(&format!("/conversations/{id}")));
    }
    let id = thread::id_of(&id)?;
    let ends = conversations::reply_ends(&*app.database().await?, id).await?;
    match accepted {
        Ok(_) => {
            let composer = composer(&app, id, ends.as_ref(), &Draft::default());
            let looked = thread::look(&app, id, None).await?;
            let messages = live::parts(&[(thread::ID, thread::messages(&app, id, None, &looked))]);
            let answer = html! { (composer) (messages) };
            Ok(([(HX_TRIGGER, REPLIED)], Html(answer.into_string())).into_response())
        }
        Err(problem) if problem.status().is_client_error() => {
            let wrong = Some(why_not(&problem));
            let composer = composer(&app, id, ends.as_ref(), &Draft { subject, body, wrong });
            Ok((StatusCode::UNPROCESSABLE_ENTITY, Html(composer.into_string())).into_response())
        }
        Err(problem) => Err(problem.into()),
    }
}
