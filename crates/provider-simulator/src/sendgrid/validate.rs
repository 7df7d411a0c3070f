//! What SendGrid refuses, and the field that it names.

use std::collections::HashSet;

use serde_json::Value;

use super::{Refusal, mail};
use crate::numbers::is_mailbox as is_address;

const PERSONALIZATIONS_MAX: usize = 1000;
const RECIPIENTS_MAX: usize = 1000;
const CUSTOM_ARGS_BYTES_MAX: usize = 10_000;
const CATEGORIES_MAX: usize = 10;
const INVALID_ADDRESS: &str = "Does not contain a valid address.";
const RESERVED_HEADERS: &[&str] = &[
    "x-sg-id",
    "x-sg-eid",
    "received",
    "dkim-signature",
    "content-type",
    "content-transfer-encoding",
    "to",
    "from",
    "subject",
    "reply-to",
    "cc",
    "bcc",
];

pub(super) fn check(mail: &Value) -> Result<(), Refusal> {
    if !mail.is_object() {
        return Err(Refusal::new(http::StatusCode::BAD_REQUEST, "Bad Request"));
    }
    check_personalizations(mail)?;
    match mail["from"]["email"].as_str() {
        None => {
            return Err(Refusal::field(
                "from.email",
                "The from object must be provided for every email send.",
            ));
        }
        Some(email) if !is_address(email) => return Err(Refusal::field("from.email", INVALID_ADDRESS)),
        Some(_) => {}
    }
    let has_template = mail["template_id"].is_string();
    check_subject(mail, has_template)?;
    check_content(mail, has_template)?;
    check_strings(&mail["headers"])?;
    check_strings(&mail["custom_args"])?;
    if let Some(name) = mail["headers"].as_object().and_then(|headers| {
        headers.keys().find(|name| RESERVED_HEADERS.contains(&name.to_ascii_lowercase().as_str()))
    }) {
        return Err(Refusal::field("headers", format!("The header {name} is reserved and cannot be set.")));
    }
    if mail["custom_args"].is_object() && mail["custom_args"].to_string().len() >= CUSTOM_ARGS_BYTES_MAX {
        return Err(Refusal::field("custom_args", "The custom arguments must be less than 10,000 bytes."));
    }
    if mail["categories"].as_array().is_some_and(|categories| categories.len() > CATEGORIES_MAX) {
        return Err(Refusal::field("categories", "The categories are limited to 10 items."));
    }
    if !mail["reply_to"].is_null() && !mail["reply_to_list"].is_null() {
        return Err(Refusal::field("reply_to", "Use either reply_to or reply_to_list, not both."));
    }
    check_attachments(mail)
}

fn check_personalizations(mail: &Value) -> Result<(), Refusal> {
    let personalizations = mail["personalizations"].as_array().map(Vec::as_slice).unwrap_or_default();
    if personalizations.is_empty() || personalizations.len() > PERSONALIZATIONS_MAX {
        let message = "The personalizations field is required and must have at least one and at most 1000 personalizations.";
        return Err(Refusal::field("personalizations", message));
    }
    let mut people = 0;
    for (index, personalization) in personalizations.iter().enumerate() {
        let path = format!("personalizations.{index}");
        if personalization["to"].as_array().is_none_or(Vec::is_empty) {
            let message = "The to array is required for all personalization objects, and must have at least one email object with a valid email address.";
            return Err(Refusal::field(format!("{path}.to"), message));
        }
        for list in ["cc", "bcc"] {
            if personalization[list].as_array().is_some_and(Vec::is_empty) {
                return Err(Refusal::field(
                    format!("{path}.{list}"),
                    format!("The {list} array must not be empty."),
                ));
            }
        }
        let mut seen = HashSet::new();
        for (list, position, person) in mail::recipients(personalization) {
            people += 1;
            let email = person["email"].as_str().unwrap_or_default();
            if !is_address(email) {
                return Err(Refusal::field(format!("{path}.{list}.{position}.email"), INVALID_ADDRESS));
            }
            if !seen.insert(email.to_ascii_lowercase()) {
                let message = "Each email address in the personalization block should be unique between to, cc, and bcc.";
                return Err(Refusal::field(format!("{path}.{list}"), message));
            }
        }
        check_strings(&personalization["headers"])?;
        check_strings(&personalization["custom_args"])?;
    }
    if people > RECIPIENTS_MAX {
        return Err(Refusal::field("personalizations", "A mail may have at most 1000 recipients."));
    }
    Ok(())
}

fn check_subject(mail: &Value, has_template: bool) -> Result<(), Refusal> {
    let is_given = |value: &Value| value.as_str().is_some_and(|subject| !subject.is_empty());
    let mut personalizations = mail["personalizations"].as_array().into_iter().flatten();
    if has_template || is_given(&mail["subject"]) || personalizations.all(|it| is_given(&it["subject"])) {
        return Ok(());
    }
    let message = "The subject is required. You can get around this requirement if you use a template with a subject defined or if every personalization has a subject defined.";
    Err(Refusal::field("subject", message))
}

fn check_content(mail: &Value, has_template: bool) -> Result<(), Refusal> {
    let blocks = mail["content"].as_array().map(Vec::as_slice).unwrap_or_default();
    if blocks.is_empty() {
        if has_template {
            return Ok(());
        }
        let message = "Unless a valid template_id is provided, the content parameter is required. There must be at least one defined content block.";
        return Err(Refusal::field("content", message));
    }
    let mut last_rank = 0;
    for (index, block) in blocks.iter().enumerate() {
        let rank = match block["type"].as_str() {
            Some("text/plain") => 0,
            Some("text/html") => 1,
            Some(other) if other.contains('/') => 2,
            _ => {
                return Err(Refusal::field(
                    format!("content.{index}.type"),
                    "The content type must be a MIME type.",
                ));
            }
        };
        if block["value"].as_str().is_none_or(str::is_empty) {
            let message = "The content value must be a string at least one character in length.";
            return Err(Refusal::field(format!("content.{index}.value"), message));
        }
        if rank < last_rank {
            let message =
                "If present, text/plain must be first, followed by text/html, followed by any other content.";
            return Err(Refusal::field("content", message));
        }
        last_rank = rank;
    }
    Ok(())
}

fn check_attachments(mail: &Value) -> Result<(), Refusal> {
    use base64::Engine as _;
    for (index, file) in mail["attachments"].as_array().into_iter().flatten().enumerate() {
        let content = file["content"].as_str().unwrap_or_default();
        let is_base64 = base64::engine::general_purpose::STANDARD.decode(content).is_ok();
        if content.is_empty() || !is_base64 {
            let message = "The attachment content must be base64 encoded.";
            return Err(Refusal::field(format!("attachments.{index}.content"), message));
        }
        if file["filename"].as_str().is_none_or(str::is_empty) {
            let message = "The attachment filename is required.";
            return Err(Refusal::field(format!("attachments.{index}.filename"), message));
        }
    }
    Ok(())
}

/// Headers and custom arguments hold strings; SendGrid says no more than this about anything else.
fn check_strings(object: &Value) -> Result<(), Refusal> {
    let is_fine = match object {
        Value::Null => true,
        Value::Object(fields) => fields.values().all(Value::is_string),
        _ => false,
    };
    if is_fine { Ok(()) } else { Err(Refusal::new(http::StatusCode::BAD_REQUEST, "Bad Request")) }
}
