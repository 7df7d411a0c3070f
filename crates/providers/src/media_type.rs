//! What a webhook's body claims to be.

use http::header::CONTENT_TYPE;

use crate::WebhookRequest;
use crate::http_call::{FORM, JSON};

/// Whether the body is a form; an empty one without a content type is.
pub(crate) fn is_form(request: &WebhookRequest<'_>) -> bool {
    match of(request) {
        Some(media_type) => media_type.eq_ignore_ascii_case(FORM),
        None => request.body.is_empty(),
    }
}

pub(crate) fn is_json(request: &WebhookRequest<'_>) -> bool {
    of(request).is_some_and(|media_type| media_type.eq_ignore_ascii_case(JSON))
}

/// The content type without its parameters.
fn of<'a>(request: &WebhookRequest<'a>) -> Option<&'a str> {
    let value = request.headers.get(CONTENT_TYPE)?.to_str().unwrap_or_default();
    value.split(';').next().map(str::trim)
}
