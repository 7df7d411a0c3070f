//! The judges judged: what checks the simulator's signatures here agrees with signatures that the providers' own
//! libraries made or accept (of Mailgun, Meta and Bird: that follow their documentation).

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::{bird, mailgun, messagebird, plivo, resend, ses, sinch, telnyx, vonage, whatsapp};
use crate::rig::Hook;

type Judge = fn(&Hook, &str);

const JUDGES: [(&str, Judge); 10] = [
    ("bird", bird::assert_signed),
    ("mailgun", |hook, key| mailgun::assert_signed(&hook.json()["signature"], key)),
    ("messagebird", messagebird::assert_signed),
    ("plivo", plivo::assert_signed),
    ("resend", resend::assert_signed),
    ("ses", |hook, key| ses::assert_signed(&hook.json(), key.as_bytes())),
    ("sinch", sinch::assert_signed),
    ("telnyx", telnyx::assert_signed),
    ("vonage", |hook, key| drop(vonage::assert_signed(hook, key))),
    ("whatsapp", whatsapp::assert_signed),
];

fn hook(vector: &Value) -> Hook {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let headers = vector["headers"].as_object().unwrap().iter().map(|(name, value)| {
        (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(&text(value)).unwrap())
    });
    Hook {
        url: text(&vector["url"]),
        headers: headers.collect::<HeaderMap>(),
        body: Bytes::from(text(&vector["body"])),
    }
}

#[test]
fn official_signatures_pass_and_those_of_other_keys_do_not() {
    let vectors: Value = serde_json::from_str(include_str!("vectors.json")).unwrap();
    for (kind, judge) in JUDGES {
        for vector in vectors[kind].as_array().unwrap() {
            let (hook, key) = (hook(vector), vector["key"].as_str().unwrap());
            judge(&hook, key);
            let other = vectors.as_object().unwrap().values().flat_map(|list| list.as_array().unwrap());
            let mut other =
                other.filter(|other| other["key"] != vector["key"]).map(|other| other["key"].as_str());
            let other = other.next().flatten().unwrap();
            let passed = std::panic::catch_unwind(|| judge(&hook, other)).is_ok();
            assert!(!passed, "{kind}: another key passes");
        }
    }
}
