//! What keys of each role open, and the console's page of keys.

use app_db::keys::{Role, hash};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use service::Clock;
use sha2::Sha256;
use testkit::{Answer, HttpClient, until};
use uuid::Uuid;

use crate::authentication::{create_key, create_key_of, with_key};
use crate::console::submit;
use crate::server::{Server, another_on, server};

pub(crate) async fn counts(server: &Server, key: &str) {
    let client = with_key(&server.client, key);
    until("the key counts", async || {
        let refuses_others = server.client.get("/api/messages").await.status == 401;
        (refuses_others && client.get("/api/messages").await.status == 200).then_some(())
    })
    .await;
}

/// Logged in to the console.
async fn logged_in(server: &Server, key: &str) -> HttpClient {
    let answer = submit(&server.client, "/login", &format!("key={key}")).await.expect(303);
    with_cookie(server, answer.header("set-cookie"))
}

fn with_cookie(server: &Server, cookie: &str) -> HttpClient {
    server.client.clone().with_header("cookie", cookie.split(';').next().unwrap())
}

/// What a copy of the table of keys is good for: the cookie that an older version signed with a key's hash.
async fn signed_with_hash(server: &Server, key: &str) -> String {
    let prefix = &key[..10];
    let id = server.value(&format!("select id::text from api_keys where prefix = '{prefix}'")).await;
    let mut bytes = id.parse::<Uuid>().unwrap().as_bytes().to_vec();
    bytes.extend((Clock::System.now().as_second() + 3600).to_be_bytes());
    let mut mac = Hmac::<Sha256>::new_from_slice(&hash(key).unwrap()).unwrap();
    mac.update(b"console session\n");
    mac.update(&bytes);
    bytes.extend(mac.finalize().into_bytes());
    format!("app_session={}", BASE64.encode(bytes))
}

/// Fills in the form of the page of keys, as it is for whom looks.
pub(crate) async fn make(client: &HttpClient, fields: &str) -> Answer {
    let page = client.get("/keys").await.expect(200).text();
    submit(client, "/keys", &format!("{}&{fields}", once(&page))).await
}

/// What the page has in its form, hidden.
fn once(page: &str) -> String {
    let (_, value) = page.split_once("name=\"once\" value=\"").unwrap();
    format!("once={}", value.split('"').next().unwrap())
}

#[tokio::test]
async fn an_applications_key_opens_the_api_and_not_the_console() {
    let server = server().await;
    let operator = create_key(&server, 1).await;
    let application = create_key_of(&server.database, 2, Role::Application).await;
    counts(&server, &operator).await;
    counts(&server, &application).await;
    let api = with_key(&server.client, &application);
    let sent = json!({"from": "+12025550100", "to": "+12025550199", "body": "Hi"});
    api.post("/api/messages/sms", &sent).await.expect(202);
    api.get("/api/conversations").await.expect(200);

    let refused = submit(&server.client, "/login", &format!("key={application}")).await.expect(403);
    assert_eq!(refused.header("set-cookie"), "");
    let text = refused.text();
    assert!(text.contains("This is an application's key") && text.contains("app keys create NAME"), "{text}");
    assert_eq!(server.count("console_sessions").await, 0);
    assert_eq!(server.count("api_keys").await, 2);
}

#[tokio::test]
async fn where_only_applications_have_keys_nobody_gets_into_the_console() {
    let server = server().await;
    let application = create_key_of(&server.database, 1, Role::Application).await;
    counts(&server, &application).await;
    server.client.get("/").await.expect(303);
    submit(&server.client, "/keys", "name=me").await.expect(303);
    assert_eq!(server.count("api_keys").await, 1);
}

#[tokio::test]
async fn the_console_makes_applications_keys_unless_an_operators_is_chosen_or_needed() {
    let server = server().await;
    let first = server.client.get("/keys").await.expect(200).text();
    assert!(!first.contains("<option value=\"application\""), "{first}");
    make(&server.client, "name=first&role=application").await.expect(400);
    let made = make(&server.client, "name=first").await.expect(200);
    let session = with_cookie(&server, made.header("set-cookie"));
    let page = session.get("/keys").await.expect(200).text();
    let default = page.find("<option").unwrap();
    assert!(page[default..].starts_with("<option value=\"application\""), "{page}");
    make(&session, "name=second").await.expect(200);
    make(&session, "name=third&role=operator").await.expect(200);
    make(&session, "name=fourth&role=admin").await.expect(400);
    let roles = server.value("select string_agg(name || ' ' || role, ', ' order by id) from api_keys").await;
    assert_eq!(roles, "first operator, second application, third operator");
}

#[tokio::test]
async fn the_last_operators_key_is_not_revoked_in_the_console() {
    let server = server().await;
    let key = create_key(&server, 1).await;
    create_key_of(&server.database, 2, Role::Application).await;
    counts(&server, &key).await;
    let session = logged_in(&server, &key).await;
    let id = server.value("select id::text from api_keys where role = 'operator'").await;
    let revoke = format!("/keys/{id}/revoke");
    let told = session.get(&revoke).await.expect(200).text();
    assert!(told.contains("last valid key of an operator") && !told.contains("action=\"/keys/"), "{told}");
    let refused = submit(&session, &revoke, "").await.expect(409).text();
    assert!(refused.contains("last valid key of an operator"), "{refused}");
    assert!(refused.contains(&format!("app keys revoke {id}")), "{refused}");
    session.get("/keys").await.expect(200);
    let application = server.value("select id::text from api_keys where role = 'application'").await;
    submit(&session, &format!("/keys/{application}/revoke"), "").await.expect(303);
    submit(&session, &format!("/keys/{application}/revoke"), "").await.expect(404);

    create_key(&server, 3).await;
    submit(&session, &revoke, "").await.expect(303);
    session.get("/keys").await.expect(303);
}

#[tokio::test]
async fn a_form_that_is_sent_twice_makes_one_key() {
    let server = server().await;
    let operator = create_key(&server, 1).await;
    counts(&server, &operator).await;
    let session = logged_in(&server, &operator).await;
    let form = format!("{}&name=shop", once(&session.get("/keys").await.expect(200).text()));
    let both = tokio::join!(submit(&session, "/keys", &form), submit(&session, "/keys", &form));
    let (made, again) = if both.0.status == 200 { both } else { (both.1, both.0) };
    assert!(made.expect(200).text().contains("It is not shown again"));
    let again = again.expect(409).text();
    assert!(
        again.contains("made a key then: shop, app_") && again.contains("cannot be shown again"),
        "{again}"
    );
    assert!(!again.contains("id=\"made\""), "{again}");
    submit(&session, "/keys", &form).await.expect(409);
    assert_eq!(server.count("api_keys where name = 'shop'").await, 1);
    // The page that tells of it has a form of its own.
    submit(&session, "/keys", &format!("{}&name=shop", once(&again))).await.expect(200);
    for wrong in ["", "once=", "once=x", "once=d4b7d6ae-6c3c-4b1d-8f5e-2f6c1b7f0a11"] {
        submit(&session, "/keys", &format!("{wrong}&name=shop")).await.expect(400);
    }
    assert_eq!(server.count("api_keys where name = 'shop'").await, 2);
}

#[tokio::test]
async fn before_a_key_is_revoked_it_is_named_with_what_that_means() {
    let server = server().await;
    let (mine, other) = (create_key(&server, 1).await, create_key(&server, 2).await);
    counts(&server, &mine).await;
    counts(&server, &other).await;
    let session = logged_in(&server, &mine).await;
    let id_of = async |key: &str| {
        server.value(&format!("select id::text from api_keys where prefix = '{}'", &key[..10])).await
    };
    let others = format!("/keys/{}/revoke", id_of(&other).await);
    assert!(session.get("/keys").await.expect(200).text().contains(&format!("<a href=\"{others}\">")));
    let told = session.get(&others).await.expect(200).text();
    for part in ["Revoke the key test?", &other[..10], "401 within two seconds", "<time"] {
        assert!(told.contains(part), "{part} in {told}");
    }
    assert!(!told.contains("You are logged in with this key"), "{told}");
    let mine = session.get(&format!("/keys/{}/revoke", id_of(&mine).await)).await.expect(200).text();
    assert!(mine.contains("You are logged in with this key: you are logged out"), "{mine}");
    assert_eq!(server.count("api_keys where revoked_at is not null").await, 0, "looking revokes nothing");
    submit(&session, &others, "").await.expect(303);
    for gone in [&others, "/keys/x/revoke"] {
        session.get(gone).await.expect(404);
        submit(&session, gone, "").await.expect(404);
    }
}

#[tokio::test]
async fn the_page_tells_which_keys_are_used() {
    let server = server().await;
    let operator = create_key(&server, 1).await;
    create_key_of(&server.database, 2, Role::Application).await;
    counts(&server, &operator).await;
    let session = logged_in(&server, &operator).await;
    until("a use is noted", async || {
        (server.count("api_keys where last_used_at is not null").await == 1).then_some(())
    })
    .await;
    let page = session.get("/keys").await.expect(200).text();
    assert_eq!(page.matches("no use noted yet").count(), 1, "{page}");
}

#[tokio::test]
async fn a_session_ends_when_its_key_is_no_operators_any_more() {
    let server = server().await;
    let key = create_key(&server, 1).await;
    counts(&server, &key).await;
    let session = logged_in(&server, &key).await;
    session.get("/").await.expect(200);
    server.execute("update api_keys set role = 'application'").await;
    until("the session ended", async || (session.get("/").await.status == 303).then_some(())).await;
}

#[tokio::test]
async fn copies_of_the_tables_of_keys_and_sessions_open_no_session() {
    let server = server().await;
    let key = create_key(&server, 1).await;
    counts(&server, &key).await;
    let session = logged_in(&server, &key).await;
    session.get("/keys").await.expect(200);
    let copied = server.value("select encode(token_hash, 'hex') from console_sessions").await;
    let bytes: Vec<u8> =
        (0..32).map(|at| u8::from_str_radix(&copied[2 * at..2 * at + 2], 16).unwrap()).collect();
    let cookies = [
        signed_with_hash(&server, &key).await,
        format!("app_session={}", BASE64.encode(bytes)),
        format!("app_session={copied}"),
        "app_session=".to_owned(),
    ];
    for cookie in cookies {
        let copy = with_cookie(&server, &cookie);
        for path in ["/keys", "/", "/live/inbox"] {
            copy.get(path).await.expect(303);
        }
        submit(&copy, "/keys", "name=more&role=operator").await.expect(303);
    }
    assert_eq!(server.count("api_keys").await, 1);
}

#[tokio::test]
async fn logging_out_ends_the_session_here_at_once_and_elsewhere_within_seconds() {
    let server = server().await;
    let key = create_key(&server, 1).await;
    counts(&server, &key).await;
    let other = another_on(&server).await;
    let session = logged_in(&server, &key).await;
    let answer = submit(&server.client, "/login", &format!("key={key}")).await.expect(303);
    let cookie = answer.header("set-cookie").split(';').next().unwrap().to_owned();
    assert!(answer.header("set-cookie").contains("; HttpOnly; SameSite=Lax; Max-Age=43200; Secure"));
    let here = server.client.clone().with_header("cookie", &cookie);
    let elsewhere = other.with_header("cookie", &cookie);
    here.get("/keys").await.expect(200);
    elsewhere.get("/keys").await.expect(200);
    submit(&here, "/logout", "").await.expect(303);
    here.get("/keys").await.expect(303);
    until("the other server knows", async || (elsewhere.get("/keys").await.status == 303).then_some(()))
        .await;
    session.get("/keys").await.expect(200);
    assert_eq!(server.count("console_sessions").await, 1, "of the other login");
}

#[tokio::test]
async fn a_session_lasts_twelve_hours_by_the_databases_clock() {
    let server = server().await;
    let key = create_key(&server, 1).await;
    counts(&server, &key).await;
    let session = logged_in(&server, &key).await;
    let lasts =
        "select (extract(epoch from expires_at - created_at) / 3600)::int::text from console_sessions";
    assert_eq!(server.value(lasts).await, "12");
    session.get("/keys").await.expect(200);
    server.execute("update console_sessions set expires_at = now()").await;
    until("the session ended", async || (session.get("/keys").await.status == 303).then_some(())).await;
    // The next login removes it.
    logged_in(&server, &key).await;
    assert_eq!(server.count("console_sessions").await, 1);
}

#[tokio::test]
async fn revoking_a_key_ends_its_sessions_in_the_database() {
    let server = server().await;
    let (mine, other) = (create_key(&server, 1).await, create_key(&server, 2).await);
    counts(&server, &mine).await;
    counts(&server, &other).await;
    let (session, others) = (logged_in(&server, &mine).await, logged_in(&server, &other).await);
    let id = server.value(&format!("select id::text from api_keys where prefix = '{}'", &other[..10])).await;
    submit(&session, &format!("/keys/{id}/revoke"), "").await.expect(303);
    others.get("/keys").await.expect(303);
    assert_eq!(server.count("console_sessions").await, 1);
}
