//! One field that finds anything: ids of ours and of providers, numbers and addresses, words of a state, filters, and
//! else what messages say.

use app_db::conversations::{self, Conversation};
use app_db::{inbox, messages as rows, receive};
use axum::Extension;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use maud::html;
use model::{Channel, Delivery, Medium, Status};
use uuid::Uuid;

use super::form::{path_with, see};
use super::layout::{self, Section};
use super::narrowed::NAMES;
use super::thread;
use super::trouble::Trouble;
use crate::App;
use crate::authentication::Caller;
use crate::fields::{Fields, Text};
use crate::messages::parse_id;
use crate::problem::Problem;

const CHARS_MAX: usize = 400;
const CONVERSATIONS: i64 = 50;
/// Of an id: milliseconds.
const TIME_DIGITS: usize = 12;

pub(super) async fn search(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    let mut query = Fields::of_query(query.as_deref());
    let text = query.text("q", Text::Line, CHARS_MAX).unwrap_or_default();
    query.finish()?;
    let text = text.trim();
    if text.is_empty() {
        return Ok(see("/"));
    }
    if let Some(path) = filters(text) {
        return Ok(see(&path));
    }
    if let Some(path) = by_id(&app, text).await? {
        return Ok(see(&path));
    }
    let found = by_address(&app, text).await?;
    let [(address, first), others @ ..] = &found[..] else {
        return Ok(see(&path_with("/messages", &[("text", Some(digits(text).as_deref().unwrap_or(text)))])));
    };
    if others.is_empty() {
        return Ok(see(&format!("/conversations/{}", first.id)));
    }
    let main = html! {
        h1 { "Search" }
        p { (found.len()) " conversations of " (address) ":" }
        ul .plain-list data-list {
            @for (_, conversation) in &found {
                li {
                    a href={ "/conversations/" (conversation.id) } { (thread::with(conversation)) }
                    " " span .quiet { (conversation.medium) }
                }
            }
        }
        p .row {
            a href=(path_with("/messages", &[("from", Some(address))])) { "Messages from it" }
            a href=(path_with("/messages", &[("to", Some(address))])) { "Messages to it" }
        }
    };
    Ok(layout::still(&app, caller, Section::Messages, "Search", &main))
}

/// `status:failed channel:sms parcel`, or one word of a state: the page with that filter.
fn filters(text: &str) -> Option<String> {
    let word = text.to_ascii_lowercase();
    // As pages call them.
    let called: &[(&str, Option<&str>)] = match word.as_str() {
        "problem" | "problems" => &[("problem", Some("true"))],
        "held" => &[("status", Some("retry")), ("delivery", Some("unknown"))],
        "queued" => &[("status", Some("outbox"))],
        "retrying" => &[("status", Some("retry"))],
        "canceled" | "cancelled" => &[("status", Some("failed")), ("code", Some("canceled"))],
        _ => &[],
    };
    if !called.is_empty() {
        return Some(path_with("/messages", called));
    }
    let lists: [(&str, Vec<&str>); 3] = [
        ("status", Status::WORDS.to_vec()),
        ("delivery", Delivery::WORDS.to_vec()),
        ("channel", Channel::ALL.map(Channel::as_str).to_vec()),
    ];
    if let Some((name, _)) = lists.iter().find(|(_, words)| words.contains(&word.as_str())) {
        return Some(path_with("/messages", &[(name, Some(&word))]));
    }
    let mut said = Vec::new();
    let mut others = Vec::new();
    for part in text.split_whitespace() {
        let known = part.split_once(':').and_then(|(name, value)| {
            let name = NAMES.into_iter().find(|known| *known == name)?;
            Some((name, Some(value)))
        });
        match known {
            Some(pair) => said.push(pair),
            None => others.push(part),
        }
    }
    if said.is_empty() {
        return None;
    }
    let others = others.join(" ");
    if !others.is_empty() {
        said.push(("text", Some(others.as_str())));
    }
    Some(path_with("/messages", &said))
}

async fn by_id(app: &App, text: &str) -> Result<Option<String>, Problem> {
    let database = app.database().await?;
    if let Some(id) = parse_id(text) {
        if rows::find(&database, id).await?.is_some() {
            return Ok(Some(format!("/messages/{id}")));
        }
        if conversations::find(&database, id).await?.is_some() {
            return Ok(Some(format!("/conversations/{id}")));
        }
    }
    if let Some((first, last)) = ids_from(text)
        && let [only] = rows::ids_between(&database, first, last, 2).await?[..]
    {
        return Ok(Some(format!("/messages/{only}")));
    }
    let hashes: Vec<[u8; 32]> =
        app.config.providers.iter().map(|provider| receive::key_hash(&provider.id, text)).collect();
    let found: Vec<Uuid> = rows::of_provider(&database, &hashes).await?;
    Ok(found.first().map(|id| format!("/messages/{id}")))
}

/// The ids that begin with this: it has at least what tells the time.
fn ids_from(text: &str) -> Option<(Uuid, Uuid)> {
    let digits: String = text.chars().filter(|&c| c != '-').collect();
    let is_beginning =
        (TIME_DIGITS..32).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let filled = |with: &str| Uuid::try_parse(&format!("{digits}{}", with.repeat(32 - digits.len()))).ok();
    if is_beginning { filled("0").zip(filled("f")) } else { None }
}

/// Part of a number that is written with signs between, as it is stored.
fn digits(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let is_number = digits.len() >= 4 && text.chars().all(|c| c.is_ascii_digit() || " ()+-./".contains(c));
    is_number.then_some(digits)
}

/// Conversations of whatever address it may be, each with the address in normal form.
async fn by_address(app: &App, text: &str) -> Result<Vec<(String, Conversation)>, Problem> {
    let media = if text.contains('@') { vec![Medium::Email] } else { vec![Medium::Phone, Medium::Whatsapp] };
    let mut addresses: Vec<String> = Vec::new();
    for medium in media {
        if let Ok(endpoint) = app.config.addressing.received(medium, text)
            && !addresses.iter().any(|known| known == endpoint.as_str())
        {
            addresses.push(endpoint.into_string());
        }
    }
    let mut database = app.database().await?;
    let mut found: Vec<(String, Conversation)> = Vec::new();
    for address in addresses {
        for conversation in inbox::of_address(&mut database, &address, CONVERSATIONS).await? {
            if !found.iter().any(|(_, known)| known.id == conversation.id) {
                found.push((address.clone(), conversation));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_pairs_are_filters_and_addresses_are_not() {
        for (text, path) in [
            ("failed", "/messages?status=failed"),
            ("Undelivered", "/messages?delivery=undelivered"),
            ("sms", "/messages?channel=sms"),
            ("held", "/messages?status=retry&delivery=unknown"),
            ("Canceled", "/messages?status=failed&code=canceled"),
            ("status:failed", "/messages?status=failed"),
            ("status:failed to:+12025550199", "/messages?status=failed&to=%2B12025550199"),
            ("your status:failed parcel: 7", "/messages?status=failed&text=your+parcel%3A+7"),
        ] {
            assert_eq!(filters(text).as_deref(), Some(path), "{text}");
        }
        for text in ["+12025550199", "a@example.com", "colour:red", "12:30"] {
            assert_eq!(filters(text), None, "{text}");
        }
    }

    #[test]
    fn parts_of_numbers_and_ids_are_told_from_texts() {
        assert_eq!(digits("(202) 555-0199").as_deref(), Some("2025550199"));
        assert_eq!(digits("0199").as_deref(), Some("0199"));
        assert_eq!(digits("at 0199"), None);
        assert_eq!(digits("99"), None);
        let (first, last) = ids_from("01A2225f-9568").unwrap();
        assert_eq!(first.to_string(), "01a2225f-9568-0000-0000-000000000000");
        assert_eq!(last.to_string(), "01a2225f-9568-ffff-ffff-ffffffffffff");
        assert_eq!(ids_from("01a2225f"), None);
        assert_eq!(ids_from("parcel number"), None);
    }
}
