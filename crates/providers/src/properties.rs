//! Properties of what strangers sign and write, for every body and text.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderValue, Method};
use jiff::Timestamp;
use model::{Channel, Endpoint};
use proptest::prelude::*;
use secrecy::SecretSlice;
use sha2::Sha256;
use uuid::Uuid;

use crate::email::inbound::{Mail, Source, read_source};
use crate::email::mime;
use crate::{Outgoing, WebhookRequest, form_data, html_to_text, standard_webhooks};

const NOW_S: i64 = 1_700_000_000;

fn verifies(id: &str, timestamp: &str, body: &[u8], signature: &str) -> bool {
    let mut headers = HeaderMap::new();
    for (name, value) in
        [("webhook-id", id), ("webhook-timestamp", timestamp), ("webhook-signature", signature)]
    {
        headers.insert(name, HeaderValue::from_str(value).unwrap());
    }
    let request = WebhookRequest {
        method: &Method::POST,
        url: "https://relay.example.org/",
        headers: &headers,
        body,
        now: Timestamp::from_second(NOW_S).unwrap(),
        fetched: &[],
    };
    let key: SecretSlice<u8> = b"key".to_vec().into();
    standard_webhooks::verify(&request, "webhook", "webhook_secret", Some(&key)).is_ok()
}

fn sign(id: &str, timestamp: &str, body: &[u8]) -> String {
    let hmac = Hmac::<Sha256>::new_from_slice(b"key").unwrap();
    let hmac = hmac.chain_update(format!("{id}.{timestamp}.")).chain_update(body);
    format!("v1,{}", BASE64.encode(hmac.finalize().into_bytes()))
}

/// A mail that we send.
fn source_of(subject: &str, body: &str) -> Vec<u8> {
    let message = Outgoing {
        message_id: Uuid::try_parse("0190f3a2-7b1c-70a7-8123-456789abcdef").unwrap(),
        attempt: 1,
        channel: Channel::Email,
        from: &Endpoint::stored("app@example.com"),
        to: &Endpoint::stored("ann@example.net"),
        subject: Some(subject),
        body,
        attachments: &[],
        files: &[],
        in_reply_to: None,
        references: &[],
        webhook_url: "https://relay.example.org/api/webhooks/main",
        now: Timestamp::UNIX_EPOCH,
    };
    mime::write(&message, None).unwrap()
}

fn read(source: &[u8]) -> Source {
    match read_source(source) {
        Some(Mail::Message(source)) => source,
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_signature_is_good_for_its_own_bytes_and_time_only(
        id in "[a-z_0-9]{1,20}",
        body in prop::collection::vec(any::<u8>(), 1..200),
        age_s in -300..=300_i64,
        place: prop::sample::Index,
        bit in 0..8_u8,
    ) {
        let timestamp = (NOW_S - age_s).to_string();
        let signature = sign(&id, &timestamp, &body);
        prop_assert!(verifies(&id, &timestamp, &body, &signature));
        let mut damaged = body.clone();
        damaged[place.index(body.len())] ^= 1 << bit;
        prop_assert!(!verifies(&id, &timestamp, &damaged, &signature));
        let other = format!("{id}x");
        prop_assert!(!verifies(&other, &timestamp, &body, &signature));
        let old = (NOW_S - 301 - age_s.abs()).to_string();
        prop_assert!(!verifies(&id, &old, &body, &sign(&id, &old, &body)));
    }

    /// Encoded words and encoded bodies: what our writer encodes, our reader decodes.
    #[test]
    fn a_mail_that_is_written_is_read_back(
        subject in "[a-zA-Z0-9äöüßжя日本😀=?_,.:;<>@-]([ a-zA-Z0-9äöüßжя日本😀=?_,.:;<>@-]{0,80}[a-zA-Z0-9äöüßжя日本😀.])?",
        body in "[ a-zA-Z0-9äöüßжя日本😀=\n.-]{1,300}[a-z]",
    ) {
        let read = read(&source_of(&subject, &body));
        prop_assert_eq!(read.header.subject.as_deref().map(words), Some(words(&subject)));
        let plain = read.body.replace("\r\n", "\n");
        prop_assert_eq!(plain.trim_end(), body.trim_end());
    }

    #[test]
    fn any_bytes_are_a_mail_within_bounds_or_none(source in prop::collection::vec(any::<u8>(), 0..600)) {
        if let Some(Mail::Message(read)) = read_source(&source) {
            prop_assert!(read.files.kept.len() <= 500 && !read.body.contains('\0'));
        }
    }

    #[test]
    fn any_form_is_read_or_refused(body in "(--b\r?\n?|Content-Disposition: form-data; name=\"?a\"?|\r\n|x|--){0,30}") {
        if let Ok(parts) = form_data::parse("multipart/form-data; boundary=b", body.as_bytes()) {
            let bytes: usize = parts.iter().map(|part| part.bytes.len()).sum();
            prop_assert!(bytes <= body.len());
        }
    }

    #[test]
    fn text_of_html_holds_no_tag_of_a_mail(html in "(<p>|</p>|<b title='>'>|<br/>|a|&amp;|&lt;| |\n|<!-- x -->){0,60}") {
        let text = html_to_text(&html);
        prop_assert!(!text.contains("<p>") && !text.contains("<br/>") && !text.contains("<!--"), "{}", text);
        prop_assert!(text.len() <= html.len() + 1);
    }
}

/// Repeated spaces of a subject are one.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
