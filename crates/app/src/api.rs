//! The HTTP API as commands use it. Turns problem documents into sentences.

use std::env;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::time::timeout;

const TIMEOUT: Duration = Duration::from_secs(60);

/// One API server.
#[derive(Debug)]
pub(crate) struct Api {
    base_url: String,
    authorization: Option<HeaderValue>,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Api {
    /// The key, if there is one, comes from APP_API_KEY: an argument would show in the list of processes.
    pub(crate) fn new(base_url: &str) -> anyhow::Result<Self> {
        let parsed = url::Url::parse(base_url);
        if !parsed.as_ref().is_ok_and(|url| matches!(url.scheme(), "http" | "https")) {
            bail!("`{base_url}` is not a URL such as http://127.0.0.1:8080; --url or APP_URL gives it");
        }
        let authorization = match env::var("APP_API_KEY").ok().filter(|key| !key.is_empty()) {
            Some(key) => {
                let value = HeaderValue::try_from(format!("Bearer {key}"));
                let mut value =
                    value.context("APP_API_KEY is not an API key: it has characters that none has")?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::ring::default_provider())
            .context("the system's certificates cannot be read")?
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { base_url: base_url.trim_end_matches('/').to_owned(), authorization, client })
    }

    pub(crate) async fn get(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<Value> {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        let separator = if query.is_empty() { "" } else { "?" };
        let (status, body) =
            self.exchange(Method::GET, &format!("{path}{separator}{query}"), &[], None).await?;
        json_or_problem(&self.base_url, status, &body)
    }

    pub(crate) async fn post(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let (status, body) = self.exchange(Method::POST, path, headers, body).await?;
        json_or_problem(&self.base_url, status, &body)
    }

    /// As [`post`](Self::post) without a body. An answer of one of these codes is no error, but the code and the answer's
    /// sentence.
    pub(crate) async fn post_unless<'a>(
        &self,
        path: &str,
        codes: &[&'a str],
    ) -> anyhow::Result<Result<Value, (&'a str, String)>> {
        let (status, body) = self.exchange(Method::POST, path, &[], None).await?;
        let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
        let code = codes.iter().find(|&&code| problem.get("code").is_some_and(|given| given == code));
        match (json_or_problem(&self.base_url, status, &body), code) {
            (Err(refusal), Some(code)) => Ok(Err((code, refusal.to_string()))),
            (done, _) => done.map(Ok),
        }
    }

    /// Whatever the answer is; only none is an error.
    pub(crate) async fn get_any(&self, path: &str) -> anyhow::Result<(StatusCode, Bytes)> {
        self.exchange(Method::GET, path, &[], None).await
    }

    /// What to say where the answer is none that this API gives.
    pub(crate) fn is_another(&self) -> String {
        not_this_api(&self.base_url, StatusCode::OK)
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Option<&Value>,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let uri = format!("{}{path}", self.base_url);
        let mut request = Request::builder().method(method).uri(&uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let request = request.body(Full::new(body)).with_context(|| format!("cannot ask {uri}"))?;
        let exchange = async {
            let response = self.client.request(request).await.map_err(|error| {
                // The innermost cause is the one that a person knows: connection refused, no such host.
                let mut cause: &dyn std::error::Error = &error;
                while let Some(deeper) = cause.source() {
                    cause = deeper;
                }
                anyhow::anyhow!("{cause}")
            })?;
            let status = response.status();
            Ok::<_, anyhow::Error>((status, response.into_body().collect().await?.to_bytes()))
        };
        let base_url = &self.base_url;
        timeout(TIMEOUT, exchange)
            .await
            .with_context(|| format!("no answer from {base_url} within {} s", TIMEOUT.as_secs()))?
            .with_context(|| {
                format!("no answer from {base_url} (is `app up` running? --url or APP_URL names it)")
            })
    }
}

fn json_or_problem(base_url: &str, status: StatusCode, body: &Bytes) -> anyhow::Result<Value> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) if status.is_success() => Ok(Value::Object(fields)),
        Ok(problem) if problem.get("code").is_some_and(Value::is_string) => {
            bail!("{}", sentence(status, &problem))
        }
        _ => bail!("{}", not_this_api(base_url, status)),
    }
}

fn not_this_api(base_url: &str, status: StatusCode) -> String {
    let status = status.as_u16();
    format!(
        "what answers at {base_url} (with {status}) is not this API: --url or APP_URL names the server that `app up` \
         prints as Console"
    )
}

/// `400 validation_failed: ...`, and a line for each wrong field.
fn sentence(status: StatusCode, problem: &Value) -> String {
    let text = |key: &str| problem.get(key).and_then(Value::as_str);
    let mut sentence = status.as_u16().to_string();
    if let Some(code) = text("code") {
        sentence.push_str(&format!(" {code}"));
    }
    if let Some(detail) = text("detail").or_else(|| text("title")) {
        sentence.push_str(&format!(": {detail}"));
    }
    for error in problem.get("errors").and_then(Value::as_array).into_iter().flatten() {
        let text = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default();
        sentence.push_str(&format!("\n  {}: {}", text("field"), text("message")));
    }
    if status == StatusCode::UNAUTHORIZED {
        sentence.push_str("\n  set APP_API_KEY to a key from `app keys create`");
    }
    sentence
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_problem_becomes_a_sentence_with_every_field_that_is_wrong() {
        let problem = json!({
            "title": "Bad Request", "code": "validation_failed", "detail": "the request has 1 problem, see errors",
            "errors": [{ "field": "to", "code": "required", "message": "is required" }],
        });
        let said = sentence(StatusCode::BAD_REQUEST, &problem);
        assert_eq!(said, "400 validation_failed: the request has 1 problem, see errors\n  to: is required");
    }

    #[test]
    fn an_answer_that_is_not_ours_is_told() {
        for (status, body) in
            [(200, "<html>"), (404, ""), (404, "{\"detail\":\"Not Found\"}"), (404, "null"), (200, "[]")]
        {
            let status = StatusCode::from_u16(status).unwrap();
            let refused = json_or_problem("http://127.0.0.1:9", status, &Bytes::from(body)).unwrap_err();
            let refused = refused.to_string();
            assert!(
                refused.contains("http://127.0.0.1:9") && refused.contains("is not this API"),
                "{refused}"
            );
        }
    }
}
