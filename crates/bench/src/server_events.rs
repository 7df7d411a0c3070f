//! Server-sent events in a stream of bytes: a blank line ends one, and what has no data is none
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).

#[derive(Clone, Copy, Debug, Default)]
pub struct Events {
    has_data: bool,
    /// Bytes of the line that has begun, as far as they tell what it is.
    line: usize,
    is_data: bool,
}

const DATA: &[u8] = b"data:";

impl Events {
    /// Goes on with these bytes; how many events they end.
    pub fn read(&mut self, bytes: &[u8]) -> usize {
        let mut ended = 0;
        for &byte in bytes {
            if byte != b'\n' {
                self.is_data = DATA
                    .get(self.line)
                    .map_or(self.is_data, |expected| (self.line == 0 || self.is_data) && byte == *expected);
                self.line += 1;
                continue;
            }
            if self.line == 0 {
                ended += usize::from(self.has_data);
                self.has_data = false;
            }
            self.has_data |= self.is_data && self.line >= DATA.len();
            (self.line, self.is_data) = (0, false);
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_counted_however_they_arrive_and_comments_are_none() {
        let stream = b"data: <p>one\ndata: more\n\n:\n\ndatum\n\ndata:\n\ndata: unfinished\n";
        assert_eq!(Events::default().read(stream), 2);
        let mut events = Events::default();
        assert_eq!(stream.chunks(3).map(|chunk| events.read(chunk)).sum::<usize>(), 2);
        assert_eq!(events.read(b"\n"), 1);
    }
}
