//! `GET /api/media/{id}`

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::{CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE};

use crate::App;
use crate::messages::parse_id;
use crate::problem::Problem;

/// Download an attachment
///
/// One whose bytes came with an inbound message; its URL stands in the message's `attachments`.
#[utoipa::path(
    get,
    path = "/api/media/{id}",
    tag = "messages",
    operation_id = "show_media",
    params(("id" = String, Path, description = "The file's id")),
    responses(
        (status = 200, description = "The file as it came, always as a download", body = Vec<u8>,
            content_type = "application/octet-stream"),
        (status = 404, description = "`media_not_found`", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show_media(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Problem> {
    let not_found = || Problem::not_found("media_not_found", "there is no file of this id");
    let id = parse_id(&id).ok_or_else(not_found)?;
    let file = app_db::media::find(&*app.database().await?, id).await?.ok_or_else(not_found)?;
    let content_type = HeaderValue::try_from(&file.content_type)
        .unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let disposition =
        HeaderValue::try_from(disposition(&file.filename)).unwrap_or(HeaderValue::from_static("attachment"));
    let headers = [
        (CONTENT_TYPE, content_type),
        (CONTENT_DISPOSITION, disposition),
        // A stranger sent this: should a browser show it all the same, it may do nothing.
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox")),
    ];
    Ok((headers, file.bytes).into_response())
}

/// RFC 6266, with the name in UTF-8 (RFC 8187).
fn disposition(filename: &str) -> String {
    let mut encoded = String::with_capacity(filename.len());
    for byte in filename.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("attachment; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_cannot_break_out_of_its_header() {
        assert_eq!(disposition("a.png"), "attachment; filename*=UTF-8''a.png");
        assert_eq!(disposition("ä\"\r\n;/.png"), "attachment; filename*=UTF-8''%C3%A4%22%0D%0A%3B%2F.png");
    }
}
