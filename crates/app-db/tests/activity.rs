//! What went through lately: counts by fate and provider, the backlog by route, causes of failures.

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

use app_db::accept::{Accept, accept};
use app_db::activity::{self, Fate};
use jiff::ToSpan;
use testkit::fixtures::Fixtures;

#[tokio::test]
async fn messages_are_counted_by_what_became_of_them() {
    let (database, f) = (testkit::database().await, Fixtures::new());
    let request =
        |to| Accept { message: f.sms(1, to), route: "sms".to_owned(), sticky: Vec::new(), idempotency: None };
    let group: Vec<Accept> = (10..16).map(request).collect();
    accept(&database.pool, &f.ids, f.now, &group).await.into_iter().for_each(|result| drop(result.unwrap()));
    let client = database.pool.get().await.unwrap();
    let [sent, undelivered, failed] = [0, 1, 2].map(|n: usize| group[n].message.id);
    client
        .batch_execute(&format!(
            "update messages set status_tag = 'ok', delivery_tag = 'sent', provider_id = 'a' where id = '{sent}';
             update messages set status_tag = 'ok', delivery_tag = 'undelivered', provider_id = 'a',
                 status_payload = '{{\"code\": \"undelivered\", \"provider_code\": \"30003\"}}' where id = '{undelivered}';
             update messages set status_tag = 'failed', provider_id = 'b',
                 status_payload = '{{\"code\": \"opted_out\"}}' where id = '{failed}';
             delete from outbox where message_id in ('{sent}', '{undelivered}', '{failed}');
             insert into problems (bucket, message_id, kind)
             select bucket, id, case status_tag when 'failed' then 'failed' else 'undelivered' end
             from messages where id in ('{undelivered}', '{failed}')",
        ))
        .await
        .unwrap();
    let (since, until) = (f.now - 1.minute(), f.now + 1.minute());
    let mut counts: Vec<(Option<String>, Fate, i64)> = activity::between(&client, since, until)
        .await
        .unwrap()
        .into_iter()
        .map(|count| (count.provider_id, count.fate, count.messages))
        .collect();
    counts.sort();
    let at = |provider: &str| Some(provider.to_owned());
    assert_eq!(
        counts,
        [
            (None, Fate::Waiting, 3),
            (at("a"), Fate::Sent, 1),
            (at("a"), Fate::Failed, 1),
            (at("b"), Fate::Failed, 1),
        ]
    );
    assert!(activity::between(&client, until, until + 1.minute()).await.unwrap().is_empty());

    let causes = activity::causes(&client).await.unwrap();
    let causes: Vec<_> = causes
        .iter()
        .map(|cause| (cause.provider_id.as_deref(), cause.code.as_str(), cause.provider_code.as_deref()))
        .collect();
    assert_eq!(causes, [(Some("a"), "undelivered", Some("30003")), (Some("b"), "opted_out", None)]);

    let backlog = activity::backlog(&client).await.unwrap();
    assert_eq!(backlog.len(), 1);
    assert_eq!((backlog[0].route.as_str(), backlog[0].due, backlog[0].held), ("sms", 3, 0));
}
