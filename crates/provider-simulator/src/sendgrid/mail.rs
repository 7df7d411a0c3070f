//! From a mail's JSON to the ledger's entries: one per recipient.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::faults::Met;
use crate::message::{Accepted, Kind, own_reference};

/// What can be told about a mail that is not validated yet.
#[derive(Debug, Default)]
pub(super) struct Outline<'a> {
    pub to: &'a str,
    pub from: &'a str,
    pub message_id: Option<Uuid>,
    pub attempt: Option<u32>,
}

pub(super) fn outline(mail: &Value) -> Outline<'_> {
    let first = &mail["personalizations"][0];
    let (message_id, attempt) = reference(&event_fields(mail, first));
    Outline {
        to: first["to"][0]["email"].as_str().unwrap_or_default(),
        from: mail["from"]["email"].as_str().unwrap_or_default(),
        message_id,
        attempt,
    }
}

/// Recipients of a personalization: to, cc and bcc.
pub(super) fn recipients(personalization: &Value) -> impl Iterator<Item = (&'static str, usize, &Value)> {
    ["to", "cc", "bcc"].into_iter().flat_map(move |list| {
        let people = personalization[list].as_array().map(Vec::as_slice).unwrap_or_default();
        people.iter().enumerate().map(move |(index, person)| (list, index, person))
    })
}

pub(super) fn accepted(
    mail: &Value,
    account: usize,
    provider_message_id: &str,
    received_at: Timestamp,
    met: &mut Met,
) -> Vec<Arc<Accepted>> {
    let names = std::mem::take(&mut met.names);
    let mut accepted = Vec::new();
    for personalization in mail["personalizations"].as_array().into_iter().flatten() {
        let event_fields = event_fields(mail, personalization);
        let (message_id, attempt) = reference(&event_fields);
        let subject = personalization["subject"].as_str().or(mail["subject"].as_str());
        for (_, _, person) in recipients(personalization) {
            accepted.push(Arc::new(Accepted {
                kind: Kind::Sendgrid,
                account,
                provider_message_id: provider_message_id.into(),
                from: mail["from"]["email"].as_str().unwrap_or_default().into(),
                to: person["email"].as_str().unwrap_or_default().into(),
                channel: "email".into(),
                subject: subject.map(Into::into),
                body: mail["content"][0]["value"].as_str().unwrap_or_default().into(),
                media: file_names(mail),
                message_id,
                attempt,
                idempotency_key: None,
                received_at,
                faults: names.clone(),
                callback_url: None,
                messaging_service_sid: None,
                event_fields: event_fields.clone(),
                plan: met.plan.clone(),
                receipts_done: 0.into(),
            }));
        }
    }
    accepted
}

fn file_names(mail: &Value) -> Vec<String> {
    let files = mail["attachments"].as_array().into_iter().flatten();
    files.filter_map(|file| file["filename"].as_str().map(str::to_owned)).collect()
}

/// The custom arguments, a personalization's before the mail's, and the categories.
fn event_fields(mail: &Value, personalization: &Value) -> Map<String, Value> {
    let mut fields = Map::new();
    for arguments in [&mail["custom_args"], &personalization["custom_args"]] {
        if let Some(arguments) = arguments.as_object() {
            fields.extend(arguments.clone());
        }
    }
    if let Some(categories) = mail["categories"].as_array()
        && !categories.is_empty()
    {
        fields.insert("category".to_owned(), Value::Array(categories.clone()));
    }
    fields
}

fn reference(fields: &Map<String, Value>) -> (Option<Uuid>, Option<u32>) {
    own_reference(fields.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_str()?))))
}
