//! What a request to send says besides its ends: checked, and in the form in which it is stored.

use jiff::{Timestamp, ToSpan};
use model::{Channel, Endpoint, Medium, Priority};
use serde_json::{Map, Value, json};

use crate::fields::{Fields, Text};
use crate::times;

/// Ten segments of a concatenated SMS and a little; the limit of most providers.
pub(crate) const PHONE_BODY_CHARS_MAX: usize = 1600;
/// https://developers.facebook.com/docs/whatsapp/cloud-api/messages/text-messages
pub(crate) const WHATSAPP_BODY_CHARS_MAX: usize = 4096;
/// RFC 5322 section 2.1.1.
pub(crate) const SUBJECT_CHARS_MAX: usize = 998;
pub(crate) const ATTACHMENTS_MAX: usize = 10;
/// A message of WhatsApp is a text or one medium with its caption.
pub(crate) const WHATSAPP_ATTACHMENTS_MAX: usize = 1;
const AHEAD_DAYS_MAX: i64 = 366;

/// The names of the fields that it is read from.
pub(crate) const PHONE_FIELDS: [&str; 8] =
    ["type", "body", "attachments", "timestamp", "send_at", "expires_at", "priority", "metadata"];
pub(crate) const EMAIL_FIELDS: [&str; 9] =
    ["type", "subject", "body", "attachments", "timestamp", "send_at", "expires_at", "priority", "metadata"];
pub(crate) const WHATSAPP_FIELDS: [&str; 7] =
    ["body", "attachments", "timestamp", "send_at", "expires_at", "priority", "metadata"];

/// A request to send, as the API's description has it: its own fields, then those that each such request has.
macro_rules! describe_sending {
    ($(#[$about:meta])* $name:ident { $($own:tt)* }) => {
        #[derive(serde::Deserialize, utoipa::ToSchema)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "describes what is taken field by field, so that all mistakes are told at once")]
        $(#[$about])*
        pub(crate) struct $name {
            $($own)*
            /// Up to 10 http or https URLs; on WhatsApp one.
            #[schema(required = false, max_items = 10)]
            attachments: Option<Vec<String>>,
            /// Your own time of the message.
            #[schema(required = false, format = DateTime)]
            timestamp: Option<String>,
            /// Not before this time; up to 366 days ahead.
            #[schema(required = false, format = DateTime)]
            send_at: Option<String>,
            /// Not after this time: the message fails as `expired` then.
            #[schema(required = false, format = DateTime)]
            expires_at: Option<String>,
            /// `high`, `normal` (the default) or `low`.
            #[schema(required = false, pattern = "^(high|normal|low)$")]
            priority: Option<String>,
            /// Up to 50 keys and 8 KiB of your own, returned with the message.
            #[schema(required = false, value_type = Option<Object>)]
            metadata: Option<serde_json::Map<String, serde_json::Value>>,
        }
    };
}

pub(crate) use describe_sending;

#[derive(Clone, Debug)]
pub(crate) struct Content {
    pub channel: Channel,
    pub subject: Option<String>,
    pub body: String,
    pub attachments: Vec<String>,
    pub metadata: Map<String, Value>,
    pub priority: Priority,
    pub timestamp: Option<Timestamp>,
    pub send_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
}

/// The fields for a medium.
pub(crate) fn known_fields(medium: Medium) -> &'static [&'static str] {
    match medium {
        Medium::Phone => &PHONE_FIELDS,
        Medium::Email => &EMAIL_FIELDS,
        Medium::Whatsapp => &WHATSAPP_FIELDS,
    }
}

/// The channel of a medium for a message whose request names none.
pub(crate) fn usual_channel(medium: Medium, has_attachments: bool) -> Channel {
    match medium {
        Medium::Phone if has_attachments => Channel::Mms,
        Medium::Phone => Channel::Sms,
        Medium::Email => Channel::Email,
        Medium::Whatsapp => Channel::Whatsapp,
    }
}

/// The words of a medium's channels: what `type` may say.
pub(crate) fn type_words(medium: Medium) -> Vec<&'static str> {
    Channel::ALL.into_iter().filter(|channel| channel.medium() == medium).map(Channel::as_str).collect()
}

impl Content {
    /// Takes its fields; what is wrong is put down in `fields`. Whether it has expired already is not asked here.
    pub(crate) fn read(fields: &mut Fields, medium: Medium, now: Timestamp) -> Self {
        let takes = |field: &str| known_fields(medium).contains(&field);
        let wanted: Option<Channel> =
            if takes("type") { fields.word("type", &type_words(medium)) } else { None };
        let subject =
            if takes("subject") { fields.text("subject", Text::Line, SUBJECT_CHARS_MAX) } else { None };
        let (body_chars_max, attachments_max) = match medium {
            Medium::Phone => (PHONE_BODY_CHARS_MAX, ATTACHMENTS_MAX),
            Medium::Email => (usize::MAX, ATTACHMENTS_MAX),
            Medium::Whatsapp => (WHATSAPP_BODY_CHARS_MAX, WHATSAPP_ATTACHMENTS_MAX),
        };
        let errors_before = fields.error_count();
        let body = fields.text("body", Text::Lines, body_chars_max).unwrap_or_default();
        let attachments = fields.urls("attachments", attachments_max);
        if body.trim().is_empty() && attachments.is_empty() && fields.error_count() == errors_before {
            fields.wrong("body", "required", "must not be empty in a message without attachments");
        }
        if wanted == Some(Channel::Sms) && !attachments.is_empty() {
            fields.wrong("type", "attachments_need_mms", "is sms, which carries no attachments; mms does");
        }
        let channel = wanted.unwrap_or(usual_channel(medium, !attachments.is_empty()));
        let content = Self {
            channel,
            subject: subject.filter(|subject| !subject.trim().is_empty()),
            body,
            attachments,
            metadata: fields.metadata("metadata"),
            priority: fields.word("priority", Priority::WORDS).unwrap_or(Priority::Normal),
            timestamp: fields.time("timestamp"),
            send_at: fields.time("send_at"),
            expires_at: fields.time("expires_at"),
        };
        content.check_times(fields, now);
        content
    }

    fn check_times(&self, fields: &mut Fields, now: Timestamp) {
        let latest = now.checked_add((AHEAD_DAYS_MAX * 24).hours()).unwrap_or(Timestamp::MAX);
        if self.send_at.is_some_and(|send_at| send_at > latest) {
            let sentence = format_args!("is more than {AHEAD_DAYS_MAX} days ahead");
            fields.wrong("send_at", "out_of_range", sentence);
        }
        if let (Some(send_at), Some(expires_at)) = (self.send_at, self.expires_at)
            && expires_at <= send_at
        {
            fields.wrong("expires_at", "out_of_range", "must be after send_at");
        }
    }

    /// The request in normal form: what two requests have in common that ask for the same.
    pub(crate) fn meaning(&self, from: Option<&Endpoint>, to: Option<&Endpoint>) -> Value {
        json!({
            "from": from.map(Endpoint::as_str),
            "to": to.map(Endpoint::as_str),
            "channel": self.channel.as_str(),
            "subject": self.subject,
            "body": self.body,
            "attachments": self.attachments,
            "metadata": self.metadata,
            "priority": self.priority.as_str(),
            "timestamp": self.timestamp.map(times::format),
            "send_at": self.send_at.map(times::format),
            "expires_at": self.expires_at.map(times::format),
        })
    }
}
