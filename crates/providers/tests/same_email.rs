//! One email through every kind that carries email: whatever the protocol, the recipient gets the same parts. A kind is a
//! line in [`READERS`]; what its protocol may not say is written there too.

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

#[path = "contract/multipart.rs"]
mod multipart;

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::Request;
use model::{Channel, Endpoint};
use providers::{Call, File, KINDS, Outgoing, Settings};
use serde_json::Value;
use uuid::Uuid;

/// What a recipient sees of a mail.
#[derive(Debug, Default, PartialEq, Eq)]
struct Mail {
    from: String,
    from_name: String,
    to: String,
    subject: String,
    text: String,
    html: String,
    /// Name, media type and bytes, in order.
    files: Vec<(String, String, Vec<u8>)>,
    message_id: Option<String>,
    in_reply_to: Option<String>,
    references: Option<String>,
}

type Reader = fn(Call) -> Mail;

/// How the request of a kind is read, and whether the kind lets us choose the `Message-ID`.
const READERS: &[(&str, Reader, bool)] = &[
    ("mailgun", |call| mailgun(&http(call)), true),
    ("postmark", |call| postmark(&json(call)), true),
    ("resend", |call| resend(&json(call)), false),
    ("sendgrid", |call| sendgrid(&json(call)), true),
];

const SUBJECT: &str = "Gr\u{fc}\u{df}e \u{1f44d}, \"zitiert\"";
const NAME: &str = "M\u{fc}ller, \"A\" \u{732b}";
const HTML: &str = "<p>Gr\u{fc}\u{df}e, <b>Ann</b></p>";
const ANSWERED: &str = "<CAF1@mail.example.net>";

fn files() -> Vec<File> {
    let file = |filename: &str, content_type: &str, bytes: &[u8]| File {
        filename: filename.to_owned(),
        content_type: content_type.to_owned(),
        bytes: bytes.to_vec(),
    };
    vec![
        file("\u{dc}bersicht \u{732b}.pdf", "application/pdf", b"%PDF\r\n--x\r\n\0\xff"),
        file("a.txt", "text/plain", "Gr\u{fc}\u{df}e\n.\n".as_bytes()),
    ]
}

fn call(kind: &str) -> Call {
    let kind = KINDS.iter().find(|known| known.name == kind).unwrap();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract").join(kind.name);
    let settings: Value =
        serde_json::from_slice(&std::fs::read(folder.join("settings.json")).unwrap()).unwrap();
    let mut values: BTreeMap<String, String> = serde_json::from_value(settings["values"].clone()).unwrap();
    values.insert("from_name".to_owned(), NAME.to_owned());
    let settings = Settings {
        base_url: kind.base_url.parse().unwrap(),
        verify: true,
        codes: BTreeMap::new(),
        values: values.into_iter().map(|(key, value)| (key, value.into())).collect(),
    };
    let message_id = Uuid::try_parse("0190f3a2-7b1c-70a7-8123-456789abcdef").unwrap();
    let references = ["<first@example.com>".to_owned(), ANSWERED.to_owned()];
    let provider = (kind.configure)(&settings).unwrap();
    let call = provider.call(&Outgoing {
        message_id,
        attempt: 1,
        channel: Channel::Email,
        from: &Endpoint::stored("app@example.com"),
        to: &Endpoint::stored("ann@example.net"),
        subject: Some(SUBJECT),
        body: HTML,
        attachments: &[],
        files: &files(),
        in_reply_to: Some(ANSWERED),
        references: &references,
        webhook_url: "https://relay.example.org/api/webhooks/main",
    });
    call.unwrap()
}

#[test]
fn every_kind_sends_the_same_email() {
    for (kind, read, keeps_message_id) in READERS {
        let message_id = "<0190f3a2-7b1c-70a7-8123-456789abcdef@example.com>".to_owned();
        let expected = Mail {
            from: "app@example.com".to_owned(),
            from_name: NAME.to_owned(),
            to: "ann@example.net".to_owned(),
            subject: SUBJECT.to_owned(),
            text: "Gr\u{fc}\u{df}e, Ann".to_owned(),
            html: HTML.to_owned(),
            files: files().into_iter().map(|file| (file.filename, file.content_type, file.bytes)).collect(),
            message_id: keeps_message_id.then_some(message_id),
            in_reply_to: Some(ANSWERED.to_owned()),
            references: Some(format!("<first@example.com> {ANSWERED}")),
        };
        assert_eq!(read(call(kind)), expected, "{kind}");
    }
}

#[test]
fn every_kind_that_carries_email_is_read() {
    for kind in KINDS.iter().filter(|kind| kind.channels.contains(&Channel::Email)) {
        assert!(READERS.iter().any(|(name, ..)| *name == kind.name), "{} has no line in READERS", kind.name);
    }
}

fn http(call: Call) -> Request<Bytes> {
    match call {
        Call::Http(request) => request,
        Call::Smtp(submission) => panic!("{submission:?}"),
    }
}

fn json(call: Call) -> Value {
    serde_json::from_slice(http(call).body()).unwrap()
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// `"Name" <address>` as RFC 5322 section 3.2.4 quotes it.
fn mailbox(text: &str) -> (String, String) {
    let (name, address) = text.strip_suffix('>').unwrap().rsplit_once(" <").unwrap();
    let quoted = name.strip_prefix('"').unwrap().strip_suffix('"').unwrap();
    let mut name = String::new();
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        assert_ne!(c, '"', "it ends the name");
        name.push(if c == '\\' { chars.next().unwrap() } else { c });
    }
    (name, address.to_owned())
}

/// The files of a list of objects with these three fields.
fn files_in(list: &Value, [name, content_type, content]: [&str; 3]) -> Vec<(String, String, Vec<u8>)> {
    let file = |file: &Value| {
        let bytes = BASE64.decode(string(&file[content])).unwrap();
        (string(&file[name]), string(&file[content_type]), bytes)
    };
    list.as_array().unwrap().iter().map(file).collect()
}

fn mailgun(request: &Request<Bytes>) -> Mail {
    let (mut fields, mut files) = (BTreeMap::new(), Vec::new());
    for part in multipart::parts(request).unwrap() {
        match part.filename {
            Some(filename) => files.push((filename, part.content_type.unwrap(), part.bytes)),
            None => assert!(fields.insert(part.name, String::from_utf8(part.bytes).unwrap()).is_none()),
        }
    }
    let (from_name, from) = mailbox(&fields["from"]);
    Mail {
        from,
        from_name,
        to: fields["to"].clone(),
        subject: fields["subject"].clone(),
        text: fields["text"].clone(),
        html: fields["html"].clone(),
        files,
        message_id: fields.get("h:Message-Id").cloned(),
        in_reply_to: fields.get("h:In-Reply-To").cloned(),
        references: fields.get("h:References").cloned(),
    }
}

fn postmark(body: &Value) -> Mail {
    let (from_name, from) = mailbox(&string(&body["From"]));
    let headers = body["Headers"].as_array().unwrap();
    let header = |name: &str| {
        headers.iter().find(|header| header["Name"] == name).map(|header| string(&header["Value"]))
    };
    Mail {
        from,
        from_name,
        to: string(&body["To"]),
        subject: string(&body["Subject"]),
        text: string(&body["TextBody"]),
        html: string(&body["HtmlBody"]),
        files: files_in(&body["Attachments"], ["Name", "ContentType", "Content"]),
        message_id: header("Message-ID").filter(|_| header("X-PM-KeepID").as_deref() == Some("true")),
        in_reply_to: header("In-Reply-To"),
        references: header("References"),
    }
}

fn resend(body: &Value) -> Mail {
    let (from_name, from) = mailbox(&string(&body["from"]));
    let header = |name: &str| body["headers"][name].as_str().map(str::to_owned);
    Mail {
        from,
        from_name,
        to: string(&body["to"][0]),
        subject: string(&body["subject"]),
        text: string(&body["text"]),
        html: string(&body["html"]),
        files: files_in(&body["attachments"], ["filename", "content_type", "content"]),
        message_id: header("Message-ID"),
        in_reply_to: header("In-Reply-To"),
        references: header("References"),
    }
}

fn sendgrid(body: &Value) -> Mail {
    let header = |name: &str| body["headers"][name].as_str().map(str::to_owned);
    let content = |media_type: &str| {
        let parts = body["content"].as_array().unwrap();
        string(&parts.iter().find(|part| part["type"] == media_type).unwrap()["value"])
    };
    Mail {
        from: string(&body["from"]["email"]),
        from_name: string(&body["from"]["name"]),
        to: string(&body["personalizations"][0]["to"][0]["email"]),
        subject: string(&body["subject"]),
        text: content("text/plain"),
        html: content("text/html"),
        files: files_in(&body["attachments"], ["filename", "type", "content"]),
        message_id: header("Message-ID"),
        in_reply_to: header("In-Reply-To"),
        references: header("References"),
    }
}
