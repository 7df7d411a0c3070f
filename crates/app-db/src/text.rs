//! Text from outside, on its way into a column: PostgreSQL stores every character but U+0000.

use std::borrow::Cow;

use model::StatusPayload;

/// The text, with U+FFFD in place of U+0000. A provider's odd answer must not keep its message from settling.
pub(crate) fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{FFFD}")) } else { Cow::Borrowed(text) }
}

pub(crate) fn storable_payload(payload: &StatusPayload) -> StatusPayload {
    let owned = |text: &Option<String>| text.as_deref().map(|text| storable(text).into_owned());
    StatusPayload {
        code: payload.code.clone(),
        provider_code: owned(&payload.provider_code),
        detail: owned(&payload.detail),
        temporary: payload.temporary,
    }
}
