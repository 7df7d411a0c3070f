//! The signatures that prove a webhook's origin. Written from the protocols, not from the adapters' verification,
//! so that a mistake cannot agree with itself.

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::DecodePrivateKey as _;
use sha1::Sha1;

use crate::options::DEMO_SENDGRID_SIGNING_KEY;

/// `X-Twilio-Signature`: HMAC-SHA1 over the URL, query verbatim, and the sorted names and values of the form.
pub fn twilio_signature(auth_token: &str, url: &str, form: &[(String, String)]) -> String {
    // A set: values of a repeated name are sorted and de-duplicated.
    let sorted: BTreeSet<(&str, &str)> =
        form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
    let mut mac = Hmac::<Sha1>::new_from_slice(auth_token.as_bytes()).expect("a key of any length");
    mac.update(url.as_bytes());
    for (name, value) in sorted {
        mac.update(name.as_bytes());
        mac.update(value.as_bytes());
    }
    STANDARD.encode(mac.finalize().into_bytes())
}

/// A signing key that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningKeyError {
    #[error("the signing key is not base64")]
    NotBase64,
    #[error("the signing key is not a P-256 private key in PKCS#8 form")]
    NotPkcs8,
}

/// Signs Event Webhook bodies.
#[derive(Clone)]
pub struct SendgridSigner(SigningKey);

impl SendgridSigner {
    /// The key whose public half is [`crate::DEMO_SENDGRID_WEBHOOK_PUBLIC_KEY`].
    #[expect(clippy::expect_used, reason = "a constant that a test reads")]
    pub fn demo() -> Self {
        Self::from_pkcs8_base64(DEMO_SENDGRID_SIGNING_KEY).expect("the demonstration key is valid")
    }

    /// # Errors
    /// When the text is not base64 of a P-256 key in PKCS#8.
    pub fn from_pkcs8_base64(text: &str) -> Result<Self, SigningKeyError> {
        let der = STANDARD.decode(text.trim()).map_err(|_| SigningKeyError::NotBase64)?;
        SigningKey::from_pkcs8_der(&der).map(Self).map_err(|_| SigningKeyError::NotPkcs8)
    }

    /// `X-Twilio-Email-Event-Webhook-Signature`: base64 of a DER ECDSA signature over timestamp and body.
    pub fn sign(&self, timestamp: &str, body: &[u8]) -> String {
        let signature: Signature = self.0.sign(&[timestamp.as_bytes(), body].concat());
        STANDARD.encode(signature.to_der().as_bytes())
    }
}

impl fmt::Debug for SendgridSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendgridSigner")
    }
}
