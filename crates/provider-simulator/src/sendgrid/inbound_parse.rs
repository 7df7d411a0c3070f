//! Inbound Parse: mail for us, as a multipart form; parsed into fields, or as its MIME source.

use serde_json::{Map, json};

use crate::kind::Inbound;
use crate::mail;
use crate::multipart::Form;
use crate::post::Post;

/// One delivery; deliveries of the same mail are byte for byte the same.
pub(super) fn post(url: &str, mail: &Inbound<'_>, raw: bool) -> Post {
    let mut form = Form::new(mail.id);
    let envelope = json!({ "to": [mail.to], "from": mail.from }).to_string();
    let domain = mail.from.rsplit_once('@').map_or("", |(_, domain)| domain);
    form.field("dkim", &format!("{{@{domain} : pass}}"));
    form.field("SPF", "pass");
    form.field("sender_ip", "127.0.0.1");
    form.field("from", mail.from);
    form.field("to", mail.to);
    form.field("subject", mail.subject);
    form.field("envelope", &envelope);
    if raw {
        form.field("charsets", &json!({ "to": "UTF-8", "from": "UTF-8", "subject": "UTF-8" }).to_string());
        form.field("email", &mail::source(mail));
        return form.finish(url);
    }
    form.field("headers", &mail::headers(mail));
    form.field("text", mail.body);
    let mut charsets = json!({ "to": "UTF-8", "from": "UTF-8", "subject": "UTF-8", "text": "UTF-8" });
    if let Some(html) = mail.html {
        form.field("html", html);
        charsets["html"] = json!("UTF-8");
    }
    form.field("charsets", &charsets.to_string());
    form.field("attachments", &mail.files.len().to_string());
    let mut info = Map::new();
    for (index, file) in mail.files.iter().enumerate() {
        let name = format!("attachment{}", index + 1);
        form.file(&name, file);
        info.insert(name, json!({ "filename": file.name, "name": file.name, "type": file.content_type }));
    }
    if !info.is_empty() {
        form.field("attachment-info", &serde_json::Value::Object(info).to_string());
    }
    form.finish(url)
}
