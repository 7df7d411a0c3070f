//! Two values for a verification secret: webhooks are accepted under either, in any order; calls are made with the first.

use std::collections::{BTreeMap, BTreeSet};

use providers::{KINDS, Kind, Provider, Settings, Webhook, WebhookError, rotation};
use secrecy::SecretString;
use serde_json::Map;

use crate::fixture::{Fixture, KindFixtures, settings};
use crate::{request, request_json};

/// Another value that the key may have.
fn other_value(kind: &Kind, key: &str) -> &'static str {
    match (kind.name, key) {
        ("sendgrid", "webhook_public_key") => {
            "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEaxfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q=="
        }
        ("telnyx", "public_key") => "WGZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmZmY=",
        ("resend", "webhook_secret") => "whsec_YW5vdGhlciBzZWNyZXQgb2YgcmVzZW5k",
        _ => "another secret",
    }
}

/// The fixture's settings, with this value for the key.
fn with(fixtures: &KindFixtures, fixture: &Fixture, key: &str, value: &str) -> Settings {
    let mut values: Map<_, _> = fixtures.values(fixture);
    values.insert(key.to_owned(), value.into());
    let mut settings = settings(fixtures.kind, &values, fixture.json["base_url"].as_str(), true);
    for (code, class) in fixture.json["codes"].as_object().into_iter().flatten() {
        settings.codes.insert(code.clone(), class.as_str().unwrap().parse().unwrap());
    }
    settings
}

fn rotating(kind: &Kind, settings: &Settings, key: &str, second: &str) -> Box<dyn Provider> {
    let seconds = BTreeMap::from([(key.to_owned(), SecretString::from(second))]);
    rotation::configure(kind, settings, &seconds).unwrap()
}

fn read(provider: &dyn Provider, fixture: &Fixture) -> Result<Webhook, WebhookError> {
    provider.webhook(&fixture.delivery().as_request())
}

#[test]
fn both_values_of_every_verification_secret_of_every_kind_verify() {
    for kind in KINDS {
        let fixtures = KindFixtures::of(kind);
        let mut exercised = BTreeSet::new();
        for fixture in fixtures.cases("webhooks") {
            let expected = read(&*fixtures.provider(&fixture), &fixture);
            if expected.is_err() || fixture.json["verify"] == false {
                continue;
            }
            let values = fixtures.values(&fixture);
            for &key in kind.verification_keys {
                let Some(value) = values.get(key).and_then(|v| v.as_str()).filter(|v| !v.is_empty()) else {
                    continue;
                };
                let other = other_value(kind, key);
                let only_other = with(&fixtures, &fixture, key, other);
                let refused = read(&*(kind.configure)(&only_other).unwrap(), &fixture);
                if !matches!(refused, Err(WebhookError::Unverified(_))) {
                    // Another secret verifies this one.
                    continue;
                }
                let rotated = rotating(kind, &only_other, key, value);
                assert_eq!(read(&*rotated, &fixture), expected, "{fixture}: {key}, the new value first");
                let before = rotating(kind, &with(&fixtures, &fixture, key, value), key, other);
                assert_eq!(read(&*before, &fixture), expected, "{fixture}: {key}, the old value first");
                let neither = rotating(kind, &only_other, key, other);
                let refused = read(&*neither, &fixture);
                assert!(matches!(refused, Err(WebhookError::Unverified(_))), "{fixture}: {key}: {refused:?}");
                exercised.insert(key);
            }
        }
        let keys: BTreeSet<&str> = kind.verification_keys.iter().copied().collect();
        assert_eq!(exercised, keys, "every verification key of {} is exercised by a fixture", kind.name);
    }
}

#[test]
fn the_first_of_two_values_is_the_one_that_calls_are_made_with() {
    for kind in KINDS {
        let fixtures = KindFixtures::of(kind);
        let fixture = fixtures.cases("requests").remove(0);
        for &key in kind.verification_keys {
            if !fixtures.values(&fixture).contains_key(key) {
                continue;
            }
            let other = other_value(kind, key);
            let first = with(&fixtures, &fixture, key, other);
            let provider =
                rotating(kind, &first, key, fixtures.settings["values"][key].as_str().unwrap_or("x"));
            let call = |provider: &dyn Provider| match request(provider, &fixture) {
                Ok(providers::Call::Http(request)) => request_json(&request, &fixture),
                other => format!("{other:?}").into(),
            };
            assert_eq!(call(&*provider), call(&*(kind.configure)(&first).unwrap()), "{} {key}", kind.name);
        }
    }
}

#[test]
fn a_key_that_verifies_nothing_takes_one_value() {
    let kind = providers::kind("telnyx").unwrap();
    let fixtures = KindFixtures::of(kind);
    let fixture = fixtures.cases("requests").remove(0);
    let settings = with(&fixtures, &fixture, "api_key", "one");
    let seconds = BTreeMap::from([("api_key".to_owned(), SecretString::from("two"))]);
    let error = rotation::configure(kind, &settings, &seconds).unwrap_err();
    assert_eq!(error.to_string(), "api_key: takes one value; only public_key may have two");
}
