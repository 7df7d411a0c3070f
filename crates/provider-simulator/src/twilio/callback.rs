//! What Twilio posts to its customers: status callbacks and inbound messages, signed.

use std::sync::atomic::Ordering::SeqCst;

use bytes::Bytes;

use super::{Form, WHATSAPP, resource, segments};
use crate::message::{Accepted, Kind};
use crate::options::TwilioAccount;
use crate::post::{Post, PostError};
use crate::schedule::reply_text;
use crate::sign::twilio_signature;
use crate::simulator::Shared;

const API_VERSION: &str = "2010-04-01";

/// Signs a form for the URL as it was configured. A fragment is neither signed nor sent.
fn signed(account: &TwilioAccount, url: &str, form: &Form) -> Post {
    let url = url.split('#').next().unwrap_or_default().to_owned();
    let signature = twilio_signature(&account.auth_token, &url, form);
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    Post {
        url,
        content_type: "application/x-www-form-urlencoded; charset=UTF-8".to_owned(),
        headers: vec![("x-twilio-signature", signature)],
        body: Bytes::from(body),
    }
}

fn pair(name: &str, value: impl Into<String>) -> (String, String) {
    (name.to_owned(), value.into())
}

/// The status callback that is next for this message, and its copies. False where the target was not reached:
/// Twilio repeats a callback only then, whatever the answer is.
pub(crate) async fn post_receipt(shared: &Shared, message: &Accepted) -> bool {
    let (Some(url), Some(account)) = (&message.callback_url, shared.options.twilio.get(message.account))
    else {
        return true;
    };
    let status = resource::status(message, message.receipts_done.load(SeqCst) + 1);
    let sid = &*message.provider_message_id;
    let mut form = vec![
        pair("AccountSid", &*account.account_sid),
        pair("ApiVersion", API_VERSION),
        pair("From", &*message.from),
        pair("MessageSid", sid),
        pair("MessageStatus", status),
        pair("SmsSid", sid),
        pair("SmsStatus", status),
        pair("To", &*message.to),
    ];
    if let Some(service) = &message.messaging_service_sid {
        form.push(pair("MessagingServiceSid", &**service));
    }
    if status == "undelivered" {
        form.push(pair("ErrorCode", resource::undelivered_code(message)));
    }
    if status != "sent" {
        form.push(pair("RawDlrDoneDate", shared.options.clock.now().strftime("%y%m%d%H%M").to_string()));
    }
    let post = signed(account, url, &form);
    for _ in 0..message.plan.copies {
        if is_unreached(&shared.poster.post(post.clone()).await) {
            return false;
        }
    }
    !is_unreached(&shared.poster.post(post).await)
}

fn is_unreached<T>(result: &Result<T, PostError>) -> bool {
    matches!(result, Err(PostError::Connection))
}

/// An inbound message.
pub(crate) struct Inbound<'a> {
    pub sid: &'a str,
    pub from: &'a str,
    pub to: &'a str,
    pub body: &'a str,
    pub media: &'a [String],
}

/// Where an account's inbound messages go: its own setting, else where the status callbacks of its last message
/// went.
pub(crate) fn inbound_url(shared: &Shared, account: usize) -> Option<String> {
    let configured = shared.options.twilio.get(account)?.inbound_url.as_ref();
    configured.map(|url| url.as_str().to_owned()).or_else(|| {
        let last = shared.ledger.last_of(Kind::Twilio, account)?;
        last.callback_url.as_deref().map(base_of)
    })
}

/// The URL without its query and fragment.
fn base_of(url: &str) -> String {
    url.split(['?', '#']).next().unwrap_or_default().to_owned()
}

/// One delivery of an inbound message; deliveries of the same are byte for byte the same.
pub(crate) fn post_inbound(account: &TwilioAccount, url: &str, inbound: &Inbound<'_>) -> Post {
    let mut form = vec![
        pair("AccountSid", &*account.account_sid),
        pair("ApiVersion", API_VERSION),
        pair("Body", inbound.body),
        pair("From", inbound.from),
        pair("FromCity", ""),
        pair("FromCountry", "US"),
        pair("FromState", ""),
        pair("FromZip", ""),
        pair("MessageSid", inbound.sid),
        pair("NumMedia", inbound.media.len().to_string()),
        pair("NumSegments", segments::count(inbound.body).to_string()),
        pair("SmsMessageSid", inbound.sid),
        pair("SmsSid", inbound.sid),
        pair("SmsStatus", "received"),
        pair("To", inbound.to),
        pair("ToCity", ""),
        pair("ToCountry", "US"),
        pair("ToState", ""),
        pair("ToZip", ""),
    ];
    for (index, media_url) in inbound.media.iter().enumerate() {
        form.push(pair(&format!("MediaUrl{index}"), media_url));
        form.push(pair(&format!("MediaContentType{index}"), content_type(media_url)));
    }
    signed(account, url, &form)
}

fn content_type(url: &str) -> &'static str {
    let path = base_of(url);
    match path.rsplit('.').next().unwrap_or_default() {
        "png" => "image/png",
        "gif" => "image/gif",
        "vcf" => "text/vcard",
        "pdf" => "application/pdf",
        _ => "image/jpeg",
    }
}

/// The auto-reply. True also where there is nobody to reply to.
pub(crate) async fn post_reply(shared: &Shared, message: &Accepted, reply_id: &str) -> bool {
    let Some(account) = shared.options.twilio.get(message.account) else { return true };
    let configured = account.inbound_url.as_ref().map(|url| url.as_str().to_owned());
    let Some(url) = configured.or_else(|| message.callback_url.as_deref().map(base_of)) else { return true };
    let number = message.from.trim_start_matches(WHATSAPP);
    let is_number = number.trim_start_matches('+').bytes().all(|byte| byte.is_ascii_digit());
    if message.from.is_empty() || !is_number {
        // Nobody can answer an alphanumeric sender.
        return true;
    }
    let inbound = Inbound {
        sid: &format!("SM{reply_id}"),
        from: &message.to,
        to: &message.from,
        body: &reply_text(&message.body),
        media: &[],
    };
    !is_unreached(&shared.poster.post(post_inbound(account, &url, &inbound)).await)
}
