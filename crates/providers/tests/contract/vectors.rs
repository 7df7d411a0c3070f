//! The signature vectors that the providers' own libraries made or accepted (`contract/<kind>/vectors.json`).

use http::{HeaderMap, HeaderValue, Method};
use jiff::Timestamp;
use providers::{Kind, Provider, Webhook, WebhookError};
use serde_json::{Map, Value, json};

use crate::fixture::{self, Delivery, KindFixtures};

fn kind(name: &str) -> &'static Kind {
    providers::kind(name).unwrap()
}

fn provider(kind: &'static Kind, values: Value) -> Box<dyn Provider> {
    let values: Map<String, Value> = serde_json::from_value(values).unwrap();
    (kind.configure)(&fixture::settings(kind, &values, None, true)).unwrap()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} is missing in {value}"))
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|&(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
        .collect()
}

fn is_verified(result: &Result<Webhook, WebhookError>) -> bool {
    !matches!(result, Err(WebhookError::Unverified(_)))
}

fn twilio_delivery(vector: &Value, content_type: &str, body: &str) -> Delivery {
    let signature = text(vector, "signature");
    let mut headers = headers(&[("content-type", content_type), ("x-twilio-signature", signature)]);
    if vector["algorithm"] == "HMAC_SHA256" {
        let value = HeaderValue::from_static("key=webhooks_sharedkey_example,algorithm=HMAC_SHA256");
        headers.insert("x-twilio-webhooks-signature-settings", value);
    }
    Delivery {
        method: if body.is_empty() { Method::GET } else { Method::POST },
        url: text(vector, "url").to_owned(),
        headers,
        body: body.as_bytes().to_vec(),
        now: Timestamp::UNIX_EPOCH,
        fetched: Vec::new(),
    }
}

#[test]
fn twilio_vectors_verify_and_verify_no_more_once_the_body_or_url_grows() {
    let vectors = KindFixtures::of(kind("twilio")).file("vectors.json");
    let form = "application/x-www-form-urlencoded";
    let mut deliveries = Vec::new();
    for vector in vectors["form"].as_array().unwrap() {
        deliveries.push((vector, twilio_delivery(vector, form, text(vector, "body"))));
    }
    for vector in vectors["port_tolerance"].as_array().unwrap() {
        let params = vector["params"].as_object().unwrap();
        let mut body = form_urlencoded::Serializer::new(String::new());
        for (name, value) in params {
            body.append_pair(name, value.as_str().unwrap());
        }
        deliveries.push((vector, twilio_delivery(vector, form, &body.finish())));
    }
    for vector in vectors["json"].as_array().unwrap() {
        deliveries.push((vector, twilio_delivery(vector, "application/json", text(vector, "body"))));
    }
    assert_eq!(deliveries.len(), 13);
    for (vector, delivery) in deliveries {
        let mut values = json!({ "account_sid": "AC1", "auth_token": vector["auth_token"] });
        if vector["algorithm"] == "HMAC_SHA256" {
            values = json!({
                "account_sid": "AC1",
                "auth_token": "another",
                "webhook_shared_key_secret": vector["auth_token"],
            });
        }
        let provider = provider(kind("twilio"), values);
        let result = provider.webhook(&delivery.as_request());
        assert!(is_verified(&result), "{vector}: {result:?}");
        let longer_url = Delivery { url: format!("{}x", delivery.url), ..delivery.clone() };
        assert!(!is_verified(&provider.webhook(&longer_url.as_request())), "{vector}");
        if delivery.method == Method::POST {
            let longer_body = Delivery { body: [&delivery.body[..], b"x"].concat(), ..delivery };
            assert!(!is_verified(&provider.webhook(&longer_body.as_request())), "{vector}");
        }
    }
}

#[test]
fn sendgrid_vectors_verify_exactly_where_they_are_valid() {
    let vectors = KindFixtures::of(kind("sendgrid")).file("vectors.json");
    let vectors = vectors["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 4);
    for vector in vectors {
        let public_key = text(vector, "public_key_spki_base64");
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{public_key}\n-----END PUBLIC KEY-----\n");
        for key in [public_key, &pem] {
            let provider =
                provider(kind("sendgrid"), json!({ "api_key": "SG.x", "webhook_public_key": key }));
            let timestamp = text(vector, "timestamp");
            let delivery = Delivery {
                method: Method::POST,
                url: fixture::WEBHOOK_URL.to_owned(),
                headers: headers(&[
                    ("content-type", "application/json"),
                    ("x-twilio-email-event-webhook-signature", text(vector, "signature")),
                    ("x-twilio-email-event-webhook-timestamp", timestamp),
                ]),
                body: text(vector, "body").as_bytes().to_vec(),
                now: Timestamp::from_second(timestamp.parse().unwrap()).unwrap(),
                fetched: Vec::new(),
            };
            let result = provider.webhook(&delivery.as_request());
            assert_eq!(json!(is_verified(&result)), vector["valid"], "{vector}: {result:?}");
            if vector["valid"] == true {
                assert_eq!(result.unwrap().receipts.len(), 1, "{vector}");
            }
        }
    }
}

#[test]
fn a_key_that_cannot_verify_is_refused_at_start() {
    let keys = ["MFkw", "no base64", "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="];
    for key in keys {
        let values = serde_json::from_value(json!({ "api_key": "SG.x", "webhook_public_key": key })).unwrap();
        let error = (kind("sendgrid").configure)(&fixture::settings(kind("sendgrid"), &values, None, true));
        assert_eq!(error.unwrap_err().key, "webhook_public_key", "{key}");
    }
}

#[test]
fn half_an_api_key_is_refused_at_start() {
    let complete =
        json!({ "account_sid": "AC1", "auth_token": "t", "api_key_sid": "SK1", "api_key_secret": "s" });
    for (without, named) in [("api_key_sid", "api_key_sid"), ("api_key_secret", "api_key_secret")] {
        let mut values: Map<String, Value> = serde_json::from_value(complete.clone()).unwrap();
        values.remove(without);
        let error = (kind("twilio").configure)(&fixture::settings(kind("twilio"), &values, None, true));
        assert_eq!(error.unwrap_err().key, named);
    }
}
