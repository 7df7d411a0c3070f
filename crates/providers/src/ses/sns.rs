//! Amazon SNS: the envelope of a notification and its signature
//! (https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use ring::signature::{
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, RsaParameters,
    UnparsedPublicKey,
};
use serde_json::{Map, Value};
use url::Url;
use x509_cert::Certificate;
use x509_cert::der::Decode;

use crate::signed_at::{self, Window};
use crate::webhook::unverified;
use crate::{SettingsError, WebhookError, WebhookRequest};

/// SNS tries for an hour at most unless it is told otherwise, and a delivery may be looked at again by hand.
const WINDOW: Window = Window { age_s_max: 7 * 24 * 3600, ahead_s_max: i64::MAX, words: "a week" };

const NOTIFICATION: &[&str] = &["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"];
const CONFIRMATION: &[&str] =
    &["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"];

/// The topics whose notifications are ours: anybody can have SNS sign a notification of a topic of theirs.
#[derive(Debug)]
pub(super) struct Topics(Vec<String>);

impl Topics {
    /// From a list with commas.
    ///
    /// # Errors
    /// Where one is no topic's ARN.
    pub(super) fn new(list: Option<&str>) -> Result<Self, SettingsError> {
        let topics: Vec<String> =
            list.into_iter().flat_map(|list| list.split(',')).map(|arn| arn.trim().to_owned()).collect();
        match topics.iter().find(|arn| region(arn).is_none()) {
            Some(_) => Err(SettingsError::new(
                "topic_arn",
                "must be ARNs such as arn:aws:sns:eu-central-1:123456789012:ses",
            )),
            None => Ok(Self(topics)),
        }
    }
}

/// `arn:{partition}:sns:{region}:{account}:{name}`
fn region(arn: &str) -> Option<&str> {
    match arn.split(':').collect::<Vec<_>>()[..] {
        ["arn", _, "sns", region, _, _] if !region.is_empty() => Some(region),
        _ => None,
    }
}

/// The JSON that SNS posts.
pub(super) struct Envelope(Map<String, Value>);

impl Envelope {
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let envelope: Map<String, Value> = serde_json::from_slice(body).ok()?;
        (envelope.contains_key("Type") && envelope.contains_key("Message")).then_some(Self(envelope))
    }

    fn text(&self, name: &str) -> &str {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn kind(&self) -> &str {
        self.text("Type")
    }

    pub(super) fn message(&self) -> &str {
        self.text("Message")
    }

    /// Where the subscription is confirmed.
    ///
    /// # Errors
    /// Where that is not SNS.
    pub(super) fn subscribe_url(&self) -> Result<String, WebhookError> {
        let url = self.text("SubscribeURL");
        match region_of_host(url) {
            Some(_) => Ok(url.to_owned()),
            None => Err(unverified("its SubscribeURL is no address of SNS")),
        }
    }

    /// # Errors
    /// [`WebhookError::Unverified`], or [`WebhookError::Needs`] with the certificate's address.
    pub(super) fn verify(&self, topics: &Topics, request: &WebhookRequest<'_>) -> Result<(), WebhookError> {
        let topic = self.text("TopicArn");
        if topics.0.is_empty() {
            return Err(unverified("topic_arn is not set; it says whose notifications are taken"));
        }
        if !topics.0.iter().any(|ours| ours == topic) {
            return Err(unverified("its topic is none of topic_arn"));
        }
        let at = self.text("Timestamp").parse::<Timestamp>().map_err(|_| unverified("it tells no time"))?;
        signed_at::check_s(at.as_second(), &WINDOW, request.now)?;
        let algorithm: &RsaParameters = match self.text("SignatureVersion") {
            "1" => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            "2" => &RSA_PKCS1_2048_8192_SHA256,
            _ => return Err(unverified("its SignatureVersion is neither 1 nor 2")),
        };
        let signature =
            BASE64.decode(self.text("Signature")).map_err(|_| unverified("its signature is none"))?;
        let url = self.text("SigningCertURL");
        let is_certificate = Url::parse(url).is_ok_and(|url| url.path().ends_with(".pem"));
        if !is_certificate || region_of_host(url).as_deref() != region(topic) {
            return Err(unverified("its certificate is not at SNS of the topic's region"));
        }
        let document = request.document(url).ok_or_else(|| WebhookError::Needs(url.to_owned()))?;
        let key = public_key(document, request.now)?;
        let key = UnparsedPublicKey::new(algorithm, key);
        match self.strings_to_sign().iter().any(|signed| key.verify(signed.as_bytes(), &signature).is_ok()) {
            true => Ok(()),
            false => Err(unverified("its signature is not of its certificate")),
        }
    }

    /// One for each way in which SNS may have signed: what it documents for an UnsubscribeConfirmation is not what
    /// its own library verifies, which leaves the token out.
    fn strings_to_sign(&self) -> Vec<String> {
        let string = |keys: &[&str]| -> String {
            let found = keys.iter().filter(|key| self.0.contains_key(**key));
            found.map(|key| format!("{key}\n{}\n", self.text(key))).collect()
        };
        match self.kind() {
            "Notification" => vec![string(NOTIFICATION)],
            "SubscriptionConfirmation" => vec![string(CONFIRMATION)],
            "UnsubscribeConfirmation" => {
                let without_token: Vec<&str> =
                    CONFIRMATION.iter().copied().filter(|key| *key != "Token").collect();
                vec![string(CONFIRMATION), string(&without_token)]
            }
            _ => Vec::new(),
        }
    }
}

/// The region of an https address of SNS: `sns.{region}.amazonaws.com` or `….com.cn`, and nothing else.
fn region_of_host(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    let plain = url.scheme() == "https" && url.port().is_none() && url.username().is_empty();
    let host = url.host_str().filter(|_| plain && url.password().is_none())?;
    let host = host.strip_suffix(".cn").unwrap_or(host);
    let region = host.strip_prefix("sns.")?.strip_suffix(".amazonaws.com")?;
    let fits = region.len() >= 3 && region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    fits.then(|| region.to_owned())
}

/// The RSA key of a certificate (RFC 5280, RFC 7468) that counts now. Who issued it is not asked: that it was fetched
/// from SNS vouches for it.
fn public_key(document: &[u8], now: Timestamp) -> Result<Vec<u8>, WebhookError> {
    let unreadable = || unverified("its certificate cannot be read");
    let text = std::str::from_utf8(document).map_err(|_| unreadable())?;
    let body = text
        .split_once("-----BEGIN CERTIFICATE-----")
        .and_then(|(_, rest)| rest.split_once("-----END CERTIFICATE-----"))
        .ok_or_else(unreadable)?
        .0;
    let body: String = body.split_ascii_whitespace().collect();
    let der = BASE64.decode(body).map_err(|_| unreadable())?;
    let certificate = Certificate::from_der(&der).map_err(|_| unreadable())?.tbs_certificate;
    let now = Duration::from_secs(u64::try_from(now.as_second()).unwrap_or_default());
    let (begin, end) = (certificate.validity.not_before, certificate.validity.not_after);
    if now < begin.to_unix_duration() || now > end.to_unix_duration() {
        return Err(unverified("its certificate does not count at this time"));
    }
    let key = certificate.subject_public_key_info.subject_public_key;
    key.as_bytes().map(<[u8]>::to_vec).ok_or_else(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sns_is_asked() {
        for (url, region) in [
            ("https://sns.us-west-2.amazonaws.com/x.pem", Some("us-west-2")),
            ("https://sns.cn-north-1.amazonaws.com.cn/x.pem", Some("cn-north-1")),
            ("http://sns.us-west-2.amazonaws.com/x.pem", None),
            ("https://sns.us-west-2.amazonaws.com:8443/x.pem", None),
            ("https://user@sns.us-west-2.amazonaws.com/x.pem", None),
            ("https://:p@sns.us-west-2.amazonaws.com/x.pem", None),
            ("https://sns.us-west-2.amazonaws.com.example.org/x.pem", None),
            ("https://sns.us-west-2.amazonaws.com.cn.cn/x.pem", None),
            ("https://example.org/sns.us-west-2.amazonaws.com/x.pem", None),
            ("https://example.org\\@sns.us-west-2.amazonaws.com/x.pem", None),
            ("https://sns.a.b.amazonaws.com/x.pem", None),
            ("https://sns.x.amazonaws.com/x.pem", None),
            ("https://xsns.us-west-2.amazonaws.com/x.pem", None),
            ("", None),
        ] {
            assert_eq!(region_of_host(url).as_deref(), region, "{url}");
        }
    }

    #[test]
    fn topics_are_arns() {
        assert!(Topics::new(None).unwrap().0.is_empty());
        assert_eq!(
            Topics::new(Some("arn:aws:sns:eu-west-1:1:a, arn:aws:sns:eu-west-1:1:b")).unwrap().0.len(),
            2
        );
        for list in ["ses", "arn:aws:sqs:eu-west-1:1:a", "arn:aws:sns:eu-west-1:1:a,", "arn:aws:sns::1:a"] {
            assert_eq!(Topics::new(Some(list)).unwrap_err().key, "topic_arn", "{list}");
        }
    }
}
