//! Holding and releasing the outbox, and recognising a copied database, on a real PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::time::Duration;

use app_db::hold::{self, Scope};
use app_db::installation::{self, Identity};
use model::{Channel, Delivery, NewMessage, Reason, Status};
use testkit::outbox::{Outbox, accepted, unavailable};

const ALL: Scope = Scope { channel: None, accepted_before: None };

async fn hold_scope(outbox: &Outbox, scope: Scope) -> u64 {
    let mut client = outbox.pool().get().await.unwrap();
    hold::hold(&mut client, &outbox.fixtures.ids, scope, Reason::Operator).await.unwrap().messages
}

async fn release_scope(outbox: &Outbox, scope: Scope) -> u64 {
    let mut client = outbox.pool().get().await.unwrap();
    hold::release(&mut client, &outbox.fixtures.ids, scope).await.unwrap().messages
}

#[tokio::test]
async fn what_waits_is_held_and_what_comes_later_is_sent() {
    let outbox = Outbox::new().await;
    let due = outbox.accept(outbox.fixtures.sms(1, 2)).await;
    let retried = outbox.accept(outbox.fixtures.sms(1, 3)).await;
    for claimed in outbox.claim(10).await {
        let outcome = if claimed.message_id == retried.id { unavailable() } else { accepted() };
        if claimed.message_id == due.id {
            let client = outbox.pool().get().await.unwrap();
            app_db::claim::release(&client, outbox.owner, &[claimed.lease()]).await.unwrap();
        } else {
            outbox.settle(&claimed, &outcome).await;
        }
    }
    let send_at = outbox.fixtures.now + Duration::from_secs(3600);
    let scheduled = NewMessage { send_at: Some(send_at), ..outbox.fixtures.sms(1, 4) };
    let scheduled = outbox.accept(scheduled).await;
    assert_eq!(hold_scope(&outbox, ALL).await, 3);
    assert_eq!(hold_scope(&outbox, ALL).await, 0, "once");
    let later = outbox.accept(outbox.fixtures.sms(1, 5)).await;
    outbox.execute("update outbox set next_attempt_at = least(next_attempt_at, now()) where next_attempt_at < 'infinity'").await;
    let claimed = outbox.claim(10).await;
    assert_eq!(claimed.iter().map(|row| row.message_id).collect::<Vec<_>>(), [later.id]);
    for id in [due.id, retried.id, scheduled.id] {
        let message = outbox.find(id).await;
        assert_eq!(
            (message.status_payload.unwrap().code.as_str(), message.next_attempt_at),
            ("operator", None)
        );
        assert_eq!(outbox.event_kinds(id).await.last().unwrap(), "held");
    }
    assert_eq!(outbox.find(due.id).await.status, Status::Outbox);
    assert_eq!(outbox.find(retried.id).await.status, Status::Retry);
    assert_eq!(release_scope(&outbox, ALL).await, 3);
    assert_eq!(outbox.find(scheduled.id).await.next_attempt_at, outbox.find(scheduled.id).await.send_at);
    let claimed = outbox.claim(10).await;
    assert_eq!(claimed.len(), 2, "those that are due");
    for row in &claimed {
        outbox.settle(row, &accepted()).await;
        assert_eq!(outbox.find(row.message_id).await.status, Status::Ok);
    }
}

#[tokio::test]
async fn a_hold_takes_a_channel_or_what_was_accepted_before_a_time() {
    let outbox = Outbox::new().await;
    let f = &outbox.fixtures;
    outbox.accept(f.sms(1, 2)).await;
    outbox.accept(f.email("a@example.org", "b@example.org")).await;
    let email = Scope { channel: Some(Channel::Email), ..ALL };
    assert_eq!(hold_scope(&outbox, Scope { accepted_before: Some(f.now), ..ALL }).await, 0);
    assert_eq!(hold_scope(&outbox, email).await, 1);
    assert_eq!(hold_scope(&outbox, ALL).await, 1);
    assert_eq!(release_scope(&outbox, email).await, 1);
    assert_eq!(release_scope(&outbox, ALL).await, 1);
}

#[tokio::test]
async fn a_running_lease_is_left_alone_and_a_lapsed_one_is_held() {
    let outbox = Outbox::new().await;
    let running = outbox.accept(outbox.fixtures.sms(1, 2)).await;
    let lapsed = outbox.accept(outbox.fixtures.sms(1, 3)).await;
    assert_eq!(outbox.claim(2).await.len(), 2);
    let sql =
        format!("update outbox set leased_until = now() - interval '1 s' where message_id = '{}'", lapsed.id);
    outbox.execute(&sql).await;
    assert_eq!(hold_scope(&outbox, ALL).await, 1);
    let client = outbox.pool().get().await.unwrap();
    assert_eq!(hold::in_flight(&client).await.unwrap(), 1);
    assert!(outbox.find(running.id).await.next_attempt_at.is_some());
    assert!(outbox.claim(2).await.is_empty(), "a lapsed lease that is held is not sent again");
    release_scope(&outbox, ALL).await;
    let claimed = outbox.claim(2).await;
    assert_eq!(claimed[0].lapsed_provider.as_deref(), Some("p"), "its outcome is unknown, as before");
    assert_eq!(outbox.find(lapsed.id).await.delivery, Delivery::None);
}

#[tokio::test]
async fn a_held_message_that_was_never_tried_can_be_retried_alone() {
    let outbox = Outbox::new().await;
    let held = outbox.accept(outbox.fixtures.sms(1, 2)).await;
    outbox.accept(outbox.fixtures.sms(1, 3)).await;
    assert_eq!(hold_scope(&outbox, ALL).await, 2);
    let mut client = outbox.pool().get().await.unwrap();
    let event_id = outbox.fixtures.ids.next(outbox.fixtures.now, model::Bucket::of(held.id));
    assert!(app_db::requeue::requeue(&mut client, held.id, "sms", event_id, None).await.unwrap());
    let claimed = outbox.claim(10).await;
    assert_eq!(claimed.iter().map(|row| row.message_id).collect::<Vec<_>>(), [held.id]);
}

#[tokio::test]
async fn a_restored_dump_is_a_copy_until_it_is_adopted() {
    let database = testkit::database().await;
    let client = database.pool.get().await.unwrap();
    assert_eq!(installation::look(&client, None).await.unwrap().hold(), None, "nothing is stored yet");
    assert!(installation::store_first(&client, Some("production")).await.unwrap());
    assert!(!installation::store_first(&client, Some("staging")).await.unwrap(), "once");
    let look = installation::look(&client, Some("production")).await.unwrap();
    assert_eq!(look.difference(), None);
    let Identity { system_identifier, .. } = look.found;
    assert!(system_identifier.is_some(), "the owner of the cluster may read it");
    // A restored dump has the row of its original.
    client.batch_execute("update installation set database_oid = database_oid + 1").await.unwrap();
    let hold = installation::look(&client, Some("production")).await.unwrap().hold().unwrap();
    assert!(hold.contains("app adopt"), "{hold}");
    installation::adopt(&client, Some("production")).await.unwrap();
    assert_eq!(installation::look(&client, Some("production")).await.unwrap().difference(), None);
    // A physical copy keeps both identities: only the name tells it.
    let staging = installation::look(&client, Some("staging")).await.unwrap().difference().unwrap();
    assert!(staging.contains("`staging`") && staging.contains("`production`"), "{staging}");
    client.batch_execute("update installation set system_identifier = system_identifier + 1").await.unwrap();
    assert!(installation::look(&client, Some("production")).await.unwrap().difference().is_some());
}

#[tokio::test]
async fn a_role_that_may_not_read_the_clusters_identity_uses_the_database_and_the_name() {
    let database = testkit::database().await;
    let client = database.pool.get().await.unwrap();
    installation::store_first(&client, None).await.unwrap();
    let name: String = client.query_one("select current_database()::text", &[]).await.unwrap().get(0);
    let role = format!("reader_of_{name}");
    let grants = format!(
        "revoke execute on function pg_control_system() from public;
         create role {role}; grant usage on schema public to {role}; grant select on installation to {role};
         set role {role}"
    );
    client.batch_execute(&grants).await.unwrap();
    let look = installation::look(&client, None).await.unwrap();
    assert_eq!((look.found.system_identifier, look.difference()), (None, None));
    let tidy = format!("reset role; drop owned by {role}; drop role {role}");
    client.batch_execute(&tidy).await.unwrap();
}
