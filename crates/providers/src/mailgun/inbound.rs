//! Mail that a route forwards to us, taken apart by Mailgun or as its source
//! (https://documentation.mailgun.com/docs/mailgun/user-manual/receive-forward-store/receive-http).

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::Value;

use super::signature::{self, Key, Signed};
use crate::email::inbound::{
    self as inbound_email, Files, Mail, Source, address_in, file_name, form_file, media_type,
};
use crate::email::received;
use crate::form_data::{self, Part};
use crate::http_call::FORM;
use crate::inbound_text::storable;
use crate::{File, Webhook, WebhookError, WebhookRequest};

/// # Errors
/// As verified and read.
pub(super) fn read(
    request: &WebhookRequest<'_>,
    content_type: &str,
    key: Key<'_>,
) -> Result<Webhook, WebhookError> {
    let form = Form::read(content_type, request.body);
    // What proves the form stands in the form; what cannot be read proves nothing.
    let signed = form.as_ref().map(Form::signed).unwrap_or_default();
    signature::verify(request, &signed, key)?;
    let form = form?;
    let source = match form.bytes("body-mime") {
        Some(raw) => match inbound_email::read_source(raw) {
            Some(Mail::Message(source)) => source,
            Some(Mail::Report(receipts)) => return Ok(Webhook { receipts, ..Webhook::default() }),
            None => return Err(WebhookError::Unparsable("its field body-mime is no mail".to_owned())),
        },
        None if form.bytes("message-headers").is_some() || form.bytes("body-plain").is_some() => {
            form.as_source(request.body)
        }
        None => {
            return Err(WebhookError::Unparsable(
                "it is neither an event nor a mail; a route must use forward(), and event webhooks the JSON form"
                    .to_owned(),
            ));
        }
    };
    let address = |name: &str| address_in(form.text(name));
    let from = address("from").or_else(|| address("sender"));
    let recipients: BTreeSet<String> = form
        .text("recipient")
        .split(',')
        .map(|recipient| recipient.trim().to_owned())
        .filter(|recipient| !recipient.is_empty())
        .collect();
    let identity = ["body-mime", "message-headers", "from", "subject", "body-plain", "body-html"];
    let identity = identity.map(|name| form.bytes(name).unwrap_or_default());
    let inbound = received::messages(&source, from, recipients, &identity, request.now)?;
    Ok(Webhook { inbound, ..Webhook::default() })
}

/// Multipart where there are files, else urlencoded.
struct Form<'a> {
    fields: Vec<(String, Cow<'a, [u8]>)>,
    files: Vec<Part<'a>>,
}

impl<'a> Form<'a> {
    fn read(content_type: &str, body: &'a [u8]) -> Result<Self, WebhookError> {
        let declared = content_type.split(';').next().unwrap_or_default().trim();
        if declared.eq_ignore_ascii_case(FORM) {
            let fields = form_urlencoded::parse(body)
                .map(|(name, value)| (name.into_owned(), Cow::Owned(value.into_owned().into_bytes())))
                .collect();
            return Ok(Self { fields, files: Vec::new() });
        }
        let parts = form_data::parse(content_type, body)
            .map_err(|error| WebhookError::Unparsable(error.to_string()))?;
        let mut form = Self { fields: Vec::new(), files: Vec::new() };
        for part in parts {
            // Without a name it is a field, such as body-mime.
            let is_file = part.name.starts_with("attachment-") && part.name != "attachment-count";
            if is_file {
                form.files.push(part);
            } else {
                form.fields.push((part.name, Cow::Borrowed(part.bytes)));
            }
        }
        Ok(form)
    }

    fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_ref())
    }

    /// Mailgun decodes every field to UTF-8.
    fn text(&self, name: &str) -> &str {
        self.bytes(name).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    fn signed(&self) -> Signed<'_> {
        let [timestamp, token, signature] = ["timestamp", "token", "signature"].map(|name| self.text(name));
        Signed { timestamp, token, signature }
    }

    /// The fields that Mailgun took the mail apart into, as if they had just been read from its source.
    fn as_source(&self, form: &[u8]) -> Source {
        let mut header = inbound_email::read_header(self.header_block().as_bytes());
        let text = |name: &str| Some(self.text(name)).filter(|text| !text.trim().is_empty()).map(storable);
        header.subject = text("subject").or(header.subject);
        let body = text("body-plain").or_else(|| text("body-html")).unwrap_or_default();
        let number = |part: &Part<'_>| part.name.rsplit('-').next().and_then(|number| number.parse().ok());
        let mut parts: Vec<(usize, &Part<'_>)> =
            self.files.iter().map(|part| (number(part).unwrap_or(usize::MAX), part)).collect();
        parts.sort_by_key(|(number, _)| *number);
        let files = parts.iter().map(|(_, part)| File {
            filename: file_name(part.filename.as_deref()),
            content_type: media_type(part.content_type.as_deref()),
            bytes: part.bytes.to_vec(),
        });
        let files = Files::bounded(parts.len(), files, || form_file(form));
        Source { header, body, files }
    }

    /// `message-headers` is a list of names and values; a line of each.
    fn header_block(&self) -> String {
        let pairs: Vec<Value> = self
            .bytes("message-headers")
            .and_then(|bytes| serde_json::from_slice(bytes).ok())
            .unwrap_or_default();
        let line = |pair: &Value| {
            let (name, value) = (pair.get(0)?.as_str()?, pair.get(1)?.as_str()?);
            Some(format!("{name}: {}\r\n", value.replace(['\r', '\n'], " ")))
        };
        pairs.iter().filter_map(line).collect()
    }
}
