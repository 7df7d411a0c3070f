//! What a gateway's webhook says, by the fields that the configuration names: of JSON by pointers or names, of a form
//! or a query by names. Must not be asked before the secret is.

use http::Method;
use model::{Channel, Delivery};
use secrecy::ExposeSecret;
use serde_json::Value;

use super::answer::scalar;
use crate::callback::{in_reference, in_url, query_of};
use crate::error_codes::{ErrorCodes, Known};
use crate::inbound_text::{code_word, international, is_web_address, storable};
use crate::webhook::unparsable;
use crate::{InboundMessage, Receipt, Settings, SettingsError, Webhook, WebhookError, WebhookRequest};

#[derive(Debug)]
pub(super) struct Fields {
    inbound: Option<InboundFields>,
    receipt: Option<ReceiptFields>,
}

#[derive(Debug)]
struct InboundFields {
    id: String,
    from: String,
    to: String,
    body: String,
    subject: Option<String>,
    attachments: Option<String>,
    channel: Channel,
}

#[derive(Debug)]
struct ReceiptFields {
    reference: Option<String>,
    id: Option<String>,
    status: String,
    statuses: Vec<(String, Delivery)>,
    code: Option<String>,
}

impl Fields {
    /// # Errors
    /// Where half of what a message or a receipt needs is named. `named` says whether receipts come to an address that
    /// names their message.
    pub(super) fn configure(settings: &Settings, named: bool) -> Result<Self, SettingsError> {
        Ok(Self { inbound: inbound_fields(settings)?, receipt: receipt_fields(settings, named)? })
    }

    /// The names that the configuration gives.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let inbound = self.inbound.iter().flat_map(|fields| {
            let InboundFields { id, from, to, body, subject, attachments, channel: _ } = fields;
            [Some(id), Some(from), Some(to), Some(body), subject.as_ref(), attachments.as_ref()]
        });
        let receipt = self.receipt.iter().flat_map(|fields| {
            let ReceiptFields { reference, id, status, statuses: _, code } = fields;
            [reference.as_ref(), id.as_ref(), Some(status), code.as_ref()]
        });
        inbound.chain(receipt).flatten().map(String::as_str)
    }

    /// # Errors
    /// [`WebhookError::Unparsable`].
    pub(super) fn read(
        &self,
        request: &WebhookRequest<'_>,
        codes: &ErrorCodes,
    ) -> Result<Webhook, WebhookError> {
        let document = Document::of(request);
        let is_inbound = |fields: &&InboundFields| {
            document.get(&fields.from).is_some() && document.get(&fields.body).is_some()
        };
        let inbound = self.inbound.as_ref().filter(is_inbound);
        let status = self.receipt.as_ref().and_then(|fields| Some((fields, document.get(&fields.status)?)));
        match (status, inbound) {
            // An inbound message may have a status too: then that is no word of a receipt.
            (Some((fields, status)), None) => receipt(fields, &status, &document, request.url, codes),
            (Some((fields, status)), Some(_)) if fields.delivery(&status).is_some() => {
                receipt(fields, &status, &document, request.url, codes)
            }
            (_, Some(fields)) => inbound_message(fields, &document),
            (None, None) => Err(unparsable(
                "it has neither receipt_status nor inbound_from and inbound_body, as the configuration names them",
            )),
        }
    }
}

fn text_of(settings: &Settings, key: &str) -> Option<String> {
    settings.optional(key).map(|text| text.expose_secret().trim().to_owned())
}

fn inbound_fields(settings: &Settings) -> Result<Option<InboundFields>, SettingsError> {
    const KEYS: [&str; 7] = [
        "inbound_id",
        "inbound_from",
        "inbound_to",
        "inbound_body",
        "inbound_subject",
        "inbound_attachments",
        "inbound_channel",
    ];
    let Some(first) = KEYS.into_iter().find(|key| settings.optional(key).is_some()) else { return Ok(None) };
    let required = |key: &str| {
        text_of(settings, key).ok_or_else(|| SettingsError::new(key, format!("is required with {first}")))
    };
    let channel = match text_of(settings, "inbound_channel") {
        None => Channel::Sms,
        Some(word) => {
            word.parse().map_err(|_| SettingsError::new("inbound_channel", "must be sms, mms or email"))?
        }
    };
    Ok(Some(InboundFields {
        id: required("inbound_id")?,
        from: required("inbound_from")?,
        to: required("inbound_to")?,
        body: required("inbound_body")?,
        subject: text_of(settings, "inbound_subject"),
        attachments: text_of(settings, "inbound_attachments"),
        channel,
    }))
}

fn receipt_fields(settings: &Settings, named: bool) -> Result<Option<ReceiptFields>, SettingsError> {
    const KEYS: [&str; 5] =
        ["receipt_status", "receipt_statuses", "receipt_reference", "receipt_id", "receipt_code"];
    let Some(first) = KEYS.into_iter().find(|key| settings.optional(key).is_some()) else { return Ok(None) };
    let required = |key: &str| {
        text_of(settings, key).ok_or_else(|| SettingsError::new(key, format!("is required with {first}")))
    };
    let (status, words) = (required("receipt_status")?, required("receipt_statuses")?);
    let (reference, id) = (text_of(settings, "receipt_reference"), text_of(settings, "receipt_id"));
    if reference.is_none() && id.is_none() && !named {
        return Err(SettingsError::new(
            "receipt_id",
            "is required, or receipt_reference, or {callback_url} in what is sent: a receipt must name its message",
        ));
    }
    if id.is_some() && reference.is_none() && !named && settings.optional("message_id").is_none() {
        return Err(SettingsError::new(
            "message_id",
            "is required with receipt_id: that is what it is matched with",
        ));
    }
    let mut statuses = Vec::new();
    for line in words.lines().filter(|line| !line.trim().is_empty()) {
        let pair = line.split_once('=').map(|(word, delivery)| (word.trim(), delivery.trim()));
        let delivery = pair.and_then(|(word, delivery)| match delivery {
            "pending" | "sent" | "undelivered" | "delivered" | "read" => {
                Some((word.to_owned(), delivery.parse::<Delivery>().ok()?))
            }
            _ => None,
        });
        statuses.push(delivery.ok_or_else(|| {
            SettingsError::new(
                "receipt_statuses",
                "must be lines such as DELIVRD = delivered; the others are pending, sent, undelivered and read",
            )
        })?);
    }
    Ok(Some(ReceiptFields { reference, id, status, statuses, code: text_of(settings, "receipt_code") }))
}

impl ReceiptFields {
    /// Gateways are careless with case.
    fn delivery(&self, status: &str) -> Option<Delivery> {
        self.statuses
            .iter()
            .find(|(word, _)| word.eq_ignore_ascii_case(status))
            .map(|(_, delivery)| *delivery)
    }
}

/// What came in. Of a repeated name the first counts; an empty value is a value.
enum Document {
    Json(Value),
    Pairs(Vec<(String, String)>),
}

impl Document {
    fn of(request: &WebhookRequest<'_>) -> Self {
        let pairs = |bytes: &[u8]| Self::Pairs(form_urlencoded::parse(bytes).into_owned().collect());
        if request.method == Method::GET {
            return pairs(query_of(request.url).as_bytes());
        }
        match serde_json::from_slice::<Value>(request.body) {
            Ok(json @ (Value::Object(_) | Value::Array(_))) => Self::Json(json),
            _ => pairs(request.body),
        }
    }

    fn values(&self, field: &str) -> Vec<String> {
        match self {
            Self::Json(json) => {
                let value = if field.starts_with('/') { json.pointer(field) } else { json.get(field) };
                match value {
                    Some(Value::Array(values)) => values.iter().filter_map(scalar).collect(),
                    value => value.and_then(scalar).into_iter().collect(),
                }
            }
            Self::Pairs(pairs) => {
                pairs.iter().filter(|(name, _)| name == field).map(|(_, value)| value.clone()).collect()
            }
        }
    }

    fn get(&self, field: &str) -> Option<String> {
        self.values(field).into_iter().next()
    }
}

fn inbound_message(fields: &InboundFields, document: &Document) -> Result<Webhook, WebhookError> {
    let required = |field: &str, key: &str| {
        let value = document.get(field).filter(|value| !value.trim().is_empty());
        value.ok_or_else(|| unparsable(format!("it has no {key}, as the configuration names it")))
    };
    let id = storable(required(&fields.id, "inbound_id")?);
    let (from, to) = (required(&fields.from, "inbound_from")?, required(&fields.to, "inbound_to")?);
    let address = |text: String| match fields.channel {
        Channel::Email => storable(text),
        Channel::Sms | Channel::Mms | Channel::Whatsapp => international(&text),
    };
    let urls = fields.attachments.as_ref().map(|field| document.values(field)).unwrap_or_default();
    let attachments: Vec<String> =
        urls.into_iter().filter(|text| is_web_address(text)).map(storable).collect();
    let channel = match fields.channel {
        Channel::Sms if !attachments.is_empty() => Channel::Mms,
        channel => channel,
    };
    let message = InboundMessage {
        provider_message_id: id,
        channel,
        from: address(from),
        to: address(to),
        subject: fields.subject.as_ref().and_then(|field| document.get(field)).map(storable),
        body: storable(document.get(&fields.body).unwrap_or_default()),
        attachments,
        files: Vec::new(),
        omitted_files: 0,
        timestamp: None,
    };
    Ok(Webhook { inbound: vec![message], ..Webhook::default() })
}

fn receipt(
    fields: &ReceiptFields,
    status: &str,
    document: &Document,
    url: &str,
    codes: &ErrorCodes,
) -> Result<Webhook, WebhookError> {
    let delivery = fields
        .delivery(status)
        .ok_or_else(|| unparsable("its status is a word that receipt_statuses does not have"))?;
    let reference = fields.reference.as_ref().and_then(|field| document.get(field)).unwrap_or_default();
    let (message_id, attempt) = match in_reference(&reference) {
        (None, _) => in_url(url),
        ours => ours,
    };
    let id = fields.id.as_ref().and_then(|field| document.get(field));
    let provider_message_id = id.and_then(|id| code_word(&id));
    if message_id.is_none() && provider_message_id.is_none() {
        return Err(unparsable("the receipt names no message that we know"));
    }
    let code = fields.code.as_ref().and_then(|field| document.get(field)).and_then(|code| code_word(&code));
    let code = code.or_else(|| code_word(status));
    let known = code.as_deref().filter(|_| delivery == Delivery::Undelivered);
    let temporary = known.and_then(|code| codes.find(code)).is_some_and(Known::is_temporary);
    let receipt = Receipt {
        message_id,
        attempt,
        provider_message_id,
        delivery,
        provider_code: code,
        detail: None,
        temporary,
        timestamp: None,
    };
    Ok(Webhook { receipts: vec![receipt], ..Webhook::default() })
}
