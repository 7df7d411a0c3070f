//! The console's pages and forms, without a browser: what they show, whom they let in, and what they do.

use bytes::Bytes;
use http::Method;
use serde_json::json;
use testkit::{Answer, HttpClient, until};

use crate::authentication::create_key;
use crate::keys::make;
use crate::server::{Server, another_on, server};

pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// As a browser sends a form of our own pages.
pub(crate) async fn submit(client: &HttpClient, path: &str, form: &str) -> Answer {
    let headers = [("content-type", FORM), ("sec-fetch-site", "same-origin")];
    client.send(Method::POST, path, &headers, Bytes::from(form.to_owned())).await
}

pub(crate) async fn page(server: &Server, path: &str) -> String {
    let answer = server.client.get(path).await.expect(200);
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    answer.text()
}

#[tokio::test]
async fn every_page_is_bounded_by_a_strict_policy_and_kept_by_nobody() {
    let server = server().await;
    let sent = server.send_sms("+12025550100", "+12025550199", "Hello").await;
    let (id, conversation) = (sent["id"].as_str().unwrap(), sent["conversation_id"].as_str().unwrap());
    for path in [
        "/",
        &format!("/conversations/{conversation}"),
        "/messages",
        &format!("/messages/{id}"),
        "/bulk?action=cancel",
        "/new",
        "/outbox",
        "/providers",
        "/quarantine",
        "/keys",
        "/messages?text=nothing",
    ] {
        let answer = server.client.get(path).await.expect(200);
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
        assert_eq!(answer.header("cache-control"), "no-store");
        let text = answer.text();
        assert!(
            !text.contains(" style=") && !text.contains("<script>") && !text.contains(" onclick"),
            "{path}"
        );
    }
    // What only a demonstration has.
    server.client.get("/simulator").await.expect(404);
}

#[tokio::test]
async fn files_of_the_pages_are_kept_forever_under_names_that_change_with_them() {
    let server = server().await;
    let front = page(&server, "/").await;
    let names: Vec<&str> = front.split('"').filter(|part| part.starts_with("/assets/")).collect();
    assert_eq!(names.len(), 6, "{front}");
    for name in names {
        let answer = server.client.get(name).await.expect(200);
        assert_eq!(answer.header("cache-control"), "public, max-age=31536000, immutable");
    }
    server.client.get("/assets/000000000000-console.css").await.expect(404);
}

#[tokio::test]
async fn what_strangers_write_is_escaped() {
    let server = server().await;
    let attack = "</textarea><script>alert(1)</script>\"'>";
    let inbound = json!({"from": "a@example.net", "to": "b@example.com", "subject": attack, "body": attack, "x_id": attack});
    let id = server.client.post("/api/webhooks/email", &inbound).await.expect(200).json()["id"].clone();
    let message =
        server.client.get(&format!("/api/messages/{}", id.as_str().unwrap())).await.expect(200).json();
    let conversation = message["conversation_id"].as_str().unwrap();
    for path in [
        "/",
        "/messages",
        &format!("/messages/{}", id.as_str().unwrap()),
        &format!("/conversations/{conversation}"),
    ] {
        let text = page(&server, path).await;
        assert!(!text.contains("<script>alert"), "{path}: {text}");
    }
    let html = format!("/messages/{}/html", id.as_str().unwrap());
    let answer = server.client.get(&html).await.expect(200);
    assert!(
        answer
            .header("content-security-policy")
            .ends_with("; sandbox allow-popups allow-popups-to-escape-sandbox")
    );
    assert!(!answer.text().contains("script"), "{}", answer.text());
}

#[tokio::test]
async fn a_form_from_elsewhere_changes_nothing() {
    let server = server().await;
    let sent = server.send_sms("+12025550100", "+12025550199", "Hello").await;
    let path = format!("/messages/{}/cancel", sent["id"].as_str().unwrap());
    for headers in [
        vec![],
        vec![("origin", "https://evil.example")],
        vec![("sec-fetch-site", "same-site")],
        vec![("sec-fetch-site", "cross-site")],
    ] {
        let headers: Vec<_> = headers.into_iter().chain([("content-type", FORM)]).collect();
        let answer = server.client.send(Method::POST, &path, &headers, Bytes::new()).await.expect(403);
        assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    }
    assert_eq!(server.value("select status_tag from messages").await, "outbox");
    submit(&server.client, &path, "").await.expect(303);
    assert_eq!(server.value("select status_tag from messages").await, "failed");
    submit(&server.client, &path.replace("cancel", "retry"), "").await.expect(303);
    assert_eq!(server.value("select status_tag from messages").await, "retry");
}

#[tokio::test]
async fn a_link_from_elsewhere_may_be_followed_where_the_server_is_open_and_only_to_its_own_name() {
    let server = server().await;
    let get = async |headers: &[(&str, &str)]| {
        server.client.send(Method::GET, "/", headers, Bytes::new()).await.status.as_u16()
    };
    assert_eq!(get(&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")]).await, 200);
    assert_eq!(get(&[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "cors")]).await, 403);
    assert_eq!(get(&[("sec-fetch-mode", "navigate"), ("host", "evil.example")]).await, 403);
}

#[tokio::test]
async fn with_keys_a_cookie_lets_in_as_long_as_the_key_is_valid() {
    let server = server().await;
    let key = create_key(&server, 1).await;
    let refused = until("a key is needed", async || {
        let answer = server.client.get("/messages?status=failed").await;
        (answer.status == 303).then_some(answer)
    })
    .await;
    assert_eq!(refused.header("location"), "/login?next=%2Fmessages%3Fstatus%3Dfailed");
    submit(&server.client, "/login", "key=app_wrong").await.expect(401);
    let form = format!("key={key}&next=%2Fmessages%3Fstatus%3Dfailed");
    let answer = submit(&server.client, "/login", &form).await.expect(303);
    assert_eq!(answer.header("location"), "/messages?status=failed");
    let cookie = answer.header("set-cookie").to_owned();
    assert!(cookie.contains("; HttpOnly; SameSite=Lax;") && cookie.ends_with("; Secure"), "{cookie}");
    let session = server.client.clone().with_header("cookie", cookie.split(';').next().unwrap());
    session.get("/messages?status=failed").await.expect(200);
    session.get("/api/messages").await.expect(401);
    // Any server knows it.
    let other = another_on(&server).await.with_header("cookie", cookie.split(';').next().unwrap());
    other.get("/messages").await.expect(200);
    // A form of a page, and a region that is kept up to date, are told without leading away.
    let htmx = [("hx-request", "true"), ("sec-fetch-site", "same-origin")];
    let told = server.client.send(Method::POST, "/segments", &htmx, Bytes::new()).await.expect(401);
    assert_eq!(told.header("hx-redirect"), "");

    let id = server.value("select id::text from api_keys").await;
    create_key(&server, 2).await;
    submit(&session, &format!("/keys/{id}/revoke"), "").await.expect(303);
    session.get("/messages").await.expect(303);
}

#[tokio::test]
async fn the_first_key_is_shown_once_and_logs_its_maker_in() {
    let server = server().await;
    let made = make(&server.client, "name=me").await.expect(200);
    let text = made.text();
    let (_, secret) = text.split_once("id=\"made\" tabindex=\"0\">").unwrap();
    let secret = secret.split('<').next().unwrap();
    server.client.get("/api/messages").await.expect(401);
    let cookie = made.header("set-cookie").split(';').next().unwrap().to_owned();
    let keys = server.client.clone().with_header("cookie", &cookie).get("/keys").await.expect(200).text();
    assert!(keys.contains("(you)") && !keys.contains(secret), "{keys}");
    let bearer = format!("Bearer {secret}");
    server.client.clone().with_header("authorization", &bearer).get("/api/messages").await.expect(200);
}

#[tokio::test]
async fn the_same_reply_sent_twice_is_one_message() {
    let server = server().await;
    let sent = server.send_sms("+12025550100", "+12025550199", "Hello").await;
    let conversation = sent["conversation_id"].as_str().unwrap();
    let path = format!("/conversations/{conversation}/reply");
    let form = "key=019a2f7e-3c41-70a4-8000-3f1c52d0a7b1&body=Line+one%0D%0Aline+two";
    submit(&server.client, &path, form).await.expect(303);
    submit(&server.client, &path, form).await.expect(303);
    let list =
        server.client.get(&format!("/api/conversations/{conversation}/messages")).await.expect(200).json();
    assert_eq!(list["messages"].as_array().unwrap().len(), 2);
    assert_eq!(list["messages"][1]["body"], "Line one\nline two");
}

#[tokio::test]
async fn a_reply_that_is_refused_comes_back_with_its_text_and_what_is_wrong() {
    let server = server().await;
    let sent = server.send_sms("+12025550100", "+12025550199", "Hello").await;
    let path = format!("/conversations/{}/reply", sent["conversation_id"].as_str().unwrap());
    let long = "x".repeat(1601);
    let headers = [("content-type", FORM), ("sec-fetch-site", "same-origin"), ("hx-request", "true")];
    let answer = server.client.send(Method::POST, &path, &headers, Bytes::from(format!("body={long}"))).await;
    let text = answer.expect(422).text();
    assert!(text.contains(&long) && text.contains("1601 characters; 1600 are taken at most"), "{text}");
}

#[tokio::test]
async fn an_inbox_counts_what_nobody_has_read() {
    let server = server().await;
    let mut conversation = String::new();
    for number in 0..3 {
        let inbound =
            json!({"from": "+12025550199", "to": "+12025550100", "body": "Hi", "x_id": number.to_string()});
        let received = server.client.post("/api/webhooks/sms", &inbound).await.expect(200).json();
        let message = server.client.get(&format!("/api/messages/{}", received["id"].as_str().unwrap())).await;
        conversation = message.json()["conversation_id"].as_str().unwrap().to_owned();
    }
    let three = "3<span class=\"quiet-label\"> unread</span>";
    assert!(page(&server, "/").await.contains(three));
    page(&server, &format!("/conversations/{conversation}")).await;
    assert!(page(&server, "/").await.contains(three), "a tab that nobody has looked at reads nothing");
    let mut looked_at = server.client.stream(&format!("/live/conversations/{conversation}")).await;
    looked_at.says("hx-target=\"#inbox\"").await;
    assert!(!page(&server, "/").await.contains("unread</span>"));
    let reads = "select xmin::text || xmax::text from conversation_reads";
    let written = server.value(reads).await;
    let reply = json!({"body": "Hi yourself"});
    let path = format!("/api/conversations/{conversation}/messages");
    server.client.post(&path, &reply).await.expect(202);
    looked_at.says("Hi yourself").await;
    assert_eq!(server.value(reads).await, written, "nothing is written where nothing new is read");
}

#[tokio::test]
async fn a_new_message_is_accepted_once_and_a_wrong_one_comes_back() {
    let server = server().await;
    let form = "key=019a2f7e-3c41-70a4-8000-3f1c52d0a7b2&by=email&from=shop%40example.com&to=ann%40example.net\
                &subject=&body=Hello";
    let first = submit(&server.client, "/new", form).await.expect(303);
    let again = submit(&server.client, "/new", form).await.expect(303);
    assert_eq!(first.header("location"), again.header("location"));
    assert!(page(&server, first.header("location")).await.contains("ann@example.net"));
    assert_eq!(server.count("messages").await, 1);
    let like = first.header("location").strip_prefix("/messages/").unwrap();
    let same = page(&server, &format!("/new?like={like}")).await;
    assert!(same.contains("value=\"ann@example.net\"") && same.contains(">Hello</textarea>"), "{same}");
    assert!(page(&server, "/new?by=email").await.contains("value=\"shop@example.com\""), "the usual sender");
    let wrong = submit(&server.client, "/new", "key=k&by=sms&from=%2B12025550100&to=nobody&body=Hi").await;
    let wrong = wrong.expect(200).text();
    assert!(wrong.contains("role=\"alert\">To ") && wrong.contains("value=\"nobody\""), "{wrong}");
    submit(&server.client, "/new", "by=fax").await.expect(400);
}

#[tokio::test]
async fn who_looks_with_a_browser_is_answered_with_a_page() {
    let server = server().await;
    let browser = [("accept", "text/html,application/xhtml+xml")];
    let missing = server.client.send(Method::GET, "/nope", &browser, Bytes::new()).await.expect(404);
    assert_eq!(missing.header("content-type"), "text/html; charset=utf-8");
    assert!(missing.header("content-security-policy").starts_with("default-src 'none'"));
    assert_eq!(
        server.client.get("/nope").await.expect(404).header("content-type"),
        "application/problem+json"
    );
}

#[tokio::test]
async fn a_region_is_streamed_whole_as_it_changes_and_ends_with_the_server() {
    let server = server().await;
    let sent = server.send_sms("+12025550100", "+12025550199", "Hello").await;
    let id = sent["id"].as_str().unwrap();
    let mut stream = server.client.stream(&format!("/live/messages/{id}")).await;
    stream.says("data: <p class=\"answer\">").await;
    submit(&server.client, &format!("/messages/{id}/cancel"), "").await.expect(303);
    stream.says("canceled").await;
    server.stop().await.unwrap();
    let all = stream.ends().await;
    let events = all.split("\n\n").filter(|event| event.starts_with("data: "));
    let mut whole = events.filter(|event| !event.trim().is_empty());
    assert!(
        whole.all(|event| event.starts_with("data: <p class=\"answer\">")),
        "each is the whole region: {all}"
    );
}

#[tokio::test]
async fn a_stream_that_can_show_nothing_ends_and_a_new_one_is_told_why() {
    let server = server().await;
    let sent = server.send_sms("+12025550100", "+12025550199", "Hello").await;
    let path = format!("/live/messages/{}", sent["id"].as_str().unwrap());
    let mut stream = server.client.stream(&path).await;
    stream.says("class=\"answer\"").await;
    server.execute("alter table messages rename to messages_away").await;
    stream.ends().await;
    server.client.get(&path).await.expect(500);
    server.execute("alter table messages_away rename to messages").await;
    server.client.stream(&path).await.says("class=\"answer\"").await;
    server.client.get("/live/messages/00000000-0000-7000-8000-000000000000").await.expect(404);
}

#[tokio::test]
async fn a_stream_ends_with_its_session() {
    let server = server().await;
    let key = create_key(&server, 1).await;
    let login = until("a key is needed", async || {
        let answer = submit(&server.client, "/login", &format!("key={key}")).await;
        (!answer.header("set-cookie").is_empty()).then_some(answer)
    })
    .await;
    let cookie = login.header("set-cookie").split(';').next().unwrap().to_owned();
    let session = server.client.clone().with_header("cookie", &cookie);
    let mut stream = session.stream("/live/inbox").await;
    stream.says("data: ").await;
    create_key(&server, 2).await;
    let id = server.value("select id::text from api_keys order by id limit 1").await;
    server.execute(&format!("update api_keys set revoked_at = now() where id = '{id}'")).await;
    stream.ends().await;
    let htmx = [("hx-request", "true")];
    session.send(Method::GET, "/live/inbox", &htmx, Bytes::new()).await.expect(401);
}
