//! The two forms of request that nearly every provider takes.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Uri};
use serde_json::Value;

pub(crate) const FORM: &str = "application/x-www-form-urlencoded";
pub(crate) const JSON: &str = "application/json";

pub(crate) fn post_json(uri: &Uri, authorization: &HeaderValue, body: &Value) -> Request<Bytes> {
    post(uri, authorization, JSON, Bytes::from(body.to_string()))
}

pub(crate) fn post(
    uri: &Uri,
    authorization: &HeaderValue,
    content_type: &str,
    body: Bytes,
) -> Request<Bytes> {
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri.clone();
    request.headers_mut().insert(AUTHORIZATION, authorization.clone());
    if let Ok(content_type) = HeaderValue::from_str(content_type) {
        request.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    request
}
