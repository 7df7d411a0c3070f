//! The PROXY protocol, versions 1 and 2 (HAProxy, `proxy-protocol.txt`): a header at the start of a connection in which
//! a proxy names the client. Only read from trusted proxies.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

const V1_START: &[u8] = b"PROXY ";
/// With its CR and LF (section 2.1).
const V1_BYTES_MAX: usize = 107;
const V2_START: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED_BYTES: usize = 16;
/// Addresses and extensions of one header; proxies send a few hundred bytes.
const V2_BYTES_MAX: usize = 4096;

/// What a connection starts with.
#[derive(Debug, PartialEq, Eq)]
enum Start {
    Incomplete,
    NoHeader,
    Malformed,
    /// `client` is absent where the proxy speaks for itself, as in its health checks.
    Header {
        client: Option<IpAddr>,
        length: usize,
    },
}

/// Reads the header, if the connection starts with one. Returns the client and the bytes that follow.
///
/// # Errors
/// When the connection ends before, or the header is malformed.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<(Option<IpAddr>, Bytes)> {
    let mut bytes = BytesMut::with_capacity(512);
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        match parse(&bytes) {
            Start::Incomplete => {}
            Start::NoHeader => return Ok((None, bytes.freeze())),
            Start::Malformed => {
                return Err(io::Error::new(ErrorKind::InvalidData, "a malformed PROXY header"));
            }
            Start::Header { client, length } => return Ok((client, bytes.split_off(length).freeze())),
        }
    }
}

fn parse(bytes: &[u8]) -> Start {
    if bytes.starts_with(V1_START) {
        parse_v1(bytes)
    } else if bytes.starts_with(V2_START) {
        parse_v2(bytes)
    } else if V1_START.starts_with(bytes) || V2_START.starts_with(bytes) {
        Start::Incomplete
    } else {
        Start::NoHeader
    }
}

fn parse_v1(bytes: &[u8]) -> Start {
    let line = &bytes[..bytes.len().min(V1_BYTES_MAX)];
    let Some(end) = line.windows(2).position(|pair| pair == b"\r\n") else {
        return if line.len() < V1_BYTES_MAX { Start::Incomplete } else { Start::Malformed };
    };
    let Ok(line) = std::str::from_utf8(&line[..end]) else { return Start::Malformed };
    let words: Vec<&str> = line.split(' ').collect();
    let client = match words[..] {
        [_, "UNKNOWN", ..] => None,
        [_, "TCP4", source, _, _, _] => match source.parse() {
            Ok(ip) => Some(IpAddr::V4(ip)),
            Err(_) => return Start::Malformed,
        },
        [_, "TCP6", source, _, _, _] => match source.parse() {
            Ok(ip) => Some(IpAddr::V6(ip)),
            Err(_) => return Start::Malformed,
        },
        _ => return Start::Malformed,
    };
    Start::Header { client, length: end + 2 }
}

fn parse_v2(bytes: &[u8]) -> Start {
    let Some((fixed, rest)) = bytes.split_first_chunk::<V2_FIXED_BYTES>() else { return Start::Incomplete };
    let [.., command, family, high, low] = *fixed;
    let content_bytes = usize::from(u16::from_be_bytes([high, low]));
    if content_bytes > V2_BYTES_MAX {
        return Start::Malformed;
    }
    let Some(content) = rest.get(..content_bytes) else { return Start::Incomplete };
    let client = match (command, family >> 4) {
        // LOCAL: a connection of the proxy itself.
        (0x20, _) => None,
        (0x21, 1) => match content.split_first_chunk::<4>() {
            Some((source, _)) if content_bytes >= 12 => Some(IpAddr::V4(Ipv4Addr::from(*source))),
            _ => return Start::Malformed,
        },
        (0x21, 2) => match content.split_first_chunk::<16>() {
            Some((source, _)) if content_bytes >= 36 => Some(IpAddr::V6(Ipv6Addr::from(*source))),
            _ => return Start::Malformed,
        },
        (0x21, _) => None,
        _ => return Start::Malformed,
    };
    Start::Header { client, length: V2_FIXED_BYTES + content_bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(command: u8, family: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [V2_START, &[command, family], &length, content].concat()
    }

    /// The client and what follows, of bytes that arrive one at a time.
    async fn read_bytes(bytes: &[u8]) -> Result<(Option<String>, Vec<u8>), ErrorKind> {
        let (mut ours, mut theirs) = tokio::io::duplex(1);
        let write = async {
            // The reader may stop early.
            let _ = tokio::io::AsyncWriteExt::write_all(&mut theirs, bytes).await;
            drop(theirs);
        };
        let reading = async move {
            let (client, mut rest) = read(&mut ours).await.map(|(c, r)| (c, r.to_vec()))?;
            ours.read_to_end(&mut rest).await?;
            io::Result::Ok((client.map(|ip| ip.to_string()), rest))
        };
        tokio::join!(reading, write).0.map_err(|error| error.kind())
    }

    #[tokio::test]
    async fn version_1_names_the_client() {
        let read = async |text: &str| read_bytes(text.as_bytes()).await.unwrap();
        let expected = |client: Option<&str>| (client.map(str::to_owned), b"GET /".to_vec());
        let v4 = read("PROXY TCP4 203.0.113.9 192.0.2.1 4711 80\r\nGET /").await;
        assert_eq!(v4, expected(Some("203.0.113.9")));
        assert_eq!(read("PROXY TCP6 2001:db8::1 ::1 1 80\r\nGET /").await, expected(Some("2001:db8::1")));
        assert_eq!(read("PROXY UNKNOWN\r\nGET /").await, expected(None));
    }

    #[tokio::test]
    async fn version_2_names_the_client() {
        let v4 = [&v2(0x21, 0x11, &[203, 0, 113, 9, 192, 0, 2, 1, 1, 2, 0, 80, 4, 0, 1, 0])[..], b"GET /"]
            .concat();
        assert_eq!(read_bytes(&v4).await.unwrap(), (Some("203.0.113.9".to_owned()), b"GET /".to_vec()));
        let mut addresses = [0; 36];
        addresses[15] = 7;
        assert_eq!(read_bytes(&v2(0x21, 0x21, &addresses)).await.unwrap(), (Some("::7".to_owned()), vec![]));
        assert_eq!(read_bytes(&v2(0x20, 0, &[])).await.unwrap(), (None, vec![]));
    }

    #[tokio::test]
    async fn a_request_without_a_header_stays_whole() {
        for request in ["POST / HTTP/1.1\r\n", "PROPFIND / HTTP/1.1\r\n", "\r\n\r\nGET / HTTP/1.1\r\n"] {
            let read = read_bytes(request.as_bytes()).await.unwrap();
            assert_eq!(read, (None, request.as_bytes().to_vec()), "{request}");
        }
    }

    #[tokio::test]
    async fn a_malformed_header_ends_the_connection() {
        let long = format!("PROXY {}\r\n", "x".repeat(200));
        for header in ["PROXY TCP4 nobody 192.0.2.1 1 80\r\n", "PROXY HTTP\r\n", long.as_str()] {
            assert_eq!(read_bytes(header.as_bytes()).await, Err(ErrorKind::InvalidData), "{header}");
        }
        for header in [v2(0x21, 0x11, &[1, 2, 3, 4]), v2(0x11, 0x11, &[0; 12]), v2(0x21, 0x11, &[0; 5000])] {
            assert_eq!(read_bytes(&header).await, Err(ErrorKind::InvalidData));
        }
        assert_eq!(read_bytes(b"PROXY TCP4").await, Err(ErrorKind::UnexpectedEof));
    }
}
