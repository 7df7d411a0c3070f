//! What strangers' mails and messages may hold: nested without end, markup without end, more files than anybody sends.

use std::time::Instant;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use service::Clock;
use testkit::Answer;

use crate::server::{CONFIG, PUBLIC_URL, Server, server_with};
use crate::webhooks::{SID, TWILIO, inbound_sms, post_twilio};

const HEADER: &str =
    "From: ann@example.net\r\nTo: app@example.com\r\nSubject: Hi\r\nMessage-ID: <1@example.net>\r\n";
const LISTED: usize = 20;
const FILES: usize = 500;

async fn server_with_a_pipe() -> Server {
    let pipe = "[[providers]]\nid = \"pipe\"\nkind = \"smtp\"\nbase_url = \"smtp://127.0.0.1:9\"\nverify = false\n\
                security = \"none\"\n";
    server_with(&format!("{CONFIG}\n{pipe}"), "127.0.0.1:0", Clock::System).await
}

async fn pipe(server: &Server, mail: String) -> Answer {
    let headers = [("content-type", "message/rfc822")];
    server.client.send(Method::POST, "/api/webhooks/pipe", &headers, Bytes::from(mail)).await
}

async fn only_listed(server: &Server) -> Value {
    let list = server.client.get("/api/messages").await.expect(200).json();
    assert_eq!(list["messages"].as_array().unwrap().len(), 1, "{list}");
    list["messages"][0].clone()
}

async fn shown(server: &Server, listed: &Value) -> Value {
    server.client.get(&format!("/api/messages/{}", listed["id"].as_str().unwrap())).await.expect(200).json()
}

#[tokio::test]
async fn a_mail_that_is_nested_too_deeply_is_kept_whole_and_shown_as_such() {
    let server = server_with_a_pipe().await;
    let mail = format!("{HEADER}{}\r\nHello", "Content-Type: message/rfc822\r\n\r\n".repeat(32_700));
    pipe(&server, mail.clone()).await.expect(200);
    let listed = only_listed(&server).await;
    assert!(listed["body"].as_str().unwrap().starts_with("This mail is nested too deeply"), "{listed}");
    assert_eq!((&listed["from"], &listed["subject"]), (&json!("ann@example.net"), &json!("Hi")));
    let link = listed["attachments"][0].as_str().unwrap();
    let file = server.client.get(link.strip_prefix(PUBLIC_URL).unwrap()).await.expect(200);
    assert_eq!(file.text(), mail);
    server.client.get("/healthz").await.expect(200);
}

#[tokio::test]
async fn of_a_hundred_thousand_files_a_message_has_five_hundred_and_a_list_shows_twenty() {
    let server = server_with_a_pipe().await;
    let mut mail = format!("{HEADER}Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nHello\r\n");
    for _ in 0..100_000 {
        mail.push_str("--b\r\nContent-Disposition: attachment\r\n\r\nx\r\n");
    }
    mail.push_str("--b--");
    let began = Instant::now();
    pipe(&server, mail.clone()).await.expect(200);
    println!("answered after {:?}", began.elapsed());
    assert_eq!(server.count("media").await, i64::try_from(FILES).unwrap());

    let listed = only_listed(&server).await;
    assert_eq!(listed["attachments"].as_array().unwrap().len(), LISTED);
    assert_eq!(listed["attachments_total"], json!(FILES));
    let message = shown(&server, &listed).await;
    assert_eq!(message["metadata"], json!({ "omitted_files": (100_000 - (FILES - 1)).to_string() }));
    let attachments = message["attachments"].as_array().unwrap();
    assert_eq!((attachments.len(), &message["attachments_total"]), (FILES, &Value::Null));
    let source = attachments.last().unwrap().as_str().unwrap().strip_prefix(PUBLIC_URL).unwrap();
    assert_eq!(server.client.get(source).await.expect(200).text(), mail);

    let conversation = message["conversation_id"].as_str().unwrap();
    let path = format!("/api/conversations/{conversation}/messages");
    let list = server.client.get(&path).await.expect(200).json();
    assert_eq!(list["messages"][0]["attachments"].as_array().unwrap().len(), LISTED);
    let page = server.client.get(&format!("/conversations/{conversation}")).await.expect(200).text();
    assert_eq!(page.matches("href=\"/media/").count(), LISTED);
    assert!(page.contains("All 500 attachments"), "{page}");
    let page = server.client.get(&format!("/messages/{}", listed["id"].as_str().unwrap())).await.expect(200);
    assert_eq!(page.text().matches("href=\"/media/").count(), FILES);
}

#[tokio::test]
async fn links_beyond_the_bound_stay_in_the_webhook_that_is_kept_as_a_file() {
    let server = server_with(CONFIG, "127.0.0.1:0", Clock::System).await;
    let mut form = inbound_sms(SID);
    form.retain(|(name, _)| name != "NumMedia");
    form.push(("NumMedia".to_owned(), "1000000".to_owned()));
    form.extend((0..600).map(|n| (format!("MediaUrl{n}"), format!("https://example.net/{n}"))));
    post_twilio(&server, TWILIO, &format!("{PUBLIC_URL}{TWILIO}"), &form).await.expect(200);
    let message = shown(&server, &only_listed(&server).await).await;
    let attachments = message["attachments"].as_array().unwrap();
    assert_eq!((attachments.len(), &message["metadata"]["omitted_files"]), (FILES, &json!("101")));
    let source = attachments.last().unwrap().as_str().unwrap().strip_prefix(PUBLIC_URL).unwrap();
    assert!(server.client.get(source).await.expect(200).text().contains("MediaUrl599="));
}

#[tokio::test]
async fn markup_that_cannot_be_cleaned_is_shown_as_text() {
    let server = server_with_a_pipe().await;
    for (n, body) in ["<div>".repeat(100_000), "<b>".repeat(100_000)].iter().enumerate() {
        let header = HEADER.replace("<1@", &format!("<{n}@"));
        let mail = format!("{header}Content-Type: text/html\r\n\r\n<p>Hello you{body}");
        pipe(&server, mail).await.expect(200);
        let list = server.client.get("/api/messages").await.expect(200).json();
        let id = list["messages"][0]["id"].as_str().unwrap();
        let began = Instant::now();
        let shown = server.client.get(&format!("/messages/{id}/html")).await.expect(200).text();
        println!("{:?} for {}", began.elapsed(), &body[..5]);
        assert!(shown.contains("This is its text") && shown.contains("Hello you"), "{}", &shown[..400]);
        assert!(!shown.contains("<div>") && !shown.contains("<b>"), "{}", &shown[..400]);
    }
}
