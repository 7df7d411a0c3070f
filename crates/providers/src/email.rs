//! What all email kinds share: the parts of a mail that goes out, and the reading of one that came in.

pub(crate) mod content;
pub(crate) mod html;
pub(crate) mod inbound;
