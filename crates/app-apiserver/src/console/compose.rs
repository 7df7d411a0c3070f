//! A message to whom there is no conversation with yet: accepted as the API accepts it.

use std::str::FromStr;

use app_db::messages::list::{self, Filter, Order, Wanted};
use axum::Extension;
use axum::extract::{RawQuery, Request, State};
use axum::response::{Html, IntoResponse, Response};
use http::header::LOCATION;
use http::{HeaderName, HeaderValue, StatusCode};
use maud::{Markup, html};
use model::{Bucket, Channel, Direction, Medium};
use serde_json::json;

use super::composer;
use super::form::{MessageForm, path_with, see};
use super::layout::{self, Section};
use super::trouble::{Trouble, sentence};
use crate::App;
use crate::audit::Actor;
use crate::authentication::Caller;
use crate::content::{SUBJECT_CHARS_MAX, known_fields};
use crate::fields::{Fields, Text};
use crate::messages::find;
use crate::messages::send_sms::accept_between;
use crate::problem::Problem;

const ADDRESS_CHARS_MAX: usize = 320;
const HX_REDIRECT: HeaderName = HeaderName::from_static("hx-redirect");

/// What a message may be sent by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum By {
    #[default]
    Sms,
    Email,
    Whatsapp,
}

impl By {
    const ALL: [Self; 3] = [Self::Sms, Self::Email, Self::Whatsapp];

    fn word(self) -> &'static str {
        match self {
            Self::Sms => "sms",
            Self::Email => "email",
            Self::Whatsapp => "whatsapp",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Sms => "SMS",
            Self::Email => "Email",
            Self::Whatsapp => "WhatsApp",
        }
    }

    fn medium(self) -> Medium {
        match self {
            Self::Sms => Medium::Phone,
            Self::Email => Medium::Email,
            Self::Whatsapp => Medium::Whatsapp,
        }
    }

    fn of(channel: Channel) -> Self {
        match channel {
            Channel::Sms | Channel::Mms => Self::Sms,
            Channel::Email => Self::Email,
            Channel::Whatsapp => Self::Whatsapp,
        }
    }
}

impl FromStr for By {
    type Err = Problem;

    fn from_str(word: &str) -> Result<Self, Problem> {
        let found = Self::ALL.into_iter().find(|by| by.word() == word);
        found.ok_or_else(|| Problem::bad_request("unknown_channel", "by must be one of sms, email, whatsapp"))
    }
}

/// A message that is being written.
#[derive(Debug, Default)]
struct Draft {
    by: By,
    /// Of the message that it is like: they are not taken along.
    attachments: usize,
    from: String,
    to: String,
    subject: String,
    body: String,
    wrong: Option<String>,
}

/// `by`: the channel; `like`: a message's id, for another of the same text.
pub(super) async fn show(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    let mut query = Fields::of_query(query.as_deref());
    let by = query.text("by", Text::Line, 20).map(|word| word.parse()).transpose()?;
    let to = query.text("to", Text::Line, ADDRESS_CHARS_MAX).unwrap_or_default();
    let like = query.text("like", Text::Line, 64);
    query.finish()?;
    let draft = match like {
        Some(id) => {
            let message = find(&app.database().await?, &id).await?;
            Draft {
                by: By::of(message.channel),
                attachments: message.attachments.len(),
                from: message.source.as_str().to_owned(),
                to: message.target.as_str().to_owned(),
                subject: message.subject.unwrap_or_default(),
                body: message.body,
                wrong: None,
            }
        }
        None => {
            let by = by.unwrap_or_default();
            Draft { by, from: usual_sender(&app, by).await?, to, ..Draft::default() }
        }
    };
    let main = html! {
        h1 { "New message" }
        p .row .tabs {
            @for other in By::ALL {
                a href=(path_with("/new", &[("by", Some(other.word()))]))
                    aria-current=[(other == draft.by).then_some("true")] { (other.name()) }
            }
        }
        (form_of(&app, &draft))
    };
    Ok(layout::still(&app, caller, Section::Inbox, "New message", &main))
}

/// What was sent from last.
async fn usual_sender(app: &App, by: By) -> Result<String, Problem> {
    let channel = match by {
        By::Sms => Channel::Sms,
        By::Email => Channel::Email,
        By::Whatsapp => Channel::Whatsapp,
    };
    let filter = Filter { direction: Some(Direction::Outbound), channel: Some(channel), ..Filter::default() };
    let wanted = Wanted { body_chars: 0, ..Wanted::new(Order::NewestFirst, None, 1) };
    let found = list::list(&mut *app.database().await?, &filter, wanted).await?;
    Ok(found.messages.first().map(|message| message.source.as_str().to_owned()).unwrap_or_default())
}

fn form_of(app: &App, draft: &Draft) -> Markup {
    // Of this form: sending it again is the same message.
    let key = app.ids.next(app.database_clock.now(), Bucket(0));
    let is_sms = draft.by == By::Sms;
    let (from, to) = match draft.by {
        By::Email => ("shop@example.com", "ann@example.net"),
        _ => ("+12025550100", "+12025550199"),
    };
    let kept = |field: &str| format!("new-{}-{field}", draft.by.word());
    html! {
        form #composer .composer .stack method="post" action="/new" hx-post="/new" hx-target="#composer"
            hx-swap="outerHTML" "hx-status:422"="swap:outerHTML" hx-sync="this:drop" hx-disable="find button" {
            input type="hidden" name="key" value=(key);
            input type="hidden" name="by" value=(draft.by.word());
            p #wrong .bad role="alert" { @if let Some(wrong) = &draft.wrong { (sentence(wrong)) } }
            label for="from" { "From" }
            input #from name="from" required maxlength=(ADDRESS_CHARS_MAX) placeholder=(from) value=(draft.from);
            label for="to" { "To" }
            input #to name="to" required maxlength=(ADDRESS_CHARS_MAX) placeholder=(to) value=(draft.to)
                autocomplete="off" data-draft=(kept("to"));
            @if draft.by == By::Email {
                label for="subject" { "Subject" }
                input #subject name="subject" maxlength=(SUBJECT_CHARS_MAX) value=(draft.subject)
                    autocomplete="off" data-draft=(kept("subject"));
            }
            @if draft.attachments > 0 {
                p .waiting { "Its attachments are not taken along: send them by the API." }
            }
            label for="body" { "Text" }
            (composer::text_field("body", &draft.body, 6, is_sms, &kept("body"), None))
            div .row {
                @if is_sms { (composer::segment_count(&draft.body)) }
                button #send type="submit" { "Send" }
            }
        }
    }
}

pub(super) async fn send(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Extension(actor): Extension<Actor>,
    request: Request,
) -> Result<Response, Trouble> {
    let mut form = MessageForm::read(&app, request).await?;
    let is_htmx = form.is_htmx;
    let by: By = form.fields.text("by", Text::Line, 20).unwrap_or_default().parse()?;
    let mut draft = Draft {
        by,
        attachments: 0,
        from: form.said("from"),
        to: form.said("to"),
        subject: form.said("subject"),
        body: form.said("body"),
        wrong: None,
    };
    if draft.subject.is_empty() {
        form.fields.forget("subject");
    }
    let accepted = accept_between(&app, form.sending(&app), by.medium(), known_fields(by.medium())).await;
    let problem = match accepted {
        Ok(accepted) => {
            // Its page shows what becomes of it.
            let location = accepted.headers().get(LOCATION).and_then(|path| path.to_str().ok());
            let page = location.and_then(|path| path.strip_prefix("/api")).unwrap_or("/").to_owned();
            let message_id = page.strip_prefix("/messages/").map(str::to_owned);
            actor.record(&app, "message.send", message_id, json!({})).await?;
            return Ok(if is_htmx { leads_to(&page) } else { see(&page) });
        }
        Err(problem) if problem.status().is_client_error() => problem,
        Err(problem) => return Err(problem.into()),
    };
    draft.wrong = Some(composer::why_not(&problem));
    let again = form_of(&app, &draft);
    if is_htmx {
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, Html(again.into_string())).into_response());
    }
    let main = html! { h1 { "New message" } (again) };
    Ok(layout::still(&app, caller, Section::Inbox, "New message", &main))
}

/// The browser forgets the draft, and goes there.
fn leads_to(page: &str) -> Response {
    let page = HeaderValue::try_from(page).unwrap_or(HeaderValue::from_static("/"));
    [(composer::HX_TRIGGER, composer::REPLIED), (HX_REDIRECT, page)].into_response()
}
