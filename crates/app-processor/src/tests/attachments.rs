//! Email with attachments: what is fetched, what becomes a link, and what may not be fetched at all.

use app_db::media::NewFile;
use app_db::receive::{Inbound, receive};
use model::{Delivery, Direction, Message, NewMessage, Status};
use serde_json::{Value, json};

use super::file_host::FileHost;
use super::provider::TestProvider;
use super::stage::{Stage, settled, step};

const PRIVATE: &str = "[attachments]\nallow_private = true\n";
const FAIL: &str = "[attachments]\nallow_private = true\non_failure = \"fail\"\n";

struct Mailing {
    stage: Stage,
    provider: TestProvider,
}

impl Mailing {
    async fn new() -> Self {
        Self { stage: Stage::new().await, provider: TestProvider::start().await }
    }

    fn mail(&self, attachments: &[String]) -> NewMessage {
        let mail = self.stage.fixtures.email("app@example.com", "ann@example.net");
        NewMessage { attachments: attachments.to_vec(), ..mail }
    }

    fn config(&self, more: &str) -> String {
        let base_url = &self.provider.base_url;
        format!(
            "{more}\n[[providers]]\nid = \"p\"\nkind = \"sendgrid\"\nbase_url = \"{base_url}\"\napi_key = \"SG.x\"\n"
        )
    }

    /// What the provider is asked to send.
    async fn send(&mut self, more: &str, attachments: &[String]) -> Value {
        let message = self.stage.accept_on("email", self.mail(attachments)).await;
        let processor = self.stage.processor(&self.config(more));
        step(&processor).await;
        let call = self.provider.call().await;
        let body = serde_json::from_str(&call.body).unwrap();
        call.answer(202, "x-message-id: x\r\n", "").await;
        settled(&processor).await;
        assert_eq!(self.stage.find(message.id).await.status, Status::Ok);
        body
    }

    /// The message, of which the provider does not hear.
    async fn fail(&mut self, more: &str, attachments: &[String]) -> Message {
        let message = self.stage.accept_on("email", self.mail(attachments)).await;
        let processor = self.stage.processor(&self.config(more));
        step(&processor).await;
        settled(&processor).await;
        assert!(self.provider.has_no_more_calls());
        self.stage.find(message.id).await
    }
}

/// Names and texts of the files.
fn files(body: &Value) -> Vec<(&str, &str)> {
    let files = body["attachments"].as_array().map_or(&[][..], Vec::as_slice);
    files.iter().map(|file| (file["filename"].as_str().unwrap(), file["content"].as_str().unwrap())).collect()
}

fn text(body: &Value) -> &str {
    body["content"][0]["value"].as_str().unwrap()
}

#[tokio::test]
async fn what_can_be_had_is_a_file_and_what_cannot_is_a_link() {
    let disposition = "200 OK\r\ncontent-type: Text/Plain; charset=utf-8\r\n\
                       content-disposition: attachment; filename*=UTF-8''Gr%C3%BC%C3%9Fe.txt";
    let host = FileHost::start(&[
        ("/1", disposition, "one"),
        ("/2", "404 Not Found", "gone"),
        ("/path/three.bin?x=1", "200 OK", "three"),
        ("/4", "200 OK\r\ncontent-encoding: gzip", "four"),
        ("/5", "301 Moved\r\nlocation: /6", ""),
        ("/6", "200 OK", "five"),
    ])
    .await;
    let mut mailing = Mailing::new().await;
    let urls = ["/1", "/2", "/path/three.bin?x=1", "/4", "/5"].map(|path| host.url(path));
    let body = mailing.send(PRIVATE, &urls).await;
    assert_eq!(
        body["attachments"],
        json!([
            { "filename": "Gr\u{fc}\u{df}e.txt", "type": "text/plain", "content": "b25l", "disposition": "attachment" },
            {
                "filename": "three.bin", "type": "application/octet-stream", "content": "dGhyZWU=",
                "disposition": "attachment",
            },
            { "filename": "6", "type": "application/octet-stream", "content": "Zml2ZQ==", "disposition": "attachment" },
        ])
    );
    assert_eq!(text(&body), format!("Hello\n\n{}\n{}", urls[1], urls[3]));
}

#[tokio::test]
async fn nothing_is_fetched_from_addresses_that_are_not_public() {
    let host = FileHost::start(&[("/a", "200 OK", "secret")]).await;
    let mut mailing = Mailing::new().await;
    let port = host.port;
    let urls =
        ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "user@localhost"]
            .map(|name| format!("http://{name}:{port}/a"));
    let body = mailing.send("", &urls).await;
    assert_eq!(files(&body), []);
    assert_eq!(text(&body), format!("Hello\n\n{}", urls.join("\n")));
    assert_eq!(host.asked(), 0);
}

#[tokio::test]
async fn an_address_that_is_not_public_is_told_from_one_that_cannot_be_reached() {
    let mut mailing = Mailing::new().await;
    let fail = "[attachments]\non_failure = \"fail\"\n";
    for name in ["127.0.0.1", "localhost"] {
        let failed = mailing.fail(fail, &[format!("http://{name}:9/a")]).await;
        assert_eq!(failed.status, Status::Failed, "{name}");
        let detail = failed.status_payload.unwrap().detail.unwrap();
        assert!(detail.contains("is not public"), "{detail}");
    }
}

#[tokio::test]
async fn nothing_is_fetched_where_that_is_switched_off() {
    let host = FileHost::start(&[("/a", "200 OK", "a")]).await;
    let mut mailing = Mailing::new().await;
    let off = "[attachments]\nfetch = false\nallow_private = true\n";
    let body = mailing.send(off, &[host.url("/a")]).await;
    assert_eq!((files(&body), host.asked()), (vec![], 0));
}

#[tokio::test]
async fn redirects_are_followed_three_times_and_not_everywhere() {
    let host = FileHost::start(&[
        ("/4", "302 Found\r\nlocation: /3", ""),
        ("/3", "307 Redirect\r\nlocation: /2", ""),
        ("/2", "308 Redirect\r\nlocation: /1", ""),
        ("/1", "303 See Other\r\nlocation: /0", ""),
        ("/0", "200 OK", "a"),
        ("/file", "302 Found\r\nlocation: file:///etc/passwd", ""),
        ("/nowhere", "302 Found", ""),
    ])
    .await;
    let mut mailing = Mailing::new().await;
    let body = mailing.send(PRIVATE, &["/3", "/4", "/file", "/nowhere"].map(|path| host.url(path))).await;
    assert_eq!(files(&body), [("0", "YQ==")]);
}

#[tokio::test]
async fn limits_hold_for_each_file_and_for_all() {
    let host = FileHost::start(&[
        ("/10", "200 OK", "0123456789"),
        ("/8", "200 OK", "01234567"),
        ("/7", "200 OK", "0123456"),
        ("/2", "200 OK", "01"),
        // Its length is not announced.
        ("/chunks", "200 OK\r\ntransfer-encoding: chunked", "9\r\n012345678\r\n0\r\n\r\n"),
    ])
    .await;
    let mut mailing = Mailing::new().await;
    let limits = "[attachments]\nallow_private = true\nbytes_max = 8\ntotal_bytes_max = 10\n";
    let urls = ["/10", "/8", "/7", "/2", "/2", "/chunks"].map(|path| host.url(path));
    let body = mailing.send(limits, &urls).await;
    assert_eq!(files(&body).iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["8", "2"]);
}

#[tokio::test]
async fn what_takes_too_long_is_a_link() {
    let host = FileHost::start(&[("/a", "200 OK", "a")]).await;
    let mut mailing = Mailing::new().await;
    let hurry = "[attachments]\nallow_private = true\ntimeout_s = 0.5\n";
    let body = mailing.send(hurry, &[host.url("/never"), host.url("/a")]).await;
    assert_eq!(files(&body), [("a", "YQ==")]);
}

#[tokio::test]
async fn a_message_fails_without_its_file_where_that_is_configured() {
    let host = FileHost::start(&[("/a", "404 Not Found", "")]).await;
    let mut mailing = Mailing::new().await;
    let failed = mailing.fail(FAIL, &[host.url("/a")]).await;
    assert_eq!((failed.status, failed.delivery, failed.attempt), (Status::Failed, Delivery::None, 1));
    let payload = failed.status_payload.unwrap();
    assert_eq!(payload.code, "content_rejected");
    assert_eq!(payload.detail.as_deref(), Some("attachment 1 cannot be fetched: HTTP 404"));
}

#[tokio::test]
async fn a_message_waits_for_a_file_that_may_be_had_later_where_it_needs_it() {
    let host = FileHost::start(&[("/a", "503 Unavailable", "")]).await;
    let mut mailing = Mailing::new().await;
    let waiting = mailing.fail(FAIL, &[host.url("/a")]).await;
    assert_eq!((waiting.status, waiting.delivery, waiting.attempt), (Status::Retry, Delivery::None, 1));
    assert_eq!(waiting.status_payload.unwrap().code, "unavailable");
    let slow = format!("{FAIL}timeout_s = 0.2\n");
    let waiting = mailing.fail(&slow, &[host.url("/never")]).await;
    assert_eq!((waiting.status, waiting.delivery), (Status::Retry, Delivery::None));
    let events = mailing.stage.event_kinds(waiting.id).await;
    assert_eq!(events, ["retrying"], "it is never an unknown outcome");
}

#[tokio::test]
async fn a_message_that_another_took_during_the_fetch_is_not_sent() {
    let host = FileHost::start(&[("/a", "200 OK", "a")]).await;
    let mut mailing = Mailing::new().await;
    let slow = format!("{PRIVATE}timeout_s = 1\n");
    let message = mailing.stage.accept_on("email", mailing.mail(&[host.url("/never")])).await;
    let processor = mailing.stage.processor(&mailing.config(&slow));
    step(&processor).await;
    let another = mailing.stage.owner;
    mailing
        .stage
        .execute(&format!(
            "update outbox set lease_no = lease_no + 1, leased_by = '{another}' where message_id = '{}'",
            message.id
        ))
        .await;
    processor.extend_leases().await.unwrap();
    settled(&processor).await;
    assert!(mailing.provider.has_no_more_calls());
    let row = mailing.stage.row(message.id).await.unwrap();
    assert_eq!((row.leased_by, row.lease_no), (Some(another), 2));
}

#[tokio::test]
async fn a_file_of_ours_is_read_from_the_database() {
    let mut mailing = Mailing::new().await;
    let fixtures = &mailing.stage.fixtures;
    let message = fixtures.email("ann@example.net", "app@example.com");
    let file = NewFile {
        id: fixtures.ids.next(fixtures.now, message.participants.bucket()),
        filename: "a.txt".to_owned(),
        content_type: "text/plain".to_owned(),
        bytes: b"a".to_vec(),
    };
    let url = |id: &dyn std::fmt::Display| format!("http://127.0.0.1:8080/api/media/{id}");
    let urls = [url(&file.id), url(&message.id)];
    let inbound = Inbound {
        message: NewMessage { direction: Direction::Inbound, ..message },
        provider_id: "p".to_owned(),
        provider_message_id: "1".to_owned(),
        files: vec![file],
    };
    receive(mailing.stage.pool(), &fixtures.ids, fixtures.now, &[inbound]).await.remove(0).unwrap();
    let body = mailing.send("", &urls).await;
    assert_eq!(files(&body), [("a.txt", "YQ==")]);
    assert_eq!(text(&body), format!("Hello\n\n{}", urls[1]));
}

#[tokio::test]
async fn an_answer_names_what_it_answers() {
    let mut mailing = Mailing::new().await;
    let first = mailing.send("", &[]).await;
    assert_eq!(first["headers"]["In-Reply-To"], Value::Null);
    let fixtures = &mailing.stage.fixtures;
    let mail = |id: &str| Inbound {
        message: NewMessage {
            direction: Direction::Inbound,
            ..fixtures.email("ann@example.net", "app@example.com")
        },
        provider_id: "p".to_owned(),
        provider_message_id: id.to_owned(),
        files: Vec::new(),
    };
    // To a bcc, and one without a Message-ID.
    for inbound in [mail("1@example.net/0123456789abcdef"), mail("sha256:00")] {
        receive(mailing.stage.pool(), &fixtures.ids, fixtures.now, &[inbound]).await.remove(0).unwrap();
    }
    let answer = mailing.send("", &[]).await;
    let first_id = first["headers"]["Message-ID"].as_str().unwrap();
    assert_eq!(answer["headers"]["In-Reply-To"], "<1@example.net>");
    assert_eq!(answer["headers"]["References"], format!("{first_id} <1@example.net>"));
    let another = mailing.send("", &[]).await;
    assert_eq!(another["headers"]["References"], answer["headers"]["References"]);
}
