//! Which kept webhooks a page is about: as the URL and forms say it, and in words.

use app_db::quarantine::{Reason, Which};
use uuid::Uuid;

use crate::console::form::path_with;
use crate::fields::{Fields, Text};
use crate::problem::Problem;

pub(super) fn meaning(reason: Reason) -> &'static str {
    match reason {
        Reason::Unverified => "not verified",
        Reason::Unparsable => "not understood",
        Reason::Unmatched => "receipt without a message",
    }
}

/// An empty field is none. One that is wrong, or misspelt, must not mean all of them. `more` are the page's own, which are
/// read already.
///
/// # Errors
/// What is wrong.
pub(super) fn read(mut fields: Fields, more: &[&str]) -> Result<Which, Problem> {
    const NAMES: [&str; 3] = ["reason", "provider", "up_to"];
    for name in NAMES {
        if fields.peek(name).and_then(serde_json::Value::as_str) == Some("") {
            fields.forget(name);
        }
    }
    let reason = fields.word("reason", &Reason::ALL.map(Reason::as_str));
    let provider_id = fields.text("provider", Text::Line, 64);
    let up_to = fields.text("up_to", Text::Line, 64).map(|id| Uuid::try_parse(&id));
    if matches!(up_to, Some(Err(_))) {
        fields.wrong("up_to", "invalid", "must be the id of a kept webhook");
    }
    fields.refuse_the_rest(&[&NAMES, more]);
    fields.finish()?;
    Ok(Which { reason, provider_id, up_to: up_to.and_then(Result::ok) })
}

/// `path` for these, with more parameters; how far they go is one of those.
pub(super) fn path(which: &Which, path: &str, more: &[(&str, Option<&str>)]) -> String {
    let said = [("reason", which.reason.map(Reason::as_str)), ("provider", which.provider_id.as_deref())];
    path_with(path, &said.into_iter().chain(more.iter().copied()).collect::<Vec<_>>())
}

/// `not verified, of twilio-main`; `everything in quarantine`.
pub(super) fn in_words(which: &Which) -> String {
    match (which.reason.map(meaning), &which.provider_id) {
        (None, None) => "everything in quarantine".to_owned(),
        (None, Some(id)) => format!("everything of {id}"),
        (Some(meaning), None) => meaning.to_owned(),
        (Some(meaning), Some(id)) => format!("{meaning}, of {id}"),
    }
}
