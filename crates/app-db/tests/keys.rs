//! API keys on a real PostgreSQL: their roles, and what revoking leaves.

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

use app_db::Client;
use app_db::keys::{self, ApiKey, Revocation, Role};
use testkit::fixtures::Fixtures;

async fn made(client: &Client, f: &Fixtures, seed: u8, role: Role) -> ApiKey {
    let mut state = seed;
    let mut random = || {
        state = state.wrapping_mul(73).wrapping_add(41);
        state
    };
    keys::create(client, &f.ids, f.now, "test", role, &mut random).await.unwrap().1
}

#[tokio::test]
async fn a_key_has_its_role_and_one_from_before_there_were_roles_is_an_operators() {
    let database = testkit::database().await;
    let (client, f) = (database.pool.get().await.unwrap(), Fixtures::new());
    client
        .batch_execute(
            "alter table api_keys drop column role, drop column last_used_at;
             insert into api_keys (id, name, prefix, key_hash)
             values ('00000000-0000-7000-8000-000000000000', 'old', 'app_old', sha256('old'))",
        )
        .await
        .unwrap();
    client.batch_execute(include_str!("../migrations/V16__key_roles.sql")).await.unwrap();
    let application = made(&client, &f, 1, Role::Application).await;
    let operator = made(&client, &f, 2, Role::Operator).await;
    assert_eq!((application.role, operator.role), (Role::Application, Role::Operator));
    let listed: Vec<Role> = keys::list(&client).await.unwrap().iter().map(|key| key.role).collect();
    assert_eq!(listed, [Role::Operator, Role::Application, Role::Operator]);
    assert!(keys::revoke(&client, operator.id).await.unwrap());
    let mut valid: Vec<Role> = keys::valid(&client).await.unwrap().iter().map(|key| key.role).collect();
    valid.sort_by_key(|role| role.as_str());
    assert_eq!(valid, [Role::Application, Role::Operator]);
    let unknown = client.batch_execute("update api_keys set role = 'admin'").await;
    assert!(unknown.is_err(), "the column holds the vocabulary");
}

#[tokio::test]
async fn of_the_last_two_operators_keys_one_stays_however_both_are_revoked_at_once() {
    let database = testkit::database().await;
    let (client, f) = (database.pool.get().await.unwrap(), Fixtures::new());
    let application = made(&client, &f, 1, Role::Application).await;
    for round in 0..10 {
        let first = made(&client, &f, 10 + 2 * round, Role::Operator).await;
        let second = made(&client, &f, 11 + 2 * round, Role::Operator).await;
        let revoke = async |key: &ApiKey| {
            let mut client = database.pool.get().await.unwrap();
            keys::revoke_unless_last(&mut client, key.id).await.unwrap()
        };
        let (one, other) = tokio::join!(revoke(&first), revoke(&second));
        let mut outcomes = [one, other];
        outcomes.sort_by_key(|outcome| *outcome != Revocation::Revoked);
        assert_eq!(outcomes, [Revocation::Revoked, Revocation::WouldLeaveNoOperator], "round {round}");
        let left = if one == Revocation::Revoked { second.id } else { first.id };
        assert_eq!(revoke(&first).await == Revocation::NoSuchKey, left == second.id);
        assert!(keys::revoke(&client, left).await.unwrap(), "who asks for it without the condition");
    }
    let mut client = database.pool.get().await.unwrap();
    let alone = keys::revoke_unless_last(&mut client, application.id).await.unwrap();
    assert_eq!(alone, Revocation::WouldLeaveNoOperator, "the last key of all");
}

#[tokio::test]
async fn one_that_waits_for_anothers_revocation_counts_what_that_left() {
    let database = testkit::database().await;
    let (mut client, f) = (database.pool.get().await.unwrap(), Fixtures::new());
    let first = made(&client, &f, 1, Role::Operator).await;
    let second = made(&client, &f, 2, Role::Operator).await;
    let under_way = client.transaction().await.unwrap();
    let sql = "update api_keys set revoked_at = now() where id = $1";
    under_way.execute(sql, &[&first.id]).await.unwrap();
    let (pool, id) = (database.pool.clone(), second.id);
    let waiting = tokio::spawn(async move {
        let mut client = pool.get().await.unwrap();
        keys::revoke_unless_last(&mut client, id).await.unwrap()
    });
    let observer = database.pool.get().await.unwrap();
    testkit::until("it waits", async || {
        let sql = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        (observer.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 1).then_some(())
    })
    .await;
    under_way.commit().await.unwrap();
    assert_eq!(waiting.await.unwrap(), Revocation::WouldLeaveNoOperator);
}

#[tokio::test]
async fn a_use_is_noted_once_a_minute() {
    let database = testkit::database().await;
    let (client, f) = (database.pool.get().await.unwrap(), Fixtures::new());
    let used = made(&client, &f, 1, Role::Application).await.id;
    let other = made(&client, &f, 2, Role::Operator).await.id;
    let noted = async || keys::note_use(&client, &[used]).await.unwrap();
    assert_eq!((noted().await, noted().await), (1, 0));
    let minute_ago =
        "update api_keys set last_used_at = now() - interval '61 seconds' where last_used_at is not null";
    client.execute(minute_ago, &[]).await.unwrap();
    assert_eq!((noted().await, noted().await), (1, 0));
    let listed = keys::list(&client).await.unwrap();
    let unused: Vec<_> = listed.iter().filter(|key| key.last_used_at.is_none()).map(|key| key.id).collect();
    assert_eq!(unused, [other]);
}
