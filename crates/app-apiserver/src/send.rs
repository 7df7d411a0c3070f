//! From a request to an accepted message: what the endpoints that send have in common.

use std::sync::Arc;

use app_db::accept::{self, Accept, Accepted, Idempotency};
use app_db::{Error, Pool};
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;
use model::{Channel, Direction, Endpoint, Facts, IdGenerator, Medium, NewMessage, Participants};
use serde_json::Value;
use service::clock::DatabaseClock;
use service::metrics::{ChannelDirection, Metrics};

use crate::App;
use crate::after_commit::AfterCommit;
use crate::authentication::Caller;
use crate::body::{self, Share};
use crate::content::Content;
use crate::fields::Fields;
use crate::idempotency;
use crate::message_json::MessageJson;
use crate::problem::Problem;

/// The code of a problem: the key came before with another request.
pub(crate) const KEY_REUSED: &str = "idempotency_key_reused";

/// A request to send, on its way to being understood.
pub(crate) struct Sending {
    pub fields: Fields,
    pub now: Timestamp,
    caller: Caller,
    keyed: Option<Keyed>,
    share: Share,
}

/// An Idempotency-Key, and the path that it came to.
struct Keyed {
    key: String,
    path: String,
}

/// Who a message goes from and to.
pub(crate) struct Ends {
    pub from: Endpoint,
    pub to: Endpoint,
}

impl Sending {
    /// Reads a request as far as its fields.
    pub(crate) async fn read(app: &App, caller: Caller, request: Request) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let key = idempotency::key(&parts.headers)?;
        body::require_json(&parts.headers)?;
        let body = app.bodies.read(&parts, body, app.config.server.body_bytes_max).await?;
        let mut fields = Fields::of(body::parse_object(&body.bytes)?);
        fields.refuse_query(parts.uri.query());
        let keyed = key.map(|key| Keyed { key, path: parts.uri.path().to_owned() });
        Ok(Self { fields, now: app.clock.now(), caller, keyed, share: body.share })
    }

    /// A request from a page of ours: `key`, which is the form's, makes sending it twice one message, whoever is logged in
    /// by then.
    pub(crate) fn of_form(app: &App, (fields, share): (Fields, Share), key: String, path: String) -> Self {
        let keyed = (!key.is_empty()).then_some(Keyed { key, path });
        Self { fields, now: app.clock.now(), caller: Caller::Anyone, keyed, share }
    }

    /// Of the memory for bodies: the message takes it along.
    pub(crate) fn share(&self) -> Share {
        self.share.clone()
    }

    /// What stands for this request under its Idempotency-Key, if it has one; only then is `meaning` asked.
    pub(crate) fn idempotency(&self, meaning: impl FnOnce() -> Value) -> Option<Idempotency> {
        let Keyed { key, path } = self.keyed.as_ref()?;
        Some(idempotency::of(self.caller, key, "POST", path, &meaning()))
    }

    /// Refuses what is wrong, all at once. A request whose only fault is that it has expired by now may be the
    /// repetition of one that had not: that one's answer is returned.
    pub(crate) async fn check(
        mut self,
        app: &App,
        content: &Content,
        idempotency: Option<&Idempotency>,
    ) -> Result<Option<Accepted>, Problem> {
        if content.expires_at.is_some_and(|expires_at| expires_at <= self.now) {
            if let Some(idempotency) = idempotency.filter(|_| self.fields.error_count() == 0)
                && let Some(before) = accept::replay(&*app.database().await?, idempotency).await?
            {
                return Ok(Some(before));
            }
            self.fields.wrong("expires_at", "out_of_range", "lies in the past");
        }
        self.fields.finish().map(|()| None)
    }
}

/// Stores a message and answers with it.
pub(crate) async fn accept(
    app: &App,
    medium: Medium,
    ends: Ends,
    content: Content,
    idempotency: Option<Idempotency>,
    share: Share,
) -> Result<Response, Problem> {
    let now = app.database_clock.now();
    let participants = Participants::between(medium, &ends.from, &ends.to);
    let facts = Facts {
        channel: content.channel,
        source: &ends.from,
        target: &ends.to,
        priority: content.priority,
        metadata: &content.metadata,
    };
    let (route, sticky) = match app.config.routes.matching(&facts) {
        Some(route) => (route.name.clone(), route.sticky_providers()),
        None => {
            if let Some(suppressed) = app.no_route_warning.due(content.channel.as_str()) {
                let channel = content.channel.as_str();
                tracing::warn!(
                    message.channel = channel,
                    log.suppressed = suppressed,
                    "no route matches: messages wait until one does"
                );
            }
            (String::new(), Vec::new())
        }
    };
    let message = NewMessage {
        id: app.ids.next(now, participants.bucket()),
        participants,
        channel: content.channel,
        direction: Direction::Outbound,
        source: ends.from,
        target: ends.to,
        subject: content.subject,
        body: content.body,
        attachments: content.attachments,
        metadata: content.metadata,
        priority: content.priority,
        timestamp: content.timestamp,
        send_at: content.send_at,
        expires_at: content.expires_at,
    };
    answer(app.sends.commit(Accept { message, route, sticky, idempotency }, share).await?)
}

/// 202 with the message, the first time and every time after; or why not.
pub(crate) fn answer(accepted: Accepted) -> Result<Response, Problem> {
    let (message, replayed) = match accepted {
        Accepted::New(message) => (message, false),
        Accepted::Replayed(message) => (message, true),
        Accepted::KeyReused => {
            let detail =
                "this Idempotency-Key came before with another request; use a new key for a new request";
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, KEY_REUSED, detail));
        }
        Accepted::Forgotten => {
            let detail = "this request was accepted before; its message has been removed since";
            return Err(Problem::new(StatusCode::GONE, "message_gone", detail));
        }
    };
    let location = HeaderValue::try_from(format!("/api/messages/{}", message.id))
        .map_err(|error| Problem::internal().because(error))?;
    let json = MessageJson::from(message).to_json().map_err(|error| Problem::internal().because(error))?;
    let mut response = Response::new(Body::from(json));
    *response.status_mut() = StatusCode::ACCEPTED;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(LOCATION, location);
    if replayed {
        let name = HeaderName::from_static(idempotency::REPLAYED_HEADER);
        response.headers_mut().insert(name, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// Writes groups of sends.
#[derive(Clone)]
pub(crate) struct WriteSends {
    pub pool: Pool,
    pub ids: Arc<IdGenerator>,
    pub clock: DatabaseClock,
    pub metrics: Metrics,
    pub after_commit: Arc<AfterCommit>,
}

impl WriteSends {
    pub(crate) async fn write(self, group: Vec<Accept>) -> Vec<Result<Accepted, Error>> {
        let results = accept::accept(&self.pool, &self.ids, self.clock.now(), &group).await;
        let stored = || {
            results.iter().filter_map(|result| match result {
                Ok(Accepted::New(message)) => Some(message),
                _ => None,
            })
        };
        count_accepted(&self.metrics, Direction::Outbound, stored().map(|message| message.channel));
        if stored().any(|message| message.next_attempt_at <= Some(message.created_at)) {
            self.after_commit.wake();
        }
        if stored().next().is_some() {
            self.after_commit.touch(stored().map(|message| message.conversation_id));
        }
        results
    }
}

/// Counts a group's new messages: each pair of labels is looked up once a group.
pub(crate) fn count_accepted(
    metrics: &Metrics,
    direction: Direction,
    channels: impl Iterator<Item = Channel> + Clone,
) {
    for channel in Channel::ALL {
        let count = channels.clone().filter(|&other| other == channel).count();
        if let Some(count) = u64::try_from(count).ok().filter(|&count| count > 0) {
            let labels = ChannelDirection::new(channel.as_str(), direction.as_str());
            metrics.messages_accepted.get_or_create(&labels).inc_by(count);
        }
    }
}
