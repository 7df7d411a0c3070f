use mail_parser::{MessageParser, MimeHeaders};
use model::{Channel, Endpoint};
use uuid::Uuid;

use super::*;

struct Mail {
    from: &'static str,
    to: &'static str,
    subject: &'static str,
    body: String,
    files: Vec<File>,
    in_reply_to: Option<&'static str>,
    references: Vec<String>,
    attempt: u32,
}

fn mail(body: &str) -> Mail {
    Mail {
        from: "app@example.com",
        to: "ann@example.net",
        subject: "Hi",
        body: body.to_owned(),
        files: Vec::new(),
        in_reply_to: None,
        references: Vec::new(),
        attempt: 1,
    }
}

impl Mail {
    fn write(&self, from_name: Option<&str>) -> Result<Vec<u8>, Outcome> {
        write(
            &Outgoing {
                message_id: Uuid::try_parse("0190f3a2-7b1c-70a7-8123-456789abcdef").unwrap(),
                attempt: self.attempt,
                channel: Channel::Email,
                from: &Endpoint::stored(self.from),
                to: &Endpoint::stored(self.to),
                subject: Some(self.subject),
                body: &self.body,
                attachments: &[],
                files: &self.files,
                in_reply_to: self.in_reply_to,
                references: &self.references,
                webhook_url: "https://relay.example.org/api/webhooks/main",
                now: jiff::Timestamp::UNIX_EPOCH,
            },
            from_name,
        )
    }

    fn source(&self) -> String {
        String::from_utf8(self.write(None).unwrap()).unwrap()
    }
}

fn file(filename: &str, content_type: &str, bytes: &[u8]) -> File {
    File { filename: filename.to_owned(), content_type: content_type.to_owned(), bytes: bytes.to_vec() }
}

/// What every server takes: ASCII, CRLF, short lines.
fn assert_well_formed(source: &str) {
    assert!(source.is_ascii() && source.ends_with("\r\n"), "{source}");
    for line in source.split_terminator("\r\n") {
        assert!(line.len() <= 998 && !line.contains(['\r', '\n', '\0']), "{line:?}");
    }
}

#[test]
fn a_plain_mail_is_one_part() {
    assert_eq!(
        mail("Hello\n.\nbye").source(),
        "Date: Sat, 27 Jul 2024 10:00:30 +0000\r\n\
         From: app@example.com\r\n\
         To: ann@example.net\r\n\
         Subject: Hi\r\n\
         Message-ID: <0190f3a2-7b1c-70a7-8123-456789abcdef@example.com>\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: 7bit\r\n\
         \r\n\
         Hello\r\n.\r\nbye\r\n"
    );
}

#[test]
fn everything_comes_back_as_it_was() {
    let long = "w\u{f6}rd ".repeat(300);
    let mut sent = mail(&format!("<p>Gr\u{fc}\u{df}e \u{1f44d} {long}</p>"));
    sent.subject =
        "Gr\u{fc}\u{df}e an alle, die sehr viel l\u{e4}nger sind als eine Zeile von 78 Zeichen \u{1f44d}";
    sent.in_reply_to = Some("<b@example.net>");
    sent.references = vec!["<a@example.net>".to_owned(), "<b@example.net>".to_owned()];
    let bytes: Vec<u8> = (0..=255).collect();
    sent.files = vec![
        file("Angebot \u{dc}bersicht \u{2013} \u{65e5}\u{672c}.pdf", "application/pdf", &bytes),
        file("a \"b\".txt", "text/plain", b"."),
        file("mail.eml", "message/rfc822", b"Subject: x\r\n\r\ny"),
        file("odd", "no media type", b""),
    ];
    let source = sent.write(Some("M\u{fc}ller, \"App\"\r\nBcc: x@example.org")).unwrap();
    assert_well_formed(std::str::from_utf8(&source).unwrap());
    let read = MessageParser::default().parse(&source).unwrap();
    assert_eq!(read.subject(), Some(sent.subject));
    let from = read.from().unwrap().first().unwrap();
    assert_eq!(from.address(), Some("app@example.com"));
    assert_eq!(from.name(), Some("M\u{fc}ller, \"App\"  Bcc: x@example.org"));
    assert!(read.bcc().is_none());
    assert_eq!(read.message_id(), Some("0190f3a2-7b1c-70a7-8123-456789abcdef@example.com"));
    assert_eq!(read.in_reply_to().as_text(), Some("b@example.net"));
    let references: Vec<&str> =
        read.references().as_text_list().unwrap().iter().map(|id| id.as_ref()).collect();
    assert_eq!(references, ["a@example.net", "b@example.net"]);
    assert_eq!(read.body_html(0).unwrap().trim_end(), sent.body);
    assert!(read.body_text(0).unwrap().starts_with("Gr\u{fc}\u{df}e \u{1f44d} w\u{f6}rd"));
    let files: Vec<_> = read
        .attachments()
        .map(|part| (part.attachment_name().unwrap_or_default().to_owned(), part.contents().to_vec()))
        .collect();
    let expected: Vec<_> =
        sent.files.iter().map(|file| (file.filename.clone(), file.bytes.clone())).collect();
    assert_eq!(files, expected);
}

#[test]
fn another_try_of_the_same_attempt_is_the_same_bytes_and_the_next_attempt_the_same_message() {
    let mut sent = mail("<b>Hi</b>");
    sent.files = vec![file("a", "text/plain", b"x")];
    let first = sent.source();
    assert_eq!(first, sent.source());
    sent.attempt = 2;
    let second = sent.source();
    assert_ne!(first, second);
    assert_eq!(
        first.replace("abcdef.1.", "abcdef.N."),
        second.replace("abcdef.2.", "abcdef.N."),
        "only the boundaries tell the attempt"
    );
}

#[test]
fn no_text_breaks_out_of_its_place() {
    for body in ["a\rb", "a\nb\r", "\0", "\r\n.\r\n", "a\r\r\nb", "\u{b}\u{c}\u{7f}", &"x".repeat(5000)] {
        assert_well_formed(&mail(body).source());
    }
    let mut sent = mail("x");
    sent.in_reply_to = Some("<a@example.net>\r\nBcc: <x@example.org>");
    let source = sent.source();
    assert_well_formed(&source);
    assert!(source.contains("In-Reply-To: <a@example.net> <x@example.org>\r\n"), "{source}");
    let word = "x".repeat(3000);
    let mut sent = mail("x");
    sent.subject = word.leak();
    assert_well_formed(&sent.source());
}

#[test]
fn an_address_that_a_mail_cannot_carry_is_refused() {
    for (from, to, reason) in [
        ("app", "ann@example.net", Reason::Configuration),
        ("app@example.com", "\u{e4}nn@example.net", Reason::InvalidRecipient),
        ("app@example.com", "ann@example.net>, <bob@example.org", Reason::InvalidRecipient),
        ("app@example.com", "ann @example.net", Reason::InvalidRecipient),
    ] {
        let sent = Mail { from, to, ..mail("x") };
        assert!(
            matches!(sent.write(None), Err(Outcome::Rejected { reason: found, .. }) if found == reason),
            "{from} {to}"
        );
    }
}
