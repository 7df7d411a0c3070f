//! The signing functions against signatures that the providers' own libraries made.

use provider_simulator::{SendgridSigner, SigningKeyError, twilio_signature};
use serde_json::Value;

use crate::rig::is_signed;

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors.json")).unwrap()
}

fn text<'a>(vector: &'a Value, field: &str) -> &'a str {
    vector[field].as_str().unwrap()
}

#[test]
fn twilio_signatures_equal_the_official_librarys() {
    let vectors = vectors();
    let vectors = vectors["twilio"].as_array().unwrap();
    assert!(vectors.len() >= 5);
    for vector in vectors {
        let form: Vec<(String, String)> =
            form_urlencoded::parse(text(vector, "body").as_bytes()).into_owned().collect();
        let signature = twilio_signature(text(vector, "auth_token"), text(vector, "url"), &form);
        assert_eq!(signature, text(vector, "signature"), "{}", vector["name"]);
    }
}

#[test]
fn sendgrid_signatures_verify_as_the_official_librarys_do() {
    let vectors = vectors();
    for vector in vectors["sendgrid"].as_array().unwrap() {
        let (key, timestamp) = (text(vector, "public_key_spki_base64"), text(vector, "timestamp"));
        let body = text(vector, "body").as_bytes();
        // First the judge is judged: it agrees with the official library on its signatures.
        let official = is_signed(key, timestamp, body, text(vector, "signature"));
        assert_eq!(official, vector["valid"] == true, "{}", vector["name"]);
        if let Some(private_key) = vector["private_key_pkcs8_base64_test_only"].as_str() {
            let ours = SendgridSigner::from_pkcs8_base64(private_key).unwrap().sign(timestamp, body);
            assert!(is_signed(key, timestamp, body, &ours));
            assert!(!is_signed(key, timestamp, &body[..body.len() - 2], &ours));
        }
    }
}

#[test]
fn a_signing_key_that_is_none_is_refused() {
    assert_eq!(SendgridSigner::from_pkcs8_base64("?").unwrap_err(), SigningKeyError::NotBase64);
    assert_eq!(SendgridSigner::from_pkcs8_base64("AAAA").unwrap_err(), SigningKeyError::NotPkcs8);
}
