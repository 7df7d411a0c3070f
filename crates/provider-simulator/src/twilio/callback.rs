//! What Twilio posts to its customers: status callbacks and inbound messages, signed.

use super::resource;
use crate::account::Account;
use crate::http_call::Form;
use crate::kind::{Hook, Inbound};
use crate::media::content_type;
use crate::message::Accepted;
use crate::post::Post;
use crate::segments;
use crate::sign::twilio_signature;

const API_VERSION: &str = "2010-04-01";

/// Signs a form for the URL as it was configured. A fragment is neither signed nor sent.
fn signed(account: &Account, url: &str, form: &Form) -> Post {
    let url = url.split('#').next().unwrap_or_default();
    let mut post =
        Post::form(url, form).with("x-twilio-signature", twilio_signature(&account.signing_key, url, form));
    post.content_type.push_str("; charset=UTF-8");
    post
}

fn pair(name: &str, value: impl Into<String>) -> (String, String) {
    (name.to_owned(), value.into())
}

/// The status callback that is next for this message, and its copies.
pub(super) fn receipt(hook: &Hook<'_>, message: &Accepted) -> Vec<Post> {
    let status = resource::status_of(message.stage());
    let sid = &*message.provider_message_id;
    let mut form = vec![
        pair("AccountSid", &*hook.account.name),
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
        let done = hook.shared.options.clock.now();
        form.push(pair("RawDlrDoneDate", done.strftime("%y%m%d%H%M").to_string()));
    }
    hook.copies(message, signed(hook.account, hook.url, &form))
}

/// An inbound message.
pub(super) fn inbound(hook: &Hook<'_>, inbound: &Inbound<'_>) -> Post {
    let mut form = vec![
        pair("AccountSid", &*hook.account.name),
        pair("ApiVersion", API_VERSION),
        pair("Body", inbound.body),
        pair("From", inbound.from),
        pair("FromCity", ""),
        pair("FromCountry", "US"),
        pair("FromState", ""),
        pair("FromZip", ""),
        pair("MessageSid", inbound.id),
        pair("NumMedia", inbound.media.len().to_string()),
        pair("NumSegments", segments::count(inbound.body).to_string()),
        pair("SmsMessageSid", inbound.id),
        pair("SmsSid", inbound.id),
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
    signed(hook.account, hook.url, &form)
}
