use mail_parser::MessageParser;

use super::*;
use crate::email::inbound::{FILES_MAX, Mail, Source, read_source};

const HEADER: &str =
    "From: ann@example.net\r\nTo: app@example.com\r\nSubject: Hi\r\nMessage-ID: <1@example.net>\r\n";

fn mail(source: &[u8]) -> Source {
    match read_source(source) {
        Some(Mail::Message(source)) => source,
        other => panic!("{other:?}"),
    }
}

/// So many multiparts within each other, each with its own boundary, closed or not.
fn multiparts(levels: usize, closed: bool) -> String {
    let open = |n| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n");
    let close = |n| format!("\r\n--b{n}--\r\n");
    let opened: String = (0..levels).map(open).collect();
    let closing: String = (0..levels).rev().filter(|_| closed).map(close).collect();
    format!("{HEADER}{opened}Content-Type: text/plain\r\n\r\nHello{closing}")
}

fn mails(levels: usize) -> String {
    format!("{HEADER}{}Subject: inner\r\n\r\nHello", "Content-Type: message/rfc822\r\n\r\n".repeat(levels))
}

#[test]
fn fifty_levels_are_read_and_one_more_is_kept_whole() {
    for closed in [true, false] {
        let read = mail(multiparts(DEPTH_MAX, closed).as_bytes());
        assert_eq!((read.body.trim_end(), read.files.kept.len()), ("Hello", 0), "{closed}");
        let source = multiparts(DEPTH_MAX + 1, closed);
        is_kept_whole(&source);
    }
    assert_eq!(mail(mails(DEPTH_MAX).as_bytes()).files.kept[0].content_type, "message/rfc822");
    is_kept_whole(&mails(DEPTH_MAX + 1));
    is_kept_whole(&mails(32_700));
    is_kept_whole(&multiparts(10_000, true));
}

fn is_kept_whole(source: &str) {
    let read = mail(source.as_bytes());
    assert!(read.body.starts_with("This mail is nested too deeply to be read"), "{}", read.body);
    assert_eq!(read.header.from.as_deref(), Some("ann@example.net"));
    assert_eq!(read.header.subject.as_deref(), Some("Hi"));
    let [file] = read.files.kept.as_slice() else { panic!("{} files", read.files.kept.len()) };
    assert_eq!((file.filename.as_str(), file.content_type.as_str()), ("message.eml", "message/rfc822"));
    assert_eq!(file.bytes, source.as_bytes());
}

#[test]
fn mails_in_a_digest_count_as_levels_too() {
    let open = |n| format!("Content-Type: multipart/digest; boundary=b{n}\r\n\r\n--b{n}\r\n\r\n");
    let source = |levels| format!("{HEADER}{}\r\nHello", (0..levels).map(open).collect::<String>());
    assert_eq!(mail(source(DEPTH_MAX / 2).as_bytes()).files.kept.len(), 1);
    is_kept_whole(&source(DEPTH_MAX));
}

/// What is encoded is bytes of a file, whatever they would be.
#[test]
fn an_encoded_mail_is_a_file_however_deep_it_is() {
    let inner = mails(32_700).replace('=', "=3D");
    let source = format!(
        "{HEADER}Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nHello\r\n--b\r\n\
         Content-Type: message/rfc822\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n{inner}\r\n--b--"
    );
    let read = mail(source.as_bytes());
    assert_eq!((read.body.as_str(), read.files.kept.len()), ("Hello", 1));
    assert_eq!(read.files.kept[0].bytes, mails(32_700).as_bytes());
}

#[test]
fn the_first_files_are_kept_and_the_source_for_the_others() {
    let part = |n| format!("--b\r\nContent-Disposition: attachment; filename={n}.txt\r\n\r\n{n}\r\n");
    let source = |files| {
        let parts: String = (0..files).map(part).collect();
        format!("{HEADER}Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nHello\r\n{parts}--b--")
    };
    let all = mail(source(FILES_MAX).as_bytes());
    assert_eq!((all.files.kept.len(), all.files.omitted), (FILES_MAX, 0));
    for count in [FILES_MAX + 1, 20_000] {
        let source = source(count);
        let some = mail(source.as_bytes());
        assert_eq!((some.body.as_str(), some.files.kept.len()), ("Hello", FILES_MAX));
        assert_eq!(some.files.omitted, count - (FILES_MAX - 1));
        let last = some.files.kept.last().unwrap();
        assert_eq!((last.filename.as_str(), &last.bytes), ("message.eml", &source.into_bytes()));
        assert_eq!(some.files.kept[FILES_MAX - 2].filename, format!("{}.txt", FILES_MAX - 2));
    }
}

#[test]
fn a_boundary_that_never_comes_leaves_the_text() {
    let parts = "--a\r\nContent-Type: multipart/mixed; boundary=never\r\n\r\nHello\r\n".repeat(1000);
    let source = format!("{HEADER}Content-Type: multipart/mixed; boundary=a\r\n\r\n{parts}--a--");
    let read = mail(source.as_bytes());
    assert_eq!(read.body.matches("Hello").count(), 1000);
}

#[test]
fn a_delimiter_is_a_whole_line() {
    let source = format!(
        "{HEADER}Content-Type: multipart/mixed; boundary=b\r\n\r\nno part\r\n--b \t\r\n\r\n\
         a --b\r\n--bc\r\n --b\r\n--b\r\nContent-Type: text/plain\r\n\r\nlast\r\n--b-- \r\n\r\nno part"
    );
    assert_eq!(mail(source.as_bytes()).body, "a --b\r\n--bc\r\n --b\nlast");
}

#[test]
fn bytes_that_are_no_mail_are_nothing() {
    for bytes in [&b""[..], b"hello", b"\xff\xfe\x00"] {
        assert!(read_source(bytes).is_none(), "{bytes:?}");
    }
}

/// The parser of whole mails, which has no bounds, is the second opinion.
#[test]
fn usual_mails_are_read_as_the_parser_reads_them() {
    let part = |header: &str, body: &str| format!("--b\r\n{header}\r\n\r\n{body}\r\n");
    let plain = part("Content-Type: text/plain; charset=iso-8859-1", "caf\u{e9}");
    let html = part("Content-Type: text/html", "<p>Hello</p>");
    let image = part(
        "Content-Type: image/png; name=a.png\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: inline",
        "iVBO\r\nRw0K",
    );
    let named = part("Content-Type: text/plain; name=a.txt", "a file");
    let attached = part("Content-Disposition: attachment; filename*=UTF-8''%C3%A4.txt", "a file");
    let calendar = part("Content-Type: text/calendar", "BEGIN:VCALENDAR");
    let returned = part("Content-Type: message/rfc822", "Subject: inner\r\n\r\nHello");
    let quoted =
        part("Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable", "a=C3=A9 =\r\nb");
    let alternative = format!(
        "--b\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n{}--c--\r\n",
        [&plain, &html].map(|part| part.replace("--b", "--c")).concat()
    );
    let bodies = [
        ("mixed", vec![&plain, &image, &attached]),
        ("mixed", vec![&html, &named]),
        ("mixed", vec![&plain, &calendar]),
        ("mixed", vec![&calendar]),
        ("mixed", vec![&quoted, &html, &plain]),
        ("mixed", vec![&alternative, &image, &returned]),
        ("alternative", vec![&plain, &html]),
        ("alternative", vec![&html, &calendar]),
        ("alternative", vec![&html]),
        ("alternative", vec![&plain, &image]),
        ("related", vec![&html, &image, &plain]),
        ("related", vec![&alternative, &image]),
        ("digest", vec![&returned, &plain]),
    ];
    for (subtype, parts) in bodies {
        let parts: String = parts.into_iter().map(String::as_str).collect();
        let source = format!("{HEADER}Content-Type: multipart/{subtype}; boundary=b\r\n\r\n{parts}--b--\r\n");
        let parsed = MessageParser::default().parse(&source).unwrap();
        let names =
            |structure: &[u32]| structure.iter().map(|id| part_text(&parsed, *id)).collect::<Vec<_>>();
        let (section, body) = header::split(source.as_bytes());
        let structure = Structure::of(Fields::of_section(section), body).unwrap();
        let ours = |indices: &[usize]| {
            let bytes = |&index: &usize| structure.parts[index].file_bytes();
            indices
                .iter()
                .map(|index| String::from_utf8_lossy(&bytes(index)).into_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(ours(&structure.text), names(&parsed.text_body), "text of {source}");
        assert_eq!(ours(&structure.html), names(&parsed.html_body), "HTML of {source}");
        assert_eq!(structure.files.len(), parsed.attachments.len(), "files of {source}");
    }
}

fn part_text(message: &Message<'_>, id: u32) -> String {
    String::from_utf8_lossy(message.parts[id as usize].contents()).into_owned()
}
