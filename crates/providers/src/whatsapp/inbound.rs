//! Inbound messages. A message is text and attachments here, and WhatsApp's have many more forms: what has no place in
//! ours comes along as a JSON file, so that nothing that somebody sent is lost
//! (https://developers.facebook.com/docs/whatsapp/cloud-api/webhooks/components).

use model::Channel;
use serde_json::Value;

use super::Whatsapp;
use super::webhook::{message_id, timestamp};
use crate::inbound_text::{code_word, place_text, storable};
use crate::webhook::unparsable;
use crate::{File, InboundMessage, WebhookError};

/// A message of the notification `value`.
///
/// # Errors
/// [`WebhookError::Unparsable`] where it has no id or no ends.
pub(super) fn read(
    whatsapp: &Whatsapp,
    value: &Value,
    message: &Value,
) -> Result<InboundMessage, WebhookError> {
    let provider_message_id =
        message_id(&message["id"]).ok_or_else(|| unparsable("a message has no id that can be stored"))?;
    let from = sender(value, message).ok_or_else(|| unparsable("a message has no sender"))?;
    let to = recipient(whatsapp, &value["metadata"])
        .ok_or_else(|| unparsable("the notification does not say which of our numbers it is about"))?;
    let Content { body, attachments, has_more } = Content::of(message, &whatsapp.media_url);
    Ok(InboundMessage {
        provider_message_id,
        channel: Channel::Whatsapp,
        from,
        to,
        subject: None,
        body: storable(body),
        attachments,
        files: if has_more { vec![as_file(message)] } else { Vec::new() },
        omitted_files: 0,
        timestamp: timestamp(&message["timestamp"]),
    })
}

/// A number by its digits; or the id of a user who shows none.
fn sender(value: &Value, message: &Value) -> Option<String> {
    let fields = [&message["from"], &message["from_user_id"], &value["contacts"][0]["user_id"]];
    let text = fields.into_iter().filter_map(Value::as_str).find(|text| !text.is_empty())?;
    Some(with_plus(text).unwrap_or_else(|| storable(text)))
}

/// One app has one webhook for all its numbers: those that are not configured are known by how they are shown.
fn recipient(whatsapp: &Whatsapp, metadata: &Value) -> Option<String> {
    let id = metadata["phone_number_id"].as_str().unwrap_or_default();
    let configured = whatsapp.numbers.iter().find(|number| number.id == id);
    configured.map(|number| number.e164.clone()).or_else(|| {
        let shown = metadata["display_phone_number"].as_str()?;
        with_plus(&shown.chars().filter(char::is_ascii_digit).collect::<String>())
    })
}

fn with_plus(digits: &str) -> Option<String> {
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| format!("+{digits}"))
}

#[derive(Default)]
struct Content {
    body: String,
    attachments: Vec<String>,
    /// The message says more than stands here.
    has_more: bool,
}

impl Content {
    fn of(message: &Value, media_url: &str) -> Self {
        let kind = message["type"].as_str().unwrap_or_default();
        let content = &message[kind];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let only = |body: String| Self { has_more: body.is_empty(), body, ..Self::default() };
        let with_more = |body: String| Self { body, has_more: true, ..Self::default() };
        match kind {
            "text" => only(text(&content["body"])),
            "image" | "video" | "audio" | "voice" | "document" | "sticker" => {
                // The bytes need the access token, and their address lives for minutes: what lasts is where it can be
                // looked up.
                let id = content["id"].as_str().and_then(code_word);
                let attachments: Vec<String> = id.map(|id| format!("{media_url}/{id}")).into_iter().collect();
                Self { body: text(&content["caption"]), has_more: attachments.is_empty(), attachments }
            }
            "button" => only(text(&content["text"])),
            "interactive" => {
                let kind = content["type"].as_str().unwrap_or_default();
                match kind {
                    "button_reply" | "list_reply" => only(text(&content[kind]["title"])),
                    _ => with_more(text(&content[kind]["body"])),
                }
            }
            "location" => location(content).map_or_else(|| with_more(String::new()), only),
            "reaction" => with_more(text(&content["emoji"])),
            "contacts" => with_more(names(content)),
            _ => with_more(text(&content["body"])),
        }
    }
}

fn location(content: &Value) -> Option<String> {
    let degrees = |name: &str| content[name].as_f64().map(|degrees| degrees.to_string());
    let lines = [content["name"].as_str(), content["address"].as_str()];
    Some(place_text(lines, &degrees("latitude")?, &degrees("longitude")?))
}

fn names(contacts: &Value) -> String {
    let contacts = contacts.as_array().into_iter().flatten();
    contacts.filter_map(|contact| contact["name"]["formatted_name"].as_str()).collect::<Vec<_>>().join("\n")
}

/// The whole message as it came, named after its type.
fn as_file(message: &Value) -> File {
    let kind = message["type"].as_str().and_then(code_word).unwrap_or_else(|| "message".to_owned());
    File {
        filename: format!("{kind}.json"),
        content_type: "application/json".to_owned(),
        bytes: message.to_string().into_bytes(),
    }
}
