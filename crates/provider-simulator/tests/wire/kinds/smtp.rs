//! SMTP.

use provider_simulator::{DEMO_SMTP_PASSWORD, DEMO_SMTP_USER};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::start;
use crate::rig::{MESSAGE_ID, Rig, Target, in_time};

struct Peer {
    stream: BufReader<TcpStream>,
    _ends_with_the_test: DropGuard,
}

impl Peer {
    /// A session that was greeted.
    async fn connect(rig: &Rig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        tokio::spawn({
            let (simulator, shutdown) = (rig.simulator.clone(), shutdown.clone());
            async move { simulator.serve_smtp(listener, shutdown).await }
        });
        let stream = BufReader::new(TcpStream::connect(address).await.unwrap());
        let mut peer = Self { stream, _ends_with_the_test: shutdown.drop_guard() };
        assert!(peer.reply().await.starts_with("220 "));
        assert!(peer.ask("EHLO client.example.com").await.contains("AUTH PLAIN"));
        peer
    }

    async fn log_in(rig: &Rig, password: &str) -> (Self, String) {
        use base64::Engine as _;
        let mut peer = Self::connect(rig).await;
        let plain = format!("\0{DEMO_SMTP_USER}\0{password}");
        let plain = base64::engine::general_purpose::STANDARD.encode(plain);
        let reply = peer.ask(&format!("AUTH PLAIN {plain}")).await;
        (peer, reply)
    }

    async fn say(&mut self, line: &str) {
        self.stream.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
    }

    /// All lines of a reply; what came of it where the connection ended.
    async fn reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let mut line = String::new();
            let read = in_time(self.stream.read_line(&mut line)).await.unwrap_or(0);
            reply.push_str(&line);
            if read == 0 || line.as_bytes().get(3) != Some(&b'-') {
                return reply;
            }
        }
    }

    async fn ask(&mut self, line: &str) -> String {
        self.say(line).await;
        self.reply().await
    }

    /// The reply to the final dot.
    async fn send(&mut self, to: &[&str]) -> String {
        let from = format!("MAIL FROM:<bounces@example.com> SIZE=200 ENVID={MESSAGE_ID}:2");
        assert!(self.ask(&from).await.starts_with("250 "));
        for to in to {
            assert!(self.ask(&format!("RCPT TO:<{to}>")).await.starts_with("250 "));
        }
        assert!(self.ask("DATA").await.starts_with("354 "));
        self.say("From: App <app@example.com>\r\nTo: ann@example.net\r\nSubject: Hi").await;
        self.say(&format!("Message-ID: <{MESSAGE_ID}@example.com>\r\n\r\nHello\r\n..dots")).await;
        self.ask(".").await
    }
}

#[tokio::test]
async fn a_mail_is_accepted_and_comes_back_in_the_ledger() {
    let (rig, _target, _) = start("smtp").await;
    let (mut peer, reply) = Peer::log_in(&rig, DEMO_SMTP_PASSWORD).await;
    assert!(reply.starts_with("235 "), "{reply}");
    for _ in 0..2 {
        let reply = peer.send(&["ann@example.net", "bob@example.net"]).await;
        assert!(reply.starts_with("250 2.0.0"), "{reply}");
        let id = reply.trim_end().rsplit(' ').next().unwrap().to_owned();
        let entry = rig.entry().await;
        super::assert_entry(&entry, "smtp", "bob@example.net", &json!(id));
        assert_eq!((&entry["body"], &entry["from"]), (&json!("Hello\r\n.dots"), &json!("app@example.com")));
    }
    assert_eq!(rig.simulator.summary().count, 4);
    assert!(peer.ask("QUIT").await.starts_with("221 "));
}

#[tokio::test]
async fn wrong_passwords_and_missing_ones_are_refused() {
    let (rig, _target, _) = start("smtp").await;
    let (mut peer, reply) = Peer::log_in(&rig, "wrong").await;
    assert!(reply.starts_with("535 5.7.8"), "{reply}");
    assert!(peer.ask("MAIL FROM:<app@example.com>").await.starts_with("530 "));
    assert!(peer.ask("DATA").await.starts_with("503 "));
    assert!(peer.ask("VRFY ann").await.starts_with("502 "));
    assert!(peer.ask("AUTH LOGIN").await.starts_with("334 "));
    assert!(peer.ask("c2ltdWxhdG9y").await.starts_with("334 "));
    assert!(peer.ask("c2ltdWxhdG9yLXBhc3N3b3Jk").await.starts_with("235 "));
    assert!(peer.ask("MAIL FROM:<app@example.com>").await.starts_with("250 "));
    assert!(peer.ask("RCPT TO:<nobody>").await.starts_with("501 "));
}

#[tokio::test]
async fn faults_are_replies() {
    let (rig, _target, _) = start("smtp").await;
    let to = ["ann@example.net"];
    for (fault, expected) in [
        (json!({ "type": "status", "status": 550, "code": "5.1.1" }), "550 5.1.1 "),
        (json!({ "type": "throttle" }), "450 4.7.0 "),
        (json!({ "type": "status", "status": 503 }), "421 4.3.2 "),
        (json!({ "type": "reset" }), ""),
        (json!({ "type": "truncated" }), "25"),
        (json!({ "type": "accept_then_reset" }), ""),
        (json!({ "type": "slow_body", "for_s": 0.01 }), "250 2.0.0 "),
    ] {
        rig.fault(fault.clone(), json!({ "kind": "smtp" })).await;
        let (mut peer, _) = Peer::log_in(&rig, DEMO_SMTP_PASSWORD).await;
        let reply = peer.send(&to).await;
        assert!(reply.starts_with(expected) && reply.is_empty() == expected.is_empty(), "{fault}: {reply}");
        rig.simulator.clear_faults();
    }
    assert_eq!(rig.simulator.summary().count, 3);
    let (mut peer, _) = Peer::log_in(&rig, DEMO_SMTP_PASSWORD).await;
    assert!(peer.send(&["fault-503@example.net"]).await.starts_with("421 "));
    // 421 closes the connection.
    assert_eq!(peer.stream.read(&mut [0; 8]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_bounce_and_an_inbound_mail_are_posted_as_their_source() {
    let (rig, mut target, _) = start("smtp").await;
    let (mut peer, _) = Peer::log_in(&rig, DEMO_SMTP_PASSWORD).await;
    peer.send(&["fault-undelivered@example.net"]).await;
    let source = next(&mut target, "bounces%40example.com").await;
    for part in [
        "multipart/report; report-type=delivery-status",
        &format!("Original-Envelope-Id: {MESSAGE_ID}:2\r\n"),
        "Final-Recipient: rfc822; fault-undelivered@example.net\r\nAction: failed\r\nStatus: 5.1.1\r\n",
        &format!("Message-ID: <{MESSAGE_ID}@example.com>\r\n"),
    ] {
        assert!(source.contains(part), "{part}\n{source}");
    }
    let request = json!({ "kind": "smtp", "from": "bob@example.net", "to": "app@example.com", "subject": "x", "body": "y" });
    rig.inbound(request).await;
    assert!(next(&mut target, "app%40example.com").await.contains("From: bob@example.net\r\n"));
}

async fn next(target: &mut Target, to: &str) -> String {
    let hook = target.next().await;
    assert!(hook.url.ends_with(&format!("&to={to}")), "{}", hook.url);
    assert_eq!(hook.header("content-type"), "message/rfc822");
    String::from_utf8(hook.body.to_vec()).unwrap()
}
