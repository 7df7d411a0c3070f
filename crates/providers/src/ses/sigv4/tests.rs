//! Against AWS's own test suite (its access key, region and time) and signatures that its SDK for Python makes.

use super::*;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

struct Signed {
    method: &'static str,
    uri: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
}

fn sign_as(signed: &Signed, token: Option<&str>, scope: Scope<'_>, now: &str) -> Request<Bytes> {
    let mut request = Request::builder().method(signed.method).uri(signed.uri);
    for (name, value) in signed.headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Bytes::from(signed.body)).unwrap();
    let credentials = Credentials {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: SECRET.into(),
        session_token: token.map(Into::into),
    };
    sign(&mut request, &credentials, scope, now.parse().unwrap()).unwrap();
    request
}

fn signature(request: &Request<Bytes>) -> (&str, &str) {
    let authorization = request.headers()["authorization"].to_str().unwrap();
    let (rest, signature) = authorization.rsplit_once(", Signature=").unwrap();
    (rest.rsplit_once("SignedHeaders=").unwrap().1, signature)
}

#[test]
fn the_test_suite_of_aws_agrees() {
    let form = &[("content-type", "application/x-www-form-urlencoded")];
    for (method, uri, headers, body, expected) in [
        (
            "GET",
            "https://example.amazonaws.com/",
            &[][..],
            "",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            "POST",
            "https://example.amazonaws.com/",
            &[],
            "",
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        ),
        (
            "POST",
            "https://example.amazonaws.com/",
            form,
            "Param1=value1",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
        (
            "GET",
            "https://example.amazonaws.com/?Param2=value2&Param1=value1",
            &[],
            "",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
    ] {
        let scope = Scope { region: "us-east-1", service: "service" };
        let signed = Signed { method, uri, headers, body };
        let request = sign_as(&signed, None, scope, "2015-08-30T12:36:00Z");
        assert_eq!(signature(&request).1, expected, "{method} {uri} {body}");
    }
}

#[test]
fn the_sdk_for_python_agrees() {
    let scope = Scope { region: "eu-central-1", service: "ses" };
    let now = "2023-11-14T22:13:20Z";
    let request = sign_as(
        &Signed {
            method: "POST",
            uri: "https://email.eu-central-1.amazonaws.com/v2/email/outbound-emails",
            headers: &[("content-type", "application/json")],
            body: r#"{"a":"b"}"#,
        },
        Some("a/token+x=="),
        scope,
        now,
    );
    let names = "content-type;host;x-amz-date;x-amz-security-token";
    let expected = "17875c02903876dce9251f088cf4227e7a1d0469b9b00185c6bc4d2b11cc0686";
    assert_eq!(signature(&request), (names, expected));
    assert!(request.headers()["authorization"].is_sensitive());
    assert!(request.headers()["x-amz-security-token"].is_sensitive());
    let request = sign_as(
        &Signed {
            method: "POST",
            uri: "http://127.0.0.1:8090/a%20b/v2",
            headers: &[("content-type", "application/json"), ("x-two", " a   b ")],
            body: "{}",
        },
        None,
        scope,
        now,
    );
    let expected = "5d21de7da6113e870509c8071d6c07724cc47718db25d238b7ed0b0303a9dea0";
    assert_eq!(signature(&request), ("content-type;host;x-amz-date;x-two", expected));
}
