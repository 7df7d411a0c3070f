//! SMTP submission (RFC 6409): email through any mail server. Replies are `smtp/reply.rs`; what comes back, bounces and
//! answers, is mail that the server hands to our webhook.

mod reply;
mod server;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use model::{Channel, Outcome, Reason};
use secrecy::{ExposeSecret, SecretString};

use crate::callback::{self, query_of};
use crate::email::raw::{self, Envelope};
use crate::email::{ascii_address, inbound, mime};
use crate::shared_secret;
use crate::{
    Call, Kind, Outgoing, Provider, Settings, SettingsError, SmtpReply, SmtpServer, Submission, Webhook,
    WebhookError, WebhookRequest,
};

pub(crate) const KIND: Kind = Kind {
    name: "smtp",
    channels: &[Channel::Email],
    // There is no server for everybody: `host` or `base_url` names one.
    base_url: "smtp://",
    receipts: true,
    inbound: true,
    signature: "none; the webhook's password or ?secret= is webhook_secret",
    receipts_carry_our_id: true,
    verification_keys: &["webhook_secret"],
    setup: include_str!("smtp/setup.toml"),
    configure,
};

const KEYS: &[&str] = &[
    "host",
    "port",
    "security",
    "allow_plaintext",
    "username",
    "password",
    "from_name",
    "helo_name",
    "webhook_secret",
];

#[derive(Debug)]
struct Smtp {
    server: SmtpServer,
    from_name: Option<String>,
    replies: reply::Replies,
    webhook_secret: Option<SecretString>,
    verify: bool,
}

fn configure(settings: &Settings) -> Result<Box<dyn Provider>, SettingsError> {
    settings.only(KEYS)?;
    Ok(Box::new(Smtp {
        server: server::of(settings)?,
        from_name: settings.optional("from_name").map(|name| name.expose_secret().to_owned()),
        replies: reply::Replies::new(&settings.codes),
        webhook_secret: settings.optional("webhook_secret"),
        verify: settings.verify,
    }))
}

impl Provider for Smtp {
    fn call(&self, message: &Outgoing<'_>) -> Result<Call, Outcome> {
        let refused = |reason: Reason, detail: &str| Outcome::Rejected {
            reason,
            provider_code: None,
            detail: detail.to_owned(),
        };
        if message.channel != Channel::Email {
            return Err(refused(Reason::Configuration, "smtp sends email"));
        }
        let address = |text: &str, reason| {
            let detail = "the address is none that plain SMTP carries: its part before the @ must be ASCII";
            ascii_address(text).ok_or_else(|| refused(reason, detail))
        };
        Ok(Call::Smtp(Submission {
            server: self.server.clone(),
            from: address(message.from.as_str(), Reason::Configuration)?,
            to: address(message.to.as_str(), Reason::InvalidRecipient)?,
            envelope_id: callback::reference(message),
            mail: Bytes::from(mime::write(message, self.from_name.as_deref())?),
        }))
    }

    fn smtp_outcome(&self, reply: &SmtpReply) -> Outcome {
        self.replies.outcome(reply)
    }

    fn check_head(&self, head: &WebhookRequest<'_>) -> Result<(), WebhookError> {
        if self.verify {
            shared_secret::verify(head, "webhook_secret", self.webhook_secret.as_ref())
        } else {
            Ok(())
        }
    }

    /// A mail as it is, posted by whatever receives mail for our domain.
    fn webhook(&self, request: &WebhookRequest<'_>) -> Result<Webhook, WebhookError> {
        if self.verify {
            shared_secret::verify(request, "webhook_secret", self.webhook_secret.as_ref())?;
        }
        let content_type = request.header(CONTENT_TYPE);
        if inbound::media_type(content_type) != "message/rfc822" {
            return Err(WebhookError::Unparsable("its content type is not message/rfc822".to_owned()));
        }
        raw::read(request.body, envelope(request), request.now)
    }

    fn reads_parameter(&self, name: &str) -> bool {
        matches!(name, "to" | "from")
    }
}

/// From the query (`?to=…&from=…`), else from the headers in which servers note the recipient at delivery.
fn envelope(request: &WebhookRequest<'_>) -> Envelope {
    let values = |wanted: &str| -> Vec<String> {
        form_urlencoded::parse(query_of(request.url).as_bytes())
            .filter(|(name, value)| name == wanted && value.contains('@'))
            .map(|(_, value)| value.trim_matches(['<', '>', ' ']).to_owned())
            .collect()
    };
    let to = match values("to") {
        to if to.is_empty() => inbound::delivered_to(request.body).into_iter().collect(),
        to => to,
    };
    Envelope { from: values("from").pop(), to }
}
