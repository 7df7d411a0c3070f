//! Mailgun: `POST /v3/{domain}/messages`, fields or MIME; webhooks and routes with a signed time and token.
//! <https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages>

mod posts;

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::account::Account;
use crate::answer::{self, Whole};
use crate::demo::{DEMO_MAILGUN_API_KEY, DEMO_MAILGUN_DOMAIN, DEMO_MAILGUN_SIGNING_KEY};
use crate::http_call::{Form, HttpCall, value, values};
use crate::kind::{Hook, Inbound, Outline, Protocol, Reading, fields};
use crate::message::{Accepted, own_reference};
use crate::multipart;
use crate::numbers::{is_mailbox, mailbox, mailboxes};
use crate::post::{Post, PostResult};
use crate::simulator::Shared;

const NAME: &str = "mailgun";

#[derive(Debug)]
pub(crate) struct Mailgun;

impl Protocol for Mailgun {
    fn name(&self) -> &'static str {
        NAME
    }

    fn demo_account(&self) -> Account {
        Account {
            kind: NAME.to_owned(),
            name: DEMO_MAILGUN_DOMAIN.to_owned(),
            user: "api".to_owned(),
            secret: DEMO_MAILGUN_API_KEY.to_owned(),
            signing_key: DEMO_MAILGUN_SIGNING_KEY.to_owned(),
            ..Account::default()
        }
    }

    fn send_paths(&self) -> &'static [&'static str] {
        &["/v3/{domain}/messages"]
    }

    fn authenticate(&self, shared: &Shared, call: &HttpCall) -> Result<usize, Whole> {
        let (user, password) = call.basic().unwrap_or_default();
        let is_it = |account: &Account| account.user == user && account.secret == password;
        if shared.find_account(NAME, is_it).is_none() {
            return Err(self.error(StatusCode::UNAUTHORIZED, None, None));
        }
        let domain = call.parameter("domain");
        let known = shared.find_account(NAME, |account| is_it(account) && account.name == domain);
        known.ok_or_else(|| error(404, &format!("Domain not found: {domain}")))
    }

    fn read(&self, call: &HttpCall) -> Reading {
        let (mut form, mut files) = (Form::new(), Vec::new());
        match multipart::parse(call.header("content-type"), &call.body) {
            None => form = call.form(),
            Some(parts) => {
                for part in parts {
                    match part.filename {
                        Some(name) => files.push(name),
                        None => form.push((part.name, String::from_utf8_lossy(&part.content).into_owned())),
                    }
                }
            }
        }
        let prefixed = |prefix: &str| {
            let named = form.iter().filter_map(|(name, value)| Some((name.strip_prefix(prefix)?, value)));
            named.map(|(name, value)| (name.to_owned(), json!(value))).collect::<Map<String, Value>>()
        };
        let variables = prefixed("v:");
        let pairs = variables.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)));
        let own_id = value(&form, "h:Message-Id").or(value(&form, "h:Message-ID"));
        let outline = Outline {
            from: mailbox(value(&form, "from").unwrap_or_default()).to_owned(),
            channel: "email",
            subject: value(&form, "subject").map(str::to_owned),
            body: value(&form, "text").or(value(&form, "html")).unwrap_or_default().to_owned(),
            media: files,
            reference: own_reference(pairs),
            event_fields: fields([
                ("tags", json!(values(&form, "o:tag"))),
                ("message-id", json!(own_id.map(|id| id.trim_matches(['<', '>'])))),
                ("user-variables", Value::Object(variables.clone())),
            ]),
            ..Outline::default()
        };
        let people: Vec<String> =
            ["to", "cc", "bcc"].iter().flat_map(|list| values(&form, list)).flat_map(mailboxes).collect();
        let checked = check(&form, &outline, &people).map_err(|message| error(400, message));
        let outlines = people.into_iter().map(|to| Outline { to, ..outline.clone() });
        let mut reading = Reading::checked(outlines.collect(), checked);
        if reading.answer.is_none() && value(&form, "o:testmode") == Some("yes") {
            let id = format!("<testmode@{}>", call.parameter("domain"));
            reading.answer = Some(queued(&id));
        }
        reading
    }

    /// One for all recipients, in the form of a Message-ID; the sender's own if it has one.
    fn ids(&self, shared: &Shared, outlines: &[Outline]) -> Vec<String> {
        let own = outlines.first().and_then(|outline| outline.event_fields.get("message-id")?.as_str());
        let time = shared.options.clock.now().strftime("%Y%m%d%H%M%S");
        let domain = outlines.first().and_then(|outline| outline.from.rsplit_once('@')).unwrap_or_default().1;
        let made = || format!("{time}.1.{}@{domain}", &shared.hex_id().to_uppercase()[..16]);
        vec![own.map_or_else(made, str::to_owned); outlines.len()]
    }

    fn inbound_id(&self, hex: &str, _has_media: bool) -> String {
        format!("{hex}@simulator.invalid")
    }

    fn answer(&self, _account: &Account, messages: &[Arc<Accepted>]) -> Whole {
        let id = messages.first().map(|message| &*message.provider_message_id).unwrap_or_default();
        queued(&format!("<{id}>"))
    }

    /// There are no codes.
    fn error(&self, status: StatusCode, _code: Option<&str>, message: Option<&str>) -> Whole {
        match (status.as_u16(), message) {
            (401, None) => answer::with_body(401, "text/plain; charset=utf-8", "Forbidden"),
            (429, None) => error(429, "Too many requests"),
            (500.., None) => error(status.as_u16(), "Internal Server Error"),
            (_, message) => error(status.as_u16(), message.unwrap_or("The request was refused.")),
        }
    }

    fn receipts(&self, hook: &Hook<'_>, messages: &[&Accepted]) -> Vec<Post> {
        messages.iter().flat_map(|message| hook.copies(message, posts::event(hook, message))).collect()
    }

    fn inbound(&self, hook: &Hook<'_>, inbound: &Inbound<'_>) -> Post {
        posts::inbound(hook, inbound)
    }

    fn arrived_as(&self, message: &Accepted) -> String {
        (*message.provider_message_id).to_owned()
    }

    /// Exactly 200 is success, and 406 ends the retries.
    /// <https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/webhooks>
    fn is_taken(&self, result: &PostResult) -> bool {
        matches!(result, Ok(StatusCode::OK | StatusCode::NOT_ACCEPTABLE))
    }
}

fn queued(id: &str) -> Whole {
    answer::json(200, &json!({ "id": id, "message": "Queued. Thank you." }))
}

fn error(status: u16, message: &str) -> Whole {
    answer::json(status, &json!({ "message": message }))
}

fn check(form: &Form, outline: &Outline, people: &[String]) -> Result<(), &'static str> {
    if value(form, "from").is_none() {
        return Err("from parameter is missing");
    }
    if !is_mailbox(&outline.from) {
        return Err("'from' parameter is not a valid address. please check documentation");
    }
    if value(form, "to").is_none() {
        return Err("to parameter is missing");
    }
    if people.iter().any(|to| !is_mailbox(to)) {
        return Err("'to' parameter is not a valid address. please check documentation");
    }
    if ["text", "html", "amp-html", "template"].iter().all(|name| value(form, name).is_none()) {
        return Err("Need at least one of 'text', 'html', 'amp-html' or 'template' parameters specified");
    }
    Ok(())
}
