use std::collections::BTreeMap;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use jiff::Timestamp;

use super::*;
use crate::http_call::FORM;
use crate::twilio::KIND;
use crate::{Provider, Settings};

const URL: &str = "https://relay.example.org/api/webhooks/main";
const SID: &str = "SM11112222333344445555666677778888";
const FORGED: &str = "SM99998888777766665555444433332222";

fn provider() -> Box<dyn Provider> {
    let values = [("account_sid", "AC00000000000000000000000000000001"), ("auth_token", "token")];
    let values = values.map(|(key, value)| (key.to_owned(), value.into()));
    let settings = Settings {
        base_url: KIND.base_url.parse().unwrap(),
        verify: true,
        codes: BTreeMap::new(),
        values: BTreeMap::from(values),
    };
    (KIND.configure)(&settings).unwrap()
}

/// Delivered as Twilio would sign it.
fn delivered(pairs: &[(&str, &str)]) -> Result<Webhook, WebhookError> {
    let mut sorted = pairs.to_vec();
    sorted.sort_unstable();
    let text: String = sorted.iter().flat_map(|(name, value)| [*name, *value]).collect();
    let signature = sign(&format!("{URL}{text}"));
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(FORM));
    headers.insert("x-twilio-signature", HeaderValue::from_str(&signature).unwrap());
    provider().webhook(&WebhookRequest {
        method: &Method::POST,
        url: URL,
        headers: &headers,
        body: body.as_bytes(),
        now: Timestamp::UNIX_EPOCH,
        fetched: &[],
    })
}

fn sign(text: &str) -> String {
    use base64::Engine;
    use hmac::{Hmac, KeyInit, Mac};
    let hmac = Hmac::<sha1::Sha1>::new_from_slice(b"token").unwrap().chain_update(text);
    base64::engine::general_purpose::STANDARD.encode(hmac.finalize().into_bytes())
}

fn text_of(pairs: &[(&str, &str)]) -> String {
    let mut pairs = pairs.to_vec();
    pairs.sort_unstable();
    pairs.iter().flat_map(|(name, value)| [*name, *value]).collect()
}

fn message(body: &str) -> Vec<(&'static str, String)> {
    vec![
        ("AccountSid", "AC00000000000000000000000000000001".to_owned()),
        ("Body", body.to_owned()),
        ("From", "+14155550100".to_owned()),
        ("MessageSid", SID.to_owned()),
        ("NumMedia", "0".to_owned()),
        ("ProfileName", "Ann".to_owned()),
        ("SmsMessageSid", SID.to_owned()),
        ("SmsSid", SID.to_owned()),
        ("SmsStatus", "received".to_owned()),
        ("To", "+15005550006".to_owned()),
    ]
}

fn borrowed<'a>(pairs: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    pairs.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// Each has the text, and so the signature, of a message that Twilio sent.
#[test]
fn a_signed_form_that_is_regrouped_is_no_other_message() {
    let genuine = message("Hello");
    assert_eq!(delivered(&borrowed(&genuine)).unwrap().inbound[0].provider_message_id, SID);
    let mut regrouped = Vec::new();
    // The id moves: its end, its beginning, or all of it into its neighbour.
    for (name, value) in [
        ("MessageSid", "SM111122223333444455556666777788"),
        ("MessageSidSM1111", "2222333344445555666677778888"),
        ("MessageSidSM", "11112222333344445555666677778888"),
    ] {
        let rest = "88".repeat(usize::from(name == "MessageSid"));
        let (num, count) = (format!("{rest}NumMedia"), "0");
        let mut pairs = borrowed(&genuine);
        pairs[3] = (name, value);
        pairs[4] = if rest.is_empty() { ("NumMedia", count) } else { (num.as_str(), count) };
        pairs.sort_unstable();
        regrouped.push(pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<Vec<_>>());
    }
    // What its sender wrote becomes parameters, and the genuine ones a value.
    let crafted = format!("From+14155550111MessageSid{FORGED}To+15005550006z");
    let sent = message(&crafted);
    let text = text_of(&borrowed(&sent));
    let rest = text.split_once('z').unwrap().1.to_owned();
    let forged: Vec<(String, String)> = [
        ("AccountSid", "AC00000000000000000000000000000001"),
        ("Body", ""),
        ("From", "+14155550111"),
        ("MessageSid", FORGED),
        ("To", "+15005550006"),
        ("z", rest.as_str()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    let pairs: Vec<(&str, &str)> = forged.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!(text_of(&pairs), text, "the same signature");
    regrouped.push(forged);
    for form in regrouped {
        let pairs: Vec<(&str, &str)> = form.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        match delivered(&pairs) {
            Err(WebhookError::Unparsable(_)) => {}
            other => panic!("{pairs:?}: {other:?}"),
        }
    }
}

#[test]
fn an_answer_may_name_the_message_that_it_answers() {
    let mut answer = message("Hello");
    answer.push(("OriginalRepliedMessageSid", FORGED.to_owned()));
    assert_eq!(delivered(&borrowed(&answer)).unwrap().inbound[0].provider_message_id, SID);
}

#[test]
fn an_id_has_the_form_of_a_message_sid() {
    for sid in ["SM1", "CA11112222333344445555666677778888", "SM1111222233334444555566667777888g", "x"] {
        let pairs = [("From", "+14155550100"), ("To", "+15005550006"), ("Body", "a"), ("MessageSid", sid)];
        assert!(matches!(delivered(&pairs), Err(WebhookError::Unparsable(_))), "{sid}");
    }
    let mut differing = message("Hello");
    differing[7].1 = FORGED.to_owned();
    assert!(matches!(delivered(&borrowed(&differing)), Err(WebhookError::Unparsable(_))));
}
