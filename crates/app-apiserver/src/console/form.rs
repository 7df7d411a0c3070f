//! Forms: what a page sends back, and where it is led to then.

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::LOCATION;
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

use crate::App;
use crate::body::Share;
use crate::fields::{Fields, Object, Text};
use crate::problem::Problem;
use crate::send::Sending;

/// What htmx sends along.
pub(super) const HX_REQUEST: HeaderName = HeaderName::from_static("hx-request");
/// Of the key that makes a form's message one.
const KEY_CHARS_MAX: usize = 64;
/// A login form has a key and an address.
const SMALL_FORM_BYTES_MAX: usize = 8 << 10;

/// Reads a form (`application/x-www-form-urlencoded`).
///
/// # Errors
/// As for any body.
pub(super) async fn read(app: &App, request: Request) -> Result<Fields, Problem> {
    Ok(read_with_share(app, request, app.config.server.body_bytes_max).await?.0)
}

/// The same of a form that anybody may send: of no more bytes than it needs.
///
/// # Errors
/// As for any body.
pub(super) async fn read_small(app: &App, request: Request) -> Result<Fields, Problem> {
    Ok(read_with_share(app, request, SMALL_FORM_BYTES_MAX).await?.0)
}

/// The same, with its share of the memory for bodies, for what goes on to hold its contents.
async fn read_with_share(app: &App, request: Request, limit: usize) -> Result<(Fields, Share), Problem> {
    let (parts, body) = request.into_parts();
    let body = app.bodies.read(&parts, body, limit).await?;
    let text = std::str::from_utf8(&body.bytes)
        .map_err(|error| Problem::bad_request("malformed_form", "the form cannot be read").because(error))?;
    let pairs = form_urlencoded::parse(text.as_bytes());
    // Forms are sent with the line ends of mail (HTML, section 4.10.21.4).
    let fields = pairs.map(|(name, value)| (name.into_owned(), Value::from(value.replace("\r\n", "\n"))));
    Ok((Fields::of(Object(fields.collect())), body.share))
}

/// A form that sends a message, as it came.
pub(super) struct MessageForm {
    /// Whether the page takes the answer in, or leaves for it.
    pub is_htmx: bool,
    pub fields: Fields,
    share: Share,
    key: String,
    path: String,
}

impl MessageForm {
    /// # Errors
    /// As for any body.
    pub(super) async fn read(app: &App, request: Request) -> Result<Self, Problem> {
        let is_htmx = request.headers().contains_key(&HX_REQUEST);
        let path = request.uri().path().to_owned();
        let (mut fields, share) = read_with_share(app, request, app.config.server.body_bytes_max).await?;
        let key = fields.text("key", Text::Line, KEY_CHARS_MAX).unwrap_or_default();
        Ok(Self { is_htmx, fields, share, key, path })
    }

    /// What a field says, whether or not it may.
    pub(super) fn said(&self, name: &str) -> String {
        self.fields.peek(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    pub(super) fn sending(self, app: &App) -> Sending {
        Sending::of_form(app, (self.fields, self.share), self.key, self.path)
    }
}

/// The page to look at next, so that loading it again does nothing twice.
pub(super) fn see(path: &str) -> Response {
    let location = HeaderValue::try_from(path).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response()
}

/// `path` with these parameters; those without a value are left out.
pub(super) fn path_with(path: &str, parameters: &[(&str, Option<&str>)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    let query = query.finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}
