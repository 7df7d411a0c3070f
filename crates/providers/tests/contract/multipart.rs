//! Reads `multipart/form-data` as tests need it, by rules of its own: what an adapter writes is not checked by what it
//! reads with.

use bytes::Bytes;
use http::Request;
use http::header::CONTENT_TYPE;

pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) filename: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) bytes: Vec<u8>,
}

/// The parts of a request whose body is such a form.
pub(crate) fn parts(request: &Request<Bytes>) -> Option<Vec<Part>> {
    let content_type = request.headers().get(CONTENT_TYPE)?.to_str().unwrap();
    let boundary = content_type.strip_prefix("multipart/form-data; boundary=")?;
    assert!((1..=70).contains(&boundary.len()), "RFC 2046 section 5.1.1: {boundary}");
    let between = format!("\r\n--{boundary}").into_bytes();
    // As if every delimiter began with a line break.
    let body = [b"\r\n", &request.body()[..]].concat();
    let mut pieces = Vec::new();
    let mut from = 0;
    while let Some(at) = find(&body[from..], &between) {
        pieces.push(&body[from..from + at]);
        from += at + between.len();
    }
    assert_eq!(&body[from..], b"--\r\n", "the form ends with its last boundary");
    assert_eq!(pieces.remove(0), b"", "nothing stands before the first part");
    Some(pieces.into_iter().map(part).collect())
}

fn part(piece: &[u8]) -> Part {
    let end = find(piece, b"\r\n\r\n").unwrap();
    let header = std::str::from_utf8(&piece[..end]).unwrap();
    let between = |before: &str, after: &str| {
        let from = header.find(before)? + before.len();
        Some(header[from..].split(after).next().unwrap().to_owned())
    };
    Part {
        name: between("; name=\"", "\"").unwrap(),
        filename: between("; filename=\"", "\""),
        content_type: between("Content-Type: ", "\r\n"),
        bytes: piece[end + 4..].to_vec(),
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
