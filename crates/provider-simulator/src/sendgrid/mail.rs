//! From a mail's JSON to its outlines: one per recipient.

use serde_json::{Map, Value};

use crate::kind::Outline;
use crate::message::own_reference;

/// Recipients of a personalization: to, cc and bcc.
pub(super) fn recipients(personalization: &Value) -> impl Iterator<Item = (&'static str, usize, &Value)> {
    ["to", "cc", "bcc"].into_iter().flat_map(move |list| {
        let people = personalization[list].as_array().map(Vec::as_slice).unwrap_or_default();
        people.iter().enumerate().map(move |(index, person)| (list, index, person))
    })
}

pub(super) fn outlines(mail: &Value) -> Vec<Outline> {
    let mut outlines = Vec::new();
    for personalization in mail["personalizations"].as_array().into_iter().flatten() {
        let event_fields = event_fields(mail, personalization);
        let arguments = event_fields.iter();
        let reference =
            own_reference(arguments.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?))));
        let subject = personalization["subject"].as_str().or(mail["subject"].as_str());
        for (_, _, person) in recipients(personalization) {
            outlines.push(Outline {
                from: mail["from"]["email"].as_str().unwrap_or_default().to_owned(),
                to: person["email"].as_str().unwrap_or_default().to_owned(),
                channel: "email",
                subject: subject.map(str::to_owned),
                body: mail["content"][0]["value"].as_str().unwrap_or_default().to_owned(),
                media: file_names(mail),
                reference,
                event_fields: event_fields.clone(),
                ..Outline::default()
            });
        }
    }
    outlines
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
