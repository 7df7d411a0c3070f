//! Any gateway that is called over HTTP, described by the configuration alone: how a request is made
//! (`http/template.rs`), what its answers mean (`http/answer.rs`) and what its webhooks say (`http/webhook.rs`).

mod answer;
mod template;
mod webhook;

use std::fmt;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Request, Response, Uri};
use jiff::Timestamp;
use model::{Channel, Outcome, Reason};
use secrecy::{ExposeSecret, SecretString};

use self::answer::Answers;
use self::template::{Format, Placeholder, Template};
use self::webhook::Fields;
use crate::text_message::without_plus;
use crate::{
    Call, Kind, Outgoing, Provider, Settings, SettingsError, Webhook, WebhookError, WebhookRequest, base_url,
    callback, credentials, shared_secret,
};

pub(crate) const KIND: Kind = Kind {
    name: "http",
    channels: &[Channel::Sms, Channel::Mms, Channel::Email],
    base_url: NO_GATEWAY,
    receipts: true,
    inbound: true,
    signature: "Basic authentication or ?secret= with webhook_secret",
    // The configuration may match them by the gateway's own id.
    receipts_carry_our_id: false,
    verification_keys: &["webhook_secret"],
    setup: include_str!("http/setup.toml"),
    configure,
};

/// There is no default gateway; this name cannot exist (RFC 2606).
const NO_GATEWAY: &str = "https://gateway.example";

const KEYS: &[&str] = &[
    "url",
    "method",
    "content_type",
    "body",
    "headers",
    "authorization",
    "username",
    "password",
    "api_key",
    "success_status",
    "success_when",
    "message_id",
    "error_code",
    "webhook_secret",
    "inbound_id",
    "inbound_from",
    "inbound_to",
    "inbound_body",
    "inbound_subject",
    "inbound_attachments",
    "inbound_channel",
    "receipt_reference",
    "receipt_id",
    "receipt_status",
    "receipt_statuses",
    "receipt_code",
];

/// What the configuration's placeholders for secrets stand for.
#[derive(Debug)]
struct Secrets {
    username: Option<SecretString>,
    password: Option<SecretString>,
    api_key: Option<SecretString>,
    webhook: Option<SecretString>,
}

struct Gateway {
    base_url: String,
    method: Method,
    url: Template,
    content_type: Option<HeaderValue>,
    body: Option<Template>,
    headers: Vec<(HeaderName, Template)>,
    /// Marked as sensitive, so that `Debug` does not show it.
    authorization: Option<HeaderValue>,
    secrets: Secrets,
    answers: Answers,
    fields: Fields,
    verify: bool,
}

/// Templates may hold secrets that somebody wrote into them.
impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("base_url", &self.base_url).finish_non_exhaustive()
    }
}

fn configure(settings: &Settings) -> Result<Box<dyn Provider>, SettingsError> {
    settings.only(KEYS)?;
    let url = settings.required("url")?;
    if settings.base_url.as_str().trim_end_matches('/') == NO_GATEWAY {
        return Err(SettingsError::new("base_url", "is required: the gateway's address, without the path"));
    }
    base_url::join(&settings.base_url, "/")?;
    let url = Template::new("url", Format::Url, url.expose_secret())?;
    let method = match settings.optional("method").as_ref().map(ExposeSecret::expose_secret) {
        None | Some("POST") => Method::POST,
        Some("GET") => Method::GET,
        Some("PUT") => Method::PUT,
        Some(_) => return Err(SettingsError::new("method", "must be POST, GET or PUT")),
    };
    let (content_type, body) = content(settings, &method)?;
    let headers = headers(settings)?;
    let secrets = Secrets {
        username: settings.optional("username"),
        password: settings.optional("password"),
        api_key: settings.optional("api_key"),
        webhook: settings.optional("webhook_secret"),
    };
    let mut templates: Vec<&Template> = vec![&url];
    templates.extend(&body);
    templates.extend(headers.iter().map(|(_, template)| template));
    let uses = |placeholder| templates.iter().any(|template| template.has(placeholder));
    let to_is_sent = uses(Placeholder::To) || uses(Placeholder::ToDigits);
    if !to_is_sent || !uses(Placeholder::Body) {
        let key = if body.is_some() { "body" } else { "url" };
        return Err(SettingsError::new(key, "must have {body}, and {to} or {to_digits}"));
    }
    let authorization = authorization(settings, &secrets, &uses)?;
    let gateway = Gateway {
        answers: Answers::configure(settings)?,
        fields: Fields::configure(settings, uses(Placeholder::CallbackUrl))?,
        base_url: settings.base_url.as_str().trim_end_matches('/').to_owned(),
        method,
        url,
        content_type,
        body,
        headers,
        authorization,
        secrets,
        verify: settings.verify,
    };
    gateway.check_headers()?;
    Ok(Box::new(gateway))
}

fn content(
    settings: &Settings,
    method: &Method,
) -> Result<(Option<HeaderValue>, Option<Template>), SettingsError> {
    let wrong = |key: &str, problem: &str| Err(SettingsError::new(key, problem));
    let (text, content_type) = match (settings.optional("body"), settings.optional("content_type")) {
        (None, None) => return Ok((None, None)),
        (Some(_), _) if *method == Method::GET => return wrong("body", "is not sent with method GET"),
        (Some(text), Some(content_type)) => (text, content_type),
        (Some(_), None) => return wrong("content_type", "is required with body"),
        (None, Some(_)) => return wrong("body", "is required with content_type"),
    };
    let content_type = content_type.expose_secret();
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let format = match media_type.as_str() {
        "application/x-www-form-urlencoded" => Format::Form,
        "application/json" => Format::Json,
        "application/xml" | "text/xml" => Format::Xml,
        other if other.ends_with("+json") => Format::Json,
        other if other.ends_with("+xml") => Format::Xml,
        _ => {
            return wrong(
                "content_type",
                "must be of a form, of JSON or of XML, so that values can be encoded",
            );
        }
    };
    let header = HeaderValue::from_str(content_type)
        .map_err(|_| SettingsError::new("content_type", "cannot be sent in a header"))?;
    Ok((Some(header), Some(Template::new("body", format, text.expose_secret())?)))
}

/// One a line.
fn headers(settings: &Settings) -> Result<Vec<(HeaderName, Template)>, SettingsError> {
    let text = settings.optional("headers");
    let lines = text.as_ref().map(ExposeSecret::expose_secret).unwrap_or_default().lines();
    let mut headers = Vec::new();
    for line in lines.filter(|line| !line.trim().is_empty()) {
        let (name, value) = line
            .split_once(':')
            .and_then(|(name, value)| Some((name.trim().parse::<HeaderName>().ok()?, value.trim())))
            .ok_or_else(|| SettingsError::new("headers", "must be lines such as X-Account: 42"))?;
        let own = [AUTHORIZATION, CONTENT_TYPE, http::header::HOST, http::header::CONTENT_LENGTH];
        if own.contains(&name) || name == http::header::TRANSFER_ENCODING {
            return Err(SettingsError::new(
                "headers",
                format!("must not have {name}, which is made otherwise"),
            ));
        }
        headers.push((name, Template::new("headers", Format::Header, value)?));
    }
    Ok(headers)
}

/// What is configured as a secret is sent: in its placeholder, or else user and password in `Authorization`.
fn authorization(
    settings: &Settings,
    secrets: &Secrets,
    uses: &dyn Fn(Placeholder) -> bool,
) -> Result<Option<HeaderValue>, SettingsError> {
    let wrong = |key: &str, problem: &str| Err(SettingsError::new(key, problem));
    for (placeholder, key, value) in [
        (Placeholder::Username, "username", &secrets.username),
        (Placeholder::Password, "password", &secrets.password),
        (Placeholder::ApiKey, "api_key", &secrets.api_key),
    ] {
        if uses(placeholder) && value.is_none() {
            return wrong(key, "is required: its placeholder is used");
        }
    }
    if secrets.api_key.is_some() && !uses(Placeholder::ApiKey) {
        return wrong(
            "api_key",
            "is nowhere sent; write {api_key} in url, body or headers, or use authorization",
        );
    }
    let basic = match (&secrets.username, &secrets.password) {
        (Some(_), None) => return wrong("password", "is required with username"),
        (None, Some(_)) if !uses(Placeholder::Password) => {
            return wrong("username", "is required with password");
        }
        (Some(username), Some(password)) if !uses(Placeholder::Username) && !uses(Placeholder::Password) => {
            Some(credentials::basic("password", username.expose_secret(), password)?)
        }
        _ => None,
    };
    match (settings.optional("authorization"), basic) {
        (Some(_), Some(_)) => {
            wrong("authorization", "takes the place of username and password, which are Basic")
        }
        (Some(value), None) => credentials::sensitive("authorization", value.expose_secret()).map(Some),
        (None, basic) => Ok(basic),
    }
}

impl Provider for Gateway {
    fn call(&self, message: &Outgoing<'_>) -> Result<Call, Outcome> {
        self.refuse_what_cannot_fit(message)?;
        let value = |placeholder| self.value(placeholder, message);
        let uri: Uri = format!("{}{}", self.base_url, self.url.render(&value))
            .parse()
            .map_err(|_| refused(Reason::ContentRejected, "the message is too long for an address"))?;
        let mut request =
            Request::new(Bytes::from(self.body.as_ref().map(|body| body.render(&value)).unwrap_or_default()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        for (name, template) in &self.headers {
            // They hold nothing of a message's texts, and were tried at start.
            if let Ok(mut header) = HeaderValue::try_from(template.render(&value)) {
                header.set_sensitive(true);
                request.headers_mut().append(name.clone(), header);
            }
        }
        let own = [(CONTENT_TYPE, &self.content_type), (AUTHORIZATION, &self.authorization)];
        for (name, header) in own {
            if let Some(header) = header {
                request.headers_mut().insert(name, header.clone());
            }
        }
        Ok(Call::Http(request))
    }

    fn http_outcome(&self, response: &Response<Bytes>, now: Timestamp) -> Outcome {
        self.answers.outcome(response, now)
    }

    fn check_head(&self, head: &WebhookRequest<'_>) -> Result<(), WebhookError> {
        if self.verify {
            shared_secret::verify(head, "webhook_secret", self.secrets.webhook.as_ref())
        } else {
            Ok(())
        }
    }

    fn webhook(&self, request: &WebhookRequest<'_>) -> Result<Webhook, WebhookError> {
        if self.verify {
            shared_secret::verify(request, "webhook_secret", self.secrets.webhook.as_ref())?;
        }
        self.fields.read(request, self.answers.codes())
    }

    fn reads_parameter(&self, name: &str) -> bool {
        self.fields.names().any(|field| field == name)
    }
}

impl Gateway {
    fn uses(&self, placeholder: Placeholder) -> bool {
        self.url.has(placeholder) || self.body.as_ref().is_some_and(|body| body.has(placeholder))
    }

    fn refuse_what_cannot_fit(&self, message: &Outgoing<'_>) -> Result<(), Outcome> {
        if message.body.is_empty() && message.attachments.is_empty() {
            return Err(refused(Reason::ContentRejected, "the message has neither body nor attachments"));
        }
        let attachments_max = match (self.uses(Placeholder::Attachments), self.uses(Placeholder::Attachment))
        {
            (true, _) => usize::MAX,
            (false, true) => 1,
            (false, false) => 0,
        };
        if message.attachments.len() > attachments_max || !message.files.is_empty() {
            return Err(refused(
                Reason::ContentRejected,
                "the configuration has no place for these attachments",
            ));
        }
        let has_subject =
            message.channel == Channel::Email && message.subject.is_some_and(|text| !text.is_empty());
        if has_subject && !self.uses(Placeholder::Subject) {
            return Err(refused(
                Reason::Configuration,
                "the configuration has no {subject} for the mail's subject",
            ));
        }
        Ok(())
    }

    fn value(&self, placeholder: Placeholder, message: &Outgoing<'_>) -> String {
        let secret = |secret: &Option<SecretString>| {
            secret.as_ref().map(|secret| secret.expose_secret().to_owned()).unwrap_or_default()
        };
        match placeholder {
            Placeholder::From => message.from.as_str().to_owned(),
            Placeholder::FromDigits => without_plus(message.from).to_owned(),
            Placeholder::To => message.to.as_str().to_owned(),
            Placeholder::ToDigits => without_plus(message.to).to_owned(),
            Placeholder::Body => message.body.to_owned(),
            Placeholder::Subject => message.subject.unwrap_or_default().to_owned(),
            Placeholder::Attachment => message.attachments.first().cloned().unwrap_or_default(),
            Placeholder::Attachments => serde_json::Value::from(message.attachments).to_string(),
            Placeholder::MessageId => message.message_id.to_string(),
            Placeholder::Attempt => message.attempt.to_string(),
            Placeholder::CallbackUrl => self.callback_url(message),
            Placeholder::Username => secret(&self.secrets.username),
            Placeholder::Password => secret(&self.secrets.password),
            Placeholder::ApiKey => secret(&self.secrets.api_key),
        }
    }

    /// With the secret that a receipt needs: this gateway is told no other way.
    fn callback_url(&self, message: &Outgoing<'_>) -> String {
        let mut url = callback::url(message);
        if let Some(secret) = &self.secrets.webhook {
            url.push_str("&secret=");
            template::encode(Format::Url, secret.expose_secret(), &mut url);
        }
        url
    }

    fn check_headers(&self) -> Result<(), SettingsError> {
        let value = |placeholder| match placeholder {
            Placeholder::Username => self.secrets.username.as_ref(),
            Placeholder::Password => self.secrets.password.as_ref(),
            Placeholder::ApiKey => self.secrets.api_key.as_ref(),
            _ => None,
        };
        let render = |template: &Template| {
            template.render(&|placeholder| {
                value(placeholder).map(|secret| secret.expose_secret().to_owned()).unwrap_or_default()
            })
        };
        let fits = self.headers.iter().all(|(_, template)| HeaderValue::try_from(render(template)).is_ok());
        if fits {
            Ok(())
        } else {
            Err(SettingsError::new("headers", "has a value that cannot be sent in a header"))
        }
    }
}

fn refused(reason: Reason, detail: &str) -> Outcome {
    Outcome::Rejected { reason, provider_code: None, detail: detail.to_owned() }
}

#[cfg(test)]
#[path = "http/tests.rs"]
mod tests;
