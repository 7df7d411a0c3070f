//! Finds the messages of the PostgreSQL protocol in a stream of bytes that arrives in pieces. It looks at headers
//! only, and at the bodies of the few messages that the watch needs.

/// Errors are short; what is longer is cut.
const KEPT_BYTES_MAX: usize = 4096;

/// The tag that stands for the startup message, which has none.
pub(super) const STARTUP: u8 = 0;

#[derive(Debug)]
pub(super) struct Frames {
    header: [u8; 5],
    header_len: usize,
    /// The startup message, the client's first one, has no tag.
    is_untyped: bool,
    /// Of the message whose header is complete.
    body_left: Option<usize>,
    body: Vec<u8>,
    keeps: fn(u8) -> bool,
}

impl Frames {
    pub(super) fn of_client() -> Self {
        Self::new(true, |_| false)
    }

    /// Keeps the bodies of errors and of the backend's key.
    pub(super) fn of_server() -> Self {
        Self::new(false, |tag| matches!(tag, b'E' | b'K'))
    }

    fn new(is_untyped: bool, keeps: fn(u8) -> bool) -> Self {
        Self {
            header: [0; 5],
            header_len: usize::from(is_untyped),
            is_untyped,
            body_left: None,
            body: Vec::new(),
            keeps,
        }
    }

    /// Calls `on_message` with the tag and the kept body of each message that ends in these bytes.
    pub(super) fn read(&mut self, mut bytes: &[u8], mut on_message: impl FnMut(u8, &[u8])) {
        while !bytes.is_empty() {
            let body_left = match self.body_left {
                Some(left) => left,
                None => {
                    let taken = bytes.len().min(self.header.len() - self.header_len);
                    self.header[self.header_len..self.header_len + taken].copy_from_slice(&bytes[..taken]);
                    self.header_len += taken;
                    bytes = &bytes[taken..];
                    if self.header_len < self.header.len() {
                        return;
                    }
                    let [_, length @ ..] = self.header;
                    // The length counts its own four bytes.
                    (u32::from_be_bytes(length) as usize).saturating_sub(4)
                }
            };
            let taken = bytes.len().min(body_left);
            if (self.keeps)(self.tag()) {
                let room = KEPT_BYTES_MAX - self.body.len();
                self.body.extend_from_slice(&bytes[..taken.min(room)]);
            }
            bytes = &bytes[taken..];
            if taken < body_left {
                self.body_left = Some(body_left - taken);
                return;
            }
            on_message(self.tag(), &self.body);
            self.header_len = 0;
            self.is_untyped = false;
            self.body_left = None;
            self.body.clear();
        }
    }

    fn tag(&self) -> u8 {
        if self.is_untyped { STARTUP } else { self.header[0] }
    }
}

/// The SQLSTATE of an error's body.
pub(super) fn sqlstate(body: &[u8]) -> Option<&str> {
    let code = body.split(|byte| *byte == 0).find_map(|field| field.strip_prefix(b"C"))?;
    std::str::from_utf8(code).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[tag][..], &length, body].concat()
    }

    #[test]
    fn messages_are_found_however_the_bytes_are_cut() {
        let error = b"SERROR\0C25006\0Mcannot execute INSERT\0\0";
        let stream =
            [message(b'1', b""), message(b'E', error), message(b'D', &[7; 300]), message(b'Z', b"I")]
                .concat();
        for piece in [1, 2, 3, 7, stream.len()] {
            let (mut frames, mut seen, mut states) = (Frames::of_server(), Vec::new(), Vec::new());
            for bytes in stream.chunks(piece) {
                frames.read(bytes, |tag, body| {
                    seen.push(tag);
                    states.extend(sqlstate(body).map(str::to_owned));
                });
            }
            assert_eq!(seen, b"1EDZ", "pieces of {piece}");
            assert_eq!(states, ["25006"], "pieces of {piece}");
        }
    }

    #[test]
    fn the_first_message_of_a_client_has_no_tag() {
        let startup = [&12_u32.to_be_bytes()[..], &[0, 3, 0, 0, b'u', b'v', b'w', 0]].concat();
        let mut seen = Vec::new();
        let mut frames = Frames::of_client();
        for bytes in [&startup[..], &message(b'Q', b"select 1\0"), &message(b'S', b"")] {
            frames.read(bytes, |tag, _| seen.push(tag));
        }
        assert_eq!(seen, [STARTUP, b'Q', b'S']);
    }

    #[test]
    fn an_absurd_length_keeps_a_bounded_part() {
        let mut frames = Frames::of_server();
        frames.read(&[b'E', 0xff, 0xff, 0xff, 0xff], |_, _| panic!("it has not ended"));
        for _ in 0..100 {
            frames.read(&[b'x'; 1000], |_, _| panic!("it has not ended"));
        }
        assert_eq!(frames.body.len(), KEPT_BYTES_MAX);
        // A length below its own size is a message without a body.
        let mut seen = Vec::new();
        Frames::of_server().read(&[b'Z', 0, 0, 0, 0], |tag, _| seen.push(tag));
        assert_eq!(seen, b"Z");
    }
}
