//! An email's HTML as a document of its own, for a frame that may do nothing: no scripts, no forms, nothing loaded, so
//! that its sender does not learn that it was opened.

mod clean;

use ammonia::{Builder, UrlRelative};
use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse, Response};
use http::HeaderValue;
use http::header::CONTENT_SECURITY_POLICY;
use maud::{DOCTYPE, PreEscaped, html};
use providers::html_to_text;
use url::{Host, Url};

use super::trouble::Trouble;
use super::words::cut;
use crate::App;
use crate::messages::find;

const POLICY: &str = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; \
                      sandbox allow-popups allow-popups-to-escape-sandbox";

/// In place of markup that [`clean`] refuses.
const TOO_COMPLEX: &str =
    "The markup of this email is too large or too deeply nested to be shown. This is its text.";

/// Of the HTML, so that nobody's mail keeps the server busy.
const HTML_CHARS_MAX: usize = 500_000;

/// What is left of foreign markup. A link that somebody clicks opens a tab of its own, elsewhere: the frame goes nowhere, and
/// no mail leads to our own pages.
fn cleaner(own: impl Fn(&Url) -> bool + Send + Sync + 'static) -> Builder<'static> {
    let mut builder = Builder::default();
    builder.rm_tags(["img", "map", "area"]).link_rel(Some("noopener noreferrer nofollow"));
    builder.set_tag_attribute_value("a", "target", "_blank");
    builder.url_relative(UrlRelative::Deny).attribute_filter(move |_, attribute, value| {
        if attribute != "href" {
            return Some(value.into());
        }
        // As it was read here: a browser would read `https:/keys` as a path of ours.
        let url = Url::parse(value).ok().filter(|url| !own(url))?;
        Some(String::from(url).into())
    });
    builder
}

/// Whether it is this server, by whatever name.
fn is_own(url: &Url, public_url: &str) -> bool {
    let public_host = Url::parse(public_url).ok().and_then(|url| url.host_str().map(str::to_owned));
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback() || public_host == Some(address.to_string()),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost") || public_host.as_deref() == Some(name)
        }
        None => false,
    }
}

pub(super) async fn show(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Trouble> {
    let message = find(&app.database().await?, &id).await?;
    let html = cut(&message.body, HTML_CHARS_MAX);
    let cleaned = clean::clean(cleaner_for(&app.config.public_url), html.clone()).await;
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head { meta charset="utf-8"; meta name="color-scheme" content="light"; title { "Email" } }
            body {
                // The one place where foreign markup is not escaped.
                @match cleaned {
                    Some(cleaned) => (PreEscaped(cleaned)),
                    None => {
                        p { i { (TOO_COMPLEX) } }
                        @for line in html_to_text(&html).lines() { (line) br; }
                    },
                }
            }
        }
    };
    let policy = [(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY))];
    Ok((policy, Html(document.into_string())).into_response())
}

fn cleaner_for(public_url: &str) -> Builder<'static> {
    let public_url = public_url.to_owned();
    cleaner(move |url| is_own(url, &public_url))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC_URL: &str = "https://msg.example";

    fn cleaned(body: &str, public_url: &str) -> String {
        cleaner_for(public_url).clean(body).to_string()
    }

    #[test]
    fn what_could_act_or_load_is_gone_and_the_text_stays() {
        let body = "<p onclick=x()>Hi <b>you</b></p><script>x()</script><img src=https://t.example/1.gif>\
             <a href=javascript:x()>a</a><a href=https://e.example>b</a><form action=/x><input></form>\
             <style>p{background:url(https://t.example)}</style><iframe src=https://e.example></iframe>";
        let cleaned = cleaned(body, PUBLIC_URL);
        assert!(cleaned.starts_with("<p>Hi <b>you</b></p>"), "{cleaned}");
        for gone in
            ["script", "onclick", "img", "javascript", "form", "input", "style", "iframe", "t.example"]
        {
            assert!(!cleaned.contains(gone), "{gone}: {cleaned}");
        }
        assert!(cleaned.contains("href=\"https://e.example/\""), "{cleaned}");
    }

    #[test]
    fn no_mail_leads_to_our_own_pages() {
        for own in [
            "/keys",
            "keys",
            "//msg.example/keys",
            "https://msg.example./keys",
            "https://msg.example/bulk?action=cancel",
            "http://127.0.0.1:8080/keys",
            "http://localhost/keys",
            "http://[::1]:8080/",
        ] {
            let cleaned = cleaned(&format!("<a href=\"{own}\">Click</a>"), PUBLIC_URL);
            assert!(!cleaned.contains("href") && cleaned.contains("Click"), "{own}: {cleaned}");
        }
        for read_otherwise in ["https:/keys", "https:keys"] {
            let cleaned = cleaned(&format!("<a href=\"{read_otherwise}\">Click</a>"), PUBLIC_URL);
            assert!(cleaned.contains("href=\"https://keys/\""), "{cleaned}");
        }
    }
}
