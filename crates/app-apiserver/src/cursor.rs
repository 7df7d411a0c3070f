//! Cursors of lists: opaque, and good only for the list and the filters that they came from.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::problem::Problem;

const VERSION: u8 = 1;
const LIST_BYTES: usize = 8;
const PLACE_BYTES: usize = 24;
const CHECKSUM_BYTES: usize = 4;
const CURSOR_BYTES: usize = 1 + LIST_BYTES + PLACE_BYTES + CHECKSUM_BYTES;

/// A list with its filters and its order: what a cursor is bound to.
#[derive(Clone, Debug)]
pub(crate) struct List([u8; LIST_BYTES]);

/// Where in a list a page ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// For lists in the order of a time that is not the id's.
    pub time: Timestamp,
    pub id: Uuid,
}

impl List {
    /// `path` with its ids, and everything that decides what is in the list and in which order.
    pub(crate) fn of(path: &str, filters: &impl std::fmt::Debug) -> Self {
        let digest: [u8; 32] = Sha256::digest(format!("{path}\n{filters:?}")).into();
        let mut bytes = [0; LIST_BYTES];
        bytes.copy_from_slice(&digest[..LIST_BYTES]);
        Self(bytes)
    }

    pub(crate) fn cursor(&self, place: Place) -> String {
        let mut bytes = Vec::with_capacity(CURSOR_BYTES);
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.0);
        bytes.extend_from_slice(&place.time.as_microsecond().to_be_bytes());
        bytes.extend_from_slice(place.id.as_bytes());
        bytes.extend_from_slice(&checksum(&bytes));
        BASE64.encode(bytes)
    }

    /// # Errors
    /// 400 `invalid_cursor` unless it came from this list.
    pub(crate) fn place(&self, cursor: &str) -> Result<Place, Problem> {
        self.read(cursor).ok_or_else(|| {
            let detail =
                "the cursor is not from this list with these filters; leave it out to begin at the start";
            Problem::bad_request("invalid_cursor", detail)
        })
    }

    fn read(&self, cursor: &str) -> Option<Place> {
        let bytes: [u8; CURSOR_BYTES] = BASE64.decode(cursor).ok()?.try_into().ok()?;
        let (content, given) = bytes.split_at(CURSOR_BYTES - CHECKSUM_BYTES);
        let (head, place) = content.split_at(1 + LIST_BYTES);
        let (time, id) = place.split_at(8);
        if given != checksum(content) || head[0] != VERSION || head[1..] != self.0 {
            return None;
        }
        Some(Place {
            time: Timestamp::from_microsecond(i64::from_be_bytes(time.try_into().ok()?)).ok()?,
            id: Uuid::from_slice(id).ok()?,
        })
    }
}

impl Place {
    /// For lists in the order of ids.
    pub(crate) fn at(id: Uuid) -> Self {
        Self { time: Timestamp::UNIX_EPOCH, id }
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let digest: [u8; 32] = Sha256::new().chain_update(b"cursor").chain_update(bytes).finalize().into();
    let mut checksum = [0; CHECKSUM_BYTES];
    checksum.copy_from_slice(&digest[..CHECKSUM_BYTES]);
    checksum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_own_list_only() {
        let list = List::of("/api/messages", &("sms", 1));
        let place = Place { time: "2026-11-23T08:30:00.123456Z".parse().unwrap(), id: Uuid::from_u128(77) };
        let cursor = list.cursor(place);
        assert_eq!(list.place(&cursor).ok(), Some(place));
        for other in [List::of("/api/messages", &("mms", 1)), List::of("/api/conversations", &("sms", 1))] {
            assert!(other.place(&cursor).is_err());
        }
    }

    #[test]
    fn a_changed_cursor_is_refused() {
        let list = List::of("/api/messages", &());
        let cursor = list.cursor(Place::at(Uuid::from_u128(77)));
        for position in 0..cursor.len() {
            let mut changed = cursor.clone().into_bytes();
            changed[position] = if changed[position] == b'A' { b'B' } else { b'A' };
            assert!(list.place(std::str::from_utf8(&changed).unwrap()).is_err(), "{position}");
        }
        for text in ["", "x", "????", &cursor[1..], &format!("{cursor}AAAA")] {
            assert!(list.place(text).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_cursor_brings_its_place_back(microseconds in 0..4_000_000_000_000_000_i64, id: u128, filter: u16) {
            let list = List::of("/api/messages", &filter);
            let time = Timestamp::from_microsecond(microseconds).unwrap();
            let place = Place { time, id: Uuid::from_u128(id) };
            let cursor = list.cursor(place);
            proptest::prop_assert_eq!(list.read(&cursor), Some(place));
            let other = List::of("/api/messages", &(filter, 1));
            proptest::prop_assert_eq!(other.read(&cursor), None);
        }

        #[test]
        fn no_other_text_is_a_cursor(text in "\\PC{0,80}|[A-Za-z0-9_-]{40,60}") {
            proptest::prop_assert_eq!(List::of("/api/messages", &()).read(&text), None);
        }
    }
}
