use std::collections::BTreeMap;

use super::*;

fn answers(values: &[(&str, &str)], codes: &[(&str, &str)]) -> Result<Answers, SettingsError> {
    Answers::configure(&Settings {
        base_url: "https://sms.example.com".parse().unwrap(),
        verify: true,
        codes: codes.iter().map(|(code, class)| ((*code).to_owned(), class.parse().unwrap())).collect(),
        values: values
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).into()))
            .collect::<BTreeMap<_, _>>(),
    })
}

fn outcome(answers: &Answers, status: u16, body: &'static str) -> Outcome {
    let response = Response::builder().status(status).body(Bytes::from(body)).unwrap();
    answers.outcome(&response, Timestamp::UNIX_EPOCH)
}

#[test]
fn what_a_code_means_the_configuration_says() {
    let answers = answers(
        &[("success_when", "OK"), ("error_code", "ERROR: {code}")],
        &[
            ("no credit", "halt"),
            ("7", "bad_recipient"),
            ("busy", "retry"),
            ("slow", "throttle"),
            ("8", "unknown"),
        ],
    )
    .unwrap();
    for (status, body, word) in [
        (200, "OK", "accepted"),
        (200, "ERROR: no credit\r\n", "halted"),
        (403, "ERROR: 7", "rejected"),
        (200, "ERROR: busy", "unavailable"),
        (400, "ERROR: slow", "throttled"),
        (500, "ERROR: 8", "uncertain"),
        (429, "ERROR: no credit", "throttled"),
        (302, "ERROR: no credit", "rejected"),
        (200, "ERROR: 9", "rejected"),
        (200, "ERROR: to +14155550100", "uncertain"),
        (200, "ERROR:", "uncertain"),
        (200, "", "uncertain"),
    ] {
        assert_eq!(outcome(&answers, status, body).as_str(), word, "{status} {body}");
    }
}

#[test]
fn a_condition_is_a_text_or_a_value_and_any_line_may_hold() {
    let answers = answers(&[("success_when", "/ok = true\n/n=0\n\n  queued  ")], &[]).unwrap();
    for (body, word) in [
        (r#"{"ok": true}"#, "accepted"),
        (r#"{"ok": "true"}"#, "accepted"),
        (r#"{"n": 0}"#, "accepted"),
        ("it is queued.", "accepted"),
        (r#"{"ok": false, "n": 1}"#, "uncertain"),
        (r#"{"ok": [true]}"#, "uncertain"),
        ("[]", "uncertain"),
    ] {
        assert_eq!(outcome(&answers, 200, body).as_str(), word, "{body}");
    }
}

#[test]
fn what_cannot_be_meant_is_refused_by_its_key() {
    for (key, values) in [
        ("success_when", &[][..]),
        ("success_when", &[("success_when", "/status")]),
        ("success_when", &[("success_status", "200"), ("error_code", "/code")]),
        ("success_status", &[("success_status", "200, 404")]),
        ("success_status", &[("success_status", "2xx")]),
        ("message_id", &[("message_id", "ID")]),
        ("message_id", &[("message_id", "{id}")]),
        ("error_code", &[("success_when", "OK"), ("error_code", "ERROR: {id}")]),
    ] {
        assert_eq!(answers(values, &[]).unwrap_err().key, key, "{values:?}");
    }
    assert_eq!(answers(&[("success_when", "OK")], &[("7", "halt")]).unwrap_err().key, "error_code");
}
