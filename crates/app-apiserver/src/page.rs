//! What every list takes: `limit` and `cursor`.

use crate::fields::{Fields, Text};

const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 200;
const CURSOR_CHARS_MAX: usize = 512;

/// The page that a request asks for.
#[derive(Clone, Debug)]
pub(crate) struct PageRequest {
    pub limit: usize,
    pub cursor: Option<String>,
}

impl PageRequest {
    /// The names of its parameters.
    pub(crate) const NAMES: [&str; 2] = ["limit", "cursor"];

    pub(crate) fn read(query: &mut Fields) -> Self {
        let limit = match query.text("limit", Text::Line, 20) {
            None => LIMIT_DEFAULT,
            Some(text) => match text.parse() {
                Ok(limit @ 1..=LIMIT_MAX) => limit,
                _ => {
                    query.wrong("limit", "out_of_range", format_args!("must be between 1 and {LIMIT_MAX}"));
                    LIMIT_DEFAULT
                }
            },
        };
        Self { limit, cursor: query.text("cursor", Text::Line, CURSOR_CHARS_MAX) }
    }
}
