//! The one form of every error answer: a problem document (RFC 9457) with a stable `code`. What went wrong inside
//! is logged once, by [`crate::observe`], and never shown.

use std::error::Error;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use service::telemetry::chain;
use utoipa::ToSchema;

const OVERLOADED: &str = "overloaded";
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

/// What is wrong with one field of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({"field": "to", "code": "required", "message": "is required"}))]
pub(crate) struct FieldError {
    /// Where: the name of a field or of a query parameter, with a path below it (`attachments[1]`).
    pub field: String,
    /// A stable word for what is wrong.
    pub code: String,
    /// For people: a sentence whose subject is the field.
    pub message: String,
}

/// An error as a document (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "type": "about:blank", "title": "Bad Request", "status": 400, "code": "validation_failed",
    "detail": "the request has 1 problem, see errors",
    "errors": [{"field": "to", "code": "required", "message": "is required"}]
}))]
pub(crate) struct Problem {
    /// Always `about:blank`: `code` tells problems apart.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    kind: AboutBlank,
    /// The status in words.
    title: &'static str,
    #[serde(serialize_with = "as_number")]
    #[schema(value_type = u16, minimum = 400, maximum = 599)]
    status: StatusCode,
    /// A stable word for the problem: match on this one.
    code: &'static str,
    /// What is wrong and what to do, for people.
    detail: String,
    /// Every wrong field; only where `code` is `validation_failed`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<FieldError>,
    #[serde(skip)]
    hint: Hint,
    #[serde(skip)]
    cause: Option<Cause>,
}

#[derive(Debug, Serialize)]
enum AboutBlank {
    #[serde(rename = "about:blank")]
    AboutBlank,
}

/// What a header says of a problem.
#[derive(Debug)]
enum Hint {
    Nothing,
    /// `WWW-Authenticate`.
    Authenticate,
    /// `Retry-After`, in seconds.
    RetryAfter(u32),
}

/// What is behind a problem, in the extensions of its response, for the log.
#[derive(Clone, Debug)]
pub(crate) struct Cause(pub Arc<dyn Error + Send + Sync>);

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn as_number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind: AboutBlank::AboutBlank,
            title: status.canonical_reason().unwrap_or("Error"),
            status,
            code,
            detail: detail.into(),
            errors: Vec::new(),
            hint: Hint::Nothing,
            cause: None,
        }
    }

    pub(crate) fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    pub(crate) fn not_found(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    pub(crate) fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// All that is wrong with a request, at once.
    pub(crate) fn validation(errors: Vec<FieldError>) -> Self {
        let problems = if errors.len() == 1 { "problem" } else { "problems" };
        let detail = format!("the request has {} {problems}, see errors", errors.len());
        Self { errors, ..Self::bad_request("validation_failed", detail) }
    }

    pub(crate) fn unauthorized(detail: impl Into<String>) -> Self {
        let problem = Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail);
        Self { hint: Hint::Authenticate, ..problem }
    }

    /// More waits than can be served soon.
    pub(crate) fn overloaded() -> Self {
        let detail = "more requests wait than can be served soon; try again, a little slower";
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, OVERLOADED, detail);
        Self { hint: Hint::RetryAfter(1), ..problem }
    }

    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "database_unavailable", detail);
        Self { hint: Hint::RetryAfter(1), ..problem }
    }

    /// A defect of ours. Opaque.
    pub(crate) fn internal() -> Self {
        let detail =
            "something went wrong here; the server's log says what, under this answer's X-Request-Id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }

    /// Tells when to try again, in seconds.
    pub(crate) fn retry_after(self, seconds: u32) -> Self {
        Self { hint: Hint::RetryAfter(seconds), ..self }
    }

    pub(crate) fn because(self, cause: impl Error + Send + Sync + 'static) -> Self {
        Self { cause: Some(Cause(Arc::new(cause))), ..self }
    }

    /// What is wrong in one line, without contents.
    pub(crate) fn summary(&self) -> String {
        let sentence = |error: &FieldError| format!("{} {}", error.field, error.message);
        let messages: Vec<String> = self.errors.iter().map(sentence).collect();
        if messages.is_empty() { self.detail.clone() } else { messages.join("; ") }
    }

    /// Whether the database did not answer.
    pub(crate) fn is_of_no_database(&self) -> bool {
        let cause = self.cause.as_ref().and_then(|cause| cause.0.downcast_ref());
        matches!(cause, Some(app_db::Error::Unavailable(_)))
    }

    pub(crate) fn is_overload(&self) -> bool {
        self.code == OVERLOADED
    }

    /// Whether it is this server's just now, whatever it is asked: then asking again may help.
    pub(crate) fn may_pass(&self) -> bool {
        self.is_of_no_database() || self.is_overload()
    }

    /// What went wrong inside, for the log.
    pub(crate) fn cause(&self) -> String {
        self.cause.as_ref().map_or_else(|| self.code.to_owned(), |cause| chain(&*cause.0))
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn code(&self) -> &'static str {
        self.code
    }
}

impl From<app_db::Error> for Problem {
    fn from(error: app_db::Error) -> Self {
        match error {
            app_db::Error::Unavailable(_) => {
                Self::unavailable("the database cannot be reached; try again in a moment").because(error)
            }
            app_db::Error::Conflict(_) => {
                Self::unavailable("the database was too busy to store this; try again").because(error)
            }
            app_db::Error::NoPartition { .. } => {
                Self::unavailable("the database has no room for this week's messages yet; try again later")
                    .because(error)
            }
            app_db::Error::Refused(_) | app_db::Error::Unreadable(_) | app_db::Error::Unusable(_) => {
                Self::internal().because(error)
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (self.status, [(CONTENT_TYPE, MEDIA_TYPE)], body).into_response();
        let hint = match self.hint {
            Hint::Nothing => None,
            Hint::Authenticate => Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"app\""))),
            Hint::RetryAfter(seconds) => Some((RETRY_AFTER, HeaderValue::from(seconds))),
        };
        if let Some((name, value)) = hint {
            response.headers_mut().insert(name, value);
        }
        if let Some(cause) = self.cause {
            response.extensions_mut().insert(cause);
        }
        response
    }
}
