//! Inbound Parse: a mail that reached us, taken apart by SendGrid or as its source
//! (https://www.twilio.com/docs/sendgrid/for-developers/parsing-email/setting-up-the-inbound-parse-webhook).

use std::collections::{BTreeMap, BTreeSet};

use encoding_rs::Encoding;
use jiff::Timestamp;
use mail_parser::decoders::charsets::map::charset_decoder;
use serde::Deserialize;

use crate::email::inbound::{
    self as inbound_email, Files, Mail, Source, address_in, file_name, form_file, media_type,
};
use crate::email::received;
use crate::form_data::{self, Part};
use crate::inbound_text::storable;
use crate::webhook::unparsable;
use crate::{File, Webhook, WebhookError};

/// # Errors
/// [`WebhookError::Unparsable`].
pub(super) fn read(content_type: &str, body: &[u8], now: Timestamp) -> Result<Webhook, WebhookError> {
    let parts = form_data::parse(content_type, body).map_err(|error| unparsable(error.to_string()))?;
    let form = Form::of(&parts);
    let envelope = form.json::<Envelope>("envelope").unwrap_or_default();
    let source = match form.bytes("email") {
        Some(raw) => match inbound_email::read_source(raw) {
            Some(Mail::Message(source)) => source,
            Some(Mail::Report(receipts)) => return Ok(Webhook { receipts, ..Webhook::default() }),
            None => return Err(unparsable("its part `email` is no mail")),
        },
        None => form.as_source(body),
    };
    let from = form.text("from").and_then(|from| address_in(&from)).or(envelope.from);
    // Not the whole form: its boundary and its spam score may differ from one delivery to the next.
    let identity = ["email", "headers", "from", "subject", "text", "html"];
    let identity = identity.map(|name| form.bytes(name).unwrap_or_default());
    let recipients: BTreeSet<String> = envelope.to.into_iter().collect();
    let inbound = received::messages(&source, from, recipients, &identity, now)?;
    Ok(Webhook { inbound, ..Webhook::default() })
}

#[derive(Default, Deserialize)]
struct Envelope {
    #[serde(default)]
    to: Vec<String>,
    #[serde(default)]
    from: Option<String>,
}

#[derive(Default, Deserialize)]
struct AttachmentInfo {
    filename: Option<String>,
    name: Option<String>,
    #[serde(rename = "type")]
    media_type: Option<String>,
}

/// The parts by name, and the charsets that they are in.
struct Form<'a> {
    parts: BTreeMap<&'a str, &'a Part<'a>>,
    charsets: BTreeMap<String, String>,
}

impl<'a> Form<'a> {
    fn of(parts: &'a [Part<'a>]) -> Self {
        let mut form = Self { parts: BTreeMap::new(), charsets: BTreeMap::new() };
        for part in parts {
            form.parts.entry(part.name.as_str()).or_insert(part);
        }
        form.charsets = form.json("charsets").unwrap_or_default();
        form
    }

    fn bytes(&self, name: &str) -> Option<&'a [u8]> {
        self.parts.get(name).map(|part| part.bytes)
    }

    /// The field, decoded by the charset that `charsets` names for it.
    fn text(&self, name: &str) -> Option<String> {
        let charset = self.charsets.get(name).map_or("utf-8", String::as_str);
        Some(storable(decode(self.bytes(name)?, charset)))
    }

    fn json<T: for<'de> Deserialize<'de>>(&self, name: &str) -> Option<T> {
        serde_json::from_slice(self.bytes(name)?).ok()
    }

    /// The fields that SendGrid took the mail apart into, as if they had just been read from its source.
    fn as_source(&self, form: &[u8]) -> Source {
        let mut header = self.bytes("headers").map(inbound_email::read_header).unwrap_or_default();
        header.subject = self.text("subject").or(header.subject);
        let body = self
            .text("text")
            .filter(|text| !text.trim().is_empty())
            .or_else(|| self.text("html"))
            .unwrap_or_default();
        Source { header, body, files: self.files(form) }
    }

    fn files(&self, form: &[u8]) -> Files {
        let info: BTreeMap<String, serde_json::Value> = self.json("attachment-info").unwrap_or_default();
        let mut numbered: Vec<(usize, &Part<'_>)> = self
            .parts
            .iter()
            .filter_map(|(name, part)| Some((name.strip_prefix("attachment")?.parse().ok()?, *part)))
            .collect();
        numbered.sort_by_key(|&(number, _)| number);
        let count = numbered.len();
        let files = numbered.into_iter().map(|(_, part)| {
            let info: AttachmentInfo = info
                .get(&part.name)
                .and_then(|info| serde_json::from_value(info.clone()).ok())
                .unwrap_or_default();
            let named = [info.filename, info.name, part.filename.clone()];
            let name = named.into_iter().flatten().find(|name| !name.trim().is_empty());
            let media = info.media_type.or_else(|| part.content_type.clone());
            File {
                filename: file_name(name.as_deref()),
                content_type: media_type(media.as_deref()),
                bytes: part.bytes.to_vec(),
            }
        });
        Files::bounded(count, files, || form_file(form))
    }
}

/// WHATWG labels first, which is what mail means by them; then the ones of DOS, which it lacks (cp850 is seen).
fn decode(bytes: &[u8], charset: &str) -> String {
    if let Some(encoding) = Encoding::for_label(charset.trim().as_bytes()) {
        return encoding.decode(bytes).0.into_owned();
    }
    let charset = charset.trim().to_ascii_lowercase();
    let charset = charset.strip_prefix("cp").unwrap_or(&charset);
    match charset_decoder(charset.as_bytes()) {
        Some(decoder) => decoder(bytes),
        None => String::from_utf8_lossy(bytes).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_decoded_by_its_charset() {
        for (bytes, charset, text) in [
            (&b"Gr\xfc\xdfe"[..], "iso-8859-1", "Grüße"),
            (b"Gr\x81\xe1e", "cp850", "Grüße"),
            (b"Gr\x81\xe1e", "IBM850", "Grüße"),
            ("Grüße".as_bytes(), "UTF-8", "Grüße"),
            ("Grüße".as_bytes(), "x-no-such-charset", "Grüße"),
            (b"\x93\xfa\x96{", "shift_jis", "日本"),
            (b"a\xffb", "", "a\u{fffd}b"),
        ] {
            assert_eq!(decode(bytes, charset), text, "{charset}");
        }
    }
}
