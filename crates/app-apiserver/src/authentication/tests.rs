use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderValue, StatusCode};

use super::*;

fn with(authorization: &str) -> HeaderMap {
    HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(authorization).unwrap())])
}

fn named(host: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(HOST, HeaderValue::from_static(host))])
}

fn keys(listener: &str, public_url: &str, valid: &[ValidKey]) -> ApiKeys {
    let environment = |name: &str| (name == "APP_PUBLIC_URL").then(|| public_url.to_owned());
    let config = Config::parse("", "app.toml", &environment).unwrap();
    ApiKeys {
        valid: RwLock::new(Some(Arc::new(Valid::of(valid, false, None)))),
        ..ApiKeys::new(listener.parse().unwrap(), &config)
    }
}

const LOOPBACK: &str = "127.0.0.1:8080";
const LOCALHOST: &str = "http://localhost:8080";

#[test]
fn without_keys_a_demonstration_on_loopback_is_open_and_nothing_else() {
    let here = keys(LOOPBACK, LOCALHOST, &[]);
    let mut by_name = with("Bearer whatever");
    by_name.insert(HOST, HeaderValue::from_static("localhost:8080"));
    assert_eq!(here.caller(&by_name).ok(), Some(Caller::Anyone));
    assert_eq!(here.why_unusable().unwrap(), None);
    by_name.insert(HOST, HeaderValue::from_static("evil.example"));
    assert_eq!(here.caller(&by_name).unwrap_err().status(), StatusCode::FORBIDDEN);
    for (listener, public_url, why) in [
        ("0.0.0.0:8080", LOCALHOST, "listens on 0.0.0.0:8080"),
        (LOOPBACK, "https://msg.example.com", "APP_PUBLIC_URL"),
    ] {
        let closed = keys(listener, public_url, &[]);
        let refused = closed.caller(&named("localhost")).unwrap_err();
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "{listener} {public_url}");
        assert!(closed.why_unusable().unwrap().unwrap().contains(why));
    }
}

#[test]
fn an_installation_that_had_a_key_stays_closed() {
    let closed = keys(LOOPBACK, LOCALHOST, &[]);
    *closed.valid.write().unwrap() = Some(Arc::new(Valid::of(&[], true, None)));
    assert_eq!(closed.caller(&named("localhost")).unwrap_err().status(), StatusCode::UNAUTHORIZED);
    assert!(!closed.is_open().unwrap());
    assert!(closed.why_unusable().unwrap().unwrap().contains("revoked"));
}

#[test]
fn an_applications_key_closes_the_server_and_opens_the_api_alone() {
    let application = ValidKey { hash: [7; 32], id: Uuid::from_u128(7), role: Role::Application };
    let here = keys(LOOPBACK, LOCALHOST, &[application]);
    assert_eq!(here.caller(&HeaderMap::new()).unwrap_err().status(), StatusCode::UNAUTHORIZED);
    assert!(matches!(here.access().unwrap(), Access::Keyed(operators) if operators.is_empty()));
    let operator = ValidKey { hash: [8; 32], id: Uuid::from_u128(8), role: Role::Operator };
    let Access::Keyed(operators) = keys(LOOPBACK, LOCALHOST, &[application, operator]).access().unwrap()
    else {
        panic!("open although there are keys");
    };
    assert_eq!(*operators, Hashes::from([(operator.hash, operator.id)]));
}

#[test]
fn the_user_and_the_password_of_basic_authentication_are_keys() {
    // Of `app_` and 37 zeros, with their checksum.
    let key = keys::of_secret(&"0".repeat(37));
    let known = ValidKey { hash: keys::hash(&key).unwrap(), id: Uuid::from_u128(7), role: Role::Operator };
    let here = keys(LOOPBACK, LOCALHOST, &[known]);
    let basic = |text: &str| with(&format!("Basic {}", BASE64.encode(text)));
    for text in [format!("{key}:"), format!("{key}:x"), format!("api:{key}"), format!(":{key}")] {
        assert_eq!(here.caller(&basic(&text)).ok(), Some(Caller::Key(known.id)), "{text}");
    }
    for text in [":", "api:wrong", &format!("{key}x:{key}x")] {
        assert_eq!(here.caller(&basic(text)).unwrap_err().status(), StatusCode::UNAUTHORIZED, "{text}");
    }
}

#[test]
fn a_request_without_credential_is_answered_under_a_known_name_or_with_a_key() {
    let key = keys::of_secret(&"0".repeat(37));
    let known = ValidKey { hash: keys::hash(&key).unwrap(), id: Uuid::from_u128(7), role: Role::Application };
    let here = keys(LOOPBACK, "https://msg.example.com", &[known]);
    for host in ["localhost:8080", "127.0.0.1", "msg.example.com"] {
        assert!(here.check_unauthenticated(&named(host)).is_ok(), "{host}");
    }
    let mut foreign = named("evil.example");
    assert_eq!(here.check_unauthenticated(&foreign).unwrap_err().code(), "forbidden_host");
    foreign.extend(with("Bearer wrong"));
    assert_eq!(here.check_unauthenticated(&foreign).unwrap_err().code(), "forbidden_host");
    foreign.extend(with(&format!("Bearer {key}")));
    assert!(here.check_unauthenticated(&foreign).is_ok());
}

#[test]
fn a_use_is_remembered_when_keys_are_read_again() {
    let key = ValidKey { hash: [7; 32], id: Uuid::from_u128(7), role: Role::Application };
    let before = Valid::of(&[key], true, None);
    let was_used = |valid: &Valid| valid.all[&key.hash].was_used.load(Ordering::Relaxed);
    assert!(!was_used(&before));
    before.all[&key.hash].was_used.store(true, Ordering::Relaxed);
    assert!(was_used(&Valid::of(&[key], true, Some(&before))));
}

#[test]
fn before_the_keys_are_known_every_request_is_refused() {
    let config = Config::parse("", "app.toml", &|_| None).unwrap();
    let starting = ApiKeys::new(LOOPBACK.parse().unwrap(), &config);
    assert_eq!(starting.caller(&HeaderMap::new()).unwrap_err().status(), StatusCode::SERVICE_UNAVAILABLE);
}
