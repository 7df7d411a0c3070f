//! Every kind against its folder of fixtures in `contract/<kind>/`: what is sent, what answers mean, what webhooks
//! say, and what tampering does. Knows no kind by name; `contract/vectors.rs` alone lists whose vectors are whose.

#![allow(clippy::unwrap_used, reason = "a fixture that cannot be read is a failure")]

#[path = "contract/fixture.rs"]
mod fixture;
#[path = "contract/multipart.rs"]
mod multipart;
#[path = "contract/registry.rs"]
mod registry;
#[path = "contract/rotation.rs"]
mod rotation;
#[path = "contract/schema.rs"]
mod schema;
#[path = "contract/smtp.rs"]
mod smtp;
#[path = "contract/snapshot.rs"]
mod snapshot;
#[path = "contract/table.rs"]
mod table;
#[path = "contract/tampering.rs"]
mod tampering;
#[path = "contract/vectors.rs"]
mod vectors;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::{Request, Response};
use jiff::Timestamp;
use model::Endpoint;
use providers::{Answer, Call, KINDS, Outgoing, Provider, WebhookError};
use serde_json::{Value, json};

use crate::fixture::{Fixture, KindFixtures, WEBHOOK_URL, message_id};
use crate::snapshot::{outcome_json, webhook_json};

#[test]
fn requests_are_as_in_the_fixtures_and_fit_the_api_description() {
    for kind in KINDS {
        let fixtures = KindFixtures::of(kind);
        let description = fixtures.description();
        for fixture in fixtures.cases("requests") {
            let provider = fixtures.provider(&fixture);
            match request(&*provider, &fixture) {
                Ok(Call::Smtp(submission)) => {
                    assert_eq!(smtp::submission_json(&submission), fixture.expected("smtp"), "{fixture}");
                }
                Ok(Call::Http(request)) => {
                    let actual = request_json(&request, &fixture);
                    assert_eq!(actual, fixture.expected("request"), "{fixture}");
                    if let Some(description) = &description {
                        let problems = description.problems_of_request(&request);
                        assert!(problems.is_empty(), "{fixture}: {problems:#?}");
                    }
                }
                Err(outcome) => assert_eq!(outcome_json(&outcome), fixture.expected("outcome"), "{fixture}"),
            }
        }
    }
}

#[test]
fn answers_mean_what_the_fixtures_say() {
    for kind in KINDS {
        let fixtures = KindFixtures::of(kind);
        let description = fixtures.description();
        for fixture in fixtures.cases("responses") {
            let answer = fixture.answer();
            if let (Answer::Http(response), true) = (&answer, fixture.json["conforms"] == json!(true)) {
                let description = description.as_ref().expect("what it conforms to");
                let problems = description.problems_of_response(response);
                assert!(problems.is_empty(), "{fixture}: {problems:#?}");
            }
            let outcome = fixtures.provider(&fixture).outcome(&answer, fixture.now());
            assert_eq!(outcome_json(&outcome), fixture.expected("outcome"), "{fixture}");
        }
    }
}

#[test]
fn webhooks_say_what_the_fixtures_say() {
    for kind in KINDS {
        let fixtures = KindFixtures::of(kind);
        for fixture in fixtures.cases("webhooks") {
            let delivery = fixture.delivery();
            let (provider, request) = (fixtures.provider(&fixture), delivery.as_request());
            let result = provider.webhook(&request);
            // The head alone refuses nothing that the whole webhook does not refuse.
            if let Err(error) = provider.check_head(&providers::WebhookRequest { body: &[], ..request }) {
                let unverified = |error| matches!(error, &WebhookError::Unverified(_));
                assert!(unverified(&error) && result.as_ref().is_err_and(unverified), "{fixture}: {error}");
            }
            let (actual, says) = match &result {
                Ok(webhook) => (webhook_json(webhook), String::new()),
                Err(WebhookError::Unverified(says)) => (json!("unverified"), says.clone()),
                Err(WebhookError::Unparsable(says)) => (json!("unparsable"), says.clone()),
                Err(WebhookError::Needs(url)) => (json!("needs"), url.clone()),
            };
            match fixture.json["error"].as_object() {
                Some(error) => {
                    let (class, expected) = error.iter().next().unwrap();
                    assert_eq!(actual, json!(class), "{fixture}: {says}");
                    assert!(says.contains(expected.as_str().unwrap()), "{fixture}: {says}");
                }
                None => assert_eq!(actual, fixture.expected("webhook"), "{fixture}: {says}"),
            }
        }
    }
}

/// What people see must hold nothing personal, whatever a provider wrote into its answer.
#[test]
fn no_detail_and_no_error_repeats_an_address() {
    let personal = ["4155550100", "5005550006", "example.net", "example.org", "bob@"];
    let check = |text: &str, fixture: &Fixture| {
        assert!(!personal.iter().any(|personal| text.contains(personal)), "{fixture}: {text}");
    };
    for kind in KINDS {
        let fixtures = KindFixtures::of(kind);
        for fixture in fixtures.cases("responses") {
            let mut outcome =
                outcome_json(&fixtures.provider(&fixture).outcome(&fixture.answer(), fixture.now()));
            outcome.as_object_mut().unwrap().remove("accepted");
            check(&outcome.to_string(), &fixture);
        }
        for fixture in fixtures.cases("webhooks") {
            match fixtures.provider(&fixture).webhook(&fixture.delivery().as_request()) {
                Ok(webhook) => {
                    for receipt in webhook.receipts {
                        check(&format!("{:?} {:?}", receipt.detail, receipt.provider_code), &fixture);
                    }
                }
                Err(error) => check(&error.to_string(), &fixture),
            }
        }
    }
}

#[test]
fn debug_shows_no_secret() {
    for kind in KINDS {
        let fixtures = KindFixtures::of(kind);
        let secrets = fixtures.settings["secrets"].as_object().unwrap();
        let mut values = fixtures.settings["values"].as_object().unwrap().clone();
        values.extend(secrets.clone());
        let settings = fixture::settings(kind, &values, None, true);
        let provider = (kind.configure)(&settings).unwrap();
        let channel = kind.channels[0];
        let address =
            |phone, email| Endpoint::stored(if channel.as_str() == "email" { email } else { phone });
        let call = provider
            .call(&Outgoing {
                message_id: message_id(),
                attempt: 1,
                channel,
                from: &address("+15005550006", "app@example.com"),
                to: &address("+14155550100", "ann@example.net"),
                subject: None,
                body: "Hi",
                attachments: &[],
                files: &[],
                in_reply_to: None,
                references: &[],
                webhook_url: WEBHOOK_URL,
                now: Timestamp::UNIX_EPOCH,
            })
            .unwrap();
        let shown = format!("{settings:?} {provider:?} {provider:#?} {call:?}");
        let authorization = match &call {
            Call::Http(request) => request.headers().get(http::header::AUTHORIZATION),
            Call::Smtp(_) => None,
        };
        // Some send their key in a header of their own, or sign; then the secrets below are all there is to hide.
        let sent = authorization.map(|authorization| {
            assert!(authorization.is_sensitive(), "{}", kind.name);
            authorization.to_str().unwrap().split(' ').nth(1).unwrap().to_owned()
        });
        let hidden = secrets
            .iter()
            .filter(|(key, _)| !key.ends_with("_sid"))
            .map(|(_, secret)| secret.as_str().unwrap().to_owned())
            .chain(sent);
        for secret in hidden {
            assert!(!shown.contains(&secret), "{}: {shown}", kind.name);
        }
    }
}

#[test]
fn unknown_missing_empty_and_wrong_keys_are_refused_by_name() {
    for kind in KINDS {
        let fixtures = KindFixtures::of(kind);
        let values = fixtures.settings["values"].as_object().unwrap();
        let refused = |values: &serde_json::Map<String, Value>| {
            (kind.configure)(&fixture::settings(kind, values, None, true)).err().map(|error| error.key)
        };
        assert_eq!(refused(values), None);
        let mut misspelt = values.clone();
        misspelt.insert("acount_sid".to_owned(), json!("x"));
        assert_eq!(refused(&misspelt).as_deref(), Some("acount_sid"), "{}", kind.name);
        let empty = serde_json::Map::new();
        let first = refused(&empty).unwrap();
        let mut blank = values.clone();
        blank.insert(first.clone(), json!(""));
        assert_eq!(refused(&blank), Some(first), "{}", kind.name);
        for case in fixtures.settings["refused"].as_array().into_iter().flatten() {
            let mut wrong = values.clone();
            wrong.extend(case["settings"].as_object().unwrap().clone());
            assert_eq!(refused(&wrong).as_deref(), case["key"].as_str(), "{}: {case}", kind.name);
        }
    }
}

fn request(provider: &dyn Provider, fixture: &Fixture) -> Result<Call, model::Outcome> {
    let message = &fixture.json["message"];
    let endpoint = |name: &str| Endpoint::stored(message[name].as_str().unwrap());
    let attachments: Vec<String> = serde_json::from_value(message["attachments"].clone()).unwrap_or_default();
    let references: Vec<String> = serde_json::from_value(message["references"].clone()).unwrap_or_default();
    let files = fixture.files();
    provider.call(&Outgoing {
        message_id: message_id(),
        attempt: message["attempt"].as_u64().unwrap_or(1).try_into().unwrap(),
        channel: message["channel"].as_str().unwrap().parse().unwrap(),
        from: &endpoint("from"),
        to: &endpoint("to"),
        subject: message["subject"].as_str(),
        body: &fixture::text(&message["body"]),
        attachments: &attachments,
        files: &files,
        in_reply_to: message["in_reply_to"].as_str(),
        references: &references,
        webhook_url: WEBHOOK_URL,
        now: fixture.now(),
    })
}

fn request_json(request: &Request<Bytes>, fixture: &Fixture) -> Value {
    let headers: serde_json::Map<String, Value> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), json!(value.to_str().unwrap())))
        .collect();
    let mut actual =
        json!({ "method": request.method().as_str(), "url": request.uri().to_string(), "headers": headers });
    if let Some(parts) = multipart::parts(request) {
        // Its boundary is the adapter's business.
        actual["headers"]["content-type"] = json!("multipart/form-data");
        let part = |part: multipart::Part| match part.filename {
            None => json!([part.name, String::from_utf8(part.bytes).unwrap()]),
            // Bytes as the characters of their numbers.
            Some(filename) => {
                let text: String = part.bytes.iter().map(|&byte| char::from(byte)).collect();
                json!({
                    "name": part.name,
                    "filename": filename,
                    "content_type": part.content_type,
                    "text": text,
                })
            }
        };
        actual["multipart"] = parts.into_iter().map(part).collect();
    } else if fixture.json["request"]["json"].is_null() {
        let pairs: Vec<(String, String)> = form_urlencoded::parse(request.body()).into_owned().collect();
        actual["form"] = json!(pairs);
    } else {
        actual["json"] = serde_json::from_slice(request.body()).unwrap();
        // A whole mail in base64 is shown as a mail program reads it.
        if let Some(mail_at) = fixture.json["mail_at"].as_str() {
            let mail = actual["json"].pointer_mut(mail_at).unwrap();
            *mail = smtp::mail_json(&BASE64.decode(mail.as_str().unwrap()).unwrap());
        }
    }
    actual
}

impl Fixture {
    fn answer(&self) -> Answer {
        match self.json["smtp_reply"].as_object() {
            Some(reply) => Answer::Smtp(smtp::reply(reply)),
            None => Answer::Http(self.response()),
        }
    }

    /// The message's fetched attachments.
    fn files(&self) -> Vec<providers::File> {
        let files = self.json["message"]["files"].as_array().cloned().unwrap_or_default();
        let file = |file: Value| providers::File {
            filename: file["filename"].as_str().unwrap().to_owned(),
            content_type: file["content_type"].as_str().unwrap().to_owned(),
            bytes: fixture::text(&file["text"]).into_bytes(),
        };
        files.into_iter().map(file).collect()
    }

    fn response(&self) -> Response<Bytes> {
        let mut response =
            Response::builder().status(u16::try_from(self.json["status"].as_u64().unwrap()).unwrap());
        for (name, value) in &self.headers() {
            response = response.header(name, value);
        }
        let body = match &self.json["body"] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            body => body.to_string(),
        };
        response.body(Bytes::from(body)).unwrap()
    }
}
