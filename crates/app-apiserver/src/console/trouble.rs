//! What goes wrong in the console, as a page: the API's problem, for people.

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use maud::html;

use super::layout;
use crate::problem::Problem;

/// A problem that a page cannot go on from.
#[derive(Debug)]
pub(super) struct Trouble(Problem);

impl From<Problem> for Trouble {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<app_db::Error> for Trouble {
    fn from(error: app_db::Error) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let Self(problem) = self;
        let status = problem.status();
        let page = layout::bare(
            status.canonical_reason().unwrap_or("Error"),
            &html! {
                h1 { (status.canonical_reason().unwrap_or("Error")) }
                p role="alert" { (sentence(&problem.summary())) }
                @if status == StatusCode::SERVICE_UNAVAILABLE {
                    p { "What is stored stays stored. Load this page again in a moment." }
                }
                p { a href="/" { "Back to the inbox" } }
            },
        );
        // Its headers, and what the log is told, stay.
        let (mut parts, _) = problem.into_response().into_parts();
        parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        parts.headers.remove(CONTENT_LENGTH);
        (parts.status, parts.headers, parts.extensions, page.into_string()).into_response()
    }
}

/// With a capital and a full stop.
pub(super) fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().collect::<String>()).unwrap_or_default();
    let end = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{end}", characters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_becomes_a_sentence() {
        assert_eq!(sentence("there is no message of this id"), "There is no message of this id.");
        assert_eq!(sentence("Done."), "Done.");
        assert_eq!(sentence(""), ".");
    }
}
