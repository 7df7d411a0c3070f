//! Hostile and damaged input: a signature covers what it claims to cover, and nothing makes an adapter panic.

use bytes::Bytes;
use http::{HeaderValue, Response};
use providers::{Answer, KINDS, Provider, SmtpReply, Webhook, WebhookError};
use serde_json::Value;

use crate::fixture::{Delivery, Fixture, KindFixtures};

/// Every bit of the first fixture's signature and a bit of every byte that it covers; samples in the others, since
/// unoptimised elliptic curves are slow. A header's flip must be refused; a flip elsewhere must be refused
/// or mean the same, as `%2b` and `%2B` do.
#[test]
fn a_flipped_bit_is_refused_wherever_it_is_signed() {
    for kind in KINDS {
        let fixtures = KindFixtures::of(kind);
        let mut signed_fixtures = 0;
        for fixture in fixtures.cases("webhooks") {
            let Some(signed) = fixture.json["signed"].as_object() else { continue };
            // The odd steps meet every position within a byte.
            let (header_step, content_step) = if signed_fixtures == 0 { (1, 9) } else { (29, 29) };
            signed_fixtures += 1;
            let provider = fixtures.provider(&fixture);
            let delivery = fixture.delivery();
            let original = provider.webhook(&delivery.as_request()).unwrap();
            for name in signed["headers"].as_array().unwrap() {
                let name = name.as_str().unwrap();
                for flipped in bit_flips(delivery.headers[name].as_bytes(), header_step) {
                    let Ok(value) = HeaderValue::from_bytes(&flipped) else { continue };
                    let mut delivery = delivery.clone();
                    delivery.headers.insert(name.parse::<http::HeaderName>().unwrap(), value);
                    assert_unverified(&*provider, &delivery, &fixture);
                }
                let mut unsigned = delivery.clone();
                unsigned.headers.remove(name);
                assert_unverified(&*provider, &unsigned, &fixture);
            }
            if signed["url"] == true {
                for flipped in bit_flips(delivery.url.as_bytes(), content_step) {
                    let Ok(url) = String::from_utf8(flipped) else { continue };
                    assert_refused_or_same(
                        &*provider,
                        &Delivery { url, ..delivery.clone() },
                        &original,
                        &fixture,
                    );
                }
            }
            // Parts of a body whose other parts nothing covers.
            for text in signed.get("texts").and_then(Value::as_array).into_iter().flatten() {
                let text = text.as_str().unwrap().as_bytes();
                let at = delivery.body.windows(text.len()).position(|window| window == text).unwrap();
                for flipped in bit_flips(text, header_step) {
                    let mut delivery = delivery.clone();
                    delivery.body[at..at + text.len()].copy_from_slice(&flipped);
                    assert_unverified(&*provider, &delivery, &fixture);
                }
            }
            if signed["body"] == true {
                for body in bit_flips(&delivery.body, content_step) {
                    assert_refused_or_same(
                        &*provider,
                        &Delivery { body, ..delivery.clone() },
                        &original,
                        &fixture,
                    );
                }
            }
        }
    }
}

fn bit_flips(bytes: &[u8], step: usize) -> impl Iterator<Item = Vec<u8>> {
    (0..bytes.len() * 8).step_by(step).map(|bit| {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    })
}

/// What is not understood is taken in later without being verified again, so a stranger's must never be called so.
#[test]
fn what_proves_nothing_is_never_merely_not_understood() {
    for kind in KINDS {
        let fixtures = KindFixtures::of(kind);
        for mut fixture in fixtures.cases("webhooks") {
            fixture.json["verify"] = true.into();
            let provider = fixtures.provider(&fixture);
            let mut delivery = fixture.delivery();
            delivery.headers.clear();
            delivery.url = crate::fixture::WEBHOOK_URL.to_owned();
            for content_type in ["", "text/plain", "application/json", "multipart/form-data; boundary=b"] {
                delivery.headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(content_type));
                for body in ["", "x", "[]", "{}", "From=x", "--b--"] {
                    delivery.body = body.into();
                    assert_unverified(&*provider, &delivery, &fixture);
                }
            }
        }
    }
}

fn assert_unverified(provider: &dyn Provider, delivery: &Delivery, fixture: &Fixture) {
    let result = provider.webhook(&delivery.as_request());
    assert!(matches!(result, Err(WebhookError::Unverified(_))), "{fixture}: {delivery:?} gave {result:?}");
}

fn assert_refused_or_same(
    provider: &dyn Provider,
    delivery: &Delivery,
    original: &Webhook,
    fixture: &Fixture,
) {
    match provider.webhook(&delivery.as_request()) {
        Ok(webhook) => assert_eq!(webhook, *original, "{fixture}: {delivery:?}"),
        // Another document proves nothing for this delivery.
        Err(WebhookError::Unverified(_) | WebhookError::Needs(_)) => {}
        Err(error) => panic!("{fixture}: {delivery:?} gave {error}"),
    }
}

const SEED: u64 = 0x5eed;
const ROUNDS: usize = 200;

#[test]
fn damaged_webhooks_never_panic() {
    let mut random = fastrand::Rng::with_seed(SEED);
    for kind in KINDS {
        let fixtures = KindFixtures::of(kind);
        for mut fixture in fixtures.cases("webhooks") {
            // With verification on, hardly anything damaged comes further than the signature.
            for (verify, rounds) in [(true, ROUNDS / 20), (false, ROUNDS)] {
                fixture.json["verify"] = verify.into();
                let provider = fixtures.provider(&fixture);
                let delivery = fixture.delivery();
                for length in (0..delivery.body.len()).filter(|_| !verify) {
                    let body = delivery.body[..length].to_vec();
                    let _ = provider.webhook(&Delivery { body, ..delivery.clone() }.as_request());
                }
                for _ in 0..rounds {
                    let mut delivery = delivery.clone();
                    damage(&mut delivery.body, &mut random);
                    let mut url = delivery.url.into_bytes();
                    damage(&mut url, &mut random);
                    delivery.url = String::from_utf8_lossy(&url).into_owned();
                    let _ = provider.webhook(&delivery.as_request());
                }
            }
        }
    }
}

#[test]
fn damaged_answers_never_panic_and_are_never_taken_for_unreachable() {
    let mut random = fastrand::Rng::with_seed(SEED);
    for kind in KINDS {
        let fixtures = KindFixtures::of(kind);
        for fixture in fixtures.cases("responses") {
            let provider = fixtures.provider(&fixture);
            let answer = match fixture.answer() {
                Answer::Http(answer) => answer,
                Answer::Smtp(reply) => {
                    for _ in 0..ROUNDS {
                        let mut text = reply.text.clone().into_bytes();
                        damage(&mut text, &mut random);
                        let text = String::from_utf8_lossy(&text).into_owned();
                        let damaged = SmtpReply { code: random.u16(..1000), text, ..reply.clone() };
                        let outcome = provider.smtp_outcome(&damaged);
                        assert_ne!(outcome.as_str(), "unreachable", "{fixture}: {damaged:?}");
                    }
                    continue;
                }
            };
            for _ in 0..ROUNDS {
                let mut body = answer.body().to_vec();
                damage(&mut body, &mut random);
                let mut damaged = Response::new(Bytes::from(body));
                *damaged.status_mut() = http::StatusCode::from_u16(random.u16(100..1000)).unwrap();
                for (name, value) in answer.headers() {
                    let mut value = value.as_bytes().to_vec();
                    damage(&mut value, &mut random);
                    if let Ok(value) = HeaderValue::from_bytes(&value) {
                        damaged.headers_mut().insert(name, value);
                    }
                }
                // Unreachable says that nothing was sent: an answer proves the contrary.
                assert_ne!(
                    provider.http_outcome(&damaged, fixture.now()).as_str(),
                    "unreachable",
                    "{fixture}"
                );
            }
        }
    }
}

/// Valid JSON of any shape: an error page of a proxy may be a list, a text, a number.
#[test]
fn answers_of_any_json_shape_never_panic() {
    let shapes = [
        "[]",
        "[[]]",
        "[null]",
        "{}",
        "\"x\"",
        "1",
        "-1e300",
        "true",
        "null",
        r#"{"errors": null}"#,
        r#"{"errors": "x"}"#,
        r#"{"errors": {"field": 1}}"#,
        r#"{"errors": [1, null, [], {"field": []}]}"#,
        r#"{"code": [], "status": {}, "sid": 1, "error_code": [1], "message": null}"#,
        r#"{"code": -1, "status": null, "sid": [], "error_code": 1e99}"#,
    ];
    for kind in KINDS {
        let fixtures = KindFixtures::of(kind);
        let fixture = fixtures.cases("responses").remove(0);
        let provider = fixtures.provider(&fixture);
        for status in (200..=599).filter_map(|status| http::StatusCode::from_u16(status).ok()) {
            for shape in shapes {
                let mut answer = Response::new(Bytes::from(shape));
                *answer.status_mut() = status;
                let outcome = provider.http_outcome(&answer, fixture.now());
                assert_ne!(outcome.as_str(), "unreachable", "{}: {status} {shape}", kind.name);
            }
        }
    }
}

#[test]
fn odd_messages_never_panic_a_request() {
    let mut random = fastrand::Rng::with_seed(SEED);
    let alphabet: Vec<char> = "ab<>/&;=\"'!-?#%\0\r\n \u{e9}\u{1f44d}bodystylehtml".chars().collect();
    for kind in KINDS {
        let fixtures = KindFixtures::of(kind);
        for mut fixture in fixtures.cases("requests") {
            let provider = fixtures.provider(&fixture);
            for _ in 0..ROUNDS {
                let mut odd = |length_max: usize| -> String {
                    (0..random.usize(..length_max))
                        .map(|_| alphabet[random.usize(..alphabet.len())])
                        .collect()
                };
                fixture.json["message"]["body"] = odd(200).into();
                fixture.json["message"]["subject"] = odd(20).into();
                fixture.json["message"]["attachments"] = vec![odd(20), odd(20)].into();
                let _ = crate::request(&*provider, &fixture);
            }
        }
    }
}

/// Flips, cuts, doublings and noise.
fn damage(bytes: &mut Vec<u8>, random: &mut fastrand::Rng) {
    for _ in 0..random.usize(1..6) {
        let at = if bytes.is_empty() { 0 } else { random.usize(..bytes.len()) };
        match random.u8(..5) {
            0 if !bytes.is_empty() => bytes[at] = random.u8(..),
            1 => bytes.truncate(at),
            2 => bytes.insert(at, random.u8(..)),
            3 => bytes.extend_from_within(at..),
            _ => bytes.extend((0..random.usize(..20)).map(|_| random.u8(..))),
        }
    }
}
