//! The files that pages are made with, from within the binary. Their names hold a hash of their contents, so that
//! browsers may keep them forever.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use sha2::{Digest, Sha256};

use super::trouble::Trouble;
use crate::problem::Problem;

/// A file and the name that it is served by.
pub(super) struct Asset {
    pub path: String,
    content_type: &'static str,
    content: &'static str,
}

impl Asset {
    fn new(name: &str, content_type: &'static str, content: &'static str) -> Self {
        let digest: [u8; 32] = Sha256::digest(content).into();
        let hash: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        Self { path: format!("/assets/{hash}-{name}"), content_type, content }
    }
}

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

pub(super) static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("console.css", "text/css; charset=utf-8", include_str!("../../../../console/console.css"))
});
pub(super) static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("console.js", JAVASCRIPT, include_str!("../../../../console/console.js")));
pub(super) static LIVE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("live.js", JAVASCRIPT, include_str!("../../../../console/live.js")));
pub(super) static COMPOSER: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("composer.js", JAVASCRIPT, include_str!("../../../../console/composer.js")));
/// htmx and its extension for streams of events: see console/vendor/README.md.
pub(super) static HTMX: LazyLock<Asset> = LazyLock::new(|| {
    let content = concat!(
        include_str!("../../../../console/vendor/htmx.min.js"),
        "\n",
        include_str!("../../../../console/vendor/hx-sse.min.js")
    );
    Asset::new("htmx.js", JAVASCRIPT, content)
});
pub(super) static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("icon.svg", "image/svg+xml", include_str!("../../../../console/icon.svg")));

pub(super) async fn show(Path(name): Path<String>) -> Result<Response, Trouble> {
    let assets: [&Asset; 6] = [&STYLE, &SCRIPT, &LIVE, &COMPOSER, &HTMX, &ICON];
    let found = assets.into_iter().find(|asset| asset.path.strip_prefix("/assets/") == Some(&name));
    let asset = found.ok_or_else(|| {
        Problem::not_found("asset_not_found", "there is no such file in this version; load the page again")
    })?;
    let headers =
        [(CONTENT_TYPE, asset.content_type), (CACHE_CONTROL, "public, max-age=31536000, immutable")];
    Ok((headers, asset.content).into_response())
}
