//! Submissions as the fixtures write them, the mail as a mail program reads it, and a server's replies.

use mail_parser::{Address, Message, MessageParser, MimeHeaders, PartType};
use providers::{SmtpReply, SmtpStage, Submission};
use serde_json::{Map, Value, json};

pub(crate) fn submission_json(submission: &Submission) -> Value {
    let server = &submission.server;
    json!({
        "server": {
            "host": server.host,
            "port": server.port,
            "security": format!("{:?}", server.security).to_lowercase(),
            "helo_name": server.helo_name,
            "username": server.credentials.as_ref().map(|(username, _)| username),
        },
        "from": submission.from,
        "to": submission.to,
        "envelope_id": submission.envelope_id,
        "mail": mail_json(&submission.mail),
    })
}

/// The header fields that say something, decoded, and the parts in their order.
pub(crate) fn mail_json(source: &[u8]) -> Value {
    let text = std::str::from_utf8(source).unwrap();
    for line in text.split_terminator("\r\n") {
        assert!(line.is_ascii() && line.len() <= 998 && !line.contains(['\r', '\n']), "{line:?}");
    }
    let mail = MessageParser::default().parse(source).unwrap();
    let ids = |name: &'static str| -> Vec<&str> {
        mail.header_raw(name).unwrap_or_default().split_whitespace().collect()
    };
    let mut json = json!({
        "date": mail.date().map(|date| date.to_rfc3339()),
        "from": mailboxes(mail.from()),
        "to": mailboxes(mail.to()),
        "subject": mail.subject(),
        "message_id": ids("Message-ID"),
        "type": media_type(&mail.parts[0]),
        "parts": parts(&mail),
    });
    for (key, name) in [("in_reply_to", "In-Reply-To"), ("references", "References")] {
        if mail.header_raw(name).is_some() {
            json[key] = ids(name).into();
        }
    }
    json
}

fn mailboxes(address: Option<&Address<'_>>) -> Vec<Value> {
    let boxes = address.into_iter().flat_map(|address| address.iter());
    boxes.map(|address| json!({ "name": address.name(), "address": address.address() })).collect()
}

fn parts(mail: &Message<'_>) -> Vec<Value> {
    let leaves = mail.parts.iter().filter(|part| !matches!(part.body, PartType::Multipart(_)));
    let json = leaves.map(|part| {
        let text = String::from_utf8(part.contents().to_vec()).unwrap();
        let text = text.strip_suffix("\r\n").map_or(text.clone(), str::to_owned);
        let mut json = json!({ "type": media_type(part), "text": text });
        if let Some(name) = part.attachment_name() {
            json["filename"] = name.into();
        }
        json
    });
    json.collect()
}

fn media_type(part: &mail_parser::MessagePart<'_>) -> String {
    let kind = part.content_type().unwrap();
    format!("{}/{}", kind.ctype(), kind.subtype().unwrap())
}

pub(crate) fn reply(json: &Map<String, Value>) -> SmtpReply {
    let stage = match json["stage"].as_str().unwrap() {
        "connect" => SmtpStage::Connect,
        "auth" => SmtpStage::Auth,
        "mail_from" => SmtpStage::MailFrom,
        "rcpt_to" => SmtpStage::RcptTo,
        "data" => SmtpStage::Data,
        other => panic!("{other} is no stage"),
    };
    SmtpReply {
        code: json["code"].as_u64().unwrap().try_into().unwrap(),
        text: json["text"].as_str().unwrap().to_owned(),
        stage,
    }
}
