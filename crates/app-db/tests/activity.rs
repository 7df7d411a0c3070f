//! What went through lately: counts by fate, cause and provider; the backlog by route.

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::time::Duration;

use app_db::accept::{Accept, accept};
use app_db::activity::{self, Cause, Fate};
use app_db::claim::Claimed;
use jiff::ToSpan;
use model::{OnUnknown, Outcome, Reason};
use testkit::fixtures::Fixtures;
use testkit::outbox::Outbox;

#[tokio::test]
async fn messages_are_counted_by_what_became_of_them() {
    let (database, f) = (testkit::database().await, Fixtures::new());
    let request =
        |to| Accept { message: f.sms(1, to), route: "sms".to_owned(), sticky: Vec::new(), idempotency: None };
    let group: Vec<Accept> = (10..17).map(request).collect();
    accept(&database.pool, &f.ids, f.now, &group).await.into_iter().for_each(|result| drop(result.unwrap()));
    let client = database.pool.get().await.unwrap();
    let [sent, undelivered, failed, held] = [0, 1, 2, 3].map(|n: usize| group[n].message.id);
    client
        .batch_execute(&format!(
            "update messages set status_tag = 'ok', delivery_tag = 'sent', provider_id = 'a' where id = '{sent}';
             update messages set status_tag = 'ok', delivery_tag = 'undelivered', provider_id = 'a',
                 status_payload = '{{\"code\": \"undelivered\", \"provider_code\": \"30003\"}}' where id = '{undelivered}';
             update messages set status_tag = 'failed', provider_id = 'b',
                 status_payload = '{{\"code\": \"opted_out\"}}' where id = '{failed}';
             update messages set status_tag = 'retry', delivery_tag = 'unknown', provider_id = 'b',
                 status_payload = '{{\"code\": \"timeout\"}}' where id = '{held}';
             delete from outbox where message_id in ('{sent}', '{undelivered}', '{failed}')",
        ))
        .await
        .unwrap();
    let (since, until) = (f.now - 1.minute(), f.now + 1.minute());
    let mut counts: Vec<(Option<String>, Fate, Option<Cause>, i64)> =
        activity::between(&client, since, until)
            .await
            .unwrap()
            .into_iter()
            .map(|count| (count.provider_id, count.fate, count.cause, count.messages))
            .collect();
    counts.sort();
    let at = |provider: &str| Some(provider.to_owned());
    let cause = |code: &str, provider_code: Option<&str>| {
        Some(Cause { code: code.to_owned(), provider_code: provider_code.map(str::to_owned) })
    };
    assert_eq!(
        counts,
        [
            (None, Fate::Waiting, None, 3),
            (at("a"), Fate::Sent, None, 1),
            (at("a"), Fate::Undelivered, cause("undelivered", Some("30003")), 1),
            (at("b"), Fate::Held, cause("timeout", None), 1),
            (at("b"), Fate::Failed, cause("opted_out", None), 1),
        ]
    );
    assert!(activity::between(&client, until, until + 1.minute()).await.unwrap().is_empty());
}

/// Settles with what an outcome means.
async fn settle(outbox: &Outbox, claimed: &[Claimed], outcome: &Outcome, on_unknown: OnUnknown) {
    let settlements: Vec<_> = claimed.iter().map(|row| outbox.settlement(row, outcome, on_unknown)).collect();
    let client = outbox.pool().get().await.unwrap();
    app_db::settle::settle(&client, outbox.owner, &settlements).await.unwrap();
}

#[tokio::test]
async fn what_waits_is_told_apart_by_what_it_waits_for() {
    let outbox = Outbox::new().await;
    let f = &outbox.fixtures;
    let mut later = f.sms(1, 10);
    later.send_at = Some(f.now + 1.hour());
    outbox.accept(later).await;
    let unknown = Outcome::Uncertain { reason: Reason::Timeout, detail: "no answer".to_owned() };
    let busy = Outcome::Unavailable {
        retry_after: Some(Duration::from_secs(3600)),
        provider_code: None,
        detail: "HTTP 503".to_owned(),
    };
    outbox.accept(f.sms(1, 11)).await;
    settle(&outbox, &outbox.claim(1).await, &busy, OnUnknown::Hold).await;
    outbox.accept(f.sms(1, 12)).await;
    settle(&outbox, &outbox.claim(1).await, &unknown, OnUnknown::Hold).await;
    outbox.accept(f.sms(1, 13)).await;
    settle(&outbox, &outbox.claim(1).await, &unknown, OnUnknown::Reconcile).await;
    outbox.accept(f.sms(1, 14)).await;
    assert_eq!(outbox.claim(1).await.len(), 1);
    outbox.accept(f.sms(1, 15)).await;
    outbox.accept(f.sms(1, 16)).await;
    let client = outbox.pool().get().await.unwrap();
    let backlog = activity::backlog(&client).await.unwrap();
    assert_eq!(backlog.len(), 1);
    let told = &backlog[0];
    assert_eq!(told.route, "sms");
    assert_eq!(
        (told.due, told.scheduled, told.retrying, told.confirming, told.leased, told.held),
        (2, 1, 1, 1, 1, 1)
    );
}
