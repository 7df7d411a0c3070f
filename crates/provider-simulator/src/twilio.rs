//! Twilio Programmable Messaging: create, list and fetch messages; status callbacks and inbound messages.

mod callback;
mod resource;
mod validate;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::routing::get;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use crate::account::Account;
use crate::answer::Whole;
use crate::http_call::{HttpCall, basic, value};
use crate::kind::{Hook, Inbound, Outline, Protocol, Reading};
use crate::message::{Accepted, reference_of_url};
use crate::options::{Options, TwilioAccount};
use crate::post::{Post, PostError, PostResult};
use crate::simulator::Shared;
use validate::Refusal;

const NAME: &str = "twilio";
/// Before the numbers of either end of a WhatsApp message.
const WHATSAPP: &str = "whatsapp:";
const MESSAGES: &str = "/2010-04-01/Accounts/{account_sid}/Messages.json";

#[derive(Debug)]
pub(crate) struct Twilio;

impl Protocol for Twilio {
    fn name(&self) -> &'static str {
        NAME
    }

    fn demo_account(&self) -> Account {
        account(&TwilioAccount::default())
    }

    fn accounts(&self, options: &Options) -> Vec<Account> {
        options.twilio.iter().map(account).collect()
    }

    fn send_paths(&self) -> &'static [&'static str] {
        &[MESSAGES]
    }

    fn other_routes(&self) -> Router<Arc<Shared>> {
        Router::new()
            .route(MESSAGES, get(list))
            .route("/2010-04-01/Accounts/{account_sid}/Messages/{file}", get(fetch))
    }

    fn authenticate(&self, shared: &Shared, call: &HttpCall) -> Result<usize, Whole> {
        authenticate(shared, &call.headers, call.parameter("account_sid")).map_err(Refusal::into_answer)
    }

    fn read(&self, call: &HttpCall) -> Reading {
        let form = call.form();
        let media: Vec<String> =
            form.iter().filter(|(name, _)| name == "MediaUrl").map(|(_, url)| url.clone()).collect();
        let is_mms = !media.is_empty() || value(&form, "SendAsMms") == Some("true");
        let callback_url = value(&form, "StatusCallback");
        let channel = match value(&form, "To") {
            Some(to) if to.starts_with(WHATSAPP) => "whatsapp",
            _ if is_mms => "mms",
            _ => "sms",
        };
        let text = |name| value(&form, name).unwrap_or_default().to_owned();
        let outline = Outline {
            from: text("From"),
            to: text("To"),
            channel,
            body: text("Body"),
            media,
            reference: callback_url.map_or((None, None), reference_of_url),
            callback_url: callback_url.map(Into::into),
            messaging_service_sid: value(&form, "MessagingServiceSid").map(Into::into),
            ..Outline::default()
        };
        Reading::checked(vec![outline], validate::check(&form).map_err(Refusal::into_answer))
    }

    fn ids(&self, shared: &Shared, outlines: &[Outline]) -> Vec<String> {
        outlines.iter().map(|outline| self.inbound_id(&shared.hex_id(), outline.channel == "mms")).collect()
    }

    fn inbound_id(&self, hex: &str, has_media: bool) -> String {
        format!("{}{hex}", if has_media { "MM" } else { "SM" })
    }

    fn answer(&self, account: &Account, messages: &[Arc<Accepted>]) -> Whole {
        let shown = messages.first().map(|message| resource::message(message, &account.name, true));
        let mut answer = resource::json(&shown.unwrap_or_default());
        *answer.status_mut() = StatusCode::CREATED;
        answer
    }

    fn error(&self, status: StatusCode, code: Option<&str>, message: Option<&str>) -> Whole {
        let code = code.and_then(|code| code.parse().ok()).unwrap_or(match status.as_u16() {
            401 => 20003,
            403 => 20403,
            404 => 20404,
            429 => 20429,
            503 => 20503,
            500.. => 20500,
            _ => 20001,
        });
        let message = message.unwrap_or(match status.as_u16() {
            429 => "Too Many Requests",
            500.. => "The server is not available",
            _ => "The request was refused by a scripted fault",
        });
        resource::error(status, code, message)
    }

    fn receipts(&self, hook: &Hook<'_>, messages: &[&Accepted]) -> Vec<Post> {
        messages.iter().flat_map(|message| callback::receipt(hook, message)).collect()
    }

    fn inbound(&self, hook: &Hook<'_>, inbound: &Inbound<'_>) -> Post {
        callback::inbound(hook, inbound)
    }

    /// Every message says where its receipts go; the account has no such setting here.
    fn receipt_url(&self, _account: &Account, message: &Accepted) -> Option<String> {
        message.callback_url.as_deref().map(str::to_owned)
    }

    /// Twilio repeats a callback only where the target was not reached, whatever the answer is.
    fn is_taken(&self, result: &PostResult) -> bool {
        !matches!(result, Err(PostError::Connection))
    }
}

fn account(account: &TwilioAccount) -> Account {
    Account {
        kind: NAME.to_owned(),
        name: account.account_sid.clone(),
        secret: account.auth_token.clone(),
        signing_key: account.auth_token.clone(),
        inbound_url: account.inbound_url.clone(),
        ..Account::default()
    }
}

fn authenticate(shared: &Shared, headers: &HeaderMap, account_sid: &str) -> Result<usize, Refusal> {
    let (user, password) = basic(headers).unwrap_or_default();
    let is_it = |account: &Account| account.name == user && account.secret == password;
    let Some(index) = shared.find_account(NAME, is_it) else {
        return Err(Refusal {
            status: StatusCode::UNAUTHORIZED,
            code: 20003,
            message: "Authenticate".to_owned(),
        });
    };
    if user != account_sid {
        let message = format!("The requested resource /Accounts/{account_sid}/Messages.json was not found");
        return Err(Refusal { status: StatusCode::NOT_FOUND, code: 20404, message });
    }
    Ok(index)
}

#[derive(Debug, Deserialize)]
struct ListQuery {
    #[serde(rename = "To")]
    to: Option<String>,
    #[serde(rename = "From")]
    from: Option<String>,
    #[serde(rename = "PageSize")]
    page_size: Option<usize>,
}

/// `GET .../Messages.json`: newest first, one page of at most 1000.
async fn list(
    State(shared): State<Arc<Shared>>,
    Path(account_sid): Path<String>,
    Query(query): Query<ListQuery>,
    headers: HeaderMap,
) -> Response {
    let index = match authenticate(&shared, &headers, &account_sid) {
        Ok(index) => index,
        Err(refusal) => return refusal.into_answer().into_response(),
    };
    let page_size = query.page_size.unwrap_or(50).clamp(1, 1000);
    let is = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
    let mut messages = shared.ledger.messages(page_size, |message| {
        message.kind.as_str() == NAME
            && message.account == index
            && is(&query.to, &message.to)
            && is(&query.from, &message.from)
    });
    messages.reverse();
    resource::json(&resource::page(&messages, &account_sid, page_size)).into_response()
}

/// `GET .../Messages/{sid}.json`
async fn fetch(
    State(shared): State<Arc<Shared>>,
    Path((account_sid, file)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let index = match authenticate(&shared, &headers, &account_sid) {
        Ok(index) => index,
        Err(refusal) => return refusal.into_answer().into_response(),
    };
    let found = file
        .strip_suffix(".json")
        .and_then(|sid| shared.ledger.message(sid))
        .filter(|message| message.kind.as_str() == NAME && message.account == index);
    let answer = match found {
        Some(message) => resource::json(&resource::message(&message, &account_sid, false)),
        None => {
            let message = format!("The requested resource /Messages/{file} was not found");
            resource::error(StatusCode::NOT_FOUND, 20404, &message)
        }
    };
    answer.into_response()
}
