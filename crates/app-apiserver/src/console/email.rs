//! An email's HTML as a document of its own, for a frame that may do nothing: no scripts, no forms, nothing loaded, so
//! that its sender does not learn that it was opened.

use std::sync::LazyLock;

use ammonia::Builder;
use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse, Response};
use http::HeaderValue;
use http::header::CONTENT_SECURITY_POLICY;
use maud::{DOCTYPE, PreEscaped, html};

use super::trouble::Trouble;
use super::words::cut;
use crate::App;
use crate::messages::find;

const POLICY: &str = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; \
                      sandbox allow-popups allow-popups-to-escape-sandbox";

/// Of the HTML, so that nobody's mail keeps the server busy.
const HTML_CHARS_MAX: usize = 500_000;

static CLEANER: LazyLock<Builder<'static>> = LazyLock::new(|| {
    let mut builder = Builder::default();
    builder.rm_tags(["img", "map", "area"]).link_rel(Some("noopener noreferrer nofollow"));
    // A link that somebody clicks opens a tab of its own: the frame goes nowhere.
    builder.set_tag_attribute_value("a", "target", "_blank");
    builder
});

pub(super) async fn show(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Trouble> {
    let message = find(&app.database().await?, &id).await?;
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head { meta charset="utf-8"; meta name="color-scheme" content="light"; title { "Email" } }
            body { (PreEscaped(cleaned(&cut(&message.body, HTML_CHARS_MAX)))) }
        }
    };
    let policy = [(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY))];
    Ok((policy, Html(document.into_string())).into_response())
}

/// The one place where foreign markup is not escaped.
fn cleaned(body: &str) -> String {
    CLEANER.clean(body).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_act_or_load_is_gone_and_the_text_stays() {
        let cleaned = cleaned(
            "<p onclick=x()>Hi <b>you</b></p><script>x()</script><img src=https://t.example/1.gif>\
             <a href=javascript:x()>a</a><a href=https://e.example>b</a><form action=/x><input></form>\
             <style>p{background:url(https://t.example)}</style><iframe src=https://e.example></iframe>",
        );
        assert!(cleaned.starts_with("<p>Hi <b>you</b></p>"), "{cleaned}");
        for gone in
            ["script", "onclick", "img", "javascript", "form", "input", "style", "iframe", "t.example"]
        {
            assert!(!cleaned.contains(gone), "{gone}: {cleaned}");
        }
        assert!(cleaned.contains("href=\"https://e.example\""), "{cleaned}");
    }
}
