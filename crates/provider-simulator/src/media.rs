//! What a media URL is taken to lead to. The simulator fetches none.

pub(crate) fn content_type(url: &str) -> &'static str {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    match path.rsplit('.').next().unwrap_or_default() {
        "png" => "image/png",
        "gif" => "image/gif",
        "vcf" => "text/vcard",
        "pdf" => "application/pdf",
        _ => "image/jpeg",
    }
}
