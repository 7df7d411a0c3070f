//! Signature Version 4 of a call, checked.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::digest::{hex, hmac_sha256, sha256};
use crate::http_call::HttpCall;

/// How far a clock may be off.
const SKEW_S: i64 = 300;

/// What the Authorization header says.
pub(super) struct Signed<'a> {
    pub(super) access_key_id: &'a str,
    /// Date, region, service, `aws4_request`.
    scope: Vec<&'a str>,
    headers: Vec<&'a str>,
    signature: &'a str,
}

impl<'a> Signed<'a> {
    pub(super) fn read(call: &'a HttpCall) -> Option<Self> {
        let fields = call.authorization("AWS4-HMAC-SHA256")?;
        let field = |name: &str| {
            fields.split(',').find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='))
        };
        let (access_key_id, scope) = field("Credential")?.split_once('/')?;
        Some(Self {
            access_key_id,
            scope: scope.split('/').collect(),
            headers: field("SignedHeaders")?.split(';').collect(),
            signature: field("Signature")?,
        })
    }

    pub(super) fn check(&self, call: &HttpCall, secret: &str, now: Timestamp) -> Result<(), &'static str> {
        let [date, region, service, "aws4_request"] = self.scope[..] else {
            return Err("Credential should be scoped to a valid region and service.");
        };
        if service != "ses" {
            return Err("Credential should be scoped to correct service: 'ses'.");
        }
        let time = call.header("x-amz-date");
        let signed_at = DateTime::strptime("%Y%m%dT%H%M%SZ", time)
            .ok()
            .and_then(|time| time.to_zoned(TimeZone::UTC).ok())
            .map(|time| time.timestamp());
        let is_now = signed_at.is_some_and(|at| (at.as_second() - now.as_second()).abs() <= SKEW_S);
        if !is_now || !time.starts_with(date) {
            return Err("Signature expired, or not yet current.");
        }
        if !self.headers.contains(&"host") {
            return Err("'Host' must be a 'SignedHeader' in the AWS Authorization.");
        }
        let request = hex(&sha256(self.canonical(call).as_bytes()));
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{}\n{request}", self.scope.join("/"));
        let mut key = hmac_sha256(format!("AWS4{secret}").as_bytes(), &[date.as_bytes()]);
        for part in [region, service, "aws4_request"] {
            key = hmac_sha256(&key, &[part.as_bytes()]);
        }
        if hex(&hmac_sha256(&key, &[text.as_bytes()])) == self.signature {
            Ok(())
        } else {
            Err("The request signature we calculated does not match the signature you provided.")
        }
    }

    /// The path of this call has nothing to be encoded, and no query.
    fn canonical(&self, call: &HttpCall) -> String {
        let mut text = format!("POST\n{}\n\n", call.uri.path());
        for name in &self.headers {
            let value = call.header(name).split_whitespace().collect::<Vec<_>>().join(" ");
            text.push_str(&format!("{name}:{value}\n"));
        }
        format!("{text}\n{}\n{}", self.headers.join(";"), hex(&sha256(&call.body)))
    }
}
