//! An attachment as the Cloud API takes it: by link, and under the name of what it is
//! (https://developers.facebook.com/docs/whatsapp/cloud-api/reference/media). Nobody looks at the bytes, so the link's
//! end decides; everything can be sent as a document.

use serde_json::{Value, json};
use url::Url;

/// The message's `type`, and what stands under it.
pub(super) fn of(link: &str, caption: &str) -> (&'static str, Value) {
    let filename = filename(link);
    let extension = filename.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    let kind = match extension.as_deref().unwrap_or_default() {
        "jpg" | "jpeg" | "png" => "image",
        "mp4" | "3gp" => "video",
        // Audio carries no caption, and a text must not be lost.
        "aac" | "amr" | "mp3" | "m4a" | "ogg" | "opus" if caption.is_empty() => "audio",
        _ => "document",
    };
    let mut content = json!({ "link": link });
    if !caption.is_empty() {
        content["caption"] = json!(caption);
    }
    if kind == "document" {
        content["filename"] = json!(filename);
    }
    (kind, content)
}

/// The last part of the link's path.
fn filename(link: &str) -> String {
    let url = Url::parse(link).ok();
    let last = url.as_ref().and_then(|url| url.path_segments()?.next_back()).unwrap_or_default();
    if last.is_empty() { "attachment".to_owned() } else { last.to_owned() }
}
