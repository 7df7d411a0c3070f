//! The signature vectors in `contract/vectors.json`: each is what a fixture verifies, bytes and all, or is listed with
//! the place that uses it. A kind that brings vectors of its own keeps them as `vectors.json` in its folder.
//!
//! They were made with the providers' own libraries, or accepted by them:
//!
//! | key | made with | also accepted by |
//! | --- | --- | --- |
//! | `twilio` | twilio (Python) 9.13.0 `RequestValidator`, its own unit tests' vectors among them | twilio (npm) |
//! | `sendgrid_event_webhook` | the library's unit tests; sendgrid (Python) 6.12.5 | @sendgrid/eventwebhook (npm) |
//! | `plivo_v3`, `plivo_v2` | plivo (Python) 4.63.0 | plivo (npm) |
//! | `standard_webhooks` | standardwebhooks (Python) 1.1.0 | standardwebhooks (npm) |
//! | `standard_webhooks_v1a` | PyNaCl after the specification | |
//! | `svix` | svix (Python) 2.9.1 | resend (Python) 2.52.0 |
//! | `vonage_signed_webhook` | PyJWT 2.15.1 | vonage-jwt 1.1.5 (Python), @vonage/jwt (npm) |
//! | `telnyx` | PyNaCl 1.6.2 | telnyx (Python) 4.189.0 |
//! | `messagebird_jwt`, `messagebird_jwt_get` | PyJWT | messagebird (Python) 2.2.0 |
//! | `sinch_conversation` | sinch (Python) 2.3.0 | |
//! | `aws_sns` | cryptography 50.0.2 with a certificate of its own | sns-validator (npm) 0.3.5 |
//! | `mailgun`, `meta`, `bird` | HMAC after the documentation | |
//! | `smpp` | smpplib (Python) 2.2.4, responses by hand | |
//! | `sms_segments` | sms-segments-calculator (npm) 1.3.0 | |

use std::collections::BTreeMap;

use providers::{KINDS, WebhookError};
use serde_json::{Map, Value};

use crate::fixture::{Delivery, Fixture, KindFixtures, crate_folder, read};

/// Whose webhooks the vectors of a key are.
const OF_KIND: &[(&str, &str)] = &[
    ("aws_sns", "ses"),
    ("bird", "bird"),
    ("mailgun", "mailgun"),
    ("messagebird_jwt", "messagebird"),
    ("messagebird_jwt_get", "messagebird"),
    ("meta", "whatsapp"),
    ("plivo_v2", "plivo"),
    ("plivo_v3", "plivo"),
    ("sendgrid_event_webhook", "sendgrid"),
    ("sinch_conversation", "sinch"),
    ("svix", "resend"),
    ("telnyx", "telnyx"),
    ("twilio", "twilio"),
    ("vonage_signed_webhook", "vonage"),
];

/// Vectors of no kind's webhooks, and the source whose tests go through them.
const TESTED_IN: &[(&str, &str)] = &[
    ("sms_segments", "provider-simulator/src/segments.rs"),
    ("standard_webhooks", "providers/src/standard_webhooks.rs"),
];

/// Vectors without code that they could test.
const WITHOUT_CODE: &[(&str, &str)] = &[
    ("smpp", "no kind speaks SMPP"),
    (
        "standard_webhooks_v1a",
        "no provider here signs by Ed25519 in this scheme, and v1 is all that is verified",
    ),
];

/// A vector's label, `<key>[/<group>]/<name, or number where it has none>`, and its fields.
type Vectors = BTreeMap<String, Map<String, Value>>;

/// Objects without further objects in lists are the vectors; what stands beside such a list holds for all of it.
fn collect(label: &str, json: &Value, inherited: &Map<String, Value>, found: &mut Vectors) {
    let own = json.as_object().unwrap_or_else(|| panic!("{label} is no vector: {json}"));
    let is_group = |value: &Value| value.as_array().is_some_and(|list| list.iter().all(Value::is_object));
    let mut fields = inherited.clone();
    fields.extend(
        own.iter().filter(|(_, value)| !is_group(value)).map(|(key, value)| (key.clone(), value.clone())),
    );
    let groups: Vec<_> = own.iter().filter(|(_, value)| is_group(value)).collect();
    if groups.is_empty() {
        assert!(found.insert(label.to_owned(), fields).is_none(), "{label} stands twice");
        return;
    }
    for (group, vectors) in groups {
        let label = if group == "vectors" { label.to_owned() } else { format!("{label}/{group}") };
        for (number, vector) in (1..).zip(vectors.as_array().unwrap()) {
            let name = vector["name"].as_str().map_or_else(|| number.to_string(), str::to_owned);
            collect(&format!("{label}/{name}"), vector, &fields, found);
        }
    }
}

/// The vectors of each kind.
fn vectors_by_kind() -> BTreeMap<&'static str, Vectors> {
    let mut by_kind: BTreeMap<&str, Vectors> = BTreeMap::new();
    let shared = read(&crate_folder().join("tests/contract/vectors.json"));
    for (key, name) in OF_KIND {
        collect(key, &shared[key], &Map::new(), by_kind.entry(name).or_default());
    }
    for kind in KINDS {
        let path = crate_folder().join("tests/contract").join(kind.name).join("vectors.json");
        if path.exists() {
            for (key, json) in read(&path).as_object().unwrap() {
                collect(key, json, &Map::new(), by_kind.entry(kind.name).or_default());
            }
        }
    }
    by_kind
}

#[test]
fn every_vector_has_its_place() {
    let shared = read(&crate_folder().join("tests/contract/vectors.json"));
    let mut keys: Vec<&str> = shared.as_object().unwrap().keys().map(String::as_str).collect();
    let mut listed: Vec<&str> =
        [OF_KIND, TESTED_IN, WITHOUT_CODE].into_iter().flatten().map(|(key, _)| *key).collect();
    keys.sort_unstable();
    listed.sort_unstable();
    assert_eq!(keys, listed);
    for (key, source) in TESTED_IN {
        let text = std::fs::read_to_string(crate_folder().join("..").join(source)).unwrap();
        assert!(text.contains(&format!("[\"{key}\"]")), "{source} does not use {key}");
    }
}

#[test]
fn every_vector_of_a_kind_is_verified_by_a_fixture_of_that_kind() {
    let mut by_kind = vectors_by_kind();
    for kind in KINDS {
        let vectors = by_kind.remove(kind.name).unwrap_or_default();
        let mut unused: Vec<&String> = vectors.keys().collect();
        let fixtures = KindFixtures::of(kind);
        for fixture in fixtures.cases("webhooks") {
            let Some(label) = fixture.json["vector"].as_str() else { continue };
            let vector =
                vectors.get(label).unwrap_or_else(|| panic!("{fixture}: {} has no {label}", kind.name));
            unused.retain(|vector| *vector != label);
            for (field, value) in vector {
                assert!(
                    brings(&fixtures, &fixture, field, value),
                    "{fixture}: another {field} than the vector's"
                );
            }
            assert_verifies_exactly(&fixtures, &fixture, vector);
        }
        assert!(unused.is_empty(), "no fixture of {} uses {unused:?}", kind.name);
    }
    assert!(by_kind.is_empty(), "of no kind: {by_kind:?}");
}

/// Whether the fixture has the vector's field, wherever such a field belongs.
fn brings(fixtures: &KindFixtures, fixture: &Fixture, field: &str, value: &Value) -> bool {
    let delivery = fixture.delivery();
    let text = value.as_str().unwrap_or_default();
    let body = String::from_utf8_lossy(&delivery.body);
    match field {
        // What was said about it while it was made, and what the signature is computed from on the way.
        "name"
        | "note"
        | "generator"
        | "verified_by"
        | "signed_string"
        | "signed_prefix"
        | "string_to_sign"
        | "body_sha256_hex"
        | "claims"
        | "algorithm"
        | "header"
        | "headers"
        | "valid"
        | "sdk_accepts"
        | "seed_hex_test_only"
        | "private_key_pkcs8_base64_test_only" => true,
        "auth_token"
        | "signing_key"
        | "secret"
        | "app_secret"
        | "signature_secret"
        | "public_key_base64"
        | "public_key_spki_base64" => {
            fixtures.values(fixture).values().any(|set| set.as_str().unwrap().contains(text))
        }
        "signature"
        | "token"
        | "authorization"
        | "x_hub_signature_256"
        | "svix_signature"
        | "timestamp"
        | "svix_timestamp"
        | "nonce"
        | "svix_id" => {
            delivery.headers.values().any(|header| header == text) || body.contains(&format!("\"{text}\""))
        }
        "content_type" => body.is_empty() || delivery.headers["content-type"] == text,
        "certificate_pem" => delivery.fetched.iter().any(|document| document.body == text.as_bytes()),
        "method" => delivery.method == text,
        "url" => delivery.url == text,
        // Of a GET its parameters follow.
        "uri" => delivery.url.strip_prefix(text).is_some_and(|rest| rest.is_empty() || rest.starts_with('&')),
        "body" => delivery.body == text.as_bytes(),
        "message" => serde_json::from_slice::<Value>(&delivery.body).is_ok_and(|body| body == *value),
        "params" => {
            let query = delivery.url.split_once('?').map_or("", |(_, query)| query);
            let pairs =
                [query.as_bytes(), &delivery.body].map(|text| form_urlencoded::parse(text).into_owned());
            let pairs: Vec<(String, String)> = pairs.into_iter().flatten().collect();
            let params = value.as_object().unwrap();
            params
                .iter()
                .all(|(name, text)| pairs.contains(&(name.clone(), text.as_str().unwrap().to_owned())))
        }
        _ => panic!("{fixture}: where does a fixture bring {field}?"),
    }
}

/// The vector verifies, unless it is an invalid one, and nothing does that differs in what its signature covers.
fn assert_verifies_exactly(fixtures: &KindFixtures, fixture: &Fixture, vector: &Map<String, Value>) {
    assert_ne!(fixture.json["verify"], false, "{fixture}");
    let provider = fixtures.provider(fixture);
    let verifies = |delivery: &Delivery| {
        !matches!(provider.webhook(&delivery.as_request()), Err(WebhookError::Unverified(_)))
    };
    let delivery = fixture.delivery();
    let is_valid = vector.get("valid").or(vector.get("sdk_accepts")) != Some(&Value::Bool(false));
    assert_eq!(verifies(&delivery), is_valid, "{fixture}");
    if vector.contains_key("url") {
        let longer = Delivery { url: format!("{}x", delivery.url), ..delivery.clone() };
        assert!(!verifies(&longer), "{fixture}: the URL is not covered");
    }
    // Of a request without a body some sign only the URL.
    if vector.contains_key("body") && !delivery.body.is_empty() {
        let longer = Delivery { body: [&delivery.body[..], b"x"].concat(), ..delivery };
        assert!(!verifies(&longer), "{fixture}: the body is not covered");
    }
}
