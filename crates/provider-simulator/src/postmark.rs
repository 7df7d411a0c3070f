//! Postmark: `POST /email`; webhooks that nobody signs, so that they bring a user and a password.
//! <https://postmarkapp.com/developer/api/email-api>

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use crate::account::Account;
use crate::answer::{self, Whole};
use crate::demo::{DEMO_POSTMARK_SERVER_TOKEN, DEMO_WEBHOOK_CREDENTIALS};
use crate::digest;
use crate::http_call::{HttpCall, text};
use crate::kind::{Hook, Inbound, Outline, Protocol, Reading, fields};
use crate::mail;
use crate::message::{Accepted, Stage, own_reference};
use crate::numbers::{is_mailbox, mailbox, mailboxes};
use crate::post::{Post, PostResult};
use crate::simulator::Shared;

const NAME: &str = "postmark";
const RECIPIENTS_MAX: usize = 50;
/// Metadata: pairs, characters of a name, characters of a value.
const METADATA_MAX: (usize, usize, usize) = (10, 20, 80);

#[derive(Debug)]
pub(crate) struct Postmark;

impl Protocol for Postmark {
    fn name(&self) -> &'static str {
        NAME
    }

    fn demo_account(&self) -> Account {
        Account {
            kind: NAME.to_owned(),
            name: DEMO_POSTMARK_SERVER_TOKEN.to_owned(),
            secret: DEMO_POSTMARK_SERVER_TOKEN.to_owned(),
            signing_key: DEMO_WEBHOOK_CREDENTIALS.to_owned(),
            ..Account::default()
        }
    }

    fn send_paths(&self) -> &'static [&'static str] {
        &["/email"]
    }

    fn authenticate(&self, shared: &Shared, call: &HttpCall) -> Result<usize, Whole> {
        let token = call.header("x-postmark-server-token");
        let known = shared.find_account(NAME, |account| account.secret == token);
        known.ok_or_else(|| self.error(StatusCode::UNAUTHORIZED, None, None))
    }

    fn read(&self, call: &HttpCall) -> Reading {
        let is_json = |name| call.header(name).to_ascii_lowercase().starts_with("application/json");
        if !is_json("accept") || !is_json("content-type") {
            let message = "Your HTTP request does not have the Accept and Content-Type headers set to JSON.";
            return Reading::refused(error(422, 409, message));
        }
        let Some(json) = call.json() else {
            return Reading::refused(error(422, 402, "Received invalid JSON input."));
        };
        let metadata = json["Metadata"].as_object().cloned().unwrap_or_default();
        let pairs = metadata.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)));
        let from = mailbox(text(&json, "From")).to_owned();
        let body = if json["TextBody"].is_string() { "TextBody" } else { "HtmlBody" };
        let files = json["Attachments"].as_array().into_iter().flatten();
        let outline = Outline {
            from: from.clone(),
            channel: "email",
            subject: json["Subject"].as_str().map(str::to_owned),
            body: text(&json, body).to_owned(),
            media: files.map(|file| text(file, "Name").to_owned()).collect(),
            reference: own_reference(pairs),
            event_fields: fields([
                ("Metadata", json["Metadata"].clone()),
                ("Tag", json["Tag"].clone()),
                ("MessageStream", json["MessageStream"].clone()),
            ]),
            ..Outline::default()
        };
        let people: Vec<String> =
            ["To", "Cc", "Bcc"].iter().flat_map(|name| mailboxes(text(&json, name))).collect();
        let checked = check(&json, &from, &people).map_err(|(code, message)| error(422, code, &message));
        let outlines = people.into_iter().map(|to| Outline { to, ..outline.clone() });
        Reading::checked(outlines.collect(), checked)
    }

    /// One for all recipients.
    fn ids(&self, shared: &Shared, outlines: &[Outline]) -> Vec<String> {
        vec![shared.uuid().to_string(); outlines.len()]
    }

    fn answer(&self, _account: &Account, messages: &[Arc<Accepted>]) -> Whole {
        let Some(first) = messages.first() else { return answer::json(200, &json!({})) };
        let to: Vec<&str> = messages.iter().map(|message| &*message.to).collect();
        let answer = json!({
            "To": to.join(","), "SubmittedAt": date(first.received_at), "MessageID": first.provider_message_id,
            "ErrorCode": 0, "Message": "OK",
        });
        answer::json(200, &answer)
    }

    fn error(&self, status: StatusCode, code: Option<&str>, message: Option<&str>) -> Whole {
        let (usual, words) = match status.as_u16() {
            401 => (10, "No Account or Server API tokens were supplied, or they are not valid."),
            429 => (429, "Rate limit exceeded."),
            503 => (100, "The Postmark API is offline for maintenance."),
            500.. => (0, "Internal Server Error"),
            _ => (300, "Invalid email request."),
        };
        let code = code.and_then(|code| code.parse().ok()).unwrap_or(usual);
        error(status.as_u16(), code, message.unwrap_or(words))
    }

    fn receipts(&self, hook: &Hook<'_>, messages: &[&Accepted]) -> Vec<Post> {
        messages.iter().flat_map(|message| receipt(hook, message)).collect()
    }

    fn inbound(&self, hook: &Hook<'_>, inbound: &Inbound<'_>) -> Post {
        let mut headers = vec![json!({
            "Name": "Message-ID", "Value": format!("<{}>", mail::message_id(inbound.id)),
        })];
        if let Some(id) = inbound.in_reply_to {
            headers.push(json!({ "Name": "In-Reply-To", "Value": format!("<{id}>") }));
            headers.push(json!({ "Name": "References", "Value": format!("<{id}>") }));
        }
        let files = inbound.files.iter().map(|file| {
            json!({
                "Name": file.name, "ContentType": file.content_type, "Content": digest::base64(&file.bytes),
                "ContentLength": file.bytes.len(), "ContentID": "",
            })
        });
        let (from, to) = (mailbox(inbound.from), mailbox(inbound.to));
        let full = |email: &str| json!({ "Email": email, "Name": "", "MailboxHash": "" });
        let mut body = json!({
            "FromName": "", "MessageStream": "inbound", "From": from, "FromFull": full(from),
            "To": inbound.to, "ToFull": [full(to)], "Cc": "", "CcFull": [], "Bcc": "", "BccFull": [],
            "OriginalRecipient": to, "Subject": inbound.subject, "MessageID": inbound.id, "ReplyTo": "",
            "MailboxHash": "", "Date": inbound.date.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string(),
            "TextBody": inbound.body, "HtmlBody": inbound.html.unwrap_or_default(), "StrippedTextReply": "",
            "Tag": "", "Headers": headers, "Attachments": files.collect::<Vec<_>>(),
        });
        if inbound.raw == Some(true) {
            body["RawEmail"] = json!(mail::source(inbound));
        }
        hook.with_basic(Post::json(hook.url, &body))
    }

    fn arrived_as(&self, message: &Accepted) -> String {
        format!("{}@mtasv.net", message.provider_message_id)
    }

    /// 403 ends the retries. <https://postmarkapp.com/developer/webhooks/webhooks-overview>
    fn is_taken(&self, result: &PostResult) -> bool {
        result.as_ref().is_ok_and(|status| status.is_success() || *status == StatusCode::FORBIDDEN)
    }
}

fn error(status: u16, code: u32, message: &str) -> Whole {
    answer::json(status, &json!({ "ErrorCode": code, "Message": message }))
}

fn check(json: &Value, from: &str, people: &[String]) -> Result<(), (u32, String)> {
    if !is_mailbox(from) {
        return Err((300, format!("Invalid 'From' address: '{from}'.")));
    }
    if mailboxes(text(json, "To")).is_empty() {
        return Err((300, "Zero recipients specified".to_owned()));
    }
    if let Some(wrong) = people.iter().find(|to| !is_mailbox(to)) {
        return Err((300, format!("Error parsing 'To': Illegal email address '{wrong}'.")));
    }
    if people.len() > RECIPIENTS_MAX {
        return Err((300, "Too many recipients: at most 50 are allowed.".to_owned()));
    }
    if text(json, "TextBody").is_empty() && text(json, "HtmlBody").is_empty() {
        return Err((300, "Provide either email TextBody or HtmlBody or both.".to_owned()));
    }
    let (pairs_max, name_max, value_max) = METADATA_MAX;
    let metadata = json["Metadata"].as_object();
    let is_fine = |(name, value): (&String, &Value)| {
        let value = value.as_str();
        name.chars().count() <= name_max && value.is_some_and(|value| value.chars().count() <= value_max)
    };
    if metadata.is_some_and(|metadata| metadata.len() > pairs_max || !metadata.iter().all(is_fine)) {
        return Err((300, "Metadata has too many, too long, or other than text values.".to_owned()));
    }
    Ok(())
}

/// Postmark's times have seven digits after the second.
fn date(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6f0+00:00").to_string()
}

fn receipt(hook: &Hook<'_>, message: &Accepted) -> Vec<Post> {
    let now = date(hook.now());
    let mut event = json!({
        "MessageID": message.provider_message_id,
        "MessageStream": message.event_fields.get("MessageStream").cloned().unwrap_or(json!("outbound")),
        "Tag": message.field("Tag"),
        "Metadata": message.event_fields.get("Metadata").cloned().unwrap_or(json!({})),
    });
    let more = match message.stage() {
        // There is no webhook for a message that was merely sent.
        Stage::Sent => return Vec::new(),
        Stage::Delivered => json!({
            "RecordType": "Delivery", "ServerId": 23, "Recipient": message.to, "DeliveredAt": now,
            "Details": "smtp;250 2.0.0 OK",
        }),
        Stage::Undelivered(code) => {
            let code = if code.is_empty() { "5.1.1" } else { code };
            json!({
                "RecordType": "Bounce", "ID": 901_542_550_u32, "Type": "HardBounce", "TypeCode": 1,
                "ServerID": 23, "Name": "Hard bounce", "Description": "The server was unable to deliver.",
                "Details": format!("smtp;550 {code} The recipient was refused by a scripted fault."),
                "Email": message.to, "From": message.from, "BouncedAt": now, "DumpAvailable": true,
                "Inactive": true, "CanActivate": true, "Subject": message.subject, "Content": "",
            })
        }
        Stage::Read => json!({
            "RecordType": "Open", "FirstOpen": true, "Recipient": message.to, "ReceivedAt": now,
            "Client": {}, "OS": {}, "Platform": "Unknown", "UserAgent": "", "ReadSeconds": 3, "Geo": {},
        }),
    };
    if let (Value::Object(event), Value::Object(more)) = (&mut event, more) {
        event.extend(more);
    }
    hook.copies(message, hook.with_basic(Post::json(hook.url, &event)))
}
