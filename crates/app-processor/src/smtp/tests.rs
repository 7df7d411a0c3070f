//! Every way that a dialogue can go, against a mail server that keeps to a script.

mod server;

use bytes::Bytes;
use providers::{SmtpSecurity, SmtpServer};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use self::server::Server;
use self::server::Step::{self, Hang, Hear, HearBytes, HearMail, Reset, Say, Tls};
use super::*;

const GREET: [Step; 3] =
    [Say("220 mail.example.com ESMTP"), Hear("EHLO [127.0.0.1]"), Say("250 mail.example.com")];
const TO_DATA: [Step; 6] = [
    Hear("MAIL FROM:<app@example.com>\r\n"),
    Say("250 2.1.0 Ok"),
    Hear("RCPT TO:<ann@example.net>\r\n"),
    Say("250 2.1.5 Ok"),
    Hear("DATA"),
    Say("354 End data with <CR><LF>.<CR><LF>"),
];
const TAKE: [Step; 2] = [HearMail, Say("250 2.0.0 Ok: queued as 4XyZ12")];

fn client() -> SmtpClient {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(include_bytes!("tests/tls/authority.pem")).unwrap();
    roots.add(authority).unwrap();
    SmtpClient {
        pool: Arc::new(Pool::new(2)),
        connector: Connector::with_roots(roots),
        connect_timeout: Duration::from_secs(5),
        timeout: Duration::from_secs(20),
    }
}

fn submission(port: u16, security: SmtpSecurity) -> Submission {
    let host = "127.0.0.1".to_owned();
    let helo_name = "[127.0.0.1]".to_owned();
    Submission {
        server: SmtpServer { host, port, security, helo_name, credentials: None },
        from: "app@example.com".to_owned(),
        to: "ann@example.net".to_owned(),
        envelope_id: "0190f3a2-7b1c-70a7-8123-456789abcdef:1".to_owned(),
        mail: Bytes::from_static(b"Subject: Hi\r\n\r\n.\r\n..two\r\nbye\r\n"),
    }
}

fn authenticated(port: u16) -> Submission {
    let mut submission = submission(port, SmtpSecurity::None);
    submission.server.credentials = Some(("relay".to_owned(), "secret".into()));
    submission
}

/// One mail to a server of these scripts: what came of it, and what the server heard.
async fn one(scripts: Vec<Vec<Step>>) -> (Result<SmtpReply, Outcome>, Vec<String>) {
    let server = Server::start(scripts).await;
    let result = client().submit(&submission(server.port, SmtpSecurity::None)).await;
    (result, server.heard().await)
}

fn words(result: &Result<SmtpReply, Outcome>) -> String {
    match result {
        Ok(reply) => format!("{} {:?}", reply.code, reply.stage),
        Err(Outcome::Uncertain { reason, .. }) => format!("uncertain {reason}"),
        Err(outcome) => outcome.as_str().to_owned(),
    }
}

#[tokio::test]
async fn a_mail_is_submitted_with_its_dots_doubled() {
    let (result, heard) = one(vec![[&GREET[..], &TO_DATA, &TAKE].concat()]).await;
    let reply = result.unwrap();
    assert_eq!((reply.code, reply.stage), (250, SmtpStage::Data));
    assert_eq!(reply.text, "2.0.0 Ok: queued as 4XyZ12");
    assert_eq!(heard.last().unwrap(), "Subject: Hi\r\n\r\n..\r\n...two\r\nbye\r\n.\r\n");
}

#[tokio::test]
async fn extensions_are_used_where_they_are_offered() {
    let script = [
        Say("220-one\r\n220 two"),
        Hear("EHLO "),
        Say("250-mail.example.com\r\n250-SIZE 10000000\r\n250-8BITMIME\r\n250 dsn"),
        Hear("MAIL FROM:<app@example.com> SIZE=30 RET=HDRS ENVID=0190f3a2-7b1c-70a7-8123-456789abcdef:1\r\n"),
        Say("250 Ok"),
        Hear("RCPT TO:<ann@example.net> NOTIFY=FAILURE,DELAY\r\n"),
        Say("250 Ok"),
        Hear("DATA"),
        Say("354 go"),
        HearMail,
        Say("250 Ok"),
    ];
    assert_eq!(words(&one(vec![script.to_vec()]).await.0), "250 Data");
}

/// What is refused is refused at its stage, and before the last line nothing has happened.
#[tokio::test]
async fn each_end_before_the_last_line_is_told_apart() {
    let until = |count: usize, more: &[Step]| [&GREET[..], &TO_DATA[..count], more].concat();
    for (script, expected) in [
        (vec![Say("554 5.7.1 blocked")], "554 Connect"),
        (vec![Say("421 busy")], "421 Connect"),
        (vec![], "unreachable"),
        (vec![Say("HTTP/1.1 400 Bad Request")], "unreachable"),
        (vec![Say("220 x"), Hear("EHLO"), Say("502 what?")], "502 Connect"),
        (vec![Say("220 x"), Hear("EHLO"), Say("250-cut")], "unreachable"),
        (until(1, &[Say("550 5.7.1 no")]), "550 MailFrom"),
        (until(1, &[Say("421 4.3.2 closing")]), "421 MailFrom"),
        (until(1, &[Reset]), "unreachable"),
        (until(3, &[Say("550-5.1.1 no\r\n550 5.1.1 such user")]), "550 RcptTo"),
        (until(3, &[]), "unreachable"),
        (until(5, &[Say("554 no valid recipients")]), "554 Data"),
        (until(5, &[Say("250 odd")]), "unreachable"),
        (until(5, &[]), "unreachable"),
    ] {
        let said = format!("{script:?}");
        assert_eq!(words(&one(vec![script]).await.0), expected, "{said}");
    }
}

#[tokio::test]
async fn after_the_last_line_only_a_reply_tells() {
    let after = |more: &[Step]| [&GREET[..], &TO_DATA, &[HearMail], more].concat();
    for (script, expected) in [
        (after(&[Say("554 5.7.1 spam")]), "554 Data"),
        (after(&[Say("451 later")]), "451 Data"),
        (after(&[]), "uncertain connection_reset"),
        (after(&[Reset]), "uncertain connection_reset"),
        (after(&[Say("250-cut")]), "uncertain connection_reset"),
        (after(&[Say("odd")]), "uncertain unreadable_answer"),
    ] {
        let said = format!("{script:?}");
        assert_eq!(words(&one(vec![script]).await.0), expected, "{said}");
    }
}

#[tokio::test]
async fn a_time_out_counts_by_what_was_said() {
    for (script, expected) in [
        (vec![Hang], "unreachable"),
        ([&GREET[..], &TO_DATA[..5], &[Hang]].concat(), "unavailable"),
        ([&GREET[..], &TO_DATA, &[HearMail, Hang]].concat(), "uncertain timeout"),
    ] {
        let server = Server::start(vec![script]).await;
        let client = SmtpClient { timeout: Duration::from_millis(300), ..client() };
        let result = client.submit(&submission(server.port, SmtpSecurity::None)).await;
        assert_eq!(words(&result), expected);
        server.heard().await;
    }
    let server = Server::start(vec![]).await;
    let port = server.port;
    server.heard().await;
    assert_eq!(words(&client().submit(&submission(port, SmtpSecurity::None)).await), "unreachable");
}

#[tokio::test]
async fn a_refusal_within_the_mail_is_heard() {
    let refuse = [HearBytes(10), Say("552 5.3.4 too big")];
    let server = Server::start(vec![[&GREET[..], &TO_DATA, &refuse, &[Reset]].concat()]).await;
    let mut submission = submission(server.port, SmtpSecurity::None);
    submission.mail = vec![b'x'; 64 << 20].into();
    let words = words(&client().submit(&submission).await);
    // A reset may overtake the reply.
    assert!(["552 Data", "unreachable"].contains(&words.as_str()), "{words}");
}

#[tokio::test]
async fn a_connection_is_used_again_and_after_a_refusal_reset() {
    let refused = [&TO_DATA[..3], &[Say("550 5.1.1 no")]].concat();
    let reset = [Hear("RSET"), Say("250 Ok")];
    let script = [&GREET[..], &TO_DATA, &TAKE, &refused, &reset, &TO_DATA, &TAKE].concat();
    let server = Server::start(vec![script]).await;
    let (client, submission) = (client(), submission(server.port, SmtpSecurity::None));
    for expected in ["250 Data", "550 RcptTo", "250 Data"] {
        assert_eq!(words(&client.submit(&submission).await), expected);
    }
    drop(client);
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_is_replaced() {
    let once = [&GREET[..], &TO_DATA, &TAKE].concat();
    let closing = [&once[..], &[Hear("MAIL"), Say("421 4.4.2 idle for too long")]].concat();
    let server = Server::start(vec![once.clone(), closing, once]).await;
    let (client, submission) = (client(), submission(server.port, SmtpSecurity::None));
    for _ in 0..3 {
        assert_eq!(words(&client.submit(&submission).await), "250 Data");
    }
    drop(client);
    assert_eq!(server.heard().await.iter().filter(|line| line.starts_with("EHLO")).count(), 3);
}

#[tokio::test]
async fn a_connection_that_takes_no_reset_is_replaced() {
    let once = [&GREET[..], &TO_DATA, &TAKE].concat();
    let refused =
        [&GREET[..], &TO_DATA[..3], &[Say("550 5.1.1 no"), Hear("RSET"), Say("502 what?")]].concat();
    let server = Server::start(vec![refused, once]).await;
    let (client, submission) = (client(), submission(server.port, SmtpSecurity::None));
    assert_eq!(words(&client.submit(&submission).await), "550 RcptTo");
    assert_eq!(words(&client.submit(&submission).await), "250 Data");
}

#[tokio::test]
async fn an_idle_connection_says_farewell_in_time() {
    let script = [&GREET[..], &TO_DATA, &TAKE, &[Hear("QUIT")]].concat();
    let server = Server::start(vec![script]).await;
    let client = client();
    client.submit(&submission(server.port, SmtpSecurity::None)).await.unwrap();
    tokio::time::pause();
    tokio::time::advance(pool::IDLE_TIMEOUT).await;
    tokio::time::resume();
    server.heard().await;
    assert!(client.pool.take().is_none());
}

#[tokio::test]
async fn tls_from_the_first_byte_and_by_starttls() {
    let rest = [&TO_DATA[..], &TAKE].concat();
    let tls = [&[Tls][..], &GREET, &rest].concat();
    let offer = [
        Say("220 x"),
        Hear("EHLO "),
        Say("250-x\r\n250 STARTTLS"),
        Hear("STARTTLS"),
        Say("220 go"),
        Tls,
        Hear("EHLO "),
        Say("250 x"),
    ];
    for (script, security) in
        [(tls, SmtpSecurity::Tls), ([&offer[..], &rest].concat(), SmtpSecurity::StartTls)]
    {
        let server = Server::start(vec![script]).await;
        assert_eq!(words(&client().submit(&submission(server.port, security)).await), "250 Data");
    }
}

#[tokio::test]
async fn nothing_is_told_to_a_server_that_is_not_the_right_one() {
    let offer = |more: &[Step]| {
        [&[Say("220 x"), Hear("EHLO "), Say("250-x\r\n250 STARTTLS"), Hear("STARTTLS")][..], more].concat()
    };
    for (script, security, system_roots) in [
        // Without the offer, or with words in the clear that would be read as said by the encrypted server.
        (GREET.to_vec(), SmtpSecurity::StartTls, false),
        (offer(&[Say("220 go\r\n250 injected")]), SmtpSecurity::StartTls, false),
        (offer(&[Say("454 4.7.0 not now")]), SmtpSecurity::StartTls, false),
        // No TLS at all, and a certificate of an authority that nobody knows.
        (GREET[..1].to_vec(), SmtpSecurity::Tls, false),
        ([&[Tls][..], &GREET].concat(), SmtpSecurity::Tls, true),
    ] {
        let server = Server::start(vec![script]).await;
        let mut client = client();
        if system_roots {
            client.connector = Connector::default();
        }
        let mut submission = authenticated(server.port);
        submission.server.security = security;
        let result = words(&client.submit(&submission).await);
        assert!(["unreachable", "454 Connect"].contains(&result.as_str()), "{result}");
        let heard = server.heard().await;
        assert!(!heard.iter().any(|line| line.starts_with("AUTH") || line.starts_with("MAIL")), "{heard:?}");
    }
}

#[tokio::test]
async fn a_password_is_told_as_the_server_wants_it() {
    let offering = |offer: &'static str| vec![Say("220 x"), Hear("EHLO "), Say(offer)];
    let plain = [Hear("AUTH PLAIN AHJlbGF5AHNlY3JldA==\r\n"), Say("235 2.7.0 Ok")];
    let login = [
        Hear("AUTH LOGIN\r\n"),
        Say("334 VXNlcm5hbWU6"),
        Hear("cmVsYXk=\r\n"),
        Say("334 UGFzc3dvcmQ6"),
        Hear("c2VjcmV0\r\n"),
        Say("235 Ok"),
    ];
    let rest = [&TO_DATA[..], &TAKE].concat();
    let refused = [Hear("AUTH PLAIN "), Say("535 5.7.8 no")];
    for (script, expected) in [
        ([&offering("250-x\r\n250 AUTH LOGIN PLAIN")[..], &plain, &rest].concat(), "250 Data"),
        ([&offering("250-x\r\n250 AUTH LOGIN")[..], &login, &rest].concat(), "250 Data"),
        ([&offering("250-x\r\n250 AUTH PLAIN")[..], &refused].concat(), "535 Auth"),
        ([&offering("250 x")[..], &[Hear("AUTH PLAIN "), Say("503 no AUTH here")]].concat(), "503 Auth"),
    ] {
        let server = Server::start(vec![script]).await;
        assert_eq!(words(&client().submit(&authenticated(server.port)).await), expected);
    }
}
