//! The send routes of all kinds: who calls, what is asked, which faults it meets, and the ledger's entries.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{MethodRouter, post};
use bytes::Bytes;
use http::{HeaderMap, Uri};

use crate::answer::{Exchange, Verdict};
use crate::faults::{Met, Subject};
use crate::http_call::HttpCall;
use crate::idempotency::{Entered, Key};
use crate::kind::{Kind, Outline};
use crate::message::{Accepted, Answered, Call};
use crate::server::Connection;
use crate::simulator::Shared;

/// The handler of a kind's send paths.
pub(crate) fn route(kind: Kind) -> MethodRouter<Arc<Shared>> {
    post(
        move |State(shared): State<Arc<Shared>>,
              Extension(connection): Extension<Connection>,
              Path(parameters): Path<HashMap<String, String>>,
              uri: Uri,
              headers: HeaderMap,
              body: Bytes| async move {
            let call = HttpCall { uri, parameters, headers, body };
            send(&shared, kind, &connection, &call).await
        },
    )
}

async fn send(shared: &Shared, kind: Kind, connection: &Connection, call: &HttpCall) -> Response {
    let at_ms = shared.options.clock.now().as_millisecond();
    let protocol = kind.protocol();
    let account = protocol.authenticate(shared, call);
    let reading = protocol.read(call);
    let nobody = Outline::default();
    let first = reading.messages.first().unwrap_or(&nobody);
    let number = shared.ledger.begin_call(Call {
        kind,
        account: account.as_ref().ok().copied(),
        message_id: first.reference.0,
        attempt: first.reference.1,
        to: first.to.as_str().into(),
        at_ms,
        answer: Answered::Nothing,
    });
    let index = match account {
        Ok(index) => index,
        Err(answer) => {
            shared.ledger.end_call(number, Answered::Status(answer.status().as_u16()));
            return answer.into_response();
        }
    };
    let met = meet(shared, kind, index, first);
    let exchange = Exchange { shared, connection, kind, number, met };
    exchange
        .run(|met| {
            if let Some(answer) = reading.answer {
                return (Vec::new(), answer);
            }
            let key = Some(call.header("idempotency-key")).filter(|key| !key.is_empty());
            accept(shared, kind, index, reading.messages, key, &call.body, met)
        })
        .await
}

/// What a message meets of the faults in force.
pub(crate) fn meet(shared: &Shared, kind: Kind, account: usize, outline: &Outline) -> Met {
    let account = shared.accounts(kind.as_str()).get(account);
    let message_key = outline.reference.0.map_or_else(|| outline.to.clone(), |id| id.to_string());
    shared.faults.meet(&Subject {
        kind,
        account: account.map(|account| account.name.as_str()).unwrap_or_default(),
        to: &outline.to,
        from: &outline.from,
        message_key: &message_key,
    })
}

fn accept(
    shared: &Shared,
    kind: Kind,
    index: usize,
    outlines: Vec<Outline>,
    key: Option<&str>,
    body: &[u8],
    met: &mut Met,
) -> Verdict {
    let protocol = kind.protocol();
    let Some(account) = shared.accounts(kind.as_str()).get(index) else {
        return (Vec::new(), protocol.error(http::StatusCode::UNAUTHORIZED, None, None));
    };
    let make = || entries(shared, kind, index, outlines, key, met);
    let (Some(key), Some(conflict)) = (key, protocol.key_conflict()) else {
        let messages = make();
        let answer = protocol.answer(account, &messages);
        return (messages, answer);
    };
    let key = Key { kind: kind.as_str(), account: index, key: key.into() };
    match shared.keys.enter(key, body, make) {
        Entered::New(messages) => {
            let answer = protocol.answer(account, &messages);
            (messages, answer)
        }
        Entered::Repeated(messages) => (Vec::new(), protocol.answer(account, &messages)),
        Entered::Conflict => (Vec::new(), conflict),
    }
}

/// The ledger's entries of a call.
pub(crate) fn entries(
    shared: &Shared,
    kind: Kind,
    account: usize,
    outlines: Vec<Outline>,
    key: Option<&str>,
    met: &mut Met,
) -> Vec<Arc<Accepted>> {
    let faults = std::mem::take(&mut met.names);
    let received_at = shared.options.clock.now();
    let ids = kind.protocol().ids(shared, &outlines);
    let made = outlines.into_iter().zip(ids).map(|(outline, id)| {
        Arc::new(Accepted {
            kind,
            account,
            provider_message_id: id.into(),
            from: outline.from.into(),
            to: outline.to.into(),
            channel: outline.channel.into(),
            subject: outline.subject.map(Into::into),
            body: outline.body.into(),
            media: outline.media,
            message_id: outline.reference.0,
            attempt: outline.reference.1,
            idempotency_key: key.map(Into::into),
            received_at,
            faults: faults.clone(),
            callback_url: outline.callback_url.map(Into::into),
            messaging_service_sid: outline.messaging_service_sid.map(Into::into),
            event_fields: outline.event_fields,
            plan: met.plan.clone(),
            receipts_done: 0.into(),
        })
    });
    made.collect()
}
