//! An email all the way: from the outbox to a mail server, and what its reply does to the message.

use std::net::Ipv4Addr;

use model::{Delivery, NewMessage, Status};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use super::stage::{Stage, settled, step};

/// Answers one mail by its last reply, and gives back all that it heard.
async fn one_mail(last_reply: &'static str) -> (u16, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 mail.example.com\r\n").await.unwrap();
        let (mut heard, mut in_mail) = (String::new(), false);
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            heard.push_str(&line);
            let reply = match (in_mail, line.as_str()) {
                (true, ".\r\n") => last_reply,
                (true, _) => continue,
                (false, "DATA\r\n") => "354 go",
                (false, _) => "250 Ok",
            };
            in_mail = reply.starts_with("354");
            stream.write_all(format!("{reply}\r\n").as_bytes()).await.unwrap();
            if reply == last_reply {
                return heard;
            }
        }
    });
    (port, server)
}

async fn sent(last_reply: &'static str) -> (model::Message, String) {
    let (port, server) = one_mail(last_reply).await;
    let stage = Stage::new().await;
    let message = NewMessage {
        body: "Gr\u{fc}\u{df}e".to_owned(),
        ..stage.fixtures.email("app@example.com", "ann@example.net")
    };
    let message = stage.accept_on("email", message).await;
    let processor = stage.processor(&format!(
        "[[providers]]\nid = \"m\"\nkind = \"smtp\"\nbase_url = \"smtp://127.0.0.1:{port}\"\nsecurity = \"none\"\n"
    ));
    step(&processor).await;
    settled(&processor).await;
    (stage.find(message.id).await, server.await.unwrap())
}

#[tokio::test]
async fn an_email_is_submitted_and_settled() {
    let (message, heard) = sent("250 2.0.0 Ok: queued as 4XyZ12").await;
    assert_eq!((message.status, message.delivery), (Status::Ok, Delivery::Pending));
    assert_eq!(message.provider_message_id.as_deref(), Some("4XyZ12"));
    assert!(heard.contains(&format!("Message-ID: <{}@", message.id)), "{heard}");
}

#[tokio::test]
async fn an_email_that_the_server_refuses_fails_with_its_code() {
    let (message, _) = sent("554 5.7.1 Message rejected: spam").await;
    assert_eq!(message.status, Status::Failed);
    let payload = message.status_payload.unwrap();
    assert_eq!(payload.code, "content_rejected");
    assert_eq!(payload.provider_code.as_deref(), Some("5.7.1"));
}
